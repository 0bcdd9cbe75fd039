"""The virtual controllers: each repair of Bumble's own (SPEC.md, BE-25), driven by raw HCI as a host sends it."""

import asyncio
from collections.abc import Awaitable, Callable

from bumble import hci

from agent.beacon.virtual_controller import ACL_BYTES, MAX_BACKLOG_BYTES, Air, VirtualController

PATIENCE_S = 5.0
_Address = hci.Address


class Host:
    """A host on one controller: sends commands, keeps what comes back."""

    def __init__(self, controller: VirtualController) -> None:
        self.controller = controller
        self.heard: list[hci.HCI_Packet] = []
        self.backlog = 0
        controller.attach(self._take, lambda: self.backlog)

    def _take(self, packet: bytes) -> None:
        self.heard.append(hci.HCI_Packet.from_bytes(packet))

    def send(self, packet: hci.HCI_Packet) -> None:
        """As H4 bytes, the way a host does."""
        self.controller.on_packet(bytes(packet))

    def events(self, kind: type[hci.HCI_Packet]) -> list[hci.HCI_Packet]:
        """All events of a kind so far."""
        return [packet for packet in self.heard if isinstance(packet, kind)]

    async def event(self, kind: type[hci.HCI_Packet], count: int = 1) -> hci.HCI_Packet:
        """Wait for the `count`th event of a kind."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.events(kind)) < count:
                await asyncio.sleep(0.005)
        return self.events(kind)[count - 1]


def advertise(host: Host, *, interval: int = 32, own_address_type: int = 1) -> None:
    """Connectable, scannable; 20 ms."""
    host.send(hci.HCI_LE_Set_Random_Address_Command(random_address=_Address("C0:00:00:00:00:01")))
    host.send(hci.HCI_LE_Set_Advertising_Data_Command(advertising_data=b"\x02\x01\x06"))
    host.send(hci.HCI_LE_Set_Scan_Response_Data_Command(scan_response_data=b"\x03\x09hi"))
    host.send(
        hci.HCI_LE_Set_Advertising_Parameters_Command(
            advertising_interval_min=interval, advertising_interval_max=interval, advertising_type=0,
            own_address_type=own_address_type, peer_address_type=0, peer_address=_Address.ANY,
            advertising_channel_map=7, advertising_filter_policy=0,
        )
    )  # fmt: skip
    host.send(hci.HCI_LE_Set_Advertising_Enable_Command(advertising_enable=1))


def scan(host: Host, *, active: bool = True, filter_duplicates: bool = False) -> None:
    """Start scanning."""
    host.send(
        hci.HCI_LE_Set_Scan_Parameters_Command(
            le_scan_type=int(active),
            le_scan_interval=96,
            le_scan_window=96,
            own_address_type=1,
            scanning_filter_policy=0,
        )
    )
    host.send(hci.HCI_LE_Set_Scan_Enable_Command(le_scan_enable=1, filter_duplicates=int(filter_duplicates)))


def connect(host: Host, peer: hci.Address, *, own_address_type: int = 1) -> None:
    """Ask for a connection."""
    host.send(hci.HCI_LE_Set_Random_Address_Command(random_address=_Address("C0:00:00:00:00:02")))
    host.send(
        hci.HCI_LE_Create_Connection_Command(
            le_scan_interval=96, le_scan_window=96, initiator_filter_policy=0, peer_address_type=peer.address_type,
            peer_address=peer, own_address_type=own_address_type, connection_interval_min=24, connection_interval_max=40,
            max_latency=0, supervision_timeout=42, min_ce_length=0, max_ce_length=0,
        )
    )  # fmt: skip


def reports(host: Host) -> list[tuple[int, bytes]]:
    """(event type, data) of all advertising reports."""
    return [
        (report.event_type, report.data)
        for event in host.events(hci.HCI_LE_Advertising_Report_Event)
        if isinstance(event, hci.HCI_LE_Advertising_Report_Event)
        for report in event.reports
    ]


def play(scene: Callable[[Host, Host], Awaitable[None]]) -> None:
    """Two controllers on one air, a host each."""

    async def run() -> None:
        air = Air()
        left, right = (VirtualController(f"c{n}", air, f"00:AA:01:00:00:0{n}") for n in (1, 2))
        hosts = Host(left), Host(right)
        await scene(*hosts)
        for controller in (left, right):
            controller.detach()

    asyncio.run(run())


CONNECTED = hci.HCI_LE_Connection_Complete_Event
ENHANCED = hci.HCI_LE_Enhanced_Connection_Complete_Event
GONE = hci.HCI_Disconnection_Complete_Event
UNIT = _Address("C0:00:00:00:00:01")


def test_active_scan_gets_the_scan_response_passive_does_not() -> None:
    """Repairs 2 and 7."""

    async def scene(unit: Host, phone: Host) -> None:
        advertise(unit)
        scan(phone, active=True)
        await phone.event(hci.HCI_LE_Advertising_Report_Event, 4)
        assert set(reports(phone)) == {(0, b"\x02\x01\x06"), (4, b"\x03\x09hi")}
        phone.send(hci.HCI_LE_Set_Scan_Enable_Command(le_scan_enable=0, filter_duplicates=0))
        phone.heard.clear()
        scan(phone, active=False)
        await phone.event(hci.HCI_LE_Advertising_Report_Event, 3)
        assert set(reports(phone)) == {(0, b"\x02\x01\x06")}

    play(scene)


def test_duplicate_filter_and_interval() -> None:
    """Repair 7: one report each with the filter; about one event every 20 ms without (0.625 ms units, not milliseconds)."""

    async def scene(unit: Host, phone: Host) -> None:
        advertise(unit, interval=160)  # 100 ms
        scan(phone, filter_duplicates=True)
        await asyncio.sleep(0.35)
        assert len(reports(phone)) == 2
        phone.send(hci.HCI_LE_Set_Scan_Enable_Command(le_scan_enable=0, filter_duplicates=0))
        phone.heard.clear()
        scan(phone, active=False)
        await asyncio.sleep(1.05)
        assert 3 <= len(reports(phone)) <= 11

    play(scene)


def test_over_long_data_are_refused() -> None:
    """BE-1's budget is the controller's, too: 32 bytes are an error, not a longer advertisement."""

    async def scene(unit: Host, _phone: Host) -> None:
        unit.send(hci.HCI_LE_Set_Advertising_Data_Command(advertising_data=bytes(31)))
        controller = unit.controller
        for refused in (
            controller.on_hci_le_set_advertising_data_command(
                hci.HCI_LE_Set_Advertising_Data_Command(advertising_data=bytes(32))
            ),
            controller.on_hci_le_set_scan_response_data_command(
                hci.HCI_LE_Set_Scan_Response_Data_Command(scan_response_data=bytes(32))
            ),
        ):
            assert refused.status == hci.HCI_ErrorCode.INVALID_COMMAND_PARAMETERS_ERROR

    play(scene)


def test_data_flow_whatever_address_the_central_uses() -> None:
    """Repair 1: a central on its public address gets its data; frames come in packets of at most 251 bytes."""

    async def scene(unit: Host, phone: Host) -> None:
        advertise(unit)
        connect(phone, UNIT, own_address_type=0)
        end = await phone.event(CONNECTED)
        assert isinstance(end, CONNECTED)
        frame = (600).to_bytes(2, "little") + (4).to_bytes(2, "little") + bytes(600)
        unit_end = await unit.event(CONNECTED)
        assert isinstance(unit_end, CONNECTED)
        unit.send(hci.HCI_AclDataPacket(unit_end.connection_handle, 0, 0, len(frame), frame))
        await phone.event(hci.HCI_AclDataPacket, 3)
        pieces = [piece for piece in phone.heard if isinstance(piece, hci.HCI_AclDataPacket)]
        assert b"".join(piece.data for piece in pieces) == frame
        assert [len(piece.data) for piece in pieces] == [ACL_BYTES, ACL_BYTES, 604 - 2 * ACL_BYTES]
        assert [piece.pb_flag for piece in pieces] == [2, 1, 1]

    play(scene)


def test_connection_event_is_the_one_asked_for() -> None:
    """Repair 3: enhanced where it was unmasked, plain where not."""

    async def scene(unit: Host, phone: Host) -> None:
        phone.send(hci.HCI_LE_Set_Event_Mask_Command(le_event_mask=(1 << 9 | 1).to_bytes(8, "little")))
        advertise(unit)
        connect(phone, UNIT)
        await phone.event(ENHANCED)
        await unit.event(CONNECTED)
        assert not phone.events(CONNECTED)
        assert not unit.events(ENHANCED)

    play(scene)


def test_cancelled_connection_ends_in_an_event_and_the_next_one_works() -> None:
    """Repairs 4 and 5: nobody advertises, so nothing connects; after the cancel a new attempt succeeds."""

    async def scene(unit: Host, phone: Host) -> None:
        connect(phone, UNIT)
        await asyncio.sleep(0.05)
        assert not phone.events(CONNECTED)
        phone.send(hci.HCI_LE_Create_Connection_Cancel_Command())
        cancelled = await phone.event(CONNECTED)
        assert isinstance(cancelled, CONNECTED)
        assert cancelled.status == hci.HCI_ErrorCode.UNKNOWN_CONNECTION_IDENTIFIER_ERROR
        advertise(unit)
        connect(phone, UNIT)
        connected = await phone.event(CONNECTED, 2)
        assert isinstance(connected, CONNECTED)
        assert connected.status == hci.HCI_ErrorCode.SUCCESS

    play(scene)


def test_a_host_that_dies_leaves_nothing_on_air() -> None:
    """Repair 6: its advertising stops, its connection ends for the other side, and HCI Reset does the same."""

    async def scene(unit: Host, phone: Host) -> None:
        for ending in (unit.controller.detach, lambda: unit.send(hci.HCI_Reset_Command())):
            again = Host(unit.controller)
            phone.heard.clear()
            advertise(again)
            connect(phone, UNIT)
            await phone.event(CONNECTED)
            advertise(again)
            ending()
            gone = await phone.event(GONE)
            assert isinstance(gone, GONE)
            assert gone.reason == hci.HCI_ErrorCode.CONNECTION_TIMEOUT_ERROR
            phone.heard.clear()
            scan(phone)
            await asyncio.sleep(0.1)
            assert not reports(phone)
            phone.send(hci.HCI_LE_Set_Scan_Enable_Command(le_scan_enable=0, filter_duplicates=0))

    play(scene)


def test_data_for_a_peer_that_has_gone_do_no_harm() -> None:
    """Repair 8: commands and data after the other end vanished are still answered."""

    async def scene(unit: Host, phone: Host) -> None:
        advertise(unit)
        connect(phone, UNIT)
        end = await phone.event(CONNECTED)
        assert isinstance(end, CONNECTED)
        unit.controller.le_connections.clear()  # vanished without a word
        frame = b"\x01\x00\x04\x00x"
        phone.send(hci.HCI_AclDataPacket(end.connection_handle, 0, 0, len(frame), frame))
        phone.send(hci.HCI_LE_Read_Remote_Features_Command(connection_handle=end.connection_handle))
        phone.send(
            hci.HCI_Disconnect_Command(
                connection_handle=end.connection_handle,
                reason=hci.HCI_ErrorCode.REMOTE_USER_TERMINATED_CONNECTION_ERROR,
            )
        )
        await phone.event(GONE)

    play(scene)


def test_a_host_that_does_not_read_loses_reports_only() -> None:
    """Bounded memory: a stopped phone does not make the radio grow."""

    async def scene(unit: Host, phone: Host) -> None:
        advertise(unit)
        phone.backlog = MAX_BACKLOG_BYTES
        scan(phone)
        await asyncio.sleep(0.1)
        assert not reports(phone)
        phone.backlog = 0
        await phone.event(hci.HCI_LE_Advertising_Report_Event)

    play(scene)
