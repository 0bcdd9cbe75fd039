"""The header maps of COSE messages (RFC 9052 section 3), and algorithms by name. Pure; used by `cose` alone."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from agent.errors import EncodingError, SignatureError
from agent.wire import cbor

ALG = 1
CRIT = 2
CONTENT_TYPE = 3
KID = 4

_NAMES = {
    -7: "ES256",
    -8: "EdDSA",
    -9: "ESP256",
    -19: "Ed25519",
    -35: "ES384",
    -36: "ES512",
    -37: "PS256",
    -53: "Ed448",
}
"""Names of COSE algorithms (RFC 9053, RFC 9864) that a refusal may have to speak of."""


def algorithm_words(algorithm: Any) -> str:
    """An algorithm as an error names it: "ES256 (-7)"."""
    name = _NAMES.get(algorithm) if type(algorithm) is int else None
    return f"{name} ({algorithm})" if name else repr(algorithm)[:20]


def canonical(protected: bytes) -> bytes:
    """An empty map is signed as no bytes, however it was sent (RFC 9052 section 4.4)."""
    return b"" if protected == b"\xa0" else protected


def kid_of(protected: bytes, unprotected: Mapping[Any, Any]) -> bytes:
    """The key identifier from the protected header, else the unprotected one, else b""."""
    for header in (header_map(protected, "COSE"), unprotected):
        kid = header.get(KID)
        if isinstance(kid, bytes):
            return kid
    return b""


def check_headers(protected: bytes, unprotected: Mapping[Any, Any], what: str) -> Mapping[Any, Any]:
    """The protected header, once neither map needs what we do not know and no label is in both (RFC 9052 section 3)."""
    header = header_map(protected, what)
    if both := set(header) & set(unprotected):
        raise EncodingError(
            f"{what} headers", expected="each label in one of the two", got=f"{min(map(repr, both))[:20]} in both"
        )
    return header


@lru_cache(maxsize=8)
def header_map(protected: bytes, what: str) -> Mapping[Any, Any]:
    """Decode a protected header; raise EncodingError, or SignatureError where it must be understood and is not."""
    header = cbor.decode(protected) if protected else {}
    if not isinstance(header, dict):
        raise EncodingError(f"{what} protected header", expected="a map", got=shape(header))
    if CRIT in header:
        raise SignatureError(
            f"{what} protected header", expected="no critical parameters that we do not know", got="crit"
        )
    return header


def shape(item: Any) -> str:
    """What kind of CBOR item was found, for an error."""
    return f"tag {item.tag}" if isinstance(item, cbor.CBORTag) else type(item).__name__
