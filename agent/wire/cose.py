"""COSE_Sign1 (RFC 9052 section 4.2, attached or detached) with Ed25519. That of several signers is wire/cose_sign.

The algorithms a verifier accepts are its caller's table; nothing is negotiated. A signature is checked before the payload is looked at.
"""

from collections.abc import Callable, Mapping
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
MAX_SIGN1_BYTES = 64 * 1024
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
    require_signature(
        "COSE_Sign1",
        algorithm,
        algorithms,
        public_key,
        sign1_.signature,
        _to_be_signed(sign1_.protected, external_aad, payload),
    )
    return payload


def require_signature(
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
