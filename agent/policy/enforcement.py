"""Which kinds and modes of stream this version of the unit can enforce. Pure.

A policy may be written, signed and shown ahead of the code; the anonymizer refuses to run one that it could not keep (I2).
"""

from collections.abc import Mapping

from agent.errors import PolicyError
from agent.policy.model import Policy, Stream
from agent.policy.modes import (
    CoarsePrivacy,
    CountPrivacy,
    NoPrivacy,
    Privacy,
    ScalarPrivacy,
    ThresholdOnly,
    UniquePrivacy,
)

ENFORCED: Mapping[tuple[str, str], type[Privacy]] = {
    ("count", "dp"): CountPrivacy,
    ("count", "threshold-only"): ThresholdOnly,
    ("duration", "dp"): CountPrivacy,
    ("duration", "threshold-only"): ThresholdOnly,
    ("unique", "dp"): UniquePrivacy,
    ("scalar", "dp"): ScalarPrivacy,
    ("scalar", "coarse"): CoarsePrivacy,
    ("scalar", "none"): NoPrivacy,
}
"""(kind, mode) of the streams that the anonymizer can govern -> how their privacy is stated."""

MAX_FIELD_CHARACTERS = 40 * 1024
"""Of all records of a pack together, so that a Release fits into an entry of the log (contracts/aggregate)."""

_RECORD = len('{"n":"cell/","u":"count","v":},') + 20
"""A record less its name; no number has more characters."""

LEVELS = frozenset({"sound_level", "sound_level_indoor"})
"""Quantities in decibels."""

MAX_LEVEL_RANGE = 200
"""dB from low to high: more than between silence and anything that a street hears, and energies stay within 258 bits."""


def enforceable(policy: Policy) -> None:
    """Return None when every stream can be enforced; raise PolicyError naming the first that cannot."""
    for stream in policy.streams:
        if not isinstance(stream.privacy, ENFORCED.get((stream.kind, stream.privacy.mode), ())):
            raise PolicyError(
                f"stream {stream.name}",
                expected="a kind and mode that this version enforces: "
                + ", ".join(f"{kind} with mode {mode}" for kind, mode in ENFORCED),
                got=f"{stream.kind} with mode {stream.privacy.mode}",
                remedy="leave the stream out, or install a version that enforces it",
            )
        _short_enough(stream)
        _level(stream)


def _short_enough(stream: Stream) -> None:
    longest = max((len(f"/to_{edge}s") for edge in stream.bins_s), default=0) + len("over_total")
    cells = len(stream.bins_s) + 4 if stream.kind == "duration" else 2
    characters = sum(cells * (_RECORD + len(name) + longest) for name in stream.classes)
    if characters > MAX_FIELD_CHARACTERS:
        raise PolicyError(
            f"stream {stream.name}",
            expected=f"classes and bins that take at most {MAX_FIELD_CHARACTERS} characters a window",
            got=str(characters),
            remedy="fewer classes, or fewer bins",
        )


def _level(stream: Stream) -> None:
    privacy = stream.privacy
    if not isinstance(privacy, CoarsePrivacy | NoPrivacy) or stream.quantity not in LEVELS:
        return
    if privacy.high - privacy.low > MAX_LEVEL_RANGE:
        raise PolicyError(
            f"stream {stream.name}",
            expected=f"a range of at most {MAX_LEVEL_RANGE} dB",
            got=f"{int(privacy.high - privacy.low)}",
        )
