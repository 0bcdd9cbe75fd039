"""What each daemon's process has really loaded once it is running: the import rules, seen from inside (I1, DESIGN.md section 4)."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

PROJECT = Path(__file__).parents[2]
RUN = """
import json, runpy, sys
module, told, *sys.argv[1:] = sys.argv[1:]
try:
    runpy.run_module(module, run_name="__main__", alter_sys=True)
finally:
    with open(told, "w") as file:
        json.dump(sorted(sys.modules), file)
"""

AGENT = """
schema = 1
[paths]
policy = "{project}/config/policy.toml"
signing_key = "{folder}/unit-key"
log = "{folder}/log"
public = "{folder}/public"
status = "{folder}/status"
cursor = "{folder}/cursor"
reading_socket = "{folder}/reading.sock"
lease_socket = "{folder}/lease.sock"
[clock]
trusted_when = "operator"
[mqtt]
host = "127.0.0.1"
port = {port}
tls = false
[radio]
backend = "bluez"
[boards.street]
port = "{folder}/no-such-tty"
"""

OTHERS: Mapping[str, set[str]] = {
    "firmware_bridge": {
        "agent.anonymizer",
        "agent.publisher",
        "agent.beacon",
        "agent.disclosure",
        "agent.policy",
        "agent.operations",
        "agent.cli",
        "firmware_bridge.simulator",
        "cryptography",
        "numpy",
        "paho",
        "ssl",
        "dbus_fast",
        "bumble",
        "rich",
    },
    "agent.anonymizer": {
        "agent.publisher",
        "agent.beacon",
        "agent.operations",
        "agent.cli",
        "firmware_bridge",
        "paho",
        "ssl",
        "dbus_fast",
        "bumble",
        "serial",
        "rich",
    },
    "agent.publisher": {
        "agent.contracts.reading",
        "agent.contracts.lease",
        "agent.anonymizer",
        "agent.beacon",
        "agent.operations",
        "agent.cli",
        "firmware_bridge",
        "cryptography",
        "numpy",
        "dbus_fast",
        "bumble",
        "serial",
        "rich",
    },
    "agent.beacon": {
        "agent.contracts.reading",
        "agent.contracts.log",
        "agent.anonymizer",
        "agent.publisher",
        "agent.operations",
        "agent.cli",
        "firmware_bridge",
        "cryptography",
        "numpy",
        "paho",
        "bumble",  # not with BlueZ
        "serial",
        "rich",
    },
}
"""What must not be in a daemon's process."""

OWN: Mapping[str, set[str]] = {
    "firmware_bridge": {"firmware_bridge.daemon", "agent.contracts.reading", "serial"},
    "agent.anonymizer": {"agent.anonymizer.daemon", "agent.contracts.reading", "agent.contracts.lease", "numpy"},
    "agent.publisher": {"agent.publisher.daemon", "agent.contracts.log", "paho"},
    "agent.beacon": {"agent.beacon.daemon", "agent.contracts.lease", "dbus_fast"},
}
"""What must be there: proof that the list is the running daemon's, and that a name in OTHERS would be found."""


@pytest.mark.parametrize("daemon", OTHERS)
def test_a_running_daemon_has_loaded_its_own_and_nothing_else(daemon: str, tmp_path: Path) -> None:
    """Runs the real main module to READY=1 and a little on, ends it by SIGTERM, and reads sys.modules."""
    loaded = _loaded(daemon, tmp_path)
    assert OWN[daemon] <= loaded
    assert {name for name in loaded if any(_within(name, other) for other in OTHERS[daemon])} == set()


def _loaded(daemon: str, folder: Path) -> set[str]:
    for name in ("log", "public", "status"):
        (folder / name).mkdir()
    key = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "unit-key").write_bytes(key)
    (folder / "unit-key").chmod(0o600)
    with socket.socket() as nobody, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        nobody.bind(("127.0.0.1", 0))  # bound but not listening: a broker that refuses
        port = nobody.getsockname()[1]
        settings = folder / "agent.toml"
        settings.write_text(AGENT.format(project=PROJECT, folder=folder, port=port))
        manager.bind(str(folder / "notify"))
        manager.settimeout(30)
        board = ["--board", "street"] if daemon == "firmware_bridge" else []
        with subprocess.Popen(
            [sys.executable, "-c", RUN, daemon, str(folder / "modules"), "--config", str(settings), *board],
            cwd=PROJECT,
            env={**os.environ, "NOTIFY_SOCKET": str(folder / "notify")},
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                while b"READY=1" not in manager.recv(4096):
                    pass
                time.sleep(0.5)
                process.send_signal(signal.SIGTERM)
                _, complaint = process.communicate(timeout=30)
            finally:
                process.kill()
    assert process.returncode == 0, complaint
    return set(json.loads((folder / "modules").read_text()))


def _within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")
