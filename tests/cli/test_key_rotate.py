"""`dtpr-agent key rotate` (AN-125): another key in the unit's place, and a unit that starts whatever is cut short."""

import errno
import fcntl
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from agent.anonymizer.ledger import Ledger
from agent.anonymizer.log import ReleaseLog
from agent.anonymizer.rotation import append_rotation, load_rotated
from agent.cli.key import write_new_key
from agent.cli.main import main
from agent.contracts.log import KeyRotated, NoticeServed
from agent.contracts.rotation import open_rotation
from agent.local.credentials import load_signing_key, rotation_file
from agent.wire import cose
from tests.anonymizer.stage import ORIGIN, Unit

SETTINGS = """
schema = 1
[clock]
trusted_when = "operator"
[paths]
signing_key = "{folder}/keys/unit-key"
log = "{folder}/log"
[mqtt]
host = "localhost"
tls = false
[radio]
backend = "bluez"
"""


class Site:
    """A unit's key, its agent.toml, and a log of one entry when it `has_log`."""

    def __init__(self, folder: Path, *, has_log: bool = True) -> None:
        self.folder = folder
        self.keys = folder / "keys"
        self.keys.mkdir(parents=True)
        self.key, self.log = self.keys / "unit-key", folder / "log"
        (folder / "agent.toml").write_text(SETTINGS.format(folder=folder))
        write_new_key(self.key)
        self.first = self.public()
        if has_log:
            log = self.open()
            log.append([NoticeServed(bytes(32), 900, 1_800_000_000)])
            log.close()

    def rotate(self, *options: str) -> int:
        return main(["key", "rotate", "--config", str(self.folder / "agent.toml"), *options])

    def public(self) -> bytes:
        return cose.public_bytes(load_signing_key(self.key))

    def open(self) -> ReleaseLog:
        """As the anonymizer opens it with what lies beside the key now."""
        rotated = load_rotated(self.key, self.public())
        ledger = Ledger()
        formerly = rotated.formerly(ORIGIN) if rotated is not None else ()
        log = ReleaseLog(self.log, ORIGIN, load_signing_key(self.key), ledger.fold, formerly=formerly)
        if log.rotation_owed:
            assert rotated is not None
            append_rotation(log, ledger, rotated, ledger.fold)
        return log

    def rotations(self) -> list[tuple[bytes, bytes]]:
        """Start the unit and stop it: who gave way to whom."""
        log = self.open()
        try:
            said = [open_rotation(entry.message) for entry in log.entries() if isinstance(entry, KeyRotated)]
        finally:
            log.close()
        return [(each.old, each.new) for each in said]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_the_new_key_is_in_its_place_and_the_log_says_so(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """The public half alone on standard output; nothing of the old key is left; mode and owner are the old key's."""
    site.key.chmod(0o400)
    secret = site.key.read_bytes()
    assert site.rotate() == 0
    said = capsys.readouterr()
    assert said.out == f"{site.public().hex()}\n"
    assert "restart dtpr-anonymizer" in said.err
    assert site.public() != site.first
    status = site.key.stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid) == (0o400, os.geteuid())
    assert sorted(path.name for path in site.keys.iterdir()) == ["unit-key", "unit-key.rotation"]
    assert not any(secret in path.read_bytes() for path in site.folder.rglob("*") if path.is_file())
    assert stat.S_IMODE(rotation_file(site.key).stat().st_mode) == 0o644
    assert site.rotations() == [(site.first, site.public())]


