"""The BlueZ backend against our own strict bluetoothd on a private bus (SPEC.md, BE-10, BE-11)."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.beacon import bluez as backend
from agent.beacon import bluez_calls, bluez_readers, bluez_witness, gatt
from agent.beacon.bluez import BluezRadio
from agent.beacon.bluez_settings import off_remedy, pairing_prompts
from agent.beacon.broadcast import Broadcast, compile_broadcast
from agent.beacon.radio import Cause, Evidence
from agent.contracts.lease import OnAir
from tests.beacon.private_bus import Bluetoothd, private_bus
from tests.beacon.stage import (
    PATIENCE_S,
    Inbox,
    Stage,
    broadcast,
    compact,
    disclosure,
    end,
    envelope,
    running,
    stop_notice,
    upcoming,
)


@pytest.fixture
def bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A private dbus-daemon that takes the system bus's place."""
    with private_bus(tmp_path) as address:
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
        yield address


@pytest.fixture
def bluetoothd(bus: str) -> Iterator[Bluetoothd]:
    """One that runs."""
    daemon = Bluetoothd()
    with running(daemon.process):
        yield daemon


def play(scene: Callable[[BluezRadio], Awaitable[None]], witness: str = "") -> None:
    """A radio on hci0 that wants version 1, and a scene."""

    async def run() -> None:
        radio = BluezRadio("hci0", witness)
        radio.replace(broadcast())
        task = asyncio.create_task(radio.run())
        try:
            await scene(radio)
        finally:
            task.cancel()
            await asyncio.wait([task])
            await asyncio.sleep(0.05)

    asyncio.run(run())


async def off(radio: BluezRadio, cause: Cause) -> None:
    """Wait until nothing is on air for this cause."""
    async with asyncio.timeout(PATIENCE_S):
        while radio.on_air() is not None or (down := radio.down()) is None or down.cause is not cause:
            await asyncio.sleep(0.02)


async def on(radio: BluezRadio) -> Evidence:
    """Wait until something is on air."""
    async with asyncio.timeout(PATIENCE_S):
        while (evidence := radio.on_air()) is None:
            await asyncio.sleep(0.02)
    return evidence


async def tell(bluetoothd: Bluetoothd, do: str, **more: Any) -> dict[str, Any]:
    """Give a command while the radio goes on answering."""
    return await asyncio.to_thread(lambda: bluetoothd.tell(do, **more))


def test_packets_and_attributes(bluetoothd: Bluetoothd) -> None:
    """BE-1, BE-2, BE-10: what BlueZ builds from our properties are the specification's bytes, and ReadValue gives every chunk."""
    shown = broadcast()

    async def scene(radio: BluezRadio) -> None:
        assert await on(radio) == Evidence(shown, OnAir.ADVERTISING)
        read = [await tell(bluetoothd, "read", uuid=str(attribute.uuid)) for attribute in shown.attributes]
        assert bluetoothd.on_air == [
            {"advertisement": shown.advertisement.hex(), "scan_response": shown.scan_response.hex()}
        ]
        header, *chunks = (bytes.fromhex(one["value"]) for one in read)
        assert gatt.assemble(header, chunks[:8]) == envelope()
        assert set(chunks[8:18]) == set(chunks[19:]) == {b""}
        assert chunks[18].startswith(b"Bike and foot counter")

    play(scene)


def test_what_is_served_beside_is_proven_before_it_is_evidence(bluetoothd: Bluetoothd) -> None:
    """BE-18: an upcoming disclosure changes nothing on air; it is named once BlueZ was asked while its values were there to read."""
    both = compile_broadcast(envelope(), 2, upcoming=upcoming(), stop=stop_notice())

    async def scene(radio: BluezRadio) -> None:
        await on(radio)
        radio.replace(both)
        said = radio.on_air()
        assert said is not None
        assert (said.broadcast.digest, said.broadcast.upcoming) == (both.digest, None)
        async with asyncio.timeout(PATIENCE_S):
            while (said := radio.on_air()) is None or said.broadcast.upcoming is None:
                await asyncio.sleep(0.02)
        assert said == Evidence(both, OnAir.ADVERTISING)
        read = [await tell(bluetoothd, "read", uuid=str(attribute.uuid)) for attribute in both.attributes[9:19]]
        header, *chunks, stop = (bytes.fromhex(one["value"]) for one in read)
        assert gatt.assemble(header, chunks) == upcoming()
        assert stop == stop_notice()

    play(scene)


