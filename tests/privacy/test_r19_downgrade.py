"""R19: put a laxer policy in place of the one in force."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from agent.anonymizer import transition
from agent.anonymizer.budget import Budget, Terms
from agent.anonymizer.ledger import Ledger
from agent.contracts.log import Charge, PolicyOffered, PolicyTaken, Release
from agent.errors import PolicyError, SignatureError
from agent.policy.compile import compile_policy
from agent.policy.enforcement import ENFORCED
from agent.policy.model import Policy
from agent.policy.modes import ThresholdOnly
from agent.policy.parse import parse_policy
from agent.policy.signed import Kind, verify_policy
from agent.wire import cbor, cose_sign
from tests.anonymizer.stage import BIKE, Unit, make_policy, policy_text
from tests.anonymizer.test_governance import Air
from tests.anonymizer.worlds import World
from tests.policy.roots import KEYS, NOW_S, STRANGER, root
from tests.privacy.mechanism import CONFIG
from tests.privacy.table import Record
from tests.signing import signed_policy

STRICT, LAX = {"rho": "0.03125", "cap": "0.03125"}, {"rho": "0.125", "cap": "0.125"}
"""Of a policy with one stream: what a person costs in a period, and at most."""
PERIOD_S = 600


def signed(policy: Policy, *who: str) -> bytes:
    keys = [STRANGER if name == "?" else KEYS[name] for name in who]
    return cose_sign.sign(compile_policy(policy), keys, content_type=Kind.POLICY.content_type)


def twice(message: bytes) -> bytes:
    """The same with its one signature twice."""
    tag = cbor.decode(message, max_depth=8)
    assert isinstance(tag, cbor.CBORTag)
    *head, signatures = tag.value
    return cbor.encode(cbor.CBORTag(tag.tag, [*head, signatures * 2]))


def test_a_laxer_policy_is_refused_without_its_signatures(record: Record) -> None:
    """I7: neither by nobody, one signer, one role, a stranger, for another purpose, nor with one byte changed after it was signed."""
    text = (CONFIG / "policy.toml").read_text()
    more = parse_policy(text.replace("rho = 0.125", "rho = 0.5"), "policy.toml")
    bare = replace(more.streams[0], privacy=ThresholdOnly(k=5, max_count=5000))
    lax = [more, replace(more, streams=(bare,))]
    tried = refused = 0
    for policy in lax:
        enough = signed(policy, "ana", "cy")
        attempts = [
            compile_policy(policy),
            *(signed(policy, *who) for who in (("ana",), ("ana", "bo"), ("?", "cy"), ("dee", "eve"))),
            twice(signed(policy, "ana")),
            cose_sign.sign(
                compile_policy(policy), [KEYS["ana"], KEYS["cy"]], content_type=Kind.GOVERNANCE.content_type
            ),
            *(enough[:at] + bytes([enough[at] ^ 1]) + enough[at + 1 :] for at in range(0, len(enough), 97)),
        ]
        for message in attempts:
            tried += 1
            try:
                verify_policy(message, root(), NOW_S)
            except (PolicyError, SignatureError):
                refused += 1
        assert verify_policy(enough, root(), NOW_S).policy == policy
    assert refused == tried
    one_signer = root(("signatures = 2\neach_role = true", "signatures = 1\neach_role = false"))
    assert verify_policy(signed(lax[0], "ana"), one_signer, NOW_S)
    record(
        "R19",
        "a laxer policy without its signatures",
        measured=f"{refused} of {tried} refused",
        claim="all",
        caught=["a root that asks for one signature"],
    )


def dearest_period(world: World) -> Fraction:
    """From the published log alone: the most that one who was counted four times could have been charged in any one period."""
    charges = [
        (entry.window_start, entry.charge.rho)
        for entry in world.entries
        if isinstance(entry, Release) and entry.charge is not None and entry.charge.rho
    ]
    return max(
        sum(sorted((rho for at, rho in charges if begin <= at < begin + PERIOD_S), reverse=True)[:4], Fraction(0))
        for begin, _ in charges
    )


def swap() -> Fraction:
    """A unit runs under STRICT, is restarted, is offered LAX with all its signatures, and counts on for less than a period after it began."""
    world = World(make_policy(window=5, notice="5 seconds", **STRICT))
    world.run(100, step=1)
    world.restart()
    world.tick(1)
    world.offer(make_policy(version=2, window=5, notice="5 seconds", **LAX))
    for _ in range(300):
        world.count([BIKE] * 40)
        world.tick(1)
    assert [one.policy.version for one in world.collection.ledger.adoption.taken] == [1, 2], "LAX is in force"
    return dearest_period(world)


def test_the_strictest_policy_of_the_last_period_holds(record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    """AN-31, AN-34: a policy with four times the rate, taken over in earnest, gets nothing out that the old cap would not have allowed: the
    older noise sees to it, and the older cap does where the noise is the newer's. Nothing here is left to chance."""
    found = swap()
    assert found <= Fraction(STRICT["cap"])

    monkeypatch.setattr(transition, "_ended", lambda taken, at: iter(()))
    by_cap_alone = swap()
    assert by_cap_alone <= Fraction(STRICT["cap"])

    def newest(budget: Budget, at: int) -> Terms:
        return budget._terms[-1][1]

    monkeypatch.setattr(Budget, "_in_force", newest)
    control = swap()
    assert control > Fraction(STRICT["cap"])
    record(
        "R19",
        "four times the rho, within one period",
        measured=f"rho {found} in any period; {by_cap_alone} by the cap alone",
        claim=f"<= {Fraction(STRICT['cap'])}",
        caught=[f"noise and budget that know the newest policy only ({control})"],
    )


