"""COSE_Sign (RFC 9052 section 4.1, several signers) with Ed25519: a policy, a trust root, a list of units, a stop order.

What a message is about stands in its signed content type, so that nothing signed as one thing verifies as another. As in wire/cose the
algorithms a verifier accepts are its caller's table, and signatures are checked before the payload is looked at.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent.errors import EncodingError, SignatureError
from agent.wire import cbor
from agent.wire.cose import EDDSA, UNIT_ALGORITHMS, Verifier, key_id, public_bytes, require_signature
from agent.wire.cose_headers import ALG, CONTENT_TYPE, KID, canonical, check_headers, header_map, kid_of, shape

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SIGN_TAG = 98
MAX_SIGN_BYTES = 64 * 1024

MAX_SIGNATURES = 64
"""Twice the signers that one trust root may name (a root is rotated by those of two): bounds the work one file can ask for."""


@dataclass(frozen=True, slots=True)
class Signature:
    """One signer's part of a COSE_Sign."""

    protected: bytes
    unprotected: Mapping[Any, Any]
    signature: bytes

    @property
    def kid(self) -> bytes:
        """The key identifier from the protected header, else the unprotected one, else b""."""
        return kid_of(self.protected, self.unprotected)


@dataclass(frozen=True, slots=True)
class Sign:
    """A decoded, not yet verified COSE_Sign. `content_type` is from the protected header: text, a number or None."""

    protected: bytes
    content_type: str | int | None
    payload: bytes
    signatures: tuple[Signature, ...]


@dataclass(frozen=True, slots=True)
class VerifiedSign:
    """The payload of a COSE_Sign and the known keys that signed it; whether they are enough is for the caller to say."""

    payload: bytes
    verified_kids: frozenset[bytes]


def sign(payload: bytes, keys: Iterable["Ed25519PrivateKey"], *, content_type: str) -> bytes:
    """A tagged COSE_Sign over `payload` with one signature a key; raise SignatureError when a key comes twice."""
    protected = cbor.encode({CONTENT_TYPE: content_type})
    return _signed_also(Sign(protected, content_type, payload, ()), keys)


def add_signatures(message: bytes, keys: Iterable["Ed25519PrivateKey"]) -> bytes:
    """The same COSE_Sign with more signatures; what it has stays. Raises EncodingError, and SignatureError for a key that signed it before."""
    return _signed_also(decode_sign(message), keys)


def decode_sign(message: bytes, *, max_bytes: int = MAX_SIGN_BYTES) -> Sign:
    """Decode without verifying; raise EncodingError (or SignatureError for a header parameter that must be understood)."""
    item = cbor.decode(message, max_bytes=max_bytes)
    match item:
        case cbor.CBORTag(
            tag=98, value=[bytes() as protected, dict() as unprotected, bytes() as payload, list() as parts]
        ):
            header = check_headers(protected, unprotected, "COSE_Sign")
            content_type = header.get(CONTENT_TYPE)
            if content_type is not None and type(content_type) not in (str, int):
                raise EncodingError("COSE_Sign content type", expected="text or a number", got=shape(content_type))
            if not 1 <= len(parts) <= MAX_SIGNATURES:
                raise EncodingError("COSE_Sign", expected=f"1 to {MAX_SIGNATURES} signatures", got=str(len(parts)))
            return Sign(protected, content_type, payload, tuple(_signature(part, i) for i, part in enumerate(parts)))
    raise EncodingError(
        "COSE_Sign", expected="tag 98 around [protected, unprotected, payload, signatures]", got=shape(item)
    )


def verify_sign(
    message: bytes,
    keys: Mapping[bytes, bytes],
    *,
    content_type: str | int | None,
    algorithms: Mapping[int, Verifier] = UNIT_ALGORITHMS,
    max_bytes: int = MAX_SIGN_BYTES,
) -> VerifiedSign:
    """Verify every signature whose kid is in `keys` (kid -> public key); the others are ignored, and a kid twice counts once.

    Raises EncodingError for a malformed message and SignatureError for another content type, a known key's algorithm outside the
    table, or a known key's wrong signature. No known signer at all is no error: the caller counts.
    """
    signed = decode_sign(message, max_bytes=max_bytes)
    if signed.content_type != content_type:
        raise SignatureError(
            "COSE_Sign content type",
            expected=str(content_type),
            got=str(signed.content_type)[:80],
            remedy="a file signed as one thing is not valid as another",
        )
    verified = set()
    for part in signed.signatures:
        public_key = keys.get(part.kid)
        if public_key is None:
            continue
        what = f"COSE_Sign by key {part.kid.hex()}:"
        algorithm = header_map(part.protected, what).get(ALG)
        require_signature(
            what, algorithm, algorithms, public_key, part.signature, _to_be_signed_by_one(signed, part.protected)
        )
        verified.add(part.kid)
    return VerifiedSign(signed.payload, frozenset(verified))


def _signed_also(signed: Sign, keys: Iterable["Ed25519PrivateKey"]) -> bytes:
    kids = {part.kid for part in signed.signatures}
    parts = [[part.protected, part.unprotected, part.signature] for part in signed.signatures]
    for key in keys:
        kid = key_id(public_bytes(key))
        if kid in kids:
            raise SignatureError(
                "COSE_Sign",
                expected="a key that has not signed yet",
                got=f"key {kid.hex()} a second time",
                remedy="one signature a signer counts",
            )
        kids.add(kid)
        protected = cbor.encode({ALG: EDDSA, KID: kid})
        parts.append([protected, {}, key.sign(_to_be_signed_by_one(signed, protected))])
    message = cbor.encode(cbor.CBORTag(SIGN_TAG, [signed.protected, {}, signed.payload, parts]))
    decode_sign(message)
    return message


def _signature(item: Any, index: int) -> Signature:
    match item:
        case [bytes() as protected, dict() as unprotected, bytes() as signature]:
            check_headers(protected, unprotected, f"COSE_Sign signature {index + 1}")
            return Signature(protected, unprotected, signature)
    raise EncodingError(
        f"COSE_Sign signature {index + 1}", expected="[protected, unprotected, signature]", got=shape(item)
    )


def _to_be_signed_by_one(signed: Sign, protected: bytes) -> bytes:
    """Sig_structure of one signer of a COSE_Sign: the body's header, the signer's, no external data, the payload."""
    return cbor.encode(["Signature", canonical(signed.protected), canonical(protected), b"", signed.payload])
