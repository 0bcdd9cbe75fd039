"""A change of policy, from offer to effect: exactly at a window's start, with the older noise for a period, whatever happens meanwhile."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.anonymizer.ledger import Ledger
from agent.anonymizer.window import NS
from agent.contracts.aggregate import Aggregate, NotCollected
from agent.contracts.lease import Lease, OnAir
from agent.contracts.log import Charge, Entry, Gap, NoticeServed, PolicyOffered, PolicyTaken, Release, StopTaken
from agent.contracts.public import Reason
from agent.contracts.reading import Kind
from agent.disclosure.datachain import compile_disclosure
from agent.errors import PolicyError, SignatureError
from agent.policy.model import Policy
from agent.policy.parse import parse_policy
from tests.anonymizer import worlds
from tests.anonymizer.stage import BIKE, BOARD, make_policy, message, policy_text
from tests.anonymizer.worlds import START_S, World
from tests.signing import signed_governance, trust_root

FIRST = make_policy(window=5, notice="5 seconds")
LAXER = make_policy(window=5, notice="20 seconds", version=2, rho="0.25", cap="0.25")
STRICTER = make_policy(window=5, notice="20 seconds", version=2, rho="0.0625", cap="0.125")
PERIOD_S = 600


def running(policy: Policy = FIRST) -> World:
    """A unit that has released a few windows under its first policy."""
    world = World(policy)
    world.run(30)
    assert world.reason() is Reason.OPEN
    return world


def digest(policy: Policy) -> bytes:
    return compile_disclosure(policy).digest


def taken(world: World) -> list[PolicyTaken]:
    return [entry for entry in world.entries if isinstance(entry, PolicyTaken)]


def whole(world: World, *names: str) -> None:
    """Every window of a stream is in the log once, in order, none left out, through all policies."""
    for name in names or ("crossings",):
        ends: list[int] = []
        for entry in world.entries:
            match entry:
                case Release(stream=stream, window_start=start, window_s=window_s, disclosure_digest=of) if (
                    stream == name
                ):
                    assert not ends or start == ends[-1]
                    ends.append(start + window_s)
                    in_force = world.collection.ledger.adoption.in_force(start)
                    assert in_force is not None
                    assert in_force.disclosure_digest == of, "each window under the policy in force at its start"
                case Gap(stream=stream, first_start=start, window_s=window_s, count=count) if stream == name:
                    assert not ends or start == ends[-1]
                    ends.append(start + window_s * count)
                case _:
                    pass


def packs_of(world: World, policy: Policy) -> list[Aggregate]:
    return [pack for pack in world.packs() if pack.terms.disclosure_digest == digest(policy)]


def test_a_laxer_policy_takes_effect_after_its_notice_from_exactly_the_next_window() -> None:
    """AN-23, I7, Must show 4: upcoming for its whole notice on air while data flow under the old one; then the next window is the new one's."""
    world = running()
    world.offer(LAXER)
    offered_at = world.utc_s
    world.tick()
    beside = world.collection.upcoming
    assert beside is not None
    assert beside.policy == LAXER
    assert world.collection.disclosed is not None
    assert world.collection.disclosed.policy == FIRST
    while not taken(world)[1:]:
        assert world.reason() is Reason.OPEN
        world.tick()
    entry = taken(world)[1]
    assert entry.at - offered_at >= 20
    assert entry.effective % 5 == 0
    assert entry.at < entry.effective <= entry.at + 5, "exactly the next boundary"
    world.run(30)
    assert world.reason() is Reason.OPEN
    old, new = packs_of(world, FIRST), packs_of(world, LAXER)
    assert old[-1].window_start + 5 == new[0].window_start == entry.effective
    assert {pack.reason for pack in (*old[-5:], *new)} == {None}, "not one window lost"
    assert {pack.terms.policy_version for pack in new} == {2}
    whole(world)


def test_no_notice_without_the_lease_that_names_it() -> None:
    """I3: time counts only while the upcoming disclosure itself is served; the old policy's lease is worth nothing to it."""
    world = running()
    world.offer(LAXER)
    world.upcoming_on_air = False
    world.run(100)
    assert world.reason() is Reason.OPEN
    assert len(taken(world)) == 1
    world.upcoming_on_air = True
    world.run(30)
    assert len(taken(world)) == 2


