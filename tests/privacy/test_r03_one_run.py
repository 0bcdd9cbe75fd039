"""R3: a single release with very many canary cells: how much do the guesses about all of them prove? (Steinke, Nasr, Jagielski 2023)"""

from collections.abc import Callable
from fractions import Fraction
from math import exp

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.anonymizer import distinct, duration
from agent.anonymizer.noise import DiscreteGaussian, DiscreteLaplace
from agent.local.randomness import random_bytes
from tests.anonymizer.chi_square import exact_law
from tests.privacy.statistics import beta_i, confirmed, epsilon_of
from tests.privacy.table import Record

MISS = 1e-4
"""A bound is wrong with at most this probability; twice in a row (`confirmed`) with 1e-8. MISS_LOOSE where the claim is far above
what so many canaries can prove at their delta."""

MISS_LOOSE = 1e-3

FEW, MANY = 10_000, 1_000_000
_REACH = 2000

Ints = NDArray[np.int64]


def tail(wins: int, guesses: int, epsilon: float) -> float:
    """P[Binomial(guesses, e^epsilon / (1 + e^epsilon)) >= wins]."""
    if wins <= 0:
        return 1.0
    return beta_i(wins, guesses - wins + 1, 1 / (1 + exp(-epsilon))) if wins <= guesses else 0.0


def p_value(wins: int, guesses: int, canaries: int, epsilon: float, delta: float) -> float:
    """Theorem 5.2 of the paper: the chance of so many right guesses if the release were (epsilon, delta)-private."""
    base = tail(wins, guesses, epsilon)
    if delta == 0:
        return base
    steps = [*range(1, 50), *range(50, _REACH, 25), _REACH]
    # between two steps the numerator is at most that of the later one, the divisor at least the earlier one
    worst = max(
        (tail(wins - b, guesses, epsilon) - base) / a for a, b in zip(steps, [*steps[1:], steps[-1]], strict=True)
    )
    return base + 2 * canaries * delta * float(max(worst, tail(wins - 1, guesses, epsilon) - base, 1 / _REACH))


def bound(wins: int, guesses: int, canaries: int, delta: float = 0.0, miss: float = MISS) -> float:
    """The largest epsilon that so many right guesses refute at level `miss`; 0 if none."""
    low, high = 0.0, 20.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if p_value(wins, guesses, canaries, middle, delta) <= miss else (low, middle)
    return low


def coins(count: int) -> Ints:
    """Fair coins: which canaries are in."""
    return np.unpackbits(np.frombuffer(random_bytes(-(-count // 8)), dtype=np.uint8))[:count].astype(np.int64)


def audit(release: Callable[[Ints], Ints], count: int, margin: float, *, effect: int = 1, delta: float = 0.0) -> float:
    """The epsilon that one release proves: each cell holds `effect` or nothing, by a coin; guessed where it is `margin` off the middle."""
    truth = coins(count)
    off = release(truth * effect) - effect / 2
    guessed = np.abs(off) >= margin
    wins = int(np.count_nonzero(guessed & ((off > 0) == (truth == 1))))
    return bound(wins, int(np.count_nonzero(guessed)), count, delta, MISS_LOOSE if delta else MISS)


def windows(law: DiscreteLaplace) -> Callable[[Ints], Ints]:
    """Every cell a window of its own, through the release of unique visitors."""
    return lambda filled: np.array([distinct.release(number, law, random_bytes) for number in filled.tolist()])


def cells(law: DiscreteGaussian | DiscreteLaplace) -> Callable[[Ints], Ints]:
    """All cells in one window, through the release of durations."""
    return lambda counts: duration.release(counts.reshape(100, -1), law, random_bytes).ravel()  # type: ignore[arg-type]  # a Laplace law draws alike


def test_the_instrument() -> None:
    """beta_i gives the binomial tail, and the bound of a perfect guesser grows with the guesses."""
    assert tail(8, 10, 0.0) == pytest.approx(56 / 1024)
    assert tail(11, 10, 3.0) == 0
    assert bound(20, 20, 20) == pytest.approx(np.log(MISS**0.05 / (1 - MISS**0.05)), abs=1e-6)
    assert bound(50, 100, 100) == 0
    assert p_value(60, 100, 100, 0.1, 1e-6) > p_value(60, 100, 100, 0.1, 0.0)


def test_one_run_of_laplace_canaries(record: Record) -> None:
    """AN-401: 10,000 windows and 1,000,000 cells at epsilon 1; a rate 10 % over its claim and a sensitivity of 2 are caught.
    False alarms: 2e-8; the audit's power and the controls lie 15 standard deviations and more from their lines."""
    law = DiscreteLaplace(Fraction(1))
    measured = [
        confirmed(lambda: audit(windows(law), FEW, 0), lambda found: found > 1),
        confirmed(lambda: audit(cells(law), MANY, 0), lambda found: found > 1),
    ]
    assert max(measured) <= 1
    assert measured[1] >= 0.95  # the audit has power
    eager = audit(cells(DiscreteLaplace(Fraction(11, 10))), MANY, 0)
    double = audit(windows(law), FEW, 1, effect=2)
    assert min(eager, double) > 1
    record(
        "R3",
        f"one-run audit, discrete Laplace, {FEW:,} and {MANY:,} canaries",
        measured=f"eps >= {measured[0]:.3f}, {measured[1]:.3f}",
        claim="<= 1",
        caught=["rate 10 % high", "an address that sets two cells"],
    )


def test_one_run_of_gaussian_canaries(record: Record) -> None:
    """AN-10: the same for sigma = 3 at delta 1e-6 and 1e-9, the claim being the law's exact epsilon; an eighth of the variance is caught.
    False alarms: the law's own epsilon is more than 20 standard deviations above what these guesses can prove; a control is missed with 2e-4,
    and twice with 4e-8."""
    law = DiscreteGaussian(Fraction(9))
    exact = exact_law(Fraction(9), law.bound)
    sizes = ((FEW, 1e-6, 3.0), (MANY, 1e-9, 6.0))
    claims = [epsilon_of(exact, delta) for _, delta, _ in sizes]
    measured = [audit(cells(law), count, margin, delta=delta) for count, delta, margin in sizes]
    eighth = DiscreteGaussian(Fraction(9, 8))
    sizes = ((FEW, 1e-6, 2.0), (MANY, 1e-9, 3.0))
    for found, claim, (count, delta, margin) in zip(measured, claims, sizes, strict=True):
        assert found <= claim
        assert found >= 0.1
        control = confirmed(
            lambda a=(count, margin, delta): audit(cells(eighth), a[0], a[1], delta=a[2]),  # type: ignore[misc]  # bound at once
            lambda control, claim=claim: control <= claim,  # type: ignore[misc]
        )
        assert control > claim
    record(
        "R3",
        f"one-run audit, discrete Gaussian, sigma 3, {FEW:,} and {MANY:,} canaries",
        measured=f"eps >= {measured[0]:.3f}, {measured[1]:.3f} at delta 1e-6, 1e-9",
        claim=f"<= {claims[0]:.3f}, {claims[1]:.3f}",
        caught=["an eighth of the variance"],
    )
