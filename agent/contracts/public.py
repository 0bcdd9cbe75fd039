"""/run/dtpr-public/: anonymizer -> beacon, publisher and anyone on the unit. Nothing here depends on a reading but what is released.

    envelope    COSE_Sign1 by the unit over {1: disclosure bytes, 2: issued_at}; what travels by air
    upcoming    the same over {…, 3: not_before} for a policy on notice, which cannot be in force earlier; absent when there is none
    stop        COSE_Sign1 by the unit over {1: reason, 2: [role/name, …], 3: since}; absent unless a stop order is in force
    compact     COSE_Sign1 by the unit: the disclosure in short (disclosure/compact), for one extended advertisement
    checkpoint  signed note (wire/tlog): the release log's tree head with a line `time N`, signed anew every minute; absent without a log
    logged      the release log's newest checkpoint as it stands there: how far a running log may be read (contracts/log_file)
    latest      COSE_Sign1 by the unit: the figures last published (contracts/latest); absent before there are any
    state       JSON, fixed keys: the gate and its reason, the policies, the clock

Each is replaced atomically. The envelope's own hash names nothing; the disclosure digest is SHA-256 over the disclosure bytes.
"""

import dataclasses
import enum
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent.errors import EncodingError, MessageError
from agent.wire import cbor, cose
from agent.wire.sha256 import sha256

if TYPE_CHECKING:  # as in wire/cose: only sealing needs cryptography
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ENVELOPE = "envelope"
UPCOMING = "upcoming"
STOP = "stop"
COMPACT = "compact"
CHECKPOINT = "checkpoint"
LATEST = "latest"
STATE = "state"

MAX_ENVELOPE_BYTES = 3900
"""Eight GATT chunks of 500 bytes, less a margin (RADIO.md section 2)."""

MAX_UPCOMING_BYTES = MAX_ENVELOPE_BYTES + 6
"""`not_before` comes on top."""

MAX_STOP_BYTES = 500
"""One GATT value."""

MAX_COMPACT_BYTES = 700
"""A QR code of a sign still has modules of half a millimetre; a policy's longest organisation and address need less."""

MAX_CHECKPOINT_BYTES = 500
"""One GATT value; with the longest names a note has under 400, of a log that follows a loss under 480."""

MAX_LATEST_BYTES = MAX_ENVELOPE_BYTES
"""It travels in chunks, as the envelope does."""

HEAD_TIME = "time "
"""Begins the checkpoint's line that says when it was signed (Unix seconds)."""

HEAD_EVERY_S = 60
HEAD_FRESH_S = 300
"""A tree head signed longer ago, by the reader's clock, is stale: somebody may be replaying it."""

MAX_STATE_BYTES = 4096

MAX_REFUSAL_BYTES = 400
"""Of `offer_refused`; the whole of it is in the journal."""

MAX_SIGNERS_BYTES = 400
"""Of `stop_by`."""

TOPIC_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?")
"""City, site, unit: one MQTT topic level each, readable, no personal or exact-place names."""


class Reason(enum.StrEnum):
    """Why the gate is as it is. The first that holds, in this order, is shown."""

    OPEN = "open"
    STOPPED = "stopped"
    CLOCK_UNTRUSTED = "clock_untrusted"
    CLOCK_BACKWARDS = "clock_backwards"
    NO_POLICY = "no_policy"
    MEMORY_UNLOCKED = "memory_unlocked"
    NOT_EFFECTIVE = "not_effective"
    EXPIRED = "expired"
    STORAGE = "storage"
    NO_LEASE = "no_lease"
    LEASE_CLOSED = "lease_closed"
    LEASE_LAPSED = "lease_lapsed"
    LEASE_MISMATCH = "lease_mismatch"
    ON_NOTICE = "on_notice"


