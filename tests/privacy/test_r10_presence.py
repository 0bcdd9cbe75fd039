"""R10: was this person there? An attacker who knows everybody else's every reading, and the eight windows that the person would be in."""

import math
from fractions import Fraction
from statistics import NormalDist

import numpy as np
import pytest

from agent.disclosure.bound import Noise, right_in_100, total_variation
from tests.anonymizer.one_window import count_privacy
from tests.privacy.mechanism import Ints, broken, policy_of, release, wide_terms
from tests.privacy.statistics import confirmed, lower, upper
from tests.privacy.table import Record

EVENTS = 8
TRIALS = 60_000
STREET = 3000


def days(terms: object, present: int) -> Ints:
    """What is published of the person's windows on TRIALS days: one row a day, one column a window."""
    counts = np.full(TRIALS * EVENTS, STREET + present, dtype=np.int64)
    return release(terms, counts).reshape(TRIALS, EVENTS)  # type: ignore[arg-type]  # Terms


def advantage(absent: Ints, there: Ints) -> tuple[float, float]:
    """True minus false positives of the likelihood test: (with probability 99.98 % at least this, as counted).

    For one event in each of some windows of independent Gaussian noise the likelihood ratio grows with the sum of the published values.
    The cut is chosen on one half of the days and judged on the other.
    """
    half = TRIALS // 2
    sums = [days.sum(axis=1) - STREET * EVENTS for days in (absent, there)]
    cuts = np.arange(-40, 60)
    gains = [(sums[1][:half] >= cut).mean() - (sums[0][:half] >= cut).mean() for cut in cuts]
    cut = cuts[int(np.argmax(gains))]
    false, true = (int((each[half:] >= cut).sum()) for each in sums)
    return lower(true, half) - upper(false, half), (true - false) / half


@pytest.mark.parametrize("rho", ["0.0244", "0.125", "0.5"])
def test_presence_is_not_told_better_than_claimed(rho: str, record: Record) -> None:
    """AN-30, I7: m = 8, c = 1. The claim is that of a Gaussian of the same size, and what residents read (agent/disclosure/bound) is no less.
    False alarms: 4e-8; the controls are 20 standard errors above the claim and more."""
    policy = policy_of(rho, EVENTS)
    terms = wide_terms(policy, TRIALS * EVENTS)
    privacy = count_privacy(policy.streams[0])
    told = right_in_100(total_variation([Noise(privacy.rho, privacy.sigma_squared, privacy.m)]))
    claim = 2 * NormalDist().cdf(math.sqrt(2 * privacy.rho) / 2) - 1
    least, measured = confirmed(
        lambda: advantage(days(terms, 0), days(terms, 1)), lambda found: found[0] > claim or found[0] > told / 50 - 1
    )
    assert least <= claim
    assert measured > claim / 2, "the attack is the best there is"
    assert 100 * (1 + least) / 2 <= told

    event_level = broken(terms, Fraction(1, EVENTS))
    control, _ = advantage(days(event_level, 0), days(event_level, 1))
    assert control > claim
    record(
        "R10",
        f"presence, 8 known events, rho {rho}, {TRIALS} days",
        measured=f"TPR - FPR = {measured:.3f} (>= {least:.3f})",
        claim=f"<= {claim:.3f}; residents read {told} in 100",
        caught=[f"noise for one event ({control:.3f})"],
    )
