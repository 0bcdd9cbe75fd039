"""The beacon daemon: shows the unit's signed disclosure by radio, and gives a lease only while that is true (SPEC.md, BE-18 to BE-24).

Invariant: a lease is sent only for digests named by the radio's own evidence, never for what is merely wanted.
"""

import asyncio
import contextlib
import logging
import signal
import time

from agent.beacon.broadcast import Broadcast, compile_broadcast
from agent.beacon.lease_line import LeaseLine
from agent.beacon.public_files import PublicFiles, Shown
from agent.beacon.radio import Radio
from agent.contracts.lease import Lease
from agent.contracts.public import MAX_STATE_BYTES, STATE, says_demo
from agent.contracts.status import STATUS, WRITE_EVERY_S, Status
from agent.errors import BadInput
from agent.local.clock import boot_ns
from agent.local.counters import ExactCounters
from agent.local.files import ReplacedFile
from agent.local.notify import Watchdog, notify
from agent.local.settings import Paths, Settings

LOOK_EVERY_S = 0.25
"""How often the envelope's folder is looked at, and the longest a lost inbox goes unnoticed."""

FAREWELL_S = 1.5
DAEMON = "beacon"

_log = logging.getLogger(__name__)


def open_radio(settings: Settings) -> Radio:
    """The backend that agent.toml names; only its library is imported."""
    if settings.radio.backend == "bumble":
        from agent.beacon.bumble import BumbleRadio

        return BumbleRadio(settings.radio.transport)
    from agent.beacon.bluez import BluezRadio

    return BluezRadio(settings.radio.adapter, settings.radio.witness)


class Beacon:
    """Everything of the daemon except the process: `run` returns when `stop` was called."""

    def __init__(self, radio: Radio, paths: Paths, counters: ExactCounters) -> None:
        self._radio = radio
        self._counters = counters
        self._state_path = paths.public / STATE
        self._status_file = ReplacedFile(paths.status / DAEMON / STATUS)
        self._watchdog = Watchdog()
        self._files = PublicFiles(paths.public)
        self._line = LeaseLine(paths.lease_socket)
        self._stopping = False
        self._sequence = 0
        self._shown = Shown()
        self._refusal: BadInput | None = None
        self._unreadable: int | None = None
        self._status: Status | None = None
        self._status_at = float("-inf")

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
            stopped = Status(DAEMON, False, "stopped", "nothing is on air", {"backend": self._radio.name})
            self._status_file.replace(stopped.encode())
        if radio.done() and not radio.cancelled():
            radio.result()  # a radio never returns: this raises what ended it

    def _look(self) -> None:
        """Take what is new; a bad envelope changes nothing on air, anything bad beside it is left out; both are reported (BE-19)."""
        try:
            found = self._files.look()
            self._unreadable = None
        except OSError as bad:
            if self._unreadable != bad.errno:  # looked at four times a second, said once
                _log.warning("public folder unreadable: %s", bad.strerror)
            self._unreadable = bad.errno
            return
        if found is None:
            return
        self._refusal = None
        if self._files.fault is not None:
            self._refuse(self._files.fault)
        if found.envelope is None or found == self._shown:
            return  # nothing yet, or the one on air is back in its place
        sequence = self._sequence + (found.governed != self._shown.governed)
        broadcast = self._compile(found, sequence)
        if broadcast is not None:
            self._sequence = sequence
            self._shown = found
            self._radio.replace(broadcast)

    def _compile(self, found: Shown, sequence: int) -> Broadcast | None:
        """BE-19: as much of what was found as can be shown."""
        assert found.envelope is not None
        for shown in (found, Shown(*found.governed), Shown(found.envelope)):
            assert shown.envelope is not None
            try:
                return compile_broadcast(
                    shown.envelope,
                    sequence,
                    upcoming=shown.upcoming,
                    stop=shown.stop,
                    compact=shown.compact,
                    checkpoint=shown.checkpoint,
                    latest=shown.latest,
                )
            except BadInput as bad:
                self._refuse(bad)
        return None

    def _refuse(self, bad: BadInput) -> None:
        self._refusal = bad
        _log.warning("envelope refused: %s", bad)

    def _lease(self, now: float) -> None:
        evidence = self._radio.on_air()
        if evidence is None:
            self._line.hang_up()
        else:
            shown = evidence.broadcast
            self._line.renew(Lease(shown.digest, evidence.on_air, boot_ns(), shown.upcoming), now)

    def _report(self, now: float) -> None:
        status = self._present_status()
        if status != self._status or now - self._status_at >= WRITE_EVERY_S:
            if self._status is None or status.code != self._status.code:
                _log.info("%s: %s", status.code, status.words)
            self._status, self._status_at = status, now
            self._status_file.replace(status.encode())
        self._watchdog.feed()
        if self._counters.due:
            self._count()

    def _present_status(self) -> Status:
        evidence, down = self._radio.on_air(), self._radio.down()
        if self._refusal is not None:
            code, words = "bad_envelope", str(self._refusal)
        elif self._shown.envelope is None:
            code, words = "no_envelope", "waiting for the anonymizer's signed envelope"
        elif evidence is None:
            code, words = (down.cause.value, str(down)) if down else ("radio_starting", "the radio is being changed")
        elif not self._line.connected:
            code, words = "no_inbox", "on air, but the anonymizer's inbox is absent"
        else:
            code, words = "on_air", evidence.broadcast.name
        return Status(DAEMON, code == "on_air", code, words, {"backend": self._radio.name})

    def _count(self) -> None:
        if not self._counters.ask(self._state_path, MAX_STATE_BYTES, says_demo):
            return
        self._counters.write(
            {"on_air": self._radio.on_air() is not None, "backend": self._radio.name, "leases": self._line.sent}
        )


async def serve(settings: Settings, exact_counters_fd: int | None) -> None:
    """Run the daemon until SIGTERM or SIGINT; raises DemoOnly."""
    beacon = Beacon(open_radio(settings), settings.paths, ExactCounters(exact_counters_fd, DAEMON))
    loop = asyncio.get_running_loop()
    for ending in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(ending, beacon.stop)
    await beacon.run()
