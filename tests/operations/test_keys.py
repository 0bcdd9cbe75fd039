"""`dtpr-agent fleet keys` (OP-30): only what enough of the city's signers signed becomes a key directory."""

import json
from pathlib import Path

import pytest

from agent.cli.main import main
from agent.errors import MessageError, SettingsError
from agent.operations.keys import decode_directory, encode_directory, find_keys
from agent.policy.signed import Kind
from agent.policy.units import Units, VouchedUnit, compile_units
from agent.wire import cose
from tests.anonymizer.stage import ORIGIN
from tests.operations.stories import PUBLIC, story, write_copy
from tests.signing import KEYS, install_governance, sign

UNIT = VouchedUnit("bridge", "bridge-01", PUBLIC)
OTHER = VouchedUnit("bridge", "bridge-02", cose.public_bytes(KEYS["ben"]))


def units(*of: VouchedUnit, version: int = 1, city: str = "springfield") -> Units:
    return Units(version, city, of)


def test_the_directory_of_several_files(tmp_path: Path) -> None:
    found = decode_directory(encode_directory([units(UNIT), units(OTHER, version=4)]), "keys.json")
    assert found.units == {ORIGIN: PUBLIC, "springfield/bridge/bridge-02": OTHER.public_key}
    assert find_keys(found, ORIGIN) == (PUBLIC,)
    with pytest.raises(SettingsError, match="expected a key for a/b/c"):
        find_keys(found, "a/b/c")


@pytest.mark.parametrize(
    "files",
    [
        [units(UNIT), units(VouchedUnit("bridge", "bridge-01", OTHER.public_key))],
        [units(UNIT), units(VouchedUnit("bridge", "bridge-09", PUBLIC))],
        [units(UNIT), units(OTHER, city="shelbyville")],
        [],
    ],
)
def test_files_that_contradict_each_other(files: list[Units]) -> None:
    with pytest.raises(SettingsError):
        encode_directory(files)


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"v": 1}', b"\xff", b"[" * 100_000])
def test_other_files_are_no_directory(data: bytes) -> None:
    with pytest.raises(MessageError, match="key directory"):
        decode_directory(data, "keys.json")


def test_the_command_and_the_audit_that_uses_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Signed by enough: a directory, by which a log is audited without anyone typing a key."""
    root = install_governance(tmp_path / "governance.cbor")
    (tmp_path / "units.cose").write_bytes(sign(Kind.UNITS, compile_units(units(UNIT, OTHER))))
    out = tmp_path / "keys.json"
    command = ["fleet", "keys", str(tmp_path / "units.cose"), "--governance", str(root)]
    assert main([*command, "--out", str(out)]) == 0
    assert "2 units of springfield" in capsys.readouterr().out
    assert json.loads(out.read_text())["units"][ORIGIN] == PUBLIC.hex()
    assert main(command) == 0
    assert capsys.readouterr().out == out.read_text()
    copy = write_copy(tmp_path, story())
    assert main(["audit", "--log", str(copy), "--keys", str(out), "--governance", str(root)]) == 0


@pytest.mark.parametrize(
    "message",
    [
        sign(Kind.UNITS, compile_units(units(UNIT)), "ana"),
        sign(Kind.UNITS, compile_units(units(UNIT, city="shelbyville"))),
        sign(Kind.POLICY, compile_units(units(UNIT))),
        compile_units(units(UNIT)),
        b"",
    ],
    ids=["one signer", "another city", "another kind", "not signed", "nothing"],
)
def test_what_is_not_vouched_for_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], message: bytes) -> None:
    """Exit 2, the file named, and nothing written."""
    root = install_governance(tmp_path / "governance.cbor")
    (tmp_path / "units.cose").write_bytes(message)
    out = tmp_path / "keys.json"
    assert main(["fleet", "keys", str(tmp_path / "units.cose"), "--governance", str(root), "--out", str(out)]) == 2
    assert "units.cose" in capsys.readouterr().err
    assert not out.exists()
