"""The Bumble backend against a virtual controller in this process (SPEC.md, BE-12 to BE-17)."""

import asyncio
from collections.abc import Awaitable, Callable, Container
from pathlib import Path

import pytest
from bumble import device as bumble_device
from bumble import hci
from bumble.device import Connection

from agent.beacon import advertisement, virtual_phone
from agent.beacon import bumble as backend
from agent.beacon import radio as radio_module
from agent.beacon.broadcast import Broadcast, compile_broadcast
from agent.beacon.bumble import BumbleRadio, static_address
from agent.beacon.radio import Cause, Evidence
from agent.beacon.virtual_controller import VirtualController
from agent.beacon.virtual_extended import ExtendedController
from agent.beacon.virtual_radio import serve
from agent.contracts.lease import OnAir
from agent.disclosure.compact import compact_of, open_compact
from tests.beacon.stage import PATIENCE_S, PUBLIC_KEY, broadcast, compact, disclosure, envelope, virtual_radio


async def until(radio: BumbleRadio, holds: Callable[[Evidence | None], bool]) -> Evidence | None:
    """Wait until what is on air satisfies `holds`."""
    async with asyncio.timeout(PATIENCE_S):
        while not holds(radio.on_air()):
            radio.changed.clear()
            try:
                async with asyncio.timeout(0.05):
                    await radio.changed.wait()
            except TimeoutError:
                continue
    return radio.on_air()


def play(
    tmp_path: Path,
    scene: Callable[[BumbleRadio], Awaitable[None]],
    *,
    controllers: int = 2,
    extended: Container[int] = (),
) -> None:
    """A beacon on hci0, its air, and a scene."""

    async def run() -> None:
        servers = await serve(tmp_path, controllers, extended)
        radio = BumbleRadio(f"unix:{tmp_path}/hci0")
        task = asyncio.create_task(radio.run())
        try:
            await scene(radio)
        finally:
            task.cancel()
            await asyncio.wait([task])
            for server in servers:
                server.close()
            await asyncio.sleep(0.05)  # the sockets' last callbacks

    asyncio.run(run())


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """All H4 packets that any host sends."""
    sent: list[bytes] = []
    take = VirtualController.on_packet

    def record(self: VirtualController, packet: bytes) -> None:
        sent.append(packet)
        take(self, packet)

    monkeypatch.setattr(VirtualController, "on_packet", record)
    return sent


def padded(data: bytes) -> bytes:
    """The parameter of LE Set Advertising Data and LE Set Scan Response Data: length, then 31 bytes."""
    return bytes([len(data)]) + data.ljust(31, b"\0")


def test_hci_commands_carry_the_specs_bytes(tmp_path: Path, commands: list[bytes]) -> None:
    """BE-1, BE-2, BE-12: opcode 0x2008 carries flags and UUID, 0x2009 the name; connectable and scannable; the unit's address."""
    shown = broadcast()

    async def scene(radio: BumbleRadio) -> None:
        radio.replace(shown)
        evidence = await until(radio, lambda found: found is not None)
        assert evidence == Evidence(shown, OnAir.ADVERTISING)

    play(tmp_path, scene)
    assert b"\x01\x08\x20\x20" + padded(bytes.fromhex("0201061107" + "9ef6e24fba0b5e950a49848b00003157")) in commands
    name = f"fremont-01 W{shown.name[-10:]}".encode()
    assert b"\x01\x09\x20\x20" + padded(bytes([len(name) + 1, 9]) + name) in commands
    parameters = next(packet for packet in commands if packet[1:3] == b"\x06\x20")
    assert parameters[4:8] == (510).to_bytes(2, "little") * 2  # 318.75 ms in units of 0.625 ms
    assert parameters[8] == 0  # ADV_IND
    assert b"\x01\x05\x20\x06" + bytes(static_address("fremont-01")) in commands
    assert commands[-1] == bytes(hci.HCI_Reset_Command())  # BE-17: nothing goes on advertising after the end


def test_address_is_static_random_and_the_units_own() -> None:
    """BE-12: the two highest bits are set, and it depends on the printed name only."""
    assert bytes(static_address("a"))[5] & 0xC0 == 0xC0
    assert static_address("a") == static_address("a") != static_address("b")
    assert static_address("a").is_static


