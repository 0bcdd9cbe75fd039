"""Scalars: an exact grid, a number of samples that no value can change, exact noise on the sum, energetic means without floats."""

import math
from collections import Counter
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from agent.anonymizer.cells import Value
from agent.anonymizer.discard import Discard
from agent.anonymizer.noise import WideGaussian, gaussian
from agent.anonymizer.scalar import (
    WHOLE_UNITS,
    Grid,
    Sampled,
    Samples,
    Scale,
    Scaled,
    Summary,
    fields,
    histogram,
    needed,
    noise_sd,
    percentile,
    publish,
    publish_percentiles,
    release,
    release_histogram,
    widened,
)
from agent.contracts.aggregate import Cell
from agent.errors import InvariantBroken, PolicyError
from agent.local.randomness import random_bytes
from agent.policy.modes import CoarsePrivacy, NoPrivacy, ScalarPrivacy
from agent.policy.parse import parse_policy

EXAMPLE = Path(__file__).parents[2] / "config" / "examples" / "air-quality-and-noise.toml"
STREAMS = {s.name: s for s in parse_policy(EXAMPLE.read_text(), "air").streams}
NOISE = STREAMS["noise"]
assert isinstance(NOISE.privacy, ScalarPrivacy)
LEVEL = NOISE.privacy
EIGHT_HOURS = STREAMS["noise-levels"].privacy
assert isinstance(EIGHT_HOURS, ScalarPrivacy)
LEVELS: ScalarPrivacy = EIGHT_HOURS
LAW = gaussian(LEVEL.sigma_squared)
SMALL = ScalarPrivacy(Fraction(1, 2), 4, 4, Fraction(0), Fraction(10), Fraction(1), 40)

TEMPERATURE = Scale(Fraction(1, 100), Fraction(-40), 16_500)
"""Hundredths of a degree from -40."""


def window(privacy: Scaled, values: list[int], scale: Scale = WHOLE_UNITS) -> Sampled:
    open_ = Samples(privacy, Grid(privacy, scale))
    assert open_.add(np.array(values, dtype=np.uint32), len(values)) == Counter()
    return open_.close()


def coarse(low: str, high: str, step: str, aggregation: str = "mean", least: int = 2) -> CoarsePrivacy:
    return CoarsePrivacy(aggregation, least, Fraction(low), Fraction(high), Fraction(step))


def plain(low: str, high: str, step: str) -> NoPrivacy:
    return NoPrivacy(Fraction(low), Fraction(high), Fraction(step))


def summary(privacy: CoarsePrivacy | NoPrivacy, values: list[int], quantity: str, scale: Scale = WHOLE_UNITS) -> Value:
    return Summary(replace(NOISE, quantity=quantity), privacy).publish(window(privacy, values, scale))


@given(
    st.fractions(min_value=-100, max_value=100, max_denominator=50),
    st.fractions(min_value=Fraction(1, 1000), max_value=3, max_denominator=1000),
    st.integers(1, 300),
    st.fractions(min_value=Fraction(1, 500), max_value=50, max_denominator=500),
    st.integers(-60, 60),
    st.lists(st.integers(0, 2**32 - 1) | st.integers(0, 40_000), min_size=1, max_size=20),
)
def test_every_number_has_the_index_of_its_nearest_step(
    origin: Fraction, resolution: Fraction, span: int, step: Fraction, lowest: int, numbers: list[int]
) -> None:
    """AN-430: floor((value - low) / step + 1/2), cut to the grid, for any scale and grid, in exact fractions."""
    low = lowest * step
    grid = Grid(NoPrivacy(low, low + span * step, step), Scale(resolution, origin, 2**32 - 1))
    expected = [
        min(max(math.floor((origin + number * resolution - low) / step + Fraction(1, 2)), 0), span)
        for number in numbers
    ]
    assert grid.indices(np.array(numbers, dtype=np.uint32)).tolist() == expected


@pytest.mark.parametrize(("resolution", "maximum"), [("0", 5), ("-1", 5), ("1", -1), ("1", 2**32)])
def test_scales_that_cannot_be(resolution: str, maximum: int) -> None:
    with pytest.raises(InvariantBroken):
        Scale(Fraction(resolution), Fraction(0), maximum)


def test_the_number_of_samples_does_not_depend_on_values() -> None:
    """AN-431: under dp faults, extremes and plain values take one place each; the control is `none`, which leaves faults out."""
    scale = replace(WHOLE_UNITS, maximum=200)
    for values in ([50] * 40, [4_000_000_000] * 40, [0, 201] * 20):
        open_ = Samples(SMALL, Grid(SMALL, scale))
        open_.add(np.array(values, dtype=np.uint32), 40)
        assert open_.close().received == 40
        assert open_.close().counts.sum() == 40
    free = plain("0", "10", "1")
    open_ = Samples(free, Grid(free, scale))
    assert open_.add(np.array([0, 201] * 20, dtype=np.uint32), 40) == {Discard.MALFORMED: 20}
    assert open_.close().received == 20


