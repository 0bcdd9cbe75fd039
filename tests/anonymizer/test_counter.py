"""agent/anonymizer/counter: exact centres, sums that fit, restarts by place in the period, and errors as small as the literature's table."""

import math
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.anonymizer import strength
from agent.anonymizer.centred import MAX_VARIANCE, CentredGaussian
from agent.anonymizer.counter import Counter
from agent.contracts.log import Charge
from agent.errors import InvariantBroken
from agent.local.randomness import random_bytes
from agent.policy import factorisation
from agent.policy.factorisation import MAX_STEPS, coefficients, rho, scale_squared
from agent.policy.parse import parse_policy
from tests.anonymizer.totals_error import NSR, honaker_online, worst_sd
from tests.policy.test_parse import changed

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def counts(*numbers: int) -> Ints:
    return np.array(numbers, dtype=np.int64)


def exact_centre(steps: int, position: int, noise: list[int], first: int = 0) -> Fraction:
    """m_t by fractions, from the noise of the windows `first` .. position - 1."""
    given = coefficients(steps)
    past = sum(given.c[position - j] * given.r[j] * n for j, n in enumerate(noise, first))
    return Fraction(given.s[position], 2**16) * Fraction(past, 2**40)


@pytest.mark.parametrize(("steps", "scale"), [(7, Fraction(1)), (24, Fraction(50)), (24, Fraction(200_000))])
def test_centres_are_exact(steps: int, scale: Fraction, monkeypatch: pytest.MonkeyPatch) -> None:
    """AN-302: m_t is what fractions say, to the last of its 56 bits, at every step of two periods; and n_t is drawn around -m_t."""
    seen: list[tuple[Fraction, list[int]]] = []
    draw = CentredGaussian.draw

    def noted(law: CentredGaussian, fractions: Ints, source: object) -> Ints:
        drawn = draw(law, fractions, random_bytes)
        seen.append((law._scale.variance, [*fractions.tolist(), *drawn.tolist()]))
        return drawn

    monkeypatch.setattr(CentredGaussian, "draw", noted)
    counter = Counter(steps, scale, 2)
    noise: list[list[int]] = [[], []]
    for window in range(2 * steps):
        position = window % steps
        if position == 0:
            noise = [[], []]
        found = counter.step(window, counts(5, 1000), random_bytes)
        added = (found.increments - counts(5, 1000)).tolist()
        variance, numbers = seen.pop()
        assert variance == scale * Fraction(coefficients(steps).s[position], 2**16) ** 2
        for each, fraction, drawn in zip(range(2), numbers[:2], numbers[2:], strict=True):
            centre = exact_centre(steps, position, noise[each])
            assert fraction == (centre - math.floor(centre)) * 2**56
            assert added[each] == drawn - math.floor(centre)
            noise[each].append(added[each])


@pytest.mark.parametrize("shift", [{0: 1}, {3: 2}, {0: 1, 4: 3}])
def test_a_reading_moves_the_centres_by_a_known_amount_whatever_was_published(shift: dict[int, int]) -> None:
    """AN-304, first step: given what was published before, the centre of y_t moves by v_t + s_t sum c r v, for any history.

    Control: noise clamped before it is remembered, which makes the move depend on the history.
    """
    steps = 8
    given = coefficients(steps)
    for history in ([0] * 8, [100, -40, 3, 170, 17, -200, 9, 1], [-5000, 5000, 0, 700, 1, 2, 3, 4]):
        honest, clamped = set(), set()
        for base in ([0] * 8, [10, 0, 20, 5, 7, 1, 0, 2]):
            moved = [x + shift.get(t, 0) for t, x in enumerate(base)]
            for t in range(steps):
                here, there = (line[t] - centre_given(steps, t, line, history) for line in (base, moved))
                d = shift.get(t, 0) + Fraction(given.s[t], 2**16) * sum(
                    Fraction(given.c[t - j] * given.r[j] * v, 2**40) for j, v in shift.items() if j < t
                )
                assert there - here == d
                honest.add((t, there - here))
                here, there = (line[t] - centre_given(steps, t, line, history, clamp=50) for line in (base, moved))
                clamped.add((t, there - here))
        assert len(honest) == steps
        if max(map(abs, history)) > 50:
            assert clamped != honest


def centre_given(steps: int, position: int, true: list[int], published: list[int], clamp: int = 10**9) -> Fraction:
    noise = [max(-clamp, min(clamp, y - x)) for x, y in zip(true[:position], published[:position], strict=True)]
    return exact_centre(steps, position, noise)


