"""A unit's folder, and the real daemon in it; a bridge and a beacon are real sockets of the test."""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from agent.contracts import lease as lease_contract
from agent.contracts import log_file
from agent.contracts.board import Board, Channel
from agent.contracts.lease import Lease, OnAir
from agent.contracts.log import Entry, Release, decode_entry
from agent.contracts.log_file import iter_log, iter_records
from agent.contracts.public import State, decode_state
from agent.contracts.reading import TAG_UINT8, TAG_UINT16_LE, Body, Header, Kind
from agent.disclosure.datachain import compile_disclosure
from agent.errors import InboxUnavailable
from agent.local.clock import boot_ns
from agent.local.files import write_atomic
from agent.local.sockets import connect_inbox
from agent.policy.model import Policy
from agent.policy.parse import parse_policy
from agent.wire import cbor, tlog
from tests.signing import install_governance, signed_policy

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
ORIGIN = "springfield/bridge/bridge-01"
WAIT_S = 15.0
"""Five times what any step takes here."""

POLICY = """
schema = 1
version = {version}
demo = true
transport = "tls"
[unit]
city = "springfield"
site = "bridge"
name = "bridge-01"
title = "Counter"
[location]
text = "River Bridge"
precision = "street"

[accountable]
name = "City of Springfield"
vendors = []

[contact]
url = "https://springfield.example/bridge-01"
feedback = ["url"]
[purpose]
elements = ["mobility"]
[[audience]]
name = "city"
access = "available_to_the_accountable_organization"
storage = ["stored_locally"]
kept = "30 days"
[access]
denied = []
[data]
licence = "CC-BY-4.0"
community_labels = []
collect_within = "7 days"
[dates]
issued = 2026-01-01
effective = 2026-01-01
expires = 2029-01-01
notice = "{notice}"
[budget]
period = "10 minutes"
cap_rho = {cap}
[[stream]]
name = "crossings"
channel = "crossings"
kind = "count"
technology = "passive_infrared_sensor"
classes = ["bike", "foot"]
window = "{window} seconds"
grace = "0.2 seconds"
receivers = ["city"]
[stream.privacy]
mode = "dp"
rho = {rho}
m = 4
c = 1
k = 5
z = 2
max_count = 5000
totals = "none"
"""


def policy_text(
    *, version: int = 1, notice: str = "1 seconds", window: int = 1, rho: str = "0.125", cap: str = "0.125"
) -> str:
    """A demonstration policy with one stream of two classes."""
    return POLICY.format(version=version, notice=notice, window=window, rho=rho, cap=cap)


def make_policy(**changes: Any) -> Policy:
    """The same, parsed."""
    return parse_policy(policy_text(**changes), "policy.toml")


BOARD = Board("sim", "1.0", bytes(32), bytes(32), (Channel("crossings", "count", ("foot", "bike", "dog")),))
"""Its class numbers are not the policy's: foot 0, bike 1, and dog is in no stream."""

BIKE, FOOT, DOG = 1, 0, 2


def message(kind: Kind, body: bytes = b"", *, count: int = 0, received_boot_ns: int = 0, tail: bytes = b"") -> bytes:
    """One packet of reading.sock."""
    return Header(kind, count, 0, 0, received_boot_ns, len(body)).pack() + body + tail


def readings(classes: list[int], received_boot_ns: int, *, ages: list[int] | None = None, channel: int = 0) -> bytes:
    """A READINGS packet."""
    columns = {
        Body.CHANNEL.value: channel,
        Body.AGES.value: cbor.CBORTag(
            TAG_UINT16_LE, b"".join(a.to_bytes(2, "little") for a in (ages or [0] * len(classes)))
        ),
        Body.CLASSES.value: cbor.CBORTag(TAG_UINT8, bytes(classes)),
    }
    return message(Kind.READINGS, cbor.encode(columns), count=len(classes), received_boot_ns=received_boot_ns)


