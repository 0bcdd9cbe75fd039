"""Three real processes, bluetoothd (ours), beacon and anonymizer: whatever ends the advertisement closes the gate, with its reason (I3)."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.beacon import gatt
from agent.contracts.latest import open_latest
from agent.contracts.public import LATEST
from tests.anonymizer.stage import KEY, Unit
from tests.beacon.private_bus import Bluetoothd, private_bus
from tests.beacon.stage import PATIENCE_S, running, start

CLOSED_WITHIN_S = 15.0
ON_AIR_WITHIN_S = 10.0


@pytest.fixture
def unit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Unit]:
    """An anonymizer with a policy whose notice is a second, on a bus of its own."""
    with private_bus(tmp_path) as address:
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
        (tmp_path / "status").mkdir()
        unit = Unit(tmp_path)
        unit.start()
        try:
            yield unit
        finally:
            unit.end()


def within(seconds: float, holds: Callable[[], bool], what: str) -> float:
    """How long it took."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < seconds, f"not within {seconds} s: {what}"
        time.sleep(0.02)
    return time.monotonic() - began


def test_the_gate_follows_the_radio(unit: Unit) -> None:
    """bluetoothd killed, adapter unplugged, powered off: closed within 15 s and said why, on air within 10 s of the return."""

    def code() -> str:
        path = unit.folder / "status" / "beacon" / "status"
        return str(json.loads(path.read_text())["code"]) if path.exists() else ""

    def lost(cause: set[str]) -> None:
        within(CLOSED_WITHIN_S, lambda: unit.state().gate == "closed", "a closed gate")
        assert unit.reason() == "lease_closed"
        within(PATIENCE_S, lambda: code() in cause, f"one of {cause}, not {code()}")

    def back() -> None:
        within(ON_AIR_WITHIN_S, lambda: bool(bluetoothd.tell("registrations") and bluetoothd.on_air), "on air")
        within(PATIENCE_S, lambda: unit.reason() == "open", "an open gate")

    with running(start("agent.beacon", "--config", str(unit.settings))):
        bluetoothd = Bluetoothd()
        with running(bluetoothd.process):
            within(PATIENCE_S, lambda: unit.reason() == "open", "an open gate")
            bluetoothd.kill()
            lost({"bluez_gone", "no_bluez"})
        bluetoothd = Bluetoothd()
        with running(bluetoothd.process):
            back()
            bluetoothd.tell("unplug")
            lost({"no_adapter"})
            bluetoothd.tell("plug")
            back()
            bluetoothd.tell("power", on=False)
            lost({"adapter_powered_off"})
            bluetoothd.tell("power", on=True)
            back()
            bluetoothd.tell("fail", how="failed")
            bluetoothd.tell("release")
            lost({"radio_refused"})  # as some kernels refuse every registration
            bluetoothd.tell("fail", how="")
            back()


def newest_figures(value: Callable[[object], bytes]) -> bytes:
    """Read as a phone does: they change every second here, so begin again when they did between the header and the last chunk."""
    for _ in range(100):
        header = value(gatt.LATEST_HEADER_UUID)
        chunks = [value(uuid) for uuid in gatt.LATEST_CHUNK_UUIDS[: gatt.read_header(header).count]]
        if value(gatt.LATEST_HEADER_UUID) == header:
            return gatt.assemble(header, chunks)
    raise AssertionError("the figures never stood still")


def test_what_is_released_is_on_air(unit: Unit) -> None:
    """AN-75, BE-5: once a window is in the log its figures and the tree head are read from the radio, signed; and after a restart again."""
    bluetoothd = Bluetoothd()
    with running(bluetoothd.process), running(start("agent.beacon", "--config", str(unit.settings))):
        within(PATIENCE_S, lambda: bool(unit.folder.joinpath("log").exists() and unit.releases()), "a release")

        def value(uuid: object) -> bytes:
            answer = bluetoothd.tell("read", uuid=str(uuid))
            return bytes.fromhex(answer.get("value", ""))

        within(PATIENCE_S, lambda: bool(value(gatt.LATEST_HEADER_UUID)), "figures on air")
        latest = open_latest(newest_figures(value), KEY.public_key().public_bytes_raw())
        assert latest.path == "springfield/bridge/bridge-01"
        (figures,) = latest.figures
        logged = {(one.stream, one.window_start) for one in unit.releases()}
        assert (figures.stream, figures.start) in logged
        assert [name for name, _, _ in figures.cells] == ["bike", "foot"]
        note = value(gatt.CHECKPOINT_UUID).decode()
        assert note.startswith("springfield/bridge/bridge-01\n")
        assert "\ntime " in note
    unit.stop()
    (unit.folder / "public" / LATEST).unlink()
    unit.start()
    within(PATIENCE_S, lambda: (unit.folder / "public" / LATEST).exists(), "the figures from the log")
