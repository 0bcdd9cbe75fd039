"""Real Wi-Fi probe requests in a room, replayed: unique addresses per 5 minutes, as published, against the exact number."""

import csv
import math
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.anonymizer.distinct import WIDTHS, Sightings, publish, release
from agent.anonymizer.noise import DiscreteLaplace, RandomBytes
from agent.local.randomness import fill_random, random_bytes
from agent.policy.modes import Threshold, UniquePrivacy
from tests.conftest import MISSING_SHARED

SIGHTINGS = Path(__file__).parents[3] / "shared" / "data" / "probe_requests_2022-10-19.csv"
WINDOW_S = 300
DRAWS = 200


def windows() -> list[bytes]:
    """The packed addresses of every sighting, one item a 5-minute window, in order."""
    if not SIGHTINGS.exists():
        pytest.skip(f"{MISSING_SHARED}: {SIGHTINGS.name}")
    packed: dict[int, bytearray] = {}
    with SIGHTINGS.open(newline="") as file:
        for row in csv.DictReader(file):
            start = int(datetime.fromisoformat(row["datetime"] + "+00:00").timestamp()) // WINDOW_S
            packed.setdefault(start, bytearray()).extend(bytes.fromhex(row["src"].replace(":", "")))
    return [bytes(packed[start]) for start in sorted(packed)]


def distinct(packed: bytes) -> int:
    """The exact number of addresses."""
    return len({packed[at : at + 6] for at in range(0, len(packed), 6)})


def privacy_of(epsilon: str, addresses: int) -> UniquePrivacy:
    """With the lowest threshold that a policy may have: nearly every window is published."""
    return UniquePrivacy(Fraction(epsilon), m=4, addresses=addresses, threshold=Threshold(1, Fraction(0)))


def replay(privacy: UniquePrivacy, law: DiscreteLaplace, draws: int) -> tuple[float, float, float]:
    """(RMSE, mean claimed deviation, share within three of them), each window released `draws` times; errors are those of published cells."""
    errors, claims, withheld = [], [], 0
    replayed = windows()
    assert len(replayed) == 24
    for packed in replayed:
        exact = distinct(packed)
        for _ in range(draws):
            window = Sightings(WIDTHS["identifiable_wifi_sensor"], fill_random)
            assert window.add(memoryview(packed), 6, np.ones(len(packed) // 6, dtype=np.bool_)) == Counter()
            devices, sd, _ = publish(release(window.close(), law, random_bytes), privacy, law)
            if isinstance(devices, str):
                withheld += 1
                continue
            errors.append(float(devices) - exact)
            claims.append(float(sd))
    assert withheld <= len(replayed) * draws / 50
    rmse = math.sqrt(sum(error**2 for error in errors) / len(errors))
    inside = sum(abs(error) <= 3 * claim for error, claim in zip(errors, claims, strict=True)) / len(errors)
    return rmse, sum(claims) / len(claims), inside


@pytest.mark.parametrize(("epsilon", "addresses"), [("1", 1), ("1/4", 2)])
def test_unique_addresses_of_real_sightings(
    epsilon: str, addresses: int, record_property: Callable[[str, object], None]
) -> None:
    """AN-417, must-show 5: 24 windows x 200 draws, RMSE <= 1.1 x claimed, 99 % within three claimed deviations."""
    privacy = privacy_of(epsilon, addresses)
    rmse, claimed, inside = replay(privacy, DiscreteLaplace(privacy.address_epsilon), DRAWS)
    record_property("errors", f"RMSE {rmse:.3f}, claimed {claimed:.3f}, within three claimed deviations {inside:.4f}")
    assert rmse <= 1.1 * claimed
    assert inside >= 0.99


def test_the_replay_tells_more_noise_than_is_claimed() -> None:
    """The control: the noise of two addresses under the claim for one."""
    privacy = privacy_of("1", 1)

    class Wider(DiscreteLaplace):
        """Draws with half the rate that it claims."""

        def draw(self, count: int, random_bytes: RandomBytes) -> NDArray[np.int64]:
            return wide.draw(count, random_bytes)

    wide = DiscreteLaplace(Fraction(1, 2))
    rmse, claimed, inside = replay(privacy, Wider(Fraction(1)), 20)
    assert rmse > 1.1 * claimed
    assert inside < 0.99