def test_read_honours_the_offset(bluetoothd: Bluetoothd) -> None:
    """BE-10: a long read continues where it was; beyond the end is InvalidOffset; exactly the end is empty."""
    chunk = broadcast().attributes[1]

    async def scene(radio: BluezRadio) -> None:
        await on(radio)
        rest = await tell(bluetoothd, "read", uuid=str(chunk.uuid), offset=22)
        assert bytes.fromhex(rest["value"]) == chunk.value[22:]
        assert await tell(bluetoothd, "read", uuid=str(chunk.uuid), offset=500) == {"value": ""}
        beyond = await tell(bluetoothd, "read", uuid=str(chunk.uuid), offset=501)
        assert beyond == {"error": "org.bluez.Error.InvalidOffset"}

    play(scene)


def test_change_of_disclosure(bluetoothd: Bluetoothd) -> None:
    """BE-13: the new name replaces the old one on air, the table stays registered, and never are two on air."""

    async def scene(radio: BluezRadio) -> None:
        await on(radio)
        new = broadcast(2, sequence=2)
        radio.replace(new)
        assert radio.on_air() is None
        assert (await on(radio)).broadcast == new
        counted = await tell(bluetoothd, "registrations")
        assert bluetoothd.on_air == [
            {"advertisement": new.advertisement.hex(), "scan_response": new.scan_response.hex()}
        ]
        assert counted == {"registrations": 2, "applications": 1}

    play(scene)


def test_power_off_and_on(bluetoothd: Bluetoothd) -> None:
    """BE-11: off air at the signal, with the cause; on again by itself."""

    async def scene(radio: BluezRadio) -> None:
        await on(radio)
        await tell(bluetoothd, "power", on=False)
        await off(radio, Cause.POWERED_OFF)
        await tell(bluetoothd, "power", on=True)
        await on(radio)

    play(scene)


def test_a_blocked_adapter_has_its_own_remedy(bluetoothd: Bluetoothd) -> None:
    """BE-11: rfkill, as newer BlueZ tells it."""

    async def scene(radio: BluezRadio) -> None:
        await on(radio)
        await tell(bluetoothd, "power", on=False, state="off-blocked")
        await off(radio, Cause.BLOCKED)
        down = radio.down()
        assert down is not None
        assert "rfkill unblock bluetooth" in str(down)
        await tell(bluetoothd, "power", on=True, state="on")
        await on(radio)

    play(scene)


def test_full_slots_are_named(bluetoothd: Bluetoothd) -> None:
    """BE-11: other programs hold every advertisement that BlueZ has room for; on air when one ends."""
    bluetoothd.tell("other", count=5)

    async def scene(radio: BluezRadio) -> None:
        await off(radio, Cause.SLOTS_FULL)
        down = radio.down()
        assert down is not None
        assert "stop them, or give the unit an adapter of its own" in str(down)
        await tell(bluetoothd, "no others")
        await on(radio)

    play(scene)


