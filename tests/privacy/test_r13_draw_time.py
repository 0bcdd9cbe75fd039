"""R13: does the time that a release takes tell the size of its noise?"""

import time
from collections.abc import Callable
from fractions import Fraction

import numpy as np

from agent.anonymizer.noise import RandomBytes, thresholds
from agent.local.randomness import random_bytes
from tests.privacy.mechanism import Ints, policy_of, release, wide_terms
from tests.privacy.statistics import spearman
from tests.privacy.table import Record

DRAWS = 28_000
LIMIT = 0.03
"""Five standard deviations of the correlation of 28,000 unrelated pairs: a false alarm in 2 million runs."""

TRUE = 1000


def correlation(published: Callable[[], int]) -> float:
    """Spearman's, of how long a release of TRUE took and how far from it the published value is."""
    times, sizes = [], []
    for _ in range(DRAWS):
        began = time.perf_counter_ns()
        value = published()
        times.append(time.perf_counter_ns() - began)
        sizes.append(abs(value - TRUE))
    return spearman(times, sizes)


class Sequential:
    """The textbook's inversion: thresholds are tried from the centre outwards until one is large enough."""

    def __init__(self, sigma_squared: Fraction) -> None:
        line = thresholds(sigma_squared)
        self._bound = len(line) // 2
        self._line = [t >> 128 for t in line]

    def draw(self, count: int, random_bytes: RandomBytes) -> Ints:
        """One after another."""
        draws = []
        for _ in range(count):
            uniform = int.from_bytes(random_bytes(8), "little")
            at = self._bound
            while at < len(self._line) and self._line[at] <= uniform:
                at += 1
            while at > 0 and self._line[at - 1] > uniform:
                at -= 1
            draws.append(at - self._bound)
        return np.array(draws, dtype=np.int64)


def test_the_time_of_a_release_tells_nothing_of_its_noise(record: Record) -> None:
    """AN-12: on the whole way from a count to its published value, one cell at a time."""
    terms = wide_terms(policy_of("0.125"), 1)
    counts = np.array([TRUE], dtype=np.int64)
    found = correlation(lambda: int(release(terms, counts)[0]))
    sequential = Sequential(terms.noise.sigma_squared)
    control = correlation(lambda: TRUE + int(sequential.draw(1, random_bytes)[0]))
    assert abs(control) > LIMIT
    assert abs(found) < LIMIT
    record(
        "R13",
        f"time of a release and |noise|, {DRAWS}",
        measured=f"Spearman {found:+.4f}",
        claim=f"within {LIMIT}",
        caught=[f"inversion from the centre ({control:+.2f})"],
    )
