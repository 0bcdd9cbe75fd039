"""What becomes of the windows of one stream under one policy and one noise: one class for each kind of reading and mode. Pure.

Invariants: the numbers of a window are functions of what it held plus a draw, of at least the policy's variance, made for every window whether
it is shown or not; the pack's length and everything in its head follow from these terms alone.
"""

from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from agent.anonymizer import distinct, duration, scalar
from agent.anonymizer.cells import Field, Value, scaled
from agent.anonymizer.counter import Counter
from agent.anonymizer.noise import DiscreteGaussian, DiscreteLaplace, RandomBytes, ceil_sqrt, gaussian
from agent.anonymizer.scalar import Sampled
from agent.anonymizer.strength import charge, own
from agent.anonymizer.threshold import shown
from agent.contracts.aggregate import Cell, PackTerms, pack_bytes
from agent.contracts.cells import COUNT, END_START, SINCE, TOTAL
from agent.contracts.guarantee import ConcentratedGuarantee, Guarantee, NoGuarantee, PureGuarantee
from agent.contracts.log import Charge
from agent.errors import EncodingError, InvariantBroken, PolicyError
from agent.policy.model import (
    CoarsePrivacy,
    CountPrivacy,
    NoPrivacy,
    Policy,
    ScalarPrivacy,
    Stream,
    ThresholdOnly,
    UniquePrivacy,
    worst_presence,
)

NOT_COLLECTED = Cell.NOT_COLLECTED


class Numbers(Protocol):
    """What windows in a row would publish, noise and all."""

    def values(self, place: int, collected: bool) -> tuple[Value, ...]:
        """Those of one window, or why there are none when it was not collected."""
        ...


class Shown:
    """Numbers that were all made at once."""

    __slots__ = ("_rows",)

    def __init__(self, rows: list[tuple[Value, ...]]) -> None:
        self._rows = rows

    def values(self, place: int, collected: bool) -> tuple[Value, ...]:
        """Those of one window, or why there are none when it was not collected."""
        row = self._rows[place]
        return row if collected else (NOT_COLLECTED,) * len(row)


@dataclass(frozen=True)
class Terms:
    """What holds for a window of a stream. `strength` is that of the policy's noise, or more in the first period after a change; `charge` what a
    window costs; `withheld` says that none has numbers (agent.anonymizer.ledger.Standing)."""

    policy: Policy
    stream: Stream
    disclosure_digest: bytes
    strength: Fraction
    charge: Charge | None
    withheld: bool = False

    def __post_init__(self) -> None:
        if self.strength < own(self.stream):
            raise InvariantBroken("a window would leave with less noise than its policy says")

    def numbers(self, start: int, contents: Any, random_bytes: RandomBytes) -> Numbers:
        """What windows of these `contents` would publish, the first of which starts at `start`: an item a window, what `agent.anonymizer.window`
        gives for a stream of this kind."""
        raise NotImplementedError

    def prepare(self) -> None:
        """Build now what takes a while."""
        _ = self.pack

    def too_few(self, held: Any) -> bool:
        """Did too few samples come for a number? Never asks what they were."""
        return False

    @cached_property
    def pack(self) -> PackTerms:
        """The head of every pack."""
        raise NotImplementedError

    def _pack(
        self,
        guarantee: Guarantee,
        fields: tuple[Field, ...],
        *,
        noise_sd: Decimal = Decimal(0),
        unit: str = COUNT,
        threshold: int = 0,
        total_noise_sd: Decimal | None = None,
    ) -> PackTerms:
        return PackTerms(
            city=self.policy.unit.city,
            site=self.policy.unit.site,
            unit=self.policy.unit.name,
            stream=self.stream.name,
            window_s=self.stream.window_s,
            noise_sd=noise_sd,
            noise_unit=unit,
            threshold=threshold,
            guarantee=guarantee,
            policy_version=self.policy.version,
            disclosure_digest=self.disclosure_digest,
            fields=fields,
            total_noise_sd=total_noise_sd,
        )

    def _concentrated(self, privacy: CountPrivacy | ScalarPrivacy) -> Guarantee:
        return ConcentratedGuarantee(privacy.rho, self.policy.period_s, privacy.m, privacy.c)


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
            noise_sd=_sd(self.strength),
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
            noise_sd=_sd(self.drawn.sigma_squared),
            threshold=self.drawn.tau,
            total_noise_sd=_sd(self.drawn.total_sigma_squared),
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
            noise_sd=_sd(self.strength),
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


@dataclass(frozen=True)
class UniqueTerms(Terms):
    """Different devices (agent.anonymizer.distinct)."""

    @cached_property
    def privacy(self) -> UniquePrivacy:
        """The policy's."""
        assert isinstance(self.stream.privacy, UniquePrivacy)
        return self.stream.privacy

    @cached_property
    def drawn(self) -> UniquePrivacy:
        """The same for the noise that is drawn."""
        return replace(self.privacy, epsilon=self.privacy.addresses / self.strength)

    @cached_property
    def noise(self) -> DiscreteLaplace:
        """The law on the number of set cells."""
        return DiscreteLaplace(1 / self.strength)

    @cached_property
    def pack(self) -> PackTerms:
        """The head of every pack."""
        privacy = self.privacy
        guarantee = PureGuarantee(
            privacy.epsilon, privacy.m, privacy.addresses, self.stream.window_s, self.policy.period_s
        )
        return self._pack(
            guarantee,
            distinct.fields(self.drawn, self.noise),
            noise_sd=distinct.noise_sd(self.drawn, self.noise),
            threshold=self.drawn.tau,
        )

    def numbers(self, start: int, contents: Any, random_bytes: RandomBytes) -> Numbers:
        """Numbers of set cells, one draw a window."""
        noisy = [distinct.release(filled, self.noise, random_bytes) for filled in contents]
        return Shown([distinct.publish(value, self.drawn, self.noise) for value in noisy])


