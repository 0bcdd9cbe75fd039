"""COSE_Sign1 (RFC 9052 section 4.2) with Ed25519, attached or detached.

The algorithms a verifier accepts are its caller's table; nothing is negotiated. The signature is checked before the
payload is looked at. COSE_Sign (several signers) joins this file when the policy is signed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent.errors import EncodingError, SignatureError
from agent.wire import cbor

if TYPE_CHECKING:  # decoding needs no cryptography: the publisher never loads it (7 MiB)
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ALG = 1
KID = 4
EDDSA = -8
ED25519 = -19  # RFC 9864: fully specified

SIGN1_TAG = 18
MAX_SIGN1_BYTES = 64 * 1024

Verifier = Callable[[bytes, bytes, bytes], bool]
"""(public key bytes, signature, signed bytes) -> does it verify."""


def verify_ed25519(public_key: bytes, signature: bytes, signed: bytes) -> bool:
    """Verify a 64-byte Ed25519 signature (RFC 8032) by a 32-byte public key; False for anything malformed."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, signed)
    except (InvalidSignature, ValueError):
        return False
    return True


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
        for header in (_header_map(self.protected), self.unprotected):
            kid = header.get(KID)
            if isinstance(kid, bytes):
                return kid
        return b""


def key_id(public_key: bytes) -> bytes:
    """The key identifier this project puts in `kid`: the first 8 bytes of the 32-byte public key itself."""
    return public_key[:8]


def public_bytes(key: "Ed25519PrivateKey") -> bytes:
    """The 32 bytes of the public half."""
    return key.public_key().public_bytes_raw()


def sign1(payload: bytes, key: "Ed25519PrivateKey", *, detached: bool = False, external_aad: bytes = b"") -> bytes:
    """Sign `payload`; the result is the tagged COSE_Sign1, without the payload when `detached`."""
    protected = cbor.encode({ALG: EDDSA, KID: key_id(public_bytes(key))})
    signature = key.sign(_to_be_signed(protected, external_aad, payload))
    return cbor.encode(cbor.CBORTag(SIGN1_TAG, [protected, {}, None if detached else payload, signature]))


def decode_sign1(message: bytes, *, max_bytes: int = MAX_SIGN1_BYTES) -> Sign1:
    """Decode without verifying; raise EncodingError."""
    item = cbor.decode(message, max_bytes=max_bytes)
    match item:
        case cbor.CBORTag(
            tag=18,
            value=[bytes() as protected, dict() as unprotected, (bytes() | None) as payload, bytes() as signature],
        ):
            _header_map(protected)
            return Sign1(protected, unprotected, payload, signature)
    raise EncodingError(
        "COSE_Sign1", expected="tag 18 around [protected, unprotected, payload, signature]", got=_shape(item)
    )


def verify1(
    message: bytes,
    public_key: bytes,
    *,
    detached_payload: bytes | None = None,
    external_aad: bytes = b"",
    algorithms: Mapping[int, Verifier] = UNIT_ALGORITHMS,
    max_bytes: int = MAX_SIGN1_BYTES,
) -> bytes:
    """Return the payload once its signature by `public_key` (32 bytes) is verified.

    Raises EncodingError for a malformed message and SignatureError for an algorithm outside the table or a wrong signature.
    """
    sign1_ = decode_sign1(message, max_bytes=max_bytes)
    if (sign1_.payload is None) == (detached_payload is None):
        raise EncodingError(
            "COSE_Sign1 payload",
            expected="attached or detached, one of the two",
            got="both" if detached_payload is not None else "neither",
        )
    payload = sign1_.payload if sign1_.payload is not None else detached_payload
    assert payload is not None
    algorithm = _header_map(sign1_.protected).get(ALG)
    verifier = algorithms.get(algorithm) if isinstance(algorithm, int) else None
    if verifier is None:
        raise SignatureError("COSE_Sign1 algorithm", expected=f"one of {sorted(algorithms)}", got=repr(algorithm)[:20])
    if not verifier(public_key, sign1_.signature, _to_be_signed(sign1_.protected, external_aad, payload)):
        raise SignatureError(
            "COSE_Sign1 signature", expected=f"one by key {key_id(public_key).hex()}", got="one that does not verify"
        )
    return payload


def _to_be_signed(protected: bytes, external_aad: bytes, payload: bytes) -> bytes:
    return cbor.encode(["Signature1", protected, external_aad, payload])


def _header_map(protected: bytes) -> Mapping[Any, Any]:
    header = cbor.decode(protected) if protected else {}
    if not isinstance(header, dict):
        raise EncodingError("COSE_Sign1 protected header", expected="a map", got=_shape(header))
    if 2 in header:
        raise SignatureError(
            "COSE_Sign1 protected header", expected="no critical parameters that we do not know", got="crit"
        )
    return header


def _shape(item: Any) -> str:
    return f"tag {item.tag}" if isinstance(item, cbor.CBORTag) else type(item).__name__
