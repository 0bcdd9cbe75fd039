"""From zCDP to (epsilon, delta), for people who know differential privacy by those letters. Pure.

Invariant: what is returned is never below the true value. Every order a > 1 gives a valid bound (Canonne, Kamath, Steinke 2020, Corollary 13),
so a search that stops beside the best order errs to the safe side only, and the result is rounded up after a margin for floating point.
The ledger itself counts in exact zCDP; this is for display and for the linter.
"""

from collections.abc import Callable
from fractions import Fraction
from math import exp, log, log1p

DELTA = Fraction(1, 1_000_000)
"""The delta of every epsilon that this project shows (PRIVACY.md section 0)."""

_STEPS = 200
_MARGIN = 1e-9
"""Far above the rounding of a dozen floating-point operations on numbers of this size, far below the third decimal."""


def epsilon(rho: Fraction, delta: Fraction = DELTA) -> Fraction:
    """The epsilon of rho-zCDP at `delta`, in thousandths, rounded up.

    rho >= 0, 0 < delta < 1. Solves delta = exp((a-1)(a rho - eps)) (1-1/a)^a / (a-1) for eps and takes the least over orders a.
    """
    if rho == 0:
        return Fraction(0)
    cost, slack = float(rho), -log(delta.numerator) + log(delta.denominator)

    def at(log_excess: float) -> float:
        """The bound at order a = 1 + e^log_excess."""
        excess = exp(log_excess)
        order = 1 + excess
        return order * cost - log1p(1 / excess) + (slack - log(order)) / excess

    bound = _least(at, -20.0, 40.0)
    thousandths = Fraction(max(bound, 0.0) * (1 + _MARGIN) + _MARGIN) * 1000
    return Fraction(-(-thousandths.numerator // thousandths.denominator), 1000)


def _least(value: Callable[[float], float], low: float, high: float) -> float:
    """The least value seen by a golden-section search; for a function with one valley, its minimum."""
    ratio = 0.6180339887498949
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    at_left, at_right = value(left), value(right)
    for _ in range(_STEPS):
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - ratio * (high - low)
            at_left = value(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + ratio * (high - low)
            at_right = value(right)
    return min(at_left, at_right)
