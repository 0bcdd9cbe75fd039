"""What the units forbid, the daemons do not need: their system calls, traced, against the filters of `systemd/`.

systemd cannot run our units in a test, so this is how a filter that would stop a daemon in the street is found here. It covers a start,
some turns of the loop without peers, and an orderly end.
"""

import re
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import pytest

from tests.separation.running import DAEMONS, run_daemon
from tests.systemd.unit_files import Unit, read_unit

UNITS = {
    "firmware_bridge": "dtpr-firmware-bridge@.service",
    "agent.anonymizer": "dtpr-anonymizer.service",
    "agent.publisher": "dtpr-publisher.service",
    "agent.beacon": "dtpr-beacon.service",
}
DISPENSABLE = {"mbind"}
"""Refused with EPERM, and its caller does without: OpenBLAS asks where numpy's memory should lie, as in any container."""

CALL = re.compile(r"^\d+ +(?:<\.\.\. )?(\w+)(?:\(| resumed>)(.*)", re.MULTILINE)


@pytest.mark.parametrize("daemon", DAEMONS)
def test_a_daemon_stays_within_its_units_filters(daemon: str, tmp_path: Path) -> None:
    unit = read_unit(UNITS[daemon])
    calls = _traced(daemon, tmp_path)
    names = {name for name, _ in calls}
    assert {"openat", "mmap", "sendto"} <= names, "nothing was traced"

    # the kernel starts the interpreter before the filter is in force; nothing else is started
    assert [name for name, _ in calls].count("execve") == 1
    assert names - _allowed(unit) <= {"execve"} | DISPENSABLE

    families = {found[1] for name, rest in calls if name == "socket" and (found := re.match(r"(AF_\w+)", rest))}
    assert families <= set(unit.words("Service", "RestrictAddressFamilies"))

    for name, rest in calls:
        if name in ("mmap", "mprotect", "pkey_mprotect"):  # MemoryDenyWriteExecute=
            assert not ("PROT_EXEC" in rest and (name != "mmap" or "PROT_WRITE" in rest)), f"{name}({rest}"
        if name in ("clone", "clone3", "unshare"):  # RestrictNamespaces=
            assert "CLONE_NEW" not in rest, rest
        if name == "bind" and unit.value("Service", "SocketBindDeny") == "any":
            assert "AF_INET" not in rest, rest


def test_a_call_outside_the_filter_would_be_found() -> None:
    """Negative control: the filter as read has the calls that every daemon makes, and has not those of the forbidden groups."""
    allowed = _allowed(read_unit("dtpr-publisher.service"))
    assert {"read", "openat", "mlockall", "prlimit64", "prctl", "fdatasync"} <= allowed
    assert not {"ptrace", "mount", "bpf", "setuid", "reboot", "init_module", "keyctl", "io_uring_setup"} & allowed
    assert not {"process_vm_readv", "pidfd_getfd", "kcmp", "userfaultfd", "unshare", "setns"} & allowed


def _traced(daemon: str, folder: Path) -> list[tuple[str, str]]:
    trace = folder / "trace"
    (folder / "run").mkdir()
    strace = ["strace", "--daemonize", "--follow-forks", "--output", str(trace)]
    run_daemon(daemon, folder / "run", [*strace, sys.executable, "-m"])
    return [(found[1], found[2]) for found in CALL.finditer(_written(trace))]


def _written(trace: Path) -> str:
    """All of it: strace writes its last lines after the daemon's end, which its first word names."""
    deadline = time.monotonic() + 30
    while True:
        said = trace.read_text(errors="replace")
        if re.search(rf"^{said.partition(' ')[0]} +\+\+\+ exited", said, re.MULTILINE):  # a short number is padded
            return said
        assert time.monotonic() < deadline, "strace has not written the daemon's end"
        time.sleep(0.02)


def _allowed(unit: Unit) -> set[str]:
    """The filter in force: allow lists add up, a list after `~` takes away (systemd.exec(5))."""
    allowed = set(_group("@default"))
    for value in unit.values("Service", "SystemCallFilter"):
        listed = {call for word in value.lstrip("~").split() for call in _group(word)}
        allowed = allowed - listed if value.startswith("~") else allowed | listed
    return allowed


@cache
def _group(word: str) -> frozenset[str]:
    if not word.startswith("@"):
        return frozenset({word})
    listed = subprocess.run(
        ["systemd-analyze", "--no-pager", "syscall-filter", word],  # noqa: S607  # wherever the distribution has it
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    members = [line.strip() for line in listed.stdout.splitlines()[1:]]
    return frozenset(call for member in members if member and not member.startswith("#") for call in _group(member))
