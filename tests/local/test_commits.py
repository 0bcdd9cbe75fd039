"""local/commits: what a technician is told of the disk under the log (AN-111)."""

import contextlib
import logging
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.anonymizer.log import ReleaseLog
from agent.contracts.log import NoticeServed
from agent.local import commits
from agent.local.commits import LONG_S, commit_interval_s, tell_of_commits
from agent.publisher.cursor import START, at
from agent.publisher.cursor_file import CursorFile
from tests.anonymizer.stage import KEY, ORIGIN
from tests.bench.loop_disk import LoopDisk
from tests.conftest import MISSING_HARDWARE
from tests.log_files import entries_in

LINES = """\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 179:2 / / rw,noatime - ext4 /dev/root rw
42 27 179:3 / /srv/dtpr rw,noatime shared:9 master:2 - ext4 /dev/mmcblk0p3 rw,errors=remount-ro,commit=21600
43 27 179:3 /unit /var/lib/dtpr rw,noatime - ext4 /dev/mmcblk0p3 rw,errors=remount-ro,commit=21600
44 27 179:4 / /srv/other rw - xfs /dev/mmcblk0p4 rw,commit=7
45 27 179:5 / /srv/odd rw - ext4 /dev/mmcblk0p5 rw,commit=soon
"""


@pytest.mark.parametrize(("minor", "interval_s"), [(2, 5), (3, 21600), (4, None), (5, 5), (6, None)])
def test_the_interval_of_a_device(minor: int, interval_s: int | None) -> None:
    assert commit_interval_s(LINES, os.makedev(179, minor)) == interval_s


@given(
    st.lists(st.sampled_from(["179:2", " - ", "ext4", " ", ",", "=", "commit=", "1", "\n", "/", "\ufffd"])).map("".join)
)
def test_any_text_gives_an_interval_or_none(text: str) -> None:
    found = commit_interval_s(text, os.makedev(179, 2))
    assert found is None or found >= 0


@pytest.mark.parametrize(("options", "told"), [("", True), (",commit=60", True), (f",commit={LONG_S}", False)])
def test_what_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, options: str, told: bool
) -> None:
    """Also of a folder that is not there yet."""
    device = tmp_path.stat().st_dev
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"27 1 {os.major(device)}:{os.minor(device)} / / rw - ext4 /dev/root rw{options}\n")
    monkeypatch.setattr(commits, "_MOUNTS", mounts)
    with caplog.at_level(logging.INFO):
        tell_of_commits(tmp_path / "unit" / "log")
    assert [f"commit={LONG_S}" in message for message in caplog.messages] == [True] * told


def test_without_proc_nothing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(commits, "_MOUNTS", tmp_path / "absent")
    with caplog.at_level(logging.INFO):
        tell_of_commits(tmp_path)
    assert caplog.messages == []


@pytest.fixture
def disk() -> Iterator[LoopDisk]:
    """Mounted as recommended."""
    with contextlib.ExitStack() as stack:
        try:
            found = stack.enter_context(LoopDisk(64 << 20, options=f"noatime,commit={LONG_S}"))
        except (subprocess.CalledProcessError, FileNotFoundError, PermissionError) as bad:
            pytest.skip(f"{MISSING_HARDWARE}: a loop device and root ({bad})")
        yield found


def test_a_real_mount(disk: LoopDisk) -> None:
    mounts = Path("/proc/self/mountinfo").read_text()
    assert commit_interval_s(mounts, disk.path.stat().st_dev) == LONG_S


def test_the_power_goes_long_before_the_commit(disk: LoopDisk, tmp_path: Path) -> None:
    """AN-111, PB-37: what was logged and acknowledged is there, from the first on; what nobody synced is not, so the cut is one."""
    log = ReleaseLog(disk.path / "log", ORIGIN, KEY, copy=disk.path / "copy", shown=tmp_path / "logged")
    cursor, done = CursorFile(disk.path / "cursor"), START
    for number in range(6):
        log.append([NoticeServed(bytes(32), number, number)])
        done = done.follows(b"%d" % number, 900 * (number + 1))
        cursor.write(at(done))
        (disk.path / f"unsynced{number}").write_bytes(b"lost")
        with disk.after_a_cut() as found:
            assert entries_in(found / "log") == number + 1
            again = CursorFile(found / "cursor")
            assert (again.known[0], again.damage) == (at(done), None)
            assert not (found / f"unsynced{number}").exists()
    log.close()
