"""What becomes of the windows of one stream under one policy and one noise: one class for each kind of reading and mode. Pure.

Invariants: the numbers of a window are functions of what it held plus a draw, of at least the policy's variance, made for every window whether
it is shown or not; the pack's length and everything in its head follow from these terms alone.
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from agent.anonymizer.cells import Field, Value, scaled
from agent.anonymizer.noise import DiscreteGaussian, RandomBytes, ceil_sqrt
from agent.contracts.aggregate import Cell, PackTerms
from agent.contracts.guarantee import ConcentratedGuarantee
from agent.contracts.log import Charge
from agent.errors import InvariantBroken
from agent.policy.enforcement import count_privacy
from agent.policy.model import CountPrivacy, Policy, Stream


class Numbers(Protocol):
    """What windows in a row would publish, noise and all."""

    def values(self, place: int, collected: bool) -> tuple[Value, ...]:
        """Those of one window, or why there are none when it was not collected."""
        ...


@dataclass(frozen=True)
class CountTerms:
    """Counts by class, independent noise (PRIVACY.md 1.2). `noise` is the policy's own, or the larger one of the first period after a change."""

    policy: Policy
    stream: Stream
    privacy: CountPrivacy
    disclosure_digest: bytes
    noise: DiscreteGaussian

    def __post_init__(self) -> None:
        if self.noise.sigma_squared < self.privacy.sigma_squared:
            raise InvariantBroken("a window would leave with less noise than its policy says")

    @cached_property
    def charge(self) -> Charge:
        """zCDP rho of one reading in one window."""
        return Charge(1 / (2 * self.noise.sigma_squared))

    @cached_property
    def tau(self) -> int:
        """The threshold on the noisy value, k + ceil(z sigma) for the noise that is drawn."""
        limit = self.privacy.threshold
        return limit.k + ceil_sqrt(limit.z**2 * self.noise.sigma_squared)

    @cached_property
    def pack(self) -> PackTerms:
        """The head of every pack."""
        privacy = self.privacy
        lowest = 0 if privacy.threshold.hides else -self.noise.bound
        digits = max(len(str(privacy.max_count + self.noise.bound)), len(str(lowest)))
        return PackTerms(
            city=self.policy.unit.city,
            site=self.policy.unit.site,
            unit=self.policy.unit.name,
            stream=self.stream.name,
            window_s=self.stream.window_s,
            noise_sd=scaled(ceil_sqrt(self.noise.sigma_squared * 1_000_000), 3),
            noise_unit="count",
            threshold=self.tau,
            guarantee=ConcentratedGuarantee(privacy.rho, self.policy.period_s, privacy.m, privacy.c),
            policy_version=self.policy.version,
            disclosure_digest=self.disclosure_digest,
            fields=tuple(Field(name, "count", digits) for name in self.stream.classes),
        )

    def numbers(self, start: int, counts: NDArray[np.int64], random_bytes: RandomBytes) -> Numbers:
        """Counts cut to `max_count`, of shape (windows, classes), with one draw each."""
        noisy = np.minimum(counts, self.privacy.max_count)
        noisy += self.noise.draw(noisy.size, random_bytes).reshape(noisy.shape)
        tau = self.tau if self.privacy.threshold.hides else -self.noise.bound
        hidden = Cell.SUPPRESSED
        return Shown([tuple([value if value >= tau else hidden for value in row]) for row in noisy.tolist()])


Terms = CountTerms


class Shown:
    """Numbers that were all made at once."""

    __slots__ = ("_rows",)

    def __init__(self, rows: list[tuple[Value, ...]]) -> None:
        self._rows = rows

    def values(self, place: int, collected: bool) -> tuple[Value, ...]:
        """Those of one window, or why there are none when it was not collected."""
        row = self._rows[place]
        return row if collected else (Cell.NOT_COLLECTED,) * len(row)


def terms_for(policy: Policy, stream: Stream, disclosure_digest: bytes, strength: Fraction | None = None) -> Terms:
    """The terms of a stream; without `strength` those after its first period. Building a noise table takes a while."""
    privacy = count_privacy(stream)
    noise = DiscreteGaussian(privacy.sigma_squared if strength is None else strength)
    return CountTerms(policy, stream, privacy, disclosure_digest, noise)
