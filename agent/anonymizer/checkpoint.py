"""Checkpoints on the disk: the log's own, and the copy of it that is kept outside the log's folder (DESIGN.md I4).

Invariant: the copy is written only after the log's own is durable, so an undamaged log is never shorter than its copy says.
"""

import errno
from pathlib import Path

from agent.contracts.log import CHECKPOINT, RELEASES
from agent.errors import EncodingError, InvariantBroken, LogDamaged, MessageError, SignatureError, StorageUnavailable
from agent.local.files import read_capped, write_atomic
from agent.wire import tlog
from agent.wire.tlog import EMPTY_ROOT, Checkpoint, TreeHead

NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

RESTORE = "keep this folder as it is and restore it from a copy, or begin a new log in another folder"

MAX_UNCOVERED_BYTES = 1 << 20
"""A log that has no checkpoint yet is no longer than its first allocation."""


def logged_origin(folder: Path, copy: Path | None) -> str | None:
    """Whose log lies in `folder`, or did when the `copy` of its checkpoint was made: its origin, not yet verified; None where no log has
    begun. Raises LogDamaged."""
    origin = _named_origin(folder / CHECKPOINT)
    if origin is not None:
        return origin
    records = _read(folder / RELEASES, MAX_UNCOVERED_BYTES, RESTORE) or b""
    if records.count(0) != len(records):
        raise LogDamaged(str(folder / CHECKPOINT), expected="the checkpoint of this log", got="no file", remedy=RESTORE)
    return _named_origin(copy) if copy is not None else None


def discard_empty(*paths: Path) -> None:
    """Remove checkpoints of a log that nothing was ever written to: it must bind no name. Raises LogDamaged, StorageUnavailable."""
    for path in paths:
        if _named_origin(path) is None:
            path.unlink(missing_ok=True)


def _named_origin(path: Path) -> str | None:
    note = _read(path, tlog.MAX_NOTE_BYTES, RESTORE)
    try:
        checkpoint = tlog.decode_checkpoint(note) if note is not None else None
        return checkpoint.origin if checkpoint is not None and checkpoint.size else None
    except EncodingError as bad:
        raise LogDamaged(str(path), expected="a checkpoint", got=bad.got, remedy=RESTORE) from None


def _read(path: Path, max_bytes: int, remedy: str) -> bytes | None:
    try:
        return read_capped(path, max_bytes)
    except MessageError as bad:
        raise LogDamaged(str(path), expected=bad.expected, got=bad.got, remedy=remedy) from None
    except OSError as bad:
        raise StorageUnavailable(
            str(path), why=bad.strerror or str(bad), remedy="check the file's owner and mode"
        ) from bad


def read_checkpoint(path: Path, origin: str, public_key: bytes, remedy: str) -> Checkpoint | None:
    """The checkpoint of `origin` at `path`, verified; None when there is none. Raises LogDamaged with `remedy`."""
    note = _read(path, tlog.MAX_NOTE_BYTES, remedy)
    if note is None:
        return None
    try:
        checkpoint = tlog.open_checkpoint(note, origin, public_key)
        if checkpoint.origin != origin:
            raise ValueError
    except (EncodingError, SignatureError, ValueError) as bad:
        raise LogDamaged(
            str(path),
            expected=f"the checkpoint of {origin}, signed by this unit",
            got=str(bad)[:120] or "another",
            remedy=remedy,
        ) from None
    return checkpoint


def write_checkpoint(path: Path, note: bytes) -> None:
    """Replace it durably. Raises StorageUnavailable when there is no space, InvariantBroken for any other cause."""
    try:
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        write_atomic(path, note, mode=0o640, durable=True)
    except OSError as bad:
        raise InvariantBroken(f"{path}: {bad.strerror}") from bad
    except StorageUnavailable as bad:
        if isinstance(bad.__cause__, OSError) and bad.__cause__.errno in NO_SPACE:
            raise
        raise InvariantBroken(f"{path}: {bad.why}") from bad


class Past:
    """What a copy says that the log once was, held against the log while its entries are read. `copy` None says nothing."""

    def __init__(self, path: Path | None, copy: Checkpoint | None) -> None:
        self._where = str(path)
        self._copy = copy
        self._root_then = EMPTY_ROOT
        self._remedy = (
            "put back the newest copy of the log's folder; if none is as new, windows that are released already could be released "
            f"again: move {path} away only when the clock is right and past them"
        )

    def require_size(self, size: int) -> None:
        """Raise LogDamaged when the log's checkpoint covers fewer entries than the copy's."""
        if self._copy is not None and size < self._copy.size:
            raise LogDamaged(
                self._where, expected=f"a log of at least {self._copy.size} entries", got=f"{size}", remedy=self._remedy
            )

    def see(self, head: TreeHead) -> None:
        """One more entry is in `head`."""
        if self._copy is not None and head.size == self._copy.size:
            self._root_then = head.root()

    def require_root(self) -> None:
        """All entries were seen: raise LogDamaged when the log is not a continuation of what the copy covers."""
        if self._copy is not None and self._root_then != self._copy.root:
            raise LogDamaged(
                self._where,
                expected=f"a log that begins with the {self._copy.size} entries of this checkpoint",
                got="others",
                remedy=self._remedy,
            )
