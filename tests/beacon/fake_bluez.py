"""A bluetoothd of our own, hostile and strict, on a private bus: `python -m tests.beacon.fake_bluez`.

It does what BlueZ 5.66 does with a registration (src/advertising.c, src/gatt-database.c; sizes as measured in RADIO.md B.3): asks
the advertisement for GetManagedObjects and GetAll, builds the packets, refuses more than 31 bytes; asks the application for
GetManagedObjects; cuts attributes at 512 bytes; forgets everything of a client that leaves the bus; releases on power loss.
Commands come as JSON lines on stdin, answers and the packets on air go to stdout.
"""

import asyncio
import contextlib
import json
import sys
import uuid
from typing import Any

from dbus_fast import BusType, Message, MessageType, NameFlag, Variant
from dbus_fast.aio import MessageBus

from tests.beacon.fake_central import FakeCentral

ADAPTER_PATH = "/org/bluez/hci0"
ADAPTER, GATT, ADVERTISING = "org.bluez.Adapter1", "org.bluez.GattManager1", "org.bluez.LEAdvertisingManager1"
PROPERTIES, MANAGER = "org.freedesktop.DBus.Properties", "org.freedesktop.DBus.ObjectManager"
MAX_ADVERTISEMENT_BYTES, MAX_ATTRIBUTE_BYTES, MAX_INSTANCES = 31, 512, 5
OTHER = ":other.program"
"""Who owns the advertisement that is not ours."""

KNOWN = {"Type", "ServiceUUIDs", "ServiceData", "LocalName", "Discoverable", "MinInterval", "MaxInterval"}
"""Properties that may be sent; anything else (SecondaryChannel crashes 5.66) is refused loudly."""


