"""Governance over the real process: offers as files, the public folder as everyone sees it, kills at any moment."""

import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from agent.anonymizer.ledger import Ledger
from agent.anonymizer.window import NS
from agent.contracts import aggregate
from agent.contracts.board_seen import BoardSeen
from agent.contracts.gate_log import GateChanges
from agent.contracts.log import Gap, GovernanceTaken, NoticeServed, PolicyOffered, PolicyTaken, Release, StopTaken
from agent.contracts.public import Envelope, StopNotice, open_envelope, open_stop
from agent.disclosure.datachain import compile_disclosure, decode_disclosure
from agent.policy.parse import parse_policy
from tests.anonymizer.stage import BIKE, KEY, Beacon, Bridge, Unit, policy_text
from tests.signing import signed_governance, signed_policy, signed_stop, trust_root

PUBLIC = KEY.public_key().public_bytes_raw()
LAXER = policy_text(version=2, notice="3 seconds", rho="0.25", cap="0.25")


@pytest.fixture
def unit(tmp_path: Path) -> Iterator[Unit]:
    unit = Unit(tmp_path)
    yield unit
    unit.end()


def digest_of(text: str) -> bytes:
    return compile_disclosure(parse_policy(text, "policy.toml")).digest


def sealed(unit: Unit, name: str) -> Envelope | None:
    path = unit.folder / "public" / name
    return open_envelope(path.read_bytes(), PUBLIC) if path.exists() else None


class Air:
    """A beacon that shows what the public folder holds, and leases exactly that, as the real one does; a board beside it."""

    def __init__(self, unit: Unit) -> None:
        self.unit = unit
        self.beacon: Beacon = unit.beacon()
        self.bridge: Bridge = unit.bridge()

    def turn(self) -> None:
        """A quarter of a second on air."""
        envelope, upcoming = sealed(self.unit, "envelope"), sealed(self.unit, "upcoming")
        if envelope is not None:
            beside = upcoming.digest if upcoming is not None and upcoming.digest != envelope.digest else None
            self.beacon.lease(envelope.digest, beside)
        self.bridge.alive()
        self.bridge.readings([BIKE] * 30)
        time.sleep(0.25)

    def until(self, holds: Callable[[], bool], what: str, within_s: float = 30.0) -> float:
        """Stay on air until something holds; how long it took."""
        began = time.monotonic()
        while not holds():
            assert time.monotonic() < began + within_s, f"not within {within_s} s: {what}; {self.unit.errors()}"
            self.turn()
        return time.monotonic() - began


def test_the_first_policy_by_the_offer_folder(unit: Unit) -> None:
    """AN-73: a unit without a policy says so, names its city, and takes its name from the first one; the log is then that unit's."""
    unit.policy.unlink()
    unit.start()
    state = unit.state()
    assert (state.reason.value, state.city, state.unit, state.policy_version) == ("no_policy", "springfield", "", 0)
    assert not unit.log.exists()
    offered = unit.drop("first.cose", signed_policy(unit.text))
    unit.wait(lambda: not offered.exists(), "the first policy taken up")
    air = Air(unit)
    air.until(lambda: unit.reason() == "open", "an open gate")
    assert unit.state().unit == "bridge-01"
    with_windows = Release | GateChanges | BoardSeen  # how many of them there are by now is a matter of time
    kinds = [type(entry) for entry in unit.entries() if not isinstance(entry, with_windows)]
    assert kinds == [PolicyOffered, NoticeServed, PolicyTaken]
    other = unit.drop("other.cose", signed_policy(policy_text(version=2).replace("bridge-01", "bridge-02")))
    unit.wait(lambda: not other.exists(), "the other unit's policy judged")
    unit.wait(lambda: "got one for springfield/bridge/bridge-02" in unit.state().offer_refused, "the refusal")


