"""agent/policy/factorisation: each lemma of the anonymizer's SPEC that is about numbers alone, with the variant that would break it."""

import math
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from itertools import combinations, product

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.policy import factorisation
from agent.policy.factorisation import (
    MAX_STEPS,
    Coefficients,
    coefficients,
    increment_gain,
    rho,
    scale_squared,
    sensitivity_squared,
    total_gain,
)
from agent.policy.modes import worst_presence

Floats = NDArray[np.float64]


def root(steps: int) -> Floats:
    """c*_0 .. c*_{T-1} in double precision."""
    c = np.ones(steps)
    for k in range(1, steps):
        c[k] = c[k - 1] * (2 * k - 1) / (2 * k)
    return c


def unrounded(steps: int) -> Floats:
    """U* = A^(1/2) diag(1/s)."""
    c = root(steps)
    norms = np.sqrt(np.cumsum(c**2)[::-1])
    lower: Floats = np.array([[c[t - j] if t >= j else 0 for j in range(steps)] for t in range(steps)])
    return lower / norms


def rounded(given: Coefficients) -> Floats:
    """U of the mechanism."""
    steps = len(given.c)
    rows = [
        [given.c[t - j] * given.r[j] / 2**40 if t > j else 2**16 / given.s[t] if t == j else 0.0 for j in range(steps)]
        for t in range(steps)
    ]
    return np.array(rows)


@pytest.mark.parametrize("steps", [1, 2, 3, 24, 96, 300])
def test_coefficients_are_rounded_to_the_claimed_side(steps: int) -> None:
    """AN-301: c and r are the floors and s the ceilings of the exact values, c_0 = 1 and the last r and s are 1."""
    given = coefficients(steps)
    c = [Fraction(math.comb(2 * k, k), 4**k) for k in range(steps)]
    squares = [sum(x * x for x in c[: steps - j]) for j in range(steps)]
    assert list(given.c) == [math.floor(x * 2**20) for x in c]
    for r, s, square in zip(given.r, given.s, squares, strict=True):
        assert r**2 * square <= 2**40 < (r + 1) ** 2 * square
        assert (s - 1) ** 2 < square * 2**32 <= s**2
    assert (given.c[0], given.r[-1], given.s[-1]) == (2**20, 2**20, 2**16)


@pytest.mark.parametrize("steps", [2, 24, 96, 480])
def test_no_entry_is_larger_than_unrounded(steps: int) -> None:
    """AN-301: U <= U* in every entry, so no presence costs more. Control: the nearest instead of the lower c breaks it."""
    given = coefficients(steps)
    assert (rounded(given) <= unrounded(steps) * (1 + 1e-12)).all()
    nearest = Coefficients(tuple(round(x * 2**20) for x in root(steps)), given.r, given.s)
    if steps > 2:
        assert (rounded(nearest) > unrounded(steps) * (1 + 1e-12)).any()


@pytest.mark.parametrize("steps", [1, 2, 24, 96])
def test_one_reading(steps: int) -> None:
    """AN-304: |U e_j|^2 = 1/s_j^2 + sum (c r_j)^2 <= 1, and 1 but for rounding. Control: r_j^2 for the first term is not its cost."""
    given = coefficients(steps)
    u = rounded(given)
    for j in range(steps):
        exact = given.cost({j: 1})
        assert 1 - Fraction(1, 5000) < exact <= 1
        assert float(exact) == pytest.approx(float((u[:, j] ** 2).sum()), rel=1e-12)
        wrong = exact - Fraction(2**16, given.s[j]) ** 2 + Fraction(given.r[j], 2**20) ** 2
        assert j == steps - 1 or wrong != exact


@pytest.mark.parametrize(("steps", "m", "c"), [(5, m, c) for m in range(1, 6) for c in range(1, m + 1)])
def test_worst_presence_by_enumeration(steps: int, m: int, c: int) -> None:
    """AN-305: no whole v with v_t <= c and sum <= m costs more; the bound is reached but for rounding when c divides m."""
    given = coefficients(steps)
    worst = max(
        given.cost({t: v for t, v in enumerate(presence) if v})
        for presence in product(range(c + 1), repeat=steps)
        if 0 < sum(presence) <= m
    )
    bound = sensitivity_squared(steps, m, c)
    assert worst <= bound
    if m % c == 0:
        assert bound < worst * (1 + Fraction(1, 1000))


