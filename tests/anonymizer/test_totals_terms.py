"""Running totals across a change of policy."""

from agent.anonymizer import strength
from agent.anonymizer.budget import Budget, terms_of, worst_case
from agent.policy import factorisation
from agent.policy.modes import CountPrivacy
from tests.anonymizer.test_kinds import Life, policy


def since(life: Life) -> int:
    return int(str(dict(life.of("passing")[-1].cells)["total/since"]))


def test_totals_begin_anew_with_their_terms() -> None:
    """AN-311: at a change of policy and after its first period a fresh counter goes on, and says since when; in between none does."""
    life = Life("passing")
    life.on(20)
    first = since(life)
    life.offer(policy("passing", version=2, passing="rho = 0.125 -> rho = 0.25"))
    life.on(40)
    changed = life.of("passing")[-1]
    assert changed.terms.policy_version == 2
    second = since(life)
    assert second > first
    life.on(20)
    assert since(life) == second
    life.on(610)
    assert since(life) > second


def test_totals_before_a_wider_policy_are_charged_for_those_announced_then() -> None:
    """AN-31, AN-308: after a change to a larger m the older windows' charges bound whoever was within the older m; the control is the larger m."""
    old = policy("passing").streams[0]
    privacy = old.privacy
    assert isinstance(privacy, CountPrivacy)
    budget = Budget()
    budget.change_terms(0, terms_of(policy("passing")))
    budget.change_terms(600, terms_of(policy("passing", version=2, passing="m = 4 -> m = 20")))
    merged = budget.presence("passing", 600)
    cost = strength.charge(old, privacy.scale_squared, privacy.m, privacy.c)
    assert merged is not None
    assert cost is not None
    assert (privacy.m, merged.m) == (4, 20)
    for windows in range(1, privacy.totals + 1):
        told = worst_case({cost.rho: windows}, merged)
        present = min(windows, privacy.m)
        assert told >= factorisation.rho(privacy.scale_squared, privacy.totals, present, privacy.c)
    told = worst_case({cost.rho: privacy.totals}, merged)
    assert told < factorisation.rho(privacy.scale_squared, privacy.totals, merged.m, merged.c)
