"""Measured values: from the board's whole numbers to a grid, and from a window of grid indices to one published number. Pure.

Invariants: a value is an index on the policy's grid from the moment it is read, and every later step is in integers or fractions, never in
floats; memory is one counter a grid step; under `dp` nothing but a value's index depends on the value: whether a sample is
taken, how many are, and whether the window has a number follow from the clock and the link alone.

Modes (PRIVACY.md 1.6). `dp`: discrete Gaussian noise on the sum of the indices, then the mean; and in every cell of a histogram of them, then
percentiles, where the policy asks for some. `coarse` and `none`: mean or median as measured,
rounded to the grid; no guarantee. The mean of a sound level is the energetic one, Leq = 10 lg mean(10^(L/10)) (ISO 1996-1), in `coarse` and
`none`; under `dp` it is the mean of the levels: one loud minute decides an energy sum, so noise that hides it would hide everything else.
"""

import decimal
from collections import Counter
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from agent.anonymizer.cells import Field, Value, scaled
from agent.anonymizer.discard import Discard
from agent.anonymizer.duration import quantile
from agent.anonymizer.noise import DiscreteGaussian, RandomBytes, WideGaussian
from agent.contracts.aggregate import Cell
from agent.contracts.cells import percentile_name
from agent.errors import InvariantBroken, PolicyError
from agent.policy.enforcement import LEVELS, MAX_LEVEL_RANGE
from agent.policy.model import Stream
from agent.policy.modes import CoarsePrivacy, NoPrivacy, ScalarPrivacy, ceil_sqrt
from agent.policy.vocabulary import QUANTITIES

FINER = 10
"""Under dp a mean is written in tenths of the grid's step: it is finer than one sample."""

NEEDED = Fraction(19, 20)
"""Of the policy's `samples`, so many must have come, or the window is not collected. The published deviation allows for as few."""

HISTOGRAM_BINS = 32
_MAX_PLACES = 6
_RATIO_BITS = 192

Law = DiscreteGaussian | WideGaussian
Scaled = ScalarPrivacy | CoarsePrivacy | NoPrivacy


@dataclass(frozen=True, slots=True)
class Scale:
    """How a channel's whole number on the wire means a quantity: origin + number * resolution, in the quantity's unit; numbers above
    `maximum` are no measurements (a fault code, an overflow)."""

    resolution: Fraction
    origin: Fraction
    maximum: int

    def __post_init__(self) -> None:
        if self.resolution <= 0 or not 0 <= self.maximum < 1 << 32:
            raise InvariantBroken("scale: a resolution of zero or less, or a maximum that the wire cannot carry")


WHOLE_UNITS = Scale(Fraction(1), Fraction(0), (1 << 32) - 1)
"""What a board says today (contracts/reading): whole numbers of the channel's unit."""