def test_independent_noise_would_claim_too_little() -> None:
    """The control: c m, right for independent noise, is less than what four readings in a row cost here."""
    given = coefficients(24)
    assert given.cost(dict.fromkeys(range(4), 1)) > 2 * worst_presence(4, 1)
    assert given.cost({0: 2, 1: 2}) > worst_presence(4, 2)
    assert given.cost({0: 2, 1: 1}) > worst_presence(3, 2)


@pytest.mark.parametrize("steps", [3, 8, 12])
def test_of_all_sets_the_first_windows_cost_most(steps: int) -> None:
    """AN-305, by enumeration of all sets, unrounded. Control: the last ones cost less."""
    gram = unrounded(steps).T @ unrounded(steps)
    for size in range(1, steps + 1):
        costs = {chosen: gram[np.ix_(chosen, chosen)].sum() for chosen in combinations(range(steps), size)}
        first = tuple(range(size))
        assert costs[first] == pytest.approx(max(costs.values()), rel=1e-12)
        if 1 < size < steps:
            assert costs[tuple(range(steps - size, steps))] < costs[first] - 1e-3
        assert float(sensitivity_squared(steps, size, 1)) == pytest.approx(costs[first], rel=1e-8)


@pytest.mark.parametrize("steps", [2, 3, 5, 17, 96, 500, 2000])
def test_products_of_columns_fall_with_shift_and_with_lag(steps: int) -> None:
    """AN-305's two inequalities, each for all pairs of columns at once, and the three facts on c that their proof uses."""
    c = root(steps + 1)
    assert (c[:-1] > c[1:]).all()
    assert (np.diff(c[1:] / c[:-1]) > 0).all()
    squares = np.cumsum(c[:steps] ** 2)
    products = {}
    for lag in range(min(steps, 40)):
        terms = c[: steps - lag] * c[lag:steps]
        p = np.arange(1, steps - lag + 1)  # n = p + lag
        products[lag] = np.cumsum(terms) / np.sqrt(squares[p + lag - 1] * squares[p - 1])
        assert (np.diff(products[lag]) >= -1e-14).all()
        if lag:
            assert (products[lag] <= products[lag - 1][1:] + 1e-14).all()


def test_replacement_costs_at_most_twice() -> None:
    """AN-305: moving readings instead of adding them: v = a - b costs at most what a and b do together, and nearly so when far apart."""
    given = coefficients(96)
    for a, b in product(range(0, 96, 5), repeat=2):
        if a != b:
            assert given.cost({a: 1, b: -1}) <= given.cost({a: 1}) + given.cost({b: 1})
    assert given.cost({0: 1, 95: -1}) > Fraction(9, 5)


@pytest.mark.parametrize(("before", "after"), [({40: 1, 47: 2}, {48: 1, 60: 1}), ({0: 1}, {95: 1}), ({47: 3}, {48: 3})])
def test_a_restart_that_goes_on_with_the_tail_costs_no_more(before: dict[int, int], after: dict[int, int]) -> None:
    """AN-306: rows before the restart for what came before, whole columns for what comes after, against one counter without restart."""
    restart = 48
    given = coefficients(96)
    u = rounded(given)
    a, b = (np.array([presence.get(t, 0) for t in range(96)]) for presence in (before, after))
    split = ((u @ a)[:restart] ** 2).sum() + ((u @ b) ** 2).sum()
    whole = ((u @ (a + b)) ** 2).sum()
    assert split <= whole + 1e-12


@pytest.mark.parametrize(("steps", "m", "restart"), [(24, 12, 18), (96, 48, 72), (96, 4, 94)])
def test_a_sigma_worked_out_anew_after_a_restart_overspends(steps: int, m: int, restart: int) -> None:
    """AN-306's control, exactly: each part keeps the claim by itself, both together cost up to 1.4 times what is claimed; the tail does not."""
    claim = Fraction(1, 8)
    master, left = scale_squared(claim, steps, m, 1), steps - restart
    anew = scale_squared(claim, left, left, 1)
    before = coefficients(steps).cost(dict.fromkeys(range(m - left), 1))
    fresh = coefficients(left).cost(dict.fromkeys(range(left), 1))
    assert fresh / (2 * anew) <= claim
    assert before / (2 * master) + fresh / (2 * anew) > claim * Fraction(5, 4)
    assert (before + fresh) / (2 * master) < claim


