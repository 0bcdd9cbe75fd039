"""A unit's folders as the anonymizer leaves them, written by the tests with a test key, and a publisher process over them."""

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.contracts import aggregate
from agent.contracts.aggregate import Aggregate, Cell, Field
from agent.contracts.log import Charge, Entry, Release
from agent.contracts.log_file import LOGGED, RELEASES, pack_checkpoint, pack_record
from agent.contracts.public import ENVELOPE, STATE, Envelope, Reason, State, seal_envelope
from agent.disclosure.datachain import Disclosure, compile_disclosure
from agent.local.files import write_atomic
from agent.policy.file import load_policy
from agent.publisher.cursor import decode
from agent.wire.cose import public_bytes, sign1
from agent.wire.detached import signed_type
from agent.wire.tlog import Checkpoint, TreeHead, sign_checkpoint
from tests.log_files import said
from tests.packs import COUNT, changed

ROOT = Path(__file__).parents[2]
POLICY = ROOT / "config" / "policy.toml"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
STREAM = "crossings"
WINDOW_S = 300
FIRST_START = 1_800_000_000
TIMEOUT_S = 25.0


def wait_until(holds: Callable[[], bool], what: str, timeout_s: float = TIMEOUT_S) -> None:
    """Wait until `holds()`; fail naming `what`."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, f"timed out waiting for {what}"
        time.sleep(0.02)


class UnitFolder:
    """`log/`, `public/`, `status/` and a cursor below `folder`; `append` logs, `announce` writes state and envelope."""

    def __init__(self, folder: Path, transport: str = "any", *, cbor: bool = False) -> None:
        self.cbor = cbor
        self.folder = folder
        self.log, self.public = folder / "log", folder / "public"
        self.shown = self.public / LOGGED
        self.cursor = folder / "cursor"
        self.offer = folder / "offer"
        self.config = folder / "agent.toml"
        policy = dataclasses.replace(load_policy(POLICY), transport=transport)
        self.disclosure: Disclosure = compile_disclosure(policy)
        self.head = TreeHead()
        self.bytes = 0
        self.log.mkdir(parents=True)
        self.public.mkdir()
        self.offer.mkdir()
        unit = self.disclosure.policy.unit
        self.city, self.site, self.name = unit.city, unit.site, unit.name
        self.origin = f"dtpr/{self.city}/{self.site}/{self.name}"
        self.state = State(
            city=self.city,
            site=self.site,
            unit=self.name,
            gate="open",
            reason=Reason.OPEN,
            since=FIRST_START,
            policy_version=self.disclosure.policy_version,
            disclosure=self.disclosure.digest.hex(),
            notice_remaining_s=0,
            expires=FIRST_START + 10**7,
            clock_trusted=False,  # so that no test depends on when it is run: a late Release keeps its whole expiry
            demo=False,
            public_key=public_bytes(KEY).hex(),
            collect_within_s=604800,
        )

    @property
    def base(self) -> str:
        """The unit's topics begin with this."""
        return f"dtpr/v1/{self.city}/{self.site}/{self.name}"

    def announce(self, **changes: object) -> None:
        """Write state (with `changes`) and envelope, as the anonymizer does."""
        self.state = dataclasses.replace(self.state, **changes)  # type: ignore[arg-type]  # the tests name real fields
        write_atomic(self.public / STATE, self.state.encode())
        envelope = seal_envelope(Envelope(self.disclosure.cbor, FIRST_START), KEY)
        write_atomic(self.public / ENVELOPE, envelope)

    def aggregate(self, number: int, **changes: object) -> Aggregate:
        """Window `number` of the stream; every other one has a suppressed cell."""
        cell: int | Cell = Cell.SUPPRESSED if number % 2 else 20 + number % 500
        whole = changed(
            COUNT,
            city=self.city,
            site=self.site,
            unit=self.name,
            stream=STREAM,
            window_start=FIRST_START + WINDOW_S * number,
            window_s=WINDOW_S,
            coverage_percent=100,
            threshold=18,
            policy_version=self.disclosure.policy_version,
            disclosure_digest=self.disclosure.digest,
            log_index=self.head.size,
            fields=(Field("bicycle", "count", 6), Field("pedestrian", "count", 6)),
            values=(cell, 31),
        )
        return changed(whole, **changes)

    def release(self, number: int, **changes: object) -> Release:
        """A sealed Release of window `number`."""
        governed = self.aggregate(number, **changes)
        payload = aggregate.encode(aggregate.in_cbor(governed) if self.cbor else governed)
        signature = sign1(payload, KEY, detached=True, content_type=signed_type(payload))
        charge = Charge(Fraction(1, 32))
        return Release(
            governed.terms.stream,
            governed.window_start,
            governed.terms.window_s,
            payload,
            signature,
            charge,
            governed.terms.disclosure_digest,
        )

    def append(self, *entries: Entry) -> None:
        """Append records and their checkpoint, then show it, as the anonymizer does."""
        with (self.log / RELEASES).open("ab") as file:
            if not file.tell():
                file.write(pack_checkpoint(self._note(), 0))
            for entry in entries:
                file.write(pack_record(entry.encode()))
                self.head.append(entry.encode())
            self.bytes = file.tell()
            file.write(pack_checkpoint(self._note(), self.bytes))
        self.checkpoint()

    def release_windows(self, first: int, count: int) -> list[bytes]:
        """Append `count` Releases and return their payloads."""
        payloads = []
        for number in range(first, first + count):
            release = self.release(number)
            self.append(release)
            payloads.append(release.payload)
        return payloads

    def checkpoint(self, **changes: int) -> bytes:
        """Sign and show a checkpoint; `entries` and `bytes` may be given to lie."""
        note = self._note(**changes)
        write_atomic(self.shown, note)
        return note

    def _note(self, **changes: int) -> bytes:
        size = changes.get("entries", self.head.size)
        head = Checkpoint(self.origin, size, self.head.root(), said(changes.get("bytes", self.bytes)))
        return sign_checkpoint(head, self.origin, KEY)

    def configure(
        self,
        port: int,
        mqtt: str = "tls = false",
        *,
        host: str = "localhost",
        backlog_per_s: int = 1000,
        policy: str = "",
    ) -> None:
        """Write agent.toml for a broker; `mqtt` and `policy` are further lines of their tables."""
        self.config.write_text(
            f"""schema = 1
[paths]
log = "{self.log}"
public = "{self.public}"
status = "{self.folder}/status"
cursor = "{self.cursor}"
offer = "{self.offer}"
[clock]
trusted_when = "operator"
[mqtt]
host = "{host}"
port = {port}
backlog_per_s = {backlog_per_s}
{mqtt}
[policy]
{policy}
[radio]
backend = "bluez"
""",
            encoding="utf-8",
        )

    def passed(self) -> int:
        """Up to which entry the cursor on the disk says that all is acknowledged; 0 without one, -1 when it is damaged."""
        if not self.cursor.exists():
            return 0
        found, damage = decode(self.cursor.read_bytes(), "cursor")
        return found[0][1].backlog.entries if damage is None else -1

    def status(self) -> str:
        """The publisher's status file, or nothing."""
        path = self.folder / "status" / "publisher" / "status"
        return path.read_text() if path.exists() else ""


class PublisherProcess:
    """`python -m agent.publisher` over a UnitFolder; ended with the block. With `at` it starts behind these words, in another network namespace."""

    def __init__(
        self,
        unit: UnitFolder,
        *options: str,
        pass_fds: tuple[int, ...] = (),
        tree: Path = ROOT,
        at: tuple[str, ...] = (),
    ) -> None:
        self._unit = unit
        self._tree = tree
        self._command = [*at, sys.executable, "-m", "agent.publisher", "--config", str(unit.config), *options]
        self._fds = pass_fds
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """Its stderr so far."""
        return (self._unit.folder / "publisher.log").read_text()

    def start(self) -> None:
        """Start it (again)."""
        with (self._unit.folder / "publisher.log").open("ab") as log:
            self.process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._tree,
                pass_fds=self._fds,
                env={**os.environ, "PYTHONPATH": str(self._tree), "PYTHONWARNINGS": "error"},
            )

    def kill(self) -> None:
        """SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(TIMEOUT_S)
        self.process = None

    @contextlib.contextmanager
    def standing_still(self) -> Iterator[None]:
        """SIGSTOP until the block ends."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it in order; returns the exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(TIMEOUT_S)
        self.process = None
        return code

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()
