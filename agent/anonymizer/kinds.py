"""What becomes of the windows of one stream under one policy and one noise: one class for each kind of reading and mode. Pure.

Those of counts and stays are in agent.anonymizer.counts; the invariants are those of agent.anonymizer.terms.
"""

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import Any

from agent.anonymizer import distinct, scalar
from agent.anonymizer.cells import Value
from agent.anonymizer.counts import CountTerms, DurationTerms, ThresholdOnlyTerms, TotalsTerms
from agent.anonymizer.noise import DiscreteLaplace, RandomBytes, gaussian
from agent.anonymizer.scalar import Sampled
from agent.anonymizer.strength import charge, own
from agent.anonymizer.terms import Numbers, Shown, Terms
from agent.contracts.aggregate import PackTerms, pack_bytes
from agent.contracts.guarantee import NoGuarantee, PureGuarantee
from agent.contracts.log import Charge, Release
from agent.errors import EncodingError, PolicyError
from agent.policy.model import Policy, Stream
from agent.policy.modes import CoarsePrivacy, CountPrivacy, NoPrivacy, ScalarPrivacy, ThresholdOnly, UniquePrivacy
from agent.wire.detached import message_bytes


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
    """A mean with noise on the sum of a fixed number of samples, and percentiles from a noisy histogram of them (agent.anonymizer.scalar)."""

    @cached_property
    def privacy(self) -> ScalarPrivacy:
        """The policy's."""
        assert isinstance(self.stream.privacy, ScalarPrivacy)
        return self.stream.privacy

    @cached_property
    def drawn(self) -> ScalarPrivacy:
        """The same for the noise that is drawn."""
        return scalar.widened(self.privacy, self.strength)

    @cached_property
    def pack(self) -> PackTerms:
        """The head of every pack."""
        fields = scalar.fields(self.stream, "mean", self.privacy)
        return self._pack(
            self._concentrated(self.privacy), fields, noise_sd=scalar.noise_sd(self.drawn), unit=fields[0].unit
        )

    def prepare(self) -> None:
        """Build now what takes a while."""
        _ = self.pack, self.noise, self.privacy.percentiles and self.cell_noise

    @cached_property
    def cell_noise(self) -> scalar.Law:
        """The law in every cell of the histogram; only with percentiles."""
        return gaussian(self.drawn.cell_sigma_squared)

    @cached_property
    def noise(self) -> scalar.Law:
        """The law on the sum of grid indices."""
        return gaussian(self.strength / self.privacy.step**2)

    def too_few(self, held: Sampled) -> bool:
        """Were they fewer than the policy's fixed number, by more than a twentieth?"""
        return held.received < scalar.needed(self.privacy)

    def numbers(self, start: int, contents: Any, random_bytes: RandomBytes) -> Numbers:
        """Samples (Sampled), one draw a window, and with percentiles one a cell of its histogram."""
        return Shown([self._row(held, random_bytes) for held in contents])

    def _row(self, held: Sampled, random_bytes: RandomBytes) -> tuple[Value, ...]:
        mean = scalar.publish(scalar.release(held, self.noise, random_bytes), held.received, self.privacy)
        if not self.privacy.percentiles:
            return (mean,)
        noisy = scalar.release_histogram(held, self.cell_noise, random_bytes)
        return (mean, *scalar.publish_percentiles(noisy, held.received, self.drawn))


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


def longest_release(policy: Policy, stream: Stream) -> Release:
    """Of the length of every one of its Releases with a pack in JSON, all zeros; with one in CBOR they are shorter. Raises EncodingError for a stream
    of which no window could be written."""
    terms = _terms(policy, stream, bytes(32), None, None, False)
    payload, signature = bytes(pack_bytes(terms.pack)), bytes(message_bytes())
    return Release(stream.name, 2**31, stream.window_s, payload, signature, terms.charge, bytes(32))


def encodable(policy: Policy) -> None:
    """Raise PolicyError naming the first stream of which no window could be written."""
    for stream in policy.streams:
        try:
            longest_release(policy, stream)
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
