"""Exact discrete Gaussians on the integers around secret centres between two integers, in constant work (PRIVACY.md 2.2, 3.3).

P[X = k] is proportional to exp(-(k + f)^2 / (2 v)) for a fraction f = F / 2^56, 0 <= F < 2^56: the centre is -f. v >= 1 is public, f is not:
together with what was published it tells the true counts. Invariants: no floating point; the work does not depend on f nor on what is drawn
(bytes taken, array shapes, operations), except for a near tie.

Why it is right. The outcomes stand in one line: k = 0, 1, 2, ... and then k = -1, -2, ..., as exp(-(j + g)^2 / 2v) for j = 0, 1, 2, ... with
g = f in the first half and g = 1 - f in the second, cut where exp(-j^2 / 2v) < 2^-200. Let F_i be the probability of the first i + 1 of them
and T_i = floor(F_i 2^192), from integers of 384 bits (`_exact`). A uniform U in [0, 2^192) gives the outcome i with T_{i-1} <= U < T_i, so
every probability is within 2^-192 of the law's: total variation to it is at most 2 K 2^-192 + 2^-190 for K values a half (the cut-off tails
weigh under 2^-190). U is read lazily: the first 64 bits are compared, for all outcomes at once, with sums of weights in 62-bit fixed point
whose error `_Scale.gap` bounds; only when some sum is that near (about 2^-44 of draws at v = 100, 2^-30 at v = 2^20) are 128 more bits read
and the exact thresholds computed for that one draw. Both ways give the same outcome, so the law is that of the thresholds. Which draws are
near ties hangs on U alone and all outcomes have a threshold each, so one that takes longer says nothing of where the noise fell in the line
but for which two neighbours.

Errors, in units u = 2^-62. `_times` is short by less than 2u, and with factors off by a and b by less than a + b + 2u; `_exp_minus` adds at
most 8u and its argument at most 4u, so e = exp(-g/v) and exp(-g^2/2v) are off by at most 12u; e^j, by products, by 15j u; the weight of j by
W_j (15 j + 12) u + 5u with W_j = exp(-j^2/2v); weights from `reach` on, which are left out, sum to less than (sqrt v + 3) u a half; the final
shift takes less than one of its units a weight.
"""

from bisect import bisect_right
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from math import factorial, isqrt

import numpy as np
from numpy.typing import NDArray

from agent.anonymizer import noise
from agent.anonymizer.noise import THRESHOLD_BITS, RandomBytes
from agent.errors import InvariantBroken

Integers = NDArray[np.int64]

FRACTION_BITS = 56
"""Fractional bits of a centre: those of c, r and s together (agent/policy/factorisation)."""

MAX_VARIANCE = noise.MAX_SIGMA_SQUARED
"""sigma = 1024: weights of 9,500 values a half."""

_ONE_BITS = 62
_ONE = 1 << _ONE_BITS
_HALF_BITS = 31
_HALF = (1 << _HALF_BITS) - 1
_FINE_BITS = 384
_CUT_BITS = 200
_TABLE_BITS = 8
_ELEMENTS_A_CHUNK = 1 << 19
"""Bounds the working arrays to 4 MiB each."""


def _exp(x: Fraction) -> int:
    """exp(-x) 2^384 for x >= 0."""
    return noise._exp_minus(x) if x else 1 << _FINE_BITS