@pytest.mark.parametrize("steps", [2, 24, 96, 700])
def test_sums_keep_within_their_bound(steps: int) -> None:
    """AN-307: the largest |n / s|, |m / s| and sum of terms for |z| <= 1 are those of the docstring, by the rows of U and its inverse."""
    given = coefficients(steps)
    s = np.array(given.s) / 2**16
    u = np.array(
        [
            [given.c[t - j] * given.r[j] / 2**40 if t > j else float(t == j) / s[t] for j in range(steps)]
            for t in range(steps)
        ]
    )
    inverse = np.linalg.inv(u)
    assert np.abs(inverse / s[:, np.newaxis]).sum(axis=1).max() <= 2.08
    assert np.abs(np.eye(steps) - inverse / s[:, np.newaxis]).sum(axis=1).max() <= 3.08
    rest = np.abs(u - np.diag(np.diag(u)))
    assert (rest @ np.abs(inverse).sum(axis=1)).max() <= 303


def test_the_numbers_of_that_bound() -> None:
    """AN-307 for the longest counter and the largest sigma: eta, the sum of c, the reach of a draw, and 2^63."""
    given = coefficients(MAX_STEPS)
    ones = sum(given.c[1:]) / 2**20
    assert ones + 0.02 < 2 * math.sqrt(MAX_STEPS / math.pi) < 145
    assert MAX_STEPS * 2**-20 + 2**-16 * 145 < 0.018
    assert given.s[0] < 2**18
    for variance in (Fraction(1), Fraction(30), MAX_VARIANCE):
        assert CentredGaussian(variance).bound <= 16.66 * math.sqrt(variance) + 1
    widest = 16.66 * 1024 + 2
    assert 303 * widest * 2**40 < 2**63
    assert 303 * 2 * widest * 2**40 > 2**62, "no bound that could never fail"


def test_the_largest_noise_keeps_its_sums_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """AN-307: draws as far out as the sampler goes, in the signs that add up worst; int64 still says what fractions say."""
    steps = 64
    scale = MAX_VARIANCE / factorisation.increment_gain(steps)

    def farthest(law: CentredGaussian, fractions: Ints, source: object) -> Ints:
        sign = 1 if len(noise) % 2 else -1
        return np.full(fractions.size, sign * law.bound, dtype=np.int64)

    monkeypatch.setattr(CentredGaussian, "draw", farthest)
    counter = Counter(steps, scale, 1)
    noise: list[int] = []
    for window in range(steps):
        whole = math.floor(exact_centre(steps, window, noise))
        sign = 1 if len(noise) % 2 else -1
        bound = CentredGaussian(counter._variance(window)).bound
        added = int(counter.step(window, counts(0), random_bytes).increments[0])
        assert added == sign * bound - whole
        noise.append(added)


def test_totals_are_the_sums_of_what_was_published_and_begin_anew() -> None:
    """One release gives both: totals are post-processing, consistent by construction."""
    counter = Counter(6, Fraction(9), 3)
    total = counts(0, 0, 0)
    for window in range(12, 30):
        if window % 6 == 0:
            total = counts(0, 0, 0)
        found = counter.step(window, counts(1, 20, 300), random_bytes)
        total = total + found.increments
        assert found.totals.tolist() == total.tolist()
        assert found.since == window - window % 6
        assert found.increments.dtype == np.int64


class Tape:
    """The same bytes for everyone who asks in the same order."""

    def __init__(self) -> None:
        self.given: list[bytes] = []
        self._at = 0

    def rewound(self) -> "Tape":
        other = Tape()
        other.given = self.given
        return other

    def __call__(self, count: int) -> bytes:
        if self._at == len(self.given):
            self.given.append(random_bytes(count))
        self._at += 1
        return self.given[self._at - 1]


def test_a_restart_goes_on_in_its_place() -> None:
    """AN-306: from window 10 of 24 on, a new process is the counter of 14 steps with the same sigma; so is the old one after a gap."""
    scale, tape = Fraction(20), Tape()
    restarted = Counter(24, scale, 2)
    after_gap = Counter(24, scale, 2)
    for window in range(240, 246):
        after_gap.step(window, counts(3, 4), random_bytes)
    fresh = Counter(14, scale, 2)
    tapes = tape, tape.rewound(), tape.rewound()
    for left in range(14):
        windows = (240 + 10 + left, 240 + 10 + left, left)
        found = [
            counter.step(window, counts(3, 4), each).increments.tolist()
            for counter, window, each in zip((restarted, after_gap, fresh), windows, tapes, strict=True)
        ]
        assert found[0] == found[1] == found[2]
    next_day = restarted.step(264, counts(3, 4), random_bytes)
    assert next_day.since == 264
    assert next_day.totals.tolist() == next_day.increments.tolist()