def test_reader_gets_the_disclosure_and_counts_as_serving(tmp_path: Path) -> None:
    """BE-8, BE-14, BE-15: read without pairing; SERVING while connected; a second reader is served meanwhile."""

    async def scene(radio: BumbleRadio) -> None:
        radio.replace(broadcast())
        await until(radio, lambda found: found is not None)
        async with (
            virtual_phone.phone(f"unix:{tmp_path}/hci1") as first,
            virtual_phone.phone(f"unix:{tmp_path}/hci2") as second,
        ):
            heard = await virtual_phone.listen(first, PATIENCE_S)
            assert heard is not None
            held = await first.connect(heard.address, timeout=PATIENCE_S)
            await until(radio, lambda found: found is not None and found.on_air is OnAir.SERVING)
            assert await virtual_phone.listen(second, PATIENCE_S) == heard
            found = await virtual_phone.read(second, heard.address)
            assert found.envelope == envelope()
            assert found.header.sequence == 1
            await held.disconnect()
            await until(radio, lambda found: found is not None and found.on_air is OnAir.ADVERTISING)

    play(tmp_path, scene, controllers=3)


def test_change_of_disclosure_and_renewal_of_envelope(tmp_path: Path, commands: list[bytes]) -> None:
    """BE-13: another digest goes off air for the change and on again under the new name; a re-signed envelope of the same
    disclosure is on air without a pause."""

    async def scene(radio: BumbleRadio) -> None:
        old, renewed, new = broadcast(1), broadcast(1, issued_at=1_790_000_060, sequence=2), broadcast(2, sequence=3)
        radio.replace(old)
        await until(radio, lambda found: found is not None)
        radio.replace(renewed)
        assert radio.on_air() == Evidence(renewed, OnAir.ADVERTISING)
        radio.replace(new)
        assert radio.on_air() is None
        evidence = await until(radio, lambda found: found is not None)
        assert evidence is not None
        assert evidence.broadcast == new
        async with virtual_phone.phone(f"unix:{tmp_path}/hci1") as device:
            heard = await virtual_phone.listen(device, PATIENCE_S)
            assert heard is not None
            assert heard.scan_response == new.scan_response != old.scan_response
            found = await virtual_phone.read(device, heard.address)
            sealed, header = found.envelope, found.header
            assert (sealed, header.sequence) == (envelope(2), 3)

    play(tmp_path, scene)
    assert len({packet for packet in commands if packet[1:3] == b"\x09\x20"}) == 2  # two names, no third


def test_chunks_of_two_versions_are_never_taken_for_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """BE-9: the disclosure changes between two reads of one connection; the phone notices, says so, reads again."""

    async def scene(radio: BumbleRadio) -> None:
        plain, reads = radio._read, 0

        def read(place: int, connection: Connection) -> bytes:
            nonlocal reads
            reads += 1
            if reads == 2:  # so far only the header was read, of version 1
                radio.replace(broadcast(2, sequence=2))
            return plain(place, connection)

        radio._read = read  # type: ignore[method-assign, assignment]  # the moment of the change must be exact
        radio.replace(broadcast(1))
        await until(radio, lambda found: found is not None)
        async with virtual_phone.phone(f"unix:{tmp_path}/hci1") as device:
            heard = await virtual_phone.listen(device, PATIENCE_S)
            assert heard is not None
            found = await virtual_phone.read(device, heard.address)
            sealed, header = found.envelope, found.header
            assert (sealed, header.sequence) == (envelope(2), 2)

    play(tmp_path, scene)
    assert '"where": "read"' in capsys.readouterr().out


def test_controller_goes_and_comes_back(tmp_path: Path) -> None:
    """BE-17: off air with the transport, on air again when it is back; the cause is a code."""

    async def run() -> None:
        radio = BumbleRadio(f"unix:{tmp_path}/hci0")
        radio.replace(broadcast())
        task = asyncio.create_task(radio.run())
        async with asyncio.timeout(PATIENCE_S):
            while (down := radio.down()) is None or down.cause is not Cause.NO_TRANSPORT:
                await asyncio.sleep(0.02)
        for _ in range(2):
            with virtual_radio(tmp_path) as process:
                await until(radio, lambda found: found is not None)
                assert radio.down() is None
                process.kill()
                await until(radio, lambda found: found is None)
            down = radio.down()
            assert down is not None
            assert down.cause in (Cause.TRANSPORT_LOST, Cause.NO_TRANSPORT)
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(run())


