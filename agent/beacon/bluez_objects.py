"""Our objects on the bus, as BlueZ reads them: one GATT application and one advertisement (SPEC.md, BE-10, BE-11). Pure.

Plain answers to plain messages instead of dbus-fast's service classes: nothing is exported that is not written here.
Interfaces: doc/gatt-api.txt and doc/advertising-api.txt of BlueZ 5.66.
"""

from collections.abc import Callable, Mapping
from typing import Any

from dbus_fast import Message, MessageType, Variant

from agent.beacon.advertisement import SERVICE
from agent.beacon.broadcast import Broadcast
from agent.beacon.radio import ADVERTISING_INTERVAL_MS

APPLICATION = "/org/dtpr/beacon"
SERVICE_PATH = f"{APPLICATION}/service"
GATT_SERVICE = "org.bluez.GattService1"
GATT_CHARACTERISTIC = "org.bluez.GattCharacteristic1"
ADVERTISEMENT = "org.bluez.LEAdvertisement1"
PROPERTIES = "org.freedesktop.DBus.Properties"
OBJECT_MANAGER = "org.freedesktop.DBus.ObjectManager"

_Interfaces = dict[str, dict[str, Variant]]


class Objects:
    """Answers method calls about `broadcast`, which may be replaced; `released` is called when BlueZ ends the advertisement."""

    def __init__(self, broadcast: Broadcast, released: Callable[[], None]) -> None:
        self.broadcast = broadcast
        self.advertised = broadcast
        self.with_interval = True
        self.further = b""
        self._released = released
        self._number = 0
        self._further_number = 0

    @property
    def further_path(self) -> str:
        """The object path of the advertisement with the compact disclosure (BE-36); another for each content."""
        return f"{APPLICATION}/further{self._further_number}"

    def advertise_further(self, compact: bytes) -> str:
        """From now on that object shows `compact`, under a new path, which is returned."""
        self.further = compact
        self._further_number += 1
        return self.further_path

    @property
    def advertisement_path(self) -> str:
        """The advertisement's object path; another for each registration, so that none is taken for an earlier one."""
        return f"{APPLICATION}/advertisement{self._number}"

    def advertise(self, broadcast: Broadcast) -> str:
        """From now on the advertisement object shows `broadcast`, under a new path, which is returned."""
        self.advertised = broadcast
        self._number += 1
        return self.advertisement_path

    def answer(self, message: Message) -> Message | None:
        """The reply to one method call, None when it is none of ours (dbus-fast then answers)."""
        interfaces = self._objects().get(message.path or "")
        if interfaces is None:
            return None
        match message.interface, message.member, message.body:
            case "org.freedesktop.DBus.Properties", "GetAll", [str(interface)]:
                return _reply(message, "a{sv}", interfaces.get(interface, {}))
            case "org.freedesktop.DBus.Properties", "Get", [str(interface), str(name)]:
                value = interfaces.get(interface, {}).get(name)
                if value is None:
                    return Message.new_error(message, "org.freedesktop.DBus.Error.UnknownProperty", name)
                return _reply(message, "v", value)
            case "org.freedesktop.DBus.Properties", "Set", _:
                return Message.new_error(
                    message, "org.freedesktop.DBus.Error.PropertyReadOnly", "nothing here is written"
                )
            case "org.freedesktop.DBus.ObjectManager", "GetManagedObjects", _:
                return _reply(message, "a{oa{sa{sv}}}", self._application() if message.path == APPLICATION else {})
            case "org.bluez.GattCharacteristic1", "ReadValue", [dict() as options] if GATT_CHARACTERISTIC in interfaces:
                return self._read(message, options)
            case "org.bluez.LEAdvertisement1", "Release", _ if message.path == self.further_path:
                return _reply(message, "", None)  # extra: its end is no cause to be off air
            case "org.bluez.LEAdvertisement1", "Release", _ if ADVERTISEMENT in interfaces:
                self._released()
                return _reply(message, "", None)
        return None

    def _read(self, message: Message, options: Mapping[str, Variant]) -> Message:
        place = _place(message.path or "")
        value = self.broadcast.attributes[place].value
        offset = options["offset"].value if "offset" in options else 0
        if not isinstance(offset, int) or not 0 <= offset <= len(value):
            return Message.new_error(message, "org.bluez.Error.InvalidOffset", "beyond the value's end")
        return _reply(message, "ay", value[offset:])

    def _application(self) -> dict[str, _Interfaces]:
        tree: dict[str, _Interfaces] = {
            SERVICE_PATH: {GATT_SERVICE: {"UUID": Variant("s", str(SERVICE)), "Primary": Variant("b", True)}}
        }
        for place, attribute in enumerate(self.broadcast.attributes):
            tree[_characteristic_path(place)] = {
                GATT_CHARACTERISTIC: {
                    "UUID": Variant("s", str(attribute.uuid)),
                    "Service": Variant("o", SERVICE_PATH),
                    "Flags": Variant("as", ["read"]),
                }
            }
        return tree

    def _objects(self) -> dict[str, _Interfaces]:
        return {
            APPLICATION: {},
            self.advertisement_path: {ADVERTISEMENT: self._advertisement()},
            **({self.further_path: {ADVERTISEMENT: self._further()}} if self.further else {}),
            **self._application(),
        }

    def _advertisement(self) -> dict[str, Variant]:
        """BlueZ builds the packets itself; `Discoverable` is what makes it write the flags. Never SecondaryChannel: it crashes 5.66."""
        properties = {
            "Type": Variant("s", "peripheral"),
            "ServiceUUIDs": Variant("as", [str(SERVICE)]),
            "LocalName": Variant("s", self.advertised.name),
            "Discoverable": Variant("b", True),
        }
        if self.with_interval:
            properties["MinInterval"] = properties["MaxInterval"] = Variant("u", int(ADVERTISING_INTERVAL_MS))
        return properties

    def _further(self) -> dict[str, Variant]:
        """Not connectable, one AD structure. That it is sent in an extended PDU follows from its length alone."""
        data = {str(SERVICE): Variant("ay", self.further)}
        return {"Type": Variant("s", "broadcast"), "ServiceData": Variant("a{sv}", data)}


def _characteristic_path(place: int) -> str:
    return f"{SERVICE_PATH}/characteristic{place}"


def _place(path: str) -> int:
    return int(path.removeprefix(f"{SERVICE_PATH}/characteristic"))


def _reply(message: Message, signature: str, value: Any) -> Message:
    return Message(
        destination=message.sender,
        message_type=MessageType.METHOD_RETURN,
        reply_serial=message.serial,
        signature=signature,
        body=[value] if signature else [],
    )