class Unit:
    """A folder with policy, key and settings, and the daemon as a process."""

    def __init__(self, folder: Path, policy: str | None = None, *, log: Path | None = None) -> None:
        self.folder = folder
        self.log = log or folder / "log"
        self.key = KEY
        """By which the log's checkpoint is verified."""
        self.policy = folder / "policy.cose"
        self.offers = folder / "offer"
        self.offers.mkdir()
        self.text = ""
        self.sign(policy or policy_text())
        governance = install_governance(folder / "governance.cbor")
        key = folder / "unit-key"
        key.write_bytes(KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        key.chmod(0o600)
        self.settings = folder / "agent.toml"
        self.settings.write_text(
            f"""
schema = 1
[clock]
trusted_when = "operator"
[paths]
governance = "{governance}"
policy = "{self.policy}"
offer = "{self.offers}"
signing_key = "{key}"
log = "{self.log}"
public = "{folder / "public"}"
status = "{folder / "status"}"
cursor = "{folder / "cursor"}"
reading_socket = "{folder / "r"}"
lease_socket = "{folder / "l"}"
[mqtt]
host = "127.0.0.1"
tls = false
[radio]
backend = "bluez"
[boards.one]
port = "/dev/null"
"""
        )
        self.process: subprocess.Popen[bytes] | None = None
        self._counters: int | None = None
        self._buffer = b""
        self.latest: dict[str, Any] = {}
        self._peers: list[Beacon | Bridge] = []

    def beacon(self) -> "Beacon":
        """A beacon on lease.sock, closed with the unit."""
        self._peers.append(beacon := Beacon(self))
        return beacon

    def bridge(self) -> "Bridge":
        """A bridge on reading.sock, closed with the unit."""
        self._peers.append(bridge := Bridge(self))
        return bridge

    def end(self) -> None:
        """Kill what still runs, close what is still open."""
        if self.process is not None:
            self.stop(signal.SIGKILL)
        for peer in self._peers:
            peer.close()

    def sign(self, text: str) -> None:
        """Put a signed policy where agent.toml names one."""
        self.text = text
        write_atomic(self.policy, signed_policy(text))

    def drop(self, name: str, message: bytes) -> Path:
        """Put a file into the offer folder, as a technician would."""
        path = self.offers / name
        path.write_bytes(message)
        return path

    @property
    def digest(self) -> bytes:
        """The disclosure digest of the policy that agent.toml names."""
        return compile_disclosure(parse_policy(self.text, "policy.toml")).digest

    def start(
        self,
        *,
        counters: bool = True,
        wait: bool = True,
        preexec: Callable[[], None] | None = None,
        program: Sequence[str] = ("-m", "agent.anonymizer"),
    ) -> None:
        """Start the daemon and wait for its sockets."""
        for name in ("r", "l", "public/state"):
            (self.folder / name).unlink(missing_ok=True)
        argv = [sys.executable, *program, "--config", str(self.settings)]
        passed: tuple[int, ...] = ()
        if counters:
            self._counters, writer = os.pipe()
            self._buffer = b""
            argv += ["--exact-counters", str(writer)]
            passed = (writer,)
        with (self.folder / "err").open("ab") as err:
            self.process = subprocess.Popen(argv, pass_fds=passed, stderr=err, stdout=err, preexec_fn=preexec)
        for fd in passed:
            os.close(fd)
        self.latest = {}
        if wait:
            state = self.folder / "public" / "state"
            self.wait(lambda: all(path.exists() for path in (self.folder / "r", self.folder / "l", state)), "sockets")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Signal the daemon, wait for its end, return its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(WAIT_S)
        self.process = None
        self._hang_up()
        return code

    def refused(self) -> tuple[int, str]:
        """Start the daemon, expecting it to end by itself: its exit code and what it said."""
        self.start(wait=False)
        assert self.process is not None
        code = self.process.wait(WAIT_S)
        self.process = None
        self._hang_up()
        return code, self.errors()

    def _hang_up(self) -> None:
        if self._counters is not None:
            os.close(self._counters)
            self._counters = None

    def wait(self, condition: Callable[[], Any], what: str) -> None:
        """Until `condition` or a failure that tells what stderr says."""
        until = time.monotonic() + WAIT_S
        while not condition():
            if time.monotonic() > until or (self.process is not None and self.process.poll() is not None):
                raise AssertionError(f"no {what}; daemon said: {self.errors()}")
            time.sleep(0.02)

    def connect(self, name: str) -> socket.socket:
        """To an inbox of the daemon; while its backlog is full, again until there is room."""
        peers: list[socket.socket] = []

        def connected() -> bool:
            with contextlib.suppress(InboxUnavailable):
                peers.append(connect_inbox(self.folder / name))
            return bool(peers)

        self.wait(connected, f"room in the inbox {name}")
        return peers[0]

    def errors(self) -> str:
        """What the daemon wrote to stderr so far."""
        return (self.folder / "err").read_text()

    def state(self) -> State:
        """The state file."""
        return decode_state((self.folder / "public" / "state").read_bytes())

    def reason(self) -> str:
        """The gate's reason as everyone sees it; "" before the first state."""
        path = self.folder / "public" / "state"
        return self.state().reason.value if path.exists() else ""

    def counters(self) -> dict[str, Any]:
        """The newest exact counters."""
        assert self._counters is not None
        while select.select([self._counters], [], [], 0)[0]:
            chunk = os.read(self._counters, 65536)
            if not chunk:
                break
            self._buffer += chunk
        *lines, self._buffer = self._buffer.split(b"\n")
        if lines:
            self.latest = json.loads(lines[-1])
        return self.latest

    def _checkpoint(self) -> tlog.Checkpoint:
        note = (self.folder / "public" / log_file.LOGGED).read_bytes()
        origin = tlog.decode_checkpoint(note).origin
        assert origin.partition("/after/")[0] == ORIGIN
        return tlog.open_checkpoint(note, origin, self.key.public_key().public_bytes_raw())

    def used_bytes(self) -> int:
        """How far readers may read."""
        return int(self._checkpoint().extensions[0].removeprefix("bytes "))

    def log_bytes(self) -> int:
        """Where the log's last record ends."""
        return max(record.end for record in iter_log((self.log / log_file.RELEASES).read_bytes()))

    def entries(self) -> list[Entry]:
        """Every entry that the checkpoint covers, the checkpoint's signature verified."""
        checkpoint = self._checkpoint()
        covered = int(checkpoint.extensions[0].removeprefix("bytes "))
        data = (self.log / log_file.RELEASES).read_bytes()[:covered]
        records = [entry for _, entry in iter_records(data)]
        head = tlog.TreeHead()
        for entry in records:
            head.append(entry)
        assert (head.size, head.root()) == (checkpoint.size, checkpoint.root)
        return [decode_entry(entry) for entry in records]

    def releases(self) -> list[Release]:
        """The Releases among them."""
        return [entry for entry in self.entries() if isinstance(entry, Release)]


class Beacon:
    """Sends leases for a digest from a socket of its own, whenever told."""

    def __init__(self, unit: Unit) -> None:
        self._peer = unit.connect("l")

    def lease(self, digest: bytes, upcoming: bytes | None = None) -> None:
        """One lease."""
        self._peer.send(Lease(digest, OnAir.ADVERTISING, boot_ns(), upcoming).encode())

    def send(self, data: bytes) -> None:
        """Anything."""
        self._peer.send(data[: lease_contract.MAX_MESSAGE_BYTES * 100])

    def close(self) -> None:
        """The beacon goes away."""
        self._peer.close()


class Bridge:
    """A bridge with a board that says hello at once."""

    def __init__(self, unit: Unit, board: Board = BOARD) -> None:
        self._peer = unit.connect("r")
        self.sent = 0
        self._peer.send(message(Kind.BOARD, board.encode()))

    def alive(self) -> None:
        """The board is there."""
        self._peer.send(message(Kind.ALIVE))

    def readings(self, classes: list[int], *, ages: list[int] | None = None) -> None:
        """Readings taken just now."""
        self._peer.send(readings(classes, time.clock_gettime_ns(time.CLOCK_BOOTTIME), ages=ages))
        self.sent += len(classes)

    def send(self, data: bytes) -> None:
        """Anything."""
        self._peer.send(data)

    def close(self) -> None:
        """The bridge goes away."""
        self._peer.close()
