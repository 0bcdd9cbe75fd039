"""Tumbling windows aligned to UTC: true counts by class, and how much of a window was covered. Pure.

Invariants: a window closes once, in order, and nothing enters it afterwards; whether it has numbers is decided by its coverage
and the clock alone, never by a count; a count never exceeds the policy's `max_count`.
"""

import enum
from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.contracts.aggregate import COVERAGE_STEP_PERCENT, NotCollected
from agent.policy.enforcement import count_privacy
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


class Discard(enum.StrEnum):
    """Why readings were discarded before their window closed; afterwards a NotCollected reason or STORAGE is the reason."""

    MALFORMED = "malformed"
    NO_BOARD = "no_board"
    UNKNOWN_CHANNEL = "unknown_channel"
    UNKNOWN_CLASS = "unknown_class"
    GATE = "gate"
    LATE = "late"
    FUTURE = "future"
    OVER_RATE = "over_rate"
    STORAGE = "storage"


class Part(enum.IntEnum):
    """What can be measured of a window: each implies the one before it."""

    RUNNING = 0
    GATE = 1
    BOARD = 2


@dataclass(frozen=True, slots=True)
class Closed:
    """A window that has closed: true counts by class (int64, policy order) and what may be said about them."""

    start: int
    counts: NDArray[np.int64]
    coverage_percent: int
    reason: NotCollected | None


class _Open:
    """A window in progress."""

    __slots__ = ("counts", "covered_ns")

    def __init__(self, classes: int) -> None:
        self.counts = np.zeros(classes, dtype=np.int64)
        self.covered_ns = [0] * len(Part)


class StreamWindows:
    """The open windows of one stream of one policy. `first_start` (Unix seconds, a multiple of the window) is the first to close;
    `until` is where the policy ends: no window starts there or later."""

    def __init__(self, stream: Stream, first_start: int) -> None:
        self.stream = stream
        self.next_start = first_start
        self.until: int | None = None
        self._window_ns = stream.window_s * NS
        self._grace_ns = int(stream.grace_s * NS)
        self._max_count = count_privacy(stream).max_count
        self._open: dict[int, _Open] = {}
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
        return sum(int(window.counts.sum()) for window in self._open.values())

    def count(self, times_utc_ns: NDArray[np.int64], classes: NDArray[np.int64], now_utc_ns: int) -> Counter[Discard]:
        """Count readings taken at `times_utc_ns`; `classes` are indices in policy order, negative for none of them.

        Returns how many were discarded, by reason; all others are counted.
        """
        discarded: Counter[Discard] = Counter()
        known = classes >= 0
        future = known & (times_utc_ns > now_utc_ns + MAX_AHEAD_NS)
        late = known & ~future & (times_utc_ns < self.next_start * NS)
        kept = known & ~future & ~late
        discarded[Discard.UNKNOWN_CLASS] = int(np.count_nonzero(~known))
        discarded[Discard.FUTURE] = int(np.count_nonzero(future))
        discarded[Discard.LATE] = int(np.count_nonzero(late))
        numbers = times_utc_ns[kept] // self._window_ns
        kept_classes = classes[kept]
        for number in np.unique(numbers):
            window = self._window(int(number) * self.stream.window_s)
            added = np.bincount(kept_classes[numbers == number], minlength=len(self.stream.classes))
            total = window.counts + added
            window.counts = np.minimum(total, self._max_count)
            discarded[Discard.OVER_RATE] += int((total - window.counts).sum())
        return +discarded

    def cover(self, part: Part, from_utc_ns: int, to_utc_ns: int) -> None:
        """Note that `part` held from one instant to the other (UTC nanoseconds)."""
        at = max(from_utc_ns, self.next_start * NS)
        if self.until is not None:
            to_utc_ns = min(to_utc_ns, self.until * NS)
        while at < to_utc_ns:
            start = at // self._window_ns * self._window_ns
            until = min(to_utc_ns, start + self._window_ns)
            self._window(start // NS).covered_ns[part] += until - at
            at = until

    def step(self, before_utc_ns: int, after_utc_ns: int) -> None:
        """UTC was stepped: every window up to the one in progress at the later of both instants has no numbers."""
        later = max(before_utc_ns, after_utc_ns) // self._window_ns * self._window_ns // NS
        self._stepped_until = max(self._stepped_until, later + self.stream.window_s)

    def stop(self, at_utc_ns: int) -> None:
        """A stop order: no window that has not closed yet has numbers, up to the one in progress."""
        in_progress = at_utc_ns // self._window_ns * self._window_ns // NS
        self._stopped_until = max(self._stopped_until, in_progress + self.stream.window_s)

    def close(self) -> Closed:
        """Close the next window, whatever the time is."""
        start = self.next_start
        window = self._open.pop(start, None) or _Open(len(self.stream.classes))
        self.next_start += self.stream.window_s
        running, gate, board = (min(ns, self._window_ns) for ns in window.covered_ns)
        steps = 100 // COVERAGE_STEP_PERCENT
        return Closed(
            start=start,
            counts=window.counts,
            coverage_percent=board * steps // self._window_ns * COVERAGE_STEP_PERCENT,
            reason=self._reason(start, running, gate, board),
        )

    def skip_to(self, start: int) -> int:
        """Give up every window before `start`, which lies in the future of the next one; returns the readings they held."""
        self.next_start = start = start if self.until is None else min(start, self.until)
        given_up = [self._open.pop(old) for old in list(self._open) if old < start]
        return sum(int(window.counts.sum()) for window in given_up)

    def _reason(self, start: int, running: int, gate: int, board: int) -> NotCollected | None:
        if start < self._stepped_until:
            return NotCollected.CLOCK
        if start < self._stopped_until:
            return NotCollected.STOPPED
        for part, reason in ((running, NotCollected.RESTART), (gate, NotCollected.GATE), (board, NotCollected.BOARD)):
            if 2 * part < self._window_ns:
                return reason
        return None

    def _window(self, start: int) -> _Open:
        window = self._open.get(start)
        if window is None:
            window = self._open[start] = _Open(len(self.stream.classes))
        return window


def window_start(utc_ns: int, window_s: int) -> int:
    """Start (Unix seconds) of the window that holds an instant."""
    return utc_ns // NS // window_s * window_s


def stepped(before: Moment, now: Moment) -> bool:
    """Has UTC been stepped against boot time between two looks?"""
    return abs(now.offset_ns - before.offset_ns) > MAX_STEP_NS
