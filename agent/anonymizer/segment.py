"""The file of records under the release log (contracts/log_file): allocated ahead, written in sectors, made durable, read in pieces.

Invariant: a write that fails leaves nothing of itself, or ends the process; a failed sync ends it and removes nothing. One process writes.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from agent.anonymizer.checkpoint import NO_SPACE
from agent.contracts.log_file import RELEASES, Record, iter_log
from agent.errors import InvariantBroken, StorageUnavailable
from agent.local.files import sync_folder
from agent.local.sectors import SectorWriter

STEP_BYTES = 1 << 20
"""The file grows by this much at a time, and these are written once with zeros, so that an append changes no metadata."""

BLOCK_BYTES = 1 << 18
"""Holds several of the longest records."""

_REMEDY = "free space on this file system; nothing logged is lost"


class Segment:
    """The file `releases` in `folder`, open and locked. Raises StorageUnavailable when that cannot be.

    `next` is where the next record goes: the end of the last whole one that is to stay. `progress` is called for each record read.
    """

    def __init__(self, folder: Path, progress: Callable[[], None]) -> None:
        self.path = folder / RELEASES
        self.next = 0
        self._folder = folder
        self._progress = progress
        self._fd = self._open()
        self._sectors = SectorWriter(self.path, self._fd)
        self._allocated = os.fstat(self._fd).st_size

    @property
    def room(self) -> int:
        """Bytes allocated and not yet used."""
        return self._allocated - self.next

    @property
    def size(self) -> int:
        """Bytes allocated."""
        return self._allocated

    def close(self) -> None:
        """Give up the file and its lock."""
        self._sectors.close()
        os.close(self._fd)

    def _open(self) -> int:
        try:
            self._folder.mkdir(mode=0o750, parents=True, exist_ok=True)
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError as bad:
            raise StorageUnavailable(
                str(self.path), why=bad.strerror or str(bad), remedy="check the folder's owner and mode"
            ) from bad
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as bad:
            os.close(fd)
            raise StorageUnavailable(
                str(self.path), why="another process writes this log", remedy="stop the other anonymizer"
            ) from bad
        return fd

    # --- reading --------------------------------------------------------------------------------------------------

    def records(self, start: int = 0) -> Iterator[Record]:
        """Every whole record from byte `start` on, where one begins.

        Reads block by block: the pages of a mapping would all be locked, and count against the unit's MemoryMax=.
        """
        at = start
        while at < self._allocated:
            begin = at
            for record in iter_log(os.pread(self._fd, min(BLOCK_BYTES, self._allocated - begin), begin)):
                self._progress()
                yield Record(begin + record.start, begin + record.end, record.body, record.is_checkpoint)
                at = begin + record.end
            if at == begin:
                return

    def blocks(self, overlap: int) -> Iterator[bytes]:
        """Everything from `next` on, each block beginning `overlap` bytes before the end of the one before it."""
        at = self.next
        while at < self._allocated:
            block = os.pread(self._fd, BLOCK_BYTES, at)
            yield block
            if len(block) < BLOCK_BYTES:
                return
            at += BLOCK_BYTES - overlap

    def is_zero(self, start: int) -> bool:
        """Is there nothing from `start` on?"""
        at = start
        while at < self._allocated:
            block = os.pread(self._fd, min(STEP_BYTES, self._allocated - at), at)
            if not block or block.count(0) != len(block):
                return False
            at += len(block)
        return True

    # --- writing --------------------------------------------------------------------------------------------------

    def append(self, data: bytes) -> None:
        """Write `data` at `next`, make it durable, and go on behind it. Raises StorageUnavailable when it does not fit: then nothing was
        written. Raises InvariantBroken."""
        if len(data) > self.room:
            self.allocate(max(STEP_BYTES, len(data)))
        self._write(data, self.next)
        self.sync()
        self.next += len(data)

    def allocate(self, more: int) -> None:
        """Blocks that were never written would cost a change of metadata at the first write into them: write zeros now."""
        size = self._allocated + max(1, more)
        try:
            os.posix_fallocate(self._fd, self._allocated, size - self._allocated)
            at = self._allocated
            while at < size:
                at += os.pwrite(self._fd, bytes(min(STEP_BYTES, size - at)), at)
        except OSError as bad:
            raise StorageUnavailable(str(self.path), why=bad.strerror or str(bad), remedy=_REMEDY) from bad
        self._allocated = size
        self.sync()

    def begin(self) -> None:
        """Make an empty file, and its name, durable."""
        self.zero_tail()
        if self._allocated < STEP_BYTES:
            self.allocate(STEP_BYTES - self._allocated)
        try:
            sync_folder(self._folder)
        except OSError as bad:
            raise InvariantBroken(f"{self._folder}: sync failed: {bad.strerror}") from bad

    def write_again(self, since: int) -> None:
        """A sync that failed in the process before this one may have left pages that are clean in memory and not on the disk: write what is
        not known to be durable once more, as it is."""
        at = since
        while at < self.next:
            block = os.pread(self._fd, min(BLOCK_BYTES, self.next - at), at)
            if not block:
                break
            self._write(block, at, again=True)
            at += len(block)
        self.sync()

    def zero_tail(self) -> None:
        """Zero what follows `next`."""
        at = self.next
        while at < self._allocated:
            block = min(STEP_BYTES, self._allocated - at)
            self._write(bytes(block), at)
            at += block
        self.sync()

    def sync(self) -> None:
        """After a failed sync the kernel may have dropped what it could not write: nothing may be assumed, so end."""
        try:
            os.fdatasync(self._fd)
        except OSError as bad:
            raise InvariantBroken(f"{self.path}: sync failed: {bad.strerror}") from bad

    def _write(self, data: bytes, at: int, *, again: bool = False) -> None:
        """`again`: the same bytes as are there, of which nothing is undone."""
        begin = at
        try:
            while data:
                written = os.pwrite(self._fd, data, at) if again else self._sectors.write(data, at)
                data = data[written:]
                at += written
        except OSError as bad:
            if bad.errno in NO_SPACE and not again:
                self._unwrite(begin, at)
                raise StorageUnavailable(str(self.path), why=bad.strerror or str(bad), remedy=_REMEDY) from bad
            raise InvariantBroken(f"{self.path}: write failed: {bad.strerror}") from bad

    def _unwrite(self, begin: int, end: int) -> None:
        """Zero what a failed write left: whole records there would be taken for entries behind a shorter append."""
        try:
            while begin < end:
                begin += os.pwrite(self._fd, bytes(end - begin), begin)
        except OSError as bad:
            raise InvariantBroken(f"{self.path}: part of a failed append stays: {bad.strerror}") from bad
        self.sync()
