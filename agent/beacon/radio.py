"""The one interface of a radio backend, and what all backends share: wanting, retrying, and proof of being on air.

Invariant: `on_air()` is None unless the backend has evidence, at most EVIDENCE_LASTS_S old, that exactly the broadcast it
names is being sent or served. It asks for it every EVIDENCE_EVERY_S. Silence, doubt and errors all read as None (I3).
"""

import asyncio
import enum
import logging
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Protocol

from agent.beacon.broadcast import Broadcast
from agent.beacon.cancellation import end_if_cancelled
from agent.contracts.lease import OnAir
from agent.errors import RadioUnavailable

EVIDENCE_EVERY_S = 5.0
"""How often a radio is asked: half a lease's lifetime, so that an answer that comes late costs nothing."""

EVIDENCE_LASTS_S = 2 * EVIDENCE_EVERY_S
"""How long an answer is believed: a lease's lifetime, after which a radio that died in silence has no lease."""

ADVERTISING_INTERVAL_MS = 318.75
"""From the list of intervals that iPhones scan best, and between the 250 ms and 1 s of RADIO.md section 8."""

STEP_TIMEOUT_S = 10.0
"""For any single exchange with BlueZ or a controller; a kernel gives a controller 2 s for a command."""

READER_LIMIT_S = 20.0
"""A reading takes a few seconds; a reader that stays would keep a controller with few links from everyone else (BE-16)."""

FIRST_RETRY_S = 0.25
LONGEST_RETRY_S = 2.0

_log = logging.getLogger(__name__)


class Cause(enum.StrEnum):
    """Why there is nothing on air: the status code of the beacon."""

    STARTING = "radio_starting"
    NO_BUS = "no_system_bus"
    NO_BLUEZ = "no_bluez"
    BLUEZ_GONE = "bluez_gone"
    NO_ADAPTER = "no_adapter"
    POWERED_OFF = "adapter_powered_off"
    BLOCKED = "adapter_blocked"
    REFUSED = "radio_refused"
    SLOTS_FULL = "advertisement_slots_full"
    NOT_HEARD = "not_heard"
    RELEASED = "advertisement_released"
    NO_TRANSPORT = "no_transport"
    TRANSPORT_LOST = "transport_lost"
    NO_ANSWER = "radio_no_answer"
    CONTROLLER_RESET = "controller_reset"


class RadioDown(RadioUnavailable):
    """A RadioUnavailable with the cause as a code."""

    def __init__(self, cause: Cause, what: str, *, why: str, remedy: str = "") -> None:
        self.cause = cause
        super().__init__(what, why=why, remedy=remedy)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is on air, and how."""

    broadcast: Broadcast
    on_air: OnAir


class Radio(Protocol):
    """A backend. `replace` says what shall be on air, `run` makes it so, `changed` is set whenever the other two answers may differ."""

    name: str
    changed: asyncio.Event

    def replace(self, broadcast: Broadcast) -> None:
        """From now on this shall be on air; returns at once."""

    def on_air(self) -> Evidence | None:
        """What is on air at this moment, None for nothing or for doubt."""

    def down(self) -> RadioDown | None:
        """Why nothing is on air; None while something is."""

    async def run(self) -> None:
        """Own the radio until cancelled; every RadioDown is kept for `down` and tried again. Takes all off air at the end."""


class RetryingRadio(ABC):
    """A backend as a series of sessions, each ended by a RadioDown."""

    name = ""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self._wanted: Broadcast | None = None
        self._wake = asyncio.Event()
        self._evidence: Evidence | None = None
        self._evidence_at = 0.0
        self._down: RadioDown | None = RadioDown(Cause.STARTING, "radio", why="being started")

    def replace(self, broadcast: Broadcast) -> None:
        """See Radio."""
        shown, self._wanted = self._evidence, broadcast
        if shown is not None and shown.broadcast != broadcast:
            if (shown.broadcast.name, shown.broadcast.digest) == (broadcast.name, broadcast.digest):
                # the same advertisement over renewed attributes, which are read from `_wanted`: on air without a pause;
                # what is served beside it is proven first when it is another (BE-18)
                same = shown.broadcast.upcoming == broadcast.upcoming
                self._evidence = Evidence(broadcast if same else replace(broadcast, upcoming=None), shown.on_air)
                self.changed.set()
            else:
                self._set_off_air()
        self._wake.set()

    def on_air(self) -> Evidence | None:
        """See Radio."""
        if self._evidence is not None and time.monotonic() - self._evidence_at > EVIDENCE_LASTS_S:
            self._set_off_air()
            self._down = RadioDown(Cause.NO_ANSWER, self.name, why="no sign of life from the radio")
        return self._evidence

    def down(self) -> RadioDown | None:
        """See Radio."""
        return None if self._evidence is not None else self._down

    async def run(self) -> None:
        """See Radio."""
        pause_s = FIRST_RETRY_S
        while True:
            end_if_cancelled()
            self._wake.clear()
            if self._wanted is None:
                await self._wake.wait()
            started = time.monotonic()
            try:
                await self._session()
            except RadioDown as down:
                self._set_down(down)
            finally:
                self._set_off_air()
            short = time.monotonic() - started < LONGEST_RETRY_S / 2
            pause_s = min(2 * pause_s, LONGEST_RETRY_S) if short else FIRST_RETRY_S
            await asyncio.sleep(pause_s)

    @abstractmethod
    async def _session(self) -> None:
        """Open the radio, show `self._wanted` and its successors, and raise RadioDown when that ends. Closes what it opened."""

    def _set_on_air(self, broadcast: Broadcast, on_air: OnAir) -> None:
        """Record fresh evidence; ignored when something else is wanted by now."""
        if broadcast != self._wanted:
            self._set_off_air()
            return
        evidence = Evidence(broadcast, on_air)
        self._evidence_at = time.monotonic()
        if self._evidence != evidence:
            self._evidence = evidence
            self._down = None
            self.changed.set()

    def _set_down(self, down: RadioDown) -> None:
        """Record why nothing is on air; said in the log when it is news."""
        self._set_off_air()
        if self._down is None or down.cause is not self._down.cause:
            _log.warning("radio down: %s: %s", down.cause, down)
            self.changed.set()
        self._down = down

    def _set_off_air(self) -> None:
        if self._evidence is not None:
            self._evidence = None
            self.changed.set()