@dataclass(frozen=True, slots=True)
class State:
    """What the unit says of itself. Times are whole Unix seconds; `notice_remaining_s` is 0 once the notice is served.

    `policy_version` and `disclosure` are what is in force, or a first policy on notice (0 and "" without any). `upcoming_…` is the
    policy on notice beside it (0, "" and 0 without one): `upcoming_remaining_s` until it is in force, at the earliest.
    `offer_refused` says why the last offer was refused ("" when it was not), `stop_reason` and `stop_by` which stop order holds.
    """

    city: str
    site: str
    unit: str
    gate: str
    reason: Reason
    since: int
    policy_version: int
    disclosure: str
    notice_remaining_s: int
    expires: int
    clock_trusted: bool
    demo: bool
    public_key: str
    collect_within_s: int
    upcoming_version: int = 0
    upcoming_disclosure: str = ""
    upcoming_remaining_s: int = 0
    offer_refused: str = ""
    stop_reason: str = ""
    stop_by: str = ""

    def encode(self) -> bytes:
        """The file's JSON, keys in the order above."""
        return json.dumps({"v": 1, **dataclasses.asdict(self)}, ensure_ascii=True).encode() + b"\n"


_HEX = re.compile(r"[0-9a-f]{64}")
_NONE = re.compile("")
_TEXTS = {"city": TOPIC_NAME, "gate": re.compile("open|closed"), "public_key": _HEX}
_OF_A_POLICY = {"site": TOPIC_NAME, "unit": TOPIC_NAME, "disclosure": _HEX}
_UNIX = range(10**10)
_NUMBERS = {
    "since": _UNIX,
    "policy_version": range(10**9),
    "upcoming_version": range(10**9),
    "upcoming_remaining_s": _UNIX,
    "notice_remaining_s": _UNIX,
    "expires": _UNIX,
    "collect_within_s": range(366 * 86_400 + 1),
}
"""What a reader may rely on: topics, expiry and keys are made of these."""


def _forms(item: dict[str, Any]) -> dict[str, re.Pattern[str]]:
    """What each text must look like; without a policy the unit may have no name yet, and there is no disclosure."""
    forms = _TEXTS | (_OF_A_POLICY if item["policy_version"] else {"disclosure": _NONE})
    return forms | {"upcoming_disclosure": _HEX if item["upcoming_version"] else _NONE}


def decode_state(text: bytes) -> State:
    """Decode the state file; raise MessageError."""
    try:
        if len(text) > MAX_STATE_BYTES:
            raise ValueError("too long")
        item: Any = json.loads(text)
        if not isinstance(item, dict) or type(item.get("v")) is not int or item.pop("v") != 1:
            raise ValueError("not version 1")
        fields = {field.name: str(field.type) for field in dataclasses.fields(State)}
        if set(item) != set(fields):
            raise ValueError("other keys")
        for name, value in item.items():
            kind = {"<class 'bool'>": bool, "<class 'int'>": int}.get(fields[name], str)
            if type(value) is not kind:
                raise ValueError(f"{name} is not {kind.__name__}")
        for name, form in _forms(item).items():
            if not form.fullmatch(item[name]):
                raise ValueError(f"{name} is another text")
        for name, numbers in _NUMBERS.items():
            if item[name] not in numbers:
                raise ValueError(f"{name} is out of range")
        if bool(item["collect_within_s"]) is not bool(item["policy_version"]):
            raise ValueError("collect_within_s is no policy's")
        item["reason"] = Reason(item["reason"])
    except (ValueError, KeyError, TypeError, RecursionError) as bad:
        raise MessageError("state", expected="the state of a unit, version 1", got=str(bad)[:80]) from None
    return State(**item)


def says_demo(data: bytes) -> bool:
    """Is the policy that a `state` shows a demonstration's? Raises as `decode_state` does."""
    return decode_state(data).demo


def refusal_words(text: str) -> str:
    """Words for `offer_refused`: printable ASCII on one line, cut to MAX_REFUSAL_BYTES; a file's name may hold anything."""
    plain = "".join(c if c.isascii() and c.isprintable() else "?" for c in text.replace('"', "'").replace("\\", "/"))
    return plain if len(plain) <= MAX_REFUSAL_BYTES else plain[: MAX_REFUSAL_BYTES - 3] + "..."


def signer_words(by: tuple[str, ...]) -> str:
    """Words for `stop_by`: as many signers as fit MAX_SIGNERS_BYTES, the others counted."""
    for named in range(len(by), -1, -1):
        words = ", ".join([*by[:named], *([f"and {len(by) - named} more"] if named < len(by) else [])])
        if len(words.encode()) <= MAX_SIGNERS_BYTES:
            return words
    raise AssertionError("unreachable")


