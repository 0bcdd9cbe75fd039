"""Reading a policy from a disk: the one I/O of this package."""

import os
import stat
from pathlib import Path
from typing import NoReturn

from agent.errors import PolicyError
from agent.policy.model import Policy
from agent.policy.parse import parse_policy
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