def test_the_older_larger_noise_for_one_period_and_then_the_new_one() -> None:
    """AN-34, I7: noise, threshold, charge and `noise_sd` of the stricter policy for a period; the cap is the smaller of the two."""
    world = running()
    world.offer(LAXER)
    world.run(PERIOD_S + 60)
    packs = packs_of(world, LAXER)
    begins = taken(world)[1].effective
    early = [pack for pack in packs if pack.window_start < begins + PERIOD_S]
    late = [pack for pack in packs if pack.window_start >= begins + PERIOD_S]
    assert len(early) == PERIOD_S // 5
    assert late
    assert {(pack.terms.noise_sd, pack.terms.threshold) for pack in early} == {(Decimal(4), 13)}
    assert {(pack.terms.noise_sd, pack.terms.threshold) for pack in late} == {(Decimal("2.829"), 11)}
    charges = {
        entry.window_start: entry.charge
        for entry in world.entries
        if isinstance(entry, Release) and entry.disclosure_digest == digest(LAXER)
    }
    assert {charges[pack.window_start] for pack in early} == {Charge(Fraction(1, 32))}
    assert {charges[pack.window_start] for pack in late if pack.reason is None} == {Charge(Fraction(1, 16))}
    assert {pack.reason for pack in early} == {None}, "the smaller cap allows the larger noise's charges"


def test_a_renamed_stream_of_the_same_channel_keeps_the_larger_noise() -> None:
    """I7: another name does not dodge the first period; nor does a policy in between."""
    renamed = parse_policy(
        policy_text(window=5, notice="20 seconds", version=2, rho="0.25", cap="0.25").replace(
            'name = "crossings"\nchannel', 'name = "passages"\nchannel'
        ),
        "policy.toml",
    )
    world = running()
    world.offer(renamed)
    world.run(60)
    assert {pack.terms.noise_sd for pack in packs_of(world, renamed)} == {Decimal(4)}
    third = replace(renamed, version=3, notice_s=20, title="Another title")
    world.offer(third)
    world.run(60)
    assert packs_of(world, third)
    assert {pack.terms.noise_sd for pack in packs_of(world, third)} == {Decimal(4)}


def test_a_stricter_policy_acts_at_the_next_window() -> None:
    """I7: less data, more noise: no notice; its own larger noise from the first window."""
    world = running()
    world.offer(STRICTER)
    offered_at = world.utc_s
    world.run(15)
    entry = taken(world)[1]
    assert entry.effective <= offered_at + 6
    world.run(20)
    assert {pack.terms.noise_sd for pack in packs_of(world, STRICTER)} == {Decimal("5.657")}
    whole(world)


def test_what_cannot_be_compared_waits() -> None:
    """I7: more noise, but another class: it serves its notice."""
    world = running()
    other = parse_policy(
        policy_text(window=5, notice="20 seconds", version=2, rho="0.0625", cap="0.125").replace(
            'classes = ["bike", "foot"]', 'classes = ["bike", "dog"]'
        ),
        "policy.toml",
    )
    world.offer(other)
    world.run(15)
    assert len(taken(world)) == 1
    world.run(15)
    assert len(taken(world)) == 2


def test_a_newer_offer_replaces_the_one_on_notice_and_begins_anew() -> None:
    """AN-24: nothing that the older one has served counts for the newer."""
    world = running()
    world.offer(LAXER)
    world.run(15)
    newer = replace(LAXER, version=3, cap_rho=Fraction(3, 10))
    world.offer(newer)
    world.run(15)
    assert len(taken(world)) == 1
    world.run(25)
    assert [decoded.terms.policy_version for decoded in world.packs()][-1] == 3
    assert not packs_of(world, LAXER)


@pytest.mark.parametrize(
    ("window", "grace"), [(10, "0.2"), (15, "0.2"), (2, "0.2"), (30, "0.2"), (5, "4.5"), (2, "1.5")]
)
def test_other_windows_begin_where_both_have_a_boundary(window: int, grace: str) -> None:
    """AN-23: the effective instant is a window's start of every stream, old and new; logged order never goes back, whatever the grace."""
    first = parse_policy(policy_text(window=5, notice="5 seconds").replace("0.2 seconds", "4.5 seconds"), "policy.toml")
    text = policy_text(window=window, notice="20 seconds", version=2, rho="0.25", cap="0.25")
    world = running(first)
    world.offer(parse_policy(text.replace("0.2 seconds", f"{grace} seconds"), "policy.toml"))
    world.run(60 + 3 * window)
    entry = taken(world)[1]
    assert entry.effective % 5 == entry.effective % window == 0
    assert world.packs()[-1].terms.window_s == window
    whole(world)


