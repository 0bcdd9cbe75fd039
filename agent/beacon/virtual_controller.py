"""A Bluetooth 4.2 LE controller and the air between several, in software: Bumble's Controller with its faults repaired.

What it is like: the chip of a Raspberry Pi (legacy advertising only). What Bumble 0.0.236's own Controller and LocalLink get
wrong, each repaired here and held by a test (SPEC.md, BE-25):

 1. data are sent under the sender's random address even when the connection was made with its public one, and are lost;
 2. the scan response is never sent, the advertising data twice instead;
 3. LE Connection Complete is sent to a host that asked for LE Enhanced Connection Complete;
 4. Create Connection Cancel produces no event, so the next connection is refused for ever;
 5. a central is told that it is connected although the advertiser has gone;
 6. Reset resets nothing, and a host that dies leaves its advertising and its connections behind;
 7. the advertising interval is taken for milliseconds (it counts 0.625 ms), scan type and duplicate filter are ignored;
 8. data for a peer that has gone raise in the middle of a command, which is then never answered;
 9. every packet is formatted for a log that is off;
10. the advertising parameters are taken while advertising is enabled, which every chip refuses;
11. Read RSSI has no answer but zeros, and is not refused for a connection that does not exist.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bumble import hci, ll
from bumble.controller import Connection, Controller, LegacyAdvertiser
from bumble.core import PhysicalTransport
from bumble.link import LocalLink

ACL_BYTES = 251
"""Data length extension's largest LE packet (Core 5.4, vol. 6, part B, 4.5.10)."""

MAX_BACKLOG_BYTES = 64 * 1024
"""A host that does not read loses advertising reports, as it would from a chip."""

_ADVERTISING_UNIT_S = 0.000_625
_SHORTEST_INTERVAL_S = 0.02
_RSSI_DBM = -50
_ENHANCED_CONNECTION_COMPLETE = 1 << 9
_ADV_IND, _ADV_SCAN_IND, _ADV_NONCONN_IND = 0, 2, 3

_Report = hci.HCI_LE_Advertising_Report_Event.Report
_Kind = hci.HCI_LE_Advertising_Report_Event.EventType
_KINDS = {_ADV_IND: _Kind.ADV_IND, _ADV_SCAN_IND: _Kind.ADV_SCAN_IND, _ADV_NONCONN_IND: _Kind.ADV_NONCONN_IND}


class Air(LocalLink):
    """What controllers hear of each other. Data and control packets go from one end of a connection to the other, or nowhere."""

    controllers: set["VirtualController"]  # type: ignore[assignment]  # Bumble's set is of its own Controller

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Bumble leaves it without annotations

    def end_of(self, self_address: hci.Address, peer_address: hci.Address) -> Connection | None:
        """The end of a connection that calls itself `self_address` and its peer `peer_address`."""
        for controller in self.controllers:
            connection = controller.le_connections.get(peer_address)
            if connection is not None and connection.self_address == self_address:
                return connection
        return None

    def other_end(self, connection: Connection) -> Connection | None:
        """The peer's view of `connection`."""
        return self.end_of(connection.peer_address, connection.self_address)

    def send_acl_data(
        self, sender_controller: Controller, destination_address: hci.Address, transport: PhysicalTransport, data: bytes
    ) -> None:
        """Carry one L2CAP frame to the other end (repairs 1 and 8)."""
        connection = sender_controller.le_connections.get(destination_address)
        other = self.other_end(connection) if connection is not None else None
        if other is not None:
            assert isinstance(other.controller, VirtualController)
            other.controller.deliver(other, data)

    def send_ll_control_pdu(
        self, sender_address: hci.Address, receiver_address: hci.Address, packet: ll.ControlPdu
    ) -> None:
        """Carry a link-layer packet to the other end (repair 8)."""
        other = self.end_of(receiver_address, sender_address)
        if other is not None:
            asyncio.get_running_loop().call_soon(other.controller.on_ll_control_pdu, sender_address, packet)