def test_the_key_can_be_made_before_it_is_used(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """`--prepare`: for the units file; twice is the same key, and the unit goes on with the old one until it is told."""
    assert site.rotate("--prepare") == site.rotate("--prepare") == 0
    first, second = capsys.readouterr().out.split()
    assert first == second != site.first.hex()
    assert stat.S_IMODE((site.keys / "unit-key.next").stat().st_mode) == 0o600
    assert site.public() == site.first
    assert site.rotations() == []
    assert site.rotate() == 0
    assert site.public().hex() == first
    assert site.rotations() == [(site.first, site.public())]


def test_once_between_two_starts(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """The old one's word would be lost: refused until the log has it; then again, as often as one likes."""
    assert site.rotate() == 0
    second = site.public()
    assert site.rotate() == 2
    assert "restart dtpr-anonymizer first" in capsys.readouterr().err
    assert site.public() == second
    assert site.rotations() == [(site.first, second)]
    assert site.rotate() == 0
    assert site.rotations() == [(site.first, second), (second, site.public())]


def test_a_unit_without_a_log_has_nothing_to_say(tmp_path: Path) -> None:
    site = Site(tmp_path, has_log=False)
    assert site.rotate() == site.rotate() == 0
    assert sorted(path.name for path in site.keys.iterdir()) == ["unit-key"]
    assert site.rotations() == []


def _other_key(site: Site) -> str:
    site.key.unlink()
    write_new_key(site.key)
    return "one of another key"


def _damaged_log(site: Site) -> str:
    path = site.log / "releases"
    path.write_bytes(b"\1" * 100)
    return "a log that begins with its checkpoint"


def _open_key(site: Site) -> str:
    site.key.chmod(0o644)
    return "chmod 600"


def _link(site: Site) -> str:
    site.key.rename(site.folder / "elsewhere")
    site.key.symlink_to(site.folder / "elsewhere")
    return "a link or something else"


def _no_key(site: Site) -> str:
    site.key.unlink()
    return "No such file"


def _spoiled_next(site: Site) -> str:
    (site.keys / "unit-key.next").write_bytes(b"not a key")
    (site.keys / "unit-key.next").chmod(0o600)
    return "an Ed25519 private key"


def _same_next(site: Site) -> str:
    shutil.copy2(site.key, site.keys / "unit-key.next")
    return "expected another key"


def _no_folder(site: Site) -> str:
    shutil.rmtree(site.keys)
    return "No such file"


@pytest.mark.parametrize(
    "spoil", [_other_key, _damaged_log, _open_key, _link, _no_key, _spoiled_next, _same_next, _no_folder]
)
def test_what_is_refused_changes_nothing(
    site: Site, capsys: pytest.CaptureFixture[str], spoil: Callable[[Site], str]
) -> None:
    """I8: one line that says what to do, and every file as it was."""
    expected = spoil(site)
    before = {path: path.read_bytes() for path in site.folder.rglob("*") if path.is_file()}
    assert site.rotate() in (2, 3)
    said = capsys.readouterr()
    assert expected in said.err
    assert said.out == ""
    assert {path: path.read_bytes() for path in site.folder.rglob("*") if path.is_file()} == before


def test_two_at_once(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    folder = os.open(site.keys, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    assert site.rotate() == 2
    assert "another at work" in capsys.readouterr().err
    os.close(folder)
    assert site.rotate() == 0


def test_without_the_rights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Somebody who may read the key and not write its folder: the words say whose the right is, nothing is changed."""
    site = Site(tmp_path)
    nobody = 65534 if os.geteuid() == 0 else os.geteuid()
    for path in (site.key, site.log, site.log / "releases"):
        os.chown(path, nobody, -1)
    opened = [path for path in (tmp_path, *tmp_path.parents) if not path.stat().st_mode & 0o001]
    modes = {path: path.stat().st_mode for path in (*opened, site.keys)}
    for path in opened:
        path.chmod(0o755)
    site.keys.chmod(0o555)
    before = os.geteuid()
    try:
        os.seteuid(nobody)
        code = site.rotate()
    finally:
        os.seteuid(before)
        for path, mode in modes.items():
            path.chmod(stat.S_IMODE(mode))
    said = capsys.readouterr()
    assert (code, said.out) == (3, "")
    assert "nothing is changed: run it as root" in said.err
    assert sorted(path.name for path in site.keys.iterdir()) == ["unit-key"]


STEPS = ("write", "fsync", "rename")


def _calls(monkeypatch: pytest.MonkeyPatch, fail_at: int, failure: Callable[[], None]) -> Iterator[int]:
    """Every call that changes something, counted; the one numbered `fail_at` fails before it does anything."""
    count = 0

    def cut(real: Callable[..., Any], *given: object, **named: object) -> Any:
        nonlocal count
        count += 1
        if count == fail_at:
            failure()
        return real(*given, **named)

    with monkeypatch.context() as patch:
        for name in STEPS:
            patch.setattr(os, name, partial(cut, getattr(os, name)))
        yield 0
    yield count


@pytest.mark.parametrize("has_log", [True, False])
def test_power_cut_at_each_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_log: bool) -> None:
    """The unit starts with the old key or the new one, its log under it; and the next rotation is whole."""

    def cut() -> None:
        raise KeyboardInterrupt

    outcomes = []
    for step in range(1, 40):
        site = Site(tmp_path / str(step), has_log=has_log)
        calls = _calls(monkeypatch, step, cut)
        next(calls)
        site.rotate()  # the command itself takes an interrupt as its end
        made = next(calls)
        now = site.public()
        assert site.rotations() == ([(site.first, now)] if has_log and now != site.first else [])
        outcomes.append(now != site.first)
        assert site.rotate() == 0
        assert site.public() not in (site.first, now)
        assert (now, site.public()) in site.rotations() or not has_log
        if made < step:
            break
    assert outcomes == sorted(outcomes), "old until one call, new from then on"
    assert set(outcomes) == {True, False}
    assert made < step, "every call was cut once"


def test_a_full_disk_at_each_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 3 with a remedy, no half-written key, and the unit starts."""

    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for step in range(1, 40):
        site = Site(tmp_path / str(step))
        calls = _calls(monkeypatch, step, full)
        next(calls)
        code = site.rotate()
        made = next(calls)
        said = capsys.readouterr()
        if made < step:
            assert code == 0
            break
        assert (code, said.out) == (3, "")
        assert "No space left on device" in said.err
        assert not [path for path in site.keys.iterdir() if path.name.endswith("unit-key.next.new")]
        now = site.public()
        assert site.rotations() == ([(site.first, now)] if now != site.first else [])
        assert site.rotate() == 0
        capsys.readouterr()
    assert made < step


def test_new_and_show_are_as_they_were(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "unit-key"
    assert main(["key", "new", str(path)]) == 0
    made = capsys.readouterr().out
    assert main(["key", "show", str(path)]) == 0
    assert capsys.readouterr().out == made
    assert main(["key", "new", str(path)]) == 2
    assert "an existing file" in capsys.readouterr().err


def test_the_daemon_goes_on_under_the_new_key(tmp_path: Path) -> None:
    """AN-126: the real process; its journal says so, `state` has the new key, and without the message it says what is missing."""
    unit = Unit(tmp_path)
    try:
        unit.start()
        unit.wait(lambda: unit.reason() not in ("", "no_policy"), "a policy")
        assert unit.stop() == 0
        assert main(["key", "rotate", "--config", str(unit.settings)]) == 0
        message = rotation_file(tmp_path / "unit-key")
        kept = message.read_bytes()
        message.unlink()
        code, said = unit.refused()
        assert code == 2
        assert "the file that `dtpr-agent key rotate` wrote" in said
        message.write_bytes(kept)
        unit.start()
        public_key = cose.public_bytes(load_signing_key(tmp_path / "unit-key"))
        assert unit.state().public_key == public_key.hex()
        assert "signing key rotated" in unit.errors()
        assert unit.stop() == 0
        message.unlink()
        unit.start()
        assert unit.state().public_key == public_key.hex()
        assert unit.stop() == 0
    finally:
        unit.end()
