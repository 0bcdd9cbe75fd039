"""Tumbling windows aligned to UTC: in which window a reading falls, and how much of a window was covered. Pure.

Invariants: a window closes once, in order, and nothing enters it afterwards; whether it has numbers is decided by its coverage
and the clock alone, never by what it holds; what a window held that a stop order or a step of the clock leaves without numbers is overwritten at once.
"""

import enum
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.anonymizer.discard import Discard
from agent.anonymizer.opening import held
from agent.anonymizer.rows import Columns, Where
from agent.anonymizer.siphash import Fill
from agent.contracts.aggregate import COVERAGE_STEP_PERCENT, NotCollected
from agent.policy.model import Stream

NS = 1_000_000_000

MAX_STEP_NS = NS
"""A change of UTC against boot time by more than this between two looks at the clock is a step, not steering."""


MAX_AHEAD_NS = NS
"""A batch is stamped when it arrives at the bridge, which may be after our own look at the clock; further ahead is a fault."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One look at both clocks: CLOCK_BOOTTIME and UTC since 1970, nanoseconds."""

    boot_ns: int
    utc_ns: int

    @property
    def offset_ns(self) -> int:
        """UTC minus boot time."""
        return self.utc_ns - self.boot_ns


class Part(enum.IntEnum):
    """What can be measured of a window: each implies the one before it."""

    RUNNING = 0
    GATE = 1
    BOARD = 2


@dataclass(frozen=True, slots=True)
class Closed:
    """A window that has closed: what it held (for counts int64 by class in policy order; others agent.anonymizer.opening) and what may be said
    about it.

    `readings` are in it, `over_rate` were too many for a cell.
    """

    start: int
    counts: Any
    coverage_percent: int
    reason: NotCollected | None
    readings: int = 0
    over_rate: int = 0


@dataclass(frozen=True, slots=True)
class Block:
    """Windows of a stream that have closed one after another: contents with an item a window, and for each what Closed says."""

    start: int
    window_s: int
    contents: Any
    coverage_percent: tuple[int, ...]
    reasons: tuple[NotCollected | None, ...]
    readings: list[int]
    over_rate: list[int]

    def __len__(self) -> int:
        return len(self.reasons)

    def __getitem__(self, place: int) -> Closed:
        return Closed(
            self.start + place * self.window_s,
            self.contents[place],
            self.coverage_percent[place],
            self.reasons[place],
            self.readings[place],
            self.over_rate[place],
        )