def test_one_extended_advertisement_where_bluez_says_that_it_fits(bluetoothd: Bluetoothd) -> None:
    """BE-36: beside the one that every phone hears; it changes with the disclosure, and its refusal or release changes nothing else."""
    bluetoothd.tell("capable", bytes=251)
    first = compile_broadcast(envelope(), 1, compact=compact())
    second = compile_broadcast(envelope(2), 2, compact=compact(2))
    assert first.extended is not None
    assert second.extended is not None

    def shown(broadcast: Broadcast) -> list[dict[str, str]]:
        assert broadcast.extended is not None
        return [
            {"advertisement": broadcast.advertisement.hex(), "scan_response": broadcast.scan_response.hex()},
            {"advertisement": broadcast.extended.hex(), "scan_response": ""},
        ]

    async def until_shown(wanted: list[dict[str, str]]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while bluetoothd.on_air != wanted:
                await tell(bluetoothd, "registrations")
                await asyncio.sleep(0.05)

    async def scene(radio: BluezRadio) -> None:
        radio.replace(first)
        await on(radio)
        await until_shown(shown(first))
        radio.replace(second)
        await on(radio)
        await until_shown(shown(second))
        radio.replace(broadcast(2, sequence=3))
        await until_shown(shown(second)[:1])
        assert radio.on_air() is not None

    play(scene)


def test_without_that_word_of_bluez_nothing_more_is_tried(bluetoothd: Bluetoothd) -> None:
    """BE-36: 5.66 does not say what fits, and crashes when asked for more."""

    async def scene(radio: BluezRadio) -> None:
        radio.replace(compile_broadcast(envelope(), 1, compact=compact()))
        await on(radio)
        await asyncio.sleep(0.5)
        assert (await tell(bluetoothd, "registrations"))["registrations"] == 1

    play(scene)


def test_with_a_second_adapter_only_what_it_hears_is_on_air(
    bluetoothd: Bluetoothd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """BE-41: BlueZ says that it advertises; that is evidence while hci1 hears this very name, and not before or after."""
    monkeypatch.setattr(backend, "EVIDENCE_EVERY_S", 0.2)
    monkeypatch.setattr(bluez_witness, "HEARD_LASTS_S", 2.0)
    bluetoothd.tell("central", deaf=True)

    async def scene(radio: BluezRadio) -> None:
        await off(radio, Cause.NOT_HEARD)
        await tell(bluetoothd, "central", deaf=False)
        await on(radio)
        new = broadcast(2, sequence=2)
        radio.replace(new)
        assert radio.on_air() is None
        assert (await on(radio)).broadcast == new
        await tell(bluetoothd, "central", deaf=True)
        await off(radio, Cause.NOT_HEARD)
        assert (await tell(bluetoothd, "registrations"))["registrations"] == 2  # registered all the while
        await tell(bluetoothd, "central", deaf=False)
        await on(radio)

    play(scene, witness="hci1")


def test_a_second_adapter_that_is_not_there_is_named(bluetoothd: Bluetoothd) -> None:
    """BE-41."""

    async def scene(radio: BluezRadio) -> None:
        await off(radio, Cause.NOT_HEARD)
        assert "/org/bluez/hci7: the second adapter cannot listen" in str(radio.down())

    play(scene, witness="hci7")


@pytest.mark.parametrize("paired", [False, True])
def test_a_reader_that_stays_is_let_go(
    bluetoothd: Bluetoothd, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, *, paired: bool
) -> None:
    """BE-16: a stranger is disconnected when its time is over, and the log has no address; what is paired with this computer may stay."""
    monkeypatch.setattr(bluez_readers, "READER_LIMIT_S", 0.5)
    caplog.set_level("INFO")

    async def scene(radio: BluezRadio) -> None:
        await on(radio)
        at = time.monotonic()
        await tell(bluetoothd, "reader", paired=paired)
        if paired:
            await asyncio.sleep(1.5)
            assert (await tell(bluetoothd, "central", state=True))["connected"]
            return
        async with asyncio.timeout(PATIENCE_S):
            while (await tell(bluetoothd, "central", state=True))["connected"]:
                await asyncio.sleep(0.05)
        assert time.monotonic() - at >= 0.5
        assert radio.on_air() is not None
        async with asyncio.timeout(PATIENCE_S):
            while "a reader that stayed was let go" not in caplog.text:  # said after BlueZ's answer
                await asyncio.sleep(0.02)
        assert "00:AA:01:00:00:02" not in caplog.text
        assert "00_AA_01_00_00_02" not in caplog.text

    play(scene)


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("[General]\nControllerMode = le\nReverseServiceDiscovery=false\n", ()),
        ("[General]\n#ControllerMode = le\nReverseServiceDiscovery = true\n", (0, 1)),
        ("[General]\nControllerMode = dual\nReverseServiceDiscovery = FALSE\n", (0,)),
        ("", (0, 1)),
        ("no settings\n[", (0, 1)),
    ],
)
def test_settings_that_make_phones_ask_are_named(text: str, missing: tuple[int, ...]) -> None:
    """BE-10."""
    lines = ("ControllerMode = le", "ReverseServiceDiscovery = false")
    assert pairing_prompts(text) == tuple(lines[number] for number in missing)


