"""The one form in which a unit signs a Release: a detached COSE_Sign1 by Ed25519 with `kid` (RFC 9052 section 4.2), checked without decoding it.

Invariant: this says yes only where `cose.verify1` does, and where it says None the general way decides. What is compared is the whole message, byte by byte,
but for its signature; the bytes that were signed follow from the payload alone.
"""

from typing import TYPE_CHECKING

from agent.wire import cbor
from agent.wire.cose import EDDSA, SIGN1_TAG, key_id
from agent.wire.cose_headers import ALG, KID

if TYPE_CHECKING:  # as in wire/cose
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

SIGNATURE_BYTES = 64


class DetachedVerifier:
    """Signatures by one public key (32 bytes)."""

    __slots__ = ("_key", "_message", "_public_key", "_signed")

    def __init__(self, public_key: bytes) -> None:
        protected = cbor.encode({ALG: EDDSA, KID: key_id(public_key)})
        blank = cbor.encode(cbor.CBORTag(SIGN1_TAG, [protected, {}, None, bytes(SIGNATURE_BYTES)]))
        self._public_key = public_key
        self._message = blank[:-SIGNATURE_BYTES]
        self._signed = cbor.encode(["Signature1", protected, b"", b""])[:-1]
        self._key: Ed25519PublicKey | None = None

    def verify(self, message: bytes, payload: bytes) -> bool | None:
        """Is `message` this key's signature of `payload`? None for a message of another form or by another key."""
        if len(message) != len(self._message) + SIGNATURE_BYTES or not message.startswith(self._message):
            return None
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            if self._key is None:
                self._key = Ed25519PublicKey.from_public_bytes(self._public_key)
            self._key.verify(message[-SIGNATURE_BYTES:], self._signed + _byte_string_head(len(payload)) + payload)
        except (InvalidSignature, ValueError):
            return False
        return True


def named_kid(message: bytes) -> bytes | None:
    """The `kid` of a message of this form; None for any other."""
    return message[8:16] if len(message) == 84 and message.startswith(_BEGINNING) else None


def _byte_string_head(length: int) -> bytes:
    """Major type 2 in its shortest form (RFC 8949 section 4.2.1)."""
    if length < 24:
        return bytes([0x40 + length])
    octets = 1 if length < 2**8 else 2 if length < 2**16 else 4
    return bytes([0x58 + octets // 2]) + length.to_bytes(octets, "big")


_BEGINNING = bytes.fromhex("d2844da201270448")
