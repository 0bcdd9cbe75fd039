"""What the publisher's cursor costs the card: octets below the file system, against a file renamed into place for each step."""

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.local.files import write_atomic
from agent.publisher.cursor import START, Progress, at, encode
from agent.publisher.cursor_file import CursorFile
from tests.bench.record import record

STEPS = 96
"""A day of one stream of 15 minutes."""

SETTLE_S = 1.0


def written_bytes(device: str) -> int:
    """So far, below the file system."""
    return int(Path(f"/sys/block/{device}/stat").read_text().split()[6]) * 512


def steps() -> list[Progress]:
    found, cursor = [], START
    for number in range(STEPS):
        cursor = cursor.follows(b"%d" % number, 900 * (number + 1))
        found.append(at(cursor))
    return found


@pytest.mark.skipif(os.geteuid() != 0, reason="a disk of its own needs root")
def test_cursor(tmp_path: Path) -> None:
    image, disk = tmp_path / "image", tmp_path / "disk"
    disk.mkdir()
    image.touch()
    os.truncate(image, 64 << 20)
    subprocess.run(["/usr/sbin/mkfs.ext4", "-q", "-F", "-b", "4096", str(image)], check=True)
    ran = subprocess.run(
        ["/usr/bin/mount", "-o", "loop", str(image), str(disk)], capture_output=True, text=True, check=False
    )
    if ran.returncode != 0:
        pytest.skip(f"a disk of its own cannot be mounted here: {ran.stderr.strip()}")
    try:
        source = Path("/proc/mounts").read_text().split(f" {disk} ")[0].rpartition("\n")[2]
        device = source.removeprefix("/dev/")

        def cost(write: Callable[[Progress], None], run: list[Progress]) -> int:
            os.sync()
            time.sleep(SETTLE_S)
            before = written_bytes(device)
            for progress in run:
                write(progress)
            os.sync()
            time.sleep(SETTLE_S)
            return written_bytes(device) - before

        file = CursorFile(disk / "cursor")
        file.write(at(START))
        in_place = cost(file.write, steps())
        renamed = cost(lambda p: write_atomic(disk / "other", encode(1, p), mode=0o600, durable=True), steps())
    finally:
        subprocess.run(["/usr/bin/umount", str(disk)], check=True)
    record(
        {
            "cursor, MB a day below the file system, 96 steps": in_place / 1e6,
            "cursor renamed into place, MB a day": renamed / 1e6,
            "ratio_cursor_in_place_to_renamed": in_place / renamed,
        }
    )