@pytest.mark.parametrize(
    ("power_state", "soft", "hard", "remedy"),
    [
        ("", False, False, "bluetoothctl power on"),
        ("off", True, False, "rfkill unblock"),
        ("off-blocked", False, False, "rfkill unblock"),
        ("off-blocked", True, True, "switch it on at the device"),
    ],
)
def test_each_way_of_being_off_has_its_remedy(power_state: str, remedy: str, *, soft: bool, hard: bool) -> None:
    """BE-11."""
    assert off_remedy(power_state=power_state, soft=soft, hard=hard)[1].startswith(remedy)


def test_adapter_unplugged_and_back(bluetoothd: Bluetoothd) -> None:
    """BE-11."""

    async def scene(radio: BluezRadio) -> None:
        await on(radio)
        await tell(bluetoothd, "unplug")
        await off(radio, Cause.NO_ADAPTER)
        await tell(bluetoothd, "plug")
        await on(radio)

    play(scene)


def test_released_advertisement_is_registered_again(bluetoothd: Bluetoothd) -> None:
    """BE-11: Release() ends it, and it is tried again."""

    async def scene(radio: BluezRadio) -> None:
        await on(radio)
        before = (await tell(bluetoothd, "registrations"))["registrations"]
        await tell(bluetoothd, "release")
        async with asyncio.timeout(PATIENCE_S):
            while (await tell(bluetoothd, "registrations"))["registrations"] == before:
                await asyncio.sleep(0.05)
        await on(radio)

    play(scene)


def test_silently_lost_advertisement_is_noticed(bluetoothd: Bluetoothd, monkeypatch: pytest.MonkeyPatch) -> None:
    """BE-11: no Release, no signal: the regular proof finds ActiveInstances 0."""
    monkeypatch.setattr(backend, "EVIDENCE_EVERY_S", 0.2)

    async def scene(radio: BluezRadio) -> None:
        await on(radio)
        before = (await tell(bluetoothd, "registrations"))["registrations"]
        await tell(bluetoothd, "forget")
        async with asyncio.timeout(PATIENCE_S):
            while (await tell(bluetoothd, "registrations"))["registrations"] == before:
                await asyncio.sleep(0.05)
        await on(radio)

    play(scene)


