"""R7: a suppressed cell from a total and the other cells: two streams count the same channel, one in windows twice as long."""

import math
from fractions import Fraction

import numpy as np

from agent.anonymizer.counter import Counter
from agent.anonymizer.counts import CountTerms
from agent.local.randomness import random_bytes
from agent.policy import factorisation
from tests.privacy.mechanism import HIDDEN, Ints, policy_of, release, wide_terms
from tests.privacy.table import Record

TRIALS = 300_000
SHOWN, SMALL = 400, 3
"""Counts of a window that is shown and of one that is not."""


def recovered(total: Ints, first: Ints, second: Ints) -> Ints:
    """The attacker's estimates of the second count, where it was suppressed and the other was not: total minus what is shown."""
    usable = (second == HIDDEN) & (first != HIDDEN) & (total != HIDDEN)
    return np.asarray(total[usable] - first[usable])


def test_a_suppressed_cell_comes_back_with_all_the_noise_of_what_it_is_made_from(record: Record) -> None:
    """AN-43, I7: each stream has noise of its own, and both are charged; the error is at least that of the two cells together.
    False alarms: 3e-7 (five standard errors on one side); the control is 29 % low."""
    short, long = wide_terms(policy_of("0.0625"), TRIALS), wide_terms(policy_of("0.0625"), TRIALS)
    counts = [np.full(TRIALS, count, dtype=np.int64) for count in (SHOWN, SMALL)]
    first, second = release(short, counts[0]), release(short, counts[1])
    total = release(long, counts[0] + counts[1])

    def error(of: CountTerms, total: Ints) -> tuple[float, float]:
        """(root mean square of the attacker's error, five standard errors of it)."""
        errors = recovered(total, first, second) - SMALL
        return math.sqrt(float((errors.astype(np.float64) ** 2).mean())), 5 / math.sqrt(2 * errors.size)

    sigma = math.sqrt(short.noise.sigma_squared)
    claim = sigma * math.sqrt(2)
    measured, margin = error(long, total)
    exact_total, _ = error(long, counts[0] + counts[1])
    assert measured >= claim * (1 - margin)
    assert exact_total < claim * (1 - margin)
    threshold_only = np.where(counts[1] >= 5, counts[1], HIDDEN), np.where(counts[0] >= 5, counts[0], HIDDEN)
    certain = recovered(counts[0] + counts[1], threshold_only[1], threshold_only[0])
    assert certain.tolist() == [SMALL] * TRIALS
    record(
        "R7",
        f"suppressed cell = total - shown cell, {TRIALS} cells",
        measured=f"error {measured:.3f} (five s.e. {claim * margin:.3f})",
        claim=f">= sigma sqrt(2) = {claim:.3f}",
        caught=[f"an exact total ({exact_total:.3f})", "threshold without noise (0)"],
    )


def test_running_totals_give_a_suppressed_cell_back_with_the_noise_it_was_drawn_with(record: Record) -> None:
    """AN-300: the difference of two totals is what the threshold hid, post-processing of noise that was paid for; it is never nearer to the
    truth than one window's draw. The control counts totals apart, exactly. False alarms: none, the noise of a window is above that of one draw by 60 %."""
    steps, columns = 96, 200
    scale_squared = factorisation.scale_squared(Fraction(1, 8), steps, 4, 1)
    counter = Counter(steps, scale_squared, columns)
    counts = np.full(columns, SMALL, dtype=np.int64)
    totals = [counter.step(number, counts, random_bytes).totals for number in range(steps)]
    recovered_cells = np.diff(np.array(totals), axis=0)
    found = float((recovered_cells - SMALL).std())
    claim = math.sqrt(scale_squared)
    margin = 5 / math.sqrt(2 * recovered_cells.size)
    assert found >= claim * (1 - margin)
    exact = np.diff(np.cumsum(np.full((steps, columns), SMALL), axis=0), axis=0)
    assert float((exact - SMALL).std()) < claim * (1 - margin)
    record(
        "R7",
        f"suppressed cell = difference of running totals, {recovered_cells.size} cells",
        measured=f"error {found:.3f}",
        claim=f">= sigma of one draw = {claim:.3f} (five s.e. {claim * margin:.3f})",
        caught=["exact totals (0)"],
    )
