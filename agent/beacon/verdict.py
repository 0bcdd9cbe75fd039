"""What a reader makes of what it read by radio: verified live, cannot be verified and why, or not checked for want of a key. Pure.

Invariant: nothing of a unit's words is in a Judged whose `reasons` say that its signature does not hold, and LIVE needs all of: the signature
of a key that was given or is vouched for, the unit that this key belongs to, a policy that has not ended, and a fresh tree head.
"""

import enum
from dataclasses import dataclass

from agent.beacon.reading import Reading
from agent.contracts.latest import Latest, open_latest, read_latest
from agent.contracts.log_file import unit_path
from agent.contracts.public import (
    HEAD_FRESH_S,
    HEAD_TIME,
    MAX_UPCOMING_BYTES,
    Envelope,
    StopNotice,
    open_envelope,
    open_stop,
    read_envelope,
    read_stop,
)
from agent.disclosure.datachain import Disclosure, decode_disclosure
from agent.errors import BadInput, DisclosureError, EncodingError, SignatureError
from agent.policy.signed import Units, VouchedUnit
from agent.wire import cose, tlog
from agent.wire.tlog import Checkpoint


class Verdict(enum.StrEnum):
    """What may be said of a reading."""

    LIVE = "verified live"
    CANNOT = "cannot verify"
    UNCHECKED = "not checked"


class Reason(enum.StrEnum):
    """Why not."""

    NO_KEY = "no_key"
    DAMAGED = "damaged"
    UNKNOWN_KEY = "unknown_key"
    SIGNATURE = "signature"
    OTHER_UNIT = "other_unit"
    ENDED = "ended"
    NO_TREE_HEAD = "no_tree_head"
    STALE_TREE_HEAD = "stale_tree_head"


WORDS = {
    Reason.NO_KEY: "no key and no trust root was given",
    Reason.DAMAGED: "what was read is not a disclosure as this program knows it",
    Reason.UNKNOWN_KEY: "it is signed by a key that nobody vouches for",
    Reason.SIGNATURE: "a signature does not hold",
    Reason.OTHER_UNIT: "the key belongs to another unit",
    Reason.ENDED: "the policy has ended",
    Reason.NO_TREE_HEAD: "it shows no tree head of its log, so this may be a recording",
    Reason.STALE_TREE_HEAD: "its tree head was not signed within the last five minutes, so this may be a recording (or a clock is wrong)",
}


@dataclass(frozen=True, slots=True)
class Trust:
    """Whose signature counts: one key (32 bytes), or the units for which the governance's threshold vouches. Neither: nothing is checked."""

    key: bytes | None = None
    units: Units | None = None


@dataclass(frozen=True, slots=True)
class Head:
    """The tree head that was read, and when it was signed (Unix seconds)."""

    checkpoint: Checkpoint
    signed_at: int


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict and what may be shown with it; all None when nothing may. `detail` is the error's own words."""

    verdict: Verdict
    reasons: tuple[Reason, ...] = ()
    detail: str = ""
    disclosure: Disclosure | None = None
    issued_at: int = 0
    key: bytes | None = None
    vouched: bool = False
    head: Head | None = None
    upcoming: Disclosure | None = None
    not_before: int = 0
    stop: StopNotice | None = None
    latest: Latest | None = None

    @property
    def words(self) -> str:
        """The reasons for a person."""
        return "; ".join(WORDS[reason] for reason in self.reasons)


class _Not(Exception):
    def __init__(self, reason: Reason, detail: str = "") -> None:
        self.reason = reason
        self.detail = detail


def judge(reading: Reading, trust: Trust, now_s: int) -> Judged:
    """The verdict at `now_s` (Unix seconds), whatever the bytes are; raises nothing."""
    try:
        return _judge(reading, trust, now_s)
    except _Not as not_:
        return Judged(Verdict.CANNOT, (not_.reason,), not_.detail)
    except SignatureError as bad:
        return Judged(Verdict.CANNOT, (Reason.SIGNATURE,), str(bad))
    except BadInput as bad:
        return Judged(Verdict.CANNOT, (Reason.DAMAGED,), str(bad))


