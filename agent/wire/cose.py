"""COSE_Sign1 (RFC 9052 section 4.2, attached or detached) and COSE_Sign (section 4.1, several signers), with Ed25519.

The algorithms a verifier accepts are its caller's table; nothing is negotiated. A signature is checked before the payload is looked
at. What a COSE_Sign is about stands in its signed content type, so that nothing signed as one thing verifies as another.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from agent.errors import EncodingError, SignatureError
from agent.wire import cbor
from agent.wire.cose_headers import (
    ALG,
    CONTENT_TYPE,
    KID,
    algorithm_words,
    canonical,
    check_headers,
    header_map,
    kid_of,
    shape,
)

if TYPE_CHECKING:  # decoding needs no cryptography: the publisher never loads it (7 MiB)
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

EDDSA = -8
ED25519 = -19  # RFC 9864: fully specified

SIGN1_TAG = 18
SIGN_TAG = 98
MAX_SIGN1_BYTES = 64 * 1024
MAX_SIGN_BYTES = 64 * 1024

MAX_SIGNATURES = 64
"""Twice the signers that one trust root may name (a root is rotated by those of two): bounds the work one file can ask for."""

ED448_SIGNATURE_BYTES = 114

Verifier = Callable[[bytes, bytes, bytes], bool]
"""(public key bytes, signature, signed bytes) -> does it verify."""


def verify_ed25519(public_key: bytes, signature: bytes, signed: bytes) -> bool:
    """Verify a 64-byte Ed25519 signature (RFC 8032) by a 32-byte public key; False for anything malformed."""
    from cryptography.exceptions import InvalidSignature

    try:
        _public_key(public_key).verify(signature, signed)
    except (InvalidSignature, ValueError):
        return False
    return True


@lru_cache(maxsize=20_000)
def _public_key(public_key: bytes) -> "Ed25519PublicKey":
    """Decoding a key takes a quarter as long as verifying by it; a subscriber has many, of about 1 kB each. Raises ValueError."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    return Ed25519PublicKey.from_public_bytes(public_key)


UNIT_ALGORITHMS: Mapping[int, Verifier] = {EDDSA: verify_ed25519, ED25519: verify_ed25519}
"""What the daemons and the city's tools accept."""


@dataclass(frozen=True, slots=True)
class Sign1:
    """A decoded, not yet verified COSE_Sign1. `payload` is None when detached."""

    protected: bytes
    unprotected: Mapping[Any, Any]
    payload: bytes | None
    signature: bytes

    @property
    def kid(self) -> bytes:
        """The key identifier from the protected header, else the unprotected one, else b""."""
        return kid_of(self.protected, self.unprotected)

    @property
    def content_type(self) -> Any:
        """As it was signed: text, a number or None, unchecked."""
        return header_map(self.protected, "COSE_Sign1").get(CONTENT_TYPE)


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


def key_id(public_key: bytes) -> bytes:
    """The key identifier this project puts in `kid`: the first 8 bytes of the 32-byte public key itself."""
    return public_key[:8]


def public_bytes(key: "Ed25519PrivateKey") -> bytes:
    """The 32 bytes of the public half."""
    return key.public_key().public_bytes_raw()


def sign1(
    payload: bytes,
    key: "Ed25519PrivateKey",
    *,
    detached: bool = False,
    external_aad: bytes = b"",
    content_type: str | None = None,
) -> bytes:
    """Sign `payload`; the result is the tagged COSE_Sign1, without the payload when `detached`."""
    protected = sign1_header(public_bytes(key), content_type)
    signature = key.sign(_to_be_signed(protected, external_aad, payload))
    return cbor.encode(cbor.CBORTag(SIGN1_TAG, [protected, {}, None if detached else payload, signature]))


def sign1_header(public_key: bytes, content_type: str | None = None) -> bytes:
    """The protected header of every COSE_Sign1 that this project makes."""
    header: dict[int, object] = {ALG: EDDSA, KID: key_id(public_key)}
    if content_type is not None:
        header[CONTENT_TYPE] = content_type
    return cbor.encode(header)


