"""What becomes of windows of counts and of stays: independent noise, running totals, lengths, and the mode without a guarantee. Pure.

The invariants are those of agent.anonymizer.terms.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.anonymizer import duration
from agent.anonymizer.cells import Field, Value
from agent.anonymizer.counter import Counter
from agent.anonymizer.noise import DiscreteGaussian, RandomBytes
from agent.anonymizer.terms import NOT_COLLECTED, Numbers, Shown, Terms, sd
from agent.anonymizer.threshold import shown
from agent.contracts.aggregate import Cell, PackTerms
from agent.contracts.cells import COUNT, END_START, SINCE, TOTAL
from agent.contracts.guarantee import NoGuarantee
from agent.policy.modes import CountPrivacy, ThresholdOnly, worst_presence


@dataclass(frozen=True)
class CountTerms(Terms):
    """Counts by class, independent noise (PRIVACY.md 1.2)."""

    @cached_property
    def privacy(self) -> CountPrivacy:
        """The policy's."""
        assert isinstance(self.stream.privacy, CountPrivacy)
        return self.stream.privacy

    @cached_property
    def drawn(self) -> CountPrivacy:
        """The same for the noise that is drawn: its threshold and its deviations."""
        privacy = self.privacy
        return replace(privacy, rho=worst_presence(privacy.m, privacy.c) / (2 * self.strength))

    @cached_property
    def noise(self) -> DiscreteGaussian:
        """The law in each cell."""
        return DiscreteGaussian(self.strength)

    @cached_property
    def least(self) -> int:
        """The least noisy value that is shown."""
        return self.drawn.tau if self.privacy.threshold.hides else -self.noise.bound

    @cached_property
    def pack(self) -> PackTerms:
        """The head of every pack."""
        digits = len(str(self.privacy.max_count + self.noise.bound))
        if not self.privacy.threshold.hides:
            digits = max(digits, len(str(-self.noise.bound)))
        return self._pack(
            self._concentrated(self.privacy),
            tuple(Field(name, COUNT, digits) for name in self.stream.classes),
            noise_sd=sd(self.strength),
            threshold=self.drawn.tau,
        )

    def numbers(self, start: int, contents: Any, random_bytes: RandomBytes) -> Numbers:
        """Counts (int64) cut to `max_count`, of shape (windows, classes), with one draw each."""
        noisy = np.minimum(contents, self.privacy.max_count)
        noisy += self.noise.draw(noisy.size, random_bytes).reshape(noisy.shape)
        least, hidden = self.least, Cell.SUPPRESSED
        return Shown([tuple([value if value >= least else hidden for value in row]) for row in noisy.tolist()])


@dataclass(frozen=True)
class TotalsTerms(CountTerms):
    """Counts by class with running totals (agent.anonymizer.counter). The counter lives as long as these terms, and every window steps it."""

    @cached_property
    def drawn(self) -> CountPrivacy:
        """The policy's privacy, for the noise that is drawn."""
        return replace(self.privacy, rho=self.privacy.rho * self.privacy.scale_squared / self.strength)

    @cached_property
    def counter(self) -> Counter:
        """The noise of the period so far."""
        return Counter(self.privacy.totals, self.strength, len(self.stream.classes))

    @cached_property
    def pack(self) -> PackTerms:
        """The head of every pack."""
        most, steps = self.privacy.max_count + self.counter.bound, self.privacy.totals
        one, total = (max(len(str(high)), len(str(low))) for high, low in self._ranges(most, steps))
        names = self.stream.classes
        fields = (
            *(Field(name, COUNT, one) for name in names),
            *(Field(f"{name}/{TOTAL}", COUNT, total) for name in names),
            Field(SINCE, "s", len(str(END_START - 1))),
        )
        return self._pack(
            self._concentrated(self.privacy),
            fields,
            noise_sd=sd(self.drawn.sigma_squared),
            threshold=self.drawn.tau,
            total_noise_sd=sd(self.drawn.total_sigma_squared),
        )

    def _ranges(self, most: int, steps: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """(highest, lowest) number of a window and total that may be shown."""
        low = 0 if self.privacy.threshold.hides else -self.counter.bound
        return (most, low), (steps * most, steps * low)

    def numbers(self, start: int, contents: Any, random_bytes: RandomBytes) -> Numbers:
        """Counts (int64) of shape (windows, classes), cut to `max_count`; each window is drawn when its values are asked for, in order."""
        counts = np.minimum(contents, self.privacy.max_count)
        return Stepped(self, start // self.stream.window_s, counts, random_bytes)


class Stepped:
    """Numbers that are made one window after another. A window that was not collected is stepped with zeros for its counts."""

    def __init__(self, terms: TotalsTerms, first: int, counts: NDArray[np.int64], random_bytes: RandomBytes) -> None:
        self._terms = terms
        self._first = first
        self._counts = counts
        self._random_bytes = random_bytes

    def values(self, place: int, collected: bool) -> tuple[Value, ...]:
        """Those of one window, once and in order; or why there are none when it was not collected."""
        counts = self._counts[place] * int(collected)
        found = self._terms.counter.step(self._first + place, counts, self._random_bytes)
        row = [*found.increments.tolist(), *found.totals.tolist()]
        values = shown(row, self._terms.drawn.tau) if self._terms.privacy.threshold.hides else tuple(row)
        since = found.since * self._terms.stream.window_s
        return (*values, since) if collected else (NOT_COLLECTED,) * (len(values) + 1)


@dataclass(frozen=True)
class DurationTerms(CountTerms):
    """Stays by class and length, and quantiles of the noisy cells (agent.anonymizer.duration)."""

    @cached_property
    def pack(self) -> PackTerms:
        """The head of every pack."""
        return self._pack(
            self._concentrated(self.privacy),
            duration.fields(self.stream, self.privacy, self.noise),
            noise_sd=sd(self.strength),
            threshold=self.drawn.tau,
        )

    def numbers(self, start: int, contents: Any, random_bytes: RandomBytes) -> Numbers:
        """Stays (int64) of shape (classes, bins) a window, with one draw a cell."""
        names = duration.bin_names(self.stream)
        noisy = [duration.release(counts, self.noise, random_bytes) for counts in contents]
        return Shown([duration.publish(counts, self.drawn, names) for counts in noisy])


@dataclass(frozen=True)
class ThresholdOnlyTerms(Terms):
    """Counts or stays as they are, small ones withheld: no privacy guarantee, and every Release says so."""

    @cached_property
    def privacy(self) -> ThresholdOnly:
        """The policy's."""
        assert isinstance(self.stream.privacy, ThresholdOnly)
        return self.stream.privacy

    @cached_property
    def pack(self) -> PackTerms:
        """The head of every pack."""
        if self.stream.kind == "duration":
            fields = duration.fields(self.stream, self.privacy)
        else:
            fields = tuple(Field(name, COUNT, len(str(self.privacy.max_count))) for name in self.stream.classes)
        return self._pack(NoGuarantee(self.privacy.mode), fields, threshold=self.privacy.k)

    def numbers(self, start: int, contents: Any, random_bytes: RandomBytes) -> Numbers:
        """No draw."""
        if self.stream.kind == "duration":
            names = duration.bin_names(self.stream)
            return Shown([duration.publish_unprotected(counts, self.privacy, names) for counts in contents])
        return Shown([shown(row, self.privacy.k) for row in contents.tolist()])