def test_readings_of_the_old_windows_still_count_for_the_old_policy() -> None:
    """AN-1: a reading belongs to the policy in force when it was taken, also when it arrives after the change."""
    world = running()
    world.offer(LAXER)
    while not taken(world)[1:]:
        world.tick()
    entry = taken(world)[1]
    while world.now.utc_ns < entry.effective * NS + NS // 10:
        world.tick(0.1)
    before = world.collection.tally.counted
    world.count([BIKE] * 7, ages=[600] * 7)
    world.count([BIKE] * 5, ages=[0] * 5)
    assert world.collection.tally.discarded == {}
    world.tick(0.2)
    assert world.collection.tally.counted - before == 7
    assert world.collection.pending == 5


def test_not_before_its_effective_date() -> None:
    """A notice that is complete waits for the date; the change is at that very instant when it is a boundary."""
    world = running()
    effective = START_S + 300
    world.offer(replace(LAXER, effective=effective))
    world.run(200)
    assert len(taken(world)) == 1
    world.run(100)
    assert taken(world)[1].effective == effective
    whole(world)


def test_an_expired_policy_closes_the_gate_and_a_new_one_opens_it() -> None:
    """I7, Must show 4: at the second of its expiry; an offer still serves its notice while it is closed."""
    expires = START_S + 60
    world = running(replace(FIRST, expires=expires))
    while world.utc_s < expires:
        assert world.reason() is Reason.OPEN
        world.tick()
    assert world.reason() is Reason.EXPIRED
    world.run(20)
    assert world.packs()[-1].reason is NotCollected.GATE
    world.offer(LAXER)
    world.run(30)
    assert world.reason() is Reason.OPEN
    world.run(10)
    assert world.packs()[-1].reason is None
    whole(world)


# --- refusals --------------------------------------------------------------------------------------------------------


def test_one_signature_missing() -> None:
    """Must show 4: 1 of 2 is refused, says who signed and who is missing, and changes nothing."""
    world = running()
    logged = list(world.entries)
    with pytest.raises(SignatureError, match=r"2 of the 3 signers.*got 1 \(steward/ana\), nobody of community"):
        world.offer(LAXER, "ana")
    with pytest.raises(SignatureError, match="nobody of community"):
        world.offer(LAXER, "ana", "ben")
    assert world.entries == logged


def test_rollback() -> None:
    """Must show 5: a version not higher than any seen, in force or only offered, is refused; the same file again is no offence."""
    world = running(replace(FIRST, version=5))
    assert world.offer(replace(FIRST, version=5)) is False
    with pytest.raises(PolicyError, match="higher than any seen here, 6 or more"):
        world.offer(replace(FIRST, version=4))
    world.offer(replace(LAXER, version=7))
    assert world.offer(replace(LAXER, version=7)) is False
    with pytest.raises(PolicyError, match="8 or more"):
        world.offer(replace(LAXER, version=6))
    world.run(40)
    with pytest.raises(PolicyError, match="8 or more"):
        world.offer(replace(FIRST, version=5))
    with pytest.raises(PolicyError, match="8 or more"):
        world.offer(replace(LAXER, version=7, title="Same version, other words"))


def test_a_policy_of_another_unit_or_city() -> None:
    """Must show 5: replay from another unit; signed well, refused by name."""
    world = running()
    with pytest.raises(
        PolicyError,
        match=r"expected a policy for springfield/bridge/bridge-01, got one for springfield/bridge/bridge-02",
    ):
        world.offer(replace(LAXER, unit=replace(LAXER.unit, name="bridge-02")))
    with pytest.raises(PolicyError, match="springfield/other/bridge-01"):
        world.offer(replace(LAXER, unit=replace(LAXER.unit, site="other")))
    with pytest.raises(PolicyError, match="the city of the trust root"):
        world.offer(replace(LAXER, unit=replace(LAXER.unit, city="shelbyville")))


def test_out_of_its_dates() -> None:
    """I7: expired, over before it could begin, or issued in the future."""
    world = running()
    with pytest.raises(PolicyError, match="has not expired"):
        world.offer(replace(LAXER, expires=world.utc_s))
    with pytest.raises(PolicyError, match="ends before it could begin"):
        world.offer(replace(LAXER, expires=world.utc_s + 10))
    with pytest.raises(PolicyError, match="is the unit's clock right"):
        world.offer(replace(LAXER, issued=world.utc_s + 100_000, effective=world.utc_s + 100_000))