@dataclass(frozen=True, slots=True)
class Said:
    """What one advertising event says: PDU kind, address, data; `stop` ends it when somebody connects. `sid` is None for legacy PDUs."""

    kind: hci.HCI_LE_Advertising_Report_Event.EventType
    address: hci.Address
    data: bytes
    scan_response: bytes
    stop: Callable[[], None]
    handle: int | None = None
    sid: int | None = None


class _Advertiser(LegacyAdvertiser):
    def _on_timer_fired(self) -> None:
        if not self.enabled:
            return
        assert isinstance(self.controller, VirtualController)
        self.controller.shout()
        if self.enabled:  # nobody connected
            interval_s = max(self.advertising_interval_min * _ADVERTISING_UNIT_S, _SHORTEST_INTERVAL_S)
            self.timer_handle = asyncio.get_running_loop().call_later(interval_s, self._on_timer_fired)


class VirtualController(Controller):
    """One controller on `air`, with its public address. A host is attached by `attach` and gone after `detach`."""

    supported_commands = Controller.supported_commands
    le_features = Controller.le_features & ~(
        hci.LeFeatureMask.LE_EXTENDED_ADVERTISING | hci.LeFeatureMask.LE_PERIODIC_ADVERTISING
    )
    le_acl_data_packet_length = ACL_BYTES
    supported_max_tx_octets = ACL_BYTES
    supported_max_rx_octets = ACL_BYTES

    def __init__(self, name: str, air: Air, public_address: str) -> None:
        super().__init__(name, link=air, public_address=hci.Address(public_address, hci.Address.PUBLIC_DEVICE_ADDRESS))
        self.air = air
        self.le_legacy_advertiser = _Advertiser(self)
        self._write: Callable[[bytes], None] | None = None
        self._backlog: Callable[[], int] = int
        self._reported: set[tuple[bytes, int, bytes]] = set()

    def attach(self, write: Callable[[bytes], None], backlog: Callable[[], int]) -> None:
        """A host has come: `write` takes H4 packets, `backlog` tells how many bytes it has not read yet."""
        self.reset()
        self._write, self._backlog = write, backlog

    def detach(self) -> None:
        """The host has gone: nothing of it stays on air (repair 6)."""
        self._write = None
        self.reset()

    def reset(self) -> None:
        """HCI Reset (Core 5.4, vol. 4, part E, 7.3.2): standby; the other ends see a supervision time-out."""
        self.le_legacy_advertiser.stop()
        self.le_legacy_advertiser = _Advertiser(self)
        self.le_scan_enable = False
        self.pending_le_connection = None
        self.le_event_mask = 0
        self._reported.clear()
        for connection in list(self.le_connections.values()):
            other = self.air.other_end(connection)
            del self.le_connections[connection.peer_address]
            if other is not None:
                other.controller.on_le_disconnected(other, hci.HCI_ErrorCode.CONNECTION_TIMEOUT_ERROR)

    # -- towards the host

    def send_hci_packet(self, packet: hci.HCI_Packet) -> None:
        """Hand a packet to the host (repairs 3 and 9)."""
        if (
            isinstance(packet, hci.HCI_LE_Connection_Complete_Event)
            and self.le_event_mask & _ENHANCED_CONNECTION_COMPLETE
        ):
            packet = _enhanced(packet)
        if self._write is not None:
            self._write(bytes(packet))

    def deliver(self, connection: Connection, data: bytes) -> None:
        """Hand one L2CAP frame to the host in packets that a controller of our size would send."""
        for at in range(0, len(data), ACL_BYTES):
            piece = data[at : at + ACL_BYTES]
            self.send_hci_packet(hci.HCI_AclDataPacket(connection.handle, 1 if at else 2, 0, len(piece), piece))

    # -- from the host

    def on_hci_reset_command(self, _command: Any) -> hci.HCI_StatusReturnParameters:
        """Repair 6."""
        self.reset()
        return _status(hci.HCI_ErrorCode.SUCCESS)

    def on_hci_le_set_scan_enable_command(
        self, command: hci.HCI_LE_Set_Scan_Enable_Command
    ) -> hci.HCI_StatusReturnParameters:
        """A new scan reports everyone anew."""
        self._reported.clear()
        return super().on_hci_le_set_scan_enable_command(command)

    def on_hci_le_set_advertising_parameters_command(
        self, command: hci.HCI_LE_Set_Advertising_Parameters_Command
    ) -> hci.HCI_StatusReturnParameters:
        """Repair 10 (Core 5.4, vol. 4, part E, 7.8.5)."""
        if self.le_legacy_advertiser.enabled:
            return _status(hci.HCI_ErrorCode.COMMAND_DISALLOWED_ERROR)
        return super().on_hci_le_set_advertising_parameters_command(command)

    def on_hci_read_rssi_command(self, command: hci.HCI_Read_RSSI_Command) -> hci.HCI_Read_RSSI_ReturnParameters:
        """Repair 11 (Core 5.4, vol. 4, part E, 7.5.4)."""
        known = any(connection.handle == command.handle for connection in self.le_connections.values())
        code = hci.HCI_ErrorCode.SUCCESS if known else hci.HCI_ErrorCode.UNKNOWN_CONNECTION_IDENTIFIER_ERROR
        return hci.HCI_Read_RSSI_ReturnParameters(status=code, handle=command.handle, rssi=_RSSI_DBM)

    def on_hci_le_set_advertising_data_command(
        self, command: hci.HCI_LE_Set_Advertising_Data_Command
    ) -> hci.HCI_StatusReturnParameters:
        """Refuses more than 31 bytes, as every chip does."""
        if len(command.advertising_data) > 31:
            return _status(hci.HCI_ErrorCode.INVALID_COMMAND_PARAMETERS_ERROR)
        return super().on_hci_le_set_advertising_data_command(command)

    def on_hci_le_set_scan_response_data_command(
        self, command: hci.HCI_LE_Set_Scan_Response_Data_Command
    ) -> hci.HCI_StatusReturnParameters:
        """Refuses more than 31 bytes, as every chip does."""
        if len(command.scan_response_data) > 31:
            return _status(hci.HCI_ErrorCode.INVALID_COMMAND_PARAMETERS_ERROR)
        return super().on_hci_le_set_scan_response_data_command(command)

    def on_hci_le_create_connection_cancel_command(self, _command: Any) -> hci.HCI_StatusReturnParameters:
        """Repair 4: the cancelled connection ends in an event with status 0x02 (Core 5.4, vol. 4, part E, 7.8.13)."""
        pending, self.pending_le_connection = self.pending_le_connection, None
        if not isinstance(pending, hci.HCI_LE_Create_Connection_Command):
            return _status(hci.HCI_ErrorCode.COMMAND_DISALLOWED_ERROR)
        cancelled = _complete(
            hci.HCI_ErrorCode.UNKNOWN_CONNECTION_IDENTIFIER_ERROR, 0, hci.Role.CENTRAL, pending.peer_address, 0, 0
        )
        asyncio.get_running_loop().call_soon(self.send_hci_packet, cancelled)
        return _status(hci.HCI_ErrorCode.SUCCESS)

    # -- on the air

    def shout(self) -> None:
        """One advertising event of the one advertiser that every controller has."""
        one = self.le_legacy_advertiser
        kind = _KINDS.get(one.advertising_type)
        if kind is not None:  # directed at somebody: not used here
            said = Said(kind, one.address, one.advertising_data, one.scan_response_data, one.stop)
            self.shout_to_all(said, lambda: one.enabled)

    def shout_to_all(self, said: Said, goes_on: Callable[[], bool]) -> None:
        """All others hear it, and one of them may connect."""
        for listener in list(self.air.controllers):
            if listener is not self and goes_on():
                listener.hear(self, said)

    def hear(self, speaker: "VirtualController", said: Said) -> None:
        """Report the advertiser to the host (repairs 2 and 7); connect if the host is waiting for it (repair 5)."""
        if said.sid is not None:
            return  # a PDU of Bluetooth 5
        if self.le_scan_enable and self._backlog() < MAX_BACKLOG_BYTES:
            self._report(said.kind, said.address, said.data)
            if self.le_scan_type == 1 and said.kind is not _Kind.ADV_NONCONN_IND:
                self._report(_Kind.SCAN_RSP, said.address, said.scan_response)
        pending = self.pending_le_connection
        if (
            said.kind is _Kind.ADV_IND
            and isinstance(pending, hci.HCI_LE_Create_Connection_Command)
            and pending.peer_address == said.address
        ):
            self._connect(speaker, pending, said)

    def _is_news(self, kind: int, address: hci.Address, data: bytes) -> bool:
        key = (bytes(address), kind, data)
        news = not self.filter_duplicates or key not in self._reported
        self._reported.add(key)
        return news

    def _report(self, kind: hci.HCI_LE_Advertising_Report_Event.EventType, address: hci.Address, data: bytes) -> None:
        if not self._is_news(int(kind), address, data):
            return
        self.send_hci_packet(
            hci.HCI_LE_Advertising_Report_Event(
                [
                    _Report(
                        event_type=kind, address_type=address.address_type, address=address, data=data, rssi=_RSSI_DBM
                    )
                ]
            )
        )

    def _connect(
        self, peripheral: "VirtualController", pending: hci.HCI_LE_Create_Connection_Command, said: Said
    ) -> None:
        public = pending.own_address_type == hci.OwnAddressType.PUBLIC
        own, other = (self.public_address if public else self.random_address), pending.peer_address
        if other in self.le_connections or own in peripheral.le_connections:
            return
        self.pending_le_connection = None
        said.stop()
        interval, timeout = pending.connection_interval_min, pending.supervision_timeout
        for end, role, self_address, peer_address in (
            (peripheral, hci.Role.PERIPHERAL, other, own),
            (self, hci.Role.CENTRAL, own, other),
        ):
            connection = Connection(
                controller=end,
                handle=end.allocate_connection_handle(),
                role=role,
                self_address=self_address,
                peer_address=peer_address,
                link=self.air,
                transport=PhysicalTransport.LE,
                link_type=hci.HCI_Connection_Complete_Event.LinkType.ACL,
            )
            end.le_connections[peer_address] = connection
            end.send_hci_packet(
                _complete(hci.HCI_ErrorCode.SUCCESS, connection.handle, role, peer_address, interval, timeout)
            )
            if end is peripheral and said.handle is not None:
                end.send_hci_packet(
                    hci.HCI_LE_Advertising_Set_Terminated_Event(
                        status=hci.HCI_ErrorCode.SUCCESS,
                        advertising_handle=said.handle,
                        connection_handle=connection.handle,
                        num_completed_extended_advertising_events=0,
                    )
                )


