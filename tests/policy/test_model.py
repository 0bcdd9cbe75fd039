"""agent/policy/model: sigma, tau and charge are exact and follow PRIVACY.md 1.2 and 4, PROOF.md Lemma 8."""

import dataclasses
import math
from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.policy import factorisation
from agent.policy.modes import CountPrivacy, ScalarPrivacy, Threshold, UniquePrivacy


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


@pytest.mark.parametrize(("m", "c"), [(m, c) for m in range(1, 5) for c in range(1, m + 1)])
def test_scalar_worst_case_by_enumeration(m: int, c: int) -> None:
    """PRIVACY.md 1.6: whoever touches s samples of a window moves its sum by s spans; no presence costs more than rho, one just that."""
    stated = ScalarPrivacy(Fraction(1, 8), m, c, Fraction(30), Fraction(100), Fraction(1, 2), 60)
    assert stated.span == 140
    worst = max(
        sum(Fraction(count * stated.span) ** 2 for count in counts) / (2 * stated.sigma_squared)
        for counts in product(range(c + 1), repeat=5)
        if sum(counts) <= m
    )
    assert worst == stated.rho
    assert stated.charge * (m // c * c**2 + (m % c) ** 2) == stated.rho


def test_scalar_noise_of_the_mean() -> None:
    """PRIVACY.md 1.6: at rho 0.125 and 70 dB, one minute of an hour costs 2.3 dB of the mean, five samples of sixty 11.7 dB."""
    for samples, touched, wanted in ((3600, 60, 2.3), (60, 5, 11.7)):
        stated = ScalarPrivacy(Fraction(1, 8), touched, touched, Fraction(30), Fraction(100), Fraction(1), samples)
        assert round(float(stated.mean_sigma_squared) ** 0.5, 1) == wanted


@given(st.fractions(Fraction(1, 100), 2), st.integers(1, 5), st.integers(1, 20))
def test_unique_costs_what_it_states(epsilon: Fraction, addresses: int, m: int) -> None:
    """One person's addresses move the set cells by at most `addresses`: exp(addresses * parameter) = exp(epsilon), in zCDP epsilon^2/2."""
    stated = UniquePrivacy(epsilon, m, addresses, Threshold(5, Fraction(2)))
    assert stated.address_epsilon * addresses == epsilon
    assert stated.rho == m * epsilon**2 / 2
    parameter = float(stated.address_epsilon)
    variance = 2 * math.exp(-parameter) / (1 - math.exp(-parameter)) ** 2
    assert variance <= float(stated.sigma_squared) * (1 + 1e-9)
    assert stated.tau >= 5 + math.floor(2 * variance**0.5)


def test_discrete_laplace_changes_by_no_more_than_epsilon() -> None:
    """By enumeration: shifting the noise by `addresses` changes no probability by more than the factor exp(epsilon), and some by just that."""
    stated = UniquePrivacy(Fraction(1, 2), 1, 2, Threshold(5, Fraction(2)))
    weight = {x: math.exp(-abs(x) * float(stated.address_epsilon)) for x in range(-50, 51)}
    ratios = [weight[x] / weight[x + 2] for x in range(-50, 49)]
    assert math.isclose(max(ratios), math.exp(0.5))


def test_running_totals_cost_what_they_state() -> None:
    """The counter's sigma is such that the worst presence costs at most rho; numbers and totals are noisier than sigma says alone."""
    stated = dataclasses.replace(privacy(4, 1), totals=96)
    assert factorisation.rho(stated.scale_squared, 96, 4, 1) == stated.rho
    assert stated.charge * 4 == stated.rho
    assert privacy(4, 1).sigma_squared < stated.scale_squared < stated.sigma_squared < stated.total_sigma_squared
    assert stated.tau == 5 + math.ceil(2 * math.sqrt(stated.sigma_squared))
