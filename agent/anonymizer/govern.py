"""From true counts to an Aggregate: the one function through which every value leaves. Pure.

Invariants: a value leaves only with noise of at least the policy's variance and against the charge that this noise is worth; the noise
is drawn for every window, whether it will have numbers or not, and nothing here branches on a count except the threshold, which sees
noisy values only; a window leaves once.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from agent.anonymizer.cells import scaled
from agent.anonymizer.ledger import Ledger
from agent.anonymizer.noise import DiscreteGaussian, RandomBytes, ceil_sqrt
from agent.anonymizer.threshold import shown, value_digits
from agent.anonymizer.window import Closed
from agent.contracts.aggregate import Aggregate, Cell, Field, NotCollected, PackTerms
from agent.contracts.guarantee import ConcentratedGuarantee
from agent.contracts.log import Charge
from agent.errors import InvariantBroken
from agent.policy.enforcement import count_privacy
from agent.policy.model import CountPrivacy, Policy, Stream

NOTHING = Charge(Fraction(0))
"""The charge of a window from which no value leaves."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for a window of a stream. `noise` is the policy's own, or the larger one of the first period after a change."""

    policy: Policy
    stream: Stream
    privacy: CountPrivacy
    disclosure_digest: bytes
    noise: DiscreteGaussian

    @property
    def charge(self) -> Charge:
        """zCDP rho of one reading in one window."""
        return Charge(1 / (2 * self.noise.sigma_squared))

    @property
    def tau(self) -> int:
        """The threshold on the noisy value, k + ceil(z sigma) for the noise that is drawn."""
        limit = self.privacy.threshold
        return limit.k + ceil_sqrt(limit.z**2 * self.noise.sigma_squared)


def terms_for(policy: Policy, stream: Stream, disclosure_digest: bytes, noise: DiscreteGaussian | None = None) -> Terms:
    """The terms of a stream; without `noise` those after its first period. Building a noise table takes a while."""
    privacy = count_privacy(stream)
    noise = noise or DiscreteGaussian(privacy.sigma_squared)
    return Terms(policy, stream, privacy, disclosure_digest, noise)


def charge_for(closed: Closed, terms: Terms, ledger: Ledger) -> tuple[Charge, NotCollected | None]:
    """What releasing this window costs, or why it has no numbers. Looks at coverage, clock and budget, never at a count."""
    ledger.require_unreleased(terms.stream.name, closed.start)
    if closed.reason is not None:
        return NOTHING, closed.reason
    charge = terms.charge
    in_force = ledger.adoption.in_force(closed.start)
    if in_force is None or in_force.disclosure_digest != terms.disclosure_digest or closed.start < in_force.effective:
        raise InvariantBroken("a window was collected under a policy that is not in force")
    if not ledger.budget.affordable(terms.stream.name, closed.start, charge.rho):
        return NOTHING, NotCollected.BUDGET
    return charge, None


def govern(
    closed: Closed,
    terms: Terms,
    charge: Charge,
    reason: NotCollected | None,
    log_index: int,
    random_bytes: RandomBytes,
) -> Aggregate:
    """Counts, noise, threshold. Raises InvariantBroken when numbers would leave without the charge that their noise is worth."""
    privacy = terms.privacy
    if terms.noise.sigma_squared < privacy.sigma_squared:
        raise InvariantBroken("a window would leave with less noise than its policy says")
    if reason is None and charge.rho * 2 * terms.noise.sigma_squared < 1:
        raise InvariantBroken("a window would leave for less than its charge")
    noise = terms.noise.draw(len(terms.stream.classes), random_bytes)
    noisy = np.clip(closed.counts, 0, privacy.max_count) + noise
    values = shown(noisy.tolist(), terms.tau)
    if reason is not None:
        values = (Cell.NOT_COLLECTED,) * len(values)
    return Aggregate(
        terms=pack_terms(terms),
        window_start=closed.start,
        coverage_percent=closed.coverage_percent,
        reason=reason,
        log_index=log_index,
        values=values,
    )


def pack_terms(terms: Terms) -> PackTerms:
    """What stands in every pack of these terms."""
    unit, privacy = terms.policy.unit, terms.privacy
    digits = value_digits(privacy.max_count, terms.noise.bound)
    return PackTerms(
        city=unit.city,
        site=unit.site,
        unit=unit.name,
        stream=terms.stream.name,
        window_s=terms.stream.window_s,
        noise_sd=scaled(ceil_sqrt(terms.noise.sigma_squared * 1_000_000), 3),
        noise_unit="count",
        threshold=terms.tau,
        guarantee=ConcentratedGuarantee(privacy.rho, terms.policy.period_s, privacy.m, privacy.c),
        policy_version=terms.policy.version,
        disclosure_digest=terms.disclosure_digest,
        fields=tuple(Field(name, "count", digits) for name in terms.stream.classes),
    )
