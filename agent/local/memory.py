"""A process and its own memory: raw readings stay out of swap and core dumps (DESIGN.md section 5), and how much it takes."""

import contextlib
import ctypes
import gc
import logging
import os
import resource

_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4
_PR_SET_DUMPABLE = 4

LOCKED = "locked"

_log = logging.getLogger(__name__)


def forbid_core_dumps() -> None:
    """No core file, and no ptrace or /proc/PID/mem by others of the same user."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def lock_memory() -> str:
    """mlockall(CURRENT | FUTURE | ONFAULT); words for the status: "locked", or why not, which the journal has too."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT) == 0:
        return LOCKED
    problem = os.strerror(ctypes.get_errno())
    _log.warning("memory is not locked: %s; set LimitMEMLOCK=infinity", problem)
    return f"not locked: {problem}"


def give_back() -> None:
    """After the start: what importing and reading left behind goes back to the kernel, as far as the C library can (malloc_trim(3); musl cannot)."""
    gc.collect()
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def pss_kib() -> int:
    """Proportional set size of this process in KiB; 0 where the kernel does not tell."""
    try:
        with open("/proc/self/smaps_rollup", encoding="ascii") as rollup:
            return next((int(line.split()[1]) for line in rollup if line.startswith("Pss:")), 0)
    except OSError:
        return 0