@dataclass(frozen=True, slots=True)
class Envelope:
    """The disclosure's deterministic CBOR and the Unix second in which the unit signed it.

    `not_before` is None for the disclosure in force; for an upcoming one when it can be in force at the earliest (Unix seconds).
    """

    disclosure: bytes
    issued_at: int
    not_before: int | None = None

    @property
    def digest(self) -> bytes:
        """The disclosure digest: SHA-256, 32 bytes."""
        return sha256(self.disclosure)


@dataclass(frozen=True, slots=True)
class StopNotice:
    """A stop order as it is aired: its reason, the signers that were verified (role/name), and since when it holds (Unix seconds)."""

    reason: str
    by: tuple[str, ...]
    since: int


def seal_envelope(envelope: Envelope, key: "Ed25519PrivateKey") -> bytes:
    """Sign an envelope; raise EncodingError when it would not fit the air."""
    item: dict[int, object] = {1: envelope.disclosure, 2: envelope.issued_at}
    if envelope.not_before is not None:
        item[3] = envelope.not_before
    message = cose.sign1(cbor.encode(item), key)
    limit = MAX_ENVELOPE_BYTES if envelope.not_before is None else MAX_UPCOMING_BYTES
    if len(message) > limit:
        raise EncodingError(
            "envelope",
            expected=f"at most {limit} bytes",
            got=str(len(message)),
            remedy="shorten the longest texts of the policy",
        )
    return message


def read_envelope(message: bytes) -> Envelope:
    """Read an envelope without verifying it (the beacon, on the same unit); raise EncodingError."""
    payload = cose.decode_sign1(message, max_bytes=MAX_UPCOMING_BYTES).payload
    return _envelope(payload)


def open_envelope(message: bytes, public_key: bytes) -> Envelope:
    """Verify and read an envelope; raise EncodingError or SignatureError."""
    return _envelope(cose.verify1(message, public_key, max_bytes=MAX_UPCOMING_BYTES))


def seal_stop(notice: StopNotice, key: "Ed25519PrivateKey") -> bytes:
    """Sign a stop notice; signers that do not fit are counted, as in "and 3 more"."""
    for named in range(len(notice.by), -1, -1):
        more = len(notice.by) - named
        by = [*notice.by[:named], *([f"and {more} more"] if more else [])]
        message = cose.sign1(cbor.encode({1: notice.reason, 2: by, 3: notice.since}), key)
        if len(message) <= MAX_STOP_BYTES:
            return message
    raise EncodingError("stop notice", expected=f"at most {MAX_STOP_BYTES} bytes", got=str(len(message)))


def read_stop(message: bytes) -> StopNotice:
    """Read a stop notice without verifying it; raise EncodingError (or SignatureError for a header that must be understood)."""
    return _stop(cose.decode_sign1(message, max_bytes=MAX_STOP_BYTES).payload)


def open_stop(message: bytes, public_key: bytes) -> StopNotice:
    """Verify and read a stop notice; raise EncodingError or SignatureError."""
    return _stop(cose.verify1(message, public_key, max_bytes=MAX_STOP_BYTES))


def _envelope(payload: bytes | None) -> Envelope:
    match cbor.decode(payload or b"", max_bytes=MAX_UPCOMING_BYTES):
        case {1: bytes(disclosure), 2: int(issued_at)} as item if not any(isinstance(v, bool) for v in item.values()):
            not_before = item.get(3)
            if len(item) == 2 or (len(item) == 3 and isinstance(not_before, int)):
                return Envelope(disclosure, issued_at, not_before)
    raise EncodingError(
        "envelope", expected="{1: disclosure bytes, 2: issued_at}, perhaps 3: not_before", got="something else"
    )


def _stop(payload: bytes | None) -> StopNotice:
    match cbor.decode(payload or b"", max_bytes=MAX_STOP_BYTES):
        case {1: str(reason), 2: list(by), 3: int(since)} as item if len(item) == 3 and not isinstance(since, bool):
            if all(isinstance(name, str) for name in by):
                return StopNotice(reason, tuple(by), since)
    raise EncodingError("stop notice", expected="{1: reason, 2: [signer, …], 3: since}", got="something else")
