"""What of a unit's log would be left after a power cut, for a disk that keeps nothing but what was synced. Files are the only state.

The log's file keeps what it held when a sync of it last returned; of what was written since, any subset of sectors may be there. A
rename is kept once its folder was synced; before, it may be there or not. A file renamed into place holds what it held when it was
synced itself, and nothing if it never was.
"""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agent.contracts.log_file import iter_log
from tests.privacy.crash_tracer import Call, Tracee

SECTOR_BYTES = 512
RENAMES = ("rename", "renameat", "renameat2")
SYNCS = ("fsync", "fdatasync")

Image = dict[Path, bytes | None]
"""A file's content; None: it is absent."""

KILLED, CUT, RENAMED, SECTORS = "killed", "cut", "cut, renames kept", "cut, some sectors kept"
BEGUN = "cut, the beginning of a write kept"
IMAGES = (KILLED, CUT, RENAMED, SECTORS, BEGUN)


class Picks:
    """Choices that a seed repeats."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._made = 0

    def below(self, count: int) -> int:
        """One of `count` numbers from 0."""
        self._made += 1
        drawn = hashlib.sha256(b"%d %d" % (self._seed, self._made)).digest()
        return int.from_bytes(drawn, "big") % count


@dataclass(frozen=True, slots=True)
class _Pending:
    """A rename whose folder was not synced: the content that a file would get."""

    path: Path
    content: bytes | None


class Disk:
    """Follows the log's file, the copy of its checkpoint and the one that is shown through the system calls of the process that writes them.

    `written` are written in place, once they are there; `replaced` by renames only; `forgotten` is in memory and gone after a power cut.
    """

    def __init__(self, releases: Path, copy: Path, forgotten: Path) -> None:
        self.releases = releases
        self.written = (releases, copy)
        self.replaced = (copy,)
        self._forgotten = forgotten
        self._syncing: str = ""
        self._at_an_end = True
        self._begin()

    def see(self, tracee: Tracee, call: Call) -> None:
        """One stop of the writing process."""
        if call.name in SYNCS:
            if call.entering:
                self._syncing = tracee.path_of(call.arguments[0])
            elif call.result == 0:
                self._synced(Path(self._syncing))
        elif call.name in RENAMES and not call.entering and call.result == 0:
            self._renamed()

    def images(self, pick: Callable[[int], int]) -> dict[str, Image]:
        """The folder after SIGKILL, and after a power cut at this moment with least, most or some kept; `pick(n)` is below n."""
        now = self._now()
        kept = dict(self._durable)
        renamed = {**kept, **{pending.path: pending.content for pending in self._pending}}
        some = {**kept, **{pending.path: pending.content for pending in self._pending if pick(2)}}
        for path in self.written:
            some[path] = _some_sectors(some[path], now[path], pick)
        cut = _beginning(kept[self.releases], now[self.releases], pick, at_an_end=self._at_an_end)
        self._at_an_end ^= cut != kept[self.releases]
        begun = {**kept, self.releases: cut}
        gone: Image = {self._forgotten: None}
        return {
            KILLED: now,
            CUT: kept | gone,
            RENAMED: renamed | gone,
            SECTORS: some | gone,
            BEGUN: begun | gone,
        }

    def become(self, image: Image) -> None:
        """The disk after the cut: the files hold `image`, all of it durable."""
        write(image)
        self._begin()

    def _begin(self) -> None:
        self._durable = self._now()
        self._inodes = {path: _inode(path) for path in self.replaced}
        self._contents: dict[int, bytes] = {}
        self._pending: list[_Pending] = []

    def _now(self) -> Image:
        paths = (*self.written, self._forgotten)
        return {path: path.read_bytes() if path.exists() else None for path in paths}

    def _synced(self, path: Path) -> None:
        if path in self.written:
            self._durable[path] = path.read_bytes()
            self._pending = [one for one in self._pending if one.path != path]
        elif path.is_dir():
            for pending in [one for one in self._pending if one.path.parent == path]:
                self._durable[pending.path] = pending.content
                self._pending.remove(pending)
        else:
            self._contents[_inode(path)] = path.read_bytes()

    def _renamed(self) -> None:
        for path in self.replaced:
            inode = _inode(path)
            if inode != self._inodes[path]:
                self._inodes[path] = inode
                self._pending.append(_Pending(path, self._contents.get(inode, b"")))


class Derived:
    """A file that the log's writer makes and does not rely on: the next start may find it in any of these forms."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: list[bytes | None] = [None]

    def look(self) -> None:
        """Keep what it is now."""
        now = self.path.read_bytes() if self.path.exists() else None
        if now != self._seen[-1]:
            self._seen.append(now)

    def form(self, pick: Callable[[int], int]) -> tuple[str, bytes | None]:
        """As it is, absent, as it once was, torn, or forged."""
        now = self._seen[-1] or b""
        at = pick(len(now)) if now else 0
        match pick(6):
            case 0:
                return "absent", None
            case 1:
                return "stale", self._seen[pick(len(self._seen))]
            case 2:
                return "torn", now[:at]
            case 3:
                return "forged", now[:at] + bytes([now[at] ^ 1 << pick(8)]) + now[at + 1 :] if now else bytes(40)
            case 4:
                return "longer", now + hashlib.sha256(now).digest() + now[-8:]
            case _:
                return "as it is", self._seen[-1]


def write(image: Image) -> None:
    """Make the files what `image` says."""
    for path, content in image.items():
        if content is None:
            path.unlink(missing_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def _inode(path: Path) -> int:
    try:
        return os.stat(path).st_ino
    except FileNotFoundError:
        return 0


def _beginning(old: bytes | None, new: bytes | None, pick: Callable[[int], int], *, at_an_end: bool) -> bytes | None:
    """A write of which only the beginning is there, cut at any byte, or where an entry ends: sectors are not trusted."""
    if old is None or new is None or old == new or len(old) != len(new):
        return old
    first = next(at for at, (before, after) in enumerate(zip(old, new, strict=True)) if before != after)
    ends = [record.end for record in iter_log(new, first // SECTOR_BYTES * SECTOR_BYTES) if not record.is_checkpoint]
    last = max(at for at in range(first, len(new)) if old[at] != new[at]) + 1
    cut = ends[pick(len(ends))] if ends and at_an_end else first + pick(last - first)
    return new[:cut] + old[cut:]


def _some_sectors(old: bytes | None, new: bytes | None, pick: Callable[[int], int]) -> bytes | None:
    """Each sector that differs is the old or the new one; a size that was not synced may be either."""
    if old is None or new is None or old == new:
        return new if old is None and pick(2) else old
    size = max(len(old), len(new))
    before, after = old.ljust(size, b"\0"), new.ljust(size, b"\0")
    mixed = bytearray(before)
    for at in range(0, size, SECTOR_BYTES):
        sector = after[at : at + SECTOR_BYTES]
        if sector != before[at : at + SECTOR_BYTES] and pick(2):
            mixed[at : at + SECTOR_BYTES] = sector
    return bytes(mixed[: len(new) if pick(2) else len(old)])
