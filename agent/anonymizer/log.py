"""The release log on the disk (contracts/log): append, make durable, then sign how far readers may read.

Invariants: bytes become visible (a checkpoint covers them) only after fdatasync has returned; nothing that a checkpoint covers is
ever changed or removed; one process writes; what follows the checkpoint on start is kept when it is whole and zeroed when torn.
A record that is whole, in order and beyond the checkpoint was durable or could have been: it is covered, never drawn again (I5).
An append that fails leaves nothing of itself behind the end.
"""

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.anonymizer.checkpoint import NO_SPACE, RESTORE, Past, read_checkpoint, write_checkpoint
from agent.contracts.log import CHECKPOINT, RELEASES, Entry, decode_entry, iter_records, pack_record
from agent.errors import InvariantBroken, LogDamaged, StorageUnavailable
from agent.local.files import sync_folder
from agent.wire import tlog
from agent.wire.cose import public_bytes
from agent.wire.tlog import Checkpoint, TreeHead

STEP_BYTES = 1 << 20
"""The file grows by this much at a time, so that an append changes no metadata."""

RESERVE_BYTES = STEP_BYTES // 2
"""Less than this left and no more to be had closes the gate: hours of windows still fit, saying `not_collected`."""

_BLOCK_BYTES = 1 << 18
"""Holds several of the longest records."""

_REMEDY = "free space on this file system; nothing logged is lost"


def _any_order(entry: Entry) -> None:
    """For who only keeps entries."""


def _no_matter() -> None:
    """For who does not wait."""


