"""Governance for tests: three keys in two roles, a trust root of 2 of 3, and everything that they can sign."""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.policy.compile import compile_policy
from agent.policy.governance import Role, Signer, TrustRoot, compile_governance
from agent.policy.model import Policy
from agent.policy.parse import parse_policy
from agent.policy.signed import Kind
from agent.policy.stop import compile_stop, stop_order
from agent.wire import cose, cose_sign

NAMES = (("steward", "ana"), ("steward", "ben"), ("community", "chi"))
KEYS = {name: Ed25519PrivateKey.from_private_bytes(bytes([i + 1]) * 32) for i, (_, name) in enumerate(NAMES)}
ISSUED, EXPIRES = 1_767_225_600, 1_893_456_000
"""2026-01-01 to 2030-01-01."""


def trust_root(city: str = "springfield", *, version: int = 1, threshold: int = 2, expires: int = EXPIRES) -> TrustRoot:
    """Stewards ana and ben, chi for the community; `threshold` signatures, one of each role; any one of them may stop."""
    roles = tuple(
        Role(role, tuple(Signer(name, cose.public_bytes(KEYS[name])) for r, name in NAMES if r == role))
        for role in ("steward", "community")
    )
    return TrustRoot(version, city, ISSUED, expires, roles, threshold, True, 1, ("steward", "community"))


def sign(kind: Kind, payload: bytes, *by: str) -> bytes:
    """A COSE_Sign by these signers (default: ana and chi, enough)."""
    return cose_sign.sign(payload, [KEYS[name] for name in by or ("ana", "chi")], content_type=kind.content_type)


def signed_policy(policy: Policy | str, *by: str) -> bytes:
    """A policy, or its text, as it is offered to a unit."""
    if isinstance(policy, str):
        policy = parse_policy(policy, "policy.toml")
    return sign(Kind.POLICY, compile_policy(policy), *by)


def signed_stop(reason: str, issued: int, *by: str, unit: str = "", city: str = "springfield") -> bytes:
    """A stop order, by ana alone unless told otherwise."""
    return sign(Kind.STOP, compile_stop(stop_order(city, unit, reason, issued)), *(by or ("ana",)))


def signed_governance(root: TrustRoot, *by: str) -> bytes:
    """The next trust root."""
    return sign(Kind.GOVERNANCE, compile_governance(root), *by)


def install_governance(path: Path, root: TrustRoot | None = None) -> Path:
    """The trust root as commissioning leaves it on a unit, compiled."""
    path.write_bytes(compile_governance(root or trust_root()))
    return path
