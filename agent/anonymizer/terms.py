"""What holds for the windows of one stream under one policy and one noise, whatever its kind. Pure.

Invariants: the numbers of a window are functions of what it held plus a draw, of at least the policy's variance, made for every window whether
it is shown or not; the pack's length and everything in its head follow from these terms alone.
"""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import Any, Protocol

from agent.anonymizer.cells import Field, Value, scaled
from agent.anonymizer.noise import RandomBytes
from agent.anonymizer.strength import own
from agent.contracts.aggregate import Cell, PackTerms
from agent.contracts.cells import COUNT
from agent.contracts.guarantee import ConcentratedGuarantee, Guarantee
from agent.contracts.log import Charge
from agent.errors import InvariantBroken
from agent.policy.model import Policy, Stream
from agent.policy.modes import CountPrivacy, ScalarPrivacy, ceil_sqrt

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


def sd(variance: Fraction) -> Decimal:
    """The standard deviation in thousandths, rounded up."""
    return scaled(ceil_sqrt(variance * 1_000_000), 3)
