"""The radio through Bumble: a Bluetooth host in this process, on any HCI transport (usb, serial, a virtual controller's socket).

One process owns the controller. The connectable advertisement has legacy PDUs, so that every phone hears it (SPEC.md, BE-12 to BE-17);
where the controller has more sets, `further_sets` uses them.
"""

import asyncio
import hashlib
import logging
import math
import time
from functools import partial
from typing import Any

from bumble import hci
from bumble.att import Attribute
from bumble.core import UUID, BaseBumbleError
from bumble.device import AdvertisingType, Connection, Device, DeviceConfiguration
from bumble.gatt import Characteristic, CharacteristicValue, Service
from bumble.host import Host
from bumble.pairing import PairingConfig, PairingDelegate
from bumble.transport import open_transport
from bumble.transport.common import Transport

from agent.beacon.advertisement import SERVICE
from agent.beacon.cancellation import end_if_cancelled
from agent.beacon.further_sets import FurtherSets
from agent.beacon.radio import (
    ADVERTISING_INTERVAL_MS,
    EVIDENCE_EVERY_S,
    READER_LIMIT_S,
    STEP_TIMEOUT_S,
    Cause,
    RadioDown,
    RetryingRadio,
)
from agent.contracts.lease import OnAir

FAREWELL_S = 0.5
EVENT_S = 0.2
"""How long an event may take that the controller sends before, or just after, the answer to a command."""

logging.getLogger("bumble").setLevel(
    logging.CRITICAL + 1
)  # it prints a traceback for each lost radio; we name the cause once


class _NoPairing(PairingDelegate):
    """BE-8: nothing here is secret, so a phone is never asked to pair."""

    async def accept(self) -> bool:
        return False


def static_address(unit: str) -> hci.Address:
    """The unit's random static address (Core 5.4, vol. 6, part B, 1.3.2.1): the same after every start, from its printed name."""
    octets = bytearray(hashlib.sha256(b"dtpr beacon address\0" + unit.encode()).digest()[:6])
    octets[5] |= 0xC0
    return hci.Address(bytes(octets), hci.Address.RANDOM_DEVICE_ADDRESS)


class BumbleRadio(RetryingRadio):
    """Radio on the Bumble transport named `transport`, such as `usb:0` or `unix:/run/hci0`."""

    name = "bumble"

    def __init__(self, transport: str) -> None:
        super().__init__()
        self._transport = transport
        self._readers: dict[int, tuple[Connection, float]] = {}

    async def _session(self) -> None:
        try:
            async with asyncio.timeout(STEP_TIMEOUT_S):
                transport = await open_transport(self._transport)
        except Exception as bad:  # each kind of transport lets its own library's exceptions through
            raise RadioDown(
                Cause.NO_TRANSPORT,
                self._transport,
                why=str(bad)[:120] or type(bad).__name__,
                remedy="plug the controller in, or correct radio.transport in agent.toml",
            ) from None
        try:
            await self._hold(transport)
        except RadioDown:
            raise
        except TimeoutError:
            raise RadioDown(
                Cause.NO_ANSWER,
                self._transport,
                why="the controller does not answer",
                remedy="unplug it and plug it in again",
            ) from None
        except hci.HCI_Error as bad:
            raise RadioDown(Cause.REFUSED, self._transport, why=str(bad)[:120]) from None
        except (
            BaseBumbleError,
            OSError,
            RuntimeError,
            AssertionError,
        ) as bad:  # Bumble asserts what a controller answers
            lost = _is_lost(transport)
            raise RadioDown(
                Cause.TRANSPORT_LOST if lost else Cause.REFUSED,
                self._transport,
                why=str(bad)[:120] or type(bad).__name__,
            ) from None
        finally:
            self._readers.clear()
            await transport.close()

    async def _hold(self, transport: Transport) -> None:
        """Power the controller on and keep `self._wanted` on air."""
        assert self._wanted is not None
        device = self._device(transport, self._wanted.unit)
        transport.source.terminated.add_done_callback(lambda _: self._wake.set())
        async with asyncio.timeout(STEP_TIMEOUT_S):
            await device.power_on()
        try:
            await self._serve(device, transport)
        finally:
            await _farewell(device, transport)

    def _device(self, transport: Transport, unit: str) -> Device:
        config = DeviceConfiguration(
            name=unit,
            address=static_address(unit),
            advertising_interval_min=ADVERTISING_INTERVAL_MS,
            advertising_interval_max=ADVERTISING_INTERVAL_MS,
        )
        device = Device(config=config, host=Host(transport.source, transport.sink))
        device.pairing_config_factory = lambda _connection: PairingConfig(delegate=_NoPairing())
        assert self._wanted is not None
        characteristics: list[Characteristic[bytes]] = [
            Characteristic(
                UUID(str(attribute.uuid)),
                Characteristic.Properties.READ,
                Attribute.Permissions.READABLE,
                CharacteristicValue(read=partial(self._read, place)),
            )
            for place, attribute in enumerate(self._wanted.attributes)
        ]
        device.add_service(Service(UUID(str(SERVICE)), characteristics))
        device.on(Device.EVENT_CONNECTION, self._reader_came)
        return device

    def _read(self, place: int, _connection: Connection) -> bytes:
        assert self._wanted is not None
        return self._wanted.attributes[place].value

    def _reader_came(self, connection: Connection) -> None:
        self._readers[connection.handle] = (connection, time.monotonic() + READER_LIMIT_S)
        connection.on(Connection.EVENT_DISCONNECTION, partial(self._reader_went, connection.handle))
        self._wake.set()

    def _reader_went(self, handle: int, _reason: int) -> None:
        self._readers.pop(handle, None)
        self._wake.set()

    async def _serve(self, device: Device, transport: Transport) -> None:
        sent = ""
        further = FurtherSets()
        while True:
            self._wake.clear()
            end_if_cancelled()
            if _is_lost(transport):
                raise RadioDown(Cause.TRANSPORT_LOST, self._transport, why="the controller went away")
            broadcast = self._wanted
            assert broadcast is not None
            async with asyncio.timeout(STEP_TIMEOUT_S):
                await self._ask_for_readers(device)
                if sent != broadcast.name:
                    await further.stop()
                if sent != broadcast.name or not _is_advertising(device):
                    await self._advertise(device, broadcast.advertisement, broadcast.scan_response)
                    sent = broadcast.name if _is_advertising(device) else ""
                await self._ask_for_advertising(device)
                if sent:
                    await further.show(device, broadcast)
                await self._dismiss()
            if not _is_lost(transport) and (self._readers or _is_advertising(device)):
                self._set_on_air(broadcast, OnAir.SERVING if self._readers else OnAir.ADVERTISING)
            try:
                async with asyncio.timeout(min(EVIDENCE_EVERY_S, self._longest_wait_s())):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _longest_wait_s(self) -> float:
        """Until a reader's time is over."""
        return max(0.05, min((until for _, until in self._readers.values()), default=math.inf) - time.monotonic())

    async def _advertise(self, device: Device, data: bytes, scan_response: bytes) -> None:
        """Start or change advertising; a controller may refuse while a reader is connected, which counts as serving."""
        try:
            await device.start_advertising(advertising_data=data, scan_response_data=scan_response)
        except hci.HCI_Error:
            device.legacy_advertiser = None
            if not self._readers:
                raise

    async def _ask_for_advertising(self, device: Device) -> None:
        """BE-14: raise RadioDown unless the controller itself says that it advertises, which it does by refusing a change.

        A controller that was reset behind our back takes the change. Enabling once more would prove nothing: it would go on
        air under its defaults, without data or events. So the session ends, and the next one sets everything anew.
        """
        if not _is_advertising(device):
            return  # nobody claims so
        if await _disallowed(device):
            return
        await asyncio.sleep(EVENT_S)  # it may have ended for a reader, whose connection we are about to be told of
        if _is_advertising(device) and not await _disallowed(device):
            raise self._reset("it was silent while we thought that it advertised")

    async def _ask_for_readers(self, device: Device) -> None:
        """BE-14, BE-15: raise RadioDown when the controller does not know a reader that it never said had gone."""
        for handle in list(self._readers):
            response = await device.host.send_sync_command_raw(hci.HCI_Read_RSSI_Command(handle=handle))
            if _status_of(response) is not hci.HCI_ErrorCode.UNKNOWN_CONNECTION_IDENTIFIER_ERROR:
                continue
            await asyncio.sleep(EVENT_S)
            if handle in self._readers:
                raise self._reset("it does not know a connection that it had reported")

    def _reset(self, why: str) -> RadioDown:
        return RadioDown(Cause.CONTROLLER_RESET, self._transport, why=why, remedy="check the controller's power supply")

    async def _dismiss(self) -> None:
        """BE-16: end the connection of a reader that has stayed too long."""
        now = time.monotonic()
        for connection, until in list(self._readers.values()):
            if now >= until:
                await connection.disconnect()


