"""Which kinds and modes of stream this version of the unit can enforce. Pure.

A policy may be written, signed and shown ahead of the code; the anonymizer refuses to run one that it could not keep (I2).
"""

from collections.abc import Mapping

from agent.errors import PolicyError
from agent.policy.model import CountPrivacy, Policy, Privacy, Stream

ENFORCED: Mapping[tuple[str, str], type[Privacy]] = {("count", "dp"): CountPrivacy}
"""(kind, mode) of the streams that the anonymizer can govern -> how their privacy is stated."""


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
        if isinstance(stream.privacy, CountPrivacy) and stream.privacy.totals:
            raise PolicyError(
                f"stream {stream.name}",
                expected='totals = "none", which is what this version enforces',
                got='totals = "period"',
                remedy="publish no running totals, or install a version that enforces them",
            )


def count_privacy(stream: Stream) -> CountPrivacy:
    """The privacy of a stream of an enforceable policy; raises PolicyError for a stream of another kind."""
    if not isinstance(stream.privacy, CountPrivacy) or stream.kind != "count":
        raise PolicyError(
            f"stream {stream.name}",
            expected="kind count with mode dp",
            got=f"{stream.kind} with mode {stream.privacy.mode}",
        )
    return stream.privacy
