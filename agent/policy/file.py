"""Reading a policy or a trust root from a disk: the one I/O of this package."""

from pathlib import Path

from agent.errors import PolicyError
from agent.policy.governance import TrustRoot, decompile_governance, parse_governance
from agent.policy.model import Policy
from agent.policy.parse import parse_policy
from agent.policy.signed import MAX_SIGNED_BYTES, verify_first_governance
from agent.wire.toml import MAX_BYTES


def load_policy(path: Path) -> Policy:
    """Read and check the policy at `path`; raises PolicyError naming file, line, what was expected and what was found."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
    except OSError as bad:
        raise PolicyError(
            str(path), expected="a readable policy", got=bad.strerror or "an error", remedy="see config/policy.toml"
        ) from None
    return parse_policy(text, str(path))


def load_governance(path: Path) -> TrustRoot:
    """The trust root at `path`, as TOML, compiled or signed (by its own signers); raises PolicyError or SignatureError.

    Whoever could put the file there is trusted: commissioning installs it.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_SIGNED_BYTES + 1)
    except OSError as bad:
        raise PolicyError(
            str(path),
            expected="the trust root, as commissioning installs it",
            got=bad.strerror or "an error",
            remedy="see config/governance.toml",
        ) from None
    if data[:1] == _CBOR_MAP:
        return decompile_governance(data)
    return verify_first_governance(data) if data[:1] == _CBOR_TAG else parse_governance(data, str(path))


_CBOR_MAP, _CBOR_TAG = b"\xa8", b"\xd8"
"""How a compiled and a signed trust root begin; no text does."""
