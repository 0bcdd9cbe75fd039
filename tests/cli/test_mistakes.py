"""What a user easily gets wrong: the message says where, what was expected and what to do; `--help` says what each action is for."""

import os
from pathlib import Path

import pytest

from agent.cli.main import COMMANDS, main
from agent.policy.governance import compile_governance, parse_governance

CONFIG = Path(__file__).parents[2] / "config"
KEY = "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"

MISTAKES = {
    "a log's folder for a copy": ("audit --log log --key KEY", 2, ["log/checkpoint", "dtpr-agent log export"]),
    "a folder without an older copy": ("audit --log log --unit a/b/c --key KEY --earlier log", 2, ["log: expected an older copy"]),
    "a folder for a key directory": ("audit --log log --unit a/b/c --keys log", 2, ["one file", "a folder"]),
    "a unit without its city": ("audit --log log --unit bridge-01 --key KEY", 2, ["--unit: expected CITY/SITE/UNIT"]),
    "a log that is elsewhere": ("log export copy --log none", 2, ["none/releases", "--log"]),
    "another table of TOML": ("policy check agent.toml", 2, ["a table [unit], got nothing\n"]),
    "a list of units as a policy": ("policy sign units.toml --key key", 2, ["--as governance, units or stop"]),
    "a policy as a trust root": ("fleet keys policy.cose --governance policy.cose", 2, ["policy.cose: signed governance"]),
    "no key": ("key show none", 2, ["dtpr-agent key new", "dtpr-agent policy keygen"]),
    "a login beside a file": ("subscribe --config agent.toml --username me", 2, ["--config", "--username"]),
    "a fingerprint without TLS": (f"subscribe --pin-sha256 {'ab' * 32}", 2, ["--pin-sha256", "add --tls"]),
    "an authority that is not there": ("subscribe --tls --ca-file none.pem", 2, ["none.pem: expected an authority"]),
    "raw without JSON": ("subscribe --raw", 2, ["add --json"]),
    "a city's name": ("subscribe --city Springfield", 2, ["--city: expected one topic level"]),
    "a report's folder": ("demo --report none/report.json", 2, ["none/report.json", "a folder to write in"]),
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "log").mkdir()
    for name in ("agent.toml", "policy.toml", "units.toml"):
        (tmp_path / name).write_bytes((CONFIG / name).read_bytes())
    assert main(["policy", "keygen", "key"]) == 0
    assert main(["policy", "sign", "policy.toml", "--key", "key"]) == 0
    capsys.readouterr()
    return tmp_path


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_with_its_remedy(mistake: str, capsys: pytest.CaptureFixture[str]) -> None:
    line, status, fragments = MISTAKES[mistake]
    assert main(line.replace("KEY", KEY).split()) == status
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert told.count("\n") == 1
    for fragment in fragments:
        assert fragment in told


def test_a_key_that_one_may_not_read_is_not_to_be_made_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def denied(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "read_bytes", denied)
    assert main(["key", "show", str(folder / "key")]) == 2
    told = capsys.readouterr().err
    assert "as its owner" in told
    assert "key new" not in told


def test_a_compiled_trust_root_is_one_too(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As for `audit` and `fleet keys`: it is the form in which the demo keeps its own."""
    root = parse_governance((CONFIG / "governance.toml").read_bytes(), "governance.toml")
    (folder / "governance.cbor").write_bytes(compile_governance(root))
    assert main(["policy", "verify", "policy.cose", "--governance", "governance.cbor"]) == 2
    assert "under governance version 1 of springfield" in capsys.readouterr().out


def test_a_file_that_no_command_spoke_of_is_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Permission denied on a folder in between, say: no traceback."""

    def denied(*_: object) -> bool:
        raise PermissionError(13, "Permission denied", "log/releases")

    monkeypatch.setattr(os, "access", denied)
    assert main(["privacy", "report", "--policy", "policy.toml", "--log", str(folder / "log")]) == 3
    assert capsys.readouterr().err == "error: log/releases: Permission denied; check the path, its owner and mode\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_begins_with_what_it_is_for(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    words = COMMANDS[command][1]
    assert " ".join(f"{words[:1].upper()}{words[1:]}.".split()) in " ".join(capsys.readouterr().out.split())


def test_the_help_of_an_action_says_what_it_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["log", "export", "--help"])
    assert "Write the log as tiles (C2SP tlog-tiles), or bring such a copy up to date." in " ".join(capsys.readouterr().out.split())  # fmt: skip
