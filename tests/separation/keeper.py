"""Stands where the anonymizer stands: its user and memory rules; writes its files as it does and holds something nobody else may read.

Argument: the root of the installation. Prints the address of what it holds, then waits until its standard input ends.
"""

import ctypes
import os
import sys
from pathlib import Path

from agent.local import memory
from agent.local.files import write_atomic


def main() -> None:
    """Write, hold, wait."""
    root = Path(sys.argv[1])
    memory.forbid_core_dumps()
    os.umask(0o027)
    log = root / "var/lib/dtpr/log"
    with open(os.open(log / "releases", os.O_RDWR | os.O_CREAT, 0o640), "wb") as releases:
        releases.write(b"a release")
    write_atomic(root / "run/dtpr-public/checkpoint", b"a checkpoint")
    write_atomic(root / "run/dtpr-public/state", b"a state")
    held = ctypes.create_string_buffer(b"a reading")
    print(ctypes.addressof(held), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