@pytest.mark.parametrize("window", [246, 247, 264])
def test_what_was_lost_is_in_no_total(window: int) -> None:
    """AN-311: after windows that were never published a counter goes on as a new process does, and never in a window that it stepped."""
    tape = Tape()
    again = tape.rewound()
    restarted, lost = Counter(24, Fraction(20), 2), Counter(24, Fraction(20), 2)
    for before in range(240, 246):
        lost.step(before, counts(3, 4), random_bytes)
    lost.lose()
    for at in range(window, window + 3):
        fresh = restarted.step(at, counts(3, 4), tape)
        found = lost.step(at, counts(3, 4), again)
        assert found.totals.tolist() == fresh.totals.tolist()
        assert found.since == fresh.since
    with pytest.raises(InvariantBroken):
        lost.step(window, counts(3, 4), random_bytes)


@pytest.mark.parametrize("window", [5, 4, 0])
def test_a_window_is_released_once_and_in_order(window: int) -> None:
    """I5: fresh noise for a window that was stepped before would be a second release."""
    counter = Counter(24, Fraction(4), 1)
    counter.step(5, counts(1), random_bytes)
    with pytest.raises(InvariantBroken):
        counter.step(window, counts(1), random_bytes)


@pytest.mark.parametrize(
    ("steps", "scale"), [(0, Fraction(4)), (MAX_STEPS + 1, Fraction(4)), (24, Fraction(1, 2)), (24, MAX_VARIANCE)]
)
def test_what_the_proofs_do_not_cover_is_refused(steps: int, scale: Fraction) -> None:
    """AN-307: lengths, and sigma at both ends (the largest is already too large once multiplied with s_0)."""
    with pytest.raises(InvariantBroken):
        Counter(steps, scale, 1)


def test_the_charge_is_the_policys() -> None:
    """AN-308: at a policy's own sigma a window is charged what the policy says one reading costs, and presences beyond half are refused."""
    stream = parse_policy(changed('totals = "none"', 'totals = "period"'), "p").streams[0]
    charges = {m: strength.charge(stream, strength.own(stream), m, 1) for m in (1, 4, 8, 48, 49)}
    assert charges[4] == Charge(stream.privacy.charge) == Charge(Fraction(1, 32))  # type: ignore[union-attr]  # a count's
    rhos = [charge.rho for charge in charges.values() if charge is not None]
    assert rhos == sorted(set(rhos))
    assert charges[48] is not None
    assert charges[49] is None


def test_the_noise_is_as_large_as_published() -> None:
    """AN-309: 2,000 runs of 24 windows; every step's error within 5 standard errors of theory, none above the published bound by more.

    Control: noise 5 % larger would be above it.
    """
    steps, runs, scale = 24, 2000, Fraction(4)
    counter = Counter(steps, scale, runs)
    increments = np.array(
        [counter.step(t, np.zeros(runs, dtype=np.int64), random_bytes).increments for t in range(steps)]
    )
    totals = increments.cumsum(axis=0)
    given = coefficients(steps)
    u = np.array([[given.c[t - j] * given.r[j] / 2**40 if t > j else 0.0 for j in range(steps)] for t in range(steps)])
    inverse = np.linalg.inv(u + np.diag(2.0**16 / np.array(given.s)))
    error = 5 / math.sqrt(2 * runs)
    for found, rows, gain in (
        (increments, inverse, factorisation.increment_gain(steps)),
        (totals, inverse.cumsum(axis=0), factorisation.total_gain(steps)),
    ):
        theory = math.sqrt(scale) * np.sqrt((rows**2).sum(axis=1))
        assert np.abs(found.std(axis=1) / theory - 1).max() < error
        assert theory.max() <= math.sqrt(scale * gain) < theory.max() * 1.005
    white = (u + np.diag(2.0**16 / np.array(given.s))) @ increments
    assert abs(white.std() / math.sqrt(scale) - 1) < 5 / math.sqrt(2 * runs * steps) < 0.05 / 2


@pytest.mark.parametrize("steps", NSR)
def test_the_worst_error_is_that_of_the_table(steps: int) -> None:
    """Within 0.1 % of the column NSR at rho = 1/2, and at most 0.39 of Honaker's online tree; from the integers, without sampling."""
    worst = worst_sd(steps)
    assert abs(worst / NSR[steps] - 1) < 0.001
    assert worst / honaker_online(steps) <= 0.39
    assert rho(scale_squared(Fraction(1, 2), steps, 1, 1), steps, 1, 1) <= Fraction(1, 2)


def test_the_other_columns_of_the_table() -> None:
    """Honaker's column is what PRIVACY.md has, so the ratio above is against the right thing."""
    for steps, known in ((1024, 7.989), (2048, 8.697), (4096, 9.404), (8192, 10.11), (16384, 10.82)):
        assert honaker_online(steps) == pytest.approx(known, abs=0.005)