def test_values_beyond_the_maximum_are_counted_and_never_shown() -> None:
    """AN-431: they stand in the middle of the grid, whatever they were."""
    open_ = Samples(SMALL, Grid(SMALL, replace(WHOLE_UNITS, maximum=200)))
    assert open_.add(np.array([201, 2**32 - 1, 3], dtype=np.uint32), 3) == {Discard.MALFORMED: 2}
    assert open_.close().counts.tolist() == [0, 0, 0, 1, 0, 2, 0, 0, 0, 0, 0]


def test_samples_beyond_the_fixed_number_are_over_rate() -> None:
    """AN-432: a thousand times the expected rate changes nothing but a counter; the first `samples` count."""
    open_ = Samples(SMALL, Grid(SMALL, WHOLE_UNITS))
    assert open_.add(np.full(30, 2, dtype=np.uint32), 30) == Counter()
    assert open_.add(np.full(40_000, 9, dtype=np.uint32), 40_000) == {Discard.OVER_RATE: 39_990}
    assert open_.close().counts.tolist() == [0, 0, 30, 0, 0, 0, 0, 0, 0, 10, 0]
    assert open_.add(None, 9) == {Discard.MALFORMED: 9}


@given(st.lists(st.integers(0, 2**32 - 1), min_size=40, max_size=40), st.data())
def test_a_person_moves_the_sum_by_no_more_than_claimed(values: list[int], data: st.DataObject) -> None:
    """AN-433, the sensitivity: c samples replaced by any others move the sum of indices by at most c * span."""
    changed = list(values)
    for place in data.draw(st.lists(st.integers(0, 39), max_size=SMALL.c)):
        changed[place] = data.draw(st.integers(0, 2**32 - 1))
    sums = [int(np.arange(11) @ window(SMALL, part).counts) for part in (values, changed)]
    assert abs(sums[0] - sums[1]) <= SMALL.c * SMALL.span


