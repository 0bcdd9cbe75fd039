"""The distinguishing attack: from published values of two neighbouring worlds to a lower bound on epsilon (R1, R2).

The attacker chooses an event on one half of what they saw and counts it on the other, so the bound's confidence is that of Clopper and
Pearson. Events: a value at least or at most some value, a value equal to it, a cell without a number (it stands as the lowest value),
a value that is no multiple of 2^-53 (the low bits of floating-point noise, Mironov 2012).
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from tests.privacy.statistics import epsilon_bound

Values = NDArray[np.int64] | NDArray[np.float64]

GRID = 2.0**53


def attack(here: Values, there: Values, delta: float) -> float:
    """A lower bound on epsilon at `delta`; `here` and `there` have the same length, one value a run."""
    half = here.size // 2
    best: tuple[float, int, float, bool] | None = None
    for swapped in (False, True):
        first, second = (there, here) if swapped else (here, there)
        for kind, value, p, q in _events(first[:half], second[:half]):
            promise = _promise(p, q, half, delta)
            if best is None or promise > best[0]:
                best = (promise, kind, value, swapped)
    assert best is not None
    _, kind, value, swapped = best
    first, second = (there, here) if swapped else (here, there)
    hits = int(_holds(kind, value, first[half:]).sum()), int(_holds(kind, value, second[half:]).sum())
    return epsilon_bound(hits, here.size - half, delta)


_AT_LEAST, _AT_MOST, _EQUAL, _OFF_GRID = range(4)


def _holds(kind: int, value: float, values: Values) -> NDArray[np.bool_]:
    if kind == _AT_LEAST:
        return np.asarray(values >= value)
    if kind == _AT_MOST:
        return np.asarray(values <= value)
    if kind == _EQUAL:
        return np.asarray(values == value)
    return np.asarray(np.modf(values.astype(np.float64) * GRID)[0] != 0)


def _events(first: Values, second: Values) -> Iterator[tuple[int, float, float, float]]:
    """(kind, value, how often in first, how often in second)."""
    size = first.size
    distinct = np.unique(first)
    if distinct.size > 2000:  # real numbers: some quantiles will do
        distinct = np.quantile(first, np.linspace(0, 1, 200), method="nearest")
    sorted_first, sorted_second = np.sort(first), np.sort(second)
    for value in distinct.tolist():
        below = [np.searchsorted(each, value, side="left") for each in (sorted_first, sorted_second)]
        up_to = [np.searchsorted(each, value, side="right") for each in (sorted_first, sorted_second)]
        yield _AT_LEAST, value, 1 - below[0] / size, 1 - below[1] / size
        yield _AT_MOST, value, up_to[0] / size, up_to[1] / size
        yield _EQUAL, value, (up_to[0] - below[0]) / size, (up_to[1] - below[1]) / size
    yield (
        _OFF_GRID,
        0.0,
        float(_holds(_OFF_GRID, 0, first).mean()),
        float(_holds(_OFF_GRID, 0, second).mean()),
    )


def _promise(p: float, q: float, runs: int, delta: float) -> float:
    """About what the bound would be."""
    low = p - 4 * np.sqrt(p / runs) - delta
    high = q + 4 * np.sqrt(q / runs) + 10 / runs
    return float(np.log(low / high)) if low > 0 else 0.0
