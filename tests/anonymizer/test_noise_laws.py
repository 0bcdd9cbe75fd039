"""Discrete Laplace and wide Gaussian noise, and every scale that the example policies use: exact tables, exact ties, the right law."""

import decimal
import math
import operator
import time
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.anonymizer import noise
from agent.anonymizer.noise import DiscreteGaussian, DiscreteLaplace, WideGaussian, gaussian, laplace_thresholds
from agent.errors import InvariantBroken
from agent.local.randomness import random_bytes
from tests.anonymizer.chi_square import p_value
from tests.anonymizer.policy_laws import Law, by_scale, masses, policies, shown_bound
from tests.anonymizer.script import Script

RATES = (Fraction(1), Fraction(1, 8), Fraction(1, 10))
NOISE_OF_A_SQUARE = Fraction(70_560_000)
"""sigma^2 of config/examples/air-quality-and-noise.toml's noise level: 3600 seconds, 70 steps, 60 of them one person's."""


LAWS, STREAMS = by_scale()


def counts_of(law: Law, draws: int, chunk: int = 1_000_000) -> NDArray[np.int64]:
    """How often each value came, for k = -shown_bound .. shown_bound; what lies beyond counts as its end."""
    bound = shown_bound(law)
    total = np.zeros(2 * bound + 1, dtype=np.int64)
    for at in range(0, draws, chunk):
        drawn = law.draw(min(chunk, draws - at), random_bytes)
        total += np.bincount(np.clip(drawn, -bound, bound) + bound, minlength=total.size)
    return total