def test_mute_controller_is_no_evidence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """BE-14: a controller that accepts bytes and never answers gives NO_ANSWER, never a lease."""
    monkeypatch.setattr(backend, "STEP_TIMEOUT_S", 0.3)

    async def run() -> None:
        writers: list[asyncio.StreamWriter] = []
        server = await asyncio.start_unix_server(lambda _reader, writer: writers.append(writer), str(tmp_path / "hci0"))
        radio = BumbleRadio(f"unix:{tmp_path}/hci0")
        radio.replace(broadcast())
        task = asyncio.create_task(radio.run())
        async with asyncio.timeout(PATIENCE_S):
            while (down := radio.down()) is None or down.cause is not Cause.NO_ANSWER:
                assert radio.on_air() is None
                await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.wait([task])
        server.close()
        for writer in writers:
            writer.close()
        await asyncio.sleep(0.05)  # the sockets' last callbacks

    asyncio.run(run())


def test_evidence_ages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """BE-14: evidence that is not renewed is none."""

    async def scene(radio: BumbleRadio) -> None:
        radio.replace(broadcast())
        await until(radio, lambda found: found is not None)
        monkeypatch.setattr(radio_module, "EVIDENCE_LASTS_S", -1.0)
        assert radio.on_air() is None
        down = radio.down()
        assert down is not None
        assert down.cause is Cause.NO_ANSWER

    play(tmp_path, scene)


@pytest.fixture
def hosted(monkeypatch: pytest.MonkeyPatch) -> list[VirtualController]:
    """The controllers that have had a host, in the order in which one came."""
    seen: list[VirtualController] = []
    attach = VirtualController.attach

    def record(self: VirtualController, write: Callable[[bytes], None], backlog: Callable[[], int]) -> None:
        seen.append(self)
        attach(self, write, backlog)

    monkeypatch.setattr(VirtualController, "attach", record)
    return seen


def test_controller_that_was_reset_behind_our_back_is_on_air_again(
    tmp_path: Path, hosted: list[VirtualController], caplog: pytest.LogCaptureFixture
) -> None:
    """BE-14: it answers every command, and is silent; within 10 s a phone hears and reads it again, as before."""

    async def scene(radio: BumbleRadio) -> None:
        radio.replace(broadcast())
        await until(radio, lambda found: found is not None)
        hosted[0].reset()
        assert radio.on_air() is not None  # nothing has told us
        async with asyncio.timeout(10.0), virtual_phone.phone(f"unix:{tmp_path}/hci1") as device:
            heard = await virtual_phone.listen(device, 10.0)
            assert heard is not None
            assert heard.scan_response == broadcast().scan_response
            found = await virtual_phone.read(device, heard.address)
            assert found.envelope == envelope()
        assert "controller_reset" in caplog.text

    play(tmp_path, scene)


def test_controller_that_cannot_be_put_on_air_again_has_no_evidence(
    tmp_path: Path, hosted: list[VirtualController], monkeypatch: pytest.MonkeyPatch
) -> None:
    """BE-14, BE-21: reset, and from then on it takes the commands and advertises nothing: off air for good within 10 s."""

    async def scene(radio: BumbleRadio) -> None:
        radio.replace(broadcast())
        await until(radio, lambda found: found is not None)
        monkeypatch.setattr(type(hosted[0].le_legacy_advertiser), "start", lambda _advertiser: None)
        hosted[0].reset()
        async with asyncio.timeout(10.0):
            await until(radio, lambda found: found is None)
        for _ in range(20):
            await asyncio.sleep(0.05)
            assert radio.on_air() is None
        down = radio.down()
        assert down is not None
        assert down.cause is Cause.CONTROLLER_RESET

    play(tmp_path, scene)


@pytest.mark.parametrize("beside", [True, False])
def test_reset_with_a_reader_connected_is_noticed(
    tmp_path: Path,
    hosted: list[VirtualController],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    *,
    beside: bool,
) -> None:
    """BE-14, BE-15: the reader is gone and we were not told, whether or not the controller advertises beside a connection."""
    monkeypatch.setattr(backend, "EVIDENCE_EVERY_S", 0.3)
    plain = VirtualController.on_hci_le_set_advertising_enable_command

    def enable(
        self: VirtualController, command: hci.HCI_LE_Set_Advertising_Enable_Command
    ) -> hci.HCI_StatusReturnParameters:
        if command.advertising_enable and self.le_connections and not beside:
            return hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.CONNECTION_LIMIT_EXCEEDED_ERROR)
        return plain(self, command)

    monkeypatch.setattr(VirtualController, "on_hci_le_set_advertising_enable_command", enable)

    async def scene(radio: BumbleRadio) -> None:
        radio.replace(broadcast())
        await until(radio, lambda found: found is not None)
        async with virtual_phone.phone(f"unix:{tmp_path}/hci1") as device:
            await device.connect(static_address("fremont-01"), timeout=PATIENCE_S)
            await until(radio, lambda found: found is not None and found.on_air is OnAir.SERVING)
            await asyncio.sleep(0.7)  # asked about the reader, who is there
            assert radio.on_air() == Evidence(broadcast(), OnAir.SERVING)
            assert "controller_reset" not in caplog.text
            hosted[0].reset()
            await until(radio, lambda found: found is None)
            await until(radio, lambda found: found is not None)
            assert "controller_reset" in caplog.text
            found = await virtual_phone.read(device, static_address("fremont-01"))
            assert found.envelope == envelope()

    play(tmp_path, scene)