def test_anothers_advertisement_is_no_evidence_of_ours(
    bluetoothd: Bluetoothd, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """BE-11: ours is lost in silence while another program's keeps ActiveInstances at 1: registered again, or off air."""
    monkeypatch.setattr(backend, "EVIDENCE_EVERY_S", 0.2)

    async def scene(radio: BluezRadio) -> None:
        await on(radio)
        await tell(bluetoothd, "other")
        before = (await tell(bluetoothd, "registrations"))["registrations"]
        await asyncio.sleep(0.6)
        assert (await tell(bluetoothd, "registrations"))[
            "registrations"
        ] == before  # what BlueZ holds is not sent twice
        await tell(bluetoothd, "forget")
        async with asyncio.timeout(PATIENCE_S):
            while (await tell(bluetoothd, "registrations"))["registrations"] == before:
                await asyncio.sleep(0.05)
        async with asyncio.timeout(PATIENCE_S):
            while "BlueZ had lost /org/dtpr/beacon/advertisement" not in caplog.text:  # said after BlueZ's answer
                await asyncio.sleep(0.02)
        await on(radio)
        await tell(bluetoothd, "fail", how="failed")
        await tell(bluetoothd, "forget")
        await off(radio, Cause.REFUSED)
        await tell(bluetoothd, "fail", how="")
        await on(radio)

    play(scene)


def test_lost_application_is_registered_again(bluetoothd: Bluetoothd, monkeypatch: pytest.MonkeyPatch) -> None:
    """BE-11: an advertisement without a readable disclosure is no notice."""
    monkeypatch.setattr(backend, "EVIDENCE_EVERY_S", 0.2)

    async def scene(radio: BluezRadio) -> None:
        await on(radio)
        await tell(bluetoothd, "forget application")
        async with asyncio.timeout(PATIENCE_S):
            while (await tell(bluetoothd, "registrations"))["applications"] == 0:
                await asyncio.sleep(0.05)
        await on(radio)
        await tell(bluetoothd, "fail", how="application")
        await tell(bluetoothd, "forget application")
        await off(radio, Cause.REFUSED)

    play(scene)


@pytest.mark.parametrize("how", ["failed", "application"])
def test_refused_registration_is_a_reported_state(bluetoothd: Bluetoothd, how: str) -> None:
    """BE-11: kernels of 2026 refuse advertisements: a code, BlueZ's words, and another try."""
    bluetoothd.tell("fail", how=how)

    async def scene(radio: BluezRadio) -> None:
        await off(radio, Cause.REFUSED)
        down = radio.down()
        assert down is not None
        assert "org.bluez.Error.Failed: Failed to register" in str(down)
        await asyncio.sleep(0.5)
        assert radio.on_air() is None
        await tell(bluetoothd, "fail", how="")
        await on(radio)

    play(scene)


def test_bluez_that_takes_no_interval_is_served_without(bluetoothd: Bluetoothd) -> None:
    """BE-11: the next try leaves the interval out."""
    bluetoothd.tell("fail", how="interval")

    async def scene(radio: BluezRadio) -> None:
        await on(radio)

    play(scene)


def test_mute_bluez_is_no_evidence(bluetoothd: Bluetoothd, monkeypatch: pytest.MonkeyPatch) -> None:
    """BE-11, BE-14: a registration that is never answered ends in NO_ANSWER."""
    monkeypatch.setattr(bluez_calls, "STEP_TIMEOUT_S", 0.3)
    bluetoothd.tell("fail", how="mute")

    async def scene(radio: BluezRadio) -> None:
        await off(radio, Cause.NO_ANSWER)
        await tell(bluetoothd, "fail", how="")
        await on(radio)

    play(scene)


def test_bluetoothd_restarts(bus: str) -> None:
    """BE-11: absent, there, killed, there again: registered anew each time; off air the moment the name's owner goes."""

    async def scene(radio: BluezRadio) -> None:
        await off(radio, Cause.NO_BLUEZ)
        for _ in range(2):
            daemon = await asyncio.to_thread(Bluetoothd)
            await on(radio)
            daemon.kill()
            at = time.monotonic()
            async with asyncio.timeout(PATIENCE_S):
                while radio.on_air() is not None:
                    await asyncio.sleep(0.01)
            assert time.monotonic() - at < 1.0
            await off(radio, Cause.NO_BLUEZ)

    play(scene)


def test_no_system_bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """BE-11: no dbus-daemon at all."""
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/nothing")

    async def scene(radio: BluezRadio) -> None:
        await off(radio, Cause.NO_BUS)

    play(scene)


def test_daemon_leases_through_bluez(bluetoothd: Bluetoothd, tmp_path: Path) -> None:
    """BE-18, BE-21: the whole daemon: leases while BlueZ shows it; powered off, the lease connection ends at once."""
    folder = tmp_path / "unit"
    folder.mkdir()
    stage = Stage(folder, 'backend = "bluez"\nadapter = "hci0"')
    inbox = Inbox(folder / "lease.sock")
    stage.show(envelope())
    with running(stage.beacon()) as beacon:
        inbox.accept()
        lease = inbox.next_lease()
        assert lease is not None
        assert lease.disclosure_digest == disclosure().digest
        at = time.monotonic()
        bluetoothd.tell("power", on=False)
        inbox.until_hang_up()
        assert time.monotonic() - at < 1.5
        stage.wait_code("adapter_powered_off")
        bluetoothd.tell("power", on=True)
        inbox.accept()
        again = inbox.next_lease()
        assert again is not None
        assert again.disclosure_digest == lease.disclosure_digest
        code, _ = end(beacon)
        assert code == 0
    bluetoothd.tell("registrations")
    assert bluetoothd.on_air == []  # nothing of ours is left behind
    inbox.close()
