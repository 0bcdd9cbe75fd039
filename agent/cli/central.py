"""The phone's side through bleak: hear a unit, connect, read its characteristics. Only this module of the cli knows bleak.

On Linux bleak speaks to BlueZ over D-Bus (DBUS_SYSTEM_BUS_ADDRESS is honoured), on other systems to theirs.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from bleak import BleakClient, BleakScanner
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData

from agent.beacon.advertisement import SERVICE
from agent.beacon.reading import Reading, read_unit
from agent.errors import DisclosureError, DtprError, RadioUnavailable

CONNECT_S = 15.0
READ_S = 30.0
TRIES = 6
"""With both ends in one bluetoothd 5.66, one attempt in two fails (RADIO.md B.2)."""

PAUSE_S = 0.5

_REMEDY = "is Bluetooth on, and bluetooth.service running? `bluetoothctl show` tells"

logging.getLogger("bleak").setLevel(
    logging.ERROR
)  # what it warns of, such as a missing bluetoothctl, is told as an error here or is none


@dataclass(frozen=True, slots=True)
class Heard:
    """One unit's advertisement: `name` as it says itself ("" without one), signal strength in dBm."""

    name: str
    address: str
    rssi_dbm: int
    device: BLEDevice


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds from the start of the scan until heard, and from the first attempt to connect until connected, and until all was read."""

    heard_s: float
    connected_s: float
    read_s: float
    attempts: int
    reads: int


async def read_nearby(
    unit: str, adapter: str, seconds: float, again: Callable[[str], None]
) -> tuple[Heard, Reading, Times]:
    """Hear `unit` (any unit for ""), read it; `again` is told of each attempt that failed. Raises RadioUnavailable or DisclosureError."""
    began = time.monotonic()
    heard = await _listen(unit, adapter, seconds)
    heard_s = time.monotonic() - began
    began = time.monotonic()
    for attempt in range(1, TRIES + 1):
        try:
            reading, connected_at, reads = await _read(heard.device, again)
        except DtprError:
            raise
        except Exception as bad:  # bleak lets the exceptions of each system's library through
            words = str(bad)[:160] or type(bad).__name__
            if attempt == TRIES:
                raise RadioUnavailable(
                    heard.name or heard.address,
                    why=f"heard, but not read in {TRIES} attempts: {words}",
                    remedy="go nearer; another reader may hold the connection",
                ) from None
            again(words)
            await asyncio.sleep(PAUSE_S)
        else:
            now = time.monotonic()
            return heard, reading, Times(heard_s, connected_at - began, now - began, attempt, reads)
    raise AssertionError("unreachable")


async def _listen(unit: str, adapter: str, seconds: float) -> Heard:
    """Scan actively until `unit` is heard."""
    loop = asyncio.get_running_loop()
    found: asyncio.Future[Heard] = loop.create_future()
    others: set[str] = set()

    def hear(device: BLEDevice, said: AdvertisementData) -> None:
        if str(SERVICE) not in said.service_uuids or found.done():
            return
        name = said.local_name or ""
        if unit and name.partition(" ")[0] != unit:
            others.add(name or device.address)
        elif name or not unit:
            found.set_result(Heard(name, device.address, said.rssi, device))

    try:
        scanner = BleakScanner(
            hear,
            service_uuids=[str(SERVICE)],
            **({"bluez": {"adapter": adapter}} if adapter else {}),  # type: ignore[arg-type]
        )
        async with asyncio.timeout(seconds), scanner:
            return await found
    except TimeoutError:
        beside = f"; other units heard: {', '.join(sorted(others))}" if others else ""
        raise RadioUnavailable(
            unit or "a unit",
            why=f"not heard within {seconds:g} s{beside}",
            remedy="go nearer, and ask the unit: `dtpr-agent status`"
            if not others
            else "name one of these with --unit",
        ) from None
    except Exception as bad:  # the same
        raise RadioUnavailable(
            adapter or "Bluetooth", why=str(bad)[:160] or type(bad).__name__, remedy=_REMEDY
        ) from None


async def _read(device: BLEDevice, again: Callable[[str], None]) -> tuple[Reading, float, int]:
    reads = 0

    def mixed(bad: DisclosureError) -> None:
        again(str(bad))

    async with BleakClient(device, timeout=CONNECT_S) as client:
        connected_at = time.monotonic()

        async def value(uuid: UUID) -> bytes | None:
            nonlocal reads
            characteristic = client.services.get_characteristic(uuid)
            if characteristic is None:
                return None
            reads += 1
            return bytes(await client.read_gatt_char(characteristic))

        async with asyncio.timeout(READ_S):
            return await read_unit(value, mixed), connected_at, reads
