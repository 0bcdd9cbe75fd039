"""agent/policy/model: sigma, tau and charge are exact and follow PRIVACY.md 1.2 and 4, PROOF.md Lemma 8."""

from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.policy.model import CountPrivacy, Threshold


def privacy(m: int, c: int, rho: Fraction = Fraction(1, 8), k: int = 5, z: Fraction = Fraction(2)) -> CountPrivacy:
    return CountPrivacy(rho, m, c, Threshold(k, z), 1000)


@pytest.mark.parametrize(("m", "c"), [(m, c) for m in range(1, 7) for c in range(1, m + 1)])
def test_worst_case_by_enumeration(m: int, c: int) -> None:
    """No way to spread at most m readings, at most c a window, over six windows costs more than rho, and one costs just that."""
    stated = privacy(m, c)
    worst = max(
        sum(Fraction(count) ** 2 for count in counts) * stated.charge
        for counts in product(range(c + 1), repeat=6)
        if sum(counts) <= m
    )
    assert worst == stated.rho


def test_event_level() -> None:
    """m = c = 1: rho = 1 / (2 sigma^2)."""
    assert privacy(1, 1).sigma_squared == Fraction(4)
    assert privacy(1, 1).charge == Fraction(1, 8)


def test_c_divides_m() -> None:
    """sigma^2 = c m / (2 rho)."""
    assert privacy(12, 3, Fraction(1, 2)).sigma_squared == Fraction(36)


@given(st.integers(1, 60), st.data(), st.integers(0, 20), st.fractions(0, 10, max_denominator=50))
def test_tau_is_the_exact_ceiling(m: int, data: st.DataObject, k: int, z: Fraction) -> None:
    """tau is the smallest integer >= k + z sigma, without a float."""
    stated = privacy(m, data.draw(st.integers(1, m)), k=k, z=z)
    over = stated.tau - k
    assert over**2 >= z**2 * stated.sigma_squared
    assert over == 0 or (over - 1) ** 2 < z**2 * stated.sigma_squared
