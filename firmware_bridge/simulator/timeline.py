"""The simulated street's time: slots of counted crossings, walked at any speed. Pure.

A slot is a stretch of calendar (an hour of a file, a minute of the model) with its crossings. The timeline plays slots one
after another without the gaps between them: a replayed calendar jumps over hours that its file lacks.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Slot:
    """`crossings` are (milliseconds after `starts_at`, class index) in order, each under `length_ms`. Local wall time, naive."""

    starts_at: datetime
    length_ms: int
    crossings: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Crossing:
    """One crossing taken from the timeline, `before_ms` calendar milliseconds before the end of the step."""

    before_ms: int
    class_index: int


class Timeline:
    """Walks `slots`; when they end, time stands still."""

    def __init__(self, slots: Iterator[Slot]) -> None:
        self._slots = slots
        self._slot = next(slots, None)
        self._at_ms = 0  # within the slot
        self._next = 0  # the next crossing of the slot
        self._last = datetime.min  # noqa: DTZ901  # local wall time, naive as every slot's

    @property
    def now(self) -> datetime:
        """The calendar: where the walk stands."""
        return self._last if self._slot is None else self._slot.starts_at + timedelta(milliseconds=self._at_ms)

    @property
    def ended(self) -> bool:
        """Has everything been walked?"""
        return self._slot is None

    def advance(self, by_ms: int) -> list[Crossing]:
        """Walk `by_ms` calendar milliseconds on and return what crossed, in order."""
        taken: list[Crossing] = []
        left_ms = by_ms
        while left_ms > 0 and self._slot is not None:
            slot = self._slot
            step_ms = min(left_ms, slot.length_ms - self._at_ms)
            end_ms = self._at_ms + step_ms
            left_ms -= step_ms
            while self._next < len(slot.crossings) and slot.crossings[self._next][0] < end_ms:
                at_ms, class_index = slot.crossings[self._next]
                taken.append(Crossing(end_ms - at_ms + left_ms, class_index))
                self._next += 1
            self._at_ms = end_ms
            if end_ms == slot.length_ms:
                self._last = slot.starts_at + timedelta(milliseconds=slot.length_ms)
                self._slot = next(self._slots, None)
                self._at_ms = self._next = 0
        return taken


def spread(counts: tuple[int, ...], length_ms: int) -> tuple[tuple[int, int], ...]:
    """Exactly `counts[i]` crossings of class i within `length_ms`, evenly and deterministically, in order of time.

    Times follow the base-2 van der Corput sequence (Niederreiter 1992, section 3.1), shifted by a golden-ratio phase a class so
    that classes do not cross in step. No random numbers are needed, and any part of the hour gets its share.
    """
    golden = 0x9E3779B9  # 2^32 / phi: phases of neighbouring classes lie far apart
    crossings = []
    for class_index, count in enumerate(counts):
        phase = class_index * golden
        for i in range(count):
            fraction = (_van_der_corput_32(i) + phase) & 0xFFFFFFFF
            crossings.append((fraction * length_ms >> 32, class_index))
    crossings.sort()
    return tuple(crossings)


def _van_der_corput_32(i: int) -> int:
    """The bits of `i` mirrored at the point, times 2^32."""
    return int(f"{i & 0xFFFFFFFF:032b}"[::-1], 2)
