"""Signers with keys that everybody knows, and trust roots of them: for tests alone."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.policy.governance import TrustRoot, parse_governance
from agent.wire.cose import public_bytes

NAMES = ("ana", "bo", "cy", "dee", "eve")
KEYS = {name: Ed25519PrivateKey.from_private_bytes(bytes([64 + n]) * 32) for n, name in enumerate(NAMES)}
STRANGER = Ed25519PrivateKey.from_private_bytes(b"\x70" * 32)
NOW_S = 1_790_000_000
"""21 September 2026."""

TWO_OF_THREE = """\
schema = 1
version = 1
city = "springfield"
[dates]
issued = 2026-09-01
expires = 2029-09-01
[threshold]
signatures = 2
each_role = true
[stop]
signatures = 1
roles = ["steward", "community"]
[[role]]
name = "steward"
[[role.signer]]
name = "ana"
public_key = "ANA"
[[role.signer]]
name = "bo"
public_key = "BO"
[[role]]
name = "community"
[[role.signer]]
name = "cy"
public_key = "CY"
"""
"""Two of three, one of each role; anybody stops."""


def with_keys(text: str) -> str:
    """The text with real public keys for the names in capitals."""
    for name, key in KEYS.items():
        text = text.replace(f'"{name.upper()}"', f'"{public_bytes(key).hex()}"')
    return text


def root(*changes: tuple[str, str]) -> TrustRoot:
    """The root of TWO_OF_THREE after some replacements of text."""
    text = TWO_OF_THREE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return parse_governance(with_keys(text), "governance.toml")
