"""Our side of the comparison: bytes of reading.sock messages to governed Aggregates, by the functions that the daemon runs."""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from agent.anonymizer import batch
from agent.anonymizer.govern import govern, terms_for
from agent.anonymizer.window import NS, StreamWindows
from agent.contracts.aggregate import Aggregate
from agent.contracts.log import Charge
from agent.contracts.reading import unpack_header
from agent.local.randomness import random_bytes
from tests.bench.workload import START, Workload


class Governed:
    """Parse, window, clamp, count, exact noise, threshold; `run` returns the true counts, which otherwise never leave."""

    def __init__(self, workload: Workload) -> None:
        self._messages = workload.messages()
        self._policy = workload.policy()
        self._stream = self._policy.streams[0]
        self._terms = terms_for(self._policy, self._stream, bytes(32))
        table = batch.class_table(workload.board(), self._stream)
        assert table is not None
        self._table = table[1]
        self.published: list[Aggregate] = []

    def run(self) -> list[NDArray[np.int64]]:
        """One pass over all messages; a window closes as soon as a reading of a later one has come."""
        windows = StreamWindows(self._stream, START)
        window_ns = self._stream.window_s * NS
        charge = Charge(Fraction(1, 32))
        true: list[NDArray[np.int64]] = []
        self.published = []

        def close_until(at_ns: int) -> None:
            while (windows.next_start * NS) + window_ns <= at_ns:
                closed = windows.close()
                true.append(closed.counts)
                self.published.append(govern(closed, self._terms, charge, None, len(true), random_bytes))

        for message in self._messages:
            header = unpack_header(message)
            decoded = batch.decode(header, message)
            newest = header.received_boot_ns
            windows.count(decoded.times_boot_ns, self._table[decoded.classes], newest)
            close_until(newest)
        close_until(newest + window_ns)
        return true


def counts_of(true: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """(windows, classes)."""
    return np.array(true)