@dataclass(frozen=True)
class ScalarTerms(Terms):
    """A mean with noise on the sum of a fixed number of samples (agent.anonymizer.scalar)."""

    @cached_property
    def privacy(self) -> ScalarPrivacy:
        """The policy's."""
        assert isinstance(self.stream.privacy, ScalarPrivacy)
        return self.stream.privacy

    @cached_property
    def drawn(self) -> ScalarPrivacy:
        """The same for the noise that is drawn."""
        privacy = self.privacy
        sigma_squared = self.strength / privacy.step**2
        return replace(privacy, rho=worst_presence(privacy.m, privacy.c) * privacy.span**2 / (2 * sigma_squared))

    @cached_property
    def pack(self) -> PackTerms:
        """The head of every pack."""
        fields = scalar.fields(self.stream, "mean", self.privacy)
        return self._pack(
            self._concentrated(self.privacy), fields, noise_sd=scalar.noise_sd(self.drawn), unit=fields[0].unit
        )

    def prepare(self) -> None:
        """Build now what takes a while."""
        _ = self.pack, self.noise

    @cached_property
    def noise(self) -> scalar.Law:
        """The law on the sum of grid indices."""
        return gaussian(self.strength / self.privacy.step**2)

    def too_few(self, held: Sampled) -> bool:
        """Were they fewer than the policy's fixed number, by more than a twentieth?"""
        return held.received < scalar.needed(self.privacy)

    def numbers(self, start: int, contents: Any, random_bytes: RandomBytes) -> Numbers:
        """Samples (Sampled), one draw a window."""
        noisy = [scalar.release(held, self.noise, random_bytes) for held in contents]
        return Shown(
            [(scalar.publish(value, held.received, self.privacy),) for value, held in zip(noisy, contents, strict=True)]
        )


@dataclass(frozen=True)
class SummaryTerms(Terms):
    """A mean or median as measured, rounded: no privacy guarantee, and every Release says so."""

    @cached_property
    def privacy(self) -> CoarsePrivacy | NoPrivacy:
        """The policy's."""
        assert isinstance(self.stream.privacy, CoarsePrivacy | NoPrivacy)
        return self.stream.privacy

    @cached_property
    def summary(self) -> scalar.Summary:
        """How samples become one number."""
        return scalar.Summary(self.stream, self.privacy)

    @cached_property
    def pack(self) -> PackTerms:
        """The head of every pack."""
        fields = scalar.fields(self.stream, self.summary.name, self.privacy)
        return self._pack(NoGuarantee(self.privacy.mode), fields, unit=fields[0].unit)

    def too_few(self, held: Sampled) -> bool:
        """Were they fewer than the policy wants?"""
        return held.received < self.summary.least

    def numbers(self, start: int, contents: Any, random_bytes: RandomBytes) -> Numbers:
        """No draw."""
        return Shown([(self.summary.publish(held),) for held in contents])


def terms_for(
    policy: Policy,
    stream: Stream,
    disclosure_digest: bytes,
    strength: Fraction | None = None,
    cost: Charge | None = None,
    withheld: bool = False,
) -> Terms:
    """The terms of a stream; without `strength` and `cost` those after its first period. Building a noise table takes a while."""
    terms = _terms(policy, stream, disclosure_digest, strength, cost, withheld)
    terms.prepare()
    return terms


def encodable(policy: Policy) -> None:
    """Raise PolicyError naming the first stream of which no window could be written."""
    for stream in policy.streams:
        try:
            pack_bytes(_terms(policy, stream, bytes(32), None, None, False).pack)
        except EncodingError as bad:
            raise PolicyError(
                f"stream {stream.name}",
                expected="numbers and noise that fit into a pack",
                got=f"({bad})",
                remedy="choose a smaller range, more rho, or fewer classes or lengths",
            ) from bad


def _terms(
    policy: Policy,
    stream: Stream,
    disclosure_digest: bytes,
    strength: Fraction | None,
    cost: Charge | None,
    withheld: bool,
) -> Terms:
    kind: type[Terms]
    privacy = stream.privacy
    m, c = 1, 1
    match privacy:
        case CountPrivacy():
            kind, m, c = (TotalsTerms if privacy.totals else CountTerms), privacy.m, privacy.c
            if stream.kind == "duration":
                kind = DurationTerms
        case ThresholdOnly():
            kind = ThresholdOnlyTerms
        case UniquePrivacy():
            kind, m = UniqueTerms, privacy.m
        case ScalarPrivacy():
            kind, m, c = ScalarTerms, privacy.m, privacy.c
        case CoarsePrivacy() | NoPrivacy():
            kind = SummaryTerms
    if strength is None:
        strength = own(stream)
        cost = charge(stream, strength, m, c)
    return kind(policy, stream, disclosure_digest, strength, cost, withheld)


def _sd(variance: Fraction) -> Decimal:
    return scaled(ceil_sqrt(variance * 1_000_000), 3)
