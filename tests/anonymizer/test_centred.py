"""agent/anonymizer/centred: exact discrete Gaussians around secret fractions, by the fast sums and by the exact ones alike."""

import decimal
import math
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.anonymizer import centred
from agent.anonymizer.centred import FRACTION_BITS, MAX_VARIANCE, CentredGaussian
from agent.errors import InvariantBroken
from agent.local.randomness import random_bytes
from tests.anonymizer.chi_square import p_value
from tests.anonymizer.script import Script

ONE = 1 << FRACTION_BITS
VARIANCES = (Fraction(1), Fraction(7, 3), Fraction(40), Fraction(900))
FRACTIONS = (0, 1, ONE // 3, ONE // 2, ONE // 2 + 1, ONE - 1)


def line(variance: Fraction, fraction: int) -> list[tuple[int, Decimal]]:
    """The outcomes in the line's order with their probabilities, by decimal exponentials of 90 digits, sharing nothing with the code."""
    with decimal.localcontext(decimal.Context(prec=90)):
        f = Decimal(fraction) / Decimal(ONE)
        v2 = 2 * Decimal(variance.numerator) / Decimal(variance.denominator)
        reach = CentredGaussian(variance).bound
        values = [*range(reach), *range(-1, -reach - 1, -1)]
        weights = [(-((k + f) ** 2) / v2).exp() for k in values]
        total = sum(weights)
        return [(k, weight / total) for k, weight in zip(values, weights, strict=True)]


@pytest.mark.parametrize("variance", VARIANCES[:3])
@pytest.mark.parametrize("fraction", FRACTIONS)
def test_each_outcome_has_exactly_its_share(variance: Fraction, fraction: int) -> None:
    """AN-302: U just below and at each threshold falls on both sides of it, all 192 bits deciding; and the middle of each share in 64 bits."""
    law = CentredGaussian(variance)
    outcomes = line(variance, fraction)
    centre = np.array([fraction], dtype=np.int64)
    with decimal.localcontext(decimal.Context(prec=90)):
        cumulated, before = Decimal(0), 0
        for place, (value, share) in enumerate(outcomes[:-1]):
            cumulated += share
            threshold = int(cumulated * 2**192)
            if abs(cumulated * 2**192 - threshold - Decimal("0.5")) > Decimal("0.499"):
                before = threshold
                continue  # the decimal sum itself is not sure of the last bit
            for uniform, expected in ((threshold - 1, value), (threshold, outcomes[place + 1][0])):
                if uniform < before or share < Decimal(2) ** -180:
                    continue
                prefix, rest = divmod(uniform, 2**128)
                script = Script(prefix.to_bytes(8, "little"), rest.to_bytes(16, "little"))
                if outcomes[place + 1][1] > Decimal(2) ** -180:
                    assert int(law.draw(centre, script)[0]) == expected
                    assert script.asked == [8, 16]
            middle = (before + threshold) // 2 >> 128
            if share > Decimal(2) ** -30:
                script = Script(middle.to_bytes(8, "little"))
                assert int(law.draw(centre, script)[0]) == value
            before = threshold


@pytest.mark.parametrize("variance", [*VARIANCES, Fraction(10**5, 7), MAX_VARIANCE])
def test_the_fast_sums_are_within_their_bound(variance: Fraction) -> None:
    """AN-302: every running sum, against the exact weights; and the bound leaves near ties to a few draws in a thousand million."""
    scale = CentredGaussian(variance)._scale
    fractions = [*FRACTIONS, *(int.from_bytes(random_bytes(7), "little") for _ in range(2))]
    step = 1 if variance < 1000 else 997
    for fraction in fractions if variance < 10**5 else fractions[2:4]:
        found = centred._sums(scale, np.array([fraction], dtype=np.int64))[0]
        sums = exact_sums(variance, fraction, scale.reach)
        worst = max(abs(int(found[i]) - (sums[i] >> 384 - 62 + scale.shift)) for i in range(0, 2 * scale.reach, step))
        assert 2 * worst + 4 <= scale.gap
    assert 4 * scale.reach * scale.gap < int(found[-1]) / 2**28


def exact_sums(variance: Fraction, fraction: int, reach: int) -> Sequence[int]:
    """Running sums of all weights, cut nowhere that matters, at the places of the fast line; 384 fractional bits."""
    total, sums = 0, []
    square = centred._exp(1 / variance)
    for offset in (Fraction(fraction, ONE), 1 - Fraction(fraction, ONE)):
        weight = centred._exp(offset**2 / (2 * variance))
        ratio = centred._exp((2 * offset + 1) / (2 * variance))
        for _ in range(reach):
            total += weight
            sums.append(total)
            weight, ratio = weight * ratio >> 384, ratio * square >> 384
    return sums


@pytest.mark.parametrize("variance", VARIANCES)
def test_fast_and_exact_agree(variance: Fraction) -> None:
    """AN-302: 64 bits decide as all 192 would, around 200 centres; which is what makes reading them lazily right."""
    law = CentredGaussian(variance)
    count = 200 if variance < 100 else 20
    fractions = np.frombuffer(random_bytes(8 * count), dtype="<u8").astype(np.int64) & (ONE - 1)
    uniform = random_bytes(8 * count)
    draws = law.draw(fractions, Script(uniform)).tolist()
    for i, fraction in enumerate(fractions.tolist()):
        prefix = int.from_bytes(uniform[8 * i : 8 * i + 8], "little")
        for rest in (0, 2**128 - 1):
            assert centred._exact(variance, fraction, prefix << 128 | rest) == draws[i]


def test_the_work_is_the_same_whatever_centre_and_draw() -> None:
    """AN-302: eight bytes a draw and the same arrays, at the ends of both ranges; only a near tie takes sixteen more."""
    law = CentredGaussian(Fraction(9))
    shapes = set()
    for fraction in FRACTIONS:
        for word in (2**20, 2**40, 2**63 - 12345, 2**64 - 2**40):
            script = Script(word.to_bytes(8, "little") * 5)
            assert law.draw(np.full(5, fraction, dtype=np.int64), script).shape == (5,)
            assert script.asked == [40]
        shapes.add(centred._sums(law._scale, np.array([fraction], dtype=np.int64)).shape)
    assert len(shapes) == 1


def test_a_batch_larger_than_a_chunk() -> None:
    """Chunks are drawn one after another, near ties in their own order."""
    law = CentredGaussian(Fraction(1 << 18))
    count = 3 * centred._ELEMENTS_A_CHUNK // (2 * law._scale.reach) + 1
    fractions = np.arange(count, dtype=np.int64) << 40
    uniform = random_bytes(8 * count)
    together = law.draw(fractions, Script(uniform))
    for i in range(0, count, 11):
        assert law.draw(fractions[i : i + 1], Script(uniform[8 * i : 8 * i + 8]))[0] == together[i]


def histogram(variance: Fraction, fraction: int, draws: int) -> NDArray[np.int64]:
    law = CentredGaussian(variance)
    found = law.draw(np.full(draws, fraction, dtype=np.int64), random_bytes)
    return np.bincount(found + law.bound, minlength=2 * law.bound + 1)


def shares(variance: Fraction, fraction: float, bound: int) -> NDArray[np.float64]:
    weights = np.array([math.exp(-((k + fraction) ** 2) / (2 * float(variance))) for k in range(-bound, bound + 1)])
    exact: NDArray[np.float64] = weights / weights.sum()
    return exact


@pytest.mark.parametrize("variance", [Fraction(1), Fraction(9)])
@pytest.mark.parametrize("fraction", [0, ONE // 3, ONE - 1])
def test_chi_square(variance: Fraction, fraction: int) -> None:
    """AN-302: 100,000 fresh draws fit the exact law. Controls: a variance 5 % low, and a centre a fortieth of sigma aside."""
    found = histogram(variance, fraction, 100_000)
    bound = found.size // 2
    assert p_value(found, shares(variance, fraction / ONE, bound)) > 1e-6
    assert p_value(found, shares(variance, fraction / ONE + 0.025 * math.sqrt(variance), bound)) < 1e-3
    if variance > 1:
        low = histogram(variance * Fraction(95, 100), fraction, 100_000)
        law = shares(variance, fraction / ONE, low.size // 2)
        assert p_value(low, law / law.sum()) < 1e-4


@pytest.mark.parametrize("variance", [Fraction(0), Fraction(99, 100), MAX_VARIANCE + 1])
def test_variances_outside_the_range_are_refused(variance: Fraction) -> None:
    with pytest.raises(InvariantBroken):
        CentredGaussian(variance)


@pytest.mark.parametrize("fraction", [-1, ONE])
def test_centres_outside_the_range_are_refused(fraction: int) -> None:
    with pytest.raises(InvariantBroken):
        CentredGaussian(Fraction(1)).draw(np.array([0, fraction], dtype=np.int64), random_bytes)


def test_a_short_source_is_our_own_fault() -> None:
    with pytest.raises(InvariantBroken):
        CentredGaussian(Fraction(1)).draw(np.zeros(2, dtype=np.int64), lambda count: bytes(8))