class StreamWindows:
    """The open windows of one stream of one policy. `first_start` (Unix seconds, a multiple of the window) is the first to close;
    `until` is where the policy ends: no window starts there or later. `fill` gives keys (agent.anonymizer.opening)."""

    def __init__(self, stream: Stream, first_start: int, fill: Fill) -> None:
        self.stream = stream
        self.next_start = first_start
        self.until: int | None = None
        self._window_ns = stream.window_s * NS
        self._grace_ns = int(stream.grace_s * NS)
        self._held = held(stream, first_start // stream.window_s, fill)
        self._covered_ns: dict[int, list[int]] = {}
        self._stepped_until = self._stopped_until = 0

    @property
    def finished(self) -> bool:
        """Has every window of this policy closed?"""
        return self.until is not None and self.next_start >= self.until

    @property
    def closes_at_ns(self) -> int:
        """UTC nanoseconds at which the next window closes: its end and the policy's grace."""
        return self.next_start * NS + self._window_ns + self._grace_ns

    @property
    def pending(self) -> int:
        """Readings in windows that have not closed."""
        return self._held.pending

    def count(
        self,
        times_utc_ns: NDArray[np.int64],
        columns: Columns,
        now_utc_ns: int,
        *,
        oldest_utc_ns: int,
        newest_utc_ns: int,
        inside: NDArray[np.bool_] | None = None,
    ) -> Counter[Discard]:
        """Add readings taken at `times_utc_ns`, none of them before `oldest_utc_ns` or after `newest_utc_ns`; where `inside` is given only
        those that it marks.

        Returns how many were discarded, by reason; all others are in their windows.
        """
        first, last = oldest_utc_ns // self._window_ns, newest_utc_ns // self._window_ns
        if (
            inside is None
            and oldest_utc_ns >= self.next_start * NS
            and newest_utc_ns <= now_utc_ns + MAX_AHEAD_NS
            and times_utc_ns.size
        ):
            after = None
            if last > first:
                after = times_utc_ns // self._window_ns
                after -= first
            return self._held.add(columns, Where(first, last - first + 1, after, None))
        return self._sift(times_utc_ns, columns, now_utc_ns, inside)

    def _sift(
        self, times_utc_ns: NDArray[np.int64], columns: Columns, now_utc_ns: int, inside: NDArray[np.bool_] | None
    ) -> Counter[Discard]:
        """The same where some readings may be of no window."""
        discarded: Counter[Discard] = Counter()
        if inside is None:
            inside = np.ones(times_utc_ns.size, dtype=np.bool_)
        known = inside & (columns.classes < max(1, len(self.stream.classes)))
        future = known & (times_utc_ns > now_utc_ns + MAX_AHEAD_NS)
        late = known & ~future & (times_utc_ns < self.next_start * NS)
        kept = known & ~future & ~late
        discarded[Discard.UNKNOWN_CLASS] = int(np.count_nonzero(inside & ~known))
        discarded[Discard.FUTURE] = int(np.count_nonzero(future))
        discarded[Discard.LATE] = int(np.count_nonzero(late))
        if kept.any():
            after = times_utc_ns // self._window_ns
            first, last = int(after[kept].min()), int(after[kept].max())
            after -= first
            discarded += self._held.add(columns, Where(first, last - first + 1, after, kept))
        return +discarded

    def cover(self, part: Part, from_utc_ns: int, to_utc_ns: int) -> None:
        """Note that `part` held from one instant to the other (UTC nanoseconds)."""
        at = max(from_utc_ns, self.next_start * NS)
        if self.until is not None:
            to_utc_ns = min(to_utc_ns, self.until * NS)
        while at < to_utc_ns:
            start = at // self._window_ns * self._window_ns
            until = min(to_utc_ns, start + self._window_ns)
            self._covered_ns.setdefault(start // NS, [0] * len(Part))[part] += until - at
            at = until

    def step(self, before_utc_ns: int, after_utc_ns: int) -> int:
        """UTC was stepped: every window up to the one in progress at the later of both instants has no numbers. What is held is overwritten
        now, since after a step back a window closes much later; returns the readings."""
        later_ns = max(before_utc_ns, after_utc_ns)
        self._stepped_until = max(self._stepped_until, self._end_of_progress(later_ns))
        return self._empty(later_ns)

    def stop(self, at_utc_ns: int) -> int:
        """A stop order: no window that has not closed yet has numbers, up to the one in progress. What is held is overwritten now; returns the
        readings."""
        self._stopped_until = max(self._stopped_until, self._end_of_progress(at_utc_ns))
        return self._empty(at_utc_ns)

    def _end_of_progress(self, utc_ns: int) -> int:
        """Where the window in progress at an instant ends (Unix seconds)."""
        return (utc_ns // self._window_ns + 1) * self.stream.window_s

    def _empty(self, utc_ns: int) -> int:
        """Overwrite every window that may hold readings at an instant: their time is up to MAX_AHEAD_NS ahead of ours."""
        until = self._end_of_progress(utc_ns + MAX_AHEAD_NS)
        return self._held.empty(max(0, until - self.next_start) // self.stream.window_s)

    def close(self) -> Closed:
        """Close the next window, whatever the time is."""
        return self.close_block(1)[0]

    def close_block(self, count: int) -> Block:
        """Close the next `count` windows, whatever the time is."""
        start, window_s = self.next_start, self.stream.window_s
        self.next_start += count * window_s
        contents, readings, over_rate = self._held.take(count)
        coverage_percent: tuple[int, ...] = (0,) * count
        reasons: tuple[NotCollected | None, ...] = (NotCollected.RESTART,) * count
        if self._covered_ns or start < max(self._stepped_until, self._stopped_until):
            said = [self._say(at) for at in range(start, self.next_start, window_s)]
            coverage_percent, reasons = zip(*said, strict=True)
        return Block(start, window_s, contents, coverage_percent, reasons, readings, over_rate)

    def skip_to(self, start: int) -> int:
        """Give up every window before `start`, which lies in the future of the next one; returns the readings they held."""
        start = start if self.until is None else min(start, self.until)
        count = (start - self.next_start) // self.stream.window_s
        self.next_start = start
        for old in [at for at in self._covered_ns if at < start]:
            del self._covered_ns[old]
        return self._held.drop(count)

    def abandon(self) -> int:
        """Give up every window, whether its time has come or not; returns the readings they held."""
        self._covered_ns.clear()
        return self._held.drop(1 << 40)

    def _say(self, start: int) -> tuple[int, NotCollected | None]:
        """Coverage in percent, and why the window has no numbers."""
        covered = self._covered_ns.pop(start, None) or (0, 0, 0)
        running, gate, board = (min(ns, self._window_ns) for ns in covered)
        steps = 100 // COVERAGE_STEP_PERCENT
        coverage_percent = board * steps // self._window_ns * COVERAGE_STEP_PERCENT
        return coverage_percent, self._reason(start, running, gate, board)

    def _reason(self, start: int, running: int, gate: int, board: int) -> NotCollected | None:
        if start < self._stepped_until:
            return NotCollected.CLOCK
        if start < self._stopped_until:
            return NotCollected.STOPPED
        for part, reason in ((running, NotCollected.RESTART), (gate, NotCollected.GATE), (board, NotCollected.BOARD)):
            if 2 * part < self._window_ns:
                return reason
        return None


def window_start(utc_ns: int, window_s: int) -> int:
    """Start (Unix seconds) of the window that holds an instant."""
    return utc_ns // NS // window_s * window_s


def stepped(before: Moment, now: Moment) -> bool:
    """Has UTC been stepped against boot time between two looks?"""
    return abs(now.offset_ns - before.offset_ns) > MAX_STEP_NS
