"""What the policy's noise means for one person: how often somebody who tells from the published figures is right. Pure.

`period` is for one period (24 h but in demonstrations), `month` for presence in every period of 30 days. Both count what a person may do to
all streams with noise together; streams without noise that people cause are `open`: no bound holds for them, and the sentences must say so
(PRIVACY.md 4.1). A bound is enforced, so it never rests on a promise either: where other streams are published beside the covered ones,
it is stated of the covered ones only.
"""

import enum
from dataclasses import dataclass
from typing import assert_never

from agent.disclosure import bound
from agent.policy.model import Policy, Stream
from agent.policy.modes import CoarsePrivacy, CountPrivacy, NoPrivacy, ScalarPrivacy, ThresholdOnly, UniquePrivacy
from agent.policy.vocabulary import QUANTITIES

MONTH_S = 30 * 86_400


class Scope(enum.IntEnum):
    """Of which of the published numbers a bound is stated."""

    ALL = 0
    """Of all."""
    NOISY = 1
    """Of those with noise; the others are promised not to be about anybody."""
    NOISY_ONLY = 2
    """Of those with noise; people cause others, for which none holds."""
    NONE = 3
    """Of none, though people cause numbers."""
    NOBODY = 4
    """Of none; no number is about people."""


@dataclass(frozen=True, slots=True)
class Presence:
    """`period` and `month` are N of "right at most N times in 100"; 50 is guessing, 100 no limit at all.

    The rest are streams' names: `covered` carry noise, `open` carry none and are caused by people, `apart` carry none and are promised
    not to be about anybody.
    """

    period: int
    month: int
    covered: tuple[str, ...]
    open: tuple[str, ...]
    apart: tuple[str, ...]

    @property
    def scope(self) -> Scope:
        """What the bound is stated of."""
        if not self.covered:
            return Scope.NONE if self.open else Scope.NOBODY
        if self.open:
            return Scope.NOISY_ONLY
        return Scope.NOISY if self.apart else Scope.ALL


def presence(policy: Policy) -> Presence:
    """The bounds of agent/disclosure/bound for this policy; a bound stands for the covered streams only."""
    noises = [noise for stream in policy.streams if (noise := _noise(stream)) is not None]
    bare = [stream for stream in policy.streams if _noise(stream) is None]
    months = -(-MONTH_S // policy.period_s)
    return Presence(
        period=bound.right_in_100(bound.total_variation(noises)),
        month=bound.right_in_100(bound.total_variation(noises, months)),
        covered=tuple(stream.name for stream in policy.streams if _noise(stream) is not None),
        open=tuple(stream.name for stream in bare if caused_by_people(stream)),
        apart=tuple(stream.name for stream in bare if not caused_by_people(stream)),
    )


def caused_by_people(stream: Stream) -> bool:
    """Could this stream's numbers tell something of a person? Counts, durations and devices always; scalars by their quantity."""
    return stream.kind != "scalar" or QUANTITIES[stream.quantity].person_derived


def _noise(stream: Stream) -> bound.Noise | None:
    """What one person can do to the stream in a period; None where it carries no noise."""
    privacy = stream.privacy
    match privacy:
        case CountPrivacy() if privacy.totals:
            # A reading tells on every later window of its counter, and a period of a person's may lie in two of them.
            return bound.Noise(privacy.rho, None, 2 * privacy.totals * len(stream.classes))
        case ScalarPrivacy() if privacy.percentiles:  # a sample is in the sum, and changes two cells of the histogram
            return bound.Noise(privacy.rho, min(privacy.sigma_squared, privacy.cell_sigma_squared), 3 * privacy.m)
        case CountPrivacy() | ScalarPrivacy():
            return bound.Noise(privacy.rho, privacy.sigma_squared, privacy.m)
        case UniquePrivacy():
            return bound.Noise(privacy.rho, None, privacy.m)
        case ThresholdOnly() | CoarsePrivacy() | NoPrivacy():
            return None
        case _:
            assert_never(privacy)
