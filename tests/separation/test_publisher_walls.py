"""The publisher's process, fully taken over, can reach no Reading, no key and no board, and cannot change the log (I1, DESIGN.md section 2).

The folders, owners and modes are made by systemd's own tools from `systemd/`, with numbers of the installation's own; the processes
run as those users. What the units add by namespaces and filters comes on top and is not counted on here.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.systemd.installation import Installation, install
from tests.systemd.unit_files import SYSTEMD, read_unit

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="running as other users needs root")

PROJECT = Path(__file__).parents[2]
MODE_OF_BOARD = re.compile(r'OWNER="root", GROUP="([a-z-]+)", MODE="(\d+)"')

REFUSED = {
    "connect reading.sock": "EACCES",
    "connect lease.sock": "EACCES",
    "list the inboxes": "EACCES",
    "read the tty": "EACCES",
    "write the tty": "EACCES",
    "make the tty anew": "EPERM",
    "read the signing key": "EACCES",
    "read the anonymizer's credential": "EACCES",
    "open the anonymizer's memory": "EACCES",
    "copy the anonymizer's memory": "EPERM",
    "take the anonymizer's descriptor": "EPERM",
    "list the anonymizer's descriptors": "EACCES",
    "attach to the anonymizer": "EPERM",
    "signal the anonymizer": "EPERM",
    "write the anonymizer's status": "EACCES",
    "change what is public": "EACCES",
    "write the log": "EACCES",
    "cut the log": "EACCES",
    "add to the log's folder": "EACCES",
    "remove the log": "EACCES",
    "open the log's folder": "EPERM",
    "list the offers": "EACCES",
    "remove a technician's offer": "EPERM",
    "become root": "EPERM",
    "join the bridge's group": "EPERM",
    "become the anonymizer": "EPERM",
}
ITS_JOB = {
    "read the log",
    "read what is public",
    "write the cursor",
    "write the publisher's status",
    "offer a policy",
}


@dataclass(frozen=True, slots=True)
class Unit:
    """An installation with its inboxes bound, a board's tty, and a process where the anonymizer stands."""

    installation: Installation
    tty: Path
    keeper_pid: int
    secret_address: int

    def attack(self, service: str) -> dict[str, str]:
        """Run the hostile main module as the user and groups of `service`; attempt to errno name or "done"."""
        command = _as(self.installation, service, "tests.separation.hostile")
        arguments = [str(self.installation.root), str(self.tty), str(self.keeper_pid), str(self.secret_address)]
        ran = subprocess.run(
            [*command, *arguments], cwd=PROJECT, capture_output=True, text=True, timeout=60, check=False
        )
        assert ran.returncode == 0, ran.stderr
        told = json.loads(ran.stdout)
        assert isinstance(told, dict)
        return told


