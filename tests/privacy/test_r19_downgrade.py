"""R19: put a laxer policy in place of the one in force."""

import dataclasses
import time
from fractions import Fraction
from pathlib import Path

import pytest

from agent.anonymizer.budget import Budget, Terms
from agent.contracts.log import Release
from agent.errors import PolicyError, SignatureError
from agent.policy.compile import compile_policy
from agent.policy.model import Policy, ThresholdOnly
from agent.policy.parse import parse_policy
from agent.policy.signed import Kind, verify_policy
from agent.wire import cbor, cose
from tests.anonymizer.stage import BIKE, WAIT_S, Unit, make_policy, policy_text
from tests.anonymizer.worlds import World
from tests.policy.roots import KEYS, NOW_S, STRANGER, root
from tests.privacy.mechanism import CONFIG
from tests.privacy.table import Record

STRICT, LAX = {"rho": "0.03125", "cap": "0.03125"}, {"rho": "0.125", "cap": "0.125"}
PERIOD_S = 600


def signed(policy: Policy, *who: str) -> bytes:
    keys = [STRANGER if name == "?" else KEYS[name] for name in who]
    return cose.sign(compile_policy(policy), keys, content_type=Kind.POLICY.content_type)


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
    bare = dataclasses.replace(more.streams[0], privacy=ThresholdOnly(k=5, max_count=5000))
    lax = [more, dataclasses.replace(more, streams=(bare,))]
    tried = refused = 0
    for policy in lax:
        enough = signed(policy, "ana", "cy")
        attempts = [
            compile_policy(policy),
            *(signed(policy, *who) for who in (("ana",), ("ana", "bo"), ("?", "cy"), ("dee", "eve"))),
            twice(signed(policy, "ana")),
            cose.sign(compile_policy(policy), [KEYS["ana"], KEYS["cy"]], content_type=Kind.GOVERNANCE.content_type),
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
    """A unit runs under STRICT, restarts under LAX, and counts on for less than a period."""
    world = World(make_policy(window=5, notice="5 seconds", **STRICT))
    world.run(100, step=1)
    world.policy = make_policy(version=2, window=5, notice="5 seconds", **LAX)
    world.restart()
    world.tick(1)
    for _ in range(300):
        world.count([BIKE] * 40)
        world.tick(1)
    return dearest_period(world)


def test_the_strictest_policy_of_the_last_period_holds(record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    """AN-31: a policy with four times the rate, taken over in earnest, gets nothing out that the old cap would not have allowed."""
    found = swap()
    assert found <= Fraction(STRICT["cap"])

    def newest(budget: Budget, at: int) -> Terms:
        return budget._terms[-1][1]

    monkeypatch.setattr(Budget, "_in_force", newest)
    control = swap()
    assert control > Fraction(STRICT["cap"])
    record(
        "R19",
        "four times the rho, within one period",
        measured=f"rho {found} in any period",
        claim=f"<= {Fraction(STRICT['cap'])}",
        caught=[f"a budget that knows the newest policy only ({control})"],
    )


def test_the_daemon_never_goes_back(tmp_path: Path) -> None:
    """I7: the real process, its policy file exchanged while it was stopped; the log stays as it was."""
    unit = Unit(tmp_path, policy_text(version=2, rho="0.03125", cap="0.03125"))
    try:
        unit.start()
        unit.wait(lambda: (unit.log / "checkpoint").exists(), "a log")
        beacon = unit.beacon()
        until = time.monotonic() + WAIT_S
        while unit.reason() != "open":
            assert time.monotonic() < until
            beacon.lease(unit.digest)
            time.sleep(0.1)
        unit.stop()
        before = unit.entries()
        unit.policy.write_text(policy_text(version=1, rho="0.125", cap="0.125"))
        code, said = unit.refused()
        assert code == 2
        assert "a unit never goes back" in said
        assert unit.entries() == before
        unit.policy.write_text(policy_text(version=2, rho="0.03125", cap="0.03125"))
        unit.start()
        assert unit.stop() == 0
    finally:
        unit.end()