def _status(code: hci.HCI_ErrorCode) -> hci.HCI_StatusReturnParameters:
    return hci.HCI_StatusReturnParameters(code)


def _complete(
    status: hci.HCI_ErrorCode, handle: int, role: hci.Role, peer: hci.Address, interval: int, timeout: int
) -> hci.HCI_LE_Connection_Complete_Event:
    return hci.HCI_LE_Connection_Complete_Event(
        status=status,
        connection_handle=handle,
        role=role,
        peer_address_type=peer.address_type,
        peer_address=peer,
        connection_interval=interval,
        peripheral_latency=0,
        supervision_timeout=timeout,
        central_clock_accuracy=0,
    )


def _enhanced(event: hci.HCI_LE_Connection_Complete_Event) -> hci.HCI_LE_Enhanced_Connection_Complete_Event:
    return hci.HCI_LE_Enhanced_Connection_Complete_Event(
        status=event.status,
        connection_handle=event.connection_handle,
        role=event.role,
        peer_address_type=event.peer_address_type,
        peer_address=event.peer_address,
        local_resolvable_private_address=hci.Address.ANY,
        peer_resolvable_private_address=hci.Address.ANY,
        connection_interval=event.connection_interval,
        peripheral_latency=event.peripheral_latency,
        supervision_timeout=event.supervision_timeout,
        central_clock_accuracy=event.central_clock_accuracy,
    )
