"""Keep raw readings out of swap and core dumps (DESIGN.md section 5, memory), and let no child outlive its parent."""

import ctypes
import os
import resource
import signal

_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4


def forbid_core_dumps() -> None:
    """No core file, and no ptrace or /proc/PID/mem by others of the same user."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def lock_memory() -> str | None:
    """mlockall(CURRENT | FUTURE | ONFAULT); None when locked, else why not, in words for the status."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT) == 0:
        return None
    return os.strerror(ctypes.get_errno())


def locked_kib() -> int:
    """VmLck of this process in KiB."""
    with open("/proc/self/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("VmLck:"):
                return int(line.split()[1])
    return 0


def die_with_parent() -> None:
    """Called in a fresh child: the kernel kills it when the thread that started it ends, however that happens."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