def _judge(reading: Reading, trust: Trust, now_s: int) -> Judged:
    vouched = _vouched(reading.envelope, trust)
    key = vouched.public_key if vouched is not None else trust.key
    envelope, disclosure = _disclosed(reading.envelope, key)
    if envelope.not_before is not None:
        raise DisclosureError("envelope", expected="a disclosure in force", got="an upcoming one")
    unit = disclosure.policy.unit
    owner = f"{trust.units.city}/{vouched.site}/{vouched.name}" if vouched and trust.units else unit.path
    if unit.path != owner:
        raise _Not(Reason.OTHER_UNIT, owner)
    reasons = [Reason.ENDED] if now_s >= disclosure.policy.expires else []
    head = _head(reading.checkpoint, unit.path, key)
    if head is None:
        reasons.append(Reason.NO_TREE_HEAD)
    elif abs(now_s - head.signed_at) > HEAD_FRESH_S:
        reasons.append(Reason.STALE_TREE_HEAD)
    upcoming = _upcoming(reading.upcoming, key, disclosure)
    latest = _latest(reading.latest, key)
    if latest is not None and latest.path != unit.path:
        raise _Not(Reason.OTHER_UNIT, latest.path)
    if key is None:
        verdict, reasons = Verdict.UNCHECKED, [Reason.NO_KEY]
    else:
        verdict = Verdict.CANNOT if reasons else Verdict.LIVE
    return Judged(
        verdict=verdict,
        reasons=tuple(reasons),
        disclosure=disclosure,
        issued_at=envelope.issued_at,
        key=key,
        vouched=vouched is not None,
        head=head,
        upcoming=upcoming[1] if upcoming is not None else None,
        not_before=(upcoming[0].not_before or 0) if upcoming is not None else 0,
        stop=_stop(reading.stop, key),
        latest=latest,
    )


def _vouched(message: bytes, trust: Trust) -> VouchedUnit | None:
    """The unit whose key the message names; None when there are no units to ask."""
    if trust.units is None:
        return None
    kid = cose.decode_sign1(message, max_bytes=MAX_UPCOMING_BYTES).kid
    for unit in trust.units.units:
        if cose.key_id(unit.public_key) == kid and trust.key in (None, unit.public_key):
            return unit
    raise _Not(Reason.UNKNOWN_KEY, kid.hex() if kid else "")


def _disclosed(message: bytes, key: bytes | None) -> tuple[Envelope, Disclosure]:
    envelope = read_envelope(message) if key is None else open_envelope(message, key)
    return envelope, decode_disclosure(envelope.disclosure)


def _head(note: bytes | None, path: str, key: bytes | None) -> Head | None:
    if note is None:
        return None
    checkpoint = tlog.decode_checkpoint(note)
    own = unit_path(checkpoint.origin) == path
    if key is not None:
        tlog.open_checkpoint(note, checkpoint.origin if own else path, key)
    if not own:
        raise _Not(Reason.OTHER_UNIT, checkpoint.origin[:100])
    times = [line.removeprefix(HEAD_TIME) for line in checkpoint.extensions if line.startswith(HEAD_TIME)]
    if len(times) != 1 or not (times[0].isascii() and times[0].isdigit() and len(times[0]) <= 12):
        raise EncodingError("checkpoint", expected=f"one line `{HEAD_TIME}N`", got="another count, or no number")
    return Head(checkpoint, int(times[0]))


def _upcoming(message: bytes | None, key: bytes | None, now: Disclosure) -> tuple[Envelope, Disclosure] | None:
    if message is None:
        return None
    envelope, later = _disclosed(message, key)
    if envelope.not_before is None:
        raise DisclosureError("upcoming envelope", expected="an upcoming disclosure", got="one in force")
    if later.policy.unit != now.policy.unit:
        raise _Not(Reason.OTHER_UNIT, later.policy.unit.path)
    return envelope, later


def _stop(message: bytes | None, key: bytes | None) -> StopNotice | None:
    if message is None:
        return None
    return read_stop(message) if key is None else open_stop(message, key)


def _latest(message: bytes | None, key: bytes | None) -> Latest | None:
    if message is None:
        return None
    return read_latest(message) if key is None else open_latest(message, key)
