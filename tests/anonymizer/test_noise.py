"""The discrete Gaussian: exact table, exact ties, constant work, the right law, and only the kernel's randomness."""

import decimal
import math
import os
import subprocess
import sys
import time
from bisect import bisect_right
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.anonymizer import noise
from agent.anonymizer.noise import DiscreteGaussian, thresholds
from agent.errors import InvariantBroken
from agent.local.randomness import random_bytes
from tests.anonymizer.chi_square import exact_law, gamma_q, p_value
from tests.anonymizer.script import Script

SCALES = (Fraction(1), Fraction(16), Fraction(900))


def decimal_thresholds(sigma_squared: Fraction) -> list[int]:
    """T_k by 120-digit decimal exponentials, sharing nothing with the integer recurrence."""
    with decimal.localcontext(decimal.Context(prec=120)):
        step = Decimal(sigma_squared.denominator) / (2 * Decimal(sigma_squared.numerator))
        cut = Decimal(2) ** -200
        bound = 0
        while (-step * (bound + 1) ** 2).exp() >= cut:
            bound += 1
        weights = [(-step * k * k).exp() for k in range(-bound, bound + 1)]
        total = sum(weights)
        running = Decimal(0)
        expected = []
        for weight in weights[:-1]:
            running += weight
            expected.append(int(running / total * 2**192))
        return expected


@pytest.mark.parametrize("sigma_squared", [*SCALES, Fraction(3, 2), Fraction(32, 7), Fraction(10_000)])
def test_thresholds_against_independent_arithmetic(sigma_squared: Fraction) -> None:
    """AN-10: every threshold is floor(F(k) 2^192), so total variation to the cut law is at most K 2^-192."""
    assert thresholds(sigma_squared) == decimal_thresholds(sigma_squared)


@pytest.mark.parametrize("sigma_squared", [*SCALES, noise.MAX_SIGMA_SQUARED])
def test_what_is_cut_off_is_less_than_2_to_the_minus_190(sigma_squared: Fraction) -> None:
    """AN-10: the tail beyond the table weighs under 2^-190 of the law (geometric bound on its first left-out weight)."""
    with decimal.localcontext(decimal.Context(prec=80)):
        step = Decimal(sigma_squared.denominator) / (2 * Decimal(sigma_squared.numerator))
        first = DiscreteGaussian(sigma_squared).bound + 1
        weight = (-step * first**2).exp()
        ratio = (-step * (2 * first + 1)).exp()
        assert weight < Decimal(2) ** -200
        assert 2 * weight / (1 - ratio) < Decimal(2) ** -190


def test_the_law_is_symmetric_to_the_last_bit() -> None:
    """floor breaks the symmetry of thresholds by at most one unit in 2^192."""
    table = thresholds(Fraction(16))
    for low, high in zip(table, reversed(table), strict=True):
        assert 0 <= 2**192 - low - high <= 1


@pytest.mark.parametrize("sigma_squared", [Fraction(0), Fraction(99, 100), noise.MAX_SIGMA_SQUARED + 1, Fraction(-1)])
def test_variances_outside_the_range_are_refused(sigma_squared: Fraction) -> None:
    with pytest.raises(InvariantBroken):
        DiscreteGaussian(sigma_squared)


@pytest.mark.parametrize("sigma_squared", [Fraction(1), Fraction(16)])
def test_each_threshold_decides_exactly_also_in_a_tie(sigma_squared: Fraction) -> None:
    """AN-11: U = T_k - 1 and U = T_k fall on both sides of threshold k, whether 64 bits decide or all 192."""
    law = DiscreteGaussian(sigma_squared)
    for number, threshold in enumerate(thresholds(sigma_squared)):
        for uniform, expected in ((threshold - 1, number), (threshold, number + 1)):
            if not 0 <= uniform < 2**192:
                continue
            prefix, rest = divmod(uniform, 2**128)
            tie = any(t >> 128 == prefix for t in thresholds(sigma_squared))
            answers = [prefix.to_bytes(8, "little")] + [rest.to_bytes(16, "little")] * tie
            script = Script(*answers)
            value = int(law.draw(1, script)[0])
            same = [i for i, t in enumerate(thresholds(sigma_squared)) if t == threshold]
            assert value + law.bound == (
                expected if len(same) == 1 else sum(t <= uniform for t in thresholds(sigma_squared))
            )
            assert script.asked == [8] + [16] * tie