class FakeBluez:
    """State of the adapter and what clients registered."""

    def __init__(self, bus: MessageBus) -> None:
        self.bus = bus
        self.powered = True
        self.present = True
        self.power_state = ""
        self.max_bytes = 0
        """MaxAdvLen as newer BlueZ publishes it; 0 for 5.66, which does not."""
        self.fail = ""
        """How RegisterAdvertisement fails: "", "failed", "mute", "interval", "application"."""
        self.advertisements: dict[tuple[str, str], dict[str, Any]] = {}
        self.applications: dict[tuple[str, str], dict[str, str]] = {}
        self.registrations = 0
        self.central = FakeCentral(self)
        self.tasks: set[asyncio.Future[None]] = set()

    # -- what clients call

    def receive(self, message: Message) -> Message | bool | None:
        """Route one message."""
        if message.message_type is MessageType.SIGNAL and message.member == "NameOwnerChanged":
            name, _, new = message.body
            if not new:
                self._forget(name)
            return None
        if message.message_type is not MessageType.METHOD_CALL:
            return None
        match message.path, message.interface, message.member:
            case "/", "org.freedesktop.DBus.ObjectManager", "GetManagedObjects":
                own = {ADAPTER_PATH: self._interfaces()} if self.present else {}
                return _reply(message, "a{oa{sa{sv}}}", own | self.central.objects())
            case path, _, _ if path != ADAPTER_PATH and (answer := self.central.receive(message)) is not None:
                return answer
            case path, _, _ if path != ADAPTER_PATH or not self.present:
                return Message.new_error(message, "org.freedesktop.DBus.Error.UnknownObject", "no such object")
            case _, "org.freedesktop.DBus.Properties", "GetAll":
                return _reply(message, "a{sv}", self._interfaces().get(message.body[0], {}))
            case _, "org.bluez.GattManager1", "RegisterApplication":
                return self.start(message, self._register_application(message))
            case _, "org.bluez.LEAdvertisingManager1", "RegisterAdvertisement":
                return self.start(message, self._register_advertisement(message))
            case _, "org.bluez.LEAdvertisingManager1", "UnregisterAdvertisement":
                known = self.advertisements.pop((message.sender or "", message.body[0]), None)
                if known is None:
                    return Message.new_error(message, "org.bluez.Error.DoesNotExist", "Does Not Exist")
                self._on_air()
                return _reply(message, "", None)
        return None

    def _interfaces(self) -> dict[str, dict[str, Variant]]:
        used = len(self.advertisements)
        return {
            ADAPTER: {
                "Powered": Variant("b", self.powered),
                "Address": Variant("s", "00:AA:01:00:00:01"),
                **({"PowerState": Variant("s", self.power_state)} if self.power_state else {}),
            },
            GATT: {},
            ADVERTISING: {
                "ActiveInstances": Variant("y", used),
                "SupportedInstances": Variant("y", MAX_INSTANCES - used),
                **(
                    {"SupportedCapabilities": Variant("a{sv}", {"MaxAdvLen": Variant("y", self.max_bytes)})}
                    if self.max_bytes
                    else {}
                ),
            },
        }

    def start(self, message: Message, work: Any) -> bool:
        """Answer later."""
        task = asyncio.ensure_future(self._guard(message, work))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return True

    def heard(self) -> str | None:
        """The local name in our client's scan response; None when it is not on air."""
        for (sender, _), shown in self.advertisements.items():
            if sender != OTHER and self.present and self.powered and shown["scan_response"]:
                return bytes.fromhex(shown["scan_response"])[2:].decode()
        return None

    def table(self) -> list[str]:
        """The UUIDs of the application's characteristics."""
        return [uuid for known in self.applications.values() for uuid in known]

    async def read(self, wanted: str, options: dict[str, Variant]) -> bytes:
        """What a reader gets: no more than an attribute holds."""
        ((sender, _), characteristics), *others = self.applications.items()
        assert not others
        options = {"mtu": Variant("q", 517), "link": Variant("s", "LE"), **options}
        (value,) = await self._ask(
            sender, characteristics[wanted], "org.bluez.GattCharacteristic1", "ReadValue", "a{sv}", options
        )
        return bytes(value)[:MAX_ATTRIBUTE_BYTES]

    async def signal(self, path: str, interface: str, member: str, signature: str, body: list[Any]) -> None:
        """Tell everyone."""
        await self.bus.send(Message.new_signal(path, interface, member, signature, body))

    async def _guard(self, message: Message, work: Any) -> None:
        try:
            reply = await work
        except ValueError as bad:
            reply = Message.new_error(message, "org.bluez.Error.Failed", str(bad))
        if reply is not None:
            await self.bus.send(reply)

    async def _register_application(self, message: Message) -> Message:
        sender, root = message.sender or "", message.body[0]
        if (sender, root) in self.applications:
            return Message.new_error(message, "org.bluez.Error.AlreadyExists", "Already Exists")
        if self.fail == "application":
            raise ValueError("Failed to register application")
        (tree,) = await self._ask(sender, root, MANAGER, "GetManagedObjects")
        services = [path for path, found in tree.items() if "org.bluez.GattService1" in found]
        if len(services) != 1 or tree[services[0]]["org.bluez.GattService1"]["Primary"].value is not True:
            raise ValueError("No valid service object found")
        characteristics = {}
        for path, found in tree.items():
            if characteristic := found.get("org.bluez.GattCharacteristic1"):
                if characteristic["Service"].value != services[0] or characteristic["Flags"].value != ["read"]:
                    raise ValueError("Invalid characteristic")
                characteristics[str(uuid.UUID(characteristic["UUID"].value))] = path
        if len(characteristics) != 30:
            raise ValueError("Wrong number of characteristics")
        self.applications[sender, root] = characteristics
        return _reply(message, "", None)

    async def _register_advertisement(self, message: Message) -> Message | None:
        sender, path = message.sender or "", message.body[0]
        if (sender, path) in self.advertisements:
            return Message.new_error(message, "org.bluez.Error.AlreadyExists", "Already Exists")
        self.registrations += 1
        if self.fail == "mute":
            return None
        if self.fail == "failed":
            raise ValueError("Failed to register advertisement")
        if len(self.advertisements) >= MAX_INSTANCES:
            return Message.new_error(message, "org.bluez.Error.NotPermitted", "Maximum advertisements reached")
        await self._ask(sender, path, MANAGER, "GetManagedObjects")  # GDBusClient asks this of the object first
        (wrapped,) = await self._ask(sender, path, PROPERTIES, "GetAll", "s", "org.bluez.LEAdvertisement1")
        properties = {name: value.value for name, value in wrapped.items()}
        if set(properties) - KNOWN or (self.fail == "interval" and "MinInterval" in properties):
            raise ValueError("Failed to parse advertisement.")
        if properties.get("Type") not in ("peripheral", "broadcast"):
            raise ValueError("Failed to parse advertisement.")
        if properties.get("MinInterval", 0) > properties.get("MaxInterval", 0):
            raise ValueError("Failed to parse advertisement.")
        data = bytes([2, 1, 6]) if properties.get("Discoverable") else b""
        uuids = b"".join(uuid.UUID(text).bytes[::-1] for text in properties.get("ServiceUUIDs", []))
        data += bytes([1 + len(uuids), 7]) + uuids if uuids else b""
        for text, value in properties.get("ServiceData", {}).items():
            structure = uuid.UUID(text).bytes[::-1] + bytes(value.value)
            data += bytes([1 + len(structure), 0x21]) + structure
        name = properties.get("LocalName", "").encode()
        scan_response = bytes([1 + len(name), 9]) + name if name else b""
        limit = max(MAX_ADVERTISEMENT_BYTES, self.max_bytes)
        if len(data) > limit or len(scan_response) > MAX_ADVERTISEMENT_BYTES:
            raise ValueError("Failed to register advertisement")
        self.advertisements[sender, path] = {"advertisement": data.hex(), "scan_response": scan_response.hex()}
        self._on_air()
        return _reply(message, "", None)

    # -- what the world does to it

    async def command(self, what: dict[str, Any]) -> dict[str, Any]:
        """One command from the test."""
        match what:
            case {"do": "fail", "how": str(how)}:
                self.fail = how
            case {"do": "capable", "bytes": int(most)}:
                self.max_bytes = most
            case {"do": "power", "on": bool(on), **state}:
                self.powered = on
                self.power_state = str(state.get("state", ""))
                if not on:
                    await self.central.end()
                    await self._release_all()
                await self.signal(ADAPTER_PATH, PROPERTIES, "PropertiesChanged", "sa{sv}as",
                                   [ADAPTER, {name: self._interfaces()[ADAPTER][name] for name in ("Powered", *(["PowerState"] * bool(self.power_state)))}, []])  # fmt: skip
            case {"do": "unplug"}:
                self.present = False
                await self._release_all()
                await self.signal(
                    "/", MANAGER, "InterfacesRemoved", "oas", [ADAPTER_PATH, [ADAPTER, GATT, ADVERTISING]]
                )
            case {"do": "plug"}:
                self.present = True
                await self.signal("/", MANAGER, "InterfacesAdded", "oa{sa{sv}}", [ADAPTER_PATH, self._interfaces()])
            case {"do": "release"}:
                await self._release_all()
            case {"do": "forget"}:
                self.advertisements = {key: value for key, value in self.advertisements.items() if key[0] == OTHER}
            case {"do": "forget application"}:
                self.applications.clear()
            case {"do": "other", **more}:
                for number in range(more.get("count", 1)):
                    self.advertisements[OTHER, f"/other{number}"] = {"advertisement": "020106", "scan_response": ""}
            case {"do": "no others"}:
                self.advertisements = {key: value for key, value in self.advertisements.items() if key[0] != OTHER}
            case {"do": "reader", "paired": bool(paired)}:
                self.central.paired = paired
                await self.central.join()
            case {"do": "read", "uuid": str(wanted), **options}:
                return await self._read(wanted, options)
            case {"do": "central", "deaf": bool(deaf)}:
                self.central.deaf = deaf
            case {"do": "central", "refuse": int(count)}:
                self.central.refuse_connects = count
            case {"do": "central", "hide": str(uuid_)}:
                self.central.hidden.add(uuid_)
            case {"do": "central", "hold_after": int(count)}:
                self.central.hold_after = count
            case {"do": "central", "until": "held"}:
                await self.central.held.wait()
            case {"do": "central", "go": True}:
                self.central.go.set()
            case {"do": "central", "state": True}:
                return {"connected": self.central.connected, "reads": self.central.reads}
            case {"do": "registrations"}:
                return {"registrations": self.registrations, "applications": len(self.applications)}
        return {"done": what["do"]}

    async def _read(self, wanted: str, options: dict[str, Any]) -> dict[str, Any]:
        extra = {"offset": Variant("q", options["offset"])} if "offset" in options else {}
        try:
            return {"value": (await self.read(wanted, extra)).hex()}
        except ValueError as bad:
            return {"error": str(bad)}

    async def _release_all(self) -> None:
        for sender, path in list(self.advertisements):
            if sender == OTHER:
                continue
            del self.advertisements[sender, path]
            with contextlib.suppress(ValueError):
                await self._ask(sender, path, "org.bluez.LEAdvertisement1", "Release")
        self._on_air()

    def _forget(self, sender: str) -> None:
        before = len(self.advertisements)
        self.advertisements = {key: value for key, value in self.advertisements.items() if key[0] != sender}
        self.applications = {key: value for key, value in self.applications.items() if key[0] != sender}
        if before != len(self.advertisements):
            self._on_air()

    def _on_air(self) -> None:
        print(json.dumps({"on_air": list(self.advertisements.values())}), flush=True)

    async def _ask(self, to: str, path: str, interface: str, member: str, signature: str = "", *body: Any) -> list[Any]:
        async with asyncio.timeout(5):
            reply = await self.bus.call(
                Message(
                    destination=to, path=path, interface=interface, member=member, signature=signature, body=list(body)
                )
            )
        if reply is None or reply.message_type is MessageType.ERROR:
            raise ValueError(f"{reply.error_name if reply else 'no reply'}")
        return list(reply.body)


def _reply(message: Message, signature: str, value: Any) -> Message:
    return Message.new_method_return(message, signature, [value] if signature else [])


async def main() -> None:
    """Own org.bluez, obey stdin until it ends."""
    bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    fake = FakeBluez(bus)
    bus.add_message_handler(fake.receive)
    await bus.call(
        Message(
            destination="org.freedesktop.DBus", path="/org/freedesktop/DBus", interface="org.freedesktop.DBus",
            member="AddMatch", signature="s", body=["type='signal',member='NameOwnerChanged'"],
        )
    )  # fmt: skip
    await bus.request_name("org.bluez", NameFlag.DO_NOT_QUEUE)
    print(json.dumps({"ready": True}), flush=True)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        print(json.dumps({"answer": await fake.command(json.loads(line))}), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
