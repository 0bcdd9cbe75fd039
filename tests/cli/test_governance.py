"""agent/cli/governance: keygen, sign, verify, stop, as signers use them: files in, words and files out, nothing overwritten."""

import argparse
import datetime
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.cli import governance
from agent.errors import BadInput, DtprError, PolicyError, SettingsError, SignatureError
from agent.local.clock import OPERATOR, Clock
from agent.local.credentials import load_signing_key
from agent.policy.compile import compile_policy
from agent.policy.parse import parse_policy
from agent.policy.signed import verify_policy, verify_stop
from agent.wire import cbor, cose, cose_sign
from tests.policy.roots import NAMES, TWO_OF_THREE

CONFIG = Path(__file__).parents[2] / "config"
NOW_S = Clock(OPERATOR).utc_ns() // 1_000_000_000

Command = Callable[..., str]


def day(offset: int) -> str:
    """A date some days from today, as TOML has it."""
    return str(datetime.datetime.fromtimestamp(NOW_S + offset * 86_400, tz=datetime.UTC).date())


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """`run("sign", "policy.toml", …)` in an empty folder with governance.toml, policy.toml, units.toml and five keys: what was printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    parser = argparse.ArgumentParser()
    governance.add_actions(parser.add_subparsers(required=True))

    def command(*words: str) -> str:
        args = parser.parse_args(words)
        capsys.readouterr()
        assert args.run(args) == 0
        return capsys.readouterr().out

    root = TWO_OF_THREE.replace("2026-09-01", day(-30)).replace("2029-09-01", day(365))
    for name in NAMES:
        root = root.replace(f'"{name.upper()}"', f'"{command("keygen", f"{name}.key").strip()}"')
    Path("governance.toml").write_text(root)
    for name in ("policy.toml", "units.toml"):
        Path(name).write_bytes((CONFIG / name).read_bytes())
    return command


def refused(run: Command, *words: str) -> DtprError:
    """The error of a command that must fail."""
    with pytest.raises(DtprError) as error:
        run(*words)
    return error.value


def test_a_key_is_its_owners_and_is_never_overwritten(run: Command) -> None:
    """PKCS #8 PEM, mode 0600, whatever the umask; the public half is printed; a second keygen changes nothing."""
    old = os.umask(0)
    try:
        printed = run("keygen", "new.key")
    finally:
        os.umask(old)
    assert re.fullmatch(r"[0-9a-f]{64}\n", printed)
    before = Path("new.key").read_bytes()
    assert before.startswith(b"-----BEGIN PRIVATE KEY-----")
    assert stat.S_IMODE(Path("new.key").stat().st_mode) == 0o600
    assert isinstance(refused(run, "keygen", "new.key"), SettingsError)
    assert Path("new.key").read_bytes() == before


def test_from_nothing_to_an_accepted_policy(run: Command) -> None:
    """The whole way of config/governance.toml's four steps, and then a policy."""
    first = run("sign", "governance.toml", "--as", "governance", "--key", "ana.key")
    assert "governance version 1 of springfield" in first
    assert "steward: ana, bo; community: cy; 2 must sign, one of each role" in first
    assert "missing    1 more, of each of community; not signed yet: steward/bo, community/cy" in first
    second = run("sign", "governance.cose", "--as", "governance", "--key", "cy.key")
    assert re.search(r"signed by  steward/ana \(key [0-9a-f]{16}\)\n.*community/cy .*← this signature", second)
    assert "missing    nothing" in second
    assert run("verify", "governance.cose", "--governance", "governance.cose").endswith("OK\n")

    run("sign", "policy.toml", "--key", "bo.key")
    printed = run("sign", "policy.cose", "--key", "cy.key", "--governance", "governance.cose", "--out", "both.cose")
    compiled = compile_policy(parse_policy(Path("policy.toml").read_bytes(), "policy.toml"))
    root = governance._load_root(Path("governance.cose"))
    found = verify_policy(Path("both.cose").read_bytes(), root, NOW_S)
    assert (found.compiled, found.signers) == (compiled, ("steward/bo", "community/cy"))
    for words in (
        found.policy.title,
        f"version {found.policy.version}",
        f"digest     {found.digest.hex()}",
        "written    both.cose",
    ):
        assert words in printed
    assert len(cose_sign.decode_sign(Path("policy.cose").read_bytes()).signatures) == 1
    verified = run("verify", "both.cose", "--governance", "governance.toml")
    assert re.search(r"steward +bo\n +community +cy\n", verified)
    assert found.digest.hex() in verified


