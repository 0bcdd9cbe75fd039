"""R20: malformed messages that hold secrets, and everything that leaves the process afterwards searched for them."""

import base64
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.contracts.reading import TAG_UINT8, TAG_UINT16_LE, TAG_UINT32_LE, Body, Kind
from agent.wire import cbor
from tests.anonymizer.stage import Unit, message
from tests.privacy.table import Record

DEVICE = bytes.fromhex("5ec7e70bad1d")
"""An address, as a board sends it."""

COUNT, VALUE = 54_321, 3_735_928_559

WHOLE_COUNT = re.compile(rb"(?<![0-9A-Za-z.])%d(?![0-9A-Za-z])" % COUNT)
"""Not in the midst of a time or a signature, where five digits stand by chance."""

ROOT = Path(__file__).parents[2]


def forms() -> dict[str, bytes]:
    """How the secrets could be written."""
    text = DEVICE.hex()
    found = {
        "raw": DEVICE,
        "reversed": DEVICE[::-1],
        "hex": text.encode(),
        "HEX": text.upper().encode(),
        "colons": ":".join(text[i : i + 2] for i in range(0, 12, 2)).encode(),
        "escapes": repr(DEVICE)[2:-1].encode(),
        "big endian": str(int.from_bytes(DEVICE, "big")).encode(),
        "little endian": str(int.from_bytes(DEVICE, "little")).encode(),
        "count": str(COUNT).encode(),
        "value": str(VALUE).encode(),
        "value in hex": f"{VALUE:x}".encode(),
    }
    for shift, inside in enumerate((slice(0, 8), slice(2, 9), slice(3, 10))):
        found[f"base64 {shift}"] = base64.b64encode(bytes(shift) + DEVICE + bytes(2))[inside]
    return found


def malformed() -> Iterator[bytes]:
    """Messages of reading.sock, each wrong in its own way, with the secrets wherever bytes can stand."""
    columns = {
        Body.CHANNEL.value: 0,
        Body.AGES.value: cbor.CBORTag(TAG_UINT16_LE, bytes(4)),
        Body.CLASSES.value: cbor.CBORTag(TAG_UINT8, b"\0\1"),
        Body.IDENTIFIER_LENGTH.value: 6,
    }
    body = cbor.encode(columns)
    yield message(Kind.READINGS, body, count=2, tail=DEVICE)
    yield message(Kind.READINGS, body, count=2, tail=DEVICE * 3)
    yield message(Kind.READINGS, body, count=COUNT, tail=DEVICE * 2)
    yield message(Kind.READINGS, DEVICE * 4, count=2)
    yield message(Kind.READINGS, cbor.encode({0: DEVICE, 1: COUNT, 2: VALUE}), count=2)
    yield message(Kind.READINGS, cbor.encode({0: DEVICE.hex(), 1: VALUE, 2: COUNT, DEVICE.hex(): 1}), count=2)
    yield message(Kind.READINGS, cbor.encode({**columns, Body.IDENTIFIER_LENGTH.value: VALUE}), count=2)
    yield message(Kind.READINGS, cbor.encode({**columns, Body.CHANNEL.value: COUNT}), count=2, tail=DEVICE * 2)
    values = cbor.CBORTag(TAG_UINT32_LE, VALUE.to_bytes(4, "little") + DEVICE)
    yield message(Kind.READINGS, cbor.encode({**columns, Body.VALUES.value: values}), count=2, tail=DEVICE * 2)
    yield message(Kind.READINGS, body, count=2, received_boot_ns=1 << 63, tail=DEVICE * 2)
    yield message(Kind.BOARD, DEVICE * 4)
    yield message(Kind.BOARD, cbor.encode({0: DEVICE.hex(), 1: VALUE}))
    yield message(Kind.BOARD, cbor.encode([DEVICE, COUNT, VALUE]))
    yield message(Kind.READINGS, body, count=2)[:20] + DEVICE
    yield DEVICE * 5
    yield DEVICE


def outside(unit: Unit) -> dict[str, bytes]:
    """What leaves the process: its standard error, and every file that it wrote."""
    inputs = {unit.policy, unit.settings, unit.folder / "unit-key"}
    return {
        str(path.relative_to(unit.folder)): path.read_bytes()
        for path in unit.folder.rglob("*")
        if path.is_file() and path not in inputs
    }


def leaks(unit: Unit) -> list[str]:
    """Where a secret stands, and how it is written."""
    return [
        f"{form} in {name}"
        for name, data in outside(unit).items()
        for form, secret in forms().items()
        if (WHOLE_COUNT.search(data) if form == "count" else secret in data)
    ]


def attack(folder: Path) -> list[str]:
    """A real daemon fed with all of it, one connection each so that each is complained about, then stopped."""
    folder.mkdir()
    unit = Unit(folder)
    try:
        unit.start(counters=False)
        for packet in malformed():
            bridge = unit.bridge()
            bridge.send(packet)
            bridge.send(packet)
            bridge.close()
            time.sleep(0.02)
        beacon = unit.beacon()
        beacon.send(DEVICE * 6)
        beacon.send(cbor.encode([DEVICE, COUNT]))
        unit.wait(lambda: "lease" in unit.errors(), "a complaint about the lease")
        assert unit.stop() == 0
        assert unit.errors().count("expected") >= 10, "it did complain"
        return leaks(unit)
    finally:
        unit.end()


WHOLE = """
import agent.anonymizer.batch as batch
from agent.errors import MessageError
def decode(header, message):
    raise MessageError("reading.sock", expected="readings", got=bytes(message).hex())
batch.decode = decode
"""
"""A broken variant: an error that shows what was wrong, for the programmer's ease."""


def test_no_error_tells_what_it_was_about(tmp_path: Path, record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    """I1, I8, AN-60: no identifier, value or count of a malformed message in the journal, the status, the state or the log.
    False alarms: under 1e-6; every other form has 6 bytes or more, so that nothing is one by chance."""
    assert attack(tmp_path / "unit") == []
    (tmp_path / "sitecustomize.py").write_text(WHOLE)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{ROOT}")
    found = attack(tmp_path / "broken")
    assert any("hex" in leak for leak in found)
    record(
        "R20",
        "secrets in malformed messages",
        measured=f"0 of {len(forms())} forms of them found after {sum(1 for _ in malformed())} messages",
        claim="0",
        caught=[f"an error that quotes its message ({len(found)} finds)"],
    )
