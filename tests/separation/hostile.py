"""A publisher fully taken over: has everything that the publisher imports, and tries what its attacker would.

Arguments: the root of the installation, the tty, the process id of the anonymizer, and the address of something in its memory.
Prints one JSON object: attempt to the name of its errno, or "done".
"""

import ctypes
import errno
import json
import os
import signal
import socket
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import agent.publisher.daemon  # noqa: F401  # the attacker has all of it

PTRACE_ATTACH = 16
SYS_PROCESS_VM_READV = {"x86_64": 310, "aarch64": 270}
SYS_PIDFD_GETFD = 438

LIBC = ctypes.CDLL(None, use_errno=True)


def _connect(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as peer:
        peer.connect(str(path))


def _open(path: Path, flags: int) -> None:
    os.close(os.open(path, flags | os.O_NOCTTY | os.O_CLOEXEC, 0o600))


def _system(*arguments: int | ctypes.c_void_p) -> None:
    if LIBC.syscall(*(ctypes.c_long(a) if isinstance(a, int) else a for a in arguments)) < 0:
        raise OSError(ctypes.get_errno(), "")


def _attach(pid: int) -> None:
    LIBC.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    if LIBC.ptrace(PTRACE_ATTACH, pid, None, None) < 0:
        raise OSError(ctypes.get_errno(), "")


def _copy_memory(pid: int, address: int) -> None:
    """process_vm_readv(2) of 16 bytes."""
    buffer = ctypes.create_string_buffer(16)
    ours = (ctypes.c_void_p * 2)(ctypes.addressof(buffer), 16)
    theirs = (ctypes.c_void_p * 2)(address, 16)
    pointers = [ctypes.cast(vector, ctypes.c_void_p) for vector in (ours, theirs)]
    _system(SYS_PROCESS_VM_READV[os.uname().machine], pid, pointers[0], 1, pointers[1], 1, 0)


def _take_descriptor(pid: int) -> None:
    pidfd = os.pidfd_open(pid)
    try:
        _system(SYS_PIDFD_GETFD, pidfd, 0, 0)
    finally:
        os.close(pidfd)


def attempts(root: Path, tty: Path, pid: int, address: int) -> dict[str, Callable[[], object]]:
    """Everything that is tried, by name; what would spoil a later attempt comes last."""
    inboxes, log, own = root / "run/dtpr", root / "var/lib/dtpr/log", root / "var/lib/dtpr-publisher"
    credential = root / "run/credentials/dtpr-anonymizer.service/unit-key"
    releases = log / "releases"
    status = root / "run/dtpr-status"
    return {
        "connect reading.sock": lambda: _connect(inboxes / "reading.sock"),
        "connect lease.sock": lambda: _connect(inboxes / "lease.sock"),
        "list the inboxes": lambda: os.listdir(inboxes),
        "read the tty": lambda: _open(tty, os.O_RDONLY),
        "write the tty": lambda: _open(tty, os.O_WRONLY),
        "make the tty anew": lambda: os.mknod(own / "tty", stat.S_IFCHR | 0o600, os.stat(tty).st_rdev),
        "read the signing key": lambda: _open(root / "etc/dtpr/unit-key", os.O_RDONLY),
        "read the anonymizer's credential": lambda: _open(credential, os.O_RDONLY),
        "open the anonymizer's memory": lambda: _open(Path(f"/proc/{pid}/mem"), os.O_RDONLY),
        "copy the anonymizer's memory": lambda: _copy_memory(pid, address),
        "take the anonymizer's descriptor": lambda: _take_descriptor(pid),
        "list the anonymizer's descriptors": lambda: os.listdir(f"/proc/{pid}/fd"),
        "attach to the anonymizer": lambda: _attach(pid),
        "signal the anonymizer": lambda: os.kill(pid, signal.SIGSTOP),
        "read the log": lambda: _open(releases, os.O_RDONLY),
        "read what is public": lambda: _open(root / "run/dtpr-public/state", os.O_RDONLY),
        "write the cursor": lambda: _open(own / "cursor", os.O_WRONLY),
        "write the publisher's status": lambda: _open(status / "publisher/status", os.O_WRONLY | os.O_CREAT),
        "write the anonymizer's status": lambda: _open(status / "anonymizer/status", os.O_WRONLY | os.O_CREAT),
        "change what is public": lambda: _open(root / "run/dtpr-public/state", os.O_WRONLY),
        "write the log": lambda: _open(releases, os.O_WRONLY | os.O_APPEND),
        "cut the log": lambda: os.truncate(releases, 0),
        "add to the log's folder": lambda: _open(log / "new", os.O_WRONLY | os.O_CREAT),
        "remove the log": lambda: os.unlink(releases),
        "open the log's folder": lambda: os.chmod(log, 0o777),  # noqa: S103  # it must be refused
        "offer a policy": lambda: _open(root / "var/lib/dtpr-offer/mqtt", os.O_WRONLY | os.O_CREAT),
        "list the offers": lambda: os.listdir(root / "var/lib/dtpr-offer"),
        "remove a technician's offer": lambda: os.unlink(root / "var/lib/dtpr-offer/by-hand"),
        "become root": lambda: os.setuid(0),
        "join the bridge's group": lambda: os.setgroups([os.stat(tty).st_gid]),
        "become the anonymizer": lambda: os.setuid(os.stat(log).st_uid),
    }


def main() -> None:
    """Try everything, whatever the outcome, and tell."""
    root, tty, pid, address = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    told = {}
    for name, attempt in attempts(root, tty, pid, address).items():
        try:
            attempt()
        except OSError as bad:
            told[name] = errno.errorcode.get(bad.errno or 0, str(bad))
        else:
            told[name] = "done"
    print(json.dumps(told))


if __name__ == "__main__":
    main()
