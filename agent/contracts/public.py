"""/run/dtpr-public/: anonymizer -> beacon, publisher and anyone on the unit. Nothing here depends on a reading.

    envelope    COSE_Sign1 by the unit over {1: disclosure bytes, 2: issued_at}; what travels by air
    state       JSON, fixed keys: the gate and its reason, the policy, the clock

Both are replaced atomically. The envelope's own hash names nothing; the disclosure digest is SHA-256 over the disclosure bytes.
"""

import dataclasses
import enum
import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent.errors import EncodingError, MessageError
from agent.wire import cbor, cose

if TYPE_CHECKING:  # as in wire/cose: only sealing needs cryptography
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ENVELOPE = "envelope"
STATE = "state"

MAX_ENVELOPE_BYTES = 3900
"""Eight GATT chunks of 500 bytes, less a margin (RADIO.md section 2)."""

MAX_STATE_BYTES = 4096

TOPIC_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?")
"""City, site, unit: one MQTT topic level each, readable, no personal or exact-place names."""


class Reason(enum.StrEnum):
    """Why the gate is as it is. The first that holds, in this order, is shown."""

    OPEN = "open"
    STOPPED = "stopped"
    CLOCK_UNTRUSTED = "clock_untrusted"
    CLOCK_BACKWARDS = "clock_backwards"
    NO_POLICY = "no_policy"
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
    """What the unit says of itself. Times are whole Unix seconds; `notice_remaining_s` is 0 once the notice is served."""

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

    def encode(self) -> bytes:
        """The file's JSON, keys in the order above."""
        return json.dumps({"v": 1, **dataclasses.asdict(self)}, ensure_ascii=True).encode() + b"\n"


def decode_state(text: bytes) -> State:
    """Decode the state file; raise MessageError."""
    try:
        if len(text) > MAX_STATE_BYTES:
            raise ValueError("too long")
        item: Any = json.loads(text)
        if not isinstance(item, dict) or item.pop("v") != 1:
            raise ValueError("not version 1")
        fields = {field.name: str(field.type) for field in dataclasses.fields(State)}
        if set(item) != set(fields):
            raise ValueError("other keys")
        for name, value in item.items():
            kind = {"<class 'bool'>": bool, "<class 'int'>": int}.get(fields[name], str)
            if type(value) is not kind:
                raise ValueError(f"{name} is not {kind.__name__}")
        item["reason"] = Reason(item["reason"])
    except (ValueError, KeyError, TypeError, RecursionError) as bad:
        raise MessageError("state", expected="the state of a unit, version 1", got=str(bad)[:80]) from None
    return State(**item)


@dataclass(frozen=True, slots=True)
class Envelope:
    """The disclosure's deterministic CBOR and the Unix second in which the unit signed it."""

    disclosure: bytes
    issued_at: int

    @property
    def digest(self) -> bytes:
        """The disclosure digest: SHA-256, 32 bytes."""
        return hashlib.sha256(self.disclosure).digest()


def seal_envelope(envelope: Envelope, key: "Ed25519PrivateKey") -> bytes:
    """Sign an envelope; raise EncodingError when it would not fit the air."""
    message = cose.sign1(cbor.encode({1: envelope.disclosure, 2: envelope.issued_at}), key)
    if len(message) > MAX_ENVELOPE_BYTES:
        raise EncodingError(
            "envelope",
            expected=f"at most {MAX_ENVELOPE_BYTES} bytes",
            got=str(len(message)),
            remedy="shorten the longest texts of the policy",
        )
    return message


def read_envelope(message: bytes) -> Envelope:
    """Read an envelope without verifying it (the beacon, on the same unit); raise EncodingError."""
    payload = cose.decode_sign1(message, max_bytes=MAX_ENVELOPE_BYTES).payload
    return _envelope(payload)


def open_envelope(message: bytes, public_key: bytes) -> Envelope:
    """Verify and read an envelope; raise EncodingError or SignatureError."""
    return _envelope(cose.verify1(message, public_key, max_bytes=MAX_ENVELOPE_BYTES))


def _envelope(payload: bytes | None) -> Envelope:
    match cbor.decode(payload or b"", max_bytes=MAX_ENVELOPE_BYTES):
        case {1: bytes(disclosure), 2: int(issued_at)} as item if len(item) == 2 and not isinstance(issued_at, bool):
            return Envelope(disclosure, issued_at)
    raise EncodingError("envelope", expected="{1: disclosure bytes, 2: issued_at}", got="something else")