_EXP = np.array(
    [_exp(Fraction(i, 1 << _TABLE_BITS)) >> (_FINE_BITS - _ONE_BITS) for i in range((1 << _TABLE_BITS) + 1)]
)
"""exp(-i / 256)."""
_SERIES = [_ONE // factorial(k) for k in range(8)]
"""1 / k!; the next term of exp(-x) for x < 1/256 is under 2^-79."""


@dataclass(frozen=True, slots=True)
class _Scale:
    """All that hangs on v alone: `weights` are W_j for j < `reach`, `inverse` 1/v, both in 2^-62."""

    variance: Fraction
    inverse: int
    weights: Integers
    shift: int
    gap: int

    @property
    def reach(self) -> int:
        return self.weights.size


class CentredGaussian:
    """The laws of one public variance `v`, 1 to MAX_VARIANCE, around any centre."""

    def __init__(self, variance: Fraction) -> None:
        if not 1 <= variance <= MAX_VARIANCE:
            raise InvariantBroken(f"noise: a centred variance outside 1 to {MAX_VARIANCE}")
        self._scale = _scale(variance)

    @property
    def bound(self) -> int:
        """No draw is larger than this in magnitude."""
        return _reach(self._scale.variance, _CUT_BITS)

    def draw(self, fractions: Integers, random_bytes: RandomBytes) -> Integers:
        """One draw around each centre -F / 2^56; F int64, 0 <= F < 2^56, one dimension.

        Takes 8 bytes a draw from `random_bytes`, and 16 more for each near tie.
        """
        if bool(((fractions < 0) | (fractions >> FRACTION_BITS != 0)).any()):
            raise InvariantBroken("noise: a centre that is not between two neighbouring integers")
        uniform = np.frombuffer(random_bytes(8 * fractions.size), dtype="<u8").astype(np.uint64)
        if uniform.size != fractions.size:
            raise InvariantBroken("noise: the source of random bytes gave fewer than asked")
        draws = np.empty(fractions.size, dtype=np.int64)
        rows = max(1, _ELEMENTS_A_CHUNK // (2 * self._scale.reach))
        for at in range(0, fractions.size, rows):
            part = slice(at, at + rows)
            below, up_to = _places(self._scale, fractions[part], uniform[part])
            draws[part] = np.where(below < self._scale.reach, below, self._scale.reach - 1 - below)
            for row in np.flatnonzero(below != up_to):
                rest = int.from_bytes(random_bytes((THRESHOLD_BITS - 64) // 8), "little")
                whole = int(uniform[at + row]) << (THRESHOLD_BITS - 64) | rest
                draws[at + row] = _exact(self._scale.variance, int(fractions[at + row]), whole)
        return draws


def _places(scale: _Scale, fractions: Integers, uniform: NDArray[np.uint64]) -> tuple[Integers, Integers]:
    """How many sums are surely at most U, and how many possibly; the outcome's place in the line where both agree."""
    sums = _sums(scale, fractions)
    total = sums[:, -1].astype(np.uint64)
    high, low = uniform >> np.uint64(32), uniform & np.uint64(0xFFFFFFFF)
    total_high, total_low = total >> np.uint64(32), total & np.uint64(0xFFFFFFFF)
    middle = (high * total_low >> np.uint64(32)) + (low * total_high >> np.uint64(32))
    target = (high * total_high + middle).astype(np.int64)[:, np.newaxis]
    below: Integers = np.count_nonzero(sums <= target - scale.gap, axis=1)
    up_to: Integers = np.count_nonzero(sums <= target + scale.gap, axis=1)
    return below, up_to


def _sums(scale: _Scale, fractions: Integers) -> Integers:
    """Running sums of the weights along the line, one row for each centre, in units of 2^(shift - 62)."""
    offset = np.empty((2, fractions.size), dtype=np.int64)
    np.left_shift(fractions, _ONE_BITS - FRACTION_BITS, out=offset[0])
    np.subtract(_ONE, offset[0], out=offset[1])
    inverse = np.int64(scale.inverse)
    linear, square = _times(offset, inverse), _times(_times(offset, offset), inverse) >> 1
    power, first = _exp_minus(np.stack((linear, square)))[..., np.newaxis]
    powers = np.empty((2, fractions.size, scale.reach), dtype=np.int64)
    powers[..., 0] = _ONE
    filled = 1
    while filled < scale.reach:
        more = min(filled, scale.reach - filled)
        powers[..., filled : filled + more] = _times(powers[..., :more], power)
        power = _times(power, power)
        filled += more
    line = _times(_times(powers, scale.weights), first) >> scale.shift
    return np.concatenate((line[0], line[1]), axis=1).cumsum(axis=1)


def _times(one: Integers, other: Integers | np.int64) -> Integers:
    """The product of numbers from 0 to 1, short by less than two units."""
    one_high, other_high = one >> _HALF_BITS, other >> _HALF_BITS
    middle = one_high * (other & _HALF)
    middle += (one & _HALF) * other_high
    middle >>= _HALF_BITS
    middle += one_high * other_high
    return middle


def _exp_minus(x: Integers) -> Integers:
    """exp(-x) for x from 0 to 1, off by at most 8 units."""
    rest = x & ((1 << (_ONE_BITS - _TABLE_BITS)) - 1)
    sum_ = np.full_like(x, _SERIES[-1])
    for term in _SERIES[-2::-1]:
        sum_ = term - _times(rest, sum_)
    return _times(_EXP[x >> (_ONE_BITS - _TABLE_BITS)], sum_)


def _scale(variance: Fraction) -> _Scale:
    step, square = _exp(1 / (2 * variance)) >> 256, _exp(1 / variance) >> 256
    weights = [1 << 128]
    while weights[-1] >> (128 - _ONE_BITS):
        weights.append(weights[-1] * step >> 128)
        step = step * square >> 128
    weights = [weight >> (128 - _ONE_BITS) for weight in weights[:-1]]
    whole = sum(weights) + len(weights)
    moments = sum(j * weight for j, weight in enumerate(weights)) + len(weights) ** 2
    shift = max(0, (2 * whole).bit_length() - _ONE_BITS)
    units = 2 * ((15 * moments + 12 * whole >> _ONE_BITS) + 1 + 5 * len(weights) + isqrt(int(variance)) + 4)
    margin = 2 * len(weights) + (units >> shift) + 2
    return _Scale(
        variance=variance,
        inverse=(variance.denominator << _ONE_BITS) // variance.numerator,
        weights=np.array(weights, dtype=np.int64),
        shift=shift,
        gap=2 * margin + 4,
    )


def _reach(variance: Fraction, bits: int) -> int:
    """The first j with exp(-j^2 / 2v) < 2^-bits, or hardly more: j^2 >= 2 v bits ln 2."""
    return isqrt(int(2 * variance * bits * Fraction(693_148, 1_000_000))) + 1


def _exact(variance: Fraction, fraction: int, uniform: int) -> int:
    """The outcome for all 192 bits of U, from thresholds of 384-bit integers."""
    reach = _reach(variance, _CUT_BITS)
    line: list[int] = []
    square = _exp(1 / variance)
    for offset in (Fraction(fraction, 1 << FRACTION_BITS), 1 - Fraction(fraction, 1 << FRACTION_BITS)):
        weight = _exp(offset**2 / (2 * variance))
        ratio = _exp((2 * offset + 1) / (2 * variance))
        for _ in range(reach):
            line.append(weight)
            weight = weight * ratio >> _FINE_BITS
            ratio = ratio * square >> _FINE_BITS
    total = sum(line)
    place = bisect_right([(sum_ << THRESHOLD_BITS) // total for sum_ in accumulate(line)], uniform)
    return place if place < reach else reach - 1 - place
