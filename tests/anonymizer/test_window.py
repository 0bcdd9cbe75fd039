"""Tumbling windows: where a reading falls, what is discarded and why, what coverage a window has."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.anonymizer.discard import Discard
from agent.anonymizer.rows import MAX_ROWS, Columns
from agent.anonymizer.window import NS, Moment, Part, StreamWindows, stepped, window_start
from agent.contracts.aggregate import NotCollected
from agent.local.randomness import fill_random
from tests.anonymizer.one_window import count_privacy
from tests.anonymizer.stage import make_policy

STREAM = make_policy(window=5).streams[0]
START = 1_800_000_000
HALF = 5 * NS // 2
NONE = len(STREAM.classes)
"""The class of a reading of no class."""


def windows(first: int = START) -> StreamWindows:
    return StreamWindows(STREAM, first, fill_random)


def put(into: StreamWindows, readings: list[tuple[int, int]], now_ns: int) -> dict[Discard, int]:
    times = np.array([START * NS + at for at, _ in readings], dtype=np.int64)
    classes = np.array([number for _, number in readings], dtype=np.int64)
    oldest, newest = (int(times.min()), int(times.max())) if readings else (0, 0)
    columns = Columns(classes, None, memoryview(b""), 0)
    return dict(into.count(times, columns, START * NS + now_ns, oldest_utc_ns=oldest, newest_utc_ns=newest))


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
    assert put(w, [(5 * NS - 1, 0), (7 * NS, 0), (8 * NS + 1, 0), (6 * NS, NONE), (4 * NS, NONE)], 7 * NS) == {
        Discard.LATE: 1,
        Discard.FUTURE: 1,
        Discard.UNKNOWN_CLASS: 2,
    }
    assert w.pending == 1
    assert put(w, [(8 * NS, 0)], 7 * NS) == {}, "stamped by the bridge after our look at the clock"
    flood = [(6 * NS, 1)] * (count_privacy(STREAM).max_count + 7)
    assert put(w, flood, 7 * NS) == {}
    assert put(w, flood[:3], 7 * NS) == {}
    closed = w.close()
    assert closed.counts.tolist() == [2, count_privacy(STREAM).max_count]
    assert (closed.readings, closed.over_rate) == (2 + count_privacy(STREAM).max_count, 10)


Reading = tuple[int, int]


def expected(
    batches: list[list[Reading]], closings: list[int], now_ns: int
) -> tuple[list[list[int]], dict[Discard, int]]:
    """What each window holds, and what was discarded, one reading at a time."""
    found: dict[int, list[int]] = {}
    discarded: dict[Discard, int] = {}
    next_window = 0
    most = count_privacy(STREAM).max_count
    for batch, closed in zip(batches, closings, strict=True):
        for at, number in batch:
            reason = None
            if number == NONE:
                reason = Discard.UNKNOWN_CLASS
            elif at > now_ns + NS:
                reason = Discard.FUTURE
            elif at // (5 * NS) < next_window:
                reason = Discard.LATE
            else:
                found.setdefault(at // (5 * NS), [0, 0])[number] += 1
            if reason is not None:
                discarded[reason] = discarded.get(reason, 0) + 1
        next_window += closed
    assert all(count <= most for row in found.values() for count in row)
    return [found.get(number, [0, 0]) for number in range(next_window)], discarded


@given(
    st.lists(
        st.tuples(
            st.lists(st.tuples(st.integers(-(10 * NS), 30 * NS), st.integers(0, 2)), max_size=40), st.integers(0, 3)
        ),
        max_size=6,
    ),
    st.sampled_from([12, 29, 5 * MAX_ROWS + 40]),
)
def test_any_readings_are_where_they_belong(life: list[tuple[list[Reading], int]], now_s: int) -> None:
    """AN-1, AN-2: whatever the times and classes, windows that close in blocks or alone hold what counting one by one says."""
    ahead = max(0, now_s - 30) * NS  # after a clock was set forward readings are further ahead than the block reaches
    batches = [[(at + ahead, number) for at, number in batch] for batch, _ in life]
    closings = [closed for _, closed in life]
    w = windows()
    said: dict[Discard, int] = {}
    rows: list[list[int]] = []
    for batch, closed in zip(batches, closings, strict=True):
        for reason, count in put(w, batch, now_s * NS).items():
            said[reason] = said.get(reason, 0) + count
        if closed:
            rows += w.close_block(closed).contents.tolist()
    found, discarded = expected(batches, closings, now_s * NS)
    assert (rows, said) == (found, discarded)
    closed_s, sent = sum(map(sum, rows)), sum(map(len, batches))
    assert sent == closed_s + sum(said.values()) + w.pending
    last = (now_s // 5) + 2
    while len(rows) < last:
        rows += [w.close().counts.tolist()]
    assert w.pending == 0
    assert sent == sum(map(sum, rows)) + sum(said.values())


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
