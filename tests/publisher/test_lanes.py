"""PB-9, PB-10, PB-19, PB-20: two lanes over one log. What is logged is sent, whatever ends when, and what is late is marked."""

import itertools
import json
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.contracts.log import NoticeServed
from agent.contracts.log_file import RELEASES
from agent.local.clock import OPERATOR, Clock
from agent.publisher.backlog import Backlog, Due
from agent.publisher.message import expiry_s
from agent.publisher.pace import Pace
from tests.brokers import Mosquitto
from tests.publisher.listeners import Heard, Listener
from tests.publisher.unit_folders import STREAM, WINDOW_S, PublisherProcess, UnitFolder, wait_until

DATA = f"agg/{STREAM}"


def connected(unit: UnitFolder) -> Backlog:
    """A backlog over the unit's files, as when a connection begins."""
    backlog = Backlog(unit.log, unit.shown, unit.cursor)
    backlog.look()
    return backlog


def send_next(backlog: Backlog, mid: int) -> Due:
    due = backlog.due()
    assert due is not None
    backlog.sent(due, [mid])
    return due


def test_what_is_new_goes_before_the_backlog(unit: UnitFolder) -> None:
    """PB-19: the backlog in log order and late, a live one at once, both with their place in the log."""
    unit.release_windows(0, 3)
    backlog = connected(unit)
    assert backlog.behind
    assert not backlog.caught_up  # all are read, none is sent
    first = send_next(backlog, 1)
    unit.release_windows(3, 1)
    backlog.look()
    following = [send_next(backlog, mid) for mid in (2, 3)]
    assert not backlog.caught_up
    following.append(send_next(backlog, 4))
    assert [(due.index, due.late) for due in (first, *following)] == [(0, True), (3, False), (1, True), (2, True)]
    assert backlog.due() is None
    assert backlog.caught_up


def test_the_cursor_keeps_both_positions(unit: UnitFolder) -> None:
    """PB-10: a live Release that was acknowledged is not sent again though the backlog before it is not through."""
    unit.release_windows(0, 3)
    backlog = connected(unit)
    unit.release_windows(3, 2)
    backlog.look()
    for mid in (1, 2, 3):
        send_next(backlog, mid)
    for mid in (1, 2, 3):  # entries 3 and 4, live, and 0, late
        backlog.acknowledge(mid)
    backlog.store(at_once=True)
    assert backlog.progress.acknowledged == 3
    again = connected(unit)
    assert again.length == 2
    dues = [send_next(again, mid) for mid in (1, 2)]
    assert [(due.index, due.late) for due in dues] == [(1, True), (2, True)]
    assert again.due() is None
    for mid in (1, 2):
        again.acknowledge(mid)
    assert not again.behind
    assert again.progress.backlog == again.progress.live
    assert again.length == 0


def test_nothing_is_acknowledged_by_a_hole(unit: UnitFolder) -> None:
    """PB-9: in either lane a position passes an entry only after all before it."""
    unit.release_windows(0, 2)
    backlog = connected(unit)
    unit.release_windows(2, 2)
    backlog.look()
    indexes = [send_next(backlog, mid).index for mid in range(4)]
    assert indexes == [2, 3, 0, 1]
    for mid in (1, 3):
        backlog.acknowledge(mid)
    assert backlog.progress.acknowledged == 0
    backlog.acknowledge(0)
    assert backlog.progress.acknowledged == 2