def test_the_clock_set_back_thirty_days() -> None:
    """Must show 5: an expired policy does not come back to life: the gate stays shut, and no offer is judged by that clock."""
    expires = START_S + 60
    world = running(replace(FIRST, expires=expires))
    world.run(60)
    assert world.reason() is Reason.EXPIRED
    world.offset_ns -= 30 * 86_400 * NS
    for _ in range(3):
        world.run(30)
        assert world.reason() is Reason.CLOCK_BACKWARDS
        assert not world.collection.clock_right, "nothing is judged"
        world.restart()
        world.tick()
    world.offset_ns += 30 * 86_400 * NS
    world.run(10)
    assert world.reason() is Reason.EXPIRED


def test_the_clock_set_back_does_not_shorten_a_notice() -> None:
    """I3: notice is time on air, not the calendar; and none is served by a clock that is wrong."""
    world = running()
    world.offer(LAXER)
    world.run(5)
    world.offset_ns -= 30 * 86_400 * NS
    world.run(60)
    world.offset_ns += 30 * 86_400 * NS
    assert len(taken(world)) == 1
    world.run(10)
    assert len(taken(world)) == 1
    world.run(20)
    assert len(taken(world)) == 2


def test_the_clock_set_forward_does_not_shorten_a_notice() -> None:
    """I3: a year by the calendar is no second on air."""
    world = running()
    world.offer(LAXER)
    world.run(5)
    world.offset_ns += 86_400 * NS
    world.run(10)
    assert len(taken(world)) == 1
    world.run(20)
    assert len(taken(world)) == 2


# --- stop orders -----------------------------------------------------------------------------------------------------


def test_a_stop_order_closes_the_gate_and_ends_the_window_in_progress() -> None:
    """AN-25, Must show 5: nothing that had not closed by then is released; the reason stands in what is shown."""
    world = running()
    world.run(4)
    world.count([BIKE] * 50)
    last = world.packs()[-1].window_start
    world.stop("The sensor sees into a flat")
    stopped_at = world.utc_s
    assert world.reason() is Reason.STOPPED
    world.run(30)
    after = [pack for pack in world.packs() if pack.window_start > last]
    assert after[0].reason is NotCollected.STOPPED
    assert {pack.reason for pack in after[1:]} == {NotCollected.GATE}
    assert world.collection.tally.discarded == {"stopped": 50}
    stop = world.collection.ledger.adoption.stopped(world.utc_s)
    assert stop is not None
    assert (stop.reason, stop.by, stop.at) == ("The sensor sees into a flat", ("steward/ana",), stopped_at)
    world.count([BIKE])
    assert world.collection.tally.discarded["gate"] == 1
    world.restart()
    world.run(10)
    assert world.reason() is Reason.STOPPED, "a power cycle lifts nothing"
    whole(world)


def test_only_a_new_policy_lifts_a_stop() -> None:
    """A policy that was on notice when the order came does not; a later one does, after its notice; the old order is then no more."""
    world = running()
    world.offer(LAXER)
    world.stop("Stop it")
    order_at = world.utc_s
    assert world.stop("Stop it", order_at) is False
    world.run(60)
    assert len(taken(world)) == 2, "it took its turn, and changed nothing"
    assert world.reason() is Reason.STOPPED
    third = replace(LAXER, version=3, issued=order_at + 10, effective=order_at + 10, cap_rho=Fraction(3, 10))
    world.offer(third)
    world.run(15)
    assert world.reason() is Reason.STOPPED
    world.run(30)
    assert world.reason() is Reason.OPEN
    with pytest.raises(PolicyError, match="obeyed before and then lifted"):
        world.stop("Stop it", order_at)
    with pytest.raises(PolicyError, match="an older one, which that policy has lifted"):
        world.stop("Another, written earlier", order_at - 10)
    assert world.reason() is Reason.OPEN
    world.stop("Once more")
    assert world.reason() is Reason.STOPPED


