"""A rotation of a unit's signing key: the old key's word that another one follows it. In the release log, and beside the key before that.

COSE_Sign1 (attached, by the old key, content type CONTENT_TYPE) over deterministic CBOR
{0: 1, 1: "city/site/unit", 2: old public key, 3: new public key, 4: at}          keys 32 bytes, `at` Unix seconds by the unit's clock

Invariant: whoever believes the old key about the unit may believe what it says here, and nobody else need; that the unit has the new key
shows in the checkpoint that covers the entry.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.errors import EncodingError, SignatureError
from agent.wire import cbor, cose
from agent.wire.cose import public_bytes

if TYPE_CHECKING:  # as in wire/cose
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

CONTENT_TYPE = "application/vnd.dtpr.key-rotation+cbor"
MAX_ROTATION_BYTES = 1024
"""A path of three names of 32 characters, two keys and a signature."""


@dataclass(frozen=True, slots=True)
class Rotation:
    """Of the unit `unit` (city/site/unit); `at` is when the new key was put in the old one's place (Unix seconds)."""

    unit: str
    old: bytes
    new: bytes
    at: int


def seal_rotation(unit: str, old: "Ed25519PrivateKey", new: bytes, at: int) -> bytes:
    """The message in which `old` names its successor."""
    payload = cbor.encode({0: 1, 1: unit, 2: public_bytes(old), 3: new, 4: at})
    return cose.sign1(payload, old, content_type=CONTENT_TYPE)


def read_rotation(message: bytes) -> Rotation:
    """What the message says, nothing verified; raises EncodingError, SignatureError."""
    signed = cose.decode_sign1(message, max_bytes=MAX_ROTATION_BYTES)
    if signed.content_type != CONTENT_TYPE:
        raise SignatureError("key rotation", expected=CONTENT_TYPE, got=ascii(signed.content_type)[:80])
    match cbor.decode(signed.payload or b"", max_bytes=MAX_ROTATION_BYTES):
        case {0: 1, 1: str(unit), 2: bytes(old), 3: bytes(new), 4: int(at)} as item if len(item) == 5:
            if len(old) == len(new) == 32 and old != new and type(at) is int and 0 <= at < 2**63:
                return Rotation(unit, old, new, at)
    raise EncodingError(
        "key rotation", expected="a unit, its old key and another new one, and when", got="another shape"
    )


def open_rotation(message: bytes) -> Rotation:
    """What the message says, once the key that it calls the old one is known to have signed it; raises EncodingError, SignatureError."""
    rotation = read_rotation(message)
    cose.verify1(message, rotation.old, max_bytes=MAX_ROTATION_BYTES)
    return rotation