def p_values(law: Law, counts: NDArray[np.int64]) -> list[float]:
    """Chi-square cell by cell, and in some 200 ranges, which a wrong width of a wide law cannot hide in."""
    expected = masses(law, counts.size // 2)
    starts = np.arange(0, counts.size, max(1, counts.size // 200))
    return [p_value(counts, expected), p_value(np.add.reduceat(counts, starts), np.add.reduceat(expected, starts))]


@pytest.mark.parametrize("rate", [*RATES, Fraction(3, 7), Fraction(7, 5)])
def test_laplace_thresholds_against_independent_arithmetic(rate: Fraction) -> None:
    """AN-401: every threshold is floor(F(k) 2^192), computed by 120-digit decimals that share nothing with the recurrence."""
    with decimal.localcontext(decimal.Context(prec=120)):
        step = Decimal(rate.numerator) / Decimal(rate.denominator)
        cut = Decimal(2) ** -200
        bound = 0
        while (-step * (bound + 1)).exp() >= cut:
            bound += 1
        weights = [(-step * abs(k)).exp() for k in range(-bound, bound + 1)]
        total, running, expected = sum(weights), Decimal(0), []
        for weight in weights[:-1]:
            running += weight
            expected.append(int(running / total * 2**192))
    assert laplace_thresholds(rate) == expected
    assert DiscreteLaplace(rate).bound == bound == math.ceil(200 * math.log(2) / rate) - 1


@pytest.mark.parametrize("rate", [Fraction(7, 5), Fraction(1), Fraction(1, 8), Fraction(1, 64)])
def test_laplace_is_nearly_pure_by_the_stated_amount(rate: Fraction) -> None:
    """AN-402: distance to the whole law, and the excess over epsilon of neighbouring inputs, added up over the real table."""
    table = [0, *laplace_thresholds(rate), 2**192]
    masses = [after - before for before, after in pairwise(table)]
    bound = len(masses) // 2
    with decimal.localcontext(decimal.Context(prec=140)):
        step = Decimal(rate.numerator) / Decimal(rate.denominator)
        front = (1 - (-step).exp()) / (1 + (-step).exp())
        law = [front * (-step * abs(k)).exp() for k in range(-bound, bound + 1)]
        real = [Decimal(mass) / 2**192 for mass in masses]
        distance = (sum(map(abs, map(operator.sub, law, real)), Decimal(1)) - sum(law)) / 2
        assert distance <= (Decimal(2 * bound + 1) * Decimal(2) ** -193 + Decimal(2) ** -199)
        assert (1 + Decimal(10).exp()) * Decimal(2 * 100_400 + 1) * Decimal(2) ** -193 < Decimal(2) ** -158
        moved = [Decimal(0), *real[:-1]]
        delta = sum(max(Decimal(0), a - step.exp() * b) for a, b in zip(real, moved, strict=True))
        assert delta <= (1 + step.exp()) * distance


@pytest.mark.parametrize("rate", [Fraction(0), Fraction(-1), Fraction(3, 2), Fraction(1, 725)])
def test_rates_outside_the_range_are_refused(rate: Fraction) -> None:
    with pytest.raises(InvariantBroken):
        DiscreteLaplace(rate)


@pytest.mark.parametrize("rate", [Fraction(1), Fraction(1, 8)])
def test_each_laplace_threshold_decides_exactly_also_in_a_tie(rate: Fraction) -> None:
    """AN-11, AN-400: just below, at and just above each threshold, whether 64 bits decide or all 192; the source is scripted."""
    law, table = DiscreteLaplace(rate), laplace_thresholds(rate)
    ties = 0
    for threshold in table[:: max(1, len(table) // 200)]:
        for uniform in (threshold - 1, threshold, threshold + 1):
            if not 0 <= uniform < 2**192:
                continue
            prefix, rest = divmod(uniform, 2**128)
            tie = any(t >> 128 == prefix for t in table)
            ties += tie
            script = Script(prefix.to_bytes(8, "little"), *[rest.to_bytes(16, "little")] * tie)
            assert int(law.draw(1, script)[0]) + law.bound == sum(t <= uniform for t in table)
            assert script.asked == [8] + [16] * tie
    assert ties > 200


def test_every_draw_takes_the_same_bytes_and_comparisons() -> None:
    """AN-12, AN-400: the extremes take the same bytes and the same array work as the centre."""
    for law in (DiscreteLaplace(Fraction(1, 8)), WideGaussian(NOISE_OF_A_SQUARE)):
        for word in (12_345, 2**63, 2**64 - 12_345):
            script = Script(*[word.to_bytes(8, "little") * 40] * 4)
            assert law.draw(40, script).shape == (40,)
            assert script.asked == [320] * (1 if isinstance(law, DiscreteLaplace) else 4)


@pytest.mark.parametrize(
    "law", [DiscreteLaplace(Fraction(1)), DiscreteLaplace(Fraction(1, 50)), DiscreteGaussian(Fraction(9))]
)
@pytest.mark.parametrize("tail", [Fraction(1, 2), Fraction(1, 100), Fraction(1, 200), Fraction(1, 10**9)])
def test_half_widths_are_the_smallest(law: DiscreteLaplace | DiscreteGaussian, tail: Fraction) -> None:
    """AN-417: P[|X| > w] <= tail < P[|X| > w - 1], by the law in double precision."""
    exact = masses(law, law.bound)
    w = law.half_width(tail)
    beyond = 1 - math.fsum(exact[law.bound - w : law.bound + w + 1])
    assert beyond <= tail * (1 + 1e-6) + 1e-15
    assert w == 0 or beyond + 2 * exact[law.bound + w] > tail


@pytest.mark.parametrize("law", [DiscreteLaplace(Fraction(1, 3)), DiscreteGaussian(Fraction(16))])
def test_a_draw_leaves_nothing_in_the_table(law: DiscreteLaplace | DiscreteGaussian) -> None:
    """A table lives as long as its policy: what it compared a window's noise with is overwritten at once."""
    for count in (1, 8, 3):
        law.draw(count, random_bytes)
        assert not law._scratch.uniform.any()
        assert not law._scratch.below.any()


@pytest.mark.parametrize("law", [DiscreteLaplace(Fraction(1, 3)), DiscreteGaussian(Fraction(16))])
def test_probabilities_below_a_value(law: DiscreteLaplace | DiscreteGaussian) -> None:
    """Over the whole table and beyond both ends, where many thresholds share a prefix: by the law in double precision."""
    exact = masses(law, law.bound)
    for value in range(-law.bound - 2, law.bound + 3):
        assert law.below(value) == pytest.approx(math.fsum(exact[: max(0, value + law.bound)]), abs=1e-12)


@pytest.mark.parametrize("sigma_squared", [Fraction(1089, 7) * 64, Fraction(4097), NOISE_OF_A_SQUARE, Fraction(2**40)])
def test_wide_noise_splits_as_its_proof_demands(sigma_squared: Fraction) -> None:
    """AN-403: variances add up exactly, and every split has u^2 >= 12."""
    tables = WideGaussian(sigma_squared)._digits
    assert sum(table.sigma_squared * 64**place for place, table in enumerate(tables)) == sigma_squared
    above = tables[-1].sigma_squared
    for table in reversed(tables[:-1]):
        assert 1024 <= table.sigma_squared < 1088
        whole = 64 * above + table.sigma_squared
        assert above * table.sigma_squared / whole >= 12
        above = whole


def test_wide_noise_has_the_law_of_its_docstring() -> None:
    """AN-403: the two tables of sigma^2 = 4097 convolved, exactly, against the discrete Gaussian in 120-digit decimals: distance < 2^-170."""
    sigma_squared = Fraction(4097)
    low, high = WideGaussian(sigma_squared)._digits
    masses: dict[int, int] = {}
    parts = []
    for table in (low, high):
        cumulated = [0, *noise.thresholds(table.sigma_squared), 2**192]
        parts.append([after - before for before, after in pairwise(cumulated)])
    for y, weight in enumerate(parts[1], -high.bound):
        for r, mass in enumerate(parts[0], -low.bound):
            masses[8 * y + r] = masses.get(8 * y + r, 0) + weight * mass
    with decimal.localcontext(decimal.Context(prec=120)):
        law = {k: (Decimal(-k * k) / (2 * 4097)).exp() for k in range(-2000, 2001)}
        total = sum(law.values())
        distance = sum(abs(law.get(k, Decimal(0)) / total - Decimal(mass) / 2**384) for k, mass in masses.items())
    assert distance < Decimal(2) ** -170


@pytest.mark.parametrize("sigma_squared", [Fraction(4096), Fraction(2**40 + 1)])
def test_wide_noise_outside_its_range_is_refused(sigma_squared: Fraction) -> None:
    with pytest.raises(InvariantBroken):
        WideGaussian(sigma_squared)


def test_one_table_as_far_as_it_goes() -> None:
    assert isinstance(gaussian(Fraction(2**20)), DiscreteGaussian)
    assert isinstance(gaussian(Fraction(2**20) + Fraction(1, 7)), WideGaussian)


def test_the_example_policies_use_these_scales() -> None:
    """AN-13: what the chi-square tests below run over comes from the policies: all kinds of noise, and every stream that has some."""
    assert {"Gaussian sigma^2=16", "Gaussian sigma^2=70560000", "Laplace rate=1/8"} <= LAWS.keys()
    assert sum(name.startswith("totals") for name in LAWS) == 2
    drawn = {stream for streams in STREAMS.values() for stream in streams}
    guaranteed = {
        f"{file}: {stream.name}"
        for file, policy in policies()
        for stream in policy.streams
        if stream.privacy.mode == "dp"
    }
    assert drawn == guaranteed


@pytest.mark.parametrize("name", LAWS)
def test_chi_square_of_every_policy_scale(name: str) -> None:
    """AN-13, AN-404: 100,000 fresh draws of every scale in use fit the exact law; a flake is one in a million."""
    law = LAWS[name]
    assert min(p_values(law, counts_of(law, 100_000))) > 1e-6


def test_chi_square_rejects_laws_that_are_off() -> None:
    """The controls: epsilon 5 % over its claim; a wide law whose leading digit is 5 % narrow; one whose lowest digit is too narrow to hide its steps."""
    law = DiscreteLaplace(Fraction(21, 160))
    claimed = masses(DiscreteLaplace(Fraction(1, 8)), shown_bound(law))
    assert p_value(counts_of(law, 200_000), claimed / claimed.sum()) < 1e-6
    for place, factor in ((-1, Fraction(19, 20)), (0, Fraction(1, 128))):
        wide = WideGaussian(Fraction(10_000))
        wide._digits[place] = DiscreteGaussian(wide._digits[place].sigma_squared * factor)
        assert min(p_values(wide, counts_of(wide, 300_000))) < 1e-6


@pytest.mark.soak
@pytest.mark.parametrize("name", LAWS)
def test_chi_square_at_fifty_million_draws(name: str, soak_record: Callable[[str, object], None]) -> None:
    """AN-13, AN-404, R12: p > 1e-4 at 50,000,000 draws for every scale that the example policies use, cell by cell and in 200 ranges."""
    law = LAWS[name]
    began = time.process_time()
    cells, ranges = p_values(law, counts_of(law, 50_000_000))
    soak_record(
        f"chi_square {name}",
        {
            "draws": 50_000_000,
            "p_cells": cells,
            "p_ranges": ranges,
            "cpu_seconds": round(time.process_time() - began, 1),
            "streams": STREAMS[name],
        },
    )
    assert min(cells, ranges) > 1e-4


@pytest.mark.soak
def test_chi_square_of_unit_laplace_at_fifty_million_draws(soak_record: Callable[[str, object], None]) -> None:
    """AN-13: epsilon 1 with one address, the scale of PRIVACY.md 1.5, where a table has the fewest cells."""
    law = DiscreteLaplace(Fraction(1))
    p = p_values(law, counts_of(law, 50_000_000))
    soak_record("chi_square Laplace rate=1", {"draws": 50_000_000, "p": p})
    assert min(p) > 1e-4