def test_readings_in_one_class_are_the_worst() -> None:
    """AN-305: the same readings spread over two classes, which are noised apart, cost no more. Replaced readings are judged above."""
    given = coefficients(24)
    for bike, foot in (({0: 1}, {1: 1}), ({0: 2, 1: 1}, {0: 1, 5: 1}), ({3: 1}, {3: 1})):
        together = {t: bike.get(t, 0) + foot.get(t, 0) for t in {**bike, **foot}}
        assert given.cost(bike) + given.cost(foot) < given.cost(together)


def test_rows_are_those_of_a_fresh_counter_of_the_rest() -> None:
    """AN-306: s and r depend on how many steps are left, so the tail of a master counter is the counter of that many steps."""
    master, rest = coefficients(96), coefficients(60)
    assert master.s[36:] == rest.s
    assert master.r[36:] == rest.r
    assert master.c[:60] == rest.c


@pytest.mark.parametrize("steps", [2, 3, 24, 96, 288])
def test_bounds_on_the_noise(steps: int) -> None:
    """AN-309: at least the true worst variance of an increment and of a total, by inverting the rounded U; at most 1 % of variance above."""
    inverse = np.linalg.inv(rounded(coefficients(steps)))
    for bound, exact in (
        (increment_gain(steps), (inverse**2).sum(axis=1).max()),
        (total_gain(steps), (np.cumsum(inverse, axis=0) ** 2).sum(axis=1).max()),
    ):
        assert exact < float(bound) < exact * 1.01
    assert increment_gain(steps) < total_gain(steps)


def test_the_bound_of_a_long_counter() -> None:
    """PRIVACY.md 3.2: 3.518 at 2^12."""
    assert 3.518 < math.sqrt(total_gain(4096)) < 3.518 * 1.005


def decimal_ripple(sigma: str) -> Decimal:
    """80 sigma^2 exp(-2 pi^2 sigma^2), with pi from below."""
    with localcontext(Context(prec=60)):
        pi = Decimal("3.14159265358979")
        return 80 * Decimal(sigma) ** 2 * (-2 * pi**2 * Decimal(sigma) ** 2).exp()


def test_the_price_of_centres_between_integers() -> None:
    """AN-303: kappa at sigma = 1 and at sigma = 3/2; the expression falls from sigma = 0.23 on. Control: half of either is too little."""
    for sigma, ripple in (("1", factorisation.RIPPLE), ("1.5", factorisation.SMALL_RIPPLE)):
        exact = Fraction(decimal_ripple(sigma))
        assert exact <= ripple < 2 * exact
    assert all(decimal_ripple(str(s / 10)) > decimal_ripple(str((s + 1) / 10)) for s in range(3, 40))


def log_moment(centre: float, scale: float) -> float:
    """log sum_k exp(-(k - centre)^2 / 2 scale)."""
    reach = range(math.floor(centre) - 60, math.floor(centre) + 61)
    return math.log(math.fsum(math.exp(-((k - centre) ** 2) / (2 * scale)) for k in reach))


@pytest.mark.parametrize("order", [1.001, 1.5, 2.0, 7.0, 40.0])
def test_one_step_costs_what_lemma_2_says(order: float) -> None:
    """AN-303: the Renyi divergence between two centres is at most (1 + kappa) alpha d^2 / 2 s^2; kappa is needed, which the control shows."""
    variance, kappa = 0.4, 80 * 0.4 * math.exp(-2 * math.pi**2 * 0.4)  # small enough for double precision to see kappa
    needed = 0.0
    for centre, distance in product([0.0, 0.13, 0.25, 0.4, 0.5, 0.75], [0.02, 0.1, 0.5, 1.0]):
        other = centre + distance
        mixed = order * centre + (1 - order) * other
        between = (order * centre**2 + (1 - order) * other**2 - mixed**2) / (2 * variance)
        logs = (
            log_moment(mixed, variance)
            - order * log_moment(centre, variance)
            + (order - 1) * log_moment(other, variance)
        )
        divergence = (logs - between) / (order - 1)
        claim = order * distance**2 / (2 * variance)
        assert divergence <= (1 + kappa) * claim * (1 + 1e-9) + 1e-9
        needed = max(needed, divergence / claim)
    if order < 7:
        assert needed > 1.0005


