"""What the beacon's tests share: signed envelopes of a real policy, a folder with an agent.toml, processes, an inbox."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.beacon.broadcast import Broadcast, compile_broadcast
from agent.contracts import lease
from agent.contracts.latest import Figures, seal_latest
from agent.contracts.public import (
    CHECKPOINT,
    COMPACT,
    ENVELOPE,
    HEAD_TIME,
    LATEST,
    STOP,
    UPCOMING,
    Envelope,
    Reason,
    State,
    StopNotice,
    seal_envelope,
    seal_stop,
)
from agent.disclosure.compact import compact_of, seal_compact
from agent.disclosure.datachain import Disclosure, compile_disclosure
from agent.local.files import write_atomic
from agent.local.sockets import bind_inbox
from agent.policy.file import load_policy
from agent.wire.cose import public_bytes
from agent.wire.tlog import Checkpoint, sign_checkpoint

ROOT = Path(__file__).parents[2]
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC_KEY = public_bytes(KEY)
PATIENCE_S = 25.0
"""Five times what anything here takes on a busy machine."""


def disclosure(version: int = 1, unit: str = "fremont-01") -> Disclosure:
    """The disclosure of config/policy.toml under another version and unit name."""
    policy = load_policy(ROOT / "config" / "policy.toml")
    return compile_disclosure(replace(policy, version=version, unit=replace(policy.unit, name=unit)))


def envelope(version: int = 1, *, issued_at: int = 1_790_000_000, unit: str = "fremont-01") -> bytes:
    """A sealed envelope."""
    return seal_envelope(Envelope(disclosure(version, unit).cbor, issued_at), KEY)


def upcoming(version: int = 2, *, not_before: int = 1_800_000_000, unit: str = "fremont-01") -> bytes:
    """A sealed envelope of a policy on notice."""
    return seal_envelope(Envelope(disclosure(version, unit).cbor, 1_790_000_000, not_before), KEY)


def stop_notice(reason: str = "Recorded speech") -> bytes:
    """A sealed stop notice."""
    return seal_stop(StopNotice(reason, ("steward/ana", "community/chi"), 1_790_000_000), KEY)


def compact(version: int = 1, unit: str = "fremont-01") -> bytes:
    """The sealed compact disclosure."""
    return seal_compact(compact_of(disclosure(version, unit)), KEY)


def tree_head(signed_at: int, *, size: int = 12, unit: str = "fremont-01") -> bytes:
    """The signed tree head of its log."""
    origin = disclosure(unit=unit).policy.unit.path
    return sign_checkpoint(Checkpoint(origin, size, bytes(32), (f"{HEAD_TIME}{signed_at}",)), origin, KEY)


def last_figures(unit: str = "fremont-01") -> bytes:
    """What was published last."""
    cells = (("bicycle", "count", 41), ("pedestrian", "count", "suppressed"))
    figures = Figures("crossings", 1_790_000_100, 900, "complete", 1, cells)
    return seal_latest(disclosure(unit=unit).policy.unit.path, [figures], KEY)


def broadcast(version: int = 1, *, issued_at: int = 1_790_000_000, sequence: int = 1) -> Broadcast:
    """A broadcast of such an envelope."""
    return compile_broadcast(envelope(version, issued_at=issued_at), sequence)


class Inbox:
    """A real lease.sock: what the anonymizer's end sees."""

    def __init__(self, path: Path) -> None:
        self.listener = bind_inbox(path)
        self.listener.settimeout(PATIENCE_S)
        self.peer: socket.socket | None = None

    def accept(self) -> None:
        """Wait for the beacon to connect."""
        if self.peer is not None:
            self.peer.close()
        self.peer, _ = self.listener.accept()
        self.peer.settimeout(PATIENCE_S)

    def next_lease(self) -> lease.Lease | None:
        """The next lease, None when the beacon hung up."""
        assert self.peer is not None
        message = self.peer.recv(lease.MAX_MESSAGE_BYTES)
        return lease.decode(message) if message else None

    def until_hang_up(self) -> list[lease.Lease]:
        """All leases up to the end of the connection."""
        said = []
        while (one := self.next_lease()) is not None:
            said.append(one)
        return said

    def is_quiet(self, seconds: float) -> bool:
        """Does nobody connect for so long?"""
        return not select.select([self.listener], [], [], seconds)[0]

    def close(self) -> None:
        """End both sockets."""
        self.listener.close()
        if self.peer is not None:
            self.peer.close()