def test_a_stop_order_for_another_unit() -> None:
    """Replay: refused by name; one for every unit of the city is obeyed (above)."""
    from tests.signing import signed_stop

    world = running()
    with pytest.raises(PolicyError, match="expected one for springfield/bridge/bridge-01, got one for bridge-02"):
        world.drop(signed_stop("Stop it", world.utc_s, unit="bridge-02"))
    with pytest.raises(PolicyError, match="city of the trust root"):
        world.drop(signed_stop("Stop it", world.utc_s, city="shelbyville"))
    assert world.drop(signed_stop("Stop it", world.utc_s, unit="bridge/bridge-01"))


# --- power cuts ------------------------------------------------------------------------------------------------------


def test_a_power_cut_after_any_entry() -> None:
    """I4, I7: from any prefix of the log a unit comes to the same policies in the same order; no notice is shortened, no window twice."""
    script = running()
    script.offer(LAXER)
    script.run(60)
    entries, end_s = list(script.entries), script.utc_s
    for cut in range(1, len(entries)):
        world = World(FIRST, entries=entries[:cut])
        world.boot_ns += (Ledger(entries[:cut]).newest_at - START_S + 1) * NS
        world.look()
        while not taken(world):
            world.tick()
        offered = sum(isinstance(entry, PolicyOffered) for entry in entries[:cut]) == 2
        assert world.offer(LAXER) is not offered, "known exactly when it was logged"
        logged, began = served_before(entries[:cut]), world.utc_s
        while len(taken(world)) < 2 and world.utc_s < end_s + 600:
            world.tick()
        assert len(taken(world)) == 2
        if len([e for e in entries[:cut] if isinstance(e, PolicyTaken)]) < 2:
            assert taken(world)[1].at - began >= 20 - logged - 1
        world.run(20)
        assert world.packs()[-1].terms.policy_version == 2
        whole(world)


def served_before(entries: list[Entry]) -> int:
    offered = [i for i, entry in enumerate(entries) if isinstance(entry, PolicyOffered)]
    served = [e.seconds for e in entries[offered[-1] :] if isinstance(e, NoticeServed)]
    return served[-1] if served and len(offered) == 2 else 0


def test_a_restart_over_the_change_owes_each_policy_its_own_gap() -> None:
    """I4: windows lost before the change at the old rate, after it at the new one's, larger noise first."""
    world = running()
    world.offer(LAXER)
    while not taken(world)[1:]:
        world.tick()
    effective = taken(world)[1].effective
    lost_from = Ledger(world.entries).last_logged_end
    world.boot_ns += (PERIOD_S + 100) * NS
    world.restart()
    world.run(20)
    gaps = [entry for entry in world.entries if isinstance(entry, Gap)]
    assert [(gap.first_start, gap.charge) for gap in gaps] == [
        (lost_from, Charge(Fraction(1, 32))),
        (effective, Charge(Fraction(1, 32))),
        (effective + PERIOD_S, Charge(Fraction(1, 16))),
    ][lost_from == effective :]
    whole(world)


def test_another_program_that_words_the_disclosure_otherwise_owes_notice_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """I2, I3: what was on notice was another text; the policy in force is put on notice again, the gate waits."""
    from agent.disclosure import datachain

    world = running()
    old = world.digest
    monkeypatch.setattr(datachain, "FORM", 99)
    from tests.anonymizer import worlds

    worlds._digest.cache_clear()
    world.restart()
    world.look()
    assert world.collection.disclosed is None
    again = world.collection.offer_again()
    assert again is not None
    world._log(world.collection.adopt(again))
    assert world.collection.offer_again() is None
    world.tick()
    assert world.digest != old
    assert world.reason() is Reason.ON_NOTICE
    world.run(20)
    assert world.reason() is Reason.OPEN
    whole(world)
    monkeypatch.undo()
    worlds._digest.cache_clear()


def graced(text: str, grace: str) -> Policy:
    """A policy with another grace."""
    return parse_policy(text.replace('grace = "0.2 seconds"', f'grace = "{grace}"'), "policy.toml")


LONG_GRACE = graced(policy_text(window=60, notice="5 seconds"), "50 seconds")


def changed(world: World, policy: Policy) -> int:
    """Offer a policy and wait until it is taken; when it begins."""
    known = len(taken(world))
    world.offer(policy)
    while len(taken(world)) == known:
        world.tick()
    return taken(world)[-1].effective