class Grid:
    """low, low + step .. high; a value has the index of the nearest, of the upper one in the middle, and of an end beyond it."""

    def __init__(self, privacy: Scaled, scale: Scale) -> None:
        self.span = int((privacy.high - privacy.low) / privacy.step)
        self.maximum = scale.maximum
        first = (privacy.low + privacy.step / 2 - scale.origin) / scale.resolution
        each = privacy.step / scale.resolution
        whole = first.denominator * each.denominator
        at, by = int(first * whole), int(each * whole)
        edges = [-(-(at + i * by) // whole) for i in range(self.span)]  # ceil: the smallest number of each index from 1
        self._edges = np.array([min(max(edge, 0), 1 << 32) for edge in edges], dtype=np.int64)

    def indices(self, values: NDArray[np.uint32]) -> NDArray[np.intp]:
        """The grid index of each number of the wire."""
        return np.searchsorted(self._edges, values.astype(np.int64), side="right")


@dataclass(frozen=True, slots=True)
class Sampled:
    """A closed window: how many samples had each grid index, and how many there were."""

    counts: NDArray[np.int64]
    received: int


class Samples:
    """One open window of a scalar stream."""

    def __init__(self, privacy: Scaled, grid: Grid) -> None:
        self._grid = grid
        self._fixed = isinstance(privacy, ScalarPrivacy)
        self._room = privacy.samples if isinstance(privacy, ScalarPrivacy) else 1 << 62
        self._received = 0
        self._counts = np.zeros(grid.span + 1, dtype=np.int64)

    def add(self, values: NDArray[np.uint32] | None, readings: int) -> Counter[Discard]:
        """Take `readings` samples of this window; `values` is None when the batch has no such column.

        Returns how many were discarded, by reason. Under dp the first `samples` of a window are taken; one that is beyond the maximum still
        takes its place, in the middle of the grid: were it left out, the number of samples would depend on what was measured.
        """
        if values is None:
            return +Counter({Discard.MALFORMED: readings})
        taken = values[: self._room - self._received]
        wrong = taken > self._grid.maximum
        indices = self._grid.indices(taken)
        if self._fixed:
            np.copyto(indices, self._grid.span // 2, where=wrong)
        else:
            indices = indices[~wrong]
        np.add.at(self._counts, indices, 1)
        self._received += indices.size
        return +Counter(
            {Discard.MALFORMED: int(np.count_nonzero(wrong)), Discard.OVER_RATE: int(values.size - taken.size)}
        )

    def close(self) -> Sampled:
        """What has been taken."""
        return Sampled(self._counts, self._received)


def release(sampled: Sampled, law: DiscreteGaussian | WideGaussian, random_bytes: RandomBytes) -> int:
    """The noisy sum of grid indices: one draw, and the same work, whatever was measured."""
    return int((law.draw(1, random_bytes) + np.arange(sampled.counts.size) @ sampled.counts)[0])


def publish(noisy: int, received: int, privacy: ScalarPrivacy) -> Value:
    """The mean of the samples that came, from their noisy sum, within low to high; not collected when too few came.

    How many came is public: they come at a fixed cadence (PRIVACY.md 0), and no value changes how many are taken.
    """
    if received < needed(privacy):
        return Cell.NOT_COLLECTED
    parts = min(max((2 * FINER * noisy + received) // (2 * received), 0), FINER * privacy.span)
    return _written(privacy.low + privacy.step * parts / FINER, privacy)


def needed(privacy: ScalarPrivacy) -> int:
    """The fewest samples with which a dp window has a number."""
    return -(-NEEDED.numerator * privacy.samples // NEEDED.denominator)


def noise_sd(privacy: ScalarPrivacy) -> Decimal:
    """The published mean's standard deviation, rounded up: the noise over the fewest samples, and rounding to a part of a step."""
    variance = privacy.sigma_squared * (privacy.step / needed(privacy)) ** 2 + (privacy.step / FINER) ** 2 / 12
    places = min(_places(privacy) + 2, _MAX_PLACES)
    return scaled(ceil_sqrt(variance * 10 ** (2 * places)), places)


class Summary:
    """Mean, energetic mean or median of a window without a guarantee, on the grid."""

    def __init__(self, stream: Stream, privacy: CoarsePrivacy | NoPrivacy) -> None:
        self._privacy = privacy
        self.least, self.name = 1, "mean"
        if isinstance(privacy, CoarsePrivacy):
            self.least, self.name = privacy.min_samples, privacy.aggregation
        self._energies: list[int] = []
        if self.name == "mean" and stream.quantity in LEVELS:
            self.name = "leq"
            self._energies = _half_steps(stream, privacy)

    def publish(self, sampled: Sampled) -> Value:
        """The one number, or `not_collected` with fewer samples than the policy wants."""
        if sampled.received < self.least:
            return Cell.NOT_COLLECTED
        counts = sampled.counts.tolist()
        match self.name:
            case "median":
                index = _median(sampled)
            case "leq":
                index = _energetic(counts, sampled.received, self._energies)
            case _:
                total = sum(index * count for index, count in enumerate(counts))
                index = (2 * total + sampled.received) // (2 * sampled.received)
        return _written(self._privacy.low + self._privacy.step * index, self._privacy)


def fields(stream: Stream, name: str, privacy: Scaled) -> tuple[Field, ...]:
    """What every window publishes: a number called `name`, then percentiles, each as wide as the wider end of the range."""
    ends = (_written(privacy.low, privacy), _written(privacy.high, privacy))
    width = max(len(str(end)) for end in ends)
    names = (name, *map(percentile_name, privacy.percentiles if isinstance(privacy, ScalarPrivacy) else ()))
    return tuple(Field(each, QUANTITIES[stream.quantity].unit, width) for each in names)


def histogram(sampled: Sampled) -> NDArray[np.int64]:
    """The samples in at most 32 equal parts of the grid: for decibels a logarithmic histogram."""
    each = -(-sampled.counts.size // HISTOGRAM_BINS)
    return np.add.reduceat(sampled.counts, np.arange(0, sampled.counts.size, each))


def release_histogram(sampled: Sampled, law: Law, random_bytes: RandomBytes) -> NDArray[np.int64]:
    """The noisy `histogram`: one draw a cell, and the same work, whatever was measured."""
    cells = histogram(sampled)
    return cells + law.draw(cells.size, random_bytes)


def publish_percentiles(noisy: NDArray[np.int64], received: int, drawn: ScalarPrivacy) -> tuple[Value, ...]:
    """Those of the policy, rising, from a noisy `histogram`; not collected when too few samples came, or under noise too wide to tell them.

    `drawn` is the policy with the noise that is drawn. Which of them are told follows from it and from how many samples came, both public.
    """
    if received < needed(drawn) or not drawn.steady:
        return (Cell.NOT_COLLECTED,) * len(drawn.percentiles)
    return tuple(percentile(noisy, received, percent, drawn) for percent in drawn.percentiles)


def percentile(noisy: NDArray[np.int64], received: int, percent: int, privacy: ScalarPrivacy) -> Value:
    """The upper edge of the cell of a noisy `histogram` in which `percent` in a hundred of the `received` samples lie at or below."""
    each = -(-(privacy.span + 1) // HISTOGRAM_BINS)
    index = min((quantile(noisy, Fraction(percent, 100), received) + 1) * each - 1, privacy.span)
    return _written(privacy.low + privacy.step * index, privacy)


def widened(privacy: ScalarPrivacy, strength: Fraction) -> ScalarPrivacy:
    """The same with noise of that strength (agent.anonymizer.strength): every variance is larger by one factor, so every rho smaller."""
    factor = strength / (privacy.sigma_squared * privacy.step**2)
    return replace(privacy, rho=privacy.rho / factor, percentiles_rho=privacy.percentiles_rho / factor)


def _median(sampled: Sampled) -> int:
    """The middle index, of two the mean, rounded up."""
    sums = np.cumsum(sampled.counts)
    low, high = (int(np.searchsorted(sums, (sampled.received + more) // 2, side="left")) for more in (1, 2))
    return (low + high + 1) // 2


def _energetic(counts: list[int], received: int, energies: list[int]) -> int:
    """The grid index nearest to the energetic mean: the number of half-way levels whose energy it reaches."""
    total = sum(count * energies[2 * index] for index, count in enumerate(counts))
    low, high = 0, len(counts) - 1
    while low < high:
        middle = (low + high + 1) // 2
        if energies[2 * middle - 1] * received <= total:
            low = middle
        else:
            high = middle - 1
    return low


def _half_steps(stream: Stream, privacy: Scaled) -> list[int]:
    """10^(i step / 20) 2^192 for i = 0 .. 2 span: the energies of the grid's levels and half-way between, over that of `low`."""
    if privacy.high - privacy.low > MAX_LEVEL_RANGE:
        raise PolicyError(
            f"stream {stream.name}",
            expected=f"a range of at most {MAX_LEVEL_RANGE} dB",
            got=f"{int(privacy.high - privacy.low)}",
        )
    with decimal.localcontext(decimal.Context(prec=100)):
        exponent = Decimal(privacy.step.numerator) / (20 * Decimal(privacy.step.denominator))
        ratio = int(Decimal(10) ** exponent * (1 << _RATIO_BITS))
    energies = [1 << _RATIO_BITS]
    for _ in range(2 * int((privacy.high - privacy.low) / privacy.step)):
        energies.append(energies[-1] * ratio >> _RATIO_BITS)
    return energies


def _written(value: Fraction, privacy: Scaled) -> Decimal:
    """With as many decimals as every value of the stream needs, at most six; beyond that rounded."""
    places = _places(privacy)
    return scaled(int((value * 10**places + Fraction(1, 2)) // 1), places)


def _places(privacy: Scaled) -> int:
    unit = privacy.step / FINER if isinstance(privacy, ScalarPrivacy) else privacy.step
    for places in range(_MAX_PLACES):
        if (unit * 10**places).denominator == (privacy.low * 10**places).denominator == 1:
            return places
    return _MAX_PLACES
