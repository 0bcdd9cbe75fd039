"""`dtpr-agent policy check | explain | diff | compile | status`, as a steward runs them."""

import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from agent.anonymizer.kinds import encodable
from agent.cli.main import main
from agent.cli.policy import load, standing
from agent.contracts.public import Reason, State
from agent.disclosure.datachain import compile_disclosure
from agent.disclosure.validation import validate
from agent.errors import PolicyError
from agent.policy.compile import compile_policy
from agent.policy.file import load_policy
from agent.policy.signed import Kind
from agent.wire import cose_sign
from tests.vectors.policy import generate as vectors

PROJECT = Path(__file__).parents[2]
POLICY = PROJECT / "config" / "policy.toml"
BROKEN = sorted(path for path in (PROJECT / "tests/vectors/policy").glob("*.toml") if path.name != "good.toml")
POLICIES = [POLICY, *sorted((PROJECT / "config" / "examples").glob("*.toml"))]

SEALED = """
import os, sys
import numpy  # which loads its own libraries with ctypes: all that comes after it is sealed
REFUSED = ("socket.", "fcntl.", "ctypes.", "subprocess.", "os.exec", "os.posix_spawn", "os.fork", "syslog.")
def refuse(event, arguments):
    path = arguments[0] if event == "open" and arguments and isinstance(arguments[0], (str, bytes)) else ""
    path = os.fsdecode(path)
    if event.startswith(REFUSED) or path.startswith(("/dev/", "/sys/", "/run/", "/proc/")):
        os.write(2, f"touched: {event} {path}\\n".encode())
        os._exit(99)
sys.addaudithook(refuse)
from agent.cli.main import main
sys.exit(main(sys.argv[1:]))
"""
"""A process in which nothing but plain files can be opened: no socket, no ioctl, no device, no other program."""


