"""Reading a policy or a trust root from a disk: the one I/O of this package."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from agent.errors import BadInput, PolicyError
from agent.policy.compile import compile_policy, decompile_policy
from agent.policy.governance import TrustRoot, decompile_governance, parse_governance
from agent.policy.model import Policy
from agent.policy.parse import parse_policy
from agent.policy.signed import MAX_SIGNED_BYTES, Kind, read_signed, verify_first_governance
from agent.wire.toml import MAX_BYTES


def load_policy(path: Path) -> Policy:
    """Read and check the policy at `path`; raises PolicyError naming file, line, what was expected and what was found."""
    return parse_policy(read_policy(path), str(path))


def read_policy(path: Path) -> bytes:
    """The bytes of a policy, text or compiled or signed; raises PolicyError for what is no file of a policy's size.

    Opened without waiting, so that a pipe or a terminal is refused rather than waited for.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as file:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                _refuse(path, "something that is no file")
            if status.st_size > MAX_BYTES:
                raise PolicyError(
                    str(path), expected=f"a policy of at most {MAX_BYTES:,} bytes", got=f"{status.st_size:,} bytes"
                )
            return file.read(MAX_BYTES + 1)
    except IsADirectoryError:
        _refuse(path, "a directory")
    except (OSError, ValueError) as bad:
        _refuse(path, bad.strerror or "an error" if isinstance(bad, OSError) else "a name with a zero byte")


def _refuse(path: Path, got: str) -> NoReturn:
    raise PolicyError(str(path), expected="a readable policy", got=got, remedy="see config/policy.toml") from None


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
    return governance_of(data, str(path))


def governance_of(data: bytes, name: str) -> TrustRoot:
    """The trust root in the file `name`, as TOML, compiled or signed (by its own signers); raises PolicyError or SignatureError."""
    try:
        if is_compiled(data):
            return decompile_governance(data)
        if data[:1] == _CBOR_TAG:
            return verify_first_governance(data)
    except BadInput as bad:
        raise type(bad)(f"{name}: {bad.where}", expected=bad.expected, got=bad.got, remedy=bad.remedy) from None
    return parse_governance(data, name)


def is_compiled(data: bytes) -> bool:
    """Is it a CBOR map, as everything compiled is, and no text?"""
    return bool(data) and data[0] >> 5 == _CBOR_MAP


_CBOR_MAP = 5
_CBOR_TAG = b"\xd8"
"""How what is signed begins; no text does."""


@dataclass(frozen=True, slots=True)
class PolicyFile:
    """A policy, its compiled bytes, and the COSE_Sign message if the file is signed; nothing is verified."""

    policy: Policy
    compiled: bytes
    message: bytes | None


def load_policy_file(path: Path) -> PolicyFile:
    """The policy at `path`, as TOML, compiled or signed; raises PolicyError or SignatureError."""
    data = read_policy(path)
    if data[:1] == _CBOR_TAG:
        kind, compiled = read_signed(data)
        if kind is not Kind.POLICY:
            raise PolicyError(str(path), expected="a policy", got=f"a signed {kind}")
        return PolicyFile(decompile_policy(compiled), compiled, data)
    policy = parse_policy(data, str(path))
    return PolicyFile(policy, compile_policy(policy), None)