def decode_sign1(message: bytes, *, max_bytes: int = MAX_SIGN1_BYTES, untagged: bool = False) -> Sign1:
    """Decode without verifying; raise EncodingError (or SignatureError for a header parameter that must be understood). With `untagged` the tag may be left out: context tells what it is."""
    item = cbor.decode(message, max_bytes=max_bytes)
    if untagged and isinstance(item, list):
        item = cbor.CBORTag(SIGN1_TAG, item)
    match item:
        case cbor.CBORTag(
            tag=18,
            value=[bytes() as protected, dict() as unprotected, (bytes() | None) as payload, bytes() as signature],
        ):
            check_headers(protected, unprotected, "COSE_Sign1")
            return Sign1(protected, unprotected, payload, signature)
    raise EncodingError(
        "COSE_Sign1", expected="tag 18 around [protected, unprotected, payload, signature]", got=shape(item)
    )


def verify1(
    message: bytes,
    public_key: bytes,
    *,
    detached_payload: bytes | None = None,
    external_aad: bytes = b"",
    algorithms: Mapping[int, Verifier] = UNIT_ALGORITHMS,
    max_bytes: int = MAX_SIGN1_BYTES,
    untagged: bool = False,
    unsigned_algorithm: bool = False,
) -> bytes:
    """Return the payload once its signature by `public_key` (32 bytes for Ed25519) is verified.

    `untagged` and `unsigned_algorithm` (alg in the unprotected header) accept what RFC 9052 allows and no message of ours has.
    Raises EncodingError for a malformed message and SignatureError for an algorithm outside the table or a wrong signature.
    """
    sign1_ = decode_sign1(message, max_bytes=max_bytes, untagged=untagged)
    if (sign1_.payload is None) == (detached_payload is None):
        raise EncodingError(
            "COSE_Sign1 payload",
            expected="attached or detached, one of the two",
            got="both" if detached_payload is not None else "neither",
        )
    payload = sign1_.payload if sign1_.payload is not None else detached_payload
    assert payload is not None
    algorithm = header_map(sign1_.protected, "COSE_Sign1").get(ALG)
    if algorithm is None and unsigned_algorithm:
        algorithm = sign1_.unprotected.get(ALG)
    _verify(
        "COSE_Sign1",
        algorithm,
        algorithms,
        public_key,
        sign1_.signature,
        _to_be_signed(sign1_.protected, external_aad, payload),
    )
    return payload


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
        _verify(what, algorithm, algorithms, public_key, part.signature, _to_be_signed_by_one(signed, part.protected))
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


def _verify(
    what: str,
    algorithm: Any,
    algorithms: Mapping[int, Verifier],
    public_key: bytes,
    signature: bytes,
    signed: bytes,
) -> None:
    """Raise SignatureError unless `algorithm` is in the table and its verifier says yes."""
    verifier = algorithms.get(algorithm) if type(algorithm) is int else None
    if verifier is None:
        raise SignatureError(
            f"{what} algorithm",
            expected="one of " + ", ".join(algorithm_words(number) for number in sorted(algorithms, reverse=True)),
            got=algorithm_words(algorithm),
        )
    if not verifier(public_key, signature, signed):
        ed448 = algorithm == EDDSA and len(signature) == ED448_SIGNATURE_BYTES
        raise SignatureError(
            f"{what} signature",
            expected=f"one by key {key_id(public_key).hex()}",
            got="an Ed448 signature, which is outside the table" if ed448 else "one that does not verify",
        )


def _to_be_signed(protected: bytes, external_aad: bytes, payload: bytes) -> bytes:
    """Sig_structure of a COSE_Sign1 (RFC 9052 section 4.4)."""
    return cbor.encode(["Signature1", canonical(protected), external_aad, payload])


def _to_be_signed_by_one(signed: Sign, protected: bytes) -> bytes:
    """Sig_structure of one signer of a COSE_Sign: the body's header, the signer's, no external data, the payload."""
    return cbor.encode(["Signature", canonical(signed.protected), canonical(protected), b"", signed.payload])