def sealed(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run `dtpr-agent` with every way to hardware closed."""
    command = [sys.executable, "-c", SEALED, *arguments]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=60, check=False)


def test_check_the_shipped_policy_without_touching_hardware() -> None:
    """OK, exit status 0, and the noise, the disclosure and its sentences."""
    ran = sealed("policy", "check", "config/policy.toml")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("OK  config/policy.toml\n")
    assert compile_disclosure(load_policy(POLICY)).digest.hex() in ran.stdout
    assert "\n    release log    54 MB a year on the card\n" in ran.stdout
    assert not ran.stderr


def test_the_seal_holds() -> None:
    """The test above can fail: a program that opens a device or a socket ends at once."""
    for touch in ("open('/dev/null')", "__import__('socket').socket()", "__import__('fcntl').ioctl(0, 0x5401)"):
        code = SEALED.partition("from agent")[0] + touch
        assert (
            subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=False).returncode == 99
        )


def test_a_broken_policy_in_a_sealed_process() -> None:
    ran = sealed("policy", "check", str(BROKEN[0]))
    assert ran.returncode == 2, ran.stderr


@pytest.mark.parametrize("path", BROKEN, ids=lambda path: path.stem)
def test_each_broken_policy(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 2, one line that names the file, the line to change and what is wrong; nothing else is printed."""
    _, line, fragment = path.read_text().splitlines()[0].removeprefix("# ").split(": ", 2)
    assert main(["policy", "check", str(path)]) == 2
    out, error = capsys.readouterr()
    assert not out
    assert error.startswith(f"error: {path}:{line}:"), error
    assert fragment in error
    assert error.count("\n") == 1


def test_there_are_enough_broken_policies() -> None:
    assert len(BROKEN) >= 30


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.mkdir(), "a directory"),
        (lambda path: path.write_bytes(b"#" * 10_000_000), "10,000,000 bytes"),
        (lambda path: os.mkfifo(path), "something that is no file"),
        (lambda path: None, "No such file or directory"),
        (lambda path: path.write_bytes(b"\xff\xfe\x00"), "UTF-8"),
        (lambda path: path.write_bytes(b""), "nothing"),
        (lambda path: path.write_text("a = " + "[" * 100_000), "nested"),
        (lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
    ],
    ids=["directory", "10 MB", "pipe", "missing", "not UTF-8", "empty", "nested 100,000 deep", "circle"],
)
def test_what_is_no_policy(make: object, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A clear error that names the file, for every action that reads one."""
    path = tmp_path / "policy.toml"
    assert callable(make)
    make(path)
    for action in (
        ["check", str(path)],
        ["explain", str(path)],
        ["compile", str(path)],
        ["diff", str(path), str(POLICY)],
    ):
        assert main(["policy", *action]) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"error: {path}"), error
        assert words in error


def test_a_weak_spot_is_printed_and_does_not_fail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "weak.toml"
    path.write_text(vectors.GOOD.replace('transport = "tls"', 'transport = "any"'))
    assert main(["policy", "check", str(path)]) == 0
    assert f"warning: {path}:4: the way to the broker" in capsys.readouterr().out


WIDE = (
    ("low = 30 ", "low = 0 "),
    ("high = 100\n", "high = 1000000\n"),
    ("step = 1                     ", "step = 1000000 "),
    ("m = 60", "m = 10"),
)
LONELY = ("c = 60", "c = 1"), ("samples = 3600", "samples = 1"), ("\nrho = 0.125", "\nrho = 0.000001")
MANY = (
    ('["short_bay", "disabled_bay"]', str([f"bay_of_a_rather_long_name_{n:02}" for n in range(64)]).replace("'", '"')),
    (
        '["15 minutes", "1 hour", "4 hours"]',
        str([f"{5 * n} minutes" for n in range(1, 32)]).replace("'", '"'),
    ),
)


@pytest.mark.parametrize(
    ("example", "changes", "got"),
    [("air-quality-and-noise", WIDE + LONELY, "noise_sd"), ("parking-and-bins", MANY, " bytes, got ")],
    ids=["noise too wide", "pack too long"],
)
def test_check_refuses_what_a_unit_would_refuse(
    example: str, changes: tuple[tuple[str, str], ...], got: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """AN-71: a policy of which no window could be written is refused here, at the stream's privacy table, and not first at the pole."""
    text = (PROJECT / "config" / "examples" / f"{example}.toml").read_text()
    text = text.partition('\n[[stream]]\nname = "noise-levels"')[
        0
    ]  # whose channel is that of the stream that is spoilt
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    path = tmp_path / "policy.toml"
    path.write_text(text)
    with pytest.raises(PolicyError) as at_the_pole:
        encodable(load_policy(path))
    lines = text.splitlines()
    stream = next(n for n, line in enumerate(lines, 1) if line in ('name = "noise"', 'name = "stays"'))
    line = next(n for n, line in enumerate(lines, 1) if n > stream and line == "[stream.privacy]")
    assert main(["policy", "check", str(path)]) == PolicyError.exit_code
    out, error = capsys.readouterr()
    assert not out
    assert re.match(
        rf"error: {re.escape(str(path))}:{line}: stream\.[12]\.privacy: expected numbers and noise that fit into a pack",
        error,
    )
    assert got in error
    assert str(at_the_pole.value).partition(": ")[2] in error
    assert "choose" in error


def test_explain(capsys: pytest.CaptureFixture[str]) -> None:
    """The table alone, or what it gives for a file."""
    assert main(["policy", "explain"]) == 0
    assert "How a disclosure follows from a policy" in capsys.readouterr().out
    assert main(["policy", "explain", str(POLICY)]) == 0
    assert f"from {POLICY}:" in capsys.readouterr().out


def _signed(path: Path) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    compiled = compile_policy(load_policy(path))
    return cose_sign.sign(compiled, [Ed25519PrivateKey.generate()], content_type=Kind.POLICY.content_type)


def test_diff_of_any_form(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """TOML, compiled and signed are the same policy; another version is compared in words."""
    compiled, signed = tmp_path / "p.cbor", tmp_path / "p.cose"
    compiled.write_bytes(compile_policy(load_policy(POLICY)))
    signed.write_bytes(_signed(POLICY))
    assert load(compiled) == load(signed) == load(POLICY)
    new = tmp_path / "new.toml"
    new.write_text(POLICY.read_text().replace("version = 1", "version = 2").replace('"15 minutes"', '"5 minutes"'))
    assert main(["policy", "diff", str(signed), str(new)]) == 0
    out = capsys.readouterr().out
    assert "crossings: It publishes every 5 minutes instead of every 15 minutes." in out
    assert out.endswith("1 change is not stricter: version 2 waits for 14 days of notice on air.\n")


@pytest.mark.parametrize("spoil", [lambda data: data[:-1], lambda data: data + b"\0", lambda data: b"\xd8\x62\x80"])
def test_a_spoilt_signed_policy(spoil: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "p.cose"
    assert callable(spoil)
    path.write_bytes(spoil(_signed(POLICY)))
    assert main(["policy", "diff", str(path), str(POLICY)]) == 2
    assert capsys.readouterr().err.startswith(f"error: {path}: ")


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.stem)
def test_compile(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The compiled bytes and a datachain that keeps the rules of DTPR, with both digests on the terminal."""
    assert main(["policy", "compile", str(path), "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    policy = load_policy(path)
    assert (tmp_path / f"{path.stem}.cbor").read_bytes() == compile_policy(policy)
    validate(json.loads((tmp_path / f"{path.stem}.datachain.json").read_text()))
    assert compile_disclosure(policy).digest.hex() in out
    assert main(["policy", "compile", str(tmp_path / f"{path.stem}.cbor")]) == 2  # would replace what it reads
    assert "another place" in capsys.readouterr().err


STATE = State(
    city="springfield",
    site="river-bridge",
    unit="bridge-01",
    gate="closed",
    reason=Reason.ON_NOTICE,
    since=1_789_430_400,
    policy_version=1,
    disclosure="ab" * 32,
    notice_remaining_s=3 * 86_400,
    expires=1_852_588_800,
    clock_trusted=True,
    demo=False,
    public_key="cd" * 32,
    collect_within_s=604_800,
)


def test_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where the policy stands and until when, from what the unit says of itself."""
    (tmp_path / "state").write_bytes(STATE.encode())
    assert main(["policy", "status", "--public", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "springfield/river-bridge/bridge-01" in out
    assert "version 1      on notice: 3 days still to be on air; then until 15 September 2028" in out
    assert "closed (on_notice) since 15 September 2026" in out
    assert "last offer" not in out


def test_status_without_a_unit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing written yet is a matter of waiting; something else in its place is an error."""
    assert main(["policy", "status", "--public", str(tmp_path)]) == 3
    assert "is dtpr-anonymizer running?" in capsys.readouterr().err
    assert main(["policy", "status", "--config", str(tmp_path / "agent.toml")]) == 2
    (tmp_path / "state").mkdir()
    assert main(["policy", "status", "--public", str(tmp_path)]) == 2
    (tmp_path / "state").rmdir()
    (tmp_path / "state").write_bytes(b"{}")
    assert main(["policy", "status", "--public", str(tmp_path)]) == 2
    assert not capsys.readouterr().out


def test_status_of_a_change() -> None:
    """A policy on notice beside the one in force, an offer refused, a stop order with its reason and by whom."""
    said = {field.name: getattr(STATE, field.name) for field in dataclasses.fields(STATE)}
    said |= {"notice_remaining_s": 0, "upcoming_version": 2, "upcoming_disclosure": "ef" * 32}
    said |= {"offer_refused": "1 of 2 signatures", "stop_reason": "A pipe burst", "stop_by": "steward/ana"}
    text = standing(cast(State, SimpleNamespace(**said | {"upcoming_remaining_s": 7200})))
    assert "    version 1      until 15 September 2028\n" in text
    assert "    version 2      on notice: 2 hours still to be on air\n                   disclosure efef" in text
    assert "    last offer     refused: 1 of 2 signatures\n" in text
    assert "    stopped        by steward/ana: A pipe burst\n" in text
    ready = standing(cast(State, SimpleNamespace(**said | {"upcoming_remaining_s": 0})))
    assert "version 2      takes over at the next window" in ready
    assert "no policy" in standing(dataclasses.replace(STATE, policy_version=0, disclosure=""))


def test_status_in_force() -> None:
    text = standing(dataclasses.replace(STATE, gate="open", reason=Reason.OPEN, notice_remaining_s=0))
    assert "version 1      until 15 September 2028" in text


@pytest.mark.parametrize(
    "action", ["check", "compile", "explain", "diff", "status", "keygen", "sign", "verify", "stop"]
)
def test_every_action_is_there(action: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["policy", action, "--help"])
    assert ended.value.code == 0
    assert action in capsys.readouterr().out