def test_ties_are_broken_draw_by_draw() -> None:
    """AN-11: in a batch only tied draws take more bytes, each its own."""
    law = DiscreteGaussian(Fraction(16))
    threshold = thresholds(Fraction(16))[law.bound]
    prefix, rest = divmod(threshold, 2**128)
    script = Script(
        prefix.to_bytes(8, "little") + (2**63).to_bytes(8, "little") + prefix.to_bytes(8, "little"),
        (rest - 1).to_bytes(16, "little"),
        rest.to_bytes(16, "little"),
    )
    first, middle, second = law.draw(3, script).tolist()
    assert (first, second) == (0, 1)
    assert middle == sum(t <= 2**63 << 128 for t in thresholds(Fraction(16))) - law.bound
    assert script.asked == [24, 16, 16]


def test_every_draw_costs_the_same_comparisons(monkeypatch: pytest.MonkeyPatch) -> None:
    """AN-12: the extremes take the same bytes and the same array work as the centre."""
    law = DiscreteGaussian(Fraction(16))
    for word in (1, 2**63, 2**64 - 2):
        script = Script(word.to_bytes(8, "little") * 40)
        assert law.draw(40, script).shape == (40,)
        assert script.asked == [320]


@pytest.mark.parametrize("sigma_squared", [Fraction(1), Fraction(16), Fraction(90_000)])
@pytest.mark.parametrize("batch", [1, 2, 16, 63, 64, 65, 700])
def test_a_batch_of_any_size_is_drawn_exactly(sigma_squared: Fraction, batch: int) -> None:
    """AN-11, AN-12: few draws, many, and some at a time of a wide table; at thresholds, just under them and between, from one end, where
    many share their 64 bits, to the other."""
    law, line = DiscreteGaussian(sigma_squared), thresholds(sigma_squared)
    prefixes = {threshold >> 128 for threshold in line}
    assert len(prefixes) < len(line)
    stride = max(1, len(line) // batch)
    for start in range(0, len(line), max(1, len(line) // 20)):
        places = [(start + stride * row) % len(line) for row in range(batch)]
        shifts = [(0, -1, 1 << 150)[row % 3] for row in range(batch)]
        uniforms = [min(max(line[p] + s, 0), 2**192 - 1) for p, s in zip(places, shifts, strict=True)]
        ties = [uniform for uniform in uniforms if uniform >> 128 in prefixes]
        script = Script(
            b"".join((uniform >> 128).to_bytes(8, "little") for uniform in uniforms),
            *((uniform % 2**128).to_bytes(16, "little") for uniform in ties),
        )
        assert law.draw(batch, script).tolist() == [bisect_right(line, uniform) - law.bound for uniform in uniforms]
        assert script.asked == [8 * batch] + [16] * len(ties)


def test_a_short_source_is_our_own_fault() -> None:
    with pytest.raises(InvariantBroken):
        DiscreteGaussian(Fraction(1)).draw(2, lambda count: bytes(8))


def histogram(law: DiscreteGaussian, draws: int, chunk: int = 1_000_000) -> NDArray[np.int64]:
    total = np.zeros(2 * law.bound + 1, dtype=np.int64)
    while draws:
        count = min(draws, chunk)
        total += np.bincount(law.draw(count, random_bytes) + law.bound, minlength=total.size)
        draws -= count
    return total


def test_regularised_gamma_against_known_values() -> None:
    """Q(1, x) = exp(-x), Q(1/2, x) = erfc(sqrt x); chi-square tables: P[X > 18.307 | 10] = 0.05, P[X > 124.342 | 100] = 0.05."""
    assert gamma_q(1, 3.0) == pytest.approx(0.049787068367863944, rel=1e-12)
    assert gamma_q(0.5, 4.0) == pytest.approx(0.004677734981047266, rel=1e-11)
    assert gamma_q(5, 18.307038053275146 / 2) == pytest.approx(0.05, rel=1e-9)
    assert gamma_q(50, 124.34211340400407 / 2) == pytest.approx(0.05, rel=1e-9)


@pytest.mark.parametrize("sigma_squared", SCALES)
def test_chi_square(sigma_squared: Fraction) -> None:
    """AN-13: 200,000 fresh draws fit the exact law; a flake is one in a million."""
    law = DiscreteGaussian(sigma_squared)
    assert p_value(histogram(law, 200_000), exact_law(sigma_squared, law.bound)) > 1e-6


@pytest.mark.parametrize("sigma_squared", SCALES[1:])
def test_chi_square_rejects_a_variance_five_per_cent_low(sigma_squared: Fraction) -> None:
    """The control: the same test, the same number of draws, a law that gives 5 % more away."""
    law = DiscreteGaussian(sigma_squared * Fraction(95, 100))
    claimed = exact_law(sigma_squared, law.bound)
    assert p_value(histogram(law, 200_000), claimed / claimed.sum()) < 1e-6


@pytest.mark.soak
@pytest.mark.parametrize("sigma_squared", SCALES)
def test_chi_square_at_ten_million_draws(sigma_squared: Fraction, soak_record: Callable[[str, object], None]) -> None:
    """AN-13: the size at which a fault of one part in a thousand of a central cell would show."""
    law = DiscreteGaussian(sigma_squared)
    began = time.monotonic()
    counts = histogram(law, 10_000_000)
    seconds = time.monotonic() - began
    p = p_value(counts, exact_law(sigma_squared, law.bound))
    soak_record(f"chi_square sigma^2={sigma_squared}", {"draws": 10_000_000, "p": p, "seconds": round(seconds, 2)})
    assert p > 1e-4


POISON = """
import os, sys
import numpy, numpy.random, random
from fractions import Fraction

def poison(module):
    for name in dir(module):
        value = getattr(module, name)
        if callable(value) and not isinstance(value, type) and not name.startswith("__"):
            def raises(*args, **kwargs):
                raise SystemExit("poisoned " + module.__name__)
            setattr(module, name, raises)
    for name in ("Random", "SystemRandom", "Generator", "RandomState", "PCG64", "MT19937", "SeedSequence"):
        if hasattr(module, name):
            class Raises:
                def __init__(self, *args, **kwargs):
                    raise SystemExit("poisoned " + module.__name__)
            setattr(module, name, Raises)

poison(random)
poison(numpy.random)
for control in (lambda: random.random(), lambda: numpy.random.normal(), lambda: random.Random(1), lambda: numpy.random.default_rng()):
    try:
        control()
    except SystemExit:
        continue
    raise AssertionError("the poison does not work")

from agent.local.randomness import random_bytes
from tests.anonymizer.stage import BIKE, make_policy
from tests.anonymizer.worlds import World

def release():
    world = World(make_policy(window=5, cap="0.01", rho="0.01"))
    return world.released_values([BIKE] * 4000, windows=20)

reader, writer = os.pipe()
child = os.fork()
if child == 0:
    os.write(writer, repr(release()).encode())
    os._exit(0)
mine = repr(release())
os.close(writer)
theirs = b"".join(iter(lambda: os.read(reader, 65536), b"")).decode()
_, status = os.waitpid(child, 0)
assert status == 0, status
assert len(eval(mine)) >= 10 and len(eval(theirs)) >= 10
assert mine != theirs, "parent and child drew the same noise"
print("clean")
"""


def test_random_and_numpy_random_are_never_called_on_the_release_path() -> None:
    """R11: poisoned, in a forked child too, which draws other noise than its parent."""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", POISON],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(root)},
        check=False,
    )
    assert (done.stdout.strip(), done.returncode) == ("clean", 0), done.stderr


def test_what_lies_below_is_the_laws_sum() -> None:
    """`below` against masses added up in floating point, also where thresholds share a prefix and beyond both ends."""
    law = noise.DiscreteGaussian(Fraction(16))
    mass = [math.exp(-(k**2) / 32) for k in range(-80, 81)]
    for value in (-80, -30, -5, 0, 1, 7, 40, 80):
        assert law.below(value) == pytest.approx(sum(mass[: value + 80]) / sum(mass), rel=1e-12, abs=2**-63)
    assert (law.below(-law.bound), law.below(law.bound + 1)) == (0.0, 1.0)
