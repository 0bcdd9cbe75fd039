"""The whole anonymizer without sockets and files: any life of a unit."""

import dataclasses
import os
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.anonymizer.govern import charge_for
from agent.anonymizer.kinds import terms_for
from agent.anonymizer.ledger import Ledger
from agent.anonymizer.window import NS, Closed
from agent.contracts.aggregate import Cell, NotCollected
from agent.contracts.board import Channel
from agent.contracts.lease import Lease, OnAir
from agent.contracts.log import Charge, Entry, Gap, NoticeServed, PolicyOffered, PolicyTaken, Release
from agent.contracts.public import Reason
from agent.contracts.reading import HEADER, Kind
from agent.errors import BoardError, InvariantBroken, LogDamaged, MessageError, WindowReleased
from agent.policy.parse import parse_policy
from tests.anonymizer.one_window import govern
from tests.anonymizer.stage import BIKE, BOARD, DOG, FOOT, make_policy, message, policy_text, readings
from tests.anonymizer.worlds import START_S, World

POLICY = make_policy(window=5, notice="5 seconds")


def zero_noise(count: int) -> bytes:
    """Random bytes that make every draw 0: the middle of the unit interval."""
    return (2**63).to_bytes(8, "little") * (count // 8)


def opened(**more: object) -> World:
    """A unit whose gate has just opened, its clock at the beginning of a window."""
    world = World(POLICY, **more)  # type: ignore[arg-type]  # handed on
    world.run(10)
    assert world.reason() is Reason.OPEN
    return world


def test_notice_then_open() -> None:
    """AN-22: its notice under a lease, then NoticeServed and PolicyTaken in one append, and the gate opens."""
    world = World(make_policy(window=5, notice="30 seconds"))
    world.tick()
    assert world.reason() is Reason.ON_NOTICE
    world.on_air = False
    world.run(20)
    assert world.reason() is Reason.LEASE_LAPSED
    remaining = remaining_s(world)
    assert 15 < remaining < 25
    world.run(20)
    assert remaining_s(world) == remaining, "no lease, no notice"
    world.on_air = True
    world.run(remaining + 1)
    assert world.reason() is Reason.OPEN
    kinds = [type(entry) for entry in world.entries if not isinstance(entry, Release)]
    assert kinds == [PolicyOffered, NoticeServed, PolicyTaken]
    assert [e.seconds for e in world.entries if isinstance(e, NoticeServed)] == [30]


def remaining_s(world: World) -> int:
    """Notice still owed."""
    assert world.collection.notice is not None
    return world.collection.notice.remaining_s


def test_notice_counts_after_a_restart_only_as_far_as_it_is_logged() -> None:
    """AN-22: progress is logged every 900 s of valid lease."""
    world = World(make_policy(window=5, notice="1 hours"))
    world.run(1700)
    assert [e.seconds for e in world.entries if isinstance(e, NoticeServed)] == [900]
    world.restart()
    world.tick()
    assert remaining_s(world) == 3600 - 900
    world.run(2701)
    assert world.reason() is Reason.OPEN
    assert [e.seconds for e in world.entries if isinstance(e, NoticeServed)] == [900, 1800, 2700, 3600]


def test_a_lease_that_waited_serves_no_notice() -> None:
    """AN-21: what lapsed on its way counts for nothing, what is 9 s old for the second that is left of it."""
    world = World(make_policy(window=5, notice="60 seconds"))
    world.on_air = False
    world.tick()
    owed = remaining_s(world)
    with pytest.raises(MessageError):
        world.collection.lease_message(1, Lease(world.digest, OnAir.ADVERTISING, world.boot_ns - 10 * NS).encode())
    world.run(20)
    assert remaining_s(world) == owed
    world.collection.lease_message(1, Lease(world.digest, OnAir.ADVERTISING, world.boot_ns - 9 * NS).encode())
    world.run(20)
    assert remaining_s(world) == owed - 1


def test_a_policy_taken_before_opens_at_once() -> None:
    """AN-22."""
    world = opened()
    world.restart()
    world.tick()
    assert world.reason() is Reason.OPEN


def test_counts_noise_threshold() -> None:
    """AN-40: with noise of zero the pack shows the true counts, mapped from the board's class numbers to the policy's."""
    world = opened(random=zero_noise)
    world.count([BIKE] * 50 + [FOOT] * 40 + [DOG] * 3)
    world.run(6)
    pack = world.packs()[-1]
    assert pack.cells == (("bike", 50), ("foot", 40))
    assert (pack.state, pack.coverage_percent, pack.terms.threshold) == ("complete", 100, 13)
    assert world.collection.tally.discarded == {"unknown_class": 3}
    assert world.collection.tally.counted == 90
    world.count([BIKE] * 13 + [FOOT] * 12)
    world.run(5)
    assert world.packs()[-1].cells == (("bike", 13), ("foot", Cell.SUPPRESSED)), "tau = 5 + ceil(2 * 4) = 13"
    released = [entry for entry in world.entries if isinstance(entry, Release)]
    assert released[-1].charge == Charge(Fraction(1, 32))
    world.on_air = False
    world.run(30)
    released = [entry for entry in world.entries if isinstance(entry, Release)]
    assert released[-1].charge == Charge(Fraction(0))


def test_noise_is_drawn_for_windows_without_numbers_too() -> None:
    """AN-41: what is asked of the kernel is the same for every window."""
    asked: list[int] = []

    def source(count: int) -> bytes:
        asked.append(count)
        return os.urandom(count)

    world = World(POLICY, random=source)
    world.run(10)
    world.count([BIKE] * 100)
    world.run(10)
    world.on_air = False
    world.run(30)
    assert {pack.reason for pack in world.packs()} >= {None, NotCollected.GATE}
    assert asked == [16] * len(world.packs())


def test_a_closed_gate_discards() -> None:
    """I3: readings that arrive while it is closed, and readings measured before it opened that arrive after."""
    world = World(POLICY)
    world.run(3)
    world.count([BIKE] * 10)
    assert world.collection.tally.discarded == {"gate": 10}
    world.run(3)
    assert world.reason() is Reason.OPEN
    world.count([BIKE] * 10, ages=[3000] * 4 + [0] * 6)
    assert world.collection.tally.discarded == {"gate": 14}
    assert world.collection.pending == 6


def test_the_end_of_the_lease_connection_closes_between_two_looks() -> None:
    """I3: at once, not at the next tick."""
    world = opened()
    world.collection.lease_end(1)
    assert world.reason() is Reason.LEASE_CLOSED
    world.count([BIKE])
    assert world.collection.tally.discarded == {"gate": 1}


def test_readings_without_a_board_or_of_another_channel() -> None:
    """AN-2: no_board, unknown_channel."""
    world = World(POLICY)
    world.board = False
    world.run(10)
    world.count([BIKE] * 3)
    assert world.collection.tally.discarded == {"no_board": 3}
    other = dataclasses.replace(BOARD, channels=(*BOARD.channels, Channel("noise", "scalar", ())))
    world.board = True
    world.tick(board=other)
    world.sent += 2
    world.deliver(readings([0, 0], world.boot_ns, channel=1))
    world.sent += 1
    world.deliver(readings([0], world.boot_ns, channel=9))
    assert world.collection.tally.discarded == {"no_board": 3, "unknown_channel": 3}


def test_a_board_that_lacks_a_class_measures_nothing_and_is_named() -> None:
    """I2: a window is not called complete when one of its classes could not be seen."""
    world = World(POLICY, random=zero_noise)
    lacking = dataclasses.replace(BOARD, channels=(Channel("crossings", "count", ("foot",)),))
    world.tick(board=lacking)
    assert world.collection.newly_unmeasured(1) == ("crossings",)
    assert world.collection.newly_unmeasured(1) == ()
    world.run(20)
    assert world.packs()[-1].reason is NotCollected.BOARD
    world.count([0] * 5)
    assert world.collection.tally.discarded == {"unknown_channel": 5}


def test_a_silent_or_absent_board_lowers_coverage() -> None:
    """AN-3: ALIVE counts, readings do not; BOARD_GONE and the end of the connection end it at once."""
    world = opened()
    world.board = False
    for _ in range(60):
        world.count([BIKE])
        world.tick()
    assert world.packs()[-1].reason is NotCollected.BOARD
    world.board = True
    world.run(10)
    assert world.packs()[-1].reason is None
    world.deliver(message(Kind.BOARD_GONE))
    world.board = False
    world.run(6)
    assert world.packs()[-1].reason is NotCollected.BOARD
    assert world.packs()[-1].coverage_percent <= 20


def test_a_standstill_is_not_running() -> None:
    """AN-3: a stopped process covers nothing; its windows are closed one by one, a long one as a Gap at the policy's rate."""
    world = opened()
    count = len(world.packs())
    world.tick(20)
    assert [pack.reason for pack in world.packs()[count:]] == [None] + [NotCollected.RESTART] * 3
    world.tick(5000)
    gap = [entry for entry in world.entries if isinstance(entry, Gap)]
    assert len(gap) == 1
    assert gap[0].charge == Charge(Fraction(1, 32))
    assert_whole(world)


def assert_whole(world: World, streams: dict[str, int] | None = None) -> None:
    """Every window of every stream is in the log once, in order, none left out."""
    for name, window_s in (streams or {"crossings": 5}).items():
        covered: list[int] = []
        for entry in world.entries:
            if isinstance(entry, Release) and entry.stream == name:
                covered.append(entry.window_start)
            if isinstance(entry, Gap) and entry.stream == name:
                covered += [entry.first_start + i * entry.window_s for i in range(entry.count)]
        first = covered[0] if covered else 0
        assert covered == list(range(first, first + window_s * len(covered), window_s))


def test_a_clock_set_forward() -> None:
    """AN-4: windows in progress have no numbers, the skipped ones are in the log, and then it goes on."""
    world = opened()
    world.count([BIKE] * 30)
    world.offset_ns += 7200 * NS
    world.run(5)
    world.run(15)
    assert NotCollected.CLOCK in {pack.reason for pack in world.packs()}
    assert world.packs()[-1].reason is None
    assert world.collection.tally.discarded["clock"] + world.collection.tally.discarded["restart"] == 30
    assert_whole(world)


def test_a_clock_set_back_releases_no_window_again() -> None:
    """I5, AN-4: silent, with the reason in `state`, until the newest logged window has passed again."""
    world = opened()
    world.run(20)
    logged = list(world.entries)
    last_end = Ledger(logged).last_logged_end
    world.offset_ns -= 60 * NS
    world.run(30)
    assert world.reason() is Reason.CLOCK_BACKWARDS
    assert world.entries == logged
    world.count([BIKE] * 5)
    assert world.collection.tally.discarded["gate"] == 5
    while world.utc_s < last_end:
        world.tick()
    assert world.reason() is Reason.OPEN
    world.run(30)
    assert world.packs()[-1].reason is None
    assert_whole(world)


def test_a_clock_set_back_before_anything_is_logged() -> None:
    """AN-4: the first window has begun, so the gate stays shut until its beginning has passed again."""
    world = World(POLICY)
    world.run(3)
    world.offset_ns -= 24 * NS
    world.tick()
    assert world.reason() is Reason.CLOCK_BACKWARDS
    world.run(24)
    assert world.reason() is Reason.OPEN


@pytest.mark.parametrize("utc_s", [0, 946_684_800, 10**9, 10**9 + 86_399, 10**10, 10**11])
def test_a_clock_beyond_all_reason_is_untrusted(utc_s: int) -> None:
    """AN-4: whoever vouches for it: at the start, and after a step; nothing is logged, nothing waits, and it goes on once set."""
    world = World(POLICY)
    right = world.offset_ns
    for _ in range(2):
        logged = list(world.entries)
        world.offset_ns = utc_s * NS - world.boot_ns
        for _ in range(40):
            world.tick(0.02)
            assert world.reason() is Reason.CLOCK_UNTRUSTED
            assert world.collection.next_closing_utc_ns() is None
            assert not world.collection.clock_trusted
        world.collection.give_up_due()
        assert world.entries == logged
        world.offset_ns = right
        world.run(30)
        assert world.reason() is Reason.OPEN
        assert world.packs()[-1].reason is None
    assert_whole(world)


def test_windows_close_up_to_the_bounds() -> None:
    """AN-4: every window of a trusted clock has a payload, also of one that is centuries wrong."""
    world = opened()
    before = len(world.packs())
    world.offset_ns = (10**10 - 100) * NS - world.boot_ns
    world.run(30)
    assert len(world.packs()) >= before + 4
    assert world.packs()[-1].window_start > 10**10 - 110


def test_time_that_is_not_known_covers_nothing() -> None:
    """AN-3: a window of which the unit did not know the time for more than half says so; however often UTC jumps meanwhile, nothing is kept of it."""
    world = opened()
    first = len(world.packs())
    world.run(6 - world.utc_s % 5)
    world.clock_trusted = False
    world.run(14)
    world.clock_trusted = True
    world.run(15)
    reasons = [pack.reason for pack in world.packs()[first:]]
    assert [reason for reason in reasons if reason is not None] == [NotCollected.CLOCK, *[NotCollected.RESTART] * 2]
    assert reasons[-1] is None
    world.clock_trusted = False
    for _ in range(50):
        world.offset_ns += 3600 * NS
        world.tick()
    (windows,) = (windows for regime in world.collection._regimes for windows in regime.windows)
    assert len(windows._covered_ns) <= 1


def test_a_small_correction_is_no_step() -> None:
    """AN-4: up to a second."""
    world = opened()
    world.offset_ns += NS
    world.run(5)
    world.offset_ns -= NS
    world.run(20)
    assert {pack.reason for pack in world.packs()[2:]} == {None}
    assert_whole(world)


def test_a_restart_charges_what_it_lost() -> None:
    """I4: every window between the last logged one and now is a Gap, charged at the policy's rate."""
    world = opened()
    world.run(7)
    last_end = Ledger(world.entries).last_logged_end
    world.boot_ns += 23 * NS
    world.restart()
    world.run(12)
    gap = next(entry for entry in world.entries if isinstance(entry, Gap))
    assert (gap.first_start, gap.charge) == (last_end, Charge(Fraction(1, 32)))
    assert_whole(world)


@pytest.mark.parametrize("room", [True, False])
def test_a_restart_says_first_what_was_lost(room: bool) -> None:
    """AN-32, I4: one Gap a stream before anything else, also before a policy that waited for the first instant, and although the first
    attempt to log it fails."""
    old = parse_policy(
        policy_text(window=5, rho="0.0625")
        + policy_text(window=10, rho="0.0625").partition("[[stream]]")[1]
        + policy_text(window=10, rho="0.0625")
        .partition("[[stream]]")[2]
        .replace('name = "crossings"', 'name = "slow"'),
        "policy.toml",
    )
    world = World(old)
    world.run(40)
    assert world.reason() is Reason.OPEN
    before = len(world.entries)
    ends = {entry.stream: entry.window_start + entry.window_s for entry in world.entries if isinstance(entry, Release)}
    world.boot_ns += 123 * NS
    world.restart()
    world.look()
    if not room:
        world.collection.lose(world.collection.close_due())
    now = world.utc_s
    assert [type(entry) for entry in world.close().entries] == [Gap, Gap]
    world.offer(make_policy(version=2, window=20, notice="1 seconds", rho="0.03125", cap="0.03125"))
    world.run(60)
    lost = world.entries[before : before + 2]
    for gap, (name, window_s) in zip(lost, (("crossings", 5), ("slow", 10)), strict=True):
        assert isinstance(gap, Gap)
        assert (gap.stream, gap.first_start, gap.window_s) == (name, ends[name], window_s)
        assert gap.charge == Charge(Fraction(1, 64))
        assert now - window_s < gap.first_start + gap.count * window_s <= now
    assert [entry for entry in world.entries[before + 2 :] if isinstance(entry, Gap)] == []


def test_a_full_disk_loses_windows_into_a_gap_and_nothing_logged() -> None:
    """AN-55: the gate closes with `storage`; what could not be logged is discarded, charged, and never drawn again."""
    world = opened()
    world.count([BIKE] * 20)
    logged = list(world.entries)
    world.boot_ns += NS
    world.fail_to_log(room=True)
    world.storage = False
    world.look()
    assert world.reason() is Reason.STORAGE
    assert world.collection.tally.discarded == {"storage": 20}
    world.boot_ns += 4 * NS
    world.fail_to_log(room=False)
    assert world.entries == logged
    world.storage = True
    world.run(20)
    assert world.reason() is Reason.OPEN
    gaps = [entry for entry in world.entries if isinstance(entry, Gap)]
    assert len(gaps) == 1
    assert_whole(world)
    assert world.sent == world.accounted


def test_what_could_not_be_logged_leaves_no_trace_in_the_ledger() -> None:
    """AN-57: after a failed append the ledger is that of the log's entries, without reading them again."""
    world = opened()
    world.run(30)
    world.boot_ns += 4 * NS
    world.fail_to_log(room=True)
    kept, folded = world.collection.ledger, Ledger(world.entries)
    assert vars(kept.budget) == vars(folded.budget)
    assert vars(kept) | {"budget": None} == vars(folded) | {"budget": None}
    world.run(30)
    assert_whole(world)


def test_a_spent_budget_is_said_and_not_exceeded() -> None:
    """AN-31: charges in the log above the policy's own rate (here from Gaps at a higher one) make windows `budget` for a period."""
    world = opened()
    world.run(10)
    entries: list[Entry] = list(world.entries)
    at = Ledger(entries).last_logged_end
    entries.append(Gap("crossings", at, 5, 4, Charge(Fraction(1, 16))))
    world = World(POLICY, entries=entries)
    world.boot_ns += (at + 20 - START_S) * NS
    world.run(630)
    reasons = [pack.reason for pack in world.packs()][2:]
    assert reasons.count(NotCollected.BUDGET) > 100
    assert reasons[-1] is None
    assert set(reasons) <= {None, NotCollected.BUDGET, NotCollected.RESTART, NotCollected.GATE}


def test_a_window_leaves_once() -> None:
    """I5: a second time is WindowReleased; a log that holds one twice is damaged."""
    world = opened()
    world.run(10)
    terms = terms_for(POLICY, POLICY.streams[0], world.digest)
    release = next(entry for entry in world.entries if isinstance(entry, Release))
    closed = Closed(release.window_start, np.zeros(2, dtype=np.int64), 100, None)
    with pytest.raises(WindowReleased):
        charge_for(closed, terms, world.collection.ledger)
    with pytest.raises(LogDamaged):
        Ledger([*world.entries, release])


def test_nothing_leaves_under_its_price_or_another_policy() -> None:
    """AN-42: numbers for less than 1/(2 sigma^2), or while the policy is not in force, end the process."""
    world = opened()
    terms = terms_for(POLICY, POLICY.streams[0], world.digest)
    closed = Closed(START_S + 1000, np.zeros(2, dtype=np.int64), 100, None)
    with pytest.raises(InvariantBroken):
        govern(closed, terms, Charge(Fraction(1, 33)), None, 0, os.urandom)
    with pytest.raises(InvariantBroken):
        dataclasses.replace(terms, strength=Fraction(15))
    with pytest.raises(InvariantBroken):
        charge_for(closed, terms, Ledger())


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\x02\x01",
        message(Kind.READINGS, b"\xa0", count=3),
        message(Kind.READINGS, b"\xff", count=3),
        readings([0, 1], 0)[:-1],
        readings([0, 1], 0) + b"x",
        readings([0, 1], 2**63),
        readings([0], 0, ages=[60_001]),
        message(Kind.BOARD, b"\xa0"),
    ],
)
def test_malformed_messages_are_named_and_accounted_for(packet: bytes) -> None:
    """I8: one documented error; the readings that the header announced are discarded as malformed."""
    world = opened()
    whole = len(packet) >= HEADER.size and len(packet) >= HEADER.size + int.from_bytes(packet[24:26], "little")
    announced = int.from_bytes(packet[2:4], "little") if whole else 0
    with pytest.raises((MessageError, BoardError)):
        world.deliver(packet)
    assert sum(world.collection.tally.discarded.values()) == announced


