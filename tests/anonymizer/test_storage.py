"""A full disk under the real daemon: named, survived, nothing logged is lost (AN-55)."""

import os
import resource
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.anonymizer.segment import STEP_BYTES
from agent.contracts.log import Gap, Release
from agent.contracts.log_file import RELEASES
from tests.anonymizer.stage import Beacon, Unit
from tests.conftest import MISSING_HARDWARE


@pytest.fixture
def unit(tmp_path: Path) -> Iterator[Unit]:
    unit = Unit(tmp_path)
    yield unit
    unit.end()


def lease_until(unit: Unit, beacon: Beacon, condition: Callable[[], bool], what: str) -> None:
    def leased() -> bool:
        beacon.lease(unit.digest)
        time.sleep(0.1)
        return condition()

    unit.wait(leased, what)


def through_a_full_disk(unit: Unit, fill: Callable[[], Callable[[], None] | None], free: Callable[[], None]) -> None:
    """Log some windows, give back what was allocated ahead, fill the disk, then free it again.

    `fill` may return what the daemon's process is to do before it begins.
    """
    unit.start()
    beacon = unit.beacon()
    lease_until(unit, beacon, lambda: unit.reason() == "open" and len(unit.releases()) >= 2, "windows before")
    unit.stop()
    before = unit.entries()
    covered = unit.log_bytes()
    os.truncate(unit.log / RELEASES, covered)
    unit.start(counters=False, preexec=fill())
    beacon = unit.beacon()
    lease_until(unit, beacon, lambda: unit.reason() == "storage", "a gate closed by storage")
    time.sleep(2.5)
    assert unit.entries() == before
    assert (unit.log / RELEASES).stat().st_size == covered
    free()
    lease_until(unit, beacon, lambda: unit.reason() == "open", "an open gate once there is space")
    size = len(unit.entries())
    lease_until(unit, beacon, lambda: len(unit.entries()) >= size + 2, "windows after")
    assert unit.stop() == 0
    after = unit.entries()
    assert after[: len(before)] == before
    starts: list[int] = []
    for entry in after:
        if isinstance(entry, Release):
            starts.append(entry.window_start)
        if isinstance(entry, Gap):
            starts += [entry.first_start + i for i in range(entry.count)]
    assert starts == list(range(starts[0], starts[0] + len(starts)))
    gaps = sum(isinstance(entry, Gap) for entry in after)
    assert 1 <= gaps <= 2, "what the restart lost, if a whole window, and what the full disk lost"


def test_a_file_size_limit(unit: Unit) -> None:
    """RLIMIT_FSIZE, lifted from outside: needs no privilege."""

    def fill() -> Callable[[], None]:
        limit = unit.log_bytes() + 4096
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))

    def lift() -> None:
        assert unit.process is not None
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.prlimit(unit.process.pid, resource.RLIMIT_FSIZE, (hard, hard))

    through_a_full_disk(unit, fill, lift)


def test_no_room_for_the_first_policy(unit: Unit) -> None:
    """AN-55, AN-73: the offer waits and the technician reads why; with room again it is taken up, and a name that was never logged binds
    nothing."""
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    wrong = unit.text.replace("bridge-01", "bridge-99")
    unit.sign(wrong)
    unit.start(preexec=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (STEP_BYTES // 2, hard)))
    unit.wait(lambda: "releases" in unit.state().offer_refused or "full" in unit.state().offer_refused, "the reason")
    assert unit.state().policy_version == 0
    unit.sign(unit.text.replace("bridge-99", "bridge-01"))
    time.sleep(1.5)
    assert unit.process is not None
    resource.prlimit(unit.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
    unit.wait(lambda: unit.state().unit == "bridge-01", "the policy taken up")
    assert unit.state().offer_refused == ""
    assert unit.stop() == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of 3 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = (
        os.geteuid() == 0
        and subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)],  # noqa: S607  # the system's own
            capture_output=True,
            check=False,
        ).returncode
        == 0
    )
    if not mounted:
        pytest.skip(f"{MISSING_HARDWARE}: a file system of our own needs root")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)  # noqa: S607  # the system's own


def test_a_disk_that_someone_else_filled(small_disk: Path, tmp_path: Path) -> None:
    """ENOSPC from a real file system, to the last block."""
    unit = Unit(tmp_path, log=small_disk / "log")
    filler = small_disk / "filler"

    def fill() -> None:
        with filler.open("wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError:
                return

    try:
        through_a_full_disk(unit, fill, filler.unlink)
    finally:
        unit.end()
