"""`dtpr-agent disclosure read` through bleak, our bluetoothd and a beacon that has registered with it: the whole way of a technician's laptop."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.beacon import gatt
from agent.beacon.bluez import BluezRadio
from agent.beacon.broadcast import compile_broadcast
from agent.local.clock import OPERATOR, Clock
from agent.policy.signed import Kind
from agent.policy.units import Units, VouchedUnit, compile_units
from tests.beacon.private_bus import Bluetoothd, private_bus
from tests.beacon.stage import (
    PATIENCE_S,
    PUBLIC_KEY,
    ROOT,
    Stage,
    broadcast,
    disclosure,
    envelope,
    last_figures,
    running,
    stop_notice,
    tree_head,
    upcoming,
)
from tests.signing import install_governance, sign, trust_root

KEY = ["--key", PUBLIC_KEY.hex()]


def now_s() -> int:
    """The time, as the command sees it."""
    return Clock(OPERATOR).utc_ns() // 1_000_000_000


@pytest.fixture
def bluetoothd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bluetoothd]:
    """One that runs on a bus of its own."""
    with private_bus(tmp_path) as address:
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
        daemon = Bluetoothd()
        with running(daemon.process):
            yield daemon


def command(*arguments: str) -> "subprocess.Popen[str]":
    """The command, started."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "agent.cli.main", "disclosure", "read", "--adapter", "hci1", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=dict(os.environ),
    )  # fmt: skip


def read(*arguments: str) -> tuple[int, str, str]:
    """The command's exit code, output and errors."""
    process = command(*arguments)
    with running(process):
        out, errors = process.communicate(timeout=3 * PATIENCE_S)
        return process.returncode, out, errors


def read_json(*arguments: str) -> tuple[int, dict[str, Any]]:
    """Its JSON."""
    code, out, errors = read("--json", *arguments)
    assert out, errors
    return code, json.loads(out)


@pytest.fixture
def stage(tmp_path: Path, bluetoothd: Bluetoothd) -> Iterator[Stage]:
    """A beacon daemon on that bluetoothd, with all that an anonymizer writes."""
    folder = tmp_path / "unit"
    folder.mkdir()
    stage = Stage(folder, 'backend = "bluez"\nadapter = "hci0"')
    stage.show(envelope())
    stage.show_beside(upcoming(), stop_notice())
    stage.show_published(signed_at=now_s())
    with running(stage.beacon()):
        stage.wait_code("no_inbox")
        yield stage


def test_the_whole_way(stage: Stage, tmp_path: Path) -> None:
    """Heard, connected, read and verified under a trust root: unit's signature, governance threshold, fresh tree head."""
    policy = disclosure().policy
    units = Units(1, policy.unit.city, (VouchedUnit(policy.unit.site, "fremont-01", PUBLIC_KEY),))
    governance = install_governance(tmp_path / "governance", trust_root(policy.unit.city))
    signed = tmp_path / "units.cose"
    signed.write_bytes(sign(Kind.UNITS, compile_units(units)))
    trust = ["--governance", str(governance), "--units", str(signed)]
    code, said = read_json("--unit", "fremont-01", *trust)
    assert (code, said["verdict"], said["reasons"]) == (0, "verified live", [])
    assert said["vouched"]
    assert said["governance_version"] == 1
    assert said["digest"] == disclosure().digest.hex()
    assert said["tree_head"]["size"] == 12
    assert said["upcoming"]["policy_version"] == 2
    assert said["stop"]["reason"] == "Recorded speech"
    assert said["latest"][0]["cells"] == {"bicycle": 41, "pedestrian": "suppressed"}
    assert said["not_signed"]["name"] == broadcast().name
    assert bytes.fromhex(said["envelope"]) == envelope()

    code, words, errors = read(*KEY)
    assert code == 0, errors
    for part in (
        "verified live",
        "tree head   12 entries",
        "bicycle 41",
        "STOPPED",
        "on notice   version 2",
        "Promised: ",
    ):
        assert part in words
    code, words, _ = read()
    assert (code, "not checked: no key and no trust root was given" in words) == (0, True)