def test_sums_have_the_claimed_noise() -> None:
    """AN-433: variance as claimed and one draw whatever was measured; the control, half the noise, is told from it."""
    law = gaussian(SMALL.sigma_squared)
    low, high = window(SMALL, [0] * 40), window(SMALL, [10] * 40)
    asked: list[int] = []

    def source(count: int) -> bytes:
        asked.append(count)
        return random_bytes(count)

    noises = np.array(
        [release(low, law, source) for _ in range(3000)] + [release(high, law, source) - 400 for _ in range(3000)]
    )

    def fits(drawn: NDArray[np.int64]) -> bool:
        return bool(abs(drawn.astype(float).var() / float(SMALL.sigma_squared) - 1) < 0.1)

    assert set(asked) == {8}
    assert fits(noises)
    assert not fits(noises // 2)


def test_the_noise_level_of_the_example() -> None:
    """AN-434: PRIVACY.md 1.6 says 2.3 dB at n = 3600, s = 60; with a twentieth of the samples missing, 2.46. Claimed >= measured >= 0.9 claimed."""
    assert isinstance(LAW, WideGaussian)
    assert math.sqrt(LEVEL.mean_sigma_squared) == pytest.approx(2.333, abs=0.001)
    assert noise_sd(LEVEL) == Decimal("2.457")
    true = window(LEVEL, [62, 63] * (needed(LEVEL) // 2))
    errors = [float(published(release(true, LAW, random_bytes), needed(LEVEL))) - 62.5 for _ in range(4000)]
    rms = math.sqrt(sum(error**2 for error in errors) / len(errors))
    assert 0.9 * 2.457 < rms < 1.05 * 2.457
    assert sum(abs(error) <= 3 * 2.457 for error in errors) >= 0.99 * len(errors)


def published(noisy: int, received: int) -> Decimal:
    value = publish(noisy, received, LEVEL)
    assert isinstance(value, Decimal)
    return value


def test_too_few_samples_are_not_collected() -> None:
    """AN-435: 19 of 20; decided by how many came, whatever they were."""
    assert needed(LEVEL) == 3420
    assert publish(10**5, 3419, LEVEL) is Cell.NOT_COLLECTED
    assert publish(0, 0, LEVEL) is Cell.NOT_COLLECTED
    assert publish(3420 * 25, 3420, LEVEL) == Decimal("55.0")


def test_means_stay_in_range_and_fit_their_field() -> None:
    """AN-436, I6: however far the noise goes."""
    (field,) = fields(NOISE, "mean", LEVEL)
    assert (field.unit, field.width) == ("dB", 7)
    for noisy in (-(10**9), -1, 0, 3420 * 35, 3420 * 70, 10**9):
        value = published(noisy, 3420)
        assert 30 <= value <= 100
        assert len(str(value)) <= field.width
    assert published(3420 * 35 + 171, 3420) == Decimal("65.1")


@pytest.mark.parametrize(
    ("low", "high", "step", "width"),
    [
        ("0", "1000", "1/10", 6),
        ("-40", "85", "1/2", 6),
        ("0", "1", "1/20", 6),
        ("0", "1", "1/3", 8),
        ("-1/20", "1/20", "1/1000000", 9),
    ],
)
def test_numbers_are_written_as_the_step_is(low: str, high: str, step: str, width: int) -> None:
    """AN-436: as many decimals as the step has, at most six, never an exponent."""
    privacy = plain(low, high, step)
    (field,) = fields(replace(NOISE, quantity="air_temperature"), "mean", privacy)
    assert (field.unit, field.width) == ("Cel", width)
    for number in (0, 1, 10_000, 2**32 - 1):
        value = summary(privacy, [number], "air_temperature", Scale(Fraction(1, 7), Fraction(-50), 2**32 - 1))
        assert "E" not in str(value)
        assert len(str(value)) <= width


def test_means_without_protection() -> None:
    """AN-437: rounded half up on the grid; negative quantities by the board's scale."""
    assert summary(plain("0", "1000", "1/10"), [12, 13, 13], "pm2_5") == Decimal("12.7")
    assert summary(plain("0", "10", "1"), [1, 2], "pm2_5") == 2
    cold = summary(plain("-40", "60", "1/10"), [3000, 3005, 3010], "air_temperature", TEMPERATURE)
    assert cold == Decimal("-9.9")  # -10.00, -9.95, -9.90 become -10.0, -9.9 (half up), -9.9; their mean is -9.93
    assert summary(plain("0", "10", "1"), [], "pm2_5") is Cell.NOT_COLLECTED


def test_coarse_wants_its_samples() -> None:
    """AN-437: fewer than min_samples is not collected."""
    assert summary(coarse("0", "10", "1", least=3), [5, 5], "power_street") is Cell.NOT_COLLECTED
    assert summary(coarse("0", "10", "1", least=3), [5, 5, 6], "power_street") == 5


@given(st.lists(st.integers(0, 40), min_size=1, max_size=41))
def test_medians(values: list[int]) -> None:
    """AN-438: the middle one, of two the mean, rounded up."""
    ordered = sorted(values)
    half = len(ordered) // 2
    middle = Fraction(ordered[(len(ordered) - 1) // 2] + ordered[half], 2)
    assert summary(coarse("0", "40", "1", "median", least=1), values, "power_street") == math.floor(
        middle + Fraction(1, 2)
    )


@given(st.lists(st.integers(20, 130), min_size=1, max_size=50))
def test_energetic_means_against_logarithms(levels: list[int]) -> None:
    """AN-439: 10 lg mean(10^(L/10)) of the levels on the grid, rounded to it; floats only here, and not beside a half."""
    energy = sum(10 ** (level / 10) for level in levels) / len(levels)
    exact = 10 * math.log10(energy) * 2
    if abs(exact - math.floor(exact) - 0.5) > 1e-9:
        assert summary(coarse("20", "130", "1/2", least=1), levels, "sound_level") == round(exact) / 2


def test_the_energetic_mean_is_not_the_mean() -> None:
    """AN-439: one second of 100 dB in a minute of 50 dB is 82 dB; the mean of the levels would be 51. The median is a level's own."""
    values = [50] * 59 + [100]
    assert summary(coarse("30", "100", "1"), values, "sound_level") == 82
    assert summary(coarse("30", "100", "1", "median"), values, "sound_level") == 50
    assert summary(coarse("30", "100", "1"), values, "power_street") == 51
    assert Summary(NOISE, coarse("30", "100", "1")).name == "leq"


def test_an_impossible_range_of_levels_is_refused() -> None:
    """AN-439: before it makes energies of millions of digits."""
    with pytest.raises(PolicyError, match="200 dB"):
        Summary(NOISE, coarse("-1000", "1000", "1"))


TOLD = replace(SMALL, rho=Fraction(1, 2), percentiles=(10, 50, 90), percentiles_rho=Fraction(1, 4))

STEADY = replace(TOLD, m=1, c=1, rho=Fraction(3, 2), percentiles_rho=Fraction(1))
"""Just: a cell's noise of one sample in forty."""


def percentiles(privacy: ScalarPrivacy, noisy: NDArray[np.int64], received: int) -> list[float]:
    return [float(str(value)) for value in publish_percentiles(noisy, received, privacy)]


def test_percentiles_from_a_noisy_histogram() -> None:
    """AN-440: at most 32 cells, every sample in one; under the example's policy p10, p50 and p90 of eight hours come out within a cell of 3 dB.

    The control takes negative cells for zero instead, where the noise is four times as wide for the samples: half a noise in each of twenty
    empty cells lifts p90 by ten decibels.
    """
    levels = [55] * 9600 + [60] * 9600 + [68] * 9120 + [80] * 480
    true = histogram(window(LEVELS, levels))
    assert true.size == 24
    assert true.sum() == LEVELS.samples == 28_800
    assert LEVELS.cell_sigma_squared == 3600 * 40
    law = gaussian(LEVELS.cell_sigma_squared)
    found, naive = [], []
    for _ in range(200):
        noisy = true + law.draw(true.size, random_bytes)
        found.append(percentiles(LEVELS, noisy, 28_800))
        positive = np.maximum(true + 4 * law.draw(true.size, random_bytes), 0)
        naive.append(float(str(percentile(positive, int(positive.sum()), 90, LEVELS))))
    assert np.all(np.abs(np.median(found, axis=0) - [55, 60, 68]) <= 3)
    assert np.median(naive) > 75


@given(st.lists(st.integers(-30, 60), min_size=11, max_size=11), st.integers(38, 40))
def test_percentiles_rise_and_stay_on_the_grid(noisy: list[int], received: int) -> None:
    """AN-440, I6: whatever the noise; each fits its field."""
    found = publish_percentiles(np.array(noisy, dtype=np.int64), received, STEADY)
    assert all(isinstance(value, Decimal) and 0 <= value <= 10 for value in found)
    assert sorted(found, key=lambda value: Decimal(str(value))) == list(found)
    cells = fields(NOISE, "mean", STEADY)
    assert [cell.name for cell in cells] == ["mean", "p10", "p50", "p90"]
    assert all(cell.fits(value, 0) for cell, value in zip(cells[1:], found, strict=True))


def test_percentiles_that_are_not_told() -> None:
    """AN-440, AN-444: too few samples, or noise too wide; neither asks what was measured."""
    nothing = (Cell.NOT_COLLECTED,) * 3
    full = np.full(11, 4, dtype=np.int64)
    assert publish_percentiles(full, 37, STEADY) == nothing
    assert not TOLD.steady
    assert publish_percentiles(full, 40, TOLD) == nothing
    wide = widened(STEADY, 2 * STEADY.sigma_squared * STEADY.step**2)
    assert wide.cell_sigma_squared == 2 * STEADY.cell_sigma_squared
    assert wide.charge == STEADY.charge / 2
    assert publish_percentiles(full, 40, wide) == nothing


def test_histogram_sensitivity() -> None:
    """AN-440: c replaced samples change the vector by at most sqrt(2) c, attained when all leave one cell for one other; with the mean that is rho."""
    one, other = window(TOLD, [0] * 40), window(TOLD, [0] * 36 + [10] * 4)
    moved = int(((histogram(one) - histogram(other)) ** 2).sum())
    assert moved == 2 * TOLD.c**2
    of_cells = Fraction(moved) / (2 * TOLD.cell_sigma_squared)
    of_mean = Fraction(TOLD.c * TOLD.span) ** 2 / (2 * TOLD.sigma_squared)
    assert of_cells == TOLD.percentiles_rho
    assert of_cells + of_mean == TOLD.rho == TOLD.charge * TOLD.c**2


def test_a_histogram_is_drawn_alike_whatever_was_measured() -> None:
    """AN-41: one draw a cell, of the claimed variance; the control, half the noise, is told from it."""
    law = gaussian(TOLD.cell_sigma_squared)
    asked: list[int] = []

    def source(count: int) -> bytes:
        asked.append(count)
        return random_bytes(count)

    held = [window(TOLD, [place] * 40) for place in (0, 10)]
    noises = np.concatenate([release_histogram(each, law, source) - histogram(each) for each in held * 500])
    assert len(set(asked)) == 1

    def fits(drawn: NDArray[np.int64]) -> bool:
        return bool(abs(drawn.astype(float).var() / float(TOLD.cell_sigma_squared) - 1) < 0.1)

    assert fits(noises)
    assert not fits(noises // 2)


def test_memory_is_one_counter_a_step() -> None:
    """AN-432: a million readings leave the window as large as it was."""
    fine = plain("0", "100", "1/1000")
    open_ = Samples(fine, Grid(fine, WHOLE_UNITS))
    before = open_._counts.nbytes
    for _ in range(10):
        open_.add(np.full(100_000, 50, dtype=np.uint32), 100_000)
    assert open_._counts.nbytes == before == 8 * 100_001
    assert open_.close().received == 10**6
