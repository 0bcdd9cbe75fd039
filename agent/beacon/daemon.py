"""The beacon daemon: shows the unit's signed disclosure by radio, and gives a lease only while that is true (SPEC.md, BE-18 to BE-24).

Invariant: a lease is sent only for the digest named by the radio's own evidence, never for the one that is merely wanted.
"""

import asyncio
import contextlib
import logging
import signal
import time
from pathlib import Path

from agent.beacon.broadcast import compile_broadcast
from agent.beacon.lease_line import LeaseLine
from agent.beacon.radio import Radio
from agent.contracts.lease import Lease
from agent.contracts.public import ENVELOPE, MAX_ENVELOPE_BYTES, MAX_STATE_BYTES, STATE, decode_state
from agent.contracts.status import STATUS, WRITE_EVERY_S, Status
from agent.errors import BadInput, StorageUnavailable
from agent.local.counters import ExactCounters
from agent.local.files import read_capped, write_atomic
from agent.local.notify import notify
from agent.local.settings import Paths, Settings

LOOK_EVERY_S = 0.25
"""How often the envelope's folder is looked at, and the longest a lost inbox goes unnoticed."""

COUNT_EVERY_S = 0.5
WATCHDOG_EVERY_S = 1.0
FAREWELL_S = 1.5
DAEMON = "beacon"

_log = logging.getLogger(__name__)


def open_radio(settings: Settings) -> Radio:
    """The backend that agent.toml names; only its library is imported."""
    if settings.radio.backend == "bumble":
        from agent.beacon.bumble import BumbleRadio

        return BumbleRadio(settings.radio.transport)
    from agent.beacon.bluez import BluezRadio

    return BluezRadio(settings.radio.adapter)


class EnvelopeFile:
    """`<paths.public>/envelope`, read again only when it was replaced."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None

    def look(self) -> bytes | None:
        """The new contents; None when absent or unchanged. Raises MessageError when too long."""
        try:
            found = self._path.stat()
        except OSError:
            return None
        key = (found.st_ino, found.st_mtime_ns, found.st_size)
        if key == self._seen:
            return None
        self._seen = key
        return read_capped(self._path, MAX_ENVELOPE_BYTES)


class Beacon:
    """Everything of the daemon except the process: `run` returns when `stop` was called."""

    def __init__(self, radio: Radio, paths: Paths, counters: ExactCounters | None = None) -> None:
        self._radio = radio
        self._paths = paths
        self._counters = counters
        self._file = EnvelopeFile(paths.public / ENVELOPE)
        self._line = LeaseLine(paths.lease_socket)
        self._stopping = False
        self._sequence = 0
        self._envelope: bytes | None = None
        self._refusal: BadInput | None = None
        self._status: Status | None = None
        self._status_at = self._counted_at = self._notified_at = float("-inf")

    def stop(self) -> None:
        """End `run` soon."""
        self._stopping = True
        self._radio.changed.set()

    async def run(self) -> None:
        """Show, lease and report until stopped; raises DemoOnly."""
        radio = asyncio.create_task(self._radio.run())
        notify("READY=1")
        try:
            while not self._stopping and not radio.done():
                self._radio.changed.clear()
                now = time.monotonic()
                self._look()
                self._lease(now)
                self._report(now)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_EVERY_S):
                        await self._radio.changed.wait()
        finally:
            self._line.hang_up()  # first of all: the gate closes before the radio does
            notify("STOPPING=1")
            radio.cancel()
            await asyncio.wait([radio], timeout=FAREWELL_S)
            self._write_status(Status(DAEMON, False, "stopped", "nothing is on air", {"backend": self._radio.name}))
        if radio.done() and not radio.cancelled():
            radio.result()  # a radio never returns: this raises what ended it

    def _look(self) -> None:
        """Take a new envelope; a bad one changes nothing on air and is reported (BE-19)."""
        try:
            envelope = self._file.look()
            if envelope is None:
                return
            if envelope == self._envelope:
                self._refusal = None  # the one on air is back in its place
                return
            broadcast = compile_broadcast(envelope, self._sequence + 1)
        except BadInput as bad:
            self._refusal = bad
            _log.warning("envelope refused: %s", bad)
            return
        except OSError as bad:
            _log.warning("envelope unreadable: %s", bad.strerror)
            return
        self._sequence += 1
        self._envelope, self._refusal = envelope, None
        self._radio.replace(broadcast)

    def _lease(self, now: float) -> None:
        evidence = self._radio.on_air()
        if evidence is None:
            self._line.hang_up()
        else:
            self._line.renew(Lease(evidence.broadcast.digest, evidence.on_air), now)

    def _report(self, now: float) -> None:
        status = self._present_status()
        if status != self._status or now - self._status_at >= WRITE_EVERY_S:
            if self._status is None or status.code != self._status.code:
                _log.info("%s: %s", status.code, status.words)
            self._status, self._status_at = status, now
            self._write_status(status)
        if now - self._notified_at >= WATCHDOG_EVERY_S:
            self._notified_at = now
            notify("WATCHDOG=1")
        if self._counters is not None and now - self._counted_at >= COUNT_EVERY_S:
            self._counted_at = now
            self._count(self._counters)

    def _present_status(self) -> Status:
        evidence, down = self._radio.on_air(), self._radio.down()
        if self._refusal is not None:
            code, words = "bad_envelope", str(self._refusal)
        elif self._envelope is None:
            code, words = "no_envelope", "waiting for the anonymizer's signed envelope"
        elif evidence is None:
            code, words = (down.cause.value, str(down)) if down else ("radio_starting", "the radio is being changed")
        elif not self._line.connected:
            code, words = "no_inbox", "on air, but the anonymizer's inbox is absent"
        else:
            code, words = "on_air", evidence.broadcast.name
        return Status(DAEMON, code == "on_air", code, words, {"backend": self._radio.name})

    def _write_status(self, status: Status) -> None:
        folder = self._paths.status / DAEMON
        try:
            folder.mkdir(exist_ok=True)
            write_atomic(folder / STATUS, status.encode())
        except (OSError, StorageUnavailable) as bad:
            _log.warning("status not written: %s", bad)

    def _count(self, counters: ExactCounters) -> None:
        try:
            text = read_capped(self._paths.public / STATE, MAX_STATE_BYTES)
            if text is None:
                return
            demo = decode_state(text).demo
        except BadInput as bad:
            _log.warning("state refused: %s", bad)
            return
        counters.allow(demo=demo)
        counters.write(
            {
                "on_air": self._radio.on_air() is not None,
                "backend": self._radio.name,
                "leases": self._line.sent,
                "pss_kib": pss_kib(),
            }
        )


def pss_kib() -> int:
    """Proportional set size of this process in KiB."""
    for line in Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0


async def serve(settings: Settings, exact_counters_fd: int | None) -> None:
    """Run the daemon until SIGTERM or SIGINT; raises DemoOnly."""
    counters = ExactCounters(exact_counters_fd, DAEMON) if exact_counters_fd is not None else None
    beacon = Beacon(open_radio(settings), settings.paths, counters)
    loop = asyncio.get_running_loop()
    for ending in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(ending, beacon.stop)
    await beacon.run()