@given(st.binary(max_size=200))
def test_only_documented_errors_escape(packet: bytes) -> None:
    """I8."""
    world = World(POLICY)
    world.tick()
    for body in (packet, message(Kind.READINGS, packet, count=2), message(Kind.BOARD, packet)):
        try:
            world.deliver(body)
        except (MessageError, BoardError):
            continue
    try:
        world.collection.lease_message(1, packet)
    except MessageError:
        return


events = st.lists(
    st.one_of(
        st.tuples(st.just("readings"), st.lists(st.sampled_from([BIKE, FOOT, DOG]), max_size=60)),
        st.tuples(st.just("old"), st.integers(0, 60_000)),
        st.tuples(st.just("flood"), st.just(0)),
        st.tuples(st.just("pass"), st.floats(0.1, 4)),
        st.tuples(st.just("stop"), st.integers(3, 200)),
        st.tuples(st.just("air"), st.booleans()),
        st.tuples(st.just("board"), st.booleans()),
        st.tuples(st.just("step"), st.integers(-40, 40)),
        st.tuples(st.just("storage"), st.booleans()),
        st.tuples(st.just("lose"), st.booleans()),
        st.tuples(st.just("restart"), st.just(0)),
    ),
    max_size=60,
)

TWO_STREAMS = parse_policy(
    policy_text(window=5, rho="0.0625", notice="2 seconds")
    + policy_text(window=10, rho="0.0625").partition("[[stream]]")[1]
    + policy_text(window=10, rho="0.0625").partition("[[stream]]")[2].replace('name = "crossings"', 'name = "slow"'),
    "policy.toml",
)