@pytest.fixture(name="unit")
def _unit() -> Iterator[Unit]:
    top = Path(tempfile.mkdtemp(prefix="dtpr-walls-"))
    top.chmod(0o755)  # pytest's own folder would hide everything below from every user
    controller, terminal = os.openpty()
    inboxes = []
    try:
        installation = install(top / "root")
        keys = installation.root / "etc/dtpr"
        keys.mkdir()
        (keys / "unit-key").write_text("a key")
        installation.create_accounts()
        installation.create_folders()
        _hand_credential(installation)
        inboxes = [_bind(installation, name) for name in ("reading", "lease")]
        tty = _own_tty(installation, terminal)
        (installation.root / "var/lib/dtpr-offer/by-hand").touch(0o600)
        publisher = installation.account("dtpr-publisher")
        cursor = installation.root / "var/lib/dtpr-publisher/cursor"
        cursor.touch(0o600)
        os.chown(cursor, publisher.uid, publisher.gid)
        command = _as(installation, "dtpr-anonymizer.service", "tests.separation.keeper")
        with subprocess.Popen(
            [*command, str(installation.root)],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as keeper:
            assert keeper.stdout is not None
            try:
                yield Unit(installation, tty, keeper.pid, int(keeper.stdout.readline()))
            finally:
                keeper.kill()
    finally:
        for inbox in inboxes:
            inbox.close()
        os.close(controller)
        os.close(terminal)
        shutil.rmtree(top)


def test_a_hostile_publisher_reaches_nothing_and_the_bridge_its_own(unit: Unit) -> None:
    """Every attempt fails for the stated reason; the same attempts by the bridge's user open exactly the inbox and the tty."""
    assert unit.attack("dtpr-publisher.service") == {**REFUSED, **dict.fromkeys(ITS_JOB, "done")}

    bridge = unit.attack("dtpr-firmware-bridge@.service")
    assert {name for name, outcome in bridge.items() if outcome == "done"} == {
        "connect reading.sock",
        "read the tty",
        "write the tty",
        "read what is public",
    }
    assert bridge["connect lease.sock"] == "EACCES"

    beacon = unit.attack("dtpr-beacon.service")
    assert {name for name, outcome in beacon.items() if outcome == "done"} == {
        "connect lease.sock",
        "read what is public",
    }
    assert beacon["connect reading.sock"] == "EACCES"


def test_the_attempts_are_real(unit: Unit) -> None:
    """Negative control: root, with the same code, succeeds in every one; so a failure above is the wall's doing."""
    command = [sys.executable, "-m", "tests.separation.hostile"]
    arguments = [str(unit.installation.root), str(unit.tty), str(unit.keeper_pid), str(unit.secret_address)]
    ran = subprocess.run([*command, *arguments], cwd=PROJECT, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    assert {name: outcome for name, outcome in json.loads(ran.stdout).items() if outcome != "done"} == {}


def test_a_wall_taken_down_is_found(unit: Unit) -> None:
    """Negative control: one group too many in the folder's mode and on the socket, and the attack gets through."""
    inboxes = unit.installation.root / "run/dtpr"
    inboxes.chmod(0o711)
    (inboxes / "reading.sock").chmod(0o622)
    assert unit.attack("dtpr-publisher.service")["connect reading.sock"] == "done"


def _as(installation: Installation, service: str, module: str) -> list[str]:
    unit = read_unit(service)
    account = installation.account(unit.value("Service", "User") or "")
    groups = [str(installation.group(name)) for name in unit.words("Service", "SupplementaryGroups")]
    launch = [sys.executable, "-m", "tests.separation.launch"]
    return [*launch, str(account.uid), str(account.gid), ",".join(groups), module]


def _bind(installation: Installation, name: str) -> socket.socket:
    """Bind and listen as systemd does for the socket unit."""
    unit = read_unit(f"dtpr-{name}.socket")
    path = installation.root / (unit.value("Socket", "ListenSequentialPacket") or "").lstrip("/")
    inbox = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    inbox.bind(str(path))
    assert unit.value("Socket", "SocketUser") == "root"
    os.chown(path, 0, installation.group(unit.value("Socket", "SocketGroup") or ""))
    path.chmod(int(unit.value("Socket", "SocketMode") or "", 8))
    inbox.listen(int(unit.value("Socket", "Backlog") or ""))
    return inbox


def _own_tty(installation: Installation, terminal: int) -> Path:
    """Give the tty the owner, group and mode of the udev rule."""
    found = MODE_OF_BOARD.search((SYSTEMD / "70-dtpr-board.rules").read_text())
    assert found is not None
    path = Path(os.ttyname(terminal))
    os.chown(path, 0, installation.group(found[1]))
    path.chmod(int(found[2], 8))
    return path


def _hand_credential(installation: Installation) -> None:
    """What LoadCredential= makes: a folder and a file that only the service's user can read (systemd.exec(5))."""
    anonymizer = installation.account("dtpr-anonymizer")
    folder = installation.root / "run/credentials/dtpr-anonymizer.service"
    folder.mkdir(parents=True)
    (folder / "unit-key").write_text("a key")
    for path, mode in ((folder / "unit-key", 0o400), (folder, 0o500)):
        os.chown(path, anonymizer.uid, anonymizer.gid)
        path.chmod(mode)
