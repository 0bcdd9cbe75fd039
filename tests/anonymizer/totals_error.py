"""How far a running total is off at its worst step, by mechanism, from numbers alone: ours exactly, and Honaker's tree."""

import math
from fractions import Fraction

import numpy as np

from agent.policy.factorisation import coefficients, scale_squared

NSR = {1024: 3.081, 2048: 3.299, 4096: 3.518, 8192: 3.737, 16384: 3.956}
"""PRIVACY.md 3.2: the standard deviation of the total at its worst step, rho = 1/2, by number of windows."""


def worst_total(steps: int, places: list[int]) -> float:
    """The largest standard deviation of a total over sigma at these steps, exactly from the fixed-point coefficients: rows of A U^-1."""
    given = coefficients(steps)
    c, r, s = (np.array(part, dtype=np.float64) for part in (given.c, given.r, given.s))
    c, r, s = c / 2**20, r / 2**20, s / 2**16
    rows = np.zeros((len(places), steps))
    wanted = np.array([[float(j <= t) for t in places] for j in range(steps)])
    for j in range(steps - 1, -1, -1):
        rows[:, j] = s[j] * (wanted[j] - r[j] * (rows[:, j + 1 :] @ c[1 : steps - j]))
    return float(np.sqrt((rows**2).sum(axis=1)).max())


def worst_sd(steps: int) -> float:
    """Our column of that table: the worst total's standard deviation at rho = 1/2 for one event."""
    places = [int(steps * part) for part in (0.3, 0.45, 0.5, 0.53, 0.55, 0.57, 0.6, 0.65, 0.8)] + [steps - 1]
    return math.sqrt(scale_squared(Fraction(1, 2), steps, 1, 1)) * worst_total(steps, places)


def honaker_online(steps: int) -> float:
    """Honaker 2015, online: each completed node of height h by all below it has variance 2^h / (2^(h+1) - 1) of a leaf's, rho over all levels."""
    levels = steps.bit_length()
    full = (1 << (levels - 1)) - 1  # the step with the most nodes, all of which stand
    worst = max(
        sum(2.0**h / (2 ** (h + 1) - 1) for h in range(levels) if step >> h & 1) for step in (full, steps - 1, steps)
    )
    return math.sqrt(levels * worst)
