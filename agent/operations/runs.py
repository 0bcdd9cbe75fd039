"""Charged windows of one stream as runs, so that a Gap costs what one window does, however many it has. Pure.

Invariant: runs are in the order of their first windows; what is dropped goes from the front.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")

_SLACK = 64
"""Places in front that are free before the list is made shorter."""


class Run(NamedTuple, Generic[T]):
    """`number` windows from `start` on, one every `step` seconds, each with `value`."""

    start: int
    step: int
    number: int
    value: T

    @property
    def last(self) -> int:
        """The start of the last one."""
        return self.start + (self.number - 1) * self.step

    def inside(self, low: int, high: int) -> int:
        """How many of them start after `low`, and at `high` or before."""
        return max(0, self._up_to(high) - self._up_to(low))

    def after(self, low: int) -> "Run[T] | None":
        """Those that start after `low`."""
        gone = self._up_to(low)
        left = self.number - gone
        return Run(self.start + gone * self.step, self.step, left, self.value) if left else None

    def _up_to(self, at: int) -> int:
        return 0 if at < self.start else min(self.number, (at - self.start) // max(1, self.step) + 1)


class Runs(Generic[T]):
    """Those of a stream."""

    def __init__(self) -> None:
        self._runs: list[Run[T]] = []
        self._first = 0
        self._windows = 0

    def __len__(self) -> int:
        """How many windows."""
        return self._windows

    def __iter__(self) -> Iterator[Run[T]]:
        return (self._runs[place] for place in range(self._first, len(self._runs)))

    @property
    def size(self) -> int:
        """How many runs."""
        return len(self._runs) - self._first

    def add(self, run: Run[T]) -> None:
        """Windows that follow those before, in an honest log; others are put where they belong."""
        last = self._runs[-1] if self.size else None
        self._windows += run.number
        if last is not None and run.start < last.start:
            insort(self._runs, run, lo=self._first, key=_start)
        elif (
            last is not None and last.value == run.value and run.start == last.last + run.step and last.step == run.step
        ):
            self._runs[-1] = Run(last.start, last.step, last.number + run.number, last.value)
        else:
            self._runs.append(run)

    def drop(self, low: int) -> Iterator[Run[T]]:
        """Forget the windows that start at `low` or before; yields what each value loses."""
        while self.size and self._runs[self._first].start <= low:
            run = self._runs[self._first]
            left = run.after(low)
            gone = run.number - (left.number if left is not None else 0)
            self._windows -= gone
            if left is not None:
                self._runs[self._first] = left
            else:
                self._first += 1
            yield Run(run.start, run.step, gone, run.value)
            if left is not None:
                break
        if self._first > _SLACK + len(self._runs) // 2:
            del self._runs[: self._first]
            self._first = 0

    def between(self, low: int, high: int) -> Iterator[tuple[Run[T], int]]:
        """Each run with windows that start after `low`, and at `high` or before; and how many."""
        place = max(self._first, bisect_left(self._runs, low, lo=self._first, key=_start) - 1)
        while place < len(self._runs) and self._runs[place].start <= high:
            run = self._runs[place]
            if number := run.inside(low, high):
                yield run, number
            place += 1


def canonical(runs: Iterable[Run[T]]) -> Iterator[Run[T]]:
    """The same windows in the one form that joins each to the run before it where it can."""
    open_: Run[T] | None = None
    for run in runs:
        rest: Run[T] | None = run
        while rest is not None:
            if open_ is None:
                open_, rest = rest, None
            elif open_.value == rest.value and (open_.number == 1 or rest.start == open_.last + open_.step):
                step = rest.start - open_.last
                taken = rest.number if rest.step == step else 1
                open_ = Run(open_.start, step, open_.number + taken, open_.value)
                rest = (
                    Run(rest.start + taken * rest.step, rest.step, rest.number - taken, rest.value)
                    if taken < rest.number
                    else None
                )
            else:
                yield _alone(open_)
                open_ = None
    if open_ is not None:
        yield _alone(open_)


def _alone(run: Run[T]) -> Run[T]:
    return run if run.number != 1 else run._replace(step=0)


def _start(run: Run[T]) -> int:
    return run.start