def test_what_cannot_be_verified_is_not_shown(stage: Stage) -> None:
    """Another key: exit 2 and none of the unit's words; a recording: its words, and why it may be one."""
    code, words, _ = read("--key", (bytes(31) + b"\1").hex())
    assert code == 2
    assert "cannot verify: a signature does not hold" in words
    assert disclosure().title not in words
    stage.show_published(signed_at=now_s() - 3600)
    code, said = read_json(*KEY)
    while said["tree_head"]["age_s"] < 3000:  # the beacon looks four times a second
        code, said = read_json(*KEY)
    assert (code, said["verdict"], said["reasons"]) == (2, "cannot verify", ["stale_tree_head"])


def test_not_heard_is_unavailable(stage: Stage) -> None:
    """Exit 3 and the names that were heard instead."""
    code, _, errors = read("--unit", "other-99", "--seconds", "2")
    assert code == 3
    assert "other-99: not heard within 2 s; other units heard: fremont-01 W" in errors


def test_failed_connections_are_tried_again(stage: Stage, bluetoothd: Bluetoothd) -> None:
    """As with both ends in one bluetoothd 5.66; and for ever refused is an error with a remedy."""
    bluetoothd.tell("central", refuse=2)
    code, said = read_json(*KEY)
    assert (code, said["attempts"]) == (0, 3)
    bluetoothd.tell("central", refuse=100)
    code, _, errors = read(*KEY)
    assert code == 3
    assert "not read in 6 attempts" in errors


def test_a_unit_of_the_first_table(stage: Stage, bluetoothd: Bluetoothd) -> None:
    """Without the tree head's characteristic it is read, and said to be perhaps a recording; without a chunk it is refused."""
    bluetoothd.tell("central", hide=str(gatt.CHECKPOINT_UUID))
    code, said = read_json(*KEY)
    assert (code, said["reasons"]) == (2, ["no_tree_head"])
    bluetoothd.tell("central", hide=str(gatt.CHUNK_UUIDS[1]))
    code, _, errors = read(*KEY)
    assert code == 2
    assert f"expected the characteristic {gatt.CHUNK_UUIDS[1]}, got none" in errors


def test_changed_while_it_is_read(bluetoothd: Bluetoothd) -> None:
    """BE-9: the disclosure changes between header and chunks: read again from the start, and what is shown is the new one, whole."""
    bluetoothd.tell("central", hold_after=1)

    async def scene() -> None:
        radio = BluezRadio("hci0")
        radio.replace(broadcast())
        task = asyncio.create_task(radio.run())
        async with asyncio.timeout(PATIENCE_S):
            while radio.on_air() is None:
                await asyncio.sleep(0.02)
        process = command("--json", *KEY)
        with running(process):
            await asyncio.to_thread(lambda: bluetoothd.tell("central", until="held"))
            radio.replace(compile_broadcast(envelope(2), 2, checkpoint=tree_head(now_s()), latest=last_figures()))
            await asyncio.to_thread(lambda: bluetoothd.tell("central", go=True))
            out, errors = await asyncio.to_thread(lambda: process.communicate(timeout=3 * PATIENCE_S))
        said = json.loads(out)
        assert "note: read again: chunk" in errors
        assert (said["verdict"], said["policy_version"], said["tries"]) == ("verified live", 2, 2)
        task.cancel()
        await asyncio.wait([task])
        await asyncio.sleep(0.05)

    asyncio.run(scene())


@pytest.mark.parametrize("address", ["unix:path=/nowhere/bus", "no address"])
def test_without_a_bus_it_is_unavailable(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """One line with a remedy, exit 3."""
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
    code, _, errors = read("--seconds", "5")
    assert code == 3
    assert errors.count("\n") == 1
    assert "bluetoothctl show" in errors


def test_without_bluez_or_with_another_adapter_it_is_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same."""
    with private_bus(tmp_path) as address:
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
        code, _, errors = read("--seconds", "5")
        assert (code, errors.count("\n")) == (3, 1)
        daemon = Bluetoothd()
        with running(daemon.process):
            code, _, errors = read("--adapter", "hci9", "--seconds", "5")
            assert (code, errors.count("\n")) == (3, 1)
            assert "hci9" in errors


def test_half_a_trust_root_is_refused() -> None:
    """Exit 2 before anything is heard."""
    code, _, errors = read("--governance", "governance.toml")
    assert code == 2
    assert "expected both or neither" in errors
