"""The copy of the checkpoint outside the log's folder: what it tells of a log, and that it never changes one (AN-58)."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from agent.anonymizer.checkpoint import KeptCheckpoint
from agent.anonymizer.log import KEEP_EVERY, ReleaseLog
from agent.contracts.log import StopTaken
from agent.contracts.log_file import LOGGED, RELEASES, iter_log
from agent.errors import InvariantBroken, LogDamaged, LogShortened, StorageUnavailable
from agent.wire.tlog import decode_checkpoint
from tests.anonymizer.stage import KEY, ORIGIN
from tests.anonymizer.test_log import entry


class Disk:
    """A log's folder and its copy."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "log"
        self.copy = folder / "elsewhere" / "checkpoint"
        self.shown = folder / "public" / LOGGED

    def open(self) -> ReleaseLog:
        return ReleaseLog(self.log, ORIGIN, KEY, copy=self.copy, shown=self.shown)

    def append(self, *numbers: int) -> str | None:
        """Open, append one entry each, close; what opening said."""
        log = self.open()
        for number in numbers:
            log.append([entry(number)])
        log.close()
        return log.recovered

    def kept(self) -> int:
        """Entries that the copy knows of."""
        return max(checkpoint.size for _, checkpoint in KeptCheckpoint(self.copy).slots())

    def files(self) -> tuple[bytes, bytes]:
        return (self.log / RELEASES).read_bytes(), self.copy.read_bytes()


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


def test_it_follows_by_four(disk: Disk) -> None:
    """From the first, of an empty log, on; at most three entries are missing from it, none once the log was closed. In place: two slots."""
    log = disk.open()
    inode = disk.copy.stat().st_ino
    for number in range(11):
        assert 0 <= number - disk.kept() <= KEEP_EVERY - 1
        log.append([entry(number)])
    assert disk.kept() == 8
    assert disk.copy.stat().st_ino == inode
    log.close()
    assert disk.kept() == 11
    assert disk.append() is None


@pytest.mark.parametrize("lost", [b"", b"x" * 300, bytes(4056)])
def test_a_slot_cut_short_leaves_the_other(disk: Disk, lost: bytes) -> None:
    """The newest is spoiled: the older one still says that the log was at least so long."""
    disk.append(*range(5))
    data = disk.copy.read_bytes()
    newest = 0 if decode_checkpoint(data[:4096].rstrip(b"\0")).size == 5 else 4096
    spoiled = bytearray(data)
    spoiled[newest + 40 : newest + 40 + len(lost)] = lost
    disk.copy.write_bytes(spoiled)
    assert disk.append() is None
    assert disk.kept() == 5


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_a_shorter_log_is_told_and_nothing_changed(disk: Disk, kept: int) -> None:
    """Also an empty one, and one whose end is torn: what it had, and the note that knows better."""
    disk.append(*range(kept))
    shutil.copytree(disk.log, disk.log.with_name("backup"))
    disk.append(*range(kept, 3))
    for torn in (b"", b"torn"):
        shutil.rmtree(disk.log)
        shutil.copytree(disk.log.with_name("backup"), disk.log)
        with (disk.log / RELEASES).open("r+b") as file:
            file.seek(max(record.end for record in iter_log((disk.log / RELEASES).read_bytes())))
            file.write(torn)
        before = disk.files()
        with pytest.raises(LogShortened, match=f"at least 3 entries, got {kept}; put back the newest copy") as told:
            disk.open()
        assert (told.value.kept, decode_checkpoint(told.value.known).size) == (kept, 3)
        assert disk.files() == before


def test_a_decision_among_what_is_lost_is_refused(disk: Disk) -> None:
    """It may be a stop order: no log follows one of which a decision is lost."""
    disk.append(0)
    shutil.copytree(disk.log, disk.log.with_name("backup"))
    log = disk.open()
    log.append([StopTaken(b"order", ("steward/ada",), 1_800_000_100)])
    log.close()
    shutil.rmtree(disk.log)
    disk.log.with_name("backup").rename(disk.log)
    with pytest.raises(LogDamaged, match="at least 2 entries, got 1") as told:
        disk.open()
    assert not isinstance(told.value, LogShortened)