WITHOUT_GUARANTEE = """mode = "threshold-only"
k = 5
max_count = 5000
"""


def text_of(version: int, rates: dict[str, str], notice: str = "1 seconds") -> str:
    """A policy with windows of a second."""
    return policy_text(version=version, notice=notice, rho=rates["rho"], cap=rates["cap"])


def threshold_only(version: int) -> str:
    """STRICT's stream without its noise."""
    text = text_of(version, STRICT)
    return text.partition('mode = "dp"')[0] + WITHOUT_GUARANTEE


def under(unit: Unit, version: int) -> list[Release]:
    """The Releases of one policy."""
    taken = [one for one in Ledger(unit.entries()).adoption.taken if one.policy.version == version]
    return [each for each in unit.releases() if each.disclosure_digest in {one.disclosure_digest for one in taken}]


def highest_rho(releases: list[Release]) -> Fraction:
    """The dearest window."""
    return max((each.charge.rho for each in releases if each.charge is not None), default=Fraction(0))


def test_the_daemon_takes_up_nothing_laxer_but_by_the_rules(tmp_path: Path, record: Record) -> None:
    """AN-71, AN-31, AN-34 at the real process, by its offer folder: refused whole, each for its own reason, while the policy in force goes on;
    what is signed by enough waits out its notice and then draws the older noise. A stranger's log, in which it did not, is told from it."""
    unit = Unit(tmp_path, text_of(2, STRICT))
    lax = text_of(3, LAX, "2 seconds")
    refusals = {
        "same-version": (signed_policy(text_of(2, LAX)), "higher than any seen"),
        "one-signature": (signed_policy(lax, "ana"), "2 of the 3 signers"),
    }
    enforced = ("count", "threshold-only") in ENFORCED
    if not enforced:
        refusals["threshold-only"] = signed_policy(threshold_only(3)), "threshold-only"
    try:
        unit.start()
        air = Air(unit)
        air.until(lambda: unit.reason() == "open" and len(unit.releases()) > 0, "a release")
        before = Ledger(unit.entries()).adoption
        for name, (message, words) in refusals.items():
            unit.drop(name, message)
            air.until(lambda name=name: unit.state().offer_refused.startswith(name), f"{name} refused")  # type: ignore[misc]  # bound at once
            assert words in unit.state().offer_refused
            assert (unit.reason(), unit.state().policy_version, unit.state().upcoming_version) == ("open", 2, 0)
        assert Ledger(unit.entries()).adoption == before
        unit.drop("lax.cose", signed_policy(lax))
        air.until(lambda: unit.state().upcoming_version == 3, "on notice")
        assert (unit.state().policy_version, unit.state().gate) == (2, "open")
        air.until(lambda: unit.state().policy_version == 3 and highest_rho(under(unit, 3)) > 0, "numbers under it")
        if enforced:
            unit.drop("threshold-only.cose", signed_policy(threshold_only(4)))
            air.until(lambda: unit.state().upcoming_version == 4, "threshold-only on notice")
            assert unit.state().policy_version == 3
        assert unit.stop() == 0
        entries = unit.entries()
    finally:
        unit.end()
    taken = [entry for entry in entries if isinstance(entry, PolicyTaken)]
    offered = [entry for entry in entries if isinstance(entry, PolicyOffered)]
    assert taken[1].effective - offered[1].at >= 2, "its notice was served"
    budget = Ledger(entries).budget
    rate = Fraction(STRICT["rho"]) / 4
    found = highest_rho(under(unit, 3))
    assert found == rate == highest_rho(under(unit, 2))
    assert budget.spent(taken[1].effective + 3) <= Fraction(STRICT["cap"])
    assert not budget.affordable("crossings", taken[1].effective + 60, 4 * rate), "by the stricter cap"

    laxer_rate = Charge(4 * rate)
    stranger = [replace(one, charge=laxer_rate) if one in under(unit, 3) else one for one in entries]
    spent = Ledger(stranger).budget.spent(taken[1].effective + 3)
    assert spent > Fraction(STRICT["cap"])
    record(
        "R19",
        "offered to the real daemon",
        measured=f"{len(refusals)} of {len(refusals)} refused; the signed one after its notice, at rho {found} a window",
        claim=f"all; <= {rate} for a period",
        caught=[f"a log that charges the newer rate at once (rho {spent})"],
    )
