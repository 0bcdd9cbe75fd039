"""R6: everything that is published of a day, put together: over windows, totals, classes and rounding.

The attacker writes each published number as a constraint on the true counts, which are whole and not negative, and propagates bounds
until nothing moves (interval propagation, a relaxation of the integer program: what it forces is forced). Then they take the weighted
least-squares estimate of every cell from all numbers together.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.contracts.aggregate import Cell
from agent.local.randomness import random_bytes
from tests.anonymizer.stage import BIKE, FOOT, make_policy
from tests.anonymizer.worlds import World
from tests.privacy.statistics import confirmed
from tests.privacy.table import Record

WINDOWS = 96
MAX_COUNT = 5000


@dataclass(frozen=True, slots=True)
class Published:
    """A number about the sum of some cells: it lies in `value - under` to `value + over` of the truth; `variance` is the noise's."""

    cells: tuple[int, ...]
    low: int
    high: int
    value: int | None
    variance: float


def intervals(published: Iterable[Published], cells: int) -> NDArray[np.int64]:
    """The least and largest value of each true cell that all published numbers allow."""
    known = list(published)
    bounds = np.array([[0, MAX_COUNT]] * cells, dtype=np.int64)
    moved = True
    while moved:
        moved = False
        for number in known:
            low, high = (int(bounds[list(number.cells), side].sum()) for side in (0, 1))
            for cell in number.cells:
                at_least = max(bounds[cell, 0], number.low - (high - bounds[cell, 1]))
                at_most = min(bounds[cell, 1], number.high - (low - bounds[cell, 0]))
                if at_least > bounds[cell, 0] or at_most < bounds[cell, 1]:
                    low, high = low + at_least - bounds[cell, 0], high + at_most - bounds[cell, 1]
                    bounds[cell] = at_least, at_most
                    moved = True
    return bounds


def estimates(published: Sequence[Published], cells: int) -> NDArray[np.float64]:
    """Least squares, each number weighted by one over its variance."""
    numbers = [number for number in published if number.value is not None]
    matrix = np.zeros((len(numbers), cells))
    values = np.zeros(len(numbers))
    for row, number in enumerate(numbers):
        weight = (number.variance + 1e-6) ** -0.5
        matrix[row, list(number.cells)] = weight
        values[row] = weight * (number.value or 0)
    return np.linalg.lstsq(matrix, values, rcond=None)[0].astype(np.float64)


def noisy(cells: tuple[int, ...], value: int, sigma: float) -> Published:
    """What a noisy number says: noise is never beyond 17 sigma (AN-10)."""
    reach = round(17 * sigma)
    return Published(cells, value - reach, value + reach, value, sigma**2)


def street(window: int) -> tuple[int, int]:
    """A day of a bridge: bikes and walkers of a window, the same every time; nights are small."""
    day = abs(window - WINDOWS // 2) / (WINDOWS // 2)
    spread = window * 0.618 % 1
    return round((1 - day) * 90 + 4 * spread), round((1 - day) * 40 + 9 * spread)


def published_day() -> list[Published]:
    """A day of the real collection, every payload of it as the attacker reads it."""
    world = World(make_policy(window=5, notice="5 seconds"))
    world.run(10)
    first = world.utc_s
    for window in range(WINDOWS):
        bikes, walkers = street(window)
        world.count([BIKE] * bikes + [FOOT] * walkers)
        world.run(5, step=1)
    world.tick(1)
    numbers: list[Published] = []
    packs = [pack for pack in world.packs() if pack.window_start >= first]
    for window, pack in enumerate(packs):
        sigma = float(pack.terms.noise_sd)
        reach = round(17 * sigma)
        for place, (_, value) in enumerate(pack.cells):
            cell = 2 * window + place
            if isinstance(value, Cell):
                numbers.append(Published((cell,), 0, pack.terms.threshold - 1 + reach, None, sigma**2))
            else:
                assert isinstance(value, int)
                numbers.append(noisy((cell,), value, sigma))
    assert len(packs) == WINDOWS
    return numbers


def exact(cells: tuple[int, ...], value: int) -> Published:
    return Published(cells, value, value, value, 0.0)


def test_nothing_published_of_a_day_gives_a_cell_away(record: Record) -> None:
    """AN-40, AN-43: no cell is forced, and the best linear estimate of a cell is as far off as its own noise. False alarms: (1e-4)^2 = 1e-8 by
    the error, none by what is forced; the controls are on one day, the same every time, and the last is off by 15 standard errors."""
    sigma = 4.0
    truth = np.array([count for window in range(WINDOWS) for count in street(window)])
    high = truth > 13 + 6 * sigma  # certainly shown: no selection by the noise
    shown = 12 * int(high.sum())
    margin = 4 / np.sqrt(2 * shown)

    def days() -> tuple[int, float]:
        forced, errors = 0, []
        for _ in range(12):
            numbers = published_day()
            bounds = intervals(numbers, truth.size)
            assert (bounds[:, 0] <= truth).all()
            assert (truth <= bounds[:, 1]).all()
            forced += int((bounds[:, 0] == bounds[:, 1]).sum())
            errors += (estimates(numbers, truth.size) - truth)[high].tolist()
        return forced, float(np.sqrt(np.mean(np.square(errors))))

    forced, rmse = confirmed(days, lambda found: abs(found[1] / sigma - 1) > margin)
    assert forced == 0
    assert sigma * (1 - margin) <= rmse <= sigma * (1 + margin), "no more is known, and the attack is not off the mark"
    caught = controls(truth, sigma, margin)
    record(
        "R6",
        f"differencing, all numbers of a day, {shown} cells",
        measured=f"{forced} cells forced; error {rmse:.3f} (four s.e. {sigma * margin:.3f})",
        claim=f"0; >= sigma = {sigma:.3f}",
        caught=caught,
    )


def controls(truth: NDArray[np.int64], sigma: float, margin: float) -> list[str]:
    """Three releases in use elsewhere, on the same day; each gives cells away."""
    bikes, walkers = truth[0::2], truth[1::2]
    caught = []

    suppressed = [
        exact((cell,), int(count)) if count >= 10 else Published((cell,), 0, 9, None, 1.0)
        for cell, count in enumerate(truth)
    ]
    totals = [exact((2 * w, 2 * w + 1), int(bikes[w] + walkers[w])) for w in range(WINDOWS)]
    bounds = intervals([*suppressed, *totals], truth.size)
    hidden = truth < 10
    hits = int((bounds[hidden, 0] == bounds[hidden, 1]).sum())
    assert hits > 0
    caught.append(f"threshold only, with totals ({hits} of {int(hidden.sum())} hidden cells forced)")

    rolling = [exact((cell, cell + 2), int(truth[cell] + truth[cell + 2])) for cell in range(truth.size - 2)]
    bounds = intervals([*suppressed, *(number for number in rolling if (number.value or 0) >= 10)], truth.size)
    hits = int((bounds[hidden, 0] == bounds[hidden, 1]).sum())
    assert hits > 0
    caught.append(f"threshold only, with rolling sums ({hits})")

    def fresh(count: int) -> int:
        """Noise of about `sigma`, made anew: the sum of many coins."""
        coins = round(4 * sigma**2)
        return count + int.from_bytes(random_bytes(coins // 8), "little").bit_count() - coins // 2

    again = [noisy((cell,), fresh(int(count)), sigma) for cell, count in enumerate(truth) for _ in range(3)]
    rmse = float(np.sqrt(np.mean(np.square(estimates(again, truth.size) - truth))))
    assert rmse < sigma * (1 - margin)
    caught.append(f"a cell published three times (error {rmse:.2f})")
    return caught
