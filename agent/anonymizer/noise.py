"""Exact noise on the integers by inversion of integer tables (PRIVACY.md 2.2): discrete Gaussian (CKS20) and discrete Laplace.

Gaussian: P[X = k] is proportional to exp(-k^2 / (2 sigma^2)). Laplace: to exp(-|k| rate), rate = epsilon / sensitivity.
Invariant: no floating point anywhere, and the work for a draw does not depend on what is drawn: each draw's 64 random bits are
compared with the 64-bit prefix of every threshold, once where several share one (those nearer than 2^-64 to 0 or 1).

Why it is right: let F be the law's distribution function and T_k = floor(F(k) 2^192). A uniform U in [0, 2^192) gives the
value k whose T_{k-1} <= U < T_k, so P[k] = (T_k - T_{k-1}) / 2^192, within 2^-192 of the law. U is read lazily: 64 bits
decide unless they equal the prefix of a threshold, and then 128 more bits decide exactly. The support is cut where the
weight falls under 2^-200. Total variation to the law is at most K 2^-192 + 2^-190 for K thresholds.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from agent.errors import InvariantBroken

RandomBytes = Callable[[int], bytes]
"""How many -> that many uniform random bytes."""

MIN_SIGMA_SQUARED = Fraction(1)
"""The policy's own lower bound; under it the law is so coarse that its variance is no longer near sigma^2."""

MAX_SIGMA_SQUARED = Fraction(1 << 20)
"""sigma = 1024: 34,000 thresholds, about the most that constant work a draw should cost."""

MAX_WIDE_SIGMA_SQUARED = Fraction(1 << 40)
"""The most that a policy allows for the sum of a scalar's samples (agent/policy/rules)."""

THRESHOLD_BITS = 192
_PREFIX_BITS = 64
_REST_BITS = THRESHOLD_BITS - _PREFIX_BITS
_WORKING_BITS = 384
_CUT_BITS = 200
_COMPARISONS_A_CHUNK = 1 << 20
"""Bounds the comparison matrix to 1 MiB."""

_FEW_DRAWS, _FEW_COMPARISONS = 64, 1 << 14
"""What is compared all at once, in at most 272 KiB of scratch a table. With more, a row takes so long that the way to it no longer counts."""

_UINT64_LE, _UINT8 = np.dtype("<u8"), np.dtype(np.uint8)

_DIGIT = 8
_DIGIT_SIGMA_SQUARED = 16 * _DIGIT**2
"""Wide noise is drawn digit by digit in base 8; the lowest digit's sigma is four digits wide (WideGaussian)."""

_MAX_LEADING_SIGMA_SQUARED = Fraction(1 << 12)


class Noise(Protocol):
    """A symmetric law on the integers that can be drawn from exactly."""

    @property
    def bound(self) -> int:
        """No draw is larger than this in magnitude."""
        ...

    def draw(self, count: int, random_bytes: RandomBytes) -> NDArray[np.int64]:
        """`count` independent draws."""
        ...


@dataclass(frozen=True, slots=True)
class _Few:
    """Where a few draws are compared: a row for each, with all prefixes, its uniform once for each of them, and which are below it.

    Arrays of one shape are compared in one go; to broadcast, or to take new memory, would take longer than the comparisons.
    """

    prefixes: NDArray[np.uint64]
    uniform: NDArray[np.uint64]
    turned: NDArray[np.uint64]
    below: NDArray[np.bool_]
    below_bytes: NDArray[np.uint8]

    @classmethod
    def of(cls, prefixes: NDArray[np.uint64], rows: int) -> "_Few":
        """Room for `rows` draws."""
        shape = rows, prefixes.size
        room = cls._of(np.zeros(shape, np.uint64), np.zeros(shape, np.uint64), np.zeros(shape, np.bool_))
        room.prefixes[...] = prefixes
        return room

    def first(self, rows: int) -> "_Few":
        """The same room for fewer."""
        return self._of(self.prefixes[:rows], self.uniform[:rows], self.below[:rows])

    @classmethod
    def _of(cls, prefixes: NDArray[np.uint64], uniform: NDArray[np.uint64], below: NDArray[np.bool_]) -> "_Few":
        return cls(prefixes, uniform, uniform.T, below, below.view(_UINT8))