class Stage:
    """A folder in which a beacon daemon can live."""

    def __init__(self, folder: Path, radio: str = "") -> None:
        self.folder = folder
        self.public = folder / "public"
        self.public.mkdir()
        (folder / "status").mkdir()
        self.config = folder / "agent.toml"
        radio = radio or f'backend = "bumble"\ntransport = "unix:{folder}/hci0"'
        self.config.write_text(
            f'schema = 1\n[paths]\npublic = "{self.public}"\nstatus = "{folder}/status"\n'
            f'lease_socket = "{folder}/lease.sock"\n[clock]\ntrusted_when = "operator"\n'
            f'[mqtt]\nhost = "127.0.0.1"\ntls = false\n[radio]\n{radio}\n'
        )

    def show(self, sealed: bytes) -> None:
        """Replace the envelope as the anonymizer does."""
        write_atomic(self.public / ENVELOPE, sealed)

    def show_published(self, *, signed_at: int, compact: bytes | None = None) -> None:
        """The tree head and the last figures, as the anonymizer writes them, and the compact disclosure if there is one."""
        write_atomic(self.public / CHECKPOINT, tree_head(signed_at))
        write_atomic(self.public / LATEST, last_figures())
        if compact is not None:
            write_atomic(self.public / COMPACT, compact)

    def show_beside(self, sealed: bytes | None, stop: bytes | None = None) -> None:
        """Replace or remove the upcoming envelope and the stop notice as the anonymizer does."""
        for name, content in ((UPCOMING, sealed), (STOP, stop)):
            if content is None:
                (self.public / name).unlink(missing_ok=True)
            else:
                write_atomic(self.public / name, content)

    def say(self, *, demo: bool) -> None:
        """Write a state file."""
        state = State(
            city="springfield", site="river-bridge", unit="fremont-01", gate="closed", reason=Reason.NO_LEASE, since=0,
            policy_version=1, disclosure=disclosure().digest.hex(), notice_remaining_s=0, expires=1, clock_trusted=True,
            demo=demo, public_key=PUBLIC_KEY.hex(), collect_within_s=1,
        )  # fmt: skip
        write_atomic(self.public / "state", state.encode())

    def status(self) -> dict[str, Any]:
        """The status file."""
        path = self.folder / "status" / "beacon" / "status"
        return dict(json.loads(path.read_text())) if path.exists() else {"code": ""}

    def wait_code(self, code: str) -> None:
        """Wait until the status says `code`."""
        until = time.monotonic() + PATIENCE_S
        while self.status()["code"] != code:
            assert time.monotonic() < until, f"{self.status()} instead of {code}"
            time.sleep(0.05)

    def beacon(self, *arguments: str, pass_fds: tuple[int, ...] = ()) -> "subprocess.Popen[str]":
        """Start the daemon."""
        return start("agent.beacon", "--config", str(self.config), *arguments, pass_fds=pass_fds)


def start(module: str, *arguments: str, pass_fds: tuple[int, ...] = ()) -> "subprocess.Popen[str]":
    """Start a module of ours as its own process, output in pipes."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", module, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        pass_fds=pass_fds,
    )


def end(process: "subprocess.Popen[str]", number: int = signal.SIGTERM) -> tuple[int, str]:
    """Signal a process and wait; its exit code and its stderr."""
    if process.poll() is None:
        process.send_signal(number)
    _, errors = process.communicate(timeout=PATIENCE_S)
    return process.returncode, errors


@contextmanager
def running(process: "subprocess.Popen[str]") -> Iterator["subprocess.Popen[str]"]:
    """Kill it at the end, whatever happened."""
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=PATIENCE_S)


@contextmanager
def virtual_radio(folder: Path, controllers: int = 2) -> Iterator["subprocess.Popen[str]"]:
    """The helper process, ready."""
    with running(
        start("agent.beacon.virtual_radio", "--folder", str(folder), "--controllers", str(controllers))
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process


def lines(process: "subprocess.Popen[str]") -> Iterator[dict[str, Any]]:
    """A phone's NDJSON, as it comes."""
    assert process.stdout is not None
    for line in process.stdout:
        yield dict(json.loads(line))
