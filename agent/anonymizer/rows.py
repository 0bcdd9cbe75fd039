"""The open windows of a stream: a block of counts, a row a window and a column a class, or an accumulator for each window. Pure.

Invariants: every reading that is added is discarded under a reason, or is in `pending` until its window is taken or dropped; a cell that is
taken never exceeds the policy's `max_count`; the arithmetic is the same whatever the readings say, and a row that is taken is zeroed.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from agent.anonymizer.discard import Discard

MAX_ROWS = 256
"""Windows further ahead than this (a clock that was set forward by hours) are kept one by one."""

_FIRST_ROWS = 8


class Columns(NamedTuple):
    """What a message says of its readings, one item each: `classes` are indices in policy order, their number for none of them; `values` is None
    without that column; `identifiers` are packed, `width` bytes each, and stand in the receive buffer."""

    classes: NDArray[np.int64]
    values: NDArray[np.uint32] | None
    identifiers: memoryview
    width: int


class Where(NamedTuple):
    """In which windows they are: the first's number, how many windows from it on, for each reading how many windows after the first it is (None
    when there is only that one), and which readings are meant (None for all)."""

    first: int
    span: int
    after: NDArray[np.int64] | None
    kept: NDArray[np.bool_] | None


class Taken(NamedTuple):
    """Windows in a row: what each held, how many readings that was, and how many were too many for a cell."""

    contents: Any
    readings: list[int]
    over_rate: list[int]


class Held(Protocol):
    """The open windows of one stream."""

    @property
    def pending(self) -> int:
        """Readings held."""
        ...

    def add(self, columns: Columns, where: Where) -> Counter[Discard]:
        """Take in readings, none of a window before the next to be taken; returns how many were discarded, by reason."""
        ...

    def take(self, count: int) -> Taken:
        """The next `count` windows, of which nothing stays behind."""
        ...

    def empty(self, count: int) -> int:
        """Overwrite what the next `count` windows hold, which stay the next to be taken; returns the readings that they held."""
        ...

    def drop(self, count: int) -> int:
        """Give up the next `count` windows; returns the readings that they held."""
        ...


class Rows:
    """Counts by class; `first` is the number of the next window to be taken. Contents are int64, shape (windows, classes)."""

    def __init__(self, first: int, classes: int, max_count: int) -> None:
        self.cells = classes
        self._columns = classes + 1  # the last one takes what is of no class
        self._max_count = max_count
        self._base = first
        self._head = 0
        self._rows = np.zeros((_FIRST_ROWS, self._columns), dtype=np.int64)
        self._far: dict[int, NDArray[np.int64]] = {}

    @property
    def pending(self) -> int:
        """Readings held."""
        return int(self._rows[:, : self.cells].sum()) + sum(int(row.sum()) for row in self._far.values())

    def add(self, columns: Columns, where: Where) -> Counter[Discard]:
        """Count readings, none of a window before the next to be taken; returns how many were discarded, by reason."""
        cells = columns.classes
        if where.after is not None:
            cells = where.after * self._columns
            cells += columns.classes
        if where.kept is not None:
            cells = cells[where.kept]
        added = np.bincount(cells, None, where.span * self._columns).reshape(where.span, self._columns)
        unknown = int(added[0, self.cells] if where.span == 1 else np.add.reduce(added[:, self.cells]))
        if where.first + where.span - self._base <= MAX_ROWS:
            at = self._room(where.first - self._base, where.span)
            self._rows[at : at + where.span] += added
        else:
            for number, row in enumerate(added[:, : self.cells], where.first):
                if row.any():
                    self._far[number] = self._far.get(number, 0) + row
        return Counter({Discard.UNKNOWN_CLASS: unknown}) if unknown else Counter()

    def take(self, count: int) -> Taken:
        """The next `count` windows, cut to `max_count`: contents of shape (count, cells)."""
        found = np.zeros((count, self.cells), dtype=np.int64)
        self._move(count, found)
        cut = np.minimum(found, self._max_count)
        readings = np.add.reduce(cut, 1)
        return Taken(cut, readings.tolist(), (np.add.reduce(found, 1) - readings).tolist())

    def empty(self, count: int) -> int:
        """Overwrite what the next `count` windows hold, which stay the next to be taken; returns the readings that they held."""
        before = self.pending
        self._rows[self._head : self._head + count].fill(0)
        for number in [number for number in self._far if number < self._base + count]:
            del self._far[number]
        return before - self.pending

    def drop(self, count: int) -> int:
        """Give up the next `count` windows; returns the readings that they held."""
        before = self.pending
        self._move(count, None)
        return before - self.pending

    def _move(self, count: int, into: NDArray[np.int64] | None) -> None:
        """The next window is `count` later."""
        have = min(count, len(self._rows) - self._head)
        rows = self._rows[self._head : self._head + have]
        if into is not None:
            into[:have] = rows[:, : self.cells]
        rows.fill(0)
        for number in [number for number in self._far if number < self._base + count]:
            row = self._far.pop(number)
            if into is not None:
                into[number - self._base] += row
        self._head += have
        self._base += count

    def _room(self, ahead: int, span: int) -> int:
        """The row of the window that is `ahead` of the next to be taken; there is room for `span` rows from it on."""
        if self._head + ahead + span > len(self._rows):
            size = len(self._rows)
            while ahead + span > size:
                size *= 2
            moved = np.zeros((size, self._columns), dtype=np.int64)
            moved[: len(self._rows) - self._head] = self._rows[self._head :]
            self._rows.fill(0)
            self._rows, self._head = moved, 0
        return self._head + ahead


class Window(Protocol):
    """One open window of a kind that is not counted in rows."""

    def add(self, columns: Columns, belongs: NDArray[np.bool_]) -> Counter[Discard]:
        """Take in the readings that `belongs` marks; returns how many of these were discarded, by reason."""
        ...

    def close(self) -> Any:
        """What was taken in, once."""
        ...

    def abandon(self) -> None:
        """Forget it."""
        ...


class Apart:
    """One accumulator a window; contents are a list of what they give. `open_` makes one, for a window without readings too."""

    def __init__(self, first: int, open_: Callable[[], Window]) -> None:
        self._next = first
        self._open = open_
        self._windows: dict[int, Window] = {}
        self._readings: Counter[int] = Counter()

    @property
    def pending(self) -> int:
        """Readings held."""
        return self._readings.total()

    def add(self, columns: Columns, where: Where) -> Counter[Discard]:
        """Take in readings, none of a window before the next to be taken; returns how many were discarded, by reason."""
        discarded: Counter[Discard] = Counter()
        kept = where.kept if where.kept is not None else np.ones(columns.classes.size, dtype=np.bool_)
        for number in range(where.first, where.first + where.span):
            belongs = kept if where.after is None else kept & (where.after == number - where.first)
            count = int(np.count_nonzero(belongs))
            if count:
                if number not in self._windows:
                    self._windows[number] = self._open()
                refused = self._windows[number].add(columns, belongs)
                self._readings[number] += count - refused.total()
                discarded += refused
        return discarded

    def take(self, count: int) -> Taken:
        """The next `count` windows, of which nothing stays behind."""
        numbers = range(self._next, self._next + count)
        self._next += count
        contents = [(self._windows.pop(number, None) or self._open()).close() for number in numbers]
        return Taken(contents, [self._readings.pop(number, 0) for number in numbers], [0] * count)

    def empty(self, count: int) -> int:
        """Overwrite what the next `count` windows hold, which stay the next to be taken; returns the readings that they held."""
        for number in [number for number in self._windows if number < self._next + count]:
            self._windows.pop(number).abandon()
        return sum(self._readings.pop(number) for number in list(self._readings) if number < self._next + count)

    def drop(self, count: int) -> int:
        """Give up the next `count` windows; returns the readings that they held."""
        lost = self.empty(count)
        self._next += count
        return lost