class _Table:
    """Draws from a symmetric law on -K .. K by its thresholds T_{-K} .. T_{K-1}, integers of 192 bits in rising order."""

    def __init__(self, thresholds: list[int]) -> None:
        self.bound = len(thresholds) // 2
        prefixes = [t >> _REST_BITS for t in thresholds]
        # thresholds that share a prefix are below U together, or tied together
        first = [k for k, prefix in enumerate(prefixes) if not k or prefix != prefixes[k - 1]]
        self._prefixes = np.array([prefixes[k] for k in first], dtype=np.uint64)
        self._first = np.array([*first, len(prefixes)], dtype=np.int64)
        self._values = self._first - self.bound
        self._column = self._prefixes[:, np.newaxis].copy()
        self._sum = np.min_scalar_type(self._prefixes.size)  # narrow sums are quick ones
        self._next_prefix = np.append(self._prefixes, self._prefixes[-1:])  # one past the end compares like the last
        self._rows = max(1, _COMPARISONS_A_CHUNK // self._prefixes.size)
        self._few_rows = min(_FEW_DRAWS, _FEW_COMPARISONS // self._prefixes.size)
        self._few: dict[int, _Few] = {}
        self._scratch = _Few.of(self._prefixes, self._few_rows)
        rests = [t & ((1 << _REST_BITS) - 1) for t in thresholds]
        self._rests = np.array([(r >> 64, r & (2**64 - 1)) for r in rests], dtype=np.uint64)

    def draw(self, count: int, random_bytes: RandomBytes) -> NDArray[np.int64]:
        """`count` independent draws; takes 8 bytes a draw from `random_bytes`, and 16 more for each tie (about K 2^-64)."""
        uniform = np.frombuffer(random_bytes(8 * count), _UINT64_LE)
        if uniform.size != count:
            raise InvariantBroken("noise: the source of random bytes gave fewer than asked")
        if count <= self._rows:
            return self._chunk(uniform, random_bytes)
        parts = [self._chunk(uniform[at : at + self._rows], random_bytes) for at in range(0, count, self._rows)]
        return np.concatenate(parts)

    def half_width(self, tail: Fraction) -> int:
        """The smallest w with P[|X| > w] <= `tail`, 0 < tail < 1; exact for tails above 2^-60."""
        most = (
            int(tail * 2 ** (_PREFIX_BITS - 1)) - 1
        )  # of F(-w - 1) = T_{-w-1}, of which a prefix is at most one short
        return self.bound - int(self._first[np.searchsorted(self._prefixes, np.uint64(most), side="right")])

    def below(self, value: int) -> float:
        """P[X < `value`]."""
        place = value - 1 + self.bound
        if place < 0:
            return 0.0
        if place >= 2 * self.bound:
            return 1.0
        prefix = int(self._prefixes[np.searchsorted(self._first, place, side="right") - 1])
        return prefix / (1 << _PREFIX_BITS)

    def _chunk(self, uniform: NDArray[np.uint64], random_bytes: RandomBytes) -> NDArray[np.int64]:
        """The draws: for each uniform the number of thresholds that are not above it, less K. The same comparisons all at once, draw by
        draw or prefix by prefix: which of the three depends on the sizes of batch and table alone."""
        count = uniform.size
        if count <= self._few_rows:
            few = self._few.get(count) or self._few.setdefault(count, self._scratch.first(count))
            few.turned[...] = uniform
            np.less(few.prefixes, few.uniform, few.below)
            found = np.add.reduce(few.below_bytes, 1, self._sum)
            few.uniform.fill(
                0
            )  # from either the noise could be read until the next window, and with what was published the count
            few.below_bytes.fill(0)
        elif count <= self._prefixes.size:
            found = np.add.reduce((self._prefixes < uniform.reshape(-1, 1)).view(_UINT8), 1, self._sum)
        else:
            found = np.add.reduce((self._column < uniform).view(_UINT8), 0, self._sum)
        places: NDArray[np.int64] = found.astype(np.int64)
        drawn: NDArray[np.int64] = self._values[places]
        tied = self._next_prefix[places] == uniform
        if b"\1" in tied.tobytes():
            for row in np.flatnonzero(tied):
                drawn[row] = self._break_tie(int(places[row]), random_bytes) - self.bound
        return drawn

    def _break_tie(self, place: int, random_bytes: RandomBytes) -> int:
        """The number of thresholds <= U: those of earlier prefixes, and of the prefix at `place`, U's own, those that are so in full."""
        rest = int.from_bytes(random_bytes(_REST_BITS // 8), "little")
        first, last = self._first[place : place + 2].tolist()
        return int(first) + sum(int(high) << 64 | int(low) <= rest for high, low in self._rests[first:last].tolist())


class DiscreteGaussian(_Table):
    """The law with variance parameter `sigma_squared`, exact."""

    def __init__(self, sigma_squared: Fraction) -> None:
        if not MIN_SIGMA_SQUARED <= sigma_squared <= MAX_SIGMA_SQUARED:
            raise InvariantBroken(f"noise: sigma^2 outside {MIN_SIGMA_SQUARED} to {MAX_SIGMA_SQUARED}")
        self.sigma_squared = sigma_squared
        super().__init__(thresholds(sigma_squared))


class DiscreteLaplace(_Table):
    """P[X = k] proportional to exp(-|k| rate), rate = epsilon / sensitivity; 2 / rate^2 from 1 to 2^20.

    A value of that sensitivity plus one draw would be epsilon-differentially private with the whole law. A finite table makes it only
    nearly so: K = ceil(200 ln 2 / rate) - 1 values on each side, each mass rounded to a multiple of 2^-192. The table is within
    t = (2 K + 1) 2^-193 + 2^-199 of the law in total variation, so the release is (epsilon, (1 + e^epsilon) t)-private, and
    (1 + e^epsilon) t < 2^-158 over the whole range with epsilon <= 10. No value further out than K is ever added, and the ratio of
    neighbouring masses is exp(-rate) up to a factor 1 +- 2^-192 / P[k] only: the loss is nearly epsilon where the mass is not itself tiny.
    """

    def __init__(self, rate: Fraction) -> None:
        if rate <= 0 or not MIN_SIGMA_SQUARED <= 2 / rate**2 <= MAX_SIGMA_SQUARED:
            raise InvariantBroken(f"noise: 2 / rate^2 outside {MIN_SIGMA_SQUARED} to {MAX_SIGMA_SQUARED}")
        self.rate = rate
        super().__init__(laplace_thresholds(rate))


class WideGaussian:
    """The discrete Gaussian for 2^12 < sigma^2 <= 2^40, drawn digit by digit: X = 8 Y + R, work as constant as its tables'.

    R ~ N_Z(0, s^2) with 1024 <= s^2 < 1088 and Y ~ N_Z(0, r^2), r^2 an integer, sigma^2 = 64 r^2 + s^2; Y is split in the same way until
    r^2 <= 2^12. Then X is N_Z(0, sigma^2) up to 2^-337 in total variation (the convolution of Micciancio and Walter 2017):

    P[X = x] is proportional to sum_k exp(-k^2 / 2 r^2 - (x - 8k)^2 / 2 s^2) = exp(-x^2 / 2 sigma^2) sum_k exp(-(k - c)^2 / 2 u^2) for some
    c = c(x), u = r s / sigma. By Poisson summation (PROOF.md, Lemma 2) the last sum is sqrt(2 pi) u (1 + e(x)) with |e| <= h = 2 q + 2 q^4 + ...,
    q = exp(-2 pi^2 u^2): the masses are the law's times factors from 1 - h to 1 + h, so total variation is at most h / (1 - h). As
    s^2 >= 1024 and r^2 >= 48, u^2 >= 12 and h < 2^-339, for each of at most five splits. The tables' own errors, at most 2200 2^-192 + 2^-190
    each, are larger: six of them are still far under 2^-160.
    """

    def __init__(self, sigma_squared: Fraction) -> None:
        if not _MAX_LEADING_SIGMA_SQUARED < sigma_squared <= MAX_WIDE_SIGMA_SQUARED:
            raise InvariantBroken(f"noise: sigma^2 outside {_MAX_LEADING_SIGMA_SQUARED} to {MAX_WIDE_SIGMA_SQUARED}")
        self.sigma_squared = sigma_squared
        self._digits: list[DiscreteGaussian] = []
        left = sigma_squared
        while left > _MAX_LEADING_SIGMA_SQUARED:
            leading = Fraction(int((left - _DIGIT_SIGMA_SQUARED) / _DIGIT**2))
            self._digits.append(DiscreteGaussian(left - leading * _DIGIT**2))
            left = leading
        self._digits.append(DiscreteGaussian(left))

    @property
    def bound(self) -> int:
        """No draw is larger than this in magnitude."""
        return sum(table.bound * _DIGIT**place for place, table in enumerate(self._digits))

    def draw(self, count: int, random_bytes: RandomBytes) -> NDArray[np.int64]:
        """`count` independent draws; 8 bytes a digit and draw, and 16 more for each tie."""
        total = np.zeros(count, dtype=np.int64)
        for place, table in enumerate(self._digits):
            total += table.draw(count, random_bytes) * _DIGIT**place
        return total


def gaussian(sigma_squared: Fraction) -> DiscreteGaussian | WideGaussian:
    """The discrete Gaussian of any variance that a policy may ask for, 1 to 2^40; one table as far as MAX_SIGMA_SQUARED."""
    return DiscreteGaussian(sigma_squared) if sigma_squared <= MAX_SIGMA_SQUARED else WideGaussian(sigma_squared)


def thresholds(sigma_squared: Fraction) -> list[int]:
    """T_k for k = -K .. K-1 of the Gaussian, where K is the last integer of weight >= 2^-200 (T_K = 2^192 is left out).

    Weights are fixed-point integers of 384 bits by the recurrence w_k = w_{k-1} q^(2k-1), q = exp(-1/(2 sigma^2)). With K at
    most 17,000 their errors add up to less than K^3 2^-384 < 2^-341, far below the 2^-192 that is kept.
    """
    return _cumulated(_exp_minus(1 / (2 * sigma_squared)), _exp_minus(1 / sigma_squared))


def laplace_thresholds(rate: Fraction) -> list[int]:
    """T_k for k = -K .. K-1 of the Laplace law, K the last integer of weight >= 2^-200; w_k = w_{k-1} exp(-rate), K at most 100,400."""
    return _cumulated(_exp_minus(rate), 1 << _WORKING_BITS)


def _cumulated(ratio: int, ratio_of_ratios: int) -> list[int]:
    """Thresholds of the symmetric law with weights w_0 = 1, w_1 = ratio, w_{k+1} / w_k = (w_k / w_{k-1}) ratio_of_ratios."""
    one = 1 << _WORKING_BITS
    weights = [one]
    while True:
        weight = weights[-1] * ratio >> _WORKING_BITS
        if weight < one >> _CUT_BITS:
            break
        weights.append(weight)
        ratio = ratio * ratio_of_ratios >> _WORKING_BITS
    line = weights[:0:-1] + weights
    total = sum(line)
    return [(running << THRESHOLD_BITS) // total for running in accumulate(line[:-1])]


def _exp_minus(x: Fraction) -> int:
    """floor-ish exp(-x) 2^384 for x > 0, by Taylor series of exp(-x/2^s) and s squarings, with 64 guard bits."""
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
