"""agent/policy/check: the summary that a person reads before a policy is used."""

from agent.policy.check import summary
from agent.policy.compile import policy_digest
from agent.policy.parse import parse_policy
from tests.policy.test_parse import DEMO, GOOD


def test_summary() -> None:
    """OK, the digest, the dates, and for each stream noise, threshold and cost."""
    policy = parse_policy(GOOD, "policy.toml")
    text = summary(policy, "policy.toml")
    assert text.startswith("OK  policy.toml\n")
    assert text.endswith("\n")
    for part in (
        policy_digest(policy).hex(),
        "springfield/river-bridge/bridge-01, version 3",
        "15 September 2026 to 15 September 2028, after 14 days on air",
        "0.125 of 0.125 zCDP a person and 1 day",
        "2 classes every 15 minutes; noise sd 4; published from 13; rho 0.125 for m = 4, c = 1 in 1 day",
    ):
        assert part in text
    assert "demonstration" not in text


def test_summary_of_a_demonstration() -> None:
    """A demonstration is called one."""
    assert "version 1, demonstration" in summary(parse_policy(DEMO, "d"), "d")
