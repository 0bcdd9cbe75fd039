"""A resident's phone in its own process: a BLE central that scans, connects, reads and checks, over and over.

    python -m agent.beacon.virtual_phone --transport unix:DIR/hci1 [--key HEX] [--every 3] [--count N]

Prints NDJSON: advertisement, disclosure, upcoming, stop, absent, error (SPEC.md, BE-26). SIGTERM ends it with exit 0.
"""

import argparse
import asyncio
import json
import logging
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from bumble import hci
from bumble.core import UUID, BaseBumbleError
from bumble.device import Advertisement, Connection, Device, DeviceConfiguration, Peer
from bumble.gatt_client import CharacteristicProxy
from bumble.host import Host
from bumble.transport import open_transport

from agent.beacon import advertisement, description
from agent.beacon.cancellation import end_if_cancelled
from agent.beacon.reading import Reading, read_unit
from agent.errors import BadInput, DisclosureError

HEARING_S = 4.0
"""How long nothing may be heard before the unit counts as absent: more than three advertising intervals of BlueZ."""

CONNECT_S = 5.0
READ_S = 10.0
MTU = 517
_RADIO_ERRORS = (BaseBumbleError, OSError, RuntimeError, asyncio.InvalidStateError, TimeoutError)


@dataclass(frozen=True, slots=True)
class Heard:
    """What one unit sent before any connection."""

    address: hci.Address
    advertisement: bytes
    scan_response: bytes


def report(kind: str, **fields: Any) -> None:
    """One NDJSON line."""
    print(json.dumps({"type": kind, **fields}), flush=True)


@asynccontextmanager
async def phone(transport_name: str) -> AsyncIterator[Device]:
    """A powered-on central on an HCI transport."""
    async with asyncio.timeout(CONNECT_S):
        transport = await open_transport(transport_name)
    try:
        config = DeviceConfiguration(name="phone", address=hci.Address.generate_static_address())
        device = Device(config=config, host=Host(transport.source, transport.sink))
        async with asyncio.timeout(CONNECT_S):
            await device.power_on()
        yield device
    finally:
        await transport.close()


async def listen(device: Device, seconds: float) -> Heard | None:
    """Scan actively until one of our units' advertisement and scan response are heard; None after `seconds`."""
    loop = asyncio.get_running_loop()
    found: asyncio.Future[Heard] = loop.create_future()
    said: dict[str, bytes] = {}

    def hear(report_: hci.HCI_LE_Advertising_Report_Event.Report | Any) -> None:
        heard = Advertisement.from_advertising_report(report_)
        if heard is None or found.done():
            return
        who = str(heard.address)
        if not heard.is_scan_response:
            if heard.is_connectable and advertisement.offers_disclosure(heard.data_bytes):
                said[who] = heard.data_bytes
        elif who in said:
            found.set_result(Heard(heard.address, said[who], heard.data_bytes))

    device.host.on("advertising_report", hear)
    try:
        async with asyncio.timeout(CONNECT_S):
            await device.start_scanning(active=True, filter_duplicates=False)
        async with asyncio.timeout(seconds):
            return await found
    except TimeoutError:
        return None
    finally:
        device.host.remove_listener("advertising_report", hear)
        async with asyncio.timeout(CONNECT_S):
            await device.stop_scanning()


async def read(device: Device, address: hci.Address) -> Reading:
    """Connect, read headers and chunks until they agree, disconnect; raise DisclosureError or a radio error."""
    connection = await device.connect(address, timeout=CONNECT_S)
    try:
        async with asyncio.timeout(READ_S):
            return await _read(connection)
    finally:
        async with asyncio.timeout(CONNECT_S):
            if connection.handle in device.connections:
                await connection.disconnect()


async def discover(connection: Connection) -> dict[str, CharacteristicProxy[bytes]]:
    """Agree on the MTU and learn the table: UUID -> characteristic; raise DisclosureError when there is none of ours."""
    peer = Peer(connection)
    await peer.request_mtu(MTU)
    services = await peer.discover_service(UUID(str(advertisement.SERVICE)))
    if not services:
        raise DisclosureError("GATT", expected="the disclosure service", got="none", remedy="connect again")
    return {str(one.uuid).lower(): one for one in await services[0].discover_characteristics()}


async def _read(connection: Connection) -> Reading:
    found = await discover(connection)

    async def value(uuid: Any) -> bytes | None:
        characteristic = found.get(str(UUID(str(uuid))).lower())
        return bytes(await characteristic.read_value()) if characteristic is not None else None

    def again(mixed: DisclosureError) -> None:
        report("error", where="read", error=type(mixed).__name__, got=str(mixed), again=True)

    return await read_unit(value, again)


async def look(device: Device, key: bytes | None) -> bool:
    """One look: listen, read, check and report; True when a disclosure was read."""
    heard = await listen(device, HEARING_S)
    if heard is None:
        report("absent", seconds=HEARING_S)
        return False
    name = advertisement.heard_name(heard.scan_response)
    report(
        "advertisement",
        name=name,
        address=str(heard.address),
        advertisement=heard.advertisement.hex(),
        scan_response=heard.scan_response.hex(),
    )
    found = await read(device, heard.address)
    report("disclosure", name=name, **description.disclosure(found.envelope, found.header, key))
    if found.upcoming is not None:
        report("upcoming", name=name, **description.upcoming(found.upcoming, key))
    if found.stop is not None:
        report("stop", name=name, **description.stop(found.stop, key))
    return True


async def run(transport: str, key: bytes | None, every_s: float, count: int | None) -> None:
    """Look every `every_s` seconds, `count` successful times or until cancelled; an error is reported and tried again."""
    done = 0
    loop = asyncio.get_running_loop()
    while count is None or done < count:
        end_if_cancelled()
        try:
            async with phone(transport) as device:
                while count is None or done < count:
                    end_if_cancelled()
                    started = loop.time()
                    done += await look(device, key)
                    if count is None or done < count:
                        await asyncio.sleep(max(0.0, started + every_s - loop.time()))
        except BadInput as bad:
            report("error", where="disclosure", error=type(bad).__name__, got=str(bad), again=True)
        except _RADIO_ERRORS as bad:
            report("error", where="radio", error=type(bad).__name__, got=str(bad)[:120], again=True)
        else:
            return
        await asyncio.sleep(min(every_s, 0.5))


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m agent.beacon.virtual_phone", description=__doc__.split("\n")[0])
    parser.add_argument("--transport", required=True, help="a Bumble transport, such as unix:DIR/hci1 or usb:0")
    parser.add_argument("--key", type=_key, help="the unit's public key, 64 hex digits: verify the signature")
    parser.add_argument("--every", type=float, default=3.0, help="seconds from one look to the next")
    parser.add_argument("--count", type=int, help="end after so many disclosures")
    options = parser.parse_args()
    logging.getLogger("bumble").setLevel(logging.CRITICAL + 1)

    async def until_ended() -> None:
        task = asyncio.ensure_future(run(options.transport, options.key, options.every, options.count))
        loop = asyncio.get_running_loop()
        for ending in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(ending, task.cancel)
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()

    try:
        asyncio.run(until_ended())
    except BrokenPipeError:
        sys.stderr.close()  # our reader went away
    return 0


def _key(text: str) -> bytes:
    key = bytes.fromhex(text)
    if len(key) != 32:
        raise argparse.ArgumentTypeError("expected 64 hex digits")
    return key


if __name__ == "__main__":
    raise SystemExit(main())
