"""Counts with running totals: the normalised-square-root mechanism in integers (PRIVACY.md 3.3; AN-300 to AN-309 of SPEC.md). Pure.

Window t of a period publishes y_t = x_t + n_t with n_t ~ N_Z(-m_t, sigma^2 s_t^2), m_t = s_t sum_{i>=1} c_i r_{t-i} n_{t-i}: later noise takes back
what earlier noise added, so the sum of published counts is off by less than independent noise would make it, and it is published by the
same stroke. Coefficients, costs and bounds are those of agent/policy/factorisation.

Invariants: n is an integer, so m_t is a whole multiple of 2^-56 and nothing drifts; a window's place in the counter is its index modulo the
number of steps, whatever happened before; noise lives in memory only, and ends with its period; no operation depends on a count or on n.

Sums fit int64 (AN-307). Draws are at most 16.66 sigma s_t + 1 from their centre, so |z_t| <= B = 16.66 sigma + 2 for z = U n. With u_j = n_j / s_j
and a_ij = c_{i-j} r_j s_j, z = u + sum a u, and |a_ij - c*_{i-j}| <= 2^-20 + 2^-16 c*_{i-j}, which adds up to eta < 0.018 along a row of 2^14 steps.
As A^(-1/2) has rows of absolute sum at most 2, |u| <= 2 (B + eta |u|), so |u| <= 2.08 B and |m_t / s_t| = |z_t - u_t| <= 3.08 B. Each term is at most
c* 2.09 B, and c*_1 + ... adds up to less than 2 sqrt(T / pi) < 145, so every partial sum is under 303 B 2^40 < 2^63 for sigma <= 1024.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from agent.anonymizer.centred import FRACTION_BITS, MAX_VARIANCE, CentredGaussian
from agent.anonymizer.noise import RandomBytes
from agent.errors import InvariantBroken
from agent.policy import factorisation
from agent.policy.factorisation import COLUMN_BITS, SCALE_BITS
from agent.policy.modes import ceil_sqrt

_WORD_BITS = 32
_WORD = (1 << _WORD_BITS) - 1
_UNIT_BITS = FRACTION_BITS - _WORD_BITS
assert FRACTION_BITS == 2 * COLUMN_BITS + SCALE_BITS  # what m_t is a multiple of


@dataclass(frozen=True, slots=True)
class Released:
    """One window: what is published of it, by class (int64).

    `totals` are the sums of the published counts of the windows `since` .. this one; `since` is the first window of the period, or
    the first after a restart or a gap.
    """

    increments: NDArray[np.int64]
    totals: NDArray[np.int64]
    since: int


class Counter:
    """The counter of one stream: `steps` windows a period, noise of parameter sigma^2 = `scale_squared` >= 1, `classes` counted apart."""

    def __init__(self, steps: int, scale_squared: Fraction, classes: int) -> None:
        if not 1 <= steps <= factorisation.MAX_STEPS:
            raise InvariantBroken(f"a counter has 1 to {factorisation.MAX_STEPS} steps")
        coefficients = factorisation.coefficients(steps)
        self.steps = steps
        self.scale_squared = scale_squared
        self._s = coefficients.s
        self._r = coefficients.r
        self._c = np.array(coefficients.c[::-1], dtype=np.int64)
        if scale_squared < 1 or self._variance(0) > MAX_VARIANCE:
            raise InvariantBroken("a counter's noise is outside the range of its sampler")
        self._past = np.zeros((classes, steps), dtype=np.int64)
        self._totals = np.zeros(classes, dtype=np.int64)
        self._last = -1
        self._since = 0

    @property
    def bound(self) -> int:
        """No draw is larger than this in magnitude: |n_t| = |u_t| s_t <= 2.08 B s_0 (above)."""
        furthest = Fraction(1667, 100) * ceil_sqrt(self.scale_squared) + 2
        return int(Fraction(21, 10) * furthest * Fraction(self._s[0], 1 << SCALE_BITS)) + 1

    def step(self, window_index: int, counts: NDArray[np.int64], random_bytes: RandomBytes) -> Released:
        """Release window `window_index` (its start divided by its length); counts are int64, one a class, whole and final.

        A window that is not to have numbers is stepped all the same, with zeros for its counts, and its increments are not shown. Raises
        InvariantBroken for a window that is not later than the last one: fresh noise for it would be a second release.
        """
        if window_index <= self._last or counts.shape != self._totals.shape:
            raise InvariantBroken("a counter releases each window once, in order, with one count a class")
        position = window_index % self.steps
        if position == 0 or window_index != self._last + 1:
            self._begin(window_index)
        self._last = window_index
        whole, fractions = self._centres(position)
        noise = CentredGaussian(self._variance(position)).draw(fractions, random_bytes) - whole
        self._past[:, position] = noise * self._r[position]
        increments = counts + noise
        self._totals = self._totals + increments
        return Released(increments, self._totals, self._since)

    def lose(self) -> None:
        """What was stepped last was never published and never will be: the counter begins anew with the window after it (AN-306)."""
        self._begin(self._last + 1)

    def _begin(self, window_index: int) -> None:
        """Forget all noise: a new period, or the rest of one whose earlier windows are lost (AN-306)."""
        self._past.fill(0)
        self._totals = np.zeros_like(self._totals)
        self._since = window_index

    def _centres(self, position: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """m_t = whole + fraction / 2^56 for each class."""
        first = self._since % self.steps
        past = self._past[:, first:position] @ self._c[self.steps - 1 - position + first : self.steps - 1]
        low = (past & _WORD) * self._s[position]
        units = (past >> _WORD_BITS) * self._s[position] + (low >> _WORD_BITS)
        fractions = (units & ((1 << _UNIT_BITS) - 1)) << _WORD_BITS | low & _WORD
        return units >> _UNIT_BITS, fractions

    def _variance(self, position: int) -> Fraction:
        return self.scale_squared * Fraction(self._s[position], 1 << SCALE_BITS) ** 2
