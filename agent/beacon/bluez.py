"""The radio through BlueZ: registers our GATT application and advertisement over D-Bus and keeps asking whether they still stand.

A session is one bus connection; BlueZ drops all that a connection registered when it ends, so nothing stale can remain (BE-10, BE-11).
"""

import asyncio
import contextlib
import logging
import time
from typing import Any

from dbus_fast import BusType, Message, MessageType
from dbus_fast.aio import MessageBus
from dbus_fast.errors import AuthError, DBusError, InvalidAddressError

from agent.beacon.advertisement import MAX_EXTENDED_BYTES
from agent.beacon.bluez_calls import Refusal, call, is_powered
from agent.beacon.bluez_causes import BLUEZ, advise, off, refused, unheard
from agent.beacon.bluez_objects import APPLICATION, OBJECT_MANAGER, PROPERTIES, Objects
from agent.beacon.bluez_readers import DEVICE, Readers, is_stranger
from agent.beacon.bluez_witness import Witness, discovery_filter
from agent.beacon.broadcast import Broadcast
from agent.beacon.radio import EVIDENCE_EVERY_S, LONGEST_RETRY_S, STEP_TIMEOUT_S, Cause, RadioDown, RetryingRadio
from agent.contracts.lease import OnAir

ADAPTER = "org.bluez.Adapter1"
GATT_MANAGER = "org.bluez.GattManager1"
ADVERTISING_MANAGER = "org.bluez.LEAdvertisingManager1"

_ALREADY_EXISTS = "org.bluez.Error.AlreadyExists"
_FLAGS_BYTES = 3
"""What a kernel may put before our data."""

_BUS, _BUS_PATH = "org.freedesktop.DBus", "/org/freedesktop/DBus"
_MATCHES = (
    f"type='signal',sender='{_BUS}',member='NameOwnerChanged',arg0='{BLUEZ}'",
    f"type='signal',sender='{BLUEZ}',interface='{OBJECT_MANAGER}'",
    f"type='signal',sender='{BLUEZ}',interface='{PROPERTIES}',member='PropertiesChanged',arg0='{ADAPTER}'",
    f"type='signal',sender='{BLUEZ}',interface='{PROPERTIES}',member='PropertiesChanged',arg0='{DEVICE}'",
)

_log = logging.getLogger(__name__)