class ReleaseLog:
    """An open log. `recovered` says in words what was done to its tail on opening, or None.

    On opening, `fold` is called with each entry in order and raises LogDamaged for one that cannot follow those before it. Opening
    reads the whole log twice, first to verify its root; `progress` is called for each record read. `copy` is where the newest checkpoint
    is kept a second time, outside `folder`: a log that is shorter, or another, was put back or exchanged.
    """

    def __init__(
        self,
        folder: Path,
        origin: str,
        key: Ed25519PrivateKey,
        fold: Callable[[Entry], None] = _any_order,
        progress: Callable[[], None] = _no_matter,
        *,
        copy: Path | None = None,
    ) -> None:
        self._folder = folder
        self._origin = origin
        self._key = key
        self._fold = fold
        self._progress = progress
        self._copy = copy
        self._path = folder / RELEASES
        self._head = TreeHead()
        self._covered = 0
        self.end = 0
        self.recovered: str | None = None
        self._fd = self._open()
        try:
            self._allocated = os.fstat(self._fd).st_size
            self._recover()
        except BaseException:
            os.close(self._fd)
            raise

    @property
    def size(self) -> int:
        """Entries in the log."""
        return self._head.size

    @property
    def head(self) -> Checkpoint | None:
        """The tree head, once what it covers may be seen: None while a checkpoint is owed."""
        return Checkpoint(self._origin, self._head.size, self._head.root()) if self.covered else None

    @property
    def room(self) -> int:
        """Bytes allocated and not yet used."""
        return self._allocated - self.end

    @property
    def covered(self) -> bool:
        """Do the checkpoint on the disk and its copy cover every entry?"""
        return self._covered == self.end

    def close(self) -> None:
        """Give up the file and its lock."""
        os.close(self._fd)

    def entries(self) -> Iterator[Entry]:
        """Every entry from the first, decoded; raise LogDamaged."""
        for number, entry in enumerate(self._records(self.end)):
            yield decode_entry(entry, f"{self._path} entry {number}")

    def ready(self) -> bool:
        """Allocate ahead and sign what is not yet covered; False when the disk does not allow it now."""
        try:
            if not self.covered:
                self._cover()
            if self._allocated - self.end < RESERVE_BYTES:
                self._allocate(self._allocated + STEP_BYTES)
        except StorageUnavailable:
            return False
        return True

    def append(self, entries: Sequence[Entry]) -> None:
        """Write `entries` in one go, make them durable, then sign the checkpoint.

        Raises StorageUnavailable when they do not fit: then nothing was logged, unless `size` has grown, when only the
        checkpoint is owed (`ready` signs it later). Raises InvariantBroken when a sync fails: the process must end.
        """
        encoded = [entry.encode() for entry in entries]
        data = b"".join(map(pack_record, encoded))
        if self.end + len(data) > self._allocated:
            self._allocate(self._allocated + max(STEP_BYTES, len(data)))
        self._write(data, self.end)
        self._sync()
        for entry in encoded:
            self._head.append(entry)
        self.end += len(data)
        self._cover()

    def _open(self) -> int:
        try:
            self._folder.mkdir(mode=0o750, parents=True, exist_ok=True)
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError as bad:
            raise StorageUnavailable(
                str(self._path), why=bad.strerror or str(bad), remedy="check the folder's owner and mode"
            ) from bad
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as bad:
            os.close(fd)
            raise StorageUnavailable(
                str(self._path), why="another process writes this log", remedy="stop the other anonymizer"
            ) from bad
        return fd

    def _recover(self) -> None:
        kept_copy = self._read_copy()
        past = Past(self._copy, kept_copy)
        checkpoint, covered = self._checkpoint(past)
        if covered > self._allocated:
            raise LogDamaged(
                str(self._path), expected=f"at least {covered} bytes", got=f"{self._allocated}", remedy=RESTORE
            )
        for entry in self._records(covered):
            self._head.append(entry)
            past.see(self._head)
        if (self._head.size, self._head.root()) != (checkpoint.size, checkpoint.root):
            raise LogDamaged(
                str(self._path),
                expected=f"the {checkpoint.size} entries that the checkpoint covers",
                got="other bytes",
                remedy=RESTORE,
            )
        past.require_root()
        self.end = self._covered = covered
        for decoded in self.entries():
            self._fold(decoded)
        kept = 0
        disorder = False
        for end, entry in self._tail(covered):
            decoded = decode_entry(entry, f"{self._path} entry {self._head.size}")
            try:
                self._fold(decoded)
            except LogDamaged:  # left behind by an append that failed: what follows those before it was written later
                disorder = True
                break
            self._head.append(entry)
            self.end = end
            kept += 1
        torn = not self._is_zero(self.end)
        if torn:
            self._zero_tail()
        if kept or torn:
            removed = "one out of order removed" if disorder else "a torn one removed"
            words = [f"{kept} whole entries kept"] * bool(kept) + [removed] * torn
            self.recovered = f"after the checkpoint: {', '.join(words)}"
        if self._copy is not None and kept_copy is None and checkpoint.size:
            words = [self.recovered] if self.recovered else []
            self.recovered = "; ".join(
                [*words, f"taken as it is: {self._copy}, which would tell an older one, was absent"]
            )
        if kept:
            self._sync()
        if kept or (self._copy is not None and (kept_copy is None or kept_copy.size != checkpoint.size)):
            self._covered = -1
            with contextlib.suppress(StorageUnavailable):  # `ready` tells, and tries again
                self._cover()

    def _read_copy(self) -> Checkpoint | None:
        if self._copy is None:
            return None
        remedy = f"put back this unit's own; when that is lost and the log's folder is known to be the newest, move {self._copy} away"
        return read_checkpoint(self._copy, self._origin, public_bytes(self._key), remedy)

    def _checkpoint(self, past: Past) -> tuple[Checkpoint, int]:
        """The checkpoint on the disk, verified; a new log gets its first one."""
        path = self._folder / CHECKPOINT
        checkpoint = read_checkpoint(path, self._origin, public_bytes(self._key), RESTORE)
        past.require_size(checkpoint.size if checkpoint is not None else 0)
        if checkpoint is None:
            if not self._is_zero(0):
                raise LogDamaged(str(path), expected="the checkpoint of this log", got="no file", remedy=RESTORE)
            self._sync()
            try:
                sync_folder(self._folder)
            except OSError as bad:
                raise InvariantBroken(f"{self._folder}: sync failed: {bad.strerror}") from bad
            self._cover()
            return Checkpoint(self._origin, 0, tlog.EMPTY_ROOT), 0
        lengths = [line.removeprefix("bytes ") for line in checkpoint.extensions if line.startswith("bytes ")]
        if not lengths or not (lengths[0].isascii() and lengths[0].isdigit()):
            raise LogDamaged(str(path), expected="a line `bytes N`", got="none", remedy=RESTORE)
        return checkpoint, int(lengths[0])

    def _records(self, end: int) -> Iterator[bytes]:
        """Entries of the first `end` bytes; raise LogDamaged unless records fill them exactly.

        Reads block by block: the pages of a mapping would all be locked, and count against the unit's MemoryMax=.
        """
        at = 0
        while at < end:
            begin = at
            for after, entry in iter_records(os.pread(self._fd, min(_BLOCK_BYTES, end - begin), begin)):
                self._progress()
                yield entry
                at = begin + after
            if at == begin:
                break
        if at != end:
            raise LogDamaged(
                str(self._path), expected=f"records up to byte {end}", got=f"damage at byte {at}", remedy=RESTORE
            )

    def _tail(self, start: int) -> list[tuple[int, bytes]]:
        return [(start + end, entry) for end, entry in iter_records(os.pread(self._fd, self._allocated - start, start))]

    def _is_zero(self, start: int) -> bool:
        at = start
        while at < self._allocated:
            block = os.pread(self._fd, min(STEP_BYTES, self._allocated - at), at)
            if not block or block.count(0) != len(block):
                return False
            at += len(block)
        return True

    def _zero_tail(self) -> None:
        at = self.end
        while at < self._allocated:
            block = min(STEP_BYTES, self._allocated - at)
            self._write(bytes(block), at)
            at += block
        self._sync()

    def _allocate(self, size: int) -> None:
        try:
            os.posix_fallocate(self._fd, self._allocated, size - self._allocated)
        except OSError as bad:
            raise StorageUnavailable(str(self._path), why=bad.strerror or str(bad), remedy=_REMEDY) from bad
        self._allocated = size
        self._sync()

    def _write(self, data: bytes, at: int) -> None:
        view = memoryview(data)
        begin = at
        try:
            while view:
                written = os.pwrite(self._fd, view, at)
                view = view[written:]
                at += written
        except OSError as bad:
            if bad.errno in NO_SPACE:
                self._unwrite(begin, at)
                raise StorageUnavailable(str(self._path), why=bad.strerror or str(bad), remedy=_REMEDY) from bad
            raise InvariantBroken(f"{self._path}: write failed: {bad.strerror}") from bad

    def _unwrite(self, begin: int, end: int) -> None:
        """Zero what a failed write left: whole records there would be taken for entries behind a shorter append."""
        try:
            while begin < end:
                begin += os.pwrite(self._fd, bytes(end - begin), begin)
        except OSError as bad:
            raise InvariantBroken(f"{self._path}: part of a failed append stays: {bad.strerror}") from bad
        self._sync()

    def _sync(self) -> None:
        """After a failed sync the kernel may have dropped what it could not write: nothing may be assumed, so end."""
        try:
            os.fdatasync(self._fd)
        except OSError as bad:
            raise InvariantBroken(f"{self._path}: sync failed: {bad.strerror}") from bad

    def _cover(self) -> None:
        checkpoint = Checkpoint(self._origin, self._head.size, self._head.root(), (f"bytes {self.end}",))
        note = tlog.sign_checkpoint(checkpoint, self._origin, self._key)
        write_checkpoint(self._folder / CHECKPOINT, note)
        if self._copy is not None:
            write_checkpoint(self._copy, note)
        self._covered = self.end
