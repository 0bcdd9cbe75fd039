"""R13 for unique visitors: does the time of a release tell the size of its Laplace noise?"""

import time
from collections.abc import Callable
from fractions import Fraction

import pytest

from agent.anonymizer.distinct import release
from agent.anonymizer.noise import DiscreteLaplace, RandomBytes, laplace_thresholds
from agent.local.randomness import random_bytes
from tests.privacy.statistics import spearman
from tests.privacy.table import Record

DRAWS, RUNS = 20_000, 3
LIMIT = 0.03
"""4.2 standard deviations of the correlation of 20,000 unrelated pairs; RUNS times in a row chance does it with 1e-14."""

FILLED = 100

Release = Callable[[int, DiscreteLaplace, RandomBytes], int]


def correlation(published: Release, law: DiscreteLaplace) -> float:
    """Spearman's of time and |noise|, the smallest of RUNS: what the machine does besides is not repeated, a leak is."""
    found = []
    for _ in range(RUNS):
        times, sizes = [], []
        for _ in range(DRAWS):
            began = time.perf_counter_ns()
            value = published(FILLED, law, random_bytes)
            times.append(time.perf_counter_ns() - began)
            sizes.append(abs(value - FILLED))
        found.append(spearman(times, sizes))
    return min(found, key=abs)


def walked(law: DiscreteLaplace) -> Release:
    """The broken variant: the textbook's inversion, thresholds tried from the centre outwards until one is large enough."""
    line = [t >> 128 for t in laplace_thresholds(law.rate)]

    def published(filled: int, law: DiscreteLaplace, random_bytes: RandomBytes) -> int:
        uniform = int.from_bytes(random_bytes(8), "little")
        at = law.bound
        while at < len(line) and line[at] <= uniform:
            at += 1
        while at > 0 and line[at - 1] > uniform:
            at -= 1
        return filled + at - law.bound

    return published


@pytest.mark.parametrize("rate", ["1", "1/8"])
def test_time_tells_nothing_of_laplace_noise(rate: str, record: Record) -> None:
    """AN-12, AN-401: nor does the sum, which is made in an array: an int of the noise alone, which CPython makes quicker when it is small, did
    (r = -0.06 to +0.08, twenty nanoseconds)."""
    law = DiscreteLaplace(Fraction(rate))
    measured, control = correlation(release, law), correlation(walked(law), law)
    assert abs(measured) < LIMIT
    assert control > 4 * LIMIT
    record(
        "R13",
        f"time of a release of unique visitors and |noise|, rate {rate}, {DRAWS}",
        measured=f"Spearman {measured:+.4f}",
        claim=f"within {LIMIT}",
        caught=[f"inversion from the centre ({control:+.2f})"],
    )
