"""R12: has the noise of every policy that ships exactly the law it is said to have?"""

from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.anonymizer.noise import DiscreteGaussian, DiscreteLaplace, Noise, gaussian, thresholds
from agent.local.randomness import random_bytes
from agent.policy.enforcement import ENFORCED
from agent.policy.file import load_policy
from agent.policy.modes import CountPrivacy, Privacy, ScalarPrivacy, UniquePrivacy
from tests.anonymizer.chi_square import exact_law, p_value
from tests.anonymizer.script import Script
from tests.privacy.mechanism import POLICIES, Ints, Table, runs, wide_terms
from tests.privacy.statistics import confirmed
from tests.privacy.table import Record

DRAWS = 1_000_000
FEWER = 200_000


def scales() -> list[tuple[str, Fraction]]:
    """(stream, variance) of each stream with Gaussian noise of one reading a cell in the policies that ship, each variance once."""
    found: dict[Fraction, str] = {}
    for path in POLICIES:
        for stream in load_policy(path).streams:
            if isinstance(stream.privacy, CountPrivacy) and (stream.kind, "dp") in ENFORCED:
                found.setdefault(stream.privacy.sigma_squared, stream.name)
    return [(name, variance) for variance, name in found.items()]


@pytest.mark.parametrize(("name", "variance"), scales())
def test_what_is_published_has_the_exact_law(name: str, variance: Fraction, record: Record) -> None:
    """AN-10, AN-13: a million cells of the release function, whole; and both sides of every threshold, ties forced. False
    alarms: p under 1e-4 twice in a row, 1e-8; 5 % less variance is 20 standard deviations of its statistic away from passing."""
    path = next(p for p in POLICIES if any(s.name == name for s in load_policy(p).streams))
    policy = load_policy(path)
    terms = wide_terms(policy)
    assert terms.noise.sigma_squared == variance
    bound = terms.noise.bound
    law = exact_law(variance, bound)
    p = confirmed(
        lambda: p_value(np.bincount(runs(terms, 1000, DRAWS) - 1000 + bound, minlength=law.size), law),
        lambda p: p <= 1e-4,
    )
    assert p > 1e-4

    low = Table(variance, variance * Fraction(95, 100)).draw(DRAWS, random_bytes)
    control = p_value(np.bincount(low + bound, minlength=law.size), law)
    assert control < 1e-4

    line = thresholds(variance)
    source, exact = DiscreteGaussian(variance), 0
    for number, threshold in enumerate(line):
        for uniform, value in ((threshold - 1, number), (threshold, number + 1)):
            prefix, rest = divmod(uniform, 1 << 128)
            same = [t for t in line if t >> 128 == prefix]
            if not 0 <= uniform < 1 << 192 or len(same) != 1:
                continue
            script = Script(prefix.to_bytes(8, "little"), rest.to_bytes(16, "little"))
            exact += int(source.draw(1, script)[0]) + source.bound == value
    assert exact > 20
    record(
        "R12",
        f"law of the noise of {name}, sigma^2 = {variance}, {DRAWS // 10**6} M draws",
        measured=f"p = {p:.3f}; {exact} forced ties exact",
        claim="p > 1e-4",
        caught=[f"variance 5 % low (p = {control:.0e})"],
    )


def other_laws() -> list[tuple[str, Privacy]]:
    """(stream, its privacy) of the streams of devices and of measured values with noise, in the policies that ship."""
    return [
        (stream.name, stream.privacy)
        for path in POLICIES
        for stream in load_policy(path).streams
        if isinstance(stream.privacy, UniquePrivacy | ScalarPrivacy)
    ]


def masses(privacy: UniquePrivacy | ScalarPrivacy, bound: int) -> NDArray[np.float64]:
    """P[X = k], k = -bound .. bound, by the definition of the law that the policy names."""
    k = np.arange(-bound, bound + 1, dtype=np.float64)
    if isinstance(privacy, UniquePrivacy):
        weights = np.exp(-np.abs(k) * float(privacy.address_epsilon))
    else:
        weights = np.exp(-(k**2) / (2 * float(privacy.sigma_squared)))
    return np.asarray(weights / weights.sum())


def fit(draws: Ints, law: NDArray[np.float64], width: int) -> float:
    """p of a chi-square fit over cells of `width` neighbouring values; a wide law has too many values for one cell each."""
    bound = law.size // 2
    counts = np.bincount(draws + bound, minlength=law.size)
    edges = np.arange(0, law.size, width)
    return p_value(np.add.reduceat(counts, edges), np.add.reduceat(law, edges))


@pytest.mark.parametrize(("name", "privacy"), other_laws(), ids=[name for name, _ in other_laws()])
def test_the_other_laws(name: str, privacy: UniquePrivacy | ScalarPrivacy, record: Record) -> None:
    """AN-13: discrete Laplace for numbers of devices, a wide discrete Gaussian for sums of samples; the control has 10 % less variance.
    False alarms: 1e-8; the control is 20 standard deviations of its statistic away from passing."""
    low: Noise
    if isinstance(privacy, UniquePrivacy):
        source: Noise = DiscreteLaplace(privacy.address_epsilon)
        low = DiscreteLaplace(privacy.address_epsilon * Fraction(105, 100))
    else:
        source, low = gaussian(privacy.sigma_squared), gaussian(privacy.sigma_squared * Fraction(90, 100))
    law = masses(privacy, source.bound)
    width = max(1, int(float(privacy.sigma_squared) ** 0.5 / 16))
    p = confirmed(lambda: fit(source.draw(FEWER, random_bytes), law, width), lambda p: p <= 1e-4)
    control = fit(low.draw(FEWER, random_bytes), law, width)
    assert p > 1e-4 > control
    record(
        "R12",
        f"law of the noise of {name}, sigma^2 = {float(privacy.sigma_squared):.8g}, {FEWER} draws",
        measured=f"p = {p:.3f}",
        claim="p > 1e-4",
        caught=[f"variance 10 % low (p = {control:.0e})"],
    )
