"""A technician rotates the key of a real unit with an outage behind it: anonymizer, publisher, mosquitto, and the city's commands (AN-126, OP-54 to OP-56)."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.cli.main import main
from agent.contracts.log import KeyRotated, Release
from agent.local.credentials import load_signing_key
from agent.operations.keyring import GIVEN_UP
from agent.policy.signed import Kind
from agent.policy.units import Units, VouchedUnit, compile_units
from agent.wire import cose
from tests.anonymizer.stage import KEY, ORIGIN, Unit, policy_text
from tests.anonymizer.test_daemon import keep
from tests.brokers import Mosquitto
from tests.publisher.unit_folders import wait_until
from tests.signing import install_governance, sign

WAIT_S = 60.0


@contextmanager
def running(*command: str, out: Path) -> Iterator[None]:
    """A process for as long as the block takes."""
    with out.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    try:
        yield
        assert process.poll() is None, out.read_text()
    finally:
        process.terminate()
        process.wait(20)


def records(out: Path) -> list[dict[str, Any]]:
    """The Releases that `subscribe --json` has written so far, by whole lines."""
    lines = [json.loads(line) for line in out.read_text().split("\n")[:-1] if line.endswith("}")]
    return [line for line in lines if line["type"] == "release"]


def units_file(folder: Path, version: int, key: bytes) -> str:
    path = folder / f"units-{version}.cose"
    units = Units(version, "springfield", (VouchedUnit("bridge", "bridge-01", key),))
    path.write_bytes(sign(Kind.UNITS, compile_units(units)))
    return str(path)


def test_a_rotation_with_a_backlog(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unit = Unit(tmp_path, policy_text().replace('transport = "tls"', 'transport = "any"'))
    broker = Mosquitto(tmp_path)
    text = unit.settings.read_text().replace("tls = false", f"tls = false\nport = {broker.port}\nbacklog_per_s = 100")
    unit.settings.write_text(text)
    config = ("--config", str(unit.settings))
    try:
        unit.start()
        unit.wait((tmp_path / "public" / "envelope").exists, "envelope")
        keep(unit, unit.beacon(), unit.bridge(), 5.0)
        assert unit.stop() == 0
        before = len(unit.releases())
        assert before > 2, "the control: something waits for the broker"

        root = str(install_governance(tmp_path / "root.cbor"))
        assert main(["key", "rotate", *config]) == 0
        new = cose.public_bytes(load_signing_key(tmp_path / "unit-key"))
        assert capsys.readouterr().out.strip() == new.hex()
        files = [units_file(tmp_path, 1, cose.public_bytes(KEY)), units_file(tmp_path, 2, new)]
        keys = tmp_path / "keys.json"
        assert main(["fleet", "keys", *files, "--governance", root, "--out", str(keys)]) == 0

        unit.key = load_signing_key(tmp_path / "unit-key")
        unit.start()
        assert "signing key rotated" in unit.errors()
        keep(unit, unit.beacon(), unit.bridge(), 3.0)
        assert unit.stop() == 0
        entries = unit.entries()
        at = next(i for i, entry in enumerate(entries) if isinstance(entry, KeyRotated))
        late = [i for i, entry in enumerate(entries) if isinstance(entry, Release) and i < at]
        since = [i for i, entry in enumerate(entries) if isinstance(entry, Release) and i > at]
        assert len(late) >= before
        assert since

        lines, journal = tmp_path / "lines", tmp_path / "publisher.log"
        with (
            broker,
            running("agent.cli.main", "subscribe", "--json", "--raw", "--keys", str(keys), *config, out=lines),
        ):
            wait_until(lambda: "Sending SUBACK to dtpr-subscribe" in broker.log, "the subscription", WAIT_S)
            with running("agent.publisher", *config, out=journal):
                wait_until(lambda: len(records(lines)) >= len(late) + len(since), "every Release", WAIT_S)
        found = {int(str(record["log_index"])): record for record in records(lines)}
        assert sorted(found) == sorted(late + since)
        assert all(record["verified"] is True for record in found.values())
        assert all(found[i]["notes"] == [f"{GIVEN_UP} in version 2 of the units file"] for i in late)
        assert all(found[i]["notes"] == [] for i in since)

        copy = str(tmp_path / "copy")
        assert main(["log", "export", copy, *config]) == 0
        audit = ["audit", "--log", copy, "--received", str(lines), "--governance", root]
        assert main([*audit, "--keys", str(keys)]) == 0
        said = capsys.readouterr().out
        assert f"signing key {cose.public_bytes(KEY).hex()} gave way to {new.hex()}" in said
        assert f"{len(found)} confirmed" in said
        assert "CLEAN" in said
        assert main([*audit, "--key", new.hex()]) == 0
        assert main([*audit, "--key", cose.public_bytes(KEY).hex()]) == 0
        assert "for which the old key vouches and none that was given" in capsys.readouterr().out
        assert main([*audit, "--key", "ab" * 32]) != 0
        assert ORIGIN in capsys.readouterr().out
    finally:
        unit.end()
