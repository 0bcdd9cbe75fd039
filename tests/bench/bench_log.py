"""Bytes that a day of one 15-minute stream writes to the card, counted by the kernel below ext4 (needs root and a loop device).

The log's folder and the copy of its checkpoint are on the disk, what readers are shown is in memory, as on a unit. `at rest` has the file system
write all that it holds after every release, as it does within half a minute of one that nothing follows for 15 minutes: then each write's new time
stamp in the file's inode counts too. The other figures are of a day in a burst.
"""

import os
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from agent.anonymizer.log import ReleaseLog
from agent.contracts.log import Release
from agent.local import sectors
from agent.local.files import write_atomic
from tests.anonymizer.stage import KEY, ORIGIN
from tests.bench.loop_disk import LoopDisk
from tests.bench.record import record
from tests.conftest import MISSING_HARDWARE
from tests.publisher.unit_folders import UnitFolder

DAY = 96
GOAL_MB = 0.5
GIB = 1 << 30


def day(log: ReleaseLog, releases: Sequence[Release], after_each: Callable[[], None]) -> None:
    """96 windows."""
    for release in releases:
        assert log.ready()
        log.append([release])
        after_each()


def measured(releases: Sequence[Release], shown: Path, *, at_rest: bool = False, mkfs: tuple[str, ...] = ()) -> float:
    """MB for a day on a disk that has held a day before."""
    with LoopDisk(GIB, mkfs=mkfs) as card:
        log = ReleaseLog(card.path / "log", ORIGIN, KEY, copy=card.path / "checkpoint", shown=shown)
        day(log, releases, lambda: None)
        before = card.written()
        day(log, releases, card.settle if at_rest else lambda: None)
        written = card.written() - before
        log.close()
    shown.unlink()
    return written / 1e6


def through_the_page_cache(releases: Sequence[Release], shown: Path) -> float:
    """MB for a day where the file system does not take sectors (agent/local/sectors)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sectors.SectorWriter, "write", lambda self, data, at: os.pwrite(self._fd, data, at))
        return measured(releases, shown)


def as_it_was(releases: Sequence[Release], *, at_rest: bool = False) -> float:
    """MB for a day with the checkpoint and its copy each renamed into place beside an append, as before."""
    with LoopDisk(GIB) as card:
        note = b"n" * 250
        fd = os.open(card.path / "releases", os.O_RDWR | os.O_CREAT, 0o640)
        os.posix_fallocate(fd, 0, 1 << 20)
        os.fsync(fd)
        before, at = card.written(), 0
        for release in releases:
            at += os.pwrite(fd, release.encode(), at)
            os.fdatasync(fd)
            write_atomic(card.path / "checkpoint", note, durable=True)
            write_atomic(card.path / "copy", note, durable=True)
            if at_rest:
                card.settle()
        written = card.written() - before
        os.close(fd)
    return written / 1e6


def test_a_day_on_the_card(tmp_path: Path) -> None:
    unit = UnitFolder(tmp_path / "unit")
    releases = [unit.release(number) for number in range(DAY)]
    with tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
        shown = Path(memory) / "checkpoint"
        try:
            burst = measured(releases, shown)
        except (subprocess.CalledProcessError, FileNotFoundError, PermissionError) as bad:
            pytest.skip(f"{MISSING_HARDWARE}: a loop device and root ({bad})")
        rows = {
            "log, bytes of one entry": float(len(releases[0].encode())),
            "log, MB a day on ext4": burst,
            "log, MB a day on ext4, blocks of 1 KiB": measured(releases, shown, mkfs=("-b", "1024")),
            "log, MB a day on ext4, at rest": measured(releases, shown, at_rest=True),
            "log, MB a day on ext4, blocks of 1 KiB, at rest": measured(
                releases, shown, at_rest=True, mkfs=("-b", "1024")
            ),
            "log, MB a day on ext4, at rest, as it was": as_it_was(releases, at_rest=True),
            "log, MB a day on ext4, through the page cache": through_the_page_cache(releases, shown),
            "log, MB a day as it was": as_it_was(releases),
        }
    rows["ratio_log_to_as_it_was"] = burst / rows["log, MB a day as it was"]
    record(rows)
    assert burst <= GOAL_MB
