"""The log tells what the gate did and which boards said hello (AN-120 to AN-124)."""

import dataclasses
import itertools
from collections.abc import Sequence

import pytest

from agent.anonymizer.board_history import MAX_A_DAY, MAX_BOARDS, BoardHistory
from agent.anonymizer.gate_history import GateHistory, Telling
from agent.anonymizer.ledger import Ledger
from agent.anonymizer.window import NS
from agent.contracts.board_seen import MAX_FIRMWARE_CHARACTERS, BoardSeen, seen
from agent.contracts.gate_log import MAX_CHANGES, Change, GateChanges
from agent.contracts.lease import Lease, OnAir
from agent.contracts.log import Carried, Entry, Gap, Release, decode_entry, newest_instant
from agent.contracts.public import Reason
from agent.contracts.reading import Kind
from tests.anonymizer.stage import BOARD, make_policy, message
from tests.anonymizer.worlds import START_S, World

DAY_NS = 86_400 * NS


def told(entries: Sequence[Entry]) -> list[GateChanges]:
    return [entry for entry in entries if isinstance(entry, GateChanges)]


def boards(entries: Sequence[Entry]) -> list[BoardSeen]:
    return [entry for entry in entries if isinstance(entry, BoardSeen)]


# --- the gate -----------------------------------------------------------------------------------------------------------


def test_the_first_release_of_a_process_comes_after_how_the_gate_stood_since_its_start() -> None:
    """AN-120: in the same append, and after what a start says was lost."""
    world = World(make_policy(notice="2 seconds"))
    world.run(6)
    world.boot_ns += 9 * NS
    world.restart()
    world.look()
    world.run(3)
    first, second = told(world.entries)
    assert first == GateChanges(
        START_S,
        (
            Change(START_S, Reason.NO_POLICY),
            Change(START_S, Reason.NO_LEASE),
            Change(START_S, Reason.ON_NOTICE),
            Change(START_S + 2, Reason.OPEN),
        ),
    )
    assert second == GateChanges(
        START_S + 15, (Change(START_S + 15, Reason.NO_LEASE), Change(START_S + 15, Reason.OPEN))
    )
    place = world.entries.index(second)
    assert isinstance(world.entries[place - 1], Gap)
    assert isinstance(world.entries[place + 1], BoardSeen)
    assert isinstance(world.entries[place + 2], Release)


def test_only_what_changed_is_told() -> None:
    """AN-120: nothing while the gate stays as it is; each entry goes on from the last state that the log tells."""
    world = World(make_policy(notice="2 seconds"))
    world.run(20)
    assert len(told(world.entries)) == 1
    world.on_air = False
    world.run(20)
    world.on_air = True
    world.run(20)
    first, *later = told(world.entries)
    assert [each.changes[0] for each in later] == [first.last, *(each.last for each in later[:-1])]
    reasons = [change.reason for each in later for change in each.changes[1:]]
    assert reasons == [Reason.LEASE_LAPSED, Reason.OPEN]
    assert {each.began for each in told(world.entries)} == {START_S}
    assert len(world.entries) < 70


def test_a_lapse_is_dated_when_the_lease_lapsed_not_when_it_was_noticed() -> None:
    """AN-120, I6: readings wake the process, and when it looks must not show in the log."""
    instants = set()
    for late, why in itertools.product((0.01, 0.9, 1.6), (Reason.LEASE_LAPSED, Reason.LEASE_MISMATCH)):
        world = World(make_policy(notice="2 seconds"))
        world.run(10)
        world.on_air = False
        world.tick(9.5)
        if why is Reason.LEASE_MISMATCH:  # another beacon goes on
            world.collection.lease_message(2, Lease(bytes(32), OnAir.ADVERTISING, world.boot_ns).encode())
        world.tick(0.5 + late)
        assert world.reason() is why
        world.run(3)
        instants.add(told(world.entries)[-1].last.at)
        assert world.collection.since in instants
    assert instants == {START_S + 20}


