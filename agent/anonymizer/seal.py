"""From an Aggregate to a Release: payload bytes, detached COSE_Sign1, entry. Pure."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.contracts import aggregate
from agent.contracts.aggregate import Aggregate
from agent.contracts.log import Charge, Release
from agent.wire import cose
from agent.wire.detached import signed_type


def seal(governed: Aggregate, charge: Charge | None, key: Ed25519PrivateKey, *, cbor: bool = False) -> Release:
    """Encode and sign (Ed25519 is deterministic); these bytes are what is published, now and at every retry."""
    payload = aggregate.encode(aggregate.in_cbor(governed) if cbor else governed)
    return Release(
        stream=governed.terms.stream,
        window_start=governed.window_start,
        window_s=governed.terms.window_s,
        payload=payload,
        signature=cose.sign1(payload, key, detached=True, content_type=signed_type(payload)),
        charge=charge,
        disclosure_digest=governed.terms.disclosure_digest,
    )