def test_no_log_at_all_is_the_shortest(disk: Disk) -> None:
    disk.append(0)
    shutil.rmtree(disk.log)
    with pytest.raises(LogDamaged, match="at least 1 entries, got 0"):
        disk.open()
    assert not any((disk.log / RELEASES).read_bytes())


@pytest.mark.parametrize("longer_by", [0, 1])
def test_a_forked_log_is_refused_and_nothing_changed(disk: Disk, longer_by: int) -> None:
    """As long as the copy or longer, with its own checkpoint by this unit, but another past."""
    disk.append(0, 1, 2)
    other = Disk(disk.log.parent / "other")
    other.append(0, 7, *range(10, 11 + longer_by))
    shutil.rmtree(disk.log)
    shutil.copytree(other.log, disk.log)
    before = disk.files()
    with pytest.raises(LogDamaged, match="begins with the 3 entries of this checkpoint, got others"):
        disk.open()
    assert disk.files() == before


def test_power_lost_before_the_copy_followed(disk: Disk) -> None:
    """A log that went on from the copy is accepted, and the copy follows at once, without a word."""
    disk.append(0, 1)
    old = disk.copy.read_bytes()
    disk.append(2, 3)
    disk.copy.write_bytes(old)
    assert disk.append() is None
    assert disk.kept() == 4


def test_what_readers_saw_in_this_boot_counts_too(disk: Disk) -> None:
    """Until the power goes, a log that is one entry short is told, though the copy is three behind."""
    log = disk.open()
    for number in range(3):
        log.append([entry(number)])
    log._segment.close()
    shutil.copy(disk.shown, disk.log.with_name("seen"))
    data = (disk.log / RELEASES).read_bytes()
    notes = [record for record in iter_log(data) if record.is_checkpoint]
    (disk.log / RELEASES).write_bytes(data[: notes[2].end] + bytes(4096))
    assert disk.kept() == 0
    with pytest.raises(LogShortened, match="at least 3 entries, got 2"):
        disk.open()
    disk.shown.unlink()
    assert disk.append() is None, "and with the power what nobody kept is forgotten: at most three entries"
    assert disk.kept() == 2


def test_an_absent_copy_is_written_once_and_said(disk: Disk) -> None:
    """Not for a new log, which has nothing to be older than."""
    assert disk.append(0) is None
    disk.copy.unlink()
    said = disk.append()
    assert said is not None
    assert str(disk.copy) in said
    assert disk.append() is None


@pytest.mark.parametrize("text", [b"", b"x" * 5000, b"springfield/bridge/bridge-01\n1\n"])
def test_a_copy_that_is_none_is_refused(disk: Disk, text: bytes) -> None:
    disk.append(0)
    disk.copy.write_bytes(text)
    before = disk.files()
    with pytest.raises(LogDamaged, match="elsewhere/checkpoint"):
        disk.open()
    assert disk.files() == before


def test_the_copy_of_another_unit_is_refused(disk: Disk) -> None:
    disk.append(0)
    other = ReleaseLog(
        disk.log.with_name("other"), "springfield/bridge/another", KEY, copy=disk.copy.with_name("another")
    )
    other.close()
    shutil.copy(disk.copy.with_name("another"), disk.copy)
    with pytest.raises(LogDamaged, match="as its copy says, or one that follows it"):
        disk.open()


def test_a_copy_that_finds_no_space_is_owed(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """AN-55: the entry stands and is visible; until the copy is written the log is not ready, so the gate is shut."""
    log = disk.open()
    for number in range(KEEP_EVERY - 1):
        log.append([entry(number)])
    real = os.open

    def full(path: object, flags: int, *rest: int, **more: int) -> int:
        if str(path) == str(disk.copy):
            raise OSError(code, os.strerror(code))
        return real(path, flags, *rest, **more)  # type: ignore[arg-type]  # handed on as it came

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", full)
        code = errno.ENOSPC
        with pytest.raises(StorageUnavailable):
            log.append([entry(3)])
        assert (log.size, log.covered, log.ready()) == (KEEP_EVERY, False, False)
        code = errno.EACCES
        with pytest.raises(InvariantBroken, match="elsewhere/checkpoint"):
            log.ready()
    assert log.ready()
    assert disk.kept() == KEEP_EVERY
    log.close()
