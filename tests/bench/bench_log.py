"""Bytes that a day of one 15-minute stream writes to the card, counted by the kernel below ext4 (needs root and a loop device).

The log's folder and the copy of its checkpoint are on the disk, what readers are shown is in memory, as on a unit. `at rest` has the file system
write all that it holds after every release, as it does within half a minute of one that nothing follows for 15 minutes: then each write's new time
stamp in the file's inode counts too. The other figures are of a day in a burst. Every figure has the file of bundles in it, a row of which is due
every 2.7 days.

And what a start on a year of that stream costs, read as a whole and from its newest bundle on (AN-57, AN-66).
"""

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from agent.anonymizer.bundle_file import BUNDLES
from agent.anonymizer.known import Known
from agent.anonymizer.log import ReleaseLog
from agent.anonymizer.loss import with_states
from agent.contracts.log import Entry, Release
from agent.local import sectors
from agent.local.files import write_atomic
from tests.anonymizer.stage import KEY, ORIGIN, make_policy
from tests.anonymizer.worlds import World
from tests.bench.loop_disk import LoopDisk
from tests.bench.record import record
from tests.conftest import MISSING_HARDWARE
from tests.publisher.unit_folders import UnitFolder

DAY = 96
YEAR = 365 * DAY
GOAL_MB = 0.5
GOAL_START = 0.05
GIB = 1 << 30


def day(log: ReleaseLog, releases: Sequence[Release], after_each: Callable[[], None]) -> None:
    """96 windows."""
    for release in releases:
        assert log.ready()
        log.append([release])
        after_each()


def measured(
    releases: Sequence[Release], shown: Path, *, at_rest: bool = False, mkfs: tuple[str, ...] = (), days: int = 1
) -> float:
    """MB for a day, of so many, on a disk that has held a day before."""
    with LoopDisk(GIB, mkfs=mkfs) as card:
        log = ReleaseLog(card.path / "log", ORIGIN, KEY, copy=card.path / "checkpoint", shown=shown)
        day(log, releases, lambda: None)
        before = card.written()
        for _ in range(days):
            day(log, releases, card.settle if at_rest else lambda: None)
        written = (card.written() - before) // days
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
            "log, MB a day on ext4, of eight, with what is allocated and three bundles' rows": (
                eight := measured(releases, shown, days=8)
            ),
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
    assert max(burst, eight) <= GOAL_MB


def year() -> Iterator[Entry]:
    """A year of one stream: its real beginning, then windows as full as its last one, each bundle begun by its state."""
    world = World(make_policy(window=5, notice="5 seconds"))
    world.run(60, step=1)
    last = world.entries[-1]
    assert isinstance(last, Release)
    more = (replace(last, window_start=last.window_start + number * last.window_s) for number in count(1))
    return with_states([*world.entries, *(next(more) for _ in range(YEAR - len(world.entries)))])


def start(folder: Path, *, whole: bool) -> tuple[float, int, Known]:
    """CPU seconds of opening the log, the entries that it did not read, and what is known then."""
    known = Known()
    began = time.process_time()
    log = ReleaseLog(folder, ORIGIN, KEY, known.fold, resume=None if whole else known.resume)
    took = time.process_time() - began
    log.close()
    return took, log.unread, known


def test_a_start_on_a_year(tmp_path: Path) -> None:
    log = ReleaseLog(tmp_path, ORIGIN, KEY)
    batch: list[Entry] = []
    for entry in year():
        batch.append(entry)
        if len(batch) == DAY:
            log.append(batch)
            batch = []
    log.append(batch)
    size = log.size
    log.close()
    wholes = [start(tmp_path, whole=True) for _ in range(2)]
    quicks = [start(tmp_path, whole=False) for _ in range(5)]
    assert quicks[0][2].ledger.state == wholes[0][2].ledger.state
    whole, quick = min(each[0] for each in wholes), min(each[0] for each in quicks)
    record(
        {
            "log, entries of a year of one stream": float(size),
            "log, CPU seconds of a start on them, read as a whole": whole,
            "log, CPU seconds of a start on them": quick,
            "log, entries that this start reads": float(size - quicks[0][1]),
            "log, bytes of the file of bundles for them": float((tmp_path / BUNDLES).stat().st_size),
            "ratio_log_start_to_whole": quick / whole,
        }
    )
    assert quick / whole <= GOAL_START