def test_a_laxer_policy_from_offer_to_effect(unit: Unit) -> None:
    """AN-23, AN-34, AN-45, AN-74: shown beside the one in force, then in its place; the log says when and under what."""
    unit.start()
    air = Air(unit)
    air.until(lambda: unit.reason() == "open", "an open gate")
    offered = unit.drop("laxer.cose", signed_policy(LAXER))
    air.until(lambda: sealed(unit, "upcoming") is not None, "the upcoming envelope")
    assert not offered.exists()
    beside = sealed(unit, "upcoming")
    assert beside is not None
    assert beside.digest == digest_of(LAXER)
    assert beside.not_before is not None
    assert decode_disclosure(beside.disclosure).policy_version == 2
    air.until(lambda: unit.state().upcoming_version == 2, "upcoming in state")
    state = unit.state()
    assert (state.gate, state.policy_version, state.upcoming_disclosure) == ("open", 1, digest_of(LAXER).hex())
    assert 0 < state.upcoming_remaining_s <= 5
    air.until(lambda: unit.state().policy_version == 2, "the change")
    assert unit.state().upcoming_version == 0
    assert sealed(unit, "upcoming") is None
    current = sealed(unit, "envelope")
    assert current is not None
    assert (current.digest, current.not_before) == (digest_of(LAXER), None)
    air.until(lambda: len(packs(unit, digest_of(LAXER))) >= 4, "releases under it")
    change = [entry for entry in unit.entries() if isinstance(entry, PolicyTaken)][1]
    assert abs(beside.not_before - change.effective) <= 6
    old, new = packs(unit, unit.digest), packs(unit, digest_of(LAXER))
    assert old[-1].window_start + 1 == new[0].window_start == change.effective
    assert {pack.terms.noise_sd for pack in new} == {Decimal(4)}, "the older, larger noise"
    assert [pack.reason for pack in new[1:4]] == [None] * 3
    assert unit.stop() == 0


def packs(unit: Unit, digest: bytes) -> list[aggregate.Aggregate]:
    return [aggregate.decode(entry.payload) for entry in unit.releases() if entry.disclosure_digest == digest]


def test_refused_offers_are_named_deleted_and_change_nothing(unit: Unit) -> None:
    """AN-71, I8: each with its reason in `state`; the policy in force goes on."""
    unit.start()
    air = Air(unit)
    air.until(lambda: unit.reason() == "open", "an open gate")
    before = Ledger(unit.entries()).adoption
    good = signed_policy(LAXER)
    for name, message, words in (
        ("one-signature", signed_policy(LAXER, "ana"), "2 of the 3 signers"),
        ("unsigned", LAXER.encode(), "COSE_Sign"),
        ("torn", good[:-3], "COSE_Sign"),
        ("changed", good.replace(b"Counter", b"Cointer"), "signature"),
        ("rollback", signed_policy(policy_text(version=1, notice="2 seconds")), "higher than any seen"),
        ("other-city", signed_policy(LAXER.replace("springfield", "shelbyville")), "city"),
        ("10-mb", bytes(10_000_000), "at most 65536 bytes"),
        ("nested", b"\x81" * 60_000, "COSE_Sign"),
        ("empty", b"", "COSE_Sign"),
        ("odd\nname\x1b[2J", b"x", "odd?name?[2J"),
        ("other-unit-stop", signed_stop("Stop it", now(), unit="bridge-02"), "one for bridge-02"),
        ("stop-by-nobody", signed_stop("Stop it", now(), "ana").replace(b"Stop", b"Halt"), "signature"),
    ):
        path = unit.drop(name, message)
        air.until(lambda path=path: not path.exists(), f"{name} judged")  # type: ignore[misc]
        air.until(lambda name=name: unit.state().offer_refused.startswith(name[:3]), f"{name} named in state")  # type: ignore[misc]
        assert words in unit.state().offer_refused, name
        assert unit.reason() == "open"
    assert Ledger(unit.entries()).adoption == before
    unit.drop("laxer.cose", good)
    air.until(lambda: unit.state().upcoming_version == 2, "a good one after all")
    assert unit.state().offer_refused == ""
    assert "\x1b" not in unit.errors()


def now() -> int:
    return time.clock_gettime_ns(time.CLOCK_REALTIME) // NS