def test_readers_who_come_and_go_are_not_taken_for_a_reset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """BE-14: a connection ends advertising and a disconnection a handle, at any moment of the asking."""
    monkeypatch.setattr(backend, "EVIDENCE_EVERY_S", 0.001)

    async def scene(radio: BumbleRadio) -> None:
        radio.replace(broadcast())
        await until(radio, lambda found: found is not None)
        async with virtual_phone.phone(f"unix:{tmp_path}/hci1") as device:
            for _ in range(10):
                connection = await device.connect(static_address("fremont-01"), timeout=PATIENCE_S)
                assert radio.on_air() is not None
                await connection.disconnect()
        assert radio.on_air() is not None
        assert "radio down" not in caplog.text

    play(tmp_path, scene)


def test_reset_is_noticed_with_advertising_sets_too(
    tmp_path: Path,
    hosted: list[VirtualController],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """BE-14: the same question in Bluetooth 5's commands."""
    monkeypatch.setattr(backend, "EVIDENCE_EVERY_S", 0.2)

    async def scene(radio: BumbleRadio) -> None:
        radio.replace(broadcast())
        await until(radio, lambda found: found is not None)
        await asyncio.sleep(0.5)
        assert "radio down" not in caplog.text
        hosted[0].reset()
        await until(radio, lambda found: found is None)
        await until(radio, lambda found: found is not None)
        assert "controller_reset" in caplog.text

    play(tmp_path, scene, extended=[0])


def commands_of(packets: list[bytes], opcode: int) -> list[bytes]:
    """The parameters of all commands with this opcode."""
    return [packet[4:] for packet in packets if packet[0] == 1 and packet[1:3] == opcode.to_bytes(2, "little")]


def whole_broadcast(version: int = 1, sequence: int = 1) -> Broadcast:
    """One with the compact disclosure."""
    return compile_broadcast(envelope(version), sequence, compact=compact(version))


async def until_heard(transport: str, wanted: Callable[[bumble_device.Advertisement], bool]) -> bytes:
    """What a Bluetooth 5 receiver hears, in one advertisement."""
    async with virtual_phone.phone(transport) as device:
        found: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        def hear(report: hci.HCI_LE_Extended_Advertising_Report_Event.Report) -> None:
            heard = bumble_device.Advertisement.from_advertising_report(report)
            if heard is not None and heard.is_complete and wanted(heard) and not found.done():
                found.set_result(heard.data_bytes)

        device.host.on("advertising_report", hear)
        await device.start_scanning(filter_duplicates=False)
        async with asyncio.timeout(PATIENCE_S):
            return await found


def test_both_ways_of_reading(tmp_path: Path, commands: list[bytes]) -> None:
    """BE-1, BE-35, BE-36: on a controller with advertising sets a phone of Bluetooth 4.2 hears and reads what it always did, and a
    receiver of Bluetooth 5 gets the signed compact disclosure in one extended advertisement and the status in a legacy one."""
    shown = whole_broadcast()
    assert shown.extended is not None

    async def scene(radio: BumbleRadio) -> None:
        radio.replace(shown)
        assert await until(radio, lambda found: found is not None) == Evidence(shown, OnAir.ADVERTISING)
        data = await until_heard(f"unix:{tmp_path}/hci2", lambda heard: not heard.is_legacy)
        value = advertisement.heard_service_data(data)
        assert value is not None
        read = open_compact(value, PUBLIC_KEY)
        assert read == compact_of(disclosure())
        data = await until_heard(
            f"unix:{tmp_path}/hci2",
            lambda heard: heard.is_legacy and not heard.is_connectable and b"\x21" in heard.data_bytes[:2],
        )
        assert data == shown.status
        status = advertisement.read_status(advertisement.heard_service_data(data) or b"")
        assert status == advertisement.Status(advertisement.Flag(0), 1, disclosure().digest[:8])
        async with virtual_phone.phone(f"unix:{tmp_path}/hci1") as device:
            heard = await virtual_phone.listen(device, PATIENCE_S)
            assert heard is not None
            assert (heard.advertisement, heard.scan_response) == (shown.advertisement, shown.scan_response)
            found = await virtual_phone.read(device, heard.address)
            assert found.envelope == envelope()
            await until(radio, lambda found: found is not None)

    play(tmp_path, scene, controllers=3, extended=[0, 2])
    data = commands_of(
        commands, 0x2037
    )  # LE Set Extended Advertising Data: handle, operation, fragmentation, length, data
    assert [one[4:] for one in data[:3]] == [shown.advertisement, shown.extended, shown.status]
    assert {one[1] for one in data} == {3}  # complete: in one piece
    assert commands_of(commands, 0x2038)[0][4:] == shown.scan_response
    properties = [int.from_bytes(one[1:3], "little") for one in commands_of(commands, 0x2036)]
    assert properties[:3] == [0b10011, 0, 0b10000]  # ADV_IND; extended, nothing else; ADV_NONCONN_IND


def test_a_change_takes_all_sets_with_it(tmp_path: Path) -> None:
    """BE-13, BE-36: the old compact disclosure is off air before the new name is on; without one there is no extended advertisement."""

    async def scene(radio: BumbleRadio) -> None:
        radio.replace(whole_broadcast())
        await until(radio, lambda found: found is not None)
        new = whole_broadcast(2, sequence=2)
        radio.replace(new)
        await until(radio, lambda found: found is not None)
        data = await until_heard(f"unix:{tmp_path}/hci1", lambda heard: not heard.is_legacy)
        assert data == new.extended
        radio.replace(broadcast(2, sequence=3))
        async with asyncio.timeout(PATIENCE_S):
            while radio.on_air() != Evidence(broadcast(2, sequence=3), OnAir.ADVERTISING):
                await asyncio.sleep(0.02)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.5):
                await until_heard(f"unix:{tmp_path}/hci1", lambda heard: not heard.is_legacy)

    play(tmp_path, scene, extended=[0, 1])


