"""The built-in street: a lively start, a day and a week profile, whole crossings that add up."""

import itertools
from collections import Counter
from datetime import datetime

from firmware_bridge.simulator import street


def by_hour(starts_at: datetime, hours: int) -> list[Counter[str]]:
    slots = list(itertools.islice(street.slots(starts_at), hours * 60))
    return [
        Counter(street.CLASSES[i] for slot in slots[hour * 60 : hour * 60 + 60] for _, i in slot.crossings)
        for hour in range(hours)
    ]


def test_every_hour_adds_up_to_its_expectation_within_one() -> None:
    monday = datetime(2025, 9, 1)  # noqa: DTZ001  # wall time
    week = by_hour(monday, 7 * 24)
    assert abs(week[8]["bike"] - 240) <= 1
    assert abs(week[2]["vehicle"] - 15) <= 1
    assert abs(week[5 * 24 + 8]["bike"] - 55) <= 1  # Saturday has no commuters
    assert abs(sum(hour["person"] for hour in week[:24]) - 3964) <= 1


def test_a_demo_shows_something_at_once() -> None:
    first = next(iter(by_hour(street.STARTS_AT, 1)))
    assert set(first) == set(street.CLASSES)
    assert sum(first.values()) > 600
