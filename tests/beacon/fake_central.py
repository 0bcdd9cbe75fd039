"""The central's side of our bluetoothd: adapter hci1, which hears what hci0 sends and connects to it, as bleak wants it.

A connected pair is two Device1 objects, as in BlueZ: the unit under hci1 and the reader under hci0, where the beacon sees it.
"""

import asyncio
import uuid
from typing import TYPE_CHECKING, Any

from dbus_fast import Message, Variant

if TYPE_CHECKING:
    from tests.beacon.fake_bluez import FakeBluez

READER_ADAPTER = "/org/bluez/hci1"
UNIT_DEVICE = f"{READER_ADAPTER}/dev_00_AA_01_00_00_01"
READER_DEVICE = "/org/bluez/hci0/dev_00_AA_01_00_00_02"
SERVICE = f"{UNIT_DEVICE}/service0010"
REPORT_EVERY_S = 0.2

DEVICE, ADAPTER = "org.bluez.Device1", "org.bluez.Adapter1"
GATT_SERVICE, CHARACTERISTIC = "org.bluez.GattService1", "org.bluez.GattCharacteristic1"
PROPERTIES, MANAGER = "org.freedesktop.DBus.Properties", "org.freedesktop.DBus.ObjectManager"


class FakeCentral:
    """What hci1 hears, and the one connection between the two adapters."""

    def __init__(self, bluez: "FakeBluez") -> None:
        self._bluez = bluez
        self._known = False
        self._connected = False
        self._paths: dict[str, str] = {}
        self._scan: asyncio.Task[None] | None = None
        self.paired = False
        self.deaf = False
        self.refuse_connects = 0
        self.hidden: set[str] = set()
        self.hold_after: int | None = None
        self.held = asyncio.Event()
        self.go = asyncio.Event()
        self.reads = 0

    @property
    def connected(self) -> bool:
        """Is there a connection?"""
        return self._connected

    def objects(self) -> dict[str, dict[str, dict[str, Variant]]]:
        """What GetManagedObjects tells besides hci0."""
        found: dict[str, dict[str, dict[str, Variant]]] = {
            READER_ADAPTER: {
                ADAPTER: {
                    "Powered": Variant("b", True),
                    "Address": Variant("s", "00:AA:01:00:00:02"),
                    "Roles": Variant("as", ["central", "peripheral"]),
                }
            }
        }
        if self._known:
            found[UNIT_DEVICE] = {DEVICE: self._unit()}
        if self._connected:
            found[READER_DEVICE] = {DEVICE: self._reader()}
            found |= self._table()
        return found

    def receive(self, message: Message) -> Message | bool | None:
        """One call to an object of ours, None when it is not ours."""
        match message.path, message.interface, message.member:
            case path, "org.bluez.Adapter1", "SetDiscoveryFilter" if path == READER_ADAPTER:
                return Message.new_method_return(message)
            case path, "org.bluez.Adapter1", "StartDiscovery" if path == READER_ADAPTER:
                self._scan = self._scan or asyncio.ensure_future(self._report())
                return Message.new_method_return(message)
            case path, "org.bluez.Adapter1", "StopDiscovery" if path == READER_ADAPTER:
                self._stop_scan()
                return Message.new_method_return(message)
            case path, "org.bluez.Device1", "Connect" if path == UNIT_DEVICE:
                return self._bluez.start(message, self._connect(message))
            case path, "org.bluez.Device1", "Disconnect" if path in (UNIT_DEVICE, READER_DEVICE):
                return self._bluez.start(message, self._disconnect(message))
            case str(path), "org.bluez.GattCharacteristic1", "ReadValue" if path in self._paths:
                return self._bluez.start(message, self._read(message, self._paths[path]))
            case str(path), "org.freedesktop.DBus.Properties", "GetAll" if path in self.objects():
                return Message.new_method_return(message, "a{sv}", [self.objects()[path].get(message.body[0], {})])
        return None

    async def end(self) -> None:
        """The connection ends, whoever wanted it."""
        if not self._connected:
            return
        self._connected = False
        table, self._paths = [SERVICE, *self._paths], {}
        for device in (UNIT_DEVICE, READER_DEVICE):
            await self._changed(device, {"Connected": Variant("b", False), "ServicesResolved": Variant("b", False)})
        for path in table:
            gone = [GATT_SERVICE if path == SERVICE else CHARACTERISTIC]
            await self._bluez.signal("/", MANAGER, "InterfacesRemoved", "oas", [path, gone])

    async def _report(self) -> None:
        while True:
            heard = self._bluez.heard() if not self.deaf else None
            if heard is not None and not self._known:
                self._known = True
                await self._bluez.signal(
                    "/", MANAGER, "InterfacesAdded", "oa{sa{sv}}", [UNIT_DEVICE, {DEVICE: self._unit()}]
                )
            elif heard is not None:
                await self._changed(UNIT_DEVICE, {"RSSI": Variant("n", -50), "Name": Variant("s", heard)})
            await asyncio.sleep(REPORT_EVERY_S)

    def _stop_scan(self) -> None:
        if self._scan is not None:
            self._scan.cancel()
            self._scan = None

    async def _connect(self, message: Message) -> Message:
        if self.refuse_connects:
            self.refuse_connects -= 1
            return Message.new_error(message, "org.bluez.Error.Failed", "Device or resource busy")
        if self._bluez.heard() is None:
            return Message.new_error(message, "org.bluez.Error.Failed", "Operation already in progress")
        await self.join()
        return Message.new_method_return(message)

    async def join(self) -> None:
        """A connection, whoever wanted it."""
        self._connected = True
        await self._bluez.signal(
            "/", MANAGER, "InterfacesAdded", "oa{sa{sv}}", [READER_DEVICE, {DEVICE: self._reader()}]
        )
        await self._changed(READER_DEVICE, {"Connected": Variant("b", True)})
        await self._changed(UNIT_DEVICE, {"Connected": Variant("b", True)})
        for path, interfaces in self._table().items():
            await self._bluez.signal("/", MANAGER, "InterfacesAdded", "oa{sa{sv}}", [path, interfaces])
        await self._changed(UNIT_DEVICE, {"ServicesResolved": Variant("b", True)})

    async def _disconnect(self, message: Message) -> Message:
        await self.end()
        return Message.new_method_return(message)

    async def _read(self, message: Message, wanted: str) -> Message:
        if self.hold_after is not None and self.reads >= self.hold_after:
            self.hold_after = None
            self.held.set()
            await self.go.wait()
        self.reads += 1
        value = await self._bluez.read(wanted, {"device": Variant("o", READER_DEVICE)})
        return Message.new_method_return(message, "ay", [value])

    def _table(self) -> dict[str, dict[str, dict[str, Variant]]]:
        service = {"UUID": Variant("s", "57310000-8b84-490a-955e-0bba4fe2f69e"), "Primary": Variant("b", True)}
        found = {SERVICE: {GATT_SERVICE: {**service, "Device": Variant("o", UNIT_DEVICE)}}}
        for number, wanted in enumerate(self._bluez.table()):
            if wanted in self.hidden:
                continue
            path = f"{SERVICE}/char{0x11 + 2 * number:04x}"
            self._paths[path] = wanted
            found[path] = {
                CHARACTERISTIC: {
                    "UUID": Variant("s", str(uuid.UUID(wanted))),
                    "Service": Variant("o", SERVICE),
                    "Flags": Variant("as", ["read"]),
                    "MTU": Variant("q", 517),
                }
            }
        return found

    def _unit(self) -> dict[str, Variant]:
        return {
            **_device("00:AA:01:00:00:01", READER_ADAPTER, connected=self._connected),
            "Name": Variant("s", self._bluez.heard() or ""),
            "UUIDs": Variant("as", ["57310000-8b84-490a-955e-0bba4fe2f69e"]),
            "RSSI": Variant("n", -50),
        }

    def _reader(self) -> dict[str, Variant]:
        device = _device("00:AA:01:00:00:02", "/org/bluez/hci0", connected=self._connected)
        return {**device, "Paired": Variant("b", self.paired)}

    async def _changed(self, path: str, properties: dict[str, Variant]) -> None:
        await self._bluez.signal(path, PROPERTIES, "PropertiesChanged", "sa{sv}as", [DEVICE, properties, []])


def _device(address: str, adapter: str, *, connected: bool) -> dict[str, Any]:
    return {
        "Address": Variant("s", address),
        "AddressType": Variant("s", "public"),
        "Alias": Variant("s", address),
        "Adapter": Variant("o", adapter),
        "Paired": Variant("b", False),
        "Trusted": Variant("b", False),
        "Connected": Variant("b", connected),
        "ServicesResolved": Variant("b", False),
    }
