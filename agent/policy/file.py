"""Reading a policy from a disk: the one I/O of this package."""

from pathlib import Path

from agent.errors import PolicyError
from agent.policy.model import Policy
from agent.policy.parse import parse_policy
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