def test_below_the_threshold_is_exit_2_after_the_report(run: Command, capsys: pytest.CaptureFixture[str]) -> None:
    """Who signed, who has not, what is missing, the digest; then the error."""
    run("sign", "policy.toml", "--key", "ana.key")
    error = refused(run, "verify", "policy.cose", "--governance", "governance.toml")
    assert isinstance(error, SignatureError)
    assert error.exit_code == 2
    assert str(error).startswith("policy.cose: signatures of the policy: expected 2 of the 3 signers")
    printed = capsys.readouterr().out
    assert re.search(r"steward +ana\n +community +nobody\n", printed)
    assert "missing    1 more, of each of community; not signed yet: steward/bo, community/cy" in printed
    assert re.search(r"digest     [0-9a-f]{64}\n", printed)
    assert "OK" not in printed


def test_no_key_signs_twice(run: Command) -> None:
    """SG-12: Refused, and the file is as it was."""
    run("sign", "policy.toml", "--key", "ana.key")
    before = Path("policy.cose").read_bytes()
    error = refused(run, "sign", "policy.cose", "--key", "ana.key")
    assert "a second time" in str(error)
    assert error.exit_code == 2
    assert Path("policy.cose").read_bytes() == before


def test_signatures_are_never_overwritten(run: Command) -> None:
    """SG-12: Signing the text again would lose what others signed: it is refused, and says what to do."""
    run("sign", "policy.toml", "--key", "ana.key")
    before = Path("policy.cose").read_bytes()
    for words in (
        ["sign", "policy.toml", "--key", "bo.key"],
        ["sign", "policy.toml", "--key", "bo.key", "--out", "ana.key"],
    ):
        error = refused(run, *words)
        assert "sign that file to add a signature" in str(error)
        assert error.exit_code == 2
    assert Path("policy.cose").read_bytes() == before
    assert Path("ana.key").read_bytes().startswith(b"-----BEGIN")


def test_a_compiled_file_is_signed_as_it_is(run: Command) -> None:
    """SG-12: The bytes of `policy compile`; bytes that are no policy are not signed."""
    compiled = compile_policy(parse_policy(Path("policy.toml").read_bytes(), "policy.toml"))
    Path("policy.cbor").write_bytes(compiled)
    run("sign", "policy.cbor", "--key", "ana.key")
    assert cose_sign.decode_sign(Path("policy.cose").read_bytes()).payload == compiled
    Path("broken.cbor").write_bytes(compiled[:-1])
    assert isinstance(refused(run, "sign", "broken.cbor", "--key", "ana.key"), PolicyError)
    assert not Path("broken.cose").exists()


def test_what_a_file_is_signed_as_cannot_change(run: Command) -> None:
    """A policy gets no signature as a stop order, and a text is compiled by its own form."""
    run("sign", "policy.toml", "--key", "ana.key")
    assert "expected stop, as --as says, got policy; --as policy" in str(
        refused(run, "sign", "policy.cose", "--as", "stop", "--key", "bo.key")
    )
    assert isinstance(
        refused(run, "sign", "policy.toml", "--as", "units", "--key", "bo.key", "--out", "x.cose"), PolicyError
    )
    assert "`dtpr-agent policy stop` writes one" in str(
        refused(run, "sign", "policy.toml", "--as", "stop", "--key", "bo.key")
    )


def test_a_signer_whom_the_root_does_not_know_is_told(run: Command) -> None:
    """The signature is made, and its worth is said."""
    printed = run("sign", "policy.toml", "--key", "dee.key", "--governance", "governance.toml")
    assert "not in the trust root: it does not count ← this signature" in printed
    assert "missing    2 more, of each of steward, community" in printed
    with pytest.raises(SignatureError):
        run("verify", "policy.cose", "--governance", "governance.toml")


def test_nobody_adds_a_signature_to_a_damaged_one(run: Command) -> None:
    """SG-12: With the trust root at hand the signatures so far are checked first; the file is left as it was."""
    run("sign", "policy.toml", "--key", "ana.key")
    message = cbor.decode(Path("policy.cose").read_bytes())
    message.value[3][0][2] = bytes(64)
    Path("policy.cose").write_bytes(cbor.encode(message))
    error = refused(run, "sign", "policy.cose", "--key", "cy.key", "--governance", "governance.toml")
    assert "(steward/ana)" in str(error)
    assert Path("policy.cose").read_bytes() == cbor.encode(message)