async def _disallowed(device: Device) -> bool:
    """Does the controller refuse to change what is being advertised (Core 5.4, vol. 4, part E, 7.8.5 and 7.8.52)?"""
    command: hci.HCI_SyncCommand[hci.HCI_StatusReturnParameters]
    if device.legacy_advertising_set is not None:
        command = hci.HCI_LE_Set_Advertising_Set_Random_Address_Command(
            advertising_handle=device.legacy_advertising_set.advertising_handle, random_address=device.random_address
        )
    else:
        interval = int(ADVERTISING_INTERVAL_MS / 0.625)
        command = hci.HCI_LE_Set_Advertising_Parameters_Command(
            advertising_interval_min=interval,
            advertising_interval_max=interval,
            advertising_type=int(AdvertisingType.UNDIRECTED_CONNECTABLE_SCANNABLE),
            own_address_type=hci.OwnAddressType.RANDOM,
            peer_address_type=hci.Address.ANY.address_type,
            peer_address=hci.Address.ANY,
            advertising_channel_map=7,
            advertising_filter_policy=0,
        )
    response = await device.host.send_sync_command_raw(command)
    return _status_of(response) is hci.HCI_ErrorCode.COMMAND_DISALLOWED_ERROR


def _status_of(response: hci.HCI_Command_Complete_Event[Any]) -> hci.HCI_ErrorCode:
    """The status of any command's answer."""
    return hci.HCI_ErrorCode(response.return_parameters.status)


def _is_advertising(device: Device) -> bool:
    """Is the connectable advertisement on, as far as the host knows? (Bumble's own answer counts every set.)"""
    one = device.legacy_advertising_set
    return one.enabled if one is not None else device.legacy_advertiser is not None


def _is_lost(transport: Transport) -> bool:
    return transport.source.terminated.done()


async def _farewell(device: Device, transport: Transport) -> None:
    """Reset the controller, so that it does not go on advertising without a host behind it."""
    if _is_lost(transport):
        return
    try:
        async with asyncio.timeout(FAREWELL_S):
            await device.host.send_sync_command(hci.HCI_Reset_Command())
    except (TimeoutError, BaseBumbleError, OSError, RuntimeError):
        return  # it is gone, or busy to its end: the next start resets it first