def test_two_changes_within_the_grace_of_the_first_policy() -> None:
    """AN-23: no window of a newer policy is logged before those of an older one, however long that one waits for readings."""
    world = World(LONG_GRACE)
    world.run(150)
    begins = changed(world, make_policy(window=2, notice="5 seconds", version=2))
    changed(world, make_policy(window=2, notice="5 seconds", version=3, rho="0.0625"))
    world.run(begins + 70 - world.utc_s)
    whole(world)
    world.restart()
    world.run(10)
    whole(world)


def test_short_windows_after_a_long_grace_are_all_counted() -> None:
    """AN-23: windows that had to wait for the older policy's last one are late, not lost."""
    world = World(LONG_GRACE)
    world.run(150)
    begins = changed(world, make_policy(window=2, notice="5 seconds", version=2))
    while world.utc_s < begins + 80:
        world.tick()
        if begins + 2 < world.utc_s < begins + 40:
            world.count([BIKE])
    assert not [entry for entry in world.entries if isinstance(entry, Gap)]
    assert world.sent == world.accounted == world.collection.tally.counted + world.collection.pending


@pytest.mark.parametrize("back_s", [0.4, 6, 30])
def test_a_clock_corrected_backwards_over_a_change(back_s: float) -> None:
    """AN-4, AN-23: the policy that has ended does not come back."""
    world = running()
    begins = changed(world, STRICTER)
    while world.now.utc_ns < begins * NS + 250_000_000:
        world.tick(0.05)
    world.offset_ns -= round(back_s * NS)
    world.run(back_s + 30, step=0.05)
    assert world.reason() is Reason.OPEN
    whole(world)


def test_a_stop_order_before_the_next_policy_begins() -> None:
    """SG-10, I7: a successor that is taken and dated later does not shield the policy in force."""
    day = (START_S // 86_400 + 1) * 86_400
    first, later = (
        parse_policy(
            policy_text(window=3600, notice="5 seconds", version=version, rho=rho).replace("10 minutes", "24 hours"),
            "policy.toml",
        )
        for version, rho in ((1, "0.125"), (2, "0.0625"))
    )
    world = World(first)
    world.run(30)
    world.offer(replace(later, issued=day, effective=day))
    world.boot_ns += (day - world.utc_s - 1800) * NS
    world.restart()
    world.run(60)
    assert (taken(world)[-1].effective, world.reason()) == (day, Reason.OPEN)
    assert world.stop("The sensor sees into a flat")
    assert world.reason() is Reason.STOPPED


def test_the_old_disclosure_in_the_first_place_closes_the_gate_soon_after_a_change() -> None:
    """I3: a beacon that goes on with the old name and the new disclosure beside it is not on air with what is in force."""
    world = running()
    begins = changed(world, LAXER)
    while world.utc_s < begins + 60:
        world.boot_ns += NS // 2
        world.look()
        lease = Lease(digest(FIRST), OnAir.ADVERTISING, world.boot_ns, digest(LAXER))
        world.collection.lease_message(1, lease.encode())
        world.deliver(message(Kind.ALIVE))
        world.close()
        if world.utc_s == begins + 5:
            assert world.reason() is Reason.OPEN
    assert world.reason() is Reason.LEASE_MISMATCH


def test_rotating_a_signer_out_withdraws_what_is_on_notice() -> None:
    """AN-71: what the new trust root does not count is no longer on notice; it comes back under a higher version."""
    world = running()
    world.offer(LAXER)
    world.tick()
    assert world.collection.upcoming is not None
    known = trust_root(version=2)
    roles = tuple(
        replace(r, signers=tuple(signer for signer in r.signers if signer.name != "ana")) for r in known.roles
    )
    world.drop(signed_governance(replace(known, roles=roles), "ana", "ben", "chi"))
    world.tick()
    assert world.collection.upcoming is None
    assert world.reason() is Reason.OPEN


def test_a_policy_that_this_program_cannot_disclose_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """AN-72: the gate is shut, and the process lives to say why."""
    world = running()

    def fail(_policy: Policy) -> bytes:
        raise PolicyError("disclosure", expected="a policy that fits the air", got="a longer one")

    monkeypatch.setattr(worlds, "_digest", fail)
    world.restart()
    world.run(5)
    assert world.reason() is Reason.NO_POLICY
    with pytest.raises(PolicyError):
        world.collection.offer_again()


# --- any life --------------------------------------------------------------------------------------------------------

EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("readings"), st.integers(0, 60)),
        st.tuples(st.just("pass"), st.integers(1, 40)),
        st.tuples(st.just("stand still"), st.integers(3, 900)),
        st.tuples(st.just("laxer"), st.sampled_from([2, 5, 10])),
        st.tuples(st.just("stricter"), st.sampled_from([2, 5, 10])),
        st.tuples(st.just("stop"), st.just(0)),
        st.tuples(st.just("air"), st.integers(0, 1)),
        st.tuples(st.just("step"), st.integers(-40, 40)),
        st.tuples(st.just("lose"), st.integers(0, 1)),
        st.tuples(st.just("restart"), st.just(0)),
    ),
    max_size=25,
)


