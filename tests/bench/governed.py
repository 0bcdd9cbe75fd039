"""Our side of the comparison: bytes of reading.sock messages to governed Aggregates, by the functions that the daemon runs."""

import numpy as np
from numpy.typing import NDArray

from agent.anonymizer import batch
from agent.anonymizer.govern import release
from agent.anonymizer.kinds import terms_for
from agent.anonymizer.rows import Columns
from agent.anonymizer.window import NS, StreamWindows
from agent.contracts.aggregate import Aggregate
from agent.contracts.reading import unpack_header
from agent.local.randomness import fill_random, random_bytes
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

    def run(self) -> NDArray[np.int64]:
        """One pass over all messages; windows close as soon as a reading of a later one has come."""
        windows = StreamWindows(self._stream, START, fill_random)
        window_ns = self._stream.window_s * NS
        true: list[NDArray[np.int64]] = []
        self.published = []

        def close_until(at_ns: int) -> None:
            due = at_ns // window_ns - windows.next_start * NS // window_ns
            if due > 0:
                block = windows.close_block(due)
                true.append(block.contents)
                terms = self._terms
                numbers = terms.numbers(block.start, block.contents, random_bytes)
                for place, coverage in enumerate(block.coverage_percent):
                    at = block.start + place * block.window_s
                    self.published.append(
                        release(numbers, place, at, coverage, terms, terms.charge, None, len(self.published))
                    )

        for message in self._messages:
            header = unpack_header(message)
            decoded = batch.decode(header, message)
            newest = header.received_boot_ns
            windows.count(
                decoded.times_boot_ns,
                Columns(self._table.take(decoded.classes), decoded.values, decoded.identifiers, decoded.width),
                newest,
                oldest_utc_ns=decoded.oldest_boot_ns,
                newest_utc_ns=decoded.newest_boot_ns,
            )
            close_until(newest)
        close_until(newest + window_ns)
        return np.concatenate(true)
