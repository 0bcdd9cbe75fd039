"""What leaves: counts with noise of exactly the policy's law, and a threshold that sees noisy values only."""

import numpy as np
import pytest

from agent.anonymizer.counts import CountTerms
from agent.anonymizer.kinds import terms_for
from agent.anonymizer.threshold import shown, value_digits
from agent.anonymizer.window import Closed
from agent.contracts.aggregate import Aggregate, Cell
from agent.contracts.log import Charge
from agent.local.randomness import random_bytes
from tests.anonymizer.chi_square import exact_law, p_value
from tests.anonymizer.one_window import count_privacy, govern
from tests.anonymizer.stage import make_policy

POLICY = make_policy(window=5)
STREAM = POLICY.streams[0]
TERMS = terms_for(POLICY, STREAM, bytes(32))
assert isinstance(TERMS, CountTerms)
BOUND = TERMS.noise.bound
CHARGE = Charge(count_privacy(STREAM).charge)


def released(bikes: int, feet: int) -> Aggregate:
    closed = Closed(1_800_000_000, np.array([bikes, feet], dtype=np.int64), 100, None)
    return govern(closed, TERMS, CHARGE, None, 0, random_bytes)


def test_what_is_released_is_the_count_and_noise_of_the_exact_law() -> None:
    """AN-40: chi-square of released minus true over 20,000 cells; a flake is one in a million."""
    bound = BOUND
    histogram = np.zeros(2 * bound + 1, dtype=np.int64)
    for _ in range(10_000):
        for (_, value), true in zip(released(1000, 4321).cells, (1000, 4321), strict=True):
            assert isinstance(value, int)
            histogram[value - true + bound] += 1
    assert p_value(histogram, exact_law(count_privacy(STREAM).sigma_squared, bound)) > 1e-6


@pytest.mark.parametrize(("count", "low", "high"), [(12, 0.35, 0.5), (13, 0.48, 0.62), (14, 0.58, 0.72), (0, 0, 0.01)])
def test_the_threshold_sees_noisy_values_only(count: int, low: float, high: float) -> None:
    """AN-43: around tau = 13 a true count is shown about half of the time: P[count + X >= 13], sigma 4, 2,000 cells, 5 sigma wide."""
    shown_ = [isinstance(value, int) for _ in range(1000) for _, value in released(count, count).cells]
    assert low <= sum(shown_) / len(shown_) <= high


def test_a_suppressed_cell_says_nothing_more() -> None:
    """AN-43: one word, whatever the noisy value."""
    assert shown([12, 13, -60, 0, 14], 13) == (Cell.SUPPRESSED, 13, Cell.SUPPRESSED, Cell.SUPPRESSED, 14)


@pytest.mark.parametrize(
    ("max_count", "bound", "digits"), [(10, 5, 4), (9990, 9, 4), (9990, 10, 5), (10**6, 17_050, 7)]
)
def test_room_for_the_largest_value(max_count: int, bound: int, digits: int) -> None:
    """I6: from the policy alone."""
    assert value_digits(max_count, bound) == digits


def test_counts_are_clamped_before_noise() -> None:
    """AN-40: never more than max_count and the largest draw."""
    for _ in range(50):
        for _, value in released(10**6, 10**6).cells:
            assert isinstance(value, int)
            assert value <= count_privacy(STREAM).max_count + BOUND