@pytest.mark.parametrize(("steps", "m", "c"), [(1, 1, 1), (96, 1, 1), (96, 4, 1), (96, 7, 3), (1440, 8, 2)])
@pytest.mark.parametrize("stated", [Fraction(1, 72), Fraction(1, 8), Fraction(1, 2)])
def test_sigma_is_solved_exactly(steps: int, m: int, c: int, stated: Fraction) -> None:
    """AN-304: the cost at the sigma that is worked out is never above what is stated, in exact arithmetic, and hardly below."""
    scale = scale_squared(stated, steps, m, c)
    assert scale > sensitivity_squared(steps, m, c) / (2 * stated)
    if scale >= 1:
        assert stated * (1 - Fraction(1, 10**6)) < rho(scale, steps, m, c) <= stated


def test_no_bound_below_sigma_one() -> None:
    with pytest.raises(ValueError, match="from sigma = 1 on"):
        rho(Fraction(99, 100), 96, 4, 1)


@pytest.mark.parametrize("steps", [0, MAX_STEPS + 1])
def test_lengths_beyond_the_proof_are_refused(steps: int) -> None:
    """AN-307: the bound on sums is for at most 2^14 steps."""
    with pytest.raises(ValueError, match="1 to 16384 steps"):
        coefficients(steps)


@pytest.mark.parametrize("steps", [2, 3, 10, 96])
@pytest.mark.parametrize("c", [1, 2, 3])
def test_the_ledgers_worst_case_covers_any_part_of_a_period(steps: int, c: int) -> None:
    """AN-308: for every number of charged windows, charge * (worst presence in them) is at least what the counter can cost there.

    Control: the charge 1 / (2 sigma^2), right for independent noise, is not.
    """
    for m in {1, 2, 3, 5, 8, 13, 30, steps // 2 * c}:
        if not factorisation.few_enough(steps, m, c) or m < c:
            continue
        sigma = max(Fraction(1), scale_squared(Fraction(1, 8), steps, m, c))
        charge = rho(sigma, steps, m, c) / worst_presence(m, c)
        for windows in range(1, steps + 1):
            present = min(m, c * windows)
            assert charge * worst_presence(present, c) >= rho(sigma, steps, present, c)
        if m > c:
            assert 1 / (2 * sigma) * worst_presence(m, c) < rho(sigma, steps, m, c)


def test_beyond_half_of_the_windows_one_charge_is_no_bound() -> None:
    """Why `few_enough` is asked: with 96 of 96 windows, somebody present in 84 of them costs more than 84 charges."""
    sigma = scale_squared(Fraction(1, 8), 96, 96, 1)
    assert not factorisation.few_enough(96, 96, 1)
    assert rho(sigma, 96, 96, 1) / 96 * 84 < rho(sigma, 96, 84, 1)


@pytest.mark.parametrize("steps", [2, 3, 4, 5, 9, 24, 97, 288, 1440])
def test_each_further_window_costs_more_up_to_half(steps: int) -> None:
    """AN-308's inequality for every q, unrounded, and the facts on c that its proof uses."""
    c = root(steps + 1)
    squares = np.cumsum(c**2)
    p = np.arange(1, steps)
    assert np.cumsum(c)[:-2] == pytest.approx(2 * p * c[1:-1], rel=1e-12)
    assert (np.diff(c[1:] * np.sqrt(np.arange(1, steps + 1))) > 0).all()
    columns = np.zeros(steps)
    cost = [0.0]
    for j in range(steps // 2 + 1):
        columns[j:] += c[: steps - j] / math.sqrt(squares[steps - 1 - j])
        cost.append(float((columns**2).sum()))
    assert (np.diff(cost, 2) >= -1e-12).all()
