"""agent/disclosure/bound: what is claimed of an attacker is never less than what an exact attacker reaches."""

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.disclosure.bound import (
    GRID,
    Noise,
    gaussian_total_variation,
    log_low,
    right_in_100,
    total_variation,
    zcdp_total_variation,
)

Law = dict[int, float]


def discrete_gaussian(variance: float, centre: int = 0) -> Law:
    """The law of N_Z(centre, variance), to double precision, by definition."""
    reach = math.ceil(12 * math.sqrt(variance)) + 2
    weights = {k: math.exp(-k * k / (2 * variance)) for k in range(-reach, reach + 1)}
    whole = math.fsum(weights.values())
    return {k + centre: weight / whole for k, weight in weights.items()}


def distance(one: Law, other: Law) -> float:
    """Total variation, by definition."""
    return math.fsum(abs(one.get(k, 0.0) - other.get(k, 0.0)) for k in one.keys() | other.keys()) / 2


def added(one: Law, other: Law, scale: int = 1) -> Law:
    """The law of X + scale Y, X and Y independent."""
    law: Law = {}
    for x, p in one.items():
        if p > 1e-18:
            for y, q in other.items():
                law[x + scale * y] = law.get(x + scale * y, 0.0) + p * q
    return law


def exact(variance: float, shifts: list[int]) -> float:
    """TV of independent N_Z(0, variance) against N_Z(v, variance): of sum v_t y_t, which decides between them (Neyman and Pearson)."""
    there: Law = {0: 1.0}
    absent: Law = {0: 1.0}
    for shift in shifts:
        there = added(there, discrete_gaussian(variance, shift), shift)
        absent = added(absent, discrete_gaussian(variance), shift)
    return distance(there, absent)


def normal(mu_squared: float) -> float:
    """2 Phi(mu/2) - 1."""
    return math.erf(math.sqrt(mu_squared) / 2 / math.sqrt(2))


@pytest.mark.parametrize(
    "sigma_squared", [Fraction(1), Fraction(3, 2), Fraction(4), Fraction(16), Fraction(81), Fraction(1024)]
)
@pytest.mark.parametrize("shift", [1, 2, 3, 7])
def test_one_cell_never_claims_less_than_the_exact_attacker(sigma_squared: Fraction, shift: int) -> None:
    """One discrete Gaussian moved by an integer, by brute force."""
    rho = shift**2 / (2 * sigma_squared)
    reached = exact(float(sigma_squared), [shift])
    assert total_variation([Noise(rho, sigma_squared, 1)]) >= reached
    assert zcdp_total_variation(rho) >= reached
    assert gaussian_total_variation(rho, sigma_squared, 1) >= reached


@pytest.mark.parametrize("sigma_squared", [1, 2, 4, 16, 36])
@pytest.mark.parametrize("shifts", [[1, 1], [1, 1, 1, 1], [2, 1], [2, 2, 1], [3, 1, 1]])
def test_several_cells_never_claim_less_than_the_exact_attacker(sigma_squared: int, shifts: list[int]) -> None:
    """Products of discrete Gaussians: a person counted several times, also twice in one window."""
    rho = Fraction(sum(v * v for v in shifts), 2 * sigma_squared)
    noise = Noise(rho, Fraction(sigma_squared), len(shifts))
    assert total_variation([noise]) >= exact(sigma_squared, shifts)


def test_the_formula_for_real_gaussians_alone_would_be_a_lie() -> None:
    """Why Theorem B has a correction: noise on integers is a little easier to see through than 2 Phi(mu/2) - 1 says."""
    assert exact(4, [1]) > normal(1 / 4)
    assert exact(1, [1]) > normal(1.0)
    assert exact(16, [1]) > normal(1 / 16)


def test_the_claim_is_not_far_above_the_exact_attacker() -> None:
    """The default policy (rho 1/8, m 4): a claim that is always 100 would be valid and worthless."""
    noise = Noise(Fraction(1, 8), Fraction(16), 4)
    reached = exact(16, [1, 1, 1, 1])
    assert reached <= total_variation([noise]) <= Fraction(reached) + Fraction(1, 100)
    assert right_in_100(total_variation([noise])) == 61
    assert right_in_100(total_variation([noise], periods=30)) == 92
    assert right_in_100(zcdp_total_variation(Fraction(1, 8))) == 63


def test_what_the_tables_say() -> None:
    """PRIVACY.md 4.3, R10: the attacker's advantage there is for real Gaussians; the claim lies above it and near."""
    for rho, mu_squared in ((Fraction(244, 10_000), 0.0488), (Fraction(1, 8), 0.25), (Fraction(1, 2), 1.0)):
        claim = total_variation([Noise(rho, 4 / (2 * rho), 4)])
        assert normal(mu_squared) <= claim <= normal(mu_squared) + 0.03


@given(st.fractions(0, 20))
@settings(max_examples=150)
def test_theorem_a_is_the_best_of_the_known_bounds(rho: Fraction) -> None:
    """Never above Pinsker's or Bretagnolle and Huber's (but for rounding up), and solves its equation from the safe side."""
    claim = float(zcdp_total_variation(rho))
    assert claim <= min(1.0, math.sqrt(rho / 2), math.sqrt(1 - math.exp(-rho))) + 1 / GRID
    below = claim - 1 / GRID
    if 0 < below < 1 - 1e-9:
        assert below * math.log((1 + below) / (1 - below)) <= float(rho) + 1e-7
    if claim < 1:
        assert claim * math.log((1 + claim) / (1 - claim)) >= float(rho) - 1e-12


@given(st.fractions(1, 1000))
@settings(max_examples=100)
def test_logarithms_are_bounded_from_below(value: Fraction) -> None:
    """Never above the logarithm, and close to it."""
    assert math.log(value) - 1e-7 <= float(log_low(value)) <= math.log(value) + 1e-12


@given(
    st.lists(st.tuples(st.fractions(Fraction(1, 1000), 1), st.integers(1, 5)), min_size=1, max_size=3),
    st.integers(1, 60),
)
@settings(max_examples=60)
def test_more_presence_is_never_less_to_see(parts: list[tuple[Fraction, int]], periods: int) -> None:
    """The claim grows with days and with streams, and knowing the kind of noise never makes it worse."""
    noises = [Noise(rho, m / (2 * rho), m) for rho, m in parts]
    claim = total_variation(noises, periods)
    assert total_variation(noises, periods + 1) >= claim
    assert total_variation(noises[:-1], periods) <= claim
    assert total_variation([Noise(n.rho, None, n.cells) for n in noises], periods) >= claim


def test_nothing_published_is_a_coin() -> None:
    """No noise to look at: 50 is guessing; no noise at all: 100."""
    assert right_in_100(total_variation([])) == 50
    assert right_in_100(Fraction(1)) == 100
    assert right_in_100(Fraction(1, GRID)) == 51, "rounded up, always"
    assert total_variation([Noise(Fraction(1000), Fraction(1), 10)]) == 1


def test_impossible_arguments_are_refused() -> None:
    """A sign error elsewhere does not become a promise."""
    with pytest.raises(ValueError, match="from 0 to 1"):
        right_in_100(Fraction(-1, 2))
    with pytest.raises(ValueError, match="0 or more"):
        zcdp_total_variation(Fraction(-1))
    with pytest.raises(ValueError, match="positive"):
        gaussian_total_variation(Fraction(1), Fraction(0), 1)
    with pytest.raises(ValueError, match="positive"):
        total_variation([Noise(Fraction(1), None, 0)])
