"""The normalised-square-root factorisation of running totals: integer coefficients, exact sensitivity, exact bounds on the noise. Pure.

Let A be the T x T matrix of ones on and below the diagonal, A^(1/2) its lower-triangular Toeplitz root with the first column
c_k = binom(2k, k) / 4^k, and s_j the norm of column j of A^(1/2), s_j^2 = c_0^2 + ... + c_{T-1-j}^2 (Henzinger, Kalinin, Upadhyay 2025;
PRIVACY.md 3). The mechanism of agent/anonymizer/counter adds to count x_t an integer n_t ~ N_Z(-m_t, sigma^2 s_t^2) with
m_t = s_t sum_{i>=1} c_i r_{t-i} n_{t-i}, where c, r and s are the integers below. So it draws U n = z: U_tt = 1 / s_t,
U_tj = c_{t-j} r_j for t > j, and one who adds v_t to count t costs at most (1 + kappa) |U v|^2 / (2 sigma^2) in zCDP
(agent/anonymizer/SPEC.md AN-304).

Invariants: no float; c and r are rounded down and s up, so that every entry of U is at most that of the unrounded U* = A^(1/2) diag(1/s);
every number that a policy or a reader sees is a bound on the side of less claimed.

**Worst set.** For v >= 0 only the Gram matrix G* = U*^T U* matters, as G <= G* in every entry. Column a and column b > a of A^(1/2), both
normalised, have the product g(n, l) = P(p, l) / sqrt(S_n S_p), with n = T - a, l = b - a, p = n - l, P(p, l) = sum_{k<p} c_k c_{k+l} and
S_p = P(p, 0). It grows with n and falls with l, for every T, because c is positive, falls, and c_{k+1} / c_k = (2k+1) / (2k+2) rises:
(1) c_{k+l} / c_k rises with k, so P(p, l) <= S_p c_{p+l} / c_p: one more term raises P by the factor 1 + c_p c_{p+l} / P >= 1 + c_p^2 / S_p.
(2) n -> n+1: the root of the other two factors is at most 1 + (c_n^2 / S_n + c_p^2 / S_p) / 2 <= 1 + c_p^2 / S_p, as c_n <= c_p and S_n >= S_p.
(3) l -> l+1: P(p-1, l+1) <= P(p-1, l) as c falls, and P(p-1, l) / sqrt(S_{p-1}) <= P(p, l) / sqrt(S_p) by (1).
So of all sets of q columns the first q have the largest sum of products, M(q): the a-th member of a sorted set is at a or later, and the
a-th and b-th are at least b - a apart.

**One charge a window.** M(q+1) - M(q) rises with q as long as 2 (q+1) <= T, so M(k) / k <= M(q) / q for k <= q <= T/2 + 1: the ledger may charge
each window the same (agent/anonymizer/SPEC.md AN-308). With p = T - q - 1 >= q + 1, half of its rise is, g being g(n, l) as above,
g(T, q+1) - sum_{l=1..q} [g(p+l+1, l) - g(p+l, l)], and a difference in the sum is at most c_p c_{p+l} / S_p, as only P's growth counts. The
first is P(p, q+1) / sqrt(S_T S_p) >= c_{T-1} 2 p c_p / sqrt(S_T S_p), as c_0 + ... + c_{p-1} = 2 p c_p; the sum is at most
q c_p^2 / S_p. S_T <= 2 S_p and c_p <= sqrt 2 c_{T-1} (c_k sqrt k rises), and q < p: 2 p c_{T-1} >= sqrt(S_T / S_p) q c_p. Near q = T it is false.
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from heapq import heappop, heappush
from itertools import pairwise
from math import isqrt

COLUMN_BITS = 20
"""Fractional bits of c and of r."""

SCALE_BITS = 16
"""Fractional bits of s."""

MAX_STEPS = 1 << 14
"""The longest counter: 16,384 windows, a day of windows of 5.3 s. Its int64 sums cannot overflow (agent/anonymizer/SPEC.md AN-307)."""

RIPPLE = Fraction(1, 1 << 22)
"""kappa for sigma >= 1: 80 sigma^2 exp(-2 pi^2 sigma^2) <= 2^-22 (AN-303)."""

SMALL_RIPPLE = Fraction(1, 1 << 56)
"""kappa for sigma >= 3/2."""

_SMALL_FROM = Fraction(9, 4)
_FINE = 128
"""Fractional bits of the unrounded c."""
_MIDDLE = 40
"""Fractional bits of factors in sums of products, each rounded up."""
_SLOT_BYTES = 12
"""One sum of products: fewer than 2^8 ones (c sums to less than 1.13 sqrt(T) + 1), 80 fractional bits."""
_BOUND_BITS = 32
"""Published bounds are multiples of 2^-32."""
_TOLERANCE = 256
"""The bound on the total's variance is at most one part in this above that of the worst step found: 0.2 % of a standard deviation."""
_DITHER = 1 + Fraction(1, 1 << 16)
"""Covers kappa and that centres between two integers shift the mean of z_t by at most 4 pi exp(-2 pi^2) sigma: with T <= 2^14,
(1 + 128 * 3.4e-8)^2 (1 + 2^-22) < 1 + 2^-16."""
_ROOT_TWO = Fraction(1415, 1000)