def test_a_stop_order_within_fifteen_seconds_and_over_restarts(unit: Unit) -> None:
    """AN-25, Must show 5: signed at second 0, gate closed, reason and by whom aired and published; last release before it."""
    unit.start()
    air = Air(unit)
    air.until(lambda: len(packs(unit, unit.digest)) >= 3, "releases")
    signed_at = now()
    unit.drop("stop.cose", signed_stop("Recorded speech", signed_at))
    took = air.until(lambda: unit.reason() == "stopped", "the gate closed")
    assert took < 15
    state = unit.state()
    assert (state.gate, state.stop_reason, state.stop_by) == ("closed", "Recorded speech", "steward/ana")
    notice = open_stop((unit.folder / "public" / "stop").read_bytes(), PUBLIC)
    assert notice == StopNotice("Recorded speech", ("steward/ana",), state.since)
    last = max(pack.window_start for pack in packs(unit, unit.digest) if pack.reason is None)
    assert last < signed_at + 15
    air.until(
        lambda: len([p for p in packs(unit, unit.digest) if p.window_start > last]) >= 3, "windows without numbers"
    )
    assert all(pack.reason is not None for pack in packs(unit, unit.digest) if pack.window_start > last)
    unit.stop(signal.SIGKILL)
    unit.start()
    air = Air(unit)
    air.until(lambda: unit.reason() == "stopped", "still stopped")
    assert unit.state().stop_reason == "Recorded speech"
    lifting = parse_policy(LAXER, "policy.toml")
    unit.drop("lift.cose", signed_policy(replace(lifting, issued=now(), effective=now())))
    air.until(lambda: unit.reason() == "open", "lifted")
    assert unit.state().stop_reason == ""
    assert not (unit.folder / "public" / "stop").exists()
    assert sum(isinstance(entry, StopTaken) for entry in unit.entries()) == 1


def test_killed_at_any_moment_of_an_adoption(unit: Unit) -> None:
    """AN-72: kills all along, from the first offer to the second policy's releases; both come into force once, nothing twice."""
    unit.policy.unlink()
    unit.drop("first.cose", signed_policy(policy_text()))
    for round_ in range(14):
        unit.start(counters=False)
        if round_ == 7:
            unit.drop("second.cose", signed_policy(LAXER))
        air = Air(unit)
        until = time.monotonic() + 0.3 + 0.5 * (round_ % 7)
        while time.monotonic() < until:
            air.turn()
        unit.stop(signal.SIGKILL)
    unit.start(counters=False)
    air = Air(unit)
    air.until(lambda: unit.reason() == "open" and unit.state().policy_version == 2, "both policies in turn")
    air.until(lambda: len(packs(unit, digest_of(LAXER))) >= 2, "releases of the second")
    unit.stop()
    entries = unit.entries()
    assert [type(entry) for entry in entries if isinstance(entry, PolicyOffered | PolicyTaken)] == [
        PolicyOffered,
        PolicyTaken,
    ] * 2
    assert list(unit.offers.iterdir()) == []
    covered: list[int] = []
    for entry in entries:
        if isinstance(entry, Release):
            covered.append(entry.window_start)
        if isinstance(entry, Gap):
            covered += [entry.first_start + i * entry.window_s for i in range(entry.count)]
    assert covered == list(range(covered[0], covered[0] + len(covered))), "each window once, in order, none left out"


def test_the_next_trust_root_is_signed_under_the_old_one(unit: Unit) -> None:
    """AN-71: rotation; what the new root no longer allows is refused from then on, over a restart too."""
    unit.start()
    air = Air(unit)
    air.until(lambda: unit.reason() == "open", "an open gate")
    stricter = trust_root(version=2, threshold=3)
    skipped = unit.drop("root3.cose", signed_governance(replace(stricter, version=3), "ana", "ben", "chi"))
    air.until(
        lambda: not skipped.exists() and "2, the one after" in unit.state().offer_refused, "a skipped version refused"
    )
    unit.drop("root2.cose", signed_governance(stricter, "ana", "ben", "chi"))
    unit.wait(lambda: any(isinstance(entry, GovernanceTaken) for entry in unit.entries()), "the next root")
    unit.stop(signal.SIGKILL)
    unit.start()
    air = Air(unit)
    two = unit.drop("two.cose", signed_policy(LAXER))
    air.until(lambda: not two.exists() and "3 of the 3 signers" in unit.state().offer_refused, "two are not enough now")
    unit.drop("three.cose", signed_policy(LAXER, "ana", "ben", "chi"))
    air.until(lambda: unit.state().upcoming_version == 2, "three are")


def test_without_a_trust_root_nothing_starts(unit: Unit) -> None:
    """A missing or damaged governance file is one line and exit 2."""
    root = unit.folder / "governance.cbor"
    root.write_bytes(b"\xa8\x00")
    code, said = unit.refused()
    assert code == 2
    assert "compiled governance" in said
    root.unlink()
    code, said = unit.refused()
    assert code == 2
    assert "expected the trust root" in said