@settings(max_examples=80)
@given(events)
def test_any_life_conserves_readings_windows_budget_and_length(life: list[tuple[str, object]]) -> None:
    """Readings: sent = counted + discarded + pending. Windows: each once, in order, none left out. Budget: no span over the cap.
    Shape (I6): one byte length a stream."""
    world = World(TWO_STREAMS)
    world.run(4)
    for event, value in life:
        match event:
            case "readings":
                world.count(value)  # type: ignore[arg-type]  # as drawn above
            case "old":
                world.count([BIKE], ages=[value])  # type: ignore[list-item]  # as drawn above
            case "flood":
                world.count([BIKE] * 6000)
            case "pass":
                world.tick(value)  # type: ignore[arg-type]  # as drawn above
            case "stop":
                world.tick(value)  # type: ignore[arg-type]  # as drawn above
            case "air":
                world.on_air = bool(value)
            case "board":
                world.board = bool(value)
            case "step":
                world.offset_ns += value * NS  # type: ignore[operator]  # as drawn above
                world.tick(0.1)
            case "storage":
                world.storage = bool(value)
            case "lose":
                world.fail_to_log(room=bool(value))
                assert vars(world.collection.ledger.budget) == vars(Ledger(world.entries).budget)
            case _:
                world.restart()
                world.tick()
        assert world.sent == world.accounted
    world.run(30)
    assert world.sent == world.accounted
    assert_whole(world, {"crossings": 5, "slow": 10})
    lengths = {(e.stream, len(e.payload), len(e.signature)) for e in world.entries if isinstance(e, Release)}
    assert len(lengths) == len({stream for stream, *_ in lengths})
    assert_within_cap(world)