def test_readings_change_nothing_of_it() -> None:
    """I6: the same hours with other readings give the same entries in the same places."""
    lives = []
    for many in (0, 500):
        world = World(make_policy(notice="2 seconds"))
        for second in range(40):
            world.on_air = second not in range(12, 28)
            if many:
                world.count([0, 1] * many)
            world.run(1)
        lives.append([(type(e), e if isinstance(e, GateChanges | BoardSeen) else None) for e in world.entries])
    assert lives[0] == lives[1]
    assert len(told([e for _, e in lives[0] if e is not None])) > 2


@pytest.mark.parametrize("room", [False, True])
def test_what_could_not_be_logged_is_told_with_the_next_releases(room: bool) -> None:
    """AN-121: nothing is forgotten with an append that failed, and after a Gap the log says how the gate stands."""
    world = World(make_policy(notice="2 seconds"))
    world.run(10)
    world.on_air = False
    world.run(12)
    before = len(world.entries)
    world.fail_to_log(room=room)
    world.on_air = True
    world.run(4)
    after = world.entries[before:]
    assert isinstance(after[0], Gap)
    (changes,) = told(after)
    assert changes.changes[0] == told(world.entries[:before])[-1].last
    assert changes.last.reason is Reason.OPEN
    assert next(i for i, e in enumerate(after) if e is changes) < next(
        i for i, e in enumerate(after) if isinstance(e, Release)
    )


def test_each_gap_and_each_bundle_is_followed_by_how_the_gate_stands() -> None:
    """AN-121: so who reads a log from the middle on learns it before long, and a start cannot leave it open."""
    world = World(make_policy(notice="2 seconds"))
    world.run(700)
    places = [i for i, entry in enumerate(world.entries) if isinstance(entry, Carried)]
    assert len(places) == 2
    for place in places:
        assert any(isinstance(entry, GateChanges) for entry in world.entries[place : place + 3])
    assert len(told(world.entries)) == 3
    Ledger(world.entries)
    history = GateHistory()
    history.note(5, Reason.OPEN, measuring=True)
    telling = Telling(history)
    gap = Gap("crossings", 0, 1, 3, None)
    assert list(telling.due([])) == [GateChanges(5, (Change(5, Reason.OPEN),))]
    assert list(telling.due([])) == []
    assert list(telling.due([gap])) == [GateChanges(5, (Change(5, Reason.OPEN),))]
    history.logged([GateChanges(5, (Change(5, Reason.OPEN),)), gap])
    assert list(Telling(history).due([])) == [GateChanges(5, (Change(5, Reason.OPEN),))]


def test_a_gate_that_flaps_fills_no_card() -> None:
    """AN-122: 64 changes an entry, the others in sum with the time open in them; the entry after it goes on from there."""
    history = GateHistory()
    history.note(START_S, Reason.NO_LEASE, measuring=True)
    for second in range(1, 2001):
        history.note(START_S + 3 * second, Reason.OPEN, measuring=True)
        history.note(START_S + 3 * second + 1, Reason.LEASE_CLOSED, measuring=True)
    entry = history.entry()
    assert entry is not None
    assert entry.further is not None
    assert len(entry.changes) == MAX_CHANGES
    assert entry.further.count == 4001 - MAX_CHANGES
    assert entry.further.open_s == 2000 - sum(change.reason is Reason.OPEN for change in entry.changes[:-1])
    assert len(entry.encode()) < 2048
    assert decode_entry(entry.encode()) == entry
    assert entry.last.at == START_S + 6001
    assert newest_instant(entry) == 0, "what the log's end is known by, a window says"
    history.logged([entry])
    assert history.entry() is None
    history.note(START_S + 7000, Reason.OPEN, measuring=True)
    assert history.entry() == GateChanges(
        START_S, (Change(START_S + 6001, Reason.LEASE_CLOSED), Change(START_S + 7000, Reason.OPEN))
    )


def test_instants_never_go_back() -> None:
    """AN-122: a clock that is set back while windows are open takes effect when it has caught up; before there are any a new history begins."""
    history = GateHistory()
    history.note(None, Reason.CLOCK_UNTRUSTED, measuring=False)
    assert history.entry(anew=True) is None
    history.note(2_000_000_000, Reason.NO_POLICY, measuring=False)
    history.note(1_900_000_000, Reason.NO_POLICY, measuring=False)
    assert history.entry() == GateChanges(1_900_000_000, (Change(1_900_000_000, Reason.NO_POLICY),))
    history.note(1_900_000_010, Reason.OPEN, measuring=True)
    history.note(1_900_000_020, Reason.OPEN, measuring=True)
    history.note(1_900_000_015, Reason.CLOCK_BACKWARDS, measuring=True)
    history.note(None, Reason.CLOCK_UNTRUSTED, measuring=True)
    history.note(1_900_000_022, Reason.OPEN, measuring=True)
    entry = history.entry()
    assert entry is not None
    assert [change.at - 1_900_000_000 for change in entry.changes] == [0, 10, 20, 20, 22]


