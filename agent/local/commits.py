"""How often the file system under a folder commits by itself: what decides how many bytes a small, rare, durable write costs the card.

ext4 journals the time of each write: three blocks, and then one in its place, unless the next write falls into the same interval. Nothing
durable waits for that interval: what was synced is on the disk when the sync returns, however long it is.
"""

import logging
import os
from pathlib import Path

LONG_S = 6 * 3600
"""Four commits a day are a tenth of what is written for itself."""

_DEFAULT_S = 5
"""Of ext3 and ext4 (Linux, Documentation/admin-guide/ext4.rst, commit=nrsec)."""

_MOUNTS = Path("/proc/self/mountinfo")

_log = logging.getLogger(__name__)


def tell_of_commits(folder: Path) -> None:
    """A line on standard error when the disk of `folder` commits more often than a unit needs. Nothing is demanded."""
    try:
        there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
        interval_s = commit_interval_s(_MOUNTS.read_text(errors="replace"), there.stat().st_dev)
    except OSError:
        return
    if interval_s is not None and interval_s < LONG_S:
        _log.info(
            "%s is on a file system that commits every %d s, which is most of what a release costs the card; on a partition of its own, "
            "commit=%d saves it",
            folder,
            interval_s,
            LONG_S,
        )


def commit_interval_s(mountinfo: str, device: int) -> int | None:
    """Of the file system with this device number, by /proc/PID/mountinfo (proc_pid_mountinfo(5)); None for another than ext3 or ext4, and
    where it is not to be found."""
    number = f"{os.major(device)}:{os.minor(device)}"
    for line in mountinfo.splitlines():
        mount, _, superblock = line.partition(" - ")
        kind, _, rest = superblock.partition(" ")
        if mount.split(" ")[2:3] == [number] and kind in ("ext3", "ext4"):
            options = rest.rpartition(" ")[2].split(",")
            given = [value for name, _, value in (option.partition("=") for option in options) if name == "commit"]
            return int(given[-1]) if given and given[-1].isascii() and given[-1].isdecimal() else _DEFAULT_S
    return None
