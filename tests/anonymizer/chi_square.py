"""Chi-square against an exact law, with its p-value from a regularised gamma function of our own (no scipy)."""

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

MIN_EXPECTED = 20.0
"""Cells are pooled until each is expected to hold this many: then the chi-square law is close enough even at 1e-6."""


def gamma_q(a: float, x: float) -> float:
    """Upper regularised incomplete gamma function Q(a, x): series below a + 1, continued fraction (Lentz) above."""
    if x <= 0:
        return 1.0
    log_front = a * math.log(x) - x - math.lgamma(a)
    if x < a + 1:
        term = total = 1 / a
        n = a
        while abs(term) > total * 1e-16:
            n += 1
            term *= x / n
            total += term
        return 1 - total * math.exp(log_front)
    tiny = 1e-300
    b = x + 1 - a
    c, d = 1 / tiny, 1 / b
    h = d
    for i in range(1, 100_000):
        an = -i * (i - a)
        b += 2
        d = 1 / (an * d + b or tiny)
        c = b + an / c or tiny
        h *= d * c
        if abs(d * c - 1) < 1e-15:
            break
    return math.exp(log_front) * h


def exact_law(sigma_squared: Fraction, bound: int) -> NDArray[np.float64]:
    """P[X = k] for k = -bound .. bound by the definition, in double precision (relative error about 1e-14)."""
    weights = [math.exp(-float(Fraction(k * k) / (2 * sigma_squared))) for k in range(-bound, bound + 1)]
    total = math.fsum(weights)
    return np.array([weight / total for weight in weights])


def p_value(observed: NDArray[np.int64], law: Sequence[float] | NDArray[np.float64]) -> float:
    """Probability of a fit at least this bad if `observed` counts come from `law`; cells in order, pooled from both ends inwards."""
    expected = np.asarray(law) * int(observed.sum())
    statistic, cells = 0.0, 0
    held_observed = held_expected = 0.0
    pooled: list[tuple[float, float]] = []
    for o, e in zip(observed.tolist(), expected.tolist(), strict=True):
        held_observed, held_expected = held_observed + o, held_expected + e
        if held_expected >= MIN_EXPECTED:
            pooled.append((held_observed, held_expected))
            held_observed = held_expected = 0.0
    last_observed, last_expected = pooled.pop()
    pooled.append((last_observed + held_observed, last_expected + held_expected))
    for o, e in pooled:
        statistic += (o - e) ** 2 / e
        cells += 1
    return gamma_q((cells - 1) / 2, statistic / 2)
