"""A street that does not exist: expected bikes, people and vehicles by hour and weekday, as individual crossings. Pure.

Shaped like the usual counts of a mixed street in a European city: two commuter peaks for bikes and vehicles on working days,
a broad midday for people, a later and flatter weekend.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from firmware_bridge.simulator.timeline import Slot, spread

CLASSES = ("bike", "person", "vehicle")

STARTS_AT = datetime(2025, 9, 3, 16, 30)  # noqa: DTZ001  # the street's own wall time, in no zone
"""A Wednesday before the evening rush, so that a demo shows something."""

SLOT_MIN = 1

# Expected crossings an hour, by hour of day.
_WORKING_DAY = {
    "bike": (4, 2, 1, 1, 3, 18, 70, 190, 240, 120, 70, 75, 90, 85, 80, 110, 190, 280, 210, 120, 70, 45, 25, 12),
    "person": (10, 5, 3, 2, 4, 15, 60, 160, 210, 190, 220, 260, 380, 360, 280, 270, 300, 360, 320, 230, 150, 95, 55, 25),
    "vehicle": (40, 22, 15, 14, 30, 110, 300, 480, 520, 400, 350, 350, 370, 370, 390, 440, 520, 560, 460, 320, 220, 150, 100, 65),
}  # fmt: skip  # one line a class reads as a table
_WEEKEND = {
    "bike": (12, 8, 5, 3, 2, 4, 10, 25, 55, 100, 150, 180, 190, 200, 200, 190, 170, 140, 110, 80, 55, 40, 30, 20),
    "person": (45, 35, 25, 15, 8, 8, 15, 40, 90, 170, 270, 340, 380, 400, 410, 390, 350, 300, 260, 220, 170, 130, 100, 70),
    "vehicle": (90, 70, 50, 35, 25, 30, 60, 110, 180, 260, 320, 350, 360, 360, 350, 340, 330, 320, 290, 240, 190, 160, 140, 110),
}  # fmt: skip  # as above


def slots(starts_at: datetime = STARTS_AT) -> Iterator[Slot]:
    """One slot a minute without end. Fractions carry over, so every hour's crossings add up to its expectation within one."""
    owed = [0] * len(CLASSES)  # sixtieths of a crossing
    at = starts_at
    while True:
        profile = _WEEKEND if at.weekday() >= 5 else _WORKING_DAY
        for i, name in enumerate(CLASSES):
            owed[i] += profile[name][at.hour] * SLOT_MIN
        counts = tuple(part // 60 for part in owed)
        owed = [part % 60 for part in owed]
        yield Slot(at, SLOT_MIN * 60_000, spread(counts, SLOT_MIN * 60_000))
        at += timedelta(minutes=SLOT_MIN)