def test_entries_that_are_no_releases_hold_nothing_up(unit: UnitFolder) -> None:
    """PB-8: a backlog of such entries alone is over without a message."""
    unit.append(*(NoticeServed(unit.disclosure.digest, 5, at) for at in range(3)))
    backlog = connected(unit)
    assert backlog.due() is None
    assert not backlog.behind
    assert backlog.length == 0


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("log"), st.integers(1, 3)),
        st.tuples(st.just("send"), st.integers(1, 5)),
        st.tuples(st.just("acknowledge"), st.integers(0, 5)),
        st.tuples(st.sampled_from(["store", "reconnect", "kill"]), st.just(0)),
    ),
    max_size=40,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_nothing_is_lost_whatever_ends_when(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    """PB-9, PB-10: any order of logging, sending, acknowledging, writing, new connections and SIGKILLs; then everything is acknowledged.

    The model knows only which entries a broker has acknowledged: the cursor may never hold another one for acknowledged.
    """
    unit = UnitFolder(tmp_path_factory.mktemp("lanes") / "unit")
    backlog = connected(unit)
    taken: set[int] = set()
    in_flight: dict[int, int] = {}
    mids = iter(range(1, 10**6))

    def send() -> bool:
        backlog.look()
        due = backlog.due()
        if due is not None:
            mid = next(mids)
            backlog.sent(due, [mid])
            in_flight[mid] = due.index
        return due is not None

    def acknowledge(place: int) -> None:
        mid = list(in_flight)[place % len(in_flight)]
        taken.add(in_flight.pop(mid))
        backlog.acknowledge(mid)

    for step, number in steps:
        match step:
            case "log":
                unit.release_windows(unit.head.size, number)
            case "send":
                for _ in range(number):
                    send()
            case "acknowledge" if in_flight:
                acknowledge(number)
            case "store":
                backlog.store(at_once=True)
            case "reconnect":
                in_flight.clear()
                backlog.rewind()
                backlog.look()
            case "kill":
                in_flight.clear()
                backlog = connected(unit)
        progress = backlog.progress
        claimed = {*range(progress.backlog.entries), *range(progress.live_from, progress.live.entries)}
        assert claimed <= taken
    while send() or in_flight:
        while in_flight:
            acknowledge(0)
    assert taken == set(range(unit.head.size))
    assert backlog.length == 0
    assert not backlog.behind


def test_a_log_put_in_the_others_place_is_sent_whole(tmp_path: Path, unit: UnitFolder) -> None:
    """PB-11: also when the live lane has no proof of its own position yet."""
    unit.release_windows(0, 5)
    backlog = connected(unit)
    other = UnitFolder(tmp_path / "other")
    other.append(NoticeServed(unit.disclosure.digest, 5, 1))
    other.release_windows(100, 9)
    (other.log / RELEASES).rename(unit.log / RELEASES)
    other.shown.rename(unit.shown)
    sent: set[int] = set()
    deadline = time.monotonic() + 25
    while len(sent) < 9 and time.monotonic() < deadline:
        backlog.look()
        if (due := backlog.due()) is None:
            time.sleep(0.05)
            continue
        if due.release.window_start >= other.release(100).window_start:
            sent.add(due.index)
        backlog.sent(due, [due.index + 1])
        backlog.acknowledge(due.index + 1)
    assert sent == set(range(1, 10))


def test_the_pace_is_kept_and_uneven() -> None:
    """PB-19: over time no more than so many a second, at intervals of half to one and a half."""
    pace, now, at = Pace(10), 100.0, []
    for number in range(256):
        now += pace.wait_s(now)
        at.append(now)
        pace.spend(now, (number * 167) % 256)
    steps = [after - before for before, after in itertools.pairwise(at)]
    assert 0.0499 <= min(steps) < 0.06
    assert 0.14 < max(steps) <= 0.1501
    assert at[-1] - at[0] == pytest.approx(25.5, rel=0.01)


@pytest.mark.parametrize(
    ("age_s", "late", "trusted", "expected"),
    [(0, False, True, 600), (1000, False, True, 600), (0, True, True, 600), (590, True, True, 10), (600, True, True, 0),
     (9000, True, True, -8400), (-50, True, True, 600), (9000, True, False, 600)],
)  # fmt: skip
def test_an_expiry_is_what_is_left_of_the_policys(
    unit: UnitFolder, age_s: int, late: bool, trusted: bool, expected: int
) -> None:
    """PB-20: the policy says how old a number may get before it is collected; an untrusted clock takes nothing away."""
    release = unit.release(0)
    now_s = release.window_start + release.window_s + age_s
    found = expiry_s(release, collect_within_s=600, late=late, now_s=now_s if trusted else None)
    assert found == expected


def test_on_the_wire(tmp_path: Path, unit: UnitFolder) -> None:
    """PB-19: late ones say so, live ones do not and come while the backlog drains; `state` says when the backlog is over."""
    expected = unit.release_windows(0, 12)
    with Mosquitto(tmp_path) as broker, Listener(broker.port) as city:
        unit.configure(broker.port, backlog_per_s=4)
        with PublisherProcess(unit):
            wait_until(lambda: len(city.heard(DATA)) >= 2, "the backlog's first")
            live = unit.release_windows(20, 1)
            wait_until(lambda: len(city.heard(DATA)) >= 13, "everything")
            wait_until(lambda: not json.loads(city.payloads("/state")[-1])["backlog"], "the end of the backlog")
            live += unit.release_windows(21, 1)
            wait_until(lambda: len(city.heard(DATA)) >= 14, "the next one")
    assert json.loads(city.payloads("/state")[0])["backlog"]
    heard = city.heard(DATA)
    assert [h.payload for h in heard if late(h)] == expected
    assert [h.payload for h in heard if not late(h)] == live
    assert heard.index(next(h for h in heard if h.payload == live[0])) < 12  # it did not wait for the backlog
    assert all("log-index" in h.user_properties for h in heard)


def test_too_old_for_the_policy(tmp_path: Path, unit: UnitFolder) -> None:
    """PB-20: what is older than collect_within stays in the log, is not sent, and holds nothing up; the rest has what is left."""
    collect_within_s = 10 * WINDOW_S
    now_s = Clock(OPERATOR).utc_ns() // 10**9
    first_start = now_s - now_s % WINDOW_S - 14 * WINDOW_S
    for number in range(14):  # windows that ended 13, 12, … 0 windows ago
        unit.append(unit.release(0, window_start=first_start + number * WINDOW_S))
    unit.announce(clock_trusted=True, collect_within_s=collect_within_s)
    with Mosquitto(tmp_path) as broker, Listener(broker.port) as city:
        unit.configure(broker.port)
        with PublisherProcess(unit):
            wait_until(lambda: unit.passed() == 14, "the cursor")
            wait_until(lambda: '"too_old": "1+"' in unit.status(), "the status")
    heard = city.heard(DATA)
    assert 9 <= len(heard) <= 11  # one more or less when a window ends meanwhile
    starts = [json.loads(h.payload)[0]["bt"] for h in heard]
    for start, message in zip(starts, heard, strict=True):
        assert message.expiry_s is not None
        left_s = start + WINDOW_S + collect_within_s - now_s
        assert left_s - 60 <= message.expiry_s <= left_s


def late(heard: Heard) -> bool:
    return heard.user_properties.get("late") == "true"
