"""The copy of the checkpoint outside the log's folder: what it tells of a log, and that it never changes one (AN-58)."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from agent.anonymizer.log import ReleaseLog
from agent.contracts.log import CHECKPOINT, RELEASES
from agent.errors import InvariantBroken, LogDamaged, StorageUnavailable
from tests.anonymizer.stage import KEY, ORIGIN
from tests.anonymizer.test_log import entry


class Disk:
    """A log's folder and its copy."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "log"
        self.copy = folder / "elsewhere" / "checkpoint"

    def open(self) -> ReleaseLog:
        return ReleaseLog(self.log, ORIGIN, KEY, copy=self.copy)

    def append(self, *numbers: int) -> str | None:
        """Open, append one entry each, close; what opening said."""
        log = self.open()
        for number in numbers:
            log.append([entry(number)])
        log.close()
        return log.recovered

    def files(self) -> tuple[bytes, bytes, bytes]:
        return (self.log / RELEASES).read_bytes(), (self.log / CHECKPOINT).read_bytes(), self.copy.read_bytes()


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


def test_it_follows_every_checkpoint(disk: Disk) -> None:
    """From the first, of an empty log, on."""
    log = disk.open()
    for number in range(3):
        assert disk.copy.read_bytes() == (disk.log / CHECKPOINT).read_bytes()
        log.append([entry(number)])
    log.close()
    assert disk.append() is None
    assert disk.copy.read_bytes() == (disk.log / CHECKPOINT).read_bytes()


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_a_shorter_log_is_refused_and_nothing_changed(disk: Disk, kept: int) -> None:
    """Also an empty one, and one whose tail would be recovered."""
    disk.append(*range(kept))
    shutil.copytree(disk.log, disk.log.with_name("backup"))
    disk.append(*range(kept, 3))
    newer = (disk.log / RELEASES).read_bytes()
    for releases in (None, newer):
        shutil.rmtree(disk.log)
        shutil.copytree(disk.log.with_name("backup"), disk.log)
        if releases is not None:
            (disk.log / RELEASES).write_bytes(releases)
        before = disk.files()
        with pytest.raises(LogDamaged, match=f"at least 3 entries, got {kept}; put back the newest copy"):
            disk.open()
        assert disk.files() == before


def test_no_log_at_all_is_the_shortest(disk: Disk) -> None:
    disk.append(0)
    shutil.rmtree(disk.log)
    with pytest.raises(LogDamaged, match="at least 1 entries, got 0"):
        disk.open()
    assert not (disk.log / CHECKPOINT).exists()


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


def test_power_lost_between_checkpoint_and_copy(disk: Disk) -> None:
    """A log that went on from the copy is accepted, and the copy follows at once, without a word."""
    disk.append(0, 1)
    old = disk.copy.read_bytes()
    disk.append(2, 3)
    disk.copy.write_bytes(old)
    assert disk.append() is None
    assert disk.copy.read_bytes() == (disk.log / CHECKPOINT).read_bytes()


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
    with pytest.raises(LogDamaged, match="signed by this unit"):
        disk.open()


def test_a_copy_that_finds_no_space_is_owed(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """AN-55: the entry stands and is visible; until the copy is written the log is not ready, so the gate is shut."""
    log = disk.open()
    real = os.open

    def full(path: object, flags: int, *rest: int, **more: int) -> int:
        if str(path).startswith(str(disk.copy.parent / ".")):
            raise OSError(code, os.strerror(code))
        return real(path, flags, *rest, **more)  # type: ignore[arg-type]  # handed on as it came

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", full)
        code = errno.ENOSPC
        with pytest.raises(StorageUnavailable):
            log.append([entry(0)])
        assert (log.size, log.covered, log.ready()) == (1, False, False)
        code = errno.EACCES
        with pytest.raises(InvariantBroken, match="elsewhere/checkpoint"):
            log.ready()
    assert log.ready()
    assert disk.copy.read_bytes() == (disk.log / CHECKPOINT).read_bytes()
    log.close()
