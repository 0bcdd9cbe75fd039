"""R18: one device that shouts, a million forged ones, and samples at a thousand times their rate: the effect stays within its bound."""

import ctypes
import gc
import os
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.anonymizer import scalar
from agent.anonymizer.distinct import AT_LEAST, CELLS, LIMIT, WIDTHS, Sightings, estimate, publish, release
from agent.anonymizer.noise import DiscreteLaplace, gaussian
from agent.anonymizer.siphash import Fill
from agent.local.randomness import fill_random, random_bytes
from agent.policy.modes import ScalarPrivacy, Threshold, UniquePrivacy
from tests.memory import resident_kib
from tests.privacy.table import Record

FRAMES = 1_000_000
A_FRAME = 250
PRIVACY = UniquePrivacy(Fraction(1), m=4, addresses=1, threshold=Threshold(1, Fraction(0)))
LAW = DiscreteLaplace(PRIVACY.address_epsilon)
SOUND = ScalarPrivacy(Fraction(1, 8), 60, 60, Fraction(30), Fraction(100), Fraction(1), 3600)

MARKS = np.ones(A_FRAME, dtype=np.bool_)


class Kept(Sightings):
    """The broken variant: a set of addresses."""

    def __init__(self, widths: frozenset[int], fill: Fill) -> None:
        super().__init__(widths, fill)
        self.known: set[bytes] = set()

    def add(self, identifiers: memoryview, width: int, belongs: NDArray[np.bool_]):  # type: ignore[no-untyped-def]
        """Keep and add."""
        self.known.update(bytes(identifiers[at : at + width]) for at in range(0, len(identifiers), width))
        return super().add(identifiers, width, belongs)


class EverySighting(Sightings):
    """The broken variant: every sighting counts."""

    heard = 0

    def add(self, identifiers: memoryview, width: int, belongs: NDArray[np.bool_]):  # type: ignore[no-untyped-def]
        """Count and add."""
        self.heard += belongs.size
        return super().add(identifiers, width, belongs)

    def close(self) -> int:
        """All that was heard."""
        super().close()
        return self.heard


def number(window: Sightings, others: bytes, shout: int) -> float:
    """The mean of 200 published numbers of one window: these others, and one device that is heard `shout` times."""
    for at in range(0, len(others), 6 * A_FRAME):
        window.add(memoryview(others[at : at + 6 * A_FRAME]), 6, MARKS)
    one = memoryview(os.urandom(6) * A_FRAME)
    for _ in range(shout // A_FRAME):
        window.add(one, 6, MARKS)
    cells = window.close()
    values = [publish(release(cells, LAW, random_bytes), PRIVACY, LAW)[0] for _ in range(200)]
    return float(np.mean([float(str(value)) for value in values]))


def new(kind: type[Sightings]) -> Sightings:
    return kind(WIDTHS["identifiable_wifi_sensor"], fill_random)


def grown_kib(window: Sightings) -> int:
    """How much more memory there is after FRAMES forged addresses than after the first of them."""
    window.add(memoryview(os.urandom(6 * A_FRAME)), 6, MARKS)
    before = resident_kib()
    for _ in range(FRAMES // A_FRAME):
        window.add(memoryview(os.urandom(6 * A_FRAME)), 6, MARKS)
    return resident_kib() - before


def test_one_device_that_shouts(record: Record) -> None:
    """AN-413: a million frames of one address move the mean of 200 published numbers by one at most (and its own error).
    False alarms: 4e-7: of 250 addresses in 131,072 cells six collide with 2e-7, and five standard deviations of the means' difference."""
    others = os.urandom(6 * A_FRAME)
    collisions = 6  # each window has a key of its own
    error = 5 * (2 * 1.85 / 200) ** 0.5 + collisions
    effect = number(new(Sightings), others, FRAMES) - number(new(Sightings), others, 0)
    control = number(new(EverySighting), others, 10_000) - number(new(EverySighting), others, 0)
    assert effect <= 1 + error
    assert control > 1 + error
    record(
        "R18",
        f"one device in {FRAMES:,} frames",
        measured=f"moves the number by {effect:+.2f}",
        claim=f"<= 1 (and an error of {error:.1f})",
        caught=["every sighting counts"],
    )


def test_a_million_forged_devices(record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    """AN-416: the window says `at_least`, needs no more memory, and raises nothing; without the limit its number would be a jest.
    False alarms: 1e-9, that 200 draws of the control lie within -1 .. 1."""
    window, kept = new(Sightings), new(Kept)
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what earlier tests freed would hide what these two take
    grown, control = grown_kib(window), grown_kib(kept)
    filled = window.close()
    most = estimate(LIMIT, Fraction(2)).devices
    values = {publish(release(filled, LAW, random_bytes), PRIVACY, LAW)[::2] for _ in range(200)}
    assert values == {(most, AT_LEAST)}
    assert grown < 1024 < control
    monkeypatch.setattr("agent.anonymizer.distinct.LIMIT", CELLS - 1)
    unlimited = [estimate(filled + 16 * noise, Fraction(2)).devices for noise in LAW.draw(200, random_bytes).tolist()]
    assert max(unlimited) - min(unlimited) > 100_000
    record(
        "R18",
        f"{FRAMES:,} forged devices",
        measured=f"always at_least {most:,}, {grown} KiB more",
        claim="saturates, bounded, no crash",
        caught=["no limit", f"a set of addresses ({control} KiB more)"],
    )


def test_samples_at_a_thousand_times_their_rate(record: Record) -> None:
    """AN-432: of 3,600,000 samples 3600 count, so c of them move the sum by c * span; without the cut a flood decides it.
    False alarms: 3e-7 (five standard deviations); the control is 10 of them over the bound."""
    grid = scalar.Grid(SOUND, scalar.WHOLE_UNITS)
    law = gaussian(SOUND.sigma_squared)

    def mean(room: int) -> float:
        window = scalar.Samples(SOUND, grid)
        window._room = room
        window.add(np.full(3540, 50, dtype=np.uint32), 3540)
        window.add(np.full(SOUND.samples * 1000, 100, dtype=np.uint32), SOUND.samples * 1000)
        closed = window.close()
        return float(str(scalar.publish(scalar.release(closed, law, random_bytes), closed.received, SOUND)))

    sd = float(scalar.noise_sd(SOUND))
    bound = 50 + 60 * 50 / 3600 + 5 * sd
    flooded, control = mean(SOUND.samples), mean(1 << 62)
    assert flooded <= bound
    assert control > bound
    record(
        "R18",
        "sound levels at 1000 times their rate",
        measured=f"{flooded:.1f} dB where 50.8 are true",
        claim=f"<= {bound:.1f} dB",
        caught=["no cut"],
    )