@dataclass(frozen=True, slots=True)
class Coefficients:
    """What the mechanism multiplies with: c_0 .. c_{T-1} and r_0 .. r_{T-1} in 2^-20, s_0 .. s_{T-1} in 2^-16."""

    c: tuple[int, ...]
    r: tuple[int, ...]
    s: tuple[int, ...]

    def cost(self, presence: dict[int, int]) -> Fraction:
        """|U v|^2 exactly, for the v that has `presence[t]` at step t and 0 elsewhere."""
        total = Fraction(0)
        for step in range(min(presence, default=0), len(self.c)):
            past = sum(self.c[step - t] * self.r[t] * v for t, v in presence.items() if t < step)
            row = Fraction(past, 1 << 2 * COLUMN_BITS) + Fraction(presence.get(step, 0) << SCALE_BITS, self.s[step])
            total += row * row
        return total


@dataclass(frozen=True, slots=True)
class _Unrounded:
    """c_k lies in [c[k], c[k] + k] 2^-128; `squares[n]` 2^-256 is at least S_n; `low_squares` at most."""

    c: tuple[int, ...]
    squares: tuple[int, ...]
    low_squares: tuple[int, ...]


@lru_cache(maxsize=16)
def coefficients(steps: int) -> Coefficients:
    """The integers of a counter of `steps` windows, 1 to MAX_STEPS."""
    exact = _unrounded(steps)
    squares = exact.squares[:0:-1]  # of column j: S_{T-j}
    return Coefficients(
        c=tuple(c >> (_FINE - COLUMN_BITS) for c in exact.c),
        r=tuple(isqrt((1 << 2 * (COLUMN_BITS + _FINE)) // square) for square in squares),
        s=tuple(_root_up(-(-square >> 2 * (_FINE - SCALE_BITS))) for square in squares),
    )


@lru_cache(maxsize=256)
def sensitivity_squared(steps: int, m: int, c: int) -> Fraction:
    """At least the largest |U v|^2 over whole v >= 0 with v_t <= c and sum v <= m; a multiple of 2^-32 (of c when that divides m).

    v^T G v is convex, so its maximum is at a vertex: c in each of q = m // c windows and b = m - q c in one more; it is convex in that
    last number too, so at most the interpolation of M(q) and M(q+1), with M of the first windows (see above).
    """
    whole, rest = divmod(m, c)
    full = _first(steps, min(whole, steps))
    more = _first(steps, min(whole + 1, steps)) if rest else full
    return _up(c**2 * (full + (more - full) * Fraction(rest, c)))


def scale_squared(rho: Fraction, steps: int, m: int, c: int) -> Fraction:
    """sigma^2 for which a person within (m, c) costs exactly `rho` by `sensitivity_squared` and the smallest kappa that holds."""
    bare = sensitivity_squared(steps, m, c) / (2 * rho)
    fine = (1 + SMALL_RIPPLE) * bare
    return fine if fine >= _SMALL_FROM else (1 + RIPPLE) * bare


def few_enough(steps: int, m: int, c: int) -> bool:
    """Is a person within (m, c) in at most half of the windows? Beyond, one charge a window is no bound (see above)."""
    return 2 * -(-m // c) <= steps


def rho(scale: Fraction, steps: int, m: int, c: int) -> Fraction:
    """What a person within (m, c) costs at sigma^2 = `scale` >= 1, at most."""
    if scale < 1:
        raise ValueError("the bound on centred noise holds from sigma = 1 on")
    ripple = SMALL_RIPPLE if scale >= _SMALL_FROM else RIPPLE
    return (1 + ripple) * sensitivity_squared(steps, m, c) / (2 * scale)


@lru_cache(maxsize=64)
def increment_gain(steps: int) -> Fraction:
    """At least the variance of n_t at every step t, over sigma^2; s_t^2 sum_{k<=t} d_k^2 without rounding, d_k = -c_k / (2k-1)."""
    exact = _unrounded(steps)
    worst, inner = 0, 0
    for k, c in enumerate(exact.c):
        inner += -(-((c + k) ** 2) // (2 * k - 1) ** 2)
        worst = max(worst, inner * exact.squares[steps - k] >> 2 * _FINE)
    return _published(steps, Fraction(worst + 1, 1 << 2 * _FINE))


@lru_cache(maxsize=64)
def total_gain(steps: int) -> Fraction:
    """At least the variance of n_0 + ... + n_t at every step t, over sigma^2, and hardly more than the worst step's (`_TOLERANCE`).

    Without rounding n = diag(s) A^(-1/2) z, so with Y_i = (A^(1/2) z)_i the total is N_t = s_t Y_t + sum_{i<t} (s_i - s_{i+1}) Y_i, whose
    coefficient of z_j is a correlation of positive numbers. From one step to the next the variance V_t rises by at most
    s_{t+1}^2 c_{t+1}^2: y = Y_{t+1} - Y_t has Cov(Y_i, y) = sum_j c_{i-j} d_{t+1-j} < 0 for i <= t, so
    V_{t+1} - V_t = s_{t+1}^2 Var y + 2 s_{t+1} Cov(N_t, y) <= s_{t+1}^2 (Var y + 2 Cov(Y_t, y)) = s_{t+1}^2 (S_{t+2} - S_{t+1}).
    So V at a few steps bounds it at all; intervals are halved where the bound is not close enough.
    """
    exact = _unrounded(steps)

    def rise(step: int, end: int) -> Fraction:
        """How much V may rise from `step` to any step before `end`."""
        if end - step < 2:
            return Fraction(0)
        risen = exact.squares[end] - exact.low_squares[step + 1]
        return Fraction(exact.squares[steps - step - 1] * risen, 1 << 4 * _FINE)

    best = _total_at(steps, 0)
    open_: list[tuple[Fraction, int, int, Fraction]] = [(-best - rise(0, steps), 0, steps, best)]
    while -open_[0][0] > best * (_TOLERANCE + 1) / _TOLERANCE:
        _, start, end, at_start = heappop(open_)
        middle = (start + end) // 2
        at_middle = _total_at(steps, middle)
        best = max(best, at_middle)
        for first, last, value in ((start, middle, at_start), (middle, end, at_middle)):
            heappush(open_, (-value - rise(first, last), first, last, value))
    return _published(steps, -open_[0][0])


@lru_cache(maxsize=16)
def _unrounded(steps: int) -> _Unrounded:
    if not 1 <= steps <= MAX_STEPS:
        raise ValueError(f"a counter has 1 to {MAX_STEPS} steps")
    c, squares, low_squares = [1 << _FINE], [0, 1 << 2 * _FINE], [0, 1 << 2 * _FINE]
    for k in range(1, steps):
        c.append(c[-1] * (2 * k - 1) // (2 * k))  # short by less than one unit more than the one before
        squares.append(squares[-1] + (c[-1] + k) ** 2)
        low_squares.append(low_squares[-1] + c[-1] ** 2)
    return _Unrounded(tuple(c), tuple(squares), tuple(low_squares))


@lru_cache(maxsize=256)
def _first(steps: int, columns: int) -> Fraction:
    """At least the sum of all products of the first `columns` columns of U*."""
    if columns == 1:
        return Fraction(1)
    squares = _unrounded(steps).squares[:0:-1]
    inverses = [isqrt((1 << 2 * (_MIDDLE + _FINE)) // square) + 1 for square in squares[:columns]]
    rows = _products(_middle(steps), inverses, steps)
    return Fraction(sum(row * row for row in rows), 1 << 4 * _MIDDLE)


def _total_at(steps: int, step: int) -> Fraction:
    """At least V_t over sigma^2, without rounding of the mechanism."""
    squares = _unrounded(steps).squares[: steps - step - 1 : -1]  # of columns 0 .. step
    fine = 1 << _MIDDLE
    roots = [isqrt(square >> 2 * (_FINE - 2 * _MIDDLE)) for square in squares]  # 80 bits, short by less than 1 ...
    falls = [(one - other >> _MIDDLE) + 2 for one, other in pairwise(roots)]  # ... so up by 1 at least
    weights = [*falls, (roots[-1] >> _MIDDLE) + 2]
    rows = _products(_middle(steps)[: step + 1], weights[::-1], step + 1)
    return Fraction(sum(row * row for row in rows), fine**4)


@lru_cache(maxsize=16)
def _middle(steps: int) -> tuple[int, ...]:
    """c at 40 bits, rounded up."""
    return tuple(-(-(c + k) >> (_FINE - _MIDDLE)) for k, c in enumerate(_unrounded(steps).c))


def _products(one: tuple[int, ...], other: list[int], count: int) -> list[int]:
    """The first `count` coefficients of the product of two polynomials: one multiplication of integers (Kronecker's substitution)."""
    packed = [
        int.from_bytes(b"".join(x.to_bytes(_SLOT_BYTES, "little") for x in line), "little") for line in (one, other)
    ]
    product = (packed[0] * packed[1]).to_bytes(_SLOT_BYTES * (len(one) + len(other)), "little")
    return [
        int.from_bytes(product[at : at + _SLOT_BYTES], "little") for at in range(0, _SLOT_BYTES * count, _SLOT_BYTES)
    ]


def _published(steps: int, gain: Fraction) -> Fraction:
    """A bound for the rounded mechanism from one for the unrounded.

    With E = U* - U and X = E U*^-1, U = (I - X) U*, so every row of U^-1 and of A U^-1 is longer than that of U*^-1 and of A U*^-1 by at most
    the factor 1 / (1 - |X|). With errors e of c, f of r and g of 1/s, E diag(s) = toeplitz(e) + toeplitz(c) diag(f s) + diag(g s), f < 2^-20,
    g s < 2^-16, and U*^-1 = diag(s) A^(-1/2). So |X| <= |A^(-1/2)| (sum e + 2^-20 s_0 sum c + 2^-16), and |A^(-1/2)| <= sqrt 2, the largest
    value of |1 - x|^(1/2) on the circle.
    """
    exact, rounded = _unrounded(steps), coefficients(steps)
    slips = sum(c + k - (r << (_FINE - COLUMN_BITS)) for k, (c, r) in enumerate(zip(exact.c, rounded.c, strict=True)))
    longest = Fraction(rounded.s[0], 1 << SCALE_BITS)
    others = longest * sum(rounded.c[1:]) / (1 << 2 * COLUMN_BITS)
    moved = _ROOT_TWO * (Fraction(slips, 1 << _FINE) + others + Fraction(1, 1 << SCALE_BITS))
    return _up(gain * _DITHER / (1 - moved) ** 2)


def _up(value: Fraction) -> Fraction:
    """The next multiple of 2^-32."""
    return Fraction(-((-value.numerator << _BOUND_BITS) // value.denominator), 1 << _BOUND_BITS)


def _root_up(value: int) -> int:
    """The smallest integer whose square is at least `value`."""
    root = isqrt(value)
    return root if root * root == value else root + 1
