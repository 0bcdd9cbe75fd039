"""agent/operations/log_copy and `dtpr-agent log export`: C2SP tlog-tiles from a log folder, and every hostile copy refused by name."""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.anonymizer.log import ReleaseLog
from agent.cli.main import main
from agent.contracts.log_file import iter_log, iter_records, pack_record
from agent.errors import LogDamaged, StorageUnavailable
from agent.operations.copies import Copies
from agent.operations.log_copy import export, read_regular
from agent.wire import tlog
from tests.log_files import write_log
from tests.operations.stories import story
from tests.wire.test_sumdb import ORIGIN, log_of
from tests.wire.test_tlog import KEY


def read(folder: Path) -> list[bytes]:
    note = read_regular(folder / "checkpoint", tlog.MAX_NOTE_BYTES)
    return list(Copies(folder, tlog.decode_checkpoint(note).size).entries())


def logged(folder: Path) -> list[bytes]:
    return [entry for _, entry in iter_records((folder / "releases").read_bytes())]


def last_note(folder: Path) -> bytes:
    return [each.body for each in iter_log((folder / "releases").read_bytes()) if each.is_checkpoint][-1]


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("size", [0, 1, 256, 600])
def test_the_copy_holds_the_log(tmp_path: Path, size: int) -> None:
    """Every entry, in order, under the log's own checkpoint."""
    log = log_of(tmp_path / "log", size)
    done = export(log, tmp_path / "copy")
    assert (done.checkpoint.size, done.before) == (size, 0)
    assert read(tmp_path / "copy") == logged(log)
    assert (tmp_path / "copy/checkpoint").read_bytes() == last_note(log)


def test_a_grown_log_brings_the_copy_up_to_date(tmp_path: Path) -> None:
    """The same files as a fresh export: partial tiles that became whole, or wider, are gone."""
    export(log_of(tmp_path / "log", 300), tmp_path / "copy")
    before = (tmp_path / "copy/tile/entries/000").stat().st_mtime_ns
    done = export(log_of(tmp_path / "log", 700), tmp_path / "copy")
    export(tmp_path / "log", tmp_path / "fresh")
    assert done.before == 300
    assert files(tmp_path / "copy") == files(tmp_path / "fresh")
    assert (tmp_path / "copy/tile/entries/000").stat().st_mtime_ns == before


def test_what_follows_the_checkpoint_is_not_exported(tmp_path: Path) -> None:
    """An entry that no checkpoint covers has not been released."""
    log = log_of(tmp_path / "log", 3)
    with (log / "releases").open("r+b") as file:
        file.seek(max(each.end for each in iter_log((log / "releases").read_bytes())))
        file.write(pack_record(b"not yet"))
    assert len(logged(log)) == 4
    export(log, tmp_path / "copy")
    assert len(read(tmp_path / "copy")) == 3


def _flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def _lies(log: Path, *extensions: str, **signed: object) -> None:
    write_log(log, logged(log), KEY, ORIGIN, *extensions, **signed)


def _resign(copy: Path, size: int, extension: str) -> None:
    note = tlog.sign_checkpoint(tlog.Checkpoint(ORIGIN, size, bytes(32), (extension,)), ORIGIN, KEY)
    (copy / "checkpoint").write_bytes(note)


