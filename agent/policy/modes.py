"""The privacy modes of a stream as values: what each promises, and the noise and charge that follow. Pure.

Every parameter is stated, none defaulted; numbers are exact (int or Fraction).
"""

from dataclasses import dataclass
from fractions import Fraction
from math import isqrt
from typing import ClassVar

from agent.policy import factorisation


@dataclass(frozen=True, slots=True)
class Threshold:
    """Publish a cell only when its noisy value is >= tau = k + ceil(z * sigma) (PRIVACY.md section 4).

    k = 0 (and then z = 0) hides nothing: every noisy value is published, those below zero too, so that sums of them are unbiased.
    """

    k: int
    z: Fraction

    @property
    def hides(self) -> bool:
        """Is anything withheld?"""
        return self.k > 0


@dataclass(frozen=True, slots=True)
class CountPrivacy:
    """Discrete Gaussian noise for one subject with at most m readings a period and c a window (PRIVACY.md 1.2, 3).

    For counts and durations: a reading changes one cell by one. `rho` is what one person-period costs in zCDP; `max_count` clamps each
    cell before noise and bounds the message's length. `totals` is the number of windows over which a running total is published, all those
    of a period, and then each window's noise takes back some of the noise before it; 0 for none, and then noise is independent.
    """

    mode: ClassVar[str] = "dp"

    rho: Fraction
    m: int
    c: int
    threshold: Threshold
    max_count: int
    totals: int = 0

    @property
    def charge(self) -> Fraction:
        """zCDP rho of one reading in one window, such that the worst presence costs `rho`; 1 / (2 sigma^2) for independent noise.

        With totals a person's windows cost more together than apart; the same charge bounds that (agent/anonymizer/SPEC.md AN-308).
        """
        return self.rho / worst_presence(self.m, self.c)

    @property
    def scale_squared(self) -> Fraction:
        """sigma^2 of the counter behind running totals, for which the worst presence costs `rho`; only with totals."""
        return factorisation.scale_squared(self.rho, self.totals, self.m, self.c)

    @property
    def sigma_squared(self) -> Fraction:
        """The noise's variance on each window's number; with totals an upper bound that holds in every window of a period.

        Worst case of sum v_t^2 over the allowed presence, divided by 2 rho (PROOF.md Lemma 8); c*m/(2 rho) when c divides m.
        """
        if self.totals:
            return self.scale_squared * factorisation.increment_gain(self.totals)
        return worst_presence(self.m, self.c) / (2 * self.rho)

    @property
    def total_sigma_squared(self) -> Fraction:
        """An upper bound on the noise's variance on each running total of a period; only with totals."""
        return self.scale_squared * factorisation.total_gain(self.totals)

    @property
    def tau(self) -> int:
        """The threshold on the noisy value, an exact integer."""
        return self.threshold.k + ceil_sqrt(self.threshold.z**2 * self.sigma_squared)


@dataclass(frozen=True, slots=True)
class ThresholdOnly:
    """Counts below `k` are withheld, without noise: not a privacy guarantee (PRIVACY.md 4.2). For counts and durations."""

    mode: ClassVar[str] = "threshold-only"

    k: int
    max_count: int


BITMAP_CELLS = 1 << 17
"""Cells of the bitmap that counts unique visitors (agent/decisions: twice the first design's, for a third less error at a thousand devices)."""


@dataclass(frozen=True, slots=True)
class UniquePrivacy:
    """Discrete Laplace noise on the set cells of a 131,072-cell bitmap under a key that lives for one window (PRIVACY.md 1.5).

    `epsilon` is what one person costs in one window, as pure differential privacy, for a person whose devices show at most `addresses`
    addresses in a window and who is present in at most `m` windows a period. One address changes the number of set cells by at most one.
    """

    mode: ClassVar[str] = "dp"

    epsilon: Fraction
    m: int
    addresses: int
    threshold: Threshold

    @property
    def address_epsilon(self) -> Fraction:
        """The noise's parameter: P[x] is proportional to exp(-|x| * address_epsilon)."""
        return self.epsilon / self.addresses

    @property
    def charge(self) -> Fraction:
        """zCDP rho of one address in one window, such that A of them cost A^2 times that: epsilon^2 / 2 (Bun and Steinke 2016, Proposition 1.4)."""
        return self.address_epsilon**2 / 2

    @property
    def rho(self) -> Fraction:
        """zCDP rho of one person-period."""
        return self.m * self.epsilon**2 / 2

    @property
    def sigma_squared(self) -> Fraction:
        """An upper bound on the noise's variance: 1 / (2 sinh^2(e/2)) <= 2 / e^2 for e = address_epsilon."""
        return 2 / self.address_epsilon**2

    @property
    def tau(self) -> int:
        """The threshold on the noisy number of set cells."""
        return self.threshold.k + ceil_sqrt(self.threshold.z**2 * self.sigma_squared)


