"""Exact confidence bounds and rank correlation, without scipy, and the exact privacy curve of a law on the integers."""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

MISS = 1e-4
"""Each one-sided bound of an audit holds with probability 99.99 %; twice in a row both sides of one fail with 4e-8 (`confirmed`)."""

Floats = NDArray[np.float64]
T = TypeVar("T")


def beta_i(a: float, b: float, x: float) -> float:
    """Regularised incomplete beta function I_x(a, b), a, b > 0: continued fraction (Lentz), on the side where it converges fast."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - beta_i(b, a, 1 - x)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x) - math.log(a)
    )
    tiny = 1e-300
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1) or tiny)
    h = d
    for m in range(1, 100_000):
        for numerator in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / (1 + numerator * d or tiny)
            c = 1 + numerator / c or tiny
            h *= d * c
        if abs(d * c - 1) < 1e-14:
            break
    return front * h


@lru_cache(maxsize=4096)
def lower(hits: int, trials: int, miss: float = MISS) -> float:
    """Clopper-Pearson: the probability is at least this, wrong with probability at most `miss`."""
    return 0.0 if hits == 0 else _solve(lambda p: beta_i(hits, trials - hits + 1, p), miss)


@lru_cache(maxsize=4096)
def upper(hits: int, trials: int, miss: float = MISS) -> float:
    """Clopper-Pearson: the probability is at most this, wrong with probability at most `miss`."""
    return 1.0 if hits == trials else _solve(lambda p: beta_i(hits + 1, trials - hits, p), 1 - miss)


def _solve(rising: Callable[[float], float], level: float) -> float:
    """Where a rising function on [0, 1] reaches `level`."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < level else (low, middle)
    return (low + high) / 2


def confirmed(measure: Callable[[], T], alarming: Callable[[T], bool]) -> T:
    """What is measured; what would raise an alarm is measured once more, from new draws, and the second counts. So chance must do it twice, and
    an alarm that is false once in 1000 times is so once in a million. A real fault is there both times."""
    first = measure()
    return measure() if alarming(first) else first


def epsilon_bound(hits: tuple[int, int], trials: int, delta: float) -> float:
    """With probability 99.98 %: a mechanism that gave an event `hits[0]` times on one input and `hits[1]` times on its neighbour, in `trials`
    runs each, is (epsilon, delta)-private for no epsilon below this. 0 where it says nothing."""
    above = lower(hits[0], trials) - delta
    return max(0.0, math.log(above / upper(hits[1], trials))) if above > 0 else 0.0


def delta_of(law: Floats, shift: int, epsilon: float) -> float:
    """The least delta with which `law` (masses on consecutive integers) moved by `shift` is (epsilon, delta)-private: hockey-stick divergence."""
    padded = np.concatenate([np.zeros(shift), law, np.zeros(shift)])
    p, q = padded[shift:], padded[: padded.size - shift]
    one_way = np.maximum(p - math.exp(epsilon) * q, 0).sum()
    other = np.maximum(q - math.exp(epsilon) * p, 0).sum()
    return float(max(one_way, other))


def epsilon_of(law: Floats, delta: float, shift: int = 1) -> float:
    """The least epsilon at `delta`, to 1e-9."""
    low, high = 0.0, 60.0
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (middle, high) if delta_of(law, shift, middle) > delta else (low, middle)
    return high


def ranks(values: Sequence[float] | NDArray[np.generic]) -> Floats:
    """Average ranks, ties sharing theirs."""
    array = np.asarray(values)
    _, inverse, counts = np.unique(array, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    average: Floats = (ends - (counts - 1) / 2)[inverse]
    return average


def spearman(a: Sequence[float] | NDArray[np.generic], b: Sequence[float] | NDArray[np.generic]) -> float:
    """Spearman's rank correlation; its standard deviation is 1 / sqrt(n - 1) where there is none."""
    return float(np.corrcoef(ranks(a), ranks(b))[0, 1])
