"""Exact discrete Gaussian noise on the integers by inversion of integer tables (PRIVACY.md 2.2; CKS20 for the law itself).

P[X = k] is proportional to exp(-k^2 / (2 sigma^2)). Invariant: no floating point anywhere, and the work for a draw does not
depend on what is drawn: each draw's 64 random bits are compared with the 64-bit prefix of every threshold.

Why it is right: let F be the law's distribution function and T_k = floor(F(k) 2^192). A uniform U in [0, 2^192) gives the
value k whose T_{k-1} <= U < T_k, so P[k] = (T_k - T_{k-1}) / 2^192, within 2^-192 of the law. U is read lazily: 64 bits
decide unless they equal the prefix of a threshold, and then 128 more bits decide exactly. The support is cut where the
weight falls under 2^-200. Total variation to the law is at most K 2^-192 + 2^-190 for K thresholds.
"""

from collections.abc import Callable
from fractions import Fraction
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from agent.errors import InvariantBroken

RandomBytes = Callable[[int], bytes]
"""How many -> that many uniform random bytes."""

MIN_SIGMA_SQUARED = Fraction(1)
"""The policy's own lower bound; under it the law is so coarse that its variance is no longer near sigma^2."""

MAX_SIGMA_SQUARED = Fraction(1 << 20)
"""sigma = 1024: 34,000 thresholds, about the most that constant work a draw should cost."""

THRESHOLD_BITS = 192
_PREFIX_BITS = 64
_TIE_BYTES = (THRESHOLD_BITS - _PREFIX_BITS) // 8
_WORKING_BITS = 384
_CUT_BITS = 200
_COMPARISONS_A_CHUNK = 1 << 20
"""Bounds the comparison matrix to 1 MiB."""


class DiscreteGaussian:
    """The law with variance parameter `sigma_squared`, exact."""

    def __init__(self, sigma_squared: Fraction) -> None:
        if not MIN_SIGMA_SQUARED <= sigma_squared <= MAX_SIGMA_SQUARED:
            raise InvariantBroken(f"noise: sigma^2 outside {MIN_SIGMA_SQUARED} to {MAX_SIGMA_SQUARED}")
        self.sigma_squared = sigma_squared
        self._thresholds = thresholds(sigma_squared)
        shift = THRESHOLD_BITS - _PREFIX_BITS
        self._prefixes = np.array([t >> shift for t in self._thresholds], dtype=np.uint64)
        self._rests = [t & ((1 << shift) - 1) for t in self._thresholds]

    @property
    def bound(self) -> int:
        """No draw is larger than this in magnitude."""
        return len(self._thresholds) // 2

    def draw(self, count: int, random_bytes: RandomBytes) -> NDArray[np.int64]:
        """`count` independent draws; takes 8 bytes a draw from `random_bytes`, and 16 more for each tie (about K 2^-64)."""
        uniform = np.frombuffer(random_bytes(8 * count), dtype="<u8")
        if uniform.size != count:
            raise InvariantBroken("noise: the source of random bytes gave fewer than asked")
        draws = np.empty(count, dtype=np.int64)
        rows = max(1, _COMPARISONS_A_CHUNK // self._prefixes.size)
        for at in range(0, count, rows):
            column = uniform[at : at + rows, np.newaxis]
            below: NDArray[np.int64] = (self._prefixes < column).sum(axis=1, dtype=np.int64)
            up_to: NDArray[np.int64] = (self._prefixes <= column).sum(axis=1, dtype=np.int64)
            draws[at : at + rows] = below
            for row in np.flatnonzero(below != up_to):
                draws[at + row] = self._break_tie(int(below[row]), int(up_to[row]), random_bytes)
        return draws - self.bound

    def _break_tie(self, first: int, last: int, random_bytes: RandomBytes) -> int:
        """The number of thresholds <= U, those before `first` being below and those from `last` on above."""
        rest = int.from_bytes(random_bytes(_TIE_BYTES), "little")
        return first + sum(self._rests[i] <= rest for i in range(first, last))


def thresholds(sigma_squared: Fraction) -> list[int]:
    """T_k for k = -K .. K-1, where K is the last integer of weight >= 2^-200 (T_K = 2^192 is left out).

    Weights are fixed-point integers of 384 bits by the recurrence w_k = w_{k-1} q^(2k-1), q = exp(-1/(2 sigma^2)). With K at
    most 17,000 their errors add up to less than K^3 2^-384 < 2^-341, far below the 2^-192 that is kept.
    """
    one = 1 << _WORKING_BITS
    step = _exp_minus(1 / (2 * sigma_squared))
    square = _exp_minus(1 / sigma_squared)
    weights = [one]
    ratio = step
    while True:
        weight = weights[-1] * ratio >> _WORKING_BITS
        if weight < one >> _CUT_BITS:
            break
        weights.append(weight)
        ratio = ratio * square >> _WORKING_BITS
    line = weights[:0:-1] + weights
    total = sum(line)
    sums = []
    running = 0
    for weight in line[:-1]:
        running += weight
        sums.append((running << THRESHOLD_BITS) // total)
    return sums


def _exp_minus(x: Fraction) -> int:
    """floor-ish exp(-x) 2^384 for 0 < x <= 1, by Taylor series of exp(-x/2^s) and s squarings, with 64 guard bits."""
    bits = _WORKING_BITS + 64
    halvings = max(0, (x.numerator // x.denominator).bit_length())
    scaled = (x.numerator << bits) // (x.denominator << halvings)
    total = term = 1 << bits
    n = 1
    while term:
        term = (term * scaled >> bits) // n
        total += term if n % 2 == 0 else -term
        n += 1
    for _ in range(halvings):
        total = total * total >> bits
    return total >> (bits - _WORKING_BITS)


def ceil_sqrt(value: Fraction) -> int:
    """The smallest integer n >= 0 with n^2 >= value."""
    whole = -(-value.numerator // value.denominator)
    root = isqrt(whole)
    return root if root * root == whole else root + 1