def test_a_closed_log_is_copied_up_to_its_damage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """AN-64, OP-20: what was durable behind it is lost, as the log that follows says; the log that the unit writes is refused there."""
    releases = tmp_path / "log" / "releases"
    log = ReleaseLog(releases.parent, ORIGIN, KEY)
    for entry in story()[:8]:
        log.append([entry])
    log.close()
    entries = logged(releases.parent)
    _flip(releases, releases.read_bytes().index(entries[5]) + 9)
    with pytest.raises(LogDamaged, match="whole records up to the last checkpoint"):
        export(releases.parent, tmp_path / "refused")
    closed = releases.rename(releases.with_name("releases.5-0011223344556677"))
    copy = tmp_path / "copy"
    assert main(["log", "export", str(copy), "--log", str(closed)]) == 0
    assert re.search(
        r"5 entries .*\n    damaged    .* byte \d+: what is behind it is not copied", capsys.readouterr().out
    )
    assert read(copy) == entries[:5]
    assert main(["log", "export", str(copy), "--log", str(closed)]) == 0
    assert f"5 entries of {ORIGIN}, 0 new" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda log: (log / "releases").unlink(), "No such file"),
        (lambda log: os.truncate(log / "releases", 0), "a log that has begun"),
        (lambda log: _flip(log / "releases", 40), "a log that begins with its checkpoint"),
        (lambda log: _lies(log, "bytes 10"), "damage at byte"),
        (lambda log: _lies(log, "size 10"), "bytes N"),
        (lambda log: _lies(log, "bytes " + "9" * 30), "bytes N"),
        (lambda log: _lies(log, "bytes 0"), "20 entries under the checkpoint's root"),
        (lambda log: _lies(log, size=21), "21 entries under the checkpoint's root"),
        (lambda log: _lies(log, root=bytes(32)), "20 entries under the checkpoint's root"),
    ],
)
def test_a_damaged_log_is_not_exported(tmp_path: Path, damage: Callable[[Path], object], words: str) -> None:
    """Nothing is written, so that an older copy stays as it was."""
    log = log_of(tmp_path / "log", 20)
    damage(log)
    with pytest.raises(LogDamaged, match=words):
        export(log, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_a_rewritten_log_does_not_overwrite_its_copy(tmp_path: Path) -> None:
    """The copy is the evidence: a fork, a shorter log and another log leave it alone."""
    export(log_of(tmp_path / "log", 20), tmp_path / "copy")
    before = files(tmp_path / "copy")
    forked = log_of(tmp_path / "forked", 20)
    write_log(forked, [b"another", *logged(forked)[1:], b"more"], KEY, ORIGIN)
    with pytest.raises(LogDamaged, match="begins with the 20 entries"):
        export(forked, tmp_path / "copy")
    with pytest.raises(LogDamaged, match="at most 19 entries"):
        export(log_of(tmp_path / "short", 19), tmp_path / "copy")
    assert files(tmp_path / "copy") == before


HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no checkpoint": (lambda c: (c / "checkpoint").unlink(), "checkpoint: .*No such file"),
    "a checkpoint that is a folder": (lambda c: _replace(c / "checkpoint", Path.mkdir), "expected a file"),
    "a checkpoint that is a pipe": (lambda c: _replace(c / "checkpoint", os.mkfifo), "expected a file"),
    "a checkpoint that is a link": (
        lambda c: _replace(c / "checkpoint", lambda p: p.symlink_to("/dev/zero")),
        "expected a file",
    ),
    "an endless bundle": (
        lambda c: os.truncate(c / "tile/entries/000", 1 << 40),
        "tile/entries/000: expected at most",
    ),
    "a missing bundle": (lambda c: (c / "tile/entries/001.p/44").unlink(), "none as tile/entries/001.p/44"),
    "a bundle with an entry less": (
        lambda c: (c / "tile/entries/001.p/44").write_bytes(b""),
        "entries/001.p/44: expected 44 entries",
    ),
    "a bundle with bytes behind": (lambda c: _append(c / "tile/entries/000"), "000: expected 256 entries"),
    "an altered entry": (lambda c: _flip(c / "tile/entries/000", 5), "tile/0/000: expected the hashes"),
    "a hash tile that is wrong": (lambda c: _flip(c / "tile/0/000", 5), "tile/0/000: expected the hashes"),
    "a hash tile that is missing": (lambda c: (c / "tile/1/000.p/1").unlink(), "tile/1/000.p/1: .*No such file"),
    "a hash tile that is longer": (lambda c: _append(c / "tile/0/001.p/44"), "001.p/44: expected at most 1408 bytes"),
    "a tile folder that is a file": (
        lambda c: _file_for_folder(c / "tile"),
        "none as tile/entries/000",
    ),
    "a size beyond any log": (lambda c: _resign(c, 2**62, "bytes 1"), "none as tile/entries/001, "),
}


def _file_for_folder(path: Path) -> None:
    shutil.rmtree(path)
    path.write_bytes(b"")


def _replace(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


def _append(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_copy_is_refused_by_name(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each names its file and what was expected there; none hangs, follows a link or reads without end. `audit` exits 2."""
    copy = tmp_path / "copy"
    export(log_of(tmp_path / "log", 300), copy)
    read(copy)
    spoil, words = HOSTILE[name]
    spoil(copy)
    with pytest.raises((LogDamaged, StorageUnavailable), match=words):
        read(copy)
    assert main(["audit", "--log", str(copy), "--key", "00" * 32]) == 2
    assert re.search(words, capsys.readouterr().err)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = log_of(tmp_path / "log", 5)
    assert main(["log", "export", str(tmp_path / "copy"), "--log", str(log)]) == 0
    assert f"5 entries of {ORIGIN}, 5 new" in capsys.readouterr().out
    assert main(["log", "export", str(tmp_path / "copy"), "--log", str(tmp_path / "none")]) == 2
    assert "releases: expected a file of the log" in capsys.readouterr().err
