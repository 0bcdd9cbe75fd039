"""Starts a daemon's real main module with a settings file of its own, waits until it is ready and a little on, and ends it by SIGTERM."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.signing import install_governance, signed_policy

PROJECT = Path(__file__).parents[2]
DAEMONS = ("firmware_bridge", "agent.anonymizer", "agent.publisher", "agent.beacon")

AGENT = """
schema = 1
[paths]
policy = "{folder}/policy.cose"
governance = "{folder}/governance.cbor"
offer = "{folder}/offer"
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


def run_daemon(daemon: str, folder: Path, start: Sequence[str] = (sys.executable, "-m")) -> None:
    """Run `daemon` (a module) in `folder`, empty before. `start` precedes the module's name on the command line.

    There is no board, no D-Bus and a broker that refuses, so this is a start and a few turns of the loop.
    """
    for name in ("log", "public", "status", "offer"):
        (folder / name).mkdir()
    key = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "unit-key").write_bytes(key)
    (folder / "unit-key").chmod(0o600)
    (folder / "policy.cose").write_bytes(signed_policy((PROJECT / "config" / "policy.toml").read_text()))
    install_governance(folder / "governance.cbor")
    with socket.socket() as nobody, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        nobody.bind(("127.0.0.1", 0))  # bound but not listening: a broker that refuses
        settings = folder / "agent.toml"
        settings.write_text(AGENT.format(folder=folder, port=nobody.getsockname()[1]))
        manager.bind(str(folder / "notify"))
        manager.settimeout(30)
        board = ["--board", "street"] if daemon == "firmware_bridge" else []
        with subprocess.Popen(
            [*start, daemon, "--config", str(settings), *board],
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
