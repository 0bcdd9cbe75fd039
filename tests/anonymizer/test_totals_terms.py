"""Running totals across a change of policy."""

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