class BluezRadio(RetryingRadio):
    """Radio on BlueZ's adapter `adapter`, such as hci0, on the system bus (or DBUS_SYSTEM_BUS_ADDRESS).

    With a `witness`, another adapter, only what that one hears is on air.
    """

    name = "bluez"

    def __init__(self, adapter: str, witness: str = "") -> None:
        super().__init__()
        self._adapter = f"/org/bluez/{adapter}"
        self._witness = Witness(f"/org/bluez/{witness}") if witness else None
        self._owner = ""
        self._ended: RadioDown | None = None
        self._with_interval = True
        self._readers = Readers(self._adapter)
        self._max_bytes = 0
        self._advised = False

    async def _session(self) -> None:
        bus = MessageBus(bus_type=BusType.SYSTEM)
        try:
            async with asyncio.timeout(STEP_TIMEOUT_S):
                await bus.connect()
        except (OSError, AuthError, DBusError, InvalidAddressError, EOFError, TimeoutError) as bad:
            raise RadioDown(
                Cause.NO_BUS, "system bus", why=str(bad)[:120] or type(bad).__name__, remedy="is dbus-daemon running?"
            ) from None
        watch = asyncio.create_task(self._watch(bus))
        try:
            await self._hold(bus)
        except Refusal as refusal:
            raise self._ended or self._refused(refusal) from None
        except TimeoutError:
            raise RadioDown(
                Cause.NO_ANSWER, BLUEZ, why="no answer within 10 s", remedy="restart bluetooth.service"
            ) from None
        except (OSError, EOFError, DBusError) as bad:
            raise RadioDown(Cause.NO_BUS, "system bus", why=str(bad)[:120] or type(bad).__name__) from None
        finally:
            watch.cancel()
            bus.disconnect()

    async def _watch(self, bus: MessageBus) -> None:
        """Notice the end of the bus connection itself."""
        with contextlib.suppress(OSError, EOFError, DBusError):  # how it ended does not matter
            await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]  # dbus-fast leaves it without annotations
        self._end(RadioDown(Cause.NO_BUS, "system bus", why="the connection ended"))

    async def _hold(self, bus: MessageBus) -> None:
        """Register, then prove again and again that it still stands; always raises."""
        self._ended, self._owner = None, ""
        self._readers = Readers(self._adapter)
        if not self._advised:
            self._advised = True
            advise()
        assert self._wanted is not None
        objects = Objects(self._wanted, self._released)
        objects.with_interval = self._with_interval
        bus.add_message_handler(lambda message: self._receive(message, objects))
        if self._witness is not None:
            self._witness.expect(self._wanted.name)
        for match in _MATCHES:
            await call(bus, _BUS, _BUS_PATH, _BUS, "AddMatch", "s", match)
        await self._find_adapter(bus)
        await self._manage(bus, GATT_MANAGER, "RegisterApplication", "oa{sv}", APPLICATION, {})
        await self._listen(bus)
        shown, further = "", b""
        while True:
            self._wake.clear()
            if self._ended is not None:
                raise self._ended
            broadcast = self._wanted
            objects.broadcast = broadcast
            if self._witness is not None:
                self._witness.expect(broadcast.name)
            if shown != broadcast.name:
                if shown:
                    await self._end_further(bus, objects)
                    further = b""
                    await self._manage(
                        bus, ADVERTISING_MANAGER, "UnregisterAdvertisement", "o", objects.advertisement_path
                    )
                path = objects.advertise(broadcast)
                await self._manage(bus, ADVERTISING_MANAGER, "RegisterAdvertisement", "oa{sv}", path, {})
                shown = broadcast.name
            await self._prove(bus, objects)
            if self._ended is None and not self._heard():
                self._set_down(unheard(self._adapter, self._witness))
                await self._pause(EVIDENCE_EVERY_S)
            elif self._ended is None:
                self._set_on_air(broadcast, OnAir.ADVERTISING)
                if further != broadcast.compact:
                    further = broadcast.compact
                    await self._show_further(bus, objects, broadcast)
                await self._dismiss(bus)
                await self._pause(min(EVIDENCE_EVERY_S, max(0.05, self._readers.next_s(time.monotonic()))))

    async def _listen(self, bus: MessageBus) -> None:
        """BE-41: have the witness scan for as long as this session lasts; BlueZ ends it with the connection."""
        if self._witness is None:
            return
        try:
            await call(
                bus, self._owner, self._witness.adapter, ADAPTER, "SetDiscoveryFilter", "a{sv}", discovery_filter()
            )
            await call(bus, self._owner, self._witness.adapter, ADAPTER, "StartDiscovery")
        except Refusal as refusal:
            await self._give_up(
                RadioDown(
                    Cause.NOT_HEARD,
                    self._witness.adapter,
                    why=f"the second adapter cannot listen: {refusal}",
                    remedy="plug it in and power it on, or remove radio.witness from agent.toml",
                )
            )

    def _heard(self) -> bool:
        return self._witness is None or self._witness.hears(time.monotonic())

    def _witnessed(self, *, news: bool) -> None:
        """The witness heard it: look again when that changes anything."""
        if news and self._evidence is None:
            self._wake.set()

    async def _show_further(self, bus: MessageBus, objects: Objects, broadcast: Broadcast) -> None:
        """BE-36: the compact disclosure in an extended advertisement, where BlueZ says that one fits; a refusal is said once and is none of ours."""
        await self._end_further(bus, objects)
        size = len(broadcast.extended or b"") + _FLAGS_BYTES
        if not broadcast.compact or size > min(self._max_bytes, MAX_EXTENDED_BYTES):
            return
        path = objects.advertise_further(broadcast.compact)
        try:
            await self._manage(bus, ADVERTISING_MANAGER, "RegisterAdvertisement", "oa{sv}", path, {})
        except Refusal as refusal:
            objects.further = b""
            if self._ended is None:
                _log.warning("no extended advertisement: BlueZ refused it: %s", refusal)

    async def _end_further(self, bus: MessageBus, objects: Objects) -> None:
        if objects.further:
            with contextlib.suppress(Refusal):  # BlueZ may have ended it itself
                await self._manage(bus, ADVERTISING_MANAGER, "UnregisterAdvertisement", "o", objects.further_path)
            objects.further = b""

    async def _dismiss(self, bus: MessageBus) -> None:
        """BE-16: end the connection of a stranger who has stayed too long."""
        for path in self._readers.overdue(time.monotonic()):
            try:
                (properties,) = await call(bus, self._owner, path, PROPERTIES, "GetAll", "s", DEVICE)
                if is_stranger(properties):
                    await call(bus, self._owner, path, DEVICE, "Disconnect")
                    _log.info("a reader that stayed was let go")
            except Refusal as refusal:
                self._readers.forget(path)
                _log.info("a reader that stayed could not be let go: %s", refusal.name)

    async def _find_adapter(self, bus: MessageBus) -> None:
        """Start BlueZ if the bus can, note its owner, find our adapter powered on; else wait a little for a change and raise."""
        try:
            (found,) = await call(bus, BLUEZ, "/", OBJECT_MANAGER, "GetManagedObjects")
            (self._owner,) = await call(bus, _BUS, _BUS_PATH, _BUS, "GetNameOwner", "s", BLUEZ)
        except Refusal as refusal:
            await self._give_up(RadioDown(Cause.NO_BLUEZ, BLUEZ, why=str(refusal), remedy="start bluetooth.service"))
        interfaces = found.get(self._adapter, {})
        if not all(name in interfaces for name in (ADAPTER, GATT_MANAGER, ADVERTISING_MANAGER)):
            await self._give_up(
                RadioDown(
                    Cause.NO_ADAPTER,
                    self._adapter,
                    why="BlueZ has no such adapter that can advertise",
                    remedy="plug it in, or correct radio.adapter in agent.toml",
                )
            )
        if not is_powered(interfaces[ADAPTER]):
            await self._give_up(off(self._adapter, interfaces[ADAPTER]))
        capabilities = interfaces[ADVERTISING_MANAGER].get("SupportedCapabilities")
        longest = capabilities.value.get("MaxAdvLen") if capabilities is not None else None
        self._max_bytes = longest.value if longest is not None else 0  # 5.66 tells nothing, and has legacy PDUs only
        for path, known in found.items():
            self._readers.see(path, known, time.monotonic())
            if self._witness is not None:
                self._witness.know(path, known)

    async def _give_up(self, down: RadioDown) -> None:
        """Say why, wait for a sign that it changed (or a little while), raise."""
        self._set_down(down)
        await self._pause(LONGEST_RETRY_S)
        raise down

    async def _prove(self, bus: MessageBus, objects: Objects) -> None:
        """BE-11: the same bluetoothd, powered, and it holds what this connection registered, or takes it again; else end the session."""
        (owner,) = await call(bus, _BUS, _BUS_PATH, _BUS, "GetNameOwner", "s", BLUEZ)
        (adapter,) = await call(bus, self._owner, self._adapter, PROPERTIES, "GetAll", "s", ADAPTER)
        (manager,) = await call(bus, self._owner, self._adapter, PROPERTIES, "GetAll", "s", ADVERTISING_MANAGER)
        if owner != self._owner:
            raise RadioDown(Cause.BLUEZ_GONE, BLUEZ, why="it was restarted")
        if not is_powered(adapter):
            raise off(self._adapter, adapter)
        active = manager.get("ActiveInstances")
        if active is None or active.value < 1:
            raise RadioDown(Cause.RELEASED, self._adapter, why="BlueZ no longer has an active advertisement")
        await self._keep(bus, GATT_MANAGER, "RegisterApplication", APPLICATION)
        await self._keep(bus, ADVERTISING_MANAGER, "RegisterAdvertisement", objects.advertisement_path)

    async def _keep(self, bus: MessageBus, interface: str, member: str, path: str) -> None:
        """Ask for `path` to be registered once more: the only way to learn that BlueZ still holds ours is that it refuses."""
        try:
            await self._manage(bus, interface, member, "oa{sv}", path, {})
        except Refusal as refusal:
            if refusal.name != _ALREADY_EXISTS:
                raise
        else:
            _log.warning("BlueZ had lost %s; it is registered again", path)

    async def _manage(self, bus: MessageBus, interface: str, member: str, signature: str, *body: Any) -> None:
        await call(bus, self._owner, self._adapter, interface, member, signature, *body)

    def _receive(self, message: Message, objects: Objects) -> Message | None:
        if message.message_type is MessageType.METHOD_CALL:
            return objects.answer(message) if message.sender == self._owner else None
        if message.message_type is MessageType.SIGNAL:
            self._signal(message)
        return None

    def _signal(self, message: Message) -> None:
        match message.member, message.body:
            case "NameOwnerChanged", [str(name), _, str(owner)] if name == BLUEZ:
                if self._owner and owner != self._owner:
                    self._end(RadioDown(Cause.BLUEZ_GONE, BLUEZ, why="bluetoothd ended or was restarted"))
                self._wake.set()
            case "InterfacesRemoved", [str(path), list(gone)] if path == self._adapter and ADAPTER in gone:
                self._end(RadioDown(Cause.NO_ADAPTER, self._adapter, why="the adapter went away", remedy="plug it in"))
            case "InterfacesAdded", [str(path), _] if path == self._adapter:
                self._wake.set()
            case "InterfacesAdded", [str(path), dict(added)]:
                now = time.monotonic()
                self._readers.see(path, added, now)
                if self._witness is not None:
                    self._witnessed(news=self._witness.see(path, added, now))
            case "InterfacesRemoved", [str(path), _]:
                self._readers.forget(path)
            case "PropertiesChanged", [str(interface), dict(changed), _] if interface == DEVICE:
                now = time.monotonic()
                self._readers.change(message.path or "", changed, now)
                if self._witness is not None:
                    self._witnessed(news=self._witness.change(message.path or "", changed, now))
            case "PropertiesChanged", [_, dict(changed), _] if message.path == self._adapter and "Powered" in changed:
                if is_powered(changed):
                    self._wake.set()
                else:
                    self._end(off(self._adapter, changed))

    def _released(self) -> None:
        self._end(RadioDown(Cause.RELEASED, self._adapter, why="BlueZ released the advertisement"))

    def _end(self, down: RadioDown) -> None:
        """The session is over: nothing is on air from this moment."""
        if self._ended is None:
            self._ended = down
        self._set_off_air()
        self._wake.set()

    def _refused(self, refusal: Refusal) -> RadioDown:
        """BE-11: a normal state; the next try goes without, or again with, the interval, which some BlueZ or kernel may not take."""
        down = refused(self._adapter, refusal)
        if down.cause in (Cause.REFUSED, Cause.SLOTS_FULL):
            self._with_interval = not self._with_interval
        return down

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return
