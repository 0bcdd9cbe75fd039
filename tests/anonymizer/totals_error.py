"""How far a running total is off at its worst step, by mechanism, from numbers alone: ours exactly, and Honaker's tree."""

import math

import numpy as np

from agent.policy.factorisation import coefficients


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


def honaker_online(steps: int) -> float:
    """Honaker 2015, online: each completed node of height h by all below it has variance 2^h / (2^(h+1) - 1) of a leaf's, rho over all levels."""
    levels = steps.bit_length()
    full = (1 << (levels - 1)) - 1  # the step with the most nodes, all of which stand
    worst = max(
        sum(2.0**h / (2 ** (h + 1) - 1) for h in range(levels) if step >> h & 1) for step in (full, steps - 1, steps)
    )
    return math.sqrt(levels * worst)
