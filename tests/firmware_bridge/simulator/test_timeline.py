"""FB-20: crossings spread over their slots, and the calendar's walk."""

from datetime import datetime

from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.simulator.timeline import Slot, Timeline, spread

HOUR_MS = 3_600_000


@given(st.lists(st.integers(0, 800), max_size=5).map(tuple), st.sampled_from([60_000, HOUR_MS]))
def test_spread_gives_exactly_the_counts_in_order_inside_the_slot(counts: tuple[int, ...], length_ms: int) -> None:
    crossings = spread(counts, length_ms)
    assert [sum(1 for _, i in crossings if i == number) for number in range(len(counts))] == list(counts)
    assert list(crossings) == sorted(crossings)
    assert all(0 <= at < length_ms for at, _ in crossings)


def test_spread_is_even_and_repeats() -> None:
    crossings = spread((600, 60), HOUR_MS)
    assert crossings == spread((600, 60), HOUR_MS)
    quarters = [sum(1 for at, i in crossings if i == 0 and at * 4 // HOUR_MS == quarter) for quarter in range(4)]
    assert max(quarters) - min(quarters) <= 2
    assert len({at for at, _ in crossings}) > 600  # not all at once


@given(st.lists(st.integers(1, 2 * HOUR_MS), min_size=1, max_size=50), st.integers(0, 300))
def test_any_steps_walk_the_same_crossings(steps: list[int], count: int) -> None:
    """Conservation: however the walk is cut, each crossing is taken once, with its true time before the step's end."""
    first, second = datetime(2024, 1, 1, 5), datetime(2024, 1, 1, 9)  # noqa: DTZ001  # wall time
    slots = [Slot(first, HOUR_MS, spread((count,), HOUR_MS)), Slot(second, HOUR_MS, spread((count, 2), HOUR_MS))]
    timeline = Timeline(iter(slots))
    walked, taken = 0, []
    for step in [*steps, 2 * HOUR_MS]:
        walked += step
        taken += [(walked - crossing.before_ms, crossing.class_index) for crossing in timeline.advance(step)]
    assert taken == [*slots[0].crossings, *((HOUR_MS + at, i) for at, i in slots[1].crossings)]
    assert timeline.ended
    assert timeline.now.hour == 10


def test_the_calendar_jumps_over_what_is_not_there() -> None:
    first, second = datetime(2024, 1, 1, 5), datetime(2024, 1, 3, 9)  # noqa: DTZ001  # wall time
    timeline = Timeline(iter([Slot(first, HOUR_MS, ()), Slot(second, HOUR_MS, ())]))
    timeline.advance(HOUR_MS + 60_000)
    assert timeline.now.isoformat() == "2024-01-03T09:01:00"