# --- boards -------------------------------------------------------------------------------------------------------------


def test_a_board_is_named_once_and_again_when_its_firmware_changed() -> None:
    """AN-123: with the next Releases; never by its id."""
    world = World(make_policy(notice="2 seconds"))
    world.run(10)
    world.unplug()
    world.run(5)
    assert boards(world.entries) == [seen(BOARD, START_S)]
    newer = dataclasses.replace(BOARD, firmware="1.1", firmware_hash=bytes(31) + b"\1")
    world.deliver(message(Kind.BOARD, newer.encode()))
    at = world.utc_s
    world.tick()
    world.run(2)
    assert boards(world.entries)[1:] == [seen(newer, at)]
    assert b"sim" not in boards(world.entries)[1].encode()
    world.restart()
    world.look()
    world.run(3)
    assert len(boards(world.entries)) == 3


def test_a_board_that_says_something_else_every_second_fills_no_card() -> None:
    """AN-124: eight entries a day at most, the newest of each board, and that others were not logged; memory is bounded."""
    history, logged = BoardHistory(), 0
    for second in range(3 * 86_400 // 60):
        now_ns = second * 60 * NS
        history.meet(dataclasses.replace(BOARD, firmware=f"v{second}", board_id=f"b{second % 40}"), START_S + second)
        for entry in history.entries(now_ns, START_S + second):
            history.logged(entry, now_ns)
            logged += 1
    assert logged == 3 * MAX_A_DAY
    (first, *_) = history.entries(4 * DAY_NS, START_S + 5000)
    assert first.unsaid
    assert len(history._told) <= MAX_BOARDS >= len(history._untold)


def test_firmware_back_to_what_is_logged_is_no_news() -> None:
    """AN-124: what was in between is not, either."""
    history = BoardHistory()
    history.meet(BOARD, None)
    (entry,) = history.entries(0, START_S)
    assert entry == seen(BOARD, START_S)
    history.logged(entry, 0)
    history.meet(dataclasses.replace(BOARD, firmware="2"), START_S + 9)
    history.meet(BOARD, START_S + 10)
    assert history.entries(NS, START_S + 11) == ()


@pytest.mark.parametrize("said", ["\u202e\u0665", "a" * 64, "1.0\"\\'", "é"])
def test_what_a_board_says_is_made_plain(said: str) -> None:
    """AN-123: printable ASCII, one line, 32 characters, no quotes; nothing else is read as such an entry."""
    entry = seen(dataclasses.replace(BOARD, firmware=said), START_S)
    assert entry.firmware.isascii()
    assert entry.firmware.isprintable()
    assert 0 < len(entry.firmware) <= MAX_FIRMWARE_CHARACTERS
    assert not {*"\"'\\"} & {*entry.firmware}
    assert decode_entry(entry.encode()) == entry


def test_a_hello_under_a_clock_that_was_wrong_is_not_dated_in_the_future() -> None:
    """AN-123: nothing that the log says may be later than the windows it stands before."""
    history = BoardHistory()
    history.meet(BOARD, 2_000_000_000)
    (entry,) = history.entries(0, START_S)
    assert entry.at == START_S


def test_leases_are_not_needed_for_it() -> None:
    """A process whose gate never opened says why."""
    world = World(make_policy(notice="2 seconds"))
    world.run(6)
    world.on_air = False
    world.restart()
    world.look()
    world.run(3)
    last = told(world.entries)[-1]
    assert [change.reason for change in last.changes] == [Reason.NO_LEASE]
    world.collection.lease_message(1, Lease(bytes(32), OnAir.ADVERTISING, world.boot_ns).encode())
    world.run(2)
    assert told(world.entries)[-1].last.reason is Reason.LEASE_MISMATCH
