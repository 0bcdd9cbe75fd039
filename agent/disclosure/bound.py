"""How well can somebody tell from everything published whether you were there? Proven bounds, exact arithmetic. Pure.

Let P be the law of all published figures when a person was there and Q when they were not (PRIVACY.md section 0: add or remove all
their readings of one period, at most m, at most c a window). Whoever guesses "there" or "not there" after a fair coin decided is right
with probability at most (1 + TV(P, Q)) / 2, whatever they compute (Neyman and Pearson). So an upper bound on TV is a promise in words:
"right at most N times in 100; 50 is guessing", N = ceil(100 (1 + TV) / 2).

Invariant: every result is rational and rounded up; a series is cut only on the side that makes the claim weaker; there is no float.

Theorem A (any mechanism that is rho-zCDP in both directions, any composition of such). t log((1+t)/(1-t)) <= rho for t = TV(P, Q).
Proof. Let a = P(E), b = Q(E) for E = {dP > dQ}, so a - b = t. zCDP at order alpha -> 1 gives KL(P||Q) <= rho and KL(Q||P) <= rho
(Bun and Steinke 2016), and by data processing the same holds for the coins (a, 1-a) and (b, 1-b). Add the two:
(a-b) (logit a - logit b) <= 2 rho. logit is concave below 1/2 and convex above, odd about it, so among all a - b = t the difference is
least at a = (1+t)/2, b = (1-t)/2 [d/da (logit a - logit(a-t)) = 1/(a(1-a)) - 1/(b(1-b)) vanishes only at a + b = 1, and the ends are
infinite], where it is 2 log((1+t)/(1-t)). []
It implies Pinsker, t <= sqrt(rho/2), because log((1+t)/(1-t)) >= 2t, and is stronger than Bretagnolle and Huber's
t <= sqrt(1 - exp(-rho)) at every rho tested (tests/disclosure/test_bound.py). It is the minimum for Jeffreys' divergence of Gilardoni
(2006), and the best that follows from both divergences.

Theorem B (independent discrete Gaussians of integer shifts: counts with noise of their own in every cell, PROOF.md Lemma 8). Let cell
t have the laws N_Z(x_t, sigma_t^2) and N_Z(x_t + v_t, sigma_t^2), x_t and v_t integers, at most n of the v_t not 0, sigma_t^2 >= V > s > 0,
sum v_t^2 / (2 sigma_t^2) <= rho. With q = exp(-2 pi^2 s) and h = 2 q / (1 - q), whenever h < 1,

    TV <= [2 Phi(mu/2) - 1] + 4 n h,        mu^2 = 2 rho V / (V - s).

Proof. Draw X ~ N(m, sigma^2 - s) (a real number), then Y ~ N_Z(X, s). With theta(x) = sum_k exp(-(k-x)^2 / 2s), Poisson summation gives
theta(x) = sqrt(2 pi s) (1 + e(x)), |e| <= 2 sum_k q^(k^2) <= h (PROOF.md Lemma 2). So P[Y = y] is the integral of the product of two
Gaussians divided by theta, which lies between 1/(1+h) and 1/(1-h) times a constant times exp(-(y-m)^2 / 2 sigma^2). For integer m,
N_Z(m, sigma^2) is proportional to the same, so N_Z(y) = K w(y) P[Y = y] with 1-h <= w <= 1+h, and 1/(1+h) <= K <= 1/(1-h) as both sum to 1.
Hence P[Y = y] >= (1-h)/(1+h) N_Z(y), and TV(Y, N_Z(m, sigma^2)) <= 2h/(1+h) <= 2h. Cells with v_t = 0 have one law under both and drop
out (independence). Replace the other n, on both sides: 4 n h. What remains is a random function, the same on both sides, of independent
real Gaussians with variances sigma_t^2 - s >= sigma_t^2 (V-s)/V, whose TV is 2 Phi(mu'/2) - 1 with
mu'^2 = sum v_t^2 / (sigma_t^2 - s) <= mu^2 (data processing; all directions of a spherical Gaussian are alike). []
The noise table itself is within 2^-160 of its law a draw (PRIVACY.md 2.2): 2 n 2^-160 more, here and in Theorem A. Clamping a count before the noise
only shrinks |v_t|; thresholds, totals and suppression come after (PROOF.md Lemma 9).

Both hold, so the smaller is used where both apply. Composition: readings of one person add up over cells, windows, streams and days;
for independent noise, and for counters that end with their period, D days of presence cost D times the rho of one (PRIVACY.md 1.2).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

GRID = 10_000
"""Bounds on TV are rounded up to multiples of 1 / GRID."""

MAX_MU_SQUARED = 64
"""Beyond it 2 Phi(mu/2) - 1 > 0.9999: Theorem B gives nothing better than 1 on the grid."""

PI_LOW = Fraction(3_141_592_653, 10**9)
"""Below pi."""

SPLITS = (Fraction(1, 2), Fraction(5, 8), Fraction(3, 4), Fraction(1), Fraction(5, 4), Fraction(3, 2))
"""Values of Theorem B's s; every one is valid, the best is taken."""

DRAW = Fraction(1, 2**160)
"""How far, in total variation, one draw of the noise table may be from its law (PRIVACY.md 2.2)."""


@dataclass(frozen=True, slots=True)
class Noise:
    """What one person can do to one stream in one period.

    `rho` is its zCDP cost; `sigma_squared` the variance of the independent discrete Gaussian in every cell, or None for any other noise;
    `cells` the most cells that the person's readings can touch.
    """

    rho: Fraction
    sigma_squared: Fraction | None
    cells: int