UNSTEADY = 40
"""Percentiles are told where the noise in a cell has a standard deviation of at most 1 / UNSTEADY of the window's samples."""


@dataclass(frozen=True, slots=True)
class ScalarPrivacy:
    """Discrete Gaussian noise on the sum of `samples` values, each clamped to [low, high] and rounded to the grid `step` (PRIVACY.md 1.6).

    Samples come at a fixed cadence, so their number is public. One person touches at most `m` samples a period and `c` a window.
    `percentiles` (rising, 1 to 99) are published beside the mean, from a noisy histogram of the same samples; the p-th is what p in a hundred
    samples do not exceed. They take `percentiles_rho` of `rho`, which is what one person-period costs in all; both are empty without them.
    """

    mode: ClassVar[str] = "dp"

    rho: Fraction
    m: int
    c: int
    low: Fraction
    high: Fraction
    step: Fraction
    samples: int
    percentiles: tuple[int, ...] = ()
    percentiles_rho: Fraction = Fraction(0)

    @property
    def span(self) -> int:
        """By how many grid steps one sample can change the sum."""
        return int((self.high - self.low) / self.step)

    @property
    def charge(self) -> Fraction:
        """zCDP rho of one sample in one window, mean and percentiles together."""
        return self.rho / worst_presence(self.m, self.c)

    @property
    def mean_rho(self) -> Fraction:
        """What the mean takes of `rho`."""
        return self.rho - self.percentiles_rho

    @property
    def sigma_squared(self) -> Fraction:
        """The noise's variance on the integer sum, in grid steps squared."""
        return worst_presence(self.m, self.c) * self.span**2 / (2 * self.mean_rho)

    @property
    def cell_sigma_squared(self) -> Fraction:
        """The noise's variance in each cell of the histogram behind the percentiles, in samples squared; only with percentiles.

        A sample that is replaced leaves one cell for another, so v samples change the vector by at most 2 v^2 (squared), twice what v readings
        that come or go do: PROOF.md Lemma 8 with replacement.
        """
        return worst_presence(self.m, self.c) / self.percentiles_rho

    @property
    def steady(self) -> bool:
        """Is that noise small enough to tell percentiles: a standard deviation of at most a fortieth of a window's samples?"""
        return self.cell_sigma_squared * UNSTEADY**2 <= self.samples**2

    @property
    def mean_sigma_squared(self) -> Fraction:
        """The noise's variance on the published mean, in the quantity's unit squared."""
        return self.sigma_squared * (self.step / self.samples) ** 2


@dataclass(frozen=True, slots=True)
class CoarsePrivacy:
    """The window's `aggregation` (mean or median) of at least `min_samples` values, clamped to [low, high], rounded to `step`: no guarantee."""

    mode: ClassVar[str] = "coarse"

    aggregation: str
    min_samples: int
    low: Fraction
    high: Fraction
    step: Fraction


@dataclass(frozen=True, slots=True)
class NoPrivacy:
    """The window's mean as measured, clamped to [low, high] and written in multiples of `step`: for values that no person causes."""

    mode: ClassVar[str] = "none"

    low: Fraction
    high: Fraction
    step: Fraction


Privacy = CountPrivacy | ThresholdOnly | UniquePrivacy | ScalarPrivacy | CoarsePrivacy | NoPrivacy
Guaranteed = CountPrivacy | UniquePrivacy | ScalarPrivacy
"""Modes with a guarantee: `rho` is what a person-period costs, `charge` what one contribution in one window does."""


def worst_presence(m: int, c: int) -> Fraction:
    """The largest sum of squares of presences in windows, each at most c and m in all: what a charge a reading is multiplied with."""
    whole, rest = divmod(m, c)
    return Fraction(whole * c**2 + rest**2)


def ceil_sqrt(value: Fraction) -> int:
    """The smallest integer n >= 0 with n^2 >= value."""
    whole = -(-value.numerator // value.denominator)  # ceil; n^2 >= value iff n^2 >= ceil(value)
    root = isqrt(whole)
    return root if root * root == whole else root + 1