def test_a_controller_without_room_for_more_shows_the_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """BE-35: what it refuses is left out and said once, and is no reason to be off air."""

    def refuse(
        self: ExtendedController, command: hci.HCI_LE_Set_Extended_Advertising_Data_Command
    ) -> hci.HCI_StatusReturnParameters:
        if command.advertising_data[:2] != b"\x02\x01":
            return hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.MEMORY_CAPACITY_EXCEEDED_ERROR)
        return plain(self, command)

    plain = ExtendedController.on_hci_le_set_extended_advertising_data_command
    monkeypatch.setattr(ExtendedController, "on_hci_le_set_extended_advertising_data_command", refuse)
    monkeypatch.setattr(backend, "EVIDENCE_EVERY_S", 0.1)

    async def scene(radio: BumbleRadio) -> None:
        radio.replace(whole_broadcast())
        await until(radio, lambda found: found is not None)
        await asyncio.sleep(0.5)
        assert radio.on_air() is not None
        assert caplog.text.count("no extended advertisement: the controller refused it") == 1
        assert "radio down" not in caplog.text

    play(tmp_path, scene, extended=[0])


def test_a_reader_that_stays_is_sent_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """BE-16: one reader cannot keep the unit from all others."""
    monkeypatch.setattr(backend, "READER_LIMIT_S", 0.2)
    monkeypatch.setattr(backend, "EVIDENCE_EVERY_S", 0.1)

    async def scene(radio: BumbleRadio) -> None:
        radio.replace(broadcast())
        await until(radio, lambda found: found is not None)
        async with virtual_phone.phone(f"unix:{tmp_path}/hci1") as device:
            connection = await device.connect(static_address("fremont-01"), timeout=PATIENCE_S)
            gone = asyncio.Event()
            connection.on("disconnection", lambda _reason: gone.set())
            async with asyncio.timeout(PATIENCE_S):
                await gone.wait()
            found = await virtual_phone.read(device, static_address("fremont-01"))
            assert found.envelope == envelope()

    play(tmp_path, scene)


def test_lease_digest_is_the_disclosures(tmp_path: Path) -> None:
    """BE-18: what the evidence names is the SHA-256 of the disclosure, not of the envelope."""

    async def scene(radio: BumbleRadio) -> None:
        radio.replace(broadcast())
        evidence = await until(radio, lambda found: found is not None)
        assert evidence is not None
        assert evidence.broadcast.digest == disclosure().digest

    play(tmp_path, scene)