@settings(max_examples=60)
@given(EVENTS)
@example(
    [("pass", 6), ("stricter", 5), ("pass", 1), ("stand still", 89)]
)  # skipped windows of the new policy, an open one of the old
def test_any_life_under_changing_policies(life: list[tuple[str, int]]) -> None:
    """Readings are conserved, windows whole, each under the policy in force at its start, and within the caps, whatever is offered when."""
    world = World(FIRST)
    version, rho = 1, Fraction(1, 8)
    for event, value in life:
        match event:
            case "readings":
                world.count([BIKE] * value)
            case "pass":
                world.run(value)
            case "stand still":
                world.tick(value)
            case "laxer" | "stricter":
                version += 1
                rho = min(rho * 2, Fraction(2)) if event == "laxer" else rho / 2
                policy = make_policy(window=value, notice="10 seconds", version=version, rho=ratio(rho), cap=ratio(rho))
                if world.collection.clock_right:
                    world.offer(policy)
            case "stop":
                if world.collection.clock_right:
                    world.stop(f"Stop {len(world.entries)}")
            case "air":
                world.on_air = bool(value)
            case "step":
                world.offset_ns += value * NS
                world.tick(0.1)
            case "lose":
                world.fail_to_log(room=bool(value))
            case _:
                world.restart()
                world.tick()
        assert world.sent == world.accounted
    world.on_air = True
    world.run(60)
    assert world.sent == world.accounted
    whole(world)
    within_caps(world)
    assert Ledger(world.entries).adoption == world.collection.ledger.adoption, "a function of the log alone"


def ratio(value: Fraction) -> str:
    """As a policy writes it."""
    return f'"{value.numerator}/{value.denominator}"'


def within_caps(world: World) -> None:
    """By definition: in any span of one period the m = 4 dearest windows cost at most the smallest cap that holds in it."""
    charges: dict[int, Fraction] = {}
    for entry in world.entries:
        if isinstance(entry, Release) and entry.charge is not None and entry.charge.rho:
            charges[entry.window_start] = entry.charge.rho
    policies = world.collection.ledger.adoption.taken
    for begin in charges:
        inside = sorted((rho for at, rho in charges.items() if begin <= at < begin + PERIOD_S), reverse=True)
        ends = [two.effective for one, two in pairwise(policies)]
        caps = [
            one.policy.cap_rho
            for i, one in enumerate(policies)
            if one.effective < begin + PERIOD_S and (i >= len(ends) or ends[i] > begin)
        ]
        assert sum(inside[:4], start=Fraction(0)) <= max(caps), "never more than any policy of the span allows"
        newest = max(at for at in charges if begin <= at < begin + PERIOD_S)
        strictest = [
            one.policy.cap_rho
            for i, one in enumerate(policies)
            if one.effective <= newest and (i >= len(ends) or ends[i] > newest - PERIOD_S)
        ]
        if not any(isinstance(entry, Gap) for entry in world.entries):
            assert sum(inside[:4], start=Fraction(0)) <= max(strictest)


def test_the_board_says_what_it_does_not_measure_of_the_policy_to_come() -> None:
    """A technician learns it while the first policy is on notice, and again when another begins."""
    world = World(make_policy(window=5, notice="1 hours"))
    world.tick(board=replace(BOARD, channels=(replace(BOARD.channels[0], classes=("foot",)),)))
    assert world.reason() is Reason.ON_NOTICE
    assert world.collection.newly_unmeasured(1) == ("crossings",)


def test_stop_entries_name_who_signed() -> None:
    """The log holds the order as it was signed, and who was verified."""
    world = running()
    world.stop("Stop it")
    entry = next(entry for entry in world.entries if isinstance(entry, StopTaken))
    assert entry.by == ("steward/ana",)
    assert entry.message