def assert_within_cap(world: World) -> None:
    """By definition: in any span of one period the m = 4 dearest windows of each stream cost at most the cap together."""
    charges: list[tuple[str, int, Fraction]] = []
    for entry in world.entries:
        if isinstance(entry, Release) and entry.charge is not None:
            charges.append((entry.stream, entry.window_start, entry.charge.rho))
        if isinstance(entry, Gap) and entry.charge is not None:
            charges += [
                (entry.stream, entry.first_start + i * entry.window_s, entry.charge.rho) for i in range(entry.count)
            ]
    for begin in {start for _, start, _ in charges}:
        total = Fraction(0)
        for stream in ("crossings", "slow"):
            inside = sorted((r for s, at, r in charges if s == stream and begin <= at < begin + 600), reverse=True)
            total += sum(inside[:4], start=Fraction(0))
        assert total <= world.policy.cap_rho


@settings(max_examples=40)
@given(st.lists(st.integers(0, 6000), min_size=2, max_size=2), st.lists(st.integers(0, 6000), min_size=2, max_size=2))
def test_shape_says_nothing(a: list[int], b: list[int]) -> None:
    """I6: number, order, length and charge of entries are those of any other crowd."""
    shapes = []
    for bikes, feet in (a, b):
        world = opened()
        world.count([BIKE] * bikes)
        world.count([FOOT] * feet)
        world.run(6)
        shapes.append(
            [
                (e.stream, e.window_start, len(e.payload), len(e.encode()), e.charge)
                for e in world.entries
                if isinstance(e, Release)
            ]
        )
    assert shapes[0] == shapes[1]
