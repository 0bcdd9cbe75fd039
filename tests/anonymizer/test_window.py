"""Tumbling windows: where a reading falls, what is discarded and why, what coverage a window has."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.anonymizer.window import NS, Discard, Moment, Part, StreamWindows, stepped, window_start
from agent.contracts.aggregate import NotCollected
from agent.policy.enforcement import count_privacy
from tests.anonymizer.stage import make_policy

STREAM = make_policy(window=5).streams[0]
START = 1_800_000_000
HALF = 5 * NS // 2


def windows(first: int = START) -> StreamWindows:
    return StreamWindows(STREAM, first)


def put(into: StreamWindows, readings: list[tuple[int, int]], now_ns: int) -> dict[Discard, int]:
    times = np.array([START * NS + at for at, _ in readings], dtype=np.int64)
    classes = np.array([number for _, number in readings], dtype=np.int64)
    return dict(into.count(times, classes, START * NS + now_ns))


def covered(into: StreamWindows, running: int, gate: int, board: int, start: int = START) -> None:
    for part, ns in zip(Part, (running, gate, board), strict=True):
        into.cover(part, start * NS, start * NS + ns)


def test_windows_are_aligned_to_utc() -> None:
    """AN-1."""
    assert window_start((START + 4) * NS + 999_999_999, 5) == START
    assert window_start((START + 5) * NS, 5) == START + 5


def test_a_reading_falls_into_the_window_that_holds_its_instant() -> None:
    """AN-1: first and last nanosecond included, the next one not."""
    w = windows()
    assert put(w, [(0, 0), (5 * NS - 1, 1), (5 * NS, 0)], 6 * NS) == {}
    assert w.close().counts.tolist() == [1, 1]
    assert w.close().counts.tolist() == [1, 0]
    assert w.close().counts.tolist() == [0, 0]


def test_discards_have_reasons() -> None:
    """AN-2: late, future, of an unknown class, over the rate."""
    w = windows()
    w.close()
    assert put(w, [(5 * NS - 1, 0), (7 * NS, 0), (8 * NS, 0), (6 * NS, -1), (4 * NS, -1)], 7 * NS) == {
        Discard.LATE: 1,
        Discard.FUTURE: 1,
        Discard.UNKNOWN_CLASS: 2,
    }
    assert w.pending == 1
    flood = [(6 * NS, 1)] * (count_privacy(STREAM).max_count + 7)
    assert put(w, flood, 7 * NS) == {Discard.OVER_RATE: 7}
    assert put(w, flood[:3], 7 * NS) == {Discard.OVER_RATE: 3}
    assert w.close().counts.tolist() == [1, count_privacy(STREAM).max_count]


@given(
    st.lists(st.lists(st.tuples(st.integers(-(10 * NS), 30 * NS), st.integers(-1, 1)), max_size=40), max_size=6),
    st.integers(0, 4),
)
def test_every_reading_is_counted_or_discarded(batches: list[list[tuple[int, int]]], closings: int) -> None:
    """AN-2: conservation, whatever the times and classes."""
    w = windows()
    sent = closed = discarded = 0
    for number, batch in enumerate(batches):
        sent += len(batch)
        discarded += sum(put(w, batch, 12 * NS).values())
        if number < closings:
            closed += int(w.close().counts.sum())
    assert sent == closed + discarded + w.pending


@pytest.mark.parametrize(
    ("running", "gate", "board", "percent", "reason"),
    [
        (5 * NS, 5 * NS, 5 * NS, 100, None),
        (5 * NS, 5 * NS, 5 * NS - 1, 95, None),
        (5 * NS, 5 * NS, HALF, 50, None),
        (5 * NS, 5 * NS, HALF - 1, 45, NotCollected.BOARD),
        (5 * NS, HALF - 1, HALF - 1, 45, NotCollected.GATE),
        (HALF - 1, HALF - 1, HALF - 1, 45, NotCollected.RESTART),
        (5 * NS, 5 * NS, 0, 0, NotCollected.BOARD),
        (5 * NS, 0, 0, 0, NotCollected.GATE),
        (0, 0, 0, 0, NotCollected.RESTART),
    ],
)
def test_coverage_and_reason(running: int, gate: int, board: int, percent: int, reason: NotCollected | None) -> None:
    """AN-3: twentieths, rounded down; under half is not collected, and what failed first is the reason."""
    w = windows()
    covered(w, running, gate, board)
    put(w, [(0, 0)] * 3, NS)
    closed = w.close()
    assert (closed.coverage_percent, closed.reason) == (percent, reason)


def test_coverage_is_split_at_window_ends_and_capped() -> None:
    """AN-3."""
    w = windows()
    for part in Part:
        w.cover(part, (START - 3) * NS, (START + 8) * NS)
        w.cover(part, (START - 3) * NS, (START + 2) * NS)
    assert w.close().coverage_percent == 100
    closed = w.close()
    assert (closed.coverage_percent, closed.start) == (60, START + 5)


@pytest.mark.parametrize(("before", "after", "spoiled"), [(2, 3600, 721), (3600, 2, 721), (2, 4, 1), (4, 6, 2)])
def test_a_step_spoils_every_window_up_to_the_later_instant(before: int, after: int, spoiled: int) -> None:
    """AN-4: both directions."""
    w = windows()
    w.step((START + before) * NS, (START + after) * NS)
    for number in range(spoiled + 1):
        covered(w, 5 * NS, 5 * NS, 5 * NS, START + 5 * number)
        assert w.close().reason == (NotCollected.CLOCK if number < spoiled else None), number


def test_a_step_is_more_than_a_second_against_boot_time() -> None:
    """AN-4."""
    before = Moment(0, 100 * NS)
    assert not stepped(before, Moment(5 * NS, 106 * NS))
    assert stepped(before, Moment(5 * NS, 106 * NS + 1))
    assert not stepped(before, Moment(5 * NS, 104 * NS))
    assert stepped(before, Moment(5 * NS, 104 * NS - 1))


def test_closing_is_at_the_end_and_grace() -> None:
    """AN-1."""
    assert windows().closes_at_ns == (START + 5) * NS + NS // 5


def test_skipping_gives_up_what_was_held() -> None:
    w = windows()
    put(w, [(0, 0), (6 * NS, 0), (11 * NS, 0)], 12 * NS)
    assert w.skip_to(START + 10) == 2
    assert w.pending == 1
    assert w.close().start == START + 10
