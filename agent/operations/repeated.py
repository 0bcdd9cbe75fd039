"""How a log that follows a loss accounts for the windows of before, held against what else is known of them: OP-59 of SPEC.md. Pure.

Invariant: of a Gap forty bytes are kept, and of a stream's Gaps only those in order; what is too much is said, never dropped silently.
"""

from array import array
from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple

from agent.contracts.aggregate import END_START
from agent.contracts.log import Charge, Gap

MAX_REPEATED = 1_000_000
"""Gaps before a stream's first Release: seven years of four streams whose charge changes with every window."""

MAX_CHARGES = 1000
"""Different ones; a stream has one for each noise, and nothing."""


class Windows(NamedTuple):
    """`number` windows of a stream from `start` on, each charged `charge`; None where nothing is guaranteed."""

    stream: str
    start: int
    window_s: int
    number: int
    charge: Charge | None

    @property
    def end(self) -> int:
        """Of the last of them."""
        return self.start + self.number * self.window_s

    def until(self, end: int) -> "Windows":
        """Those of them that begin before `end`."""
        return self._replace(number=max(0, min(self.number, -(-(end - self.start) // self.window_s))))

    def __str__(self) -> str:
        more = f", {self.number} windows" if self.number > 1 else ""
        return f"{self.stream} at {self.start}{more}: charged {_words(self.charge)} before the loss"


class Repeated:
    """The Gaps that come before each stream's first Release."""

    def __init__(self) -> None:
        self.beyond: str | None = None
        """What is kept, in words, when there was more."""
        self._streams: dict[str, list[array[int]]] = {}
        self._charges: list[Charge | None] = []
        self._numbers: dict[Charge | None, int] = {}
        self._size = 0

    def add(self, gap: Gap, index: int) -> None:
        """The next one, entry `index`; one that goes back, or is of no time, is a finding elsewhere, and not kept."""
        if not self.reached(gap.stream) <= gap.first_start < END_START:
            return
        if gap.charge not in self._numbers and len(self._charges) < MAX_CHARGES:
            self._numbers[gap.charge] = len(self._charges)
            self._charges.append(gap.charge)
        if self._size >= MAX_REPEATED or gap.charge not in self._numbers:
            self.beyond = f"at most {MAX_REPEATED} Gaps, with {MAX_CHARGES} charges, before the first Releases"
            return
        columns = self._streams.setdefault(gap.stream, [array("q") for _ in range(5)])
        self._size += 1
        end = gap.first_start + gap.count * gap.window_s
        row = gap.first_start, end, gap.window_s, index, self._numbers[gap.charge]
        for column, value in zip(columns, row, strict=True):
            column.append(value)

    def reached(self, stream: str) -> int:
        """Where its last Gap ends; 0 without one."""
        columns = self._streams.get(stream)
        return columns[1][-1] if columns is not None else 0

    def short(self, before: Windows, *, known: bool = True) -> Iterator[str]:
        """In words, each part of the windows `before` that is accounted for by less than they were charged, or not at all. Not `known`: the unit need not have
        known of them, nor of a policy that they began under, and only a charge for these very windows is judged."""
        at = before.start
        for start, end, window_s, index, charge in self._between(before):
            if start > at and known:
                yield f"{before}, and no entry accounts for {at} to {start}"
            if window_s != before.window_s or (before.start - start) % window_s:
                if known:
                    yield f"{before}, and entry {index} is of other windows, of {window_s} s from {start} on"
            elif before.charge is not None and before.charge.rho > (charge.rho if charge is not None else 0):
                yield f"{before}, and {_words(charge)} in entry {index}"
            at = end
        if at < before.end and known:
            yield f"{before}, and no entry accounts for {at} to {before.end}"

    def _between(self, before: Windows) -> Iterator[tuple[int, int, int, int, Charge | None]]:
        columns = self._streams.get(before.stream)
        if columns is None:
            return
        starts, ends, windows_s, indices, charges = columns
        for place in range(bisect_right(ends, before.start), len(starts)):
            if starts[place] >= before.end:
                return
            yield starts[place], ends[place], windows_s[place], indices[place], self._charges[charges[place]]


def _words(charge: Charge | None) -> str:
    return "null" if charge is None else str(charge.rho)