def test_stop_and_who_ordered_it(run: Command) -> None:
    """Dated now, for one unit, with its reason; one signature is enough here, and a second can be added."""
    printed = run(
        "stop",
        "--reason",
        "It was not as announced",
        "--city",
        "springfield",
        "--unit",
        "bridge-01",
        "--key",
        "cy.key",
        "--out",
        "stop.cose",
    )
    assert "unit bridge-01 of springfield: It was not as announced" in printed
    root = governance._load_root(Path("governance.toml"))
    order = verify_stop(Path("stop.cose").read_bytes(), root, NOW_S)
    assert order.signers == ("community/cy",)
    assert NOW_S <= order.issued <= Clock(OPERATOR).utc_ns() // 10**9
    run("sign", "stop.cose", "--as", "stop", "--key", "ana.key")
    assert run("verify", "stop.cose", "--governance", "governance.toml").endswith("OK\n")
    assert isinstance(
        refused(run, "stop", "--reason", "x\ny", "--city", "springfield", "--key", "cy.key", "--out", "b.cose"),
        PolicyError,
    )
    assert isinstance(
        refused(run, "stop", "--reason", "again", "--city", "springfield", "--key", "cy.key", "--out", "stop.cose"),
        SettingsError,
    )


def test_a_root_is_rotated_by_both(run: Command, capsys: pytest.CaptureFixture[str]) -> None:
    """Verified against the old root, the new one shows who is missing under each."""
    text = Path("governance.toml").read_text().replace("version = 1\n", "version = 2\n").replace('"cy"', '"dee"')
    old_key = re.findall(r'public_key = "(\w+)"', text)[2]
    new_key = cose.public_bytes(load_signing_key(Path("dee.key"))).hex()
    Path("next.toml").write_text(text.replace(old_key, new_key))
    for name, file in (("ana", "next.toml"), ("dee", "next.cose")):
        run("sign", file, "--as", "governance", "--key", f"{name}.key")
    assert "governance version 1, got 1 (steward/ana), nobody of community" in str(
        refused(run, "verify", "next.cose", "--governance", "governance.toml")
    )
    printed = capsys.readouterr().out
    assert re.search(r"under governance version 1 .*\n +steward +ana\n +community +nobody\n +ignored +key", printed)
    assert re.search(
        r"under governance version 2 .*\n +steward +ana\n +community +dee\n +needed .*\n +missing +nothing", printed
    )
    run("sign", "next.cose", "--as", "governance", "--key", "cy.key")
    assert run("verify", "next.cose", "--governance", "governance.toml").endswith("OK\n")


def test_units_are_signed(run: Command) -> None:
    """The list of units and their keys, named one by one."""
    assert "units version 1 of springfield, 1 in all: river-bridge/bridge-01" in run(
        "sign", "units.toml", "--as", "units", "--key", "bo.key"
    )
    run("sign", "units.cose", "--as", "units", "--key", "cy.key")
    assert run("verify", "units.cose", "--governance", "governance.toml").endswith("OK\n")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"x" * 10_000_000,
        b"\x81" * 100_000,
        b"\xd8\x62" * 100_000,
        b"\xa1" * 100_000,
        b"a = " + b"[" * 100_000,
        b"\xff\xfe",
        None,
    ],
    ids=["empty", "10 MB", "nested", "nested tags", "nested maps", "nested text", "not UTF-8", "absent"],
)
@pytest.mark.parametrize("as_root", [False, True])
def test_odd_files_are_named_and_leave_nothing_behind(run: Command, content: bytes | None, as_root: bool) -> None:
    """As the file to sign, to verify or as the root: one documented error with the file's name, exit status 2, no output file."""
    if content is not None:
        Path("odd.toml").write_bytes(content)
    run("sign", "policy.toml", "--key", "ana.key")
    commands = (
        [
            ["verify", "policy.cose", "--governance", "odd.toml"],
            ["sign", "policy.cose", "--key", "cy.key", "--governance", "odd.toml"],
        ]
        if as_root
        else [
            ["verify", "odd.toml", "--governance", "governance.toml"],
            *(
                ["sign", "odd.toml", "--as", kind, "--key", "cy.key"]
                for kind in ("policy", "governance", "units", "stop")
            ),
        ]
    )
    for words in commands:
        error = refused(run, *words)
        assert isinstance(error, BadInput)
        assert str(error).startswith("odd.toml")
        assert error.exit_code == 2
    assert not Path("odd.cose").exists()


def test_a_key_that_others_can_read_signs_nothing(run: Command) -> None:
    """As everywhere: the remedy is chmod."""
    Path("ana.key").chmod(0o644)
    assert "chmod 600" in str(refused(run, "sign", "policy.toml", "--key", "ana.key"))
    assert not Path("policy.cose").exists()