def right_in_100(total_variation: Fraction) -> int:
    """N of "right at most N times in 100": ceil(100 (1 + TV) / 2), from 50 to 100."""
    if not 0 <= total_variation <= 1:
        raise ValueError("a total variation distance is from 0 to 1")
    odds = 50 * (1 + total_variation)
    return -(-odds.numerator // odds.denominator)


def total_variation(noises: Iterable[Noise], periods: int = 1) -> Fraction:
    """An upper bound on TV for a person present in each of `periods` periods, over all streams together; a multiple of 1 / GRID."""
    parts = [noise for noise in noises if noise.rho > 0]
    if periods < 0 or any(noise.cells < 1 for noise in parts):
        raise ValueError("periods and cells are positive")
    rho = periods * sum((noise.rho for noise in parts), start=Fraction(0))
    cells = periods * sum(noise.cells for noise in parts)
    bound = zcdp_total_variation(rho, 2 * cells * DRAW)
    variances = [noise.sigma_squared for noise in parts if noise.sigma_squared is not None]
    if parts and len(variances) == len(parts):
        bound = min(bound, gaussian_total_variation(rho, min(variances), cells))
    return bound


@lru_cache(maxsize=256)
def zcdp_total_variation(rho: Fraction, rest: Fraction = Fraction(0)) -> Fraction:
    """Theorem A: the smallest multiple of 1 / GRID of the form rest + t with t log((1+t)/(1-t)) >= rho, or 1.

    `rest` is what the real laws may differ from rho-zCDP ones in total variation, on both sides together.
    """
    if rho < 0 or rest < 0:
        raise ValueError("rho and rest are 0 or more")
    return _least(lambda sum_: sum_ >= rest and _coin(sum_ - rest) >= rho)


@lru_cache(maxsize=256)
def gaussian_total_variation(rho: Fraction, variance: Fraction, cells: int) -> Fraction:
    """Theorem B for noises of at least `variance` and shifts in at most `cells` cells, a multiple of 1 / GRID; 1 where it says nothing."""
    if rho < 0 or variance <= 0 or cells < 0:
        raise ValueError("rho, variance and cells are positive")
    bounds = [Fraction(1)]
    for split in SPLITS:
        if split < variance:
            mu_squared = 2 * rho * variance / (variance - split)
            rest = 4 * cells * _ripple(split) + 2 * cells * DRAW
            if mu_squared < MAX_MU_SQUARED and rest < 1:
                bounds.append(_gaussian(mu_squared, rest))
    return min(bounds)


def _coin(t: Fraction) -> Fraction:
    """A lower bound on t log((1+t)/(1-t)): half of what tells the coins (1+t)/2 and (1-t)/2 apart, both ways together."""
    return t * log_low((1 + t) / (1 - t))


def _gaussian(mu_squared: Fraction, rest: Fraction) -> Fraction:
    """The smallest multiple t of 1 / GRID with t >= rest + 2 Phi(mu/2) - 1, or 1.

    2 Phi(mu/2) - 1 = erf(x) with x^2 = mu^2 / 8, and erf(x)^2 = (4 / pi) x^2 S^2, S = sum (-1)^i x^(2i) / (i! (2i+1)).
    """
    square = Fraction(-(-mu_squared.numerator * 2**32 // mu_squared.denominator), 2**32) / 8  # up: erf grows with x
    total, term, index = Fraction(0), Fraction(1), 0
    while True:  # ends after a positive term, past the largest: an alternating series then lies below its partial sum
        total += term / (2 * index + 1) if index % 2 == 0 else -term / (2 * index + 1)
        if index % 2 == 0 and index > square and term * GRID**2 < 1:
            break
        index += 1
        term = term * square / index
    limit = 4 / PI_LOW * square * total * total
    return _least(lambda t: t >= rest and (t - rest) ** 2 >= limit)


def log_low(value: Fraction) -> Fraction:
    """A lower bound on log(value) for value >= 1, short of it by less than 1e-9 a doubling."""
    doublings = 0
    while value >= 2:
        value /= 2
        doublings += 1
    return _log_series(value) + doublings * _log_series(Fraction(2))


def _log_series(value: Fraction) -> Fraction:
    """log(value) = 2 sum u^(2i+1) / (2i+1), u = (value-1)/(value+1), cut after positive terms; for 1 <= value <= 2, u <= 1/3."""
    u = (value - 1) / (value + 1)
    u = Fraction(u.numerator * 2**64 // u.denominator, 2**64)  # down: the sum grows with u
    return 2 * sum((u ** (2 * i + 1) / (2 * i + 1) for i in range(10)), start=Fraction(0))


@lru_cache(maxsize=256)
def _ripple(split: Fraction) -> Fraction:
    """An upper bound on h = 2 q / (1 - q), q = exp(-2 pi^2 split); exp(y) is at least any partial sum of its series."""
    y = 2 * PI_LOW**2 * split
    term = total = Fraction(1)
    for index in range(1, 80):
        term = term * y / index
        term = Fraction(term.numerator * 2**64 // term.denominator, 2**64)
        total += term
    return 2 / (total - 1)  # q / (1 - q) = 1 / (1/q - 1)


def _least(reached: Callable[[Fraction], bool]) -> Fraction:
    """The smallest t = j / GRID in [0, 1) for which the monotone `reached` holds, else 1."""
    low, high = 0, GRID
    while low < high:
        middle = (low + high) // 2
        if reached(Fraction(middle, GRID)):
            high = middle
        else:
            low = middle + 1
    return Fraction(low, GRID)
