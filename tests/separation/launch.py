"""Becomes another user of an installation, then runs a module's `main`: `launch UID GID GROUP,… MODULE ARGUMENT…`.

The module is imported first, because on some machines the interpreter's own folder is closed to other users. Like systemd with
NoNewPrivileges= and an empty CapabilityBoundingSet=, nothing is kept.
"""

import ctypes
import importlib
import os
import sys

PR_SET_NO_NEW_PRIVS = 38


def main() -> None:
    """Drop everything, for good, and run."""
    uid, gid, groups, name, *arguments = sys.argv[1:]
    module = importlib.import_module(name)
    os.setgroups([int(group) for group in groups.split(",") if group])
    os.setresgid(int(gid), int(gid), int(gid))
    os.setresuid(int(uid), int(uid), int(uid))
    if ctypes.CDLL(None).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        sys.exit("no_new_privs was refused")
    sys.argv = [name, *arguments]
    module.main()


if __name__ == "__main__":
    main()
