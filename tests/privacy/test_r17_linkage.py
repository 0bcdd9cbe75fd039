"""R17: the same devices in two windows: do the two published numbers have more in common than the number of devices?"""

import os
from collections.abc import Callable
from fractions import Fraction

import numpy as np

from agent.anonymizer.distinct import WIDTHS, Sightings, publish, release
from agent.anonymizer.noise import DiscreteLaplace
from agent.anonymizer.siphash import Fill
from agent.local.randomness import fill_random, random_bytes
from agent.policy.modes import Threshold, UniquePrivacy
from tests.privacy.table import Record

DEVICES = 5000
"""So many that collisions, which a key decides, weigh ten times the noise: what two windows share would show."""

PAIRS = 400
LIMIT = 5 / PAIRS**0.5
"""Five standard deviations of the correlation of unrelated pairs: a false alarm in 2 million runs."""

PRIVACY = UniquePrivacy(Fraction(1), m=4, addresses=1, threshold=Threshold(1, Fraction(0)))
LAW = DiscreteLaplace(PRIVACY.address_epsilon)


def published(packed: bytes, fill: Fill) -> float:
    """The number of one window with these devices."""
    window = Sightings(WIDTHS["identifiable_wifi_sensor"], fill)
    window.add(memoryview(packed), 6, np.ones(DEVICES, dtype=np.bool_))
    return float(str(publish(release(window.close(), LAW, random_bytes), PRIVACY, LAW)[0]))


def correlation(fills: Callable[[], tuple[Fill, Fill]]) -> float:
    """Of the two numbers, over PAIRS sets of devices, each in two windows with the keys of `fills`."""
    pairs = []
    for _ in range(PAIRS):
        packed = os.urandom(6 * DEVICES)
        pairs.append([published(packed, fill) for fill in fills()])
    return float(np.corrcoef(np.transpose(pairs))[0, 1])


def same_key() -> tuple[Fill, Fill]:
    """The broken variant: a key that outlives its window."""
    key = os.urandom(16)

    def fill(buffer: memoryview) -> None:
        buffer[:] = key

    return fill, fill


def test_two_windows_share_nothing_but_the_number(record: Record) -> None:
    """AN-412: uncorrelated errors and different keys; with one key for two windows the errors are nearly the same."""
    keys: list[bytes] = []

    def noted(buffer: memoryview) -> None:
        fill_random(buffer)
        keys.append(bytes(buffer))

    measured = correlation(lambda: (noted, noted))
    control = correlation(same_key)
    assert abs(measured) < LIMIT
    assert len(set(keys)) == len(keys) == 2 * PAIRS
    assert control > 0.9
    record(
        "R17",
        f"linkage of {DEVICES} devices in two windows, {PAIRS} pairs",
        measured=f"r = {measured:+.3f}, {len(set(keys))} different keys",
        claim=f"|r| < {LIMIT:.2f}",
        caught=[f"one key for two windows (r = {control:+.2f})"],
    )
