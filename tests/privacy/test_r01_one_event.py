"""R1: can one event more or less be told from what is published, better than is claimed?"""

from fractions import Fraction

import pytest

from agent.anonymizer.noise import DiscreteLaplace
from agent.local.randomness import random_bytes
from tests.anonymizer.chi_square import exact_law
from tests.privacy.distinguish import attack
from tests.privacy.mechanism import broken, policy_of, runs, wide_terms
from tests.privacy.statistics import confirmed, epsilon_of
from tests.privacy.table import Record

DELTAS = (1e-2, 1e-3)


@pytest.mark.parametrize(("rho", "m", "times"), [("0.5", 1, 4_000_000), ("0.125", 4, 2_000_000)])
def test_one_event_is_not_told_better_than_claimed(rho: str, m: int, times: int, record: Record) -> None:
    """AN-40, AN-42: millions of releases with and as many without it, of a count far above the threshold: the lower bound (99.98 %) stays under
    the exact epsilon of the discrete Gaussian; half the variance does not. False alarms: (4e-4)^2 = 2e-7; the control is 10 standard
    deviations above its claim."""
    terms = wide_terms(policy_of(rho, m))
    law = exact_law(terms.noise.sigma_squared, terms.noise.bound)
    claimed = [epsilon_of(law, delta) for delta in DELTAS]

    def bounds() -> list[float]:
        without, with_ = runs(terms, 1000, times), runs(terms, 1001, times)
        return [attack(without, with_, delta) for delta in DELTAS]

    def exceeds(found: list[float]) -> bool:
        return any(bound > claim for bound, claim in zip(found, claimed, strict=True))

    measured = confirmed(bounds, exceeds)
    assert not exceeds(measured)
    cheap = broken(terms, Fraction(1, 2))
    assert attack(runs(cheap, 1000, 500_000), runs(cheap, 1001, 500_000), DELTAS[0]) > claimed[0]
    record(
        "R1",
        f"one event, count, sigma^2 = {terms.noise.sigma_squared}, {times // 10**6} M + {times // 10**6} M runs",
        measured=f"eps >= {measured[0]:.3f}, {measured[1]:.3f} at delta 1e-2, 1e-3",
        claim=f"<= {claimed[0]:.3f}, {claimed[1]:.3f}",
        caught=["half the variance"],
    )


def test_one_event_beside_the_threshold(record: Record) -> None:
    """AN-43: where one event may lift a cell over the threshold, the word `suppressed` tells no more than the number did. False alarms: 4e-8."""
    terms = wide_terms(policy_of("0.125"))
    tau = terms.stream.privacy.tau  # type: ignore[union-attr]  # a counting stream
    claim = epsilon_of(exact_law(terms.noise.sigma_squared, terms.noise.bound), 1e-3)
    bound = confirmed(
        lambda: attack(runs(terms, tau - 1, 1_000_000), runs(terms, tau, 1_000_000), 1e-3), lambda bound: bound > claim
    )
    cheap = broken(terms, terms.noise.sigma_squared**-1)
    control = attack(runs(cheap, tau - 1, 500_000), runs(cheap, tau, 500_000), 1e-3)
    assert bound <= claim < control
    record(
        "R1",
        f"one event at the threshold {tau}, 1 M + 1 M runs",
        measured=f"eps >= {bound:.3f} at delta 1e-3",
        claim=f"<= {claim:.3f}",
        caught=["variance 1"],
    )


def test_one_address_is_not_told_better_than_claimed(record: Record) -> None:
    """Noise on the number of set cells of a bitmap, epsilon 1 an address: pure, so delta is 0. False alarms: 4e-8."""
    times = 2_000_000
    law = DiscreteLaplace(Fraction(1))
    bound = confirmed(
        lambda: attack(1000 + law.draw(times, random_bytes), 1001 + law.draw(times, random_bytes), 0.0),
        lambda bound: bound > 1,
    )
    half = DiscreteLaplace(Fraction(6, 5))
    control = attack(1000 + half.draw(times // 2, random_bytes), 1001 + half.draw(times // 2, random_bytes), 0.0)
    assert bound <= 1 < control
    record(
        "R1",
        "one address, devices, epsilon 1, 2 M + 2 M runs",
        measured=f"eps >= {bound:.3f} at delta 0",
        claim="<= 1",
        caught=["scale a sixth low"],
    )
