"""What running totals cost and how far they are off, computed again for the audit from PRIVACY.md 3 and PROOF.md, and not from the unit's code. Pure.

With c_k = binom(2k, k) / 4^k, S_n = c_0^2 + … + c_{n-1}^2 and s_j = S_{T-j}^(1/2), the counter of T windows draws U n = z with U_tj = c_{t-j} / s_j
(PROOF.md, Theorem 4). Everything here is in floats, for the unrounded coefficients: a figure of the unit's may lie within MARGIN of it,
or, for deviations, as far above as its own rounding explains (`excess`).
"""

from dataclasses import dataclass
from functools import lru_cache
from math import exp, pi

import numpy as np
from numpy.typing import NDArray

MARGIN = 1e-6
"""Relative: what floats, the unit's rounding up and kappa leave open. Less than a millionth of a budget."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Gains:
    """Variances over sigma^2 in the worst step: of a window's noise, and of a running total's."""

    window: float
    total: float


def sensitivity_squared(steps: int, m: int, c: int) -> float:
    """The largest |U v|^2 over v with at most c in a window and m in all: the first windows (PROOF.md, Lemma 5)."""
    whole, rest = divmod(m, c)
    part = rest / c
    return c * c * ((1 - part) * _first(steps, min(whole, steps)) + part * _first(steps, min(whole + 1, steps)))


def cost(scale_squared: float, steps: int, m: int, c: int) -> float:
    """zCDP rho of a person within (m, c) at sigma^2 = `scale_squared` (PROOF.md, Theorem 4)."""
    return (1 + _kappa(scale_squared)) * sensitivity_squared(steps, m, c) / (2 * scale_squared)


def scale_squared(rho: float, steps: int, m: int, c: int) -> float:
    """sigma^2 for which that cost is `rho`."""
    bare = sensitivity_squared(steps, m, c) / (2 * rho)
    return (1 + _kappa(bare)) * bare


def bounded(steps: int, m: int, c: int) -> bool:
    """Does one charge a window bound the cost? Only for a person in at most half of the windows (AN-308)."""
    return 2 * -(-m // c) <= steps


def longest(steps: int) -> float:
    """s_0^2: the widest draw's variance over sigma^2."""
    return float(np.sum(_coefficients(steps) ** 2))


def excess(steps: int) -> float:
    """By which part a variance stated for all steps may be above the worst step's: coefficients rounded to 2^-20 and bounds between steps (AN-309)."""
    return 1 / 128 + 4 * steps / 2**20


@lru_cache(maxsize=32)
def gains(steps: int) -> Gains:
    """n = diag(s) A^(-1/2) z; the coefficients of (1 - x)^(1/2) are -c_k / (2k - 1). Totals are sums of its rows, one after another."""
    c, s = _coefficients(steps), _scales(steps)
    inverse = -c / (2 * np.arange(steps) - 1)
    window = float(np.max(s**2 * np.cumsum(inverse**2)))
    row, worst = np.zeros(steps), 0.0
    for step in range(
        steps
    ):  # the total is s_t Y_t + sum_{i<t} (s_i - s_{i+1}) Y_i, and Y_i = (A^(1/2) z)_i has c_{i-j} of z_j
        if step:
            row[:step] += (s[step - 1] - s[step]) * c[step - 1 :: -1]
        total = row[: step + 1] + s[step] * c[step::-1]
        worst = max(worst, float(total @ total))
    return Gains(window, worst)


@lru_cache(maxsize=64)
def _first(steps: int, columns: int) -> float:
    """|U (e_0 + … + e_{columns-1})|^2."""
    rows = np.convolve(_coefficients(steps), 1 / _scales(steps)[:columns])[:steps]
    return float(rows @ rows)


@lru_cache(maxsize=4)
def _coefficients(steps: int) -> Floats:
    k = np.arange(1, steps)
    return np.concatenate(([1.0], np.cumprod((2 * k - 1) / (2 * k))))


@lru_cache(maxsize=4)
def _scales(steps: int) -> Floats:
    return np.sqrt(np.cumsum(_coefficients(steps) ** 2)[::-1])


def _kappa(variance: float) -> float:
    """What centres between integers cost, at most (PROOF.md, Lemma 2); the unit uses 2^-22 or 2^-56, which is more."""
    return 80 * variance * exp(-2 * pi**2 * variance) if variance >= 1 else 2**-22
