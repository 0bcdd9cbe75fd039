"""The one form in which a unit signs a Release: a detached COSE_Sign1 by Ed25519 with `kid` (RFC 9052 section 4.2), checked without decoding it.

A pack in CBOR is signed under its content type, one in JSON without any, so that no signature of the one kind counts for the other.

Invariant: this says yes only where `verify_detached` does, and where it says None that decides. What is compared is the whole message, byte by byte,
but for its signature; the bytes that were signed follow from the payload alone.
"""

from agent.errors import SignatureError
from agent.wire import cbor, cose
from agent.wire.cose import SIGN1_TAG, Verifier, key_id, sign1_header, verify_ed25519
from agent.wire.senml import SENML_CBOR, media_type

SIGNATURE_BYTES = 64


def signed_type(payload: bytes) -> str | None:
    """The content type under which a pack is signed."""
    return SENML_CBOR if media_type(payload) == SENML_CBOR else None


def verify_detached(message: bytes, public_key: bytes, payload: bytes) -> None:
    """Raise EncodingError for what is no COSE_Sign1, SignatureError when it is not this key's of `payload` as what that is."""
    cose.verify1(message, public_key, detached_payload=payload)
    found, expected = cose.decode_sign1(message).content_type, signed_type(payload)
    if found != expected:
        raise SignatureError("COSE_Sign1 content type", expected=expected or "none", got=str(found)[:80])


class DetachedVerifier:
    """Signatures by one public key (32 bytes), as `verifier` finds them."""

    __slots__ = ("_forms", "_public_key", "_verifier")

    def __init__(self, public_key: bytes, verifier: Verifier = verify_ed25519) -> None:
        self._public_key = public_key
        self._verifier = verifier
        self._forms = {content_type: _form(public_key, content_type) for content_type in (None, SENML_CBOR)}

    def verify(self, message: bytes, payload: bytes) -> bool | None:
        """Is `message` this key's signature of `payload`? None for a message of another form or by another key."""
        beginning, signed = self._forms[signed_type(payload)]
        if len(message) != len(beginning) + SIGNATURE_BYTES or not message.startswith(beginning):
            return None
        signed += cbor.head(cbor.BYTES, len(payload)) + payload
        return self._verifier(self._public_key, message[-SIGNATURE_BYTES:], signed)


def message_bytes(content_type: str | None = None) -> int:
    """The length of every signature under this content type."""
    beginning, _ = _form(bytes(32), content_type)
    return len(beginning) + SIGNATURE_BYTES


def named_kid(message: bytes) -> bytes | None:
    """The `kid` of a message of one of these forms; None for any other."""
    for start, length in _KIDS:
        if len(message) == length and message.startswith(start):
            return message[len(start) : len(start) + _KID_BYTES]
    return None


def _form(public_key: bytes, content_type: str | None) -> tuple[bytes, bytes]:
    """What a message begins with, and its Sig_structure (RFC 9052 section 4.4) up to the payload."""
    protected = sign1_header(public_key, content_type)
    blank = cbor.encode(cbor.CBORTag(SIGN1_TAG, [protected, {}, None, bytes(SIGNATURE_BYTES)]))
    return blank[:-SIGNATURE_BYTES], cbor.encode(["Signature1", protected, b"", b""])[:-1]


def _kid_place(content_type: str | None) -> tuple[bytes, int]:
    """What a message begins with up to the kid, and its length."""
    beginning, _ = _form(bytes(32), content_type)
    return beginning[: beginning.index(key_id(bytes(32)))], message_bytes(content_type)


_KID_BYTES = len(key_id(bytes(32)))
_KIDS = tuple(map(_kid_place, (None, SENML_CBOR)))
