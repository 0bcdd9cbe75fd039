"""Checkpoints beside the log: the copy that is kept outside its folder, and the one by itself that says how far readers may read (DESIGN.md I4).

Invariant: both are written only after the log's own, in the segment, is durable, so an undamaged log is never shorter than they say.
"""

import errno
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from agent.contracts.log_file import MAX_NOTE_RECORD_BYTES, RELEASES, Record, decisions, iter_log, logged_until
from agent.contracts.rotation import read_rotation
from agent.errors import (
    EncodingError,
    InvariantBroken,
    LogDamaged,
    LogShortened,
    MessageError,
    SignatureError,
    StorageUnavailable,
)
from agent.local.files import read_capped, write_atomic
from agent.local.sectors import SECTOR_BYTES, SectorWriter
from agent.wire import tlog
from agent.wire.tlog import EMPTY_ROOT, MAX_NOTE_BYTES, Checkpoint, TreeHead

NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

RESTORE = "keep this folder as it is and restore it from a copy, or begin a new log in another folder"

OTHER_KEY = (
    "put back the key that signed it, or beside the new one the file that `dtpr-agent key rotate` wrote: a log goes on under another key "
    "only where the old one said so"
)

SLOTS = 2
"""The copy has two places, written in turn: a write that power cut short leaves the other."""

_FIRST_BYTES = 128 * 1024
"""Holds the first note and the first entry."""


def logged_origin(folder: Path, copy: Path | None) -> str | None:
    """Whose log lies in `folder`, or did when the `copy` of its checkpoint was made: its origin, not yet verified; None where nothing
    was logged yet. Raises LogDamaged."""
    path = folder / RELEASES
    start = _head_of(path, _FIRST_BYTES)
    records = list(iter_log(start))
    if records and not records[0].is_checkpoint:
        raise LogDamaged(str(path), expected="a log that begins with its checkpoint", got="an entry", remedy=RESTORE)
    origin = _decoded(path, records[0].body).origin if records else None
    if origin is not None and len(records) > 1:
        return origin
    kept = [checkpoint for _, checkpoint in KeptCheckpoint(copy).slots() if checkpoint.size] if copy is not None else []
    if kept:
        return max(kept, key=lambda each: each.size).origin
    if origin is None:
        whole = start[MAX_NOTE_RECORD_BYTES:].strip(b"\0") == b""
    else:
        whole = start.count(origin.encode() + b"\n") <= 2  # its own, and that of a first append cut short
    if not whole:
        raise LogDamaged(str(path), expected="a log that begins with its checkpoint", got="damage", remedy=RESTORE)
    return None


def discard_empty(folder: Path, *beside: Path) -> None:
    """Remove a log that nothing was ever written to, and checkpoints of it: it must bind no name. Raises LogDamaged, StorageUnavailable."""
    if logged_origin(folder, None) is None:
        for path in (folder / RELEASES, *beside):
            path.unlink(missing_ok=True)


def _head_of(path: Path, length: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(length)
    except FileNotFoundError:
        return b""
    except OSError as bad:
        raise _unreadable(path, bad) from bad


def _decoded(path: Path, note: bytes) -> Checkpoint:
    try:
        return tlog.decode_checkpoint(note)
    except EncodingError as bad:
        raise LogDamaged(str(path), expected="a checkpoint", got=bad.got, remedy=RESTORE) from None


def _unreadable(path: Path, bad: OSError) -> StorageUnavailable:
    return StorageUnavailable(str(path), why=bad.strerror or str(bad), remedy="check the file's owner and mode")


def verified(note: bytes, origin: str, keys: Sequence[bytes]) -> Checkpoint:
    """The checkpoint of `origin` in `note`, signed by one of `keys`. Raises ValueError when it is none, or not signed by this unit."""
    try:
        checkpoint, signatures = tlog.split_note(note)
    except EncodingError as bad:
        raise ValueError(str(bad)) from None
    if not any(tlog.signed_by(checkpoint, signatures, origin, key) for key in keys):
        raise ValueError(f"none signed by {origin!r} with this unit's key"[:120])
    if checkpoint.origin != origin:
        raise ValueError(f"the checkpoint of {checkpoint.origin!r}"[:120])
    return checkpoint


def is_signed(note: bytes, origin: str, keys: Sequence[bytes]) -> bool:
    """Is `note` a checkpoint of `origin` by one of `keys`?"""
    try:
        verified(note, origin, keys)
    except ValueError:
        return False
    return True


def names_key(message: bytes, public_key: bytes) -> bool:
    """Is it the rotation by which `public_key` came?"""
    try:
        return read_rotation(message).new == public_key
    except (EncodingError, SignatureError):
        return False


def read_shown(path: Path, origin: str, keys: Sequence[bytes]) -> tuple[bytes, Checkpoint] | None:
    """What readers were shown last, if that is still there and of this log: it is derived, and anything else is replaced."""
    try:
        note = read_capped(path, MAX_NOTE_BYTES)
        return (note, verified(note, origin, keys)) if note is not None else None
    except (OSError, MessageError, ValueError):
        return None


def show(path: Path, note: bytes) -> None:
    """Replace what readers go by; nothing depends on its durability. Raises StorageUnavailable when there is no space, else InvariantBroken."""
    try:
        if not path.parent.is_dir():
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        write_atomic(path, note)
    except OSError as bad:
        raise InvariantBroken(f"{path}: {bad.strerror}") from bad
    except StorageUnavailable as bad:
        if isinstance(bad.__cause__, OSError) and bad.__cause__.errno in NO_SPACE:
            raise
        raise InvariantBroken(f"{path}: {bad.why}") from bad


class KeptCheckpoint:
    """The copy outside the log's folder: two slots of MAX_NOTE_BYTES, each a note and zeros. `size` is that of the newest one written or
    read, -1 for none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = -1
        self._slot = 0

    def slots(self) -> list[tuple[bytes, Checkpoint]]:
        """The notes that can be read, not verified. Raises LogDamaged for a file without any, StorageUnavailable."""
        try:
            data = read_capped(self.path, SLOTS * MAX_NOTE_BYTES)
        except MessageError as bad:
            raise self._damaged(bad.got) from None
        except OSError as bad:
            raise _unreadable(self.path, bad) from bad
        if data is None:
            return []
        found = []
        for at in range(0, SLOTS * MAX_NOTE_BYTES, MAX_NOTE_BYTES):
            note = data[at : at + MAX_NOTE_BYTES].rstrip(b"\0")
            try:
                found.append((note, tlog.decode_checkpoint(note)))
            except EncodingError:
                continue  # never written, or cut short
        if not found:
            raise self._damaged("none")
        return found

    def read(self, keys: Sequence[bytes]) -> tuple[bytes, Checkpoint] | None:
        """The newest note by this unit, whose `keys` are the present one and, where it was rotated, the one before; None when there is no file. Raises LogDamaged, StorageUnavailable."""
        good = []
        slots = self.slots()
        for note, checkpoint in slots:
            try:
                good.append((note, verified(note, checkpoint.origin, keys)))
            except ValueError:
                continue
        if slots and not good:
            raise self._damaged("another's", f"was its key changed? {OTHER_KEY}; else ")
        newest = max(good, key=lambda each: each[1].size, default=None)
        if newest is not None:
            self.size = newest[1].size
            self._slot = _place(self.path, newest[0]) ^ 1
        return newest

    def write(self, note: bytes, size: int, *, anew: bool = False) -> None:
        """Keep `note`, durably, in place of the older of the two, or `anew` of both. Raises StorageUnavailable, InvariantBroken."""
        try:
            if anew or self.size < 0:
                self.path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
                both = note.ljust(SLOTS * MAX_NOTE_BYTES, b"\0")
                write_atomic(self.path, both, mode=0o640, durable=True)
                self._slot = 0
            else:
                self._overwrite(note)
        except StorageUnavailable as bad:
            if isinstance(bad.__cause__, OSError) and bad.__cause__.errno in NO_SPACE:
                raise
            raise InvariantBroken(f"{self.path}: {bad.why}") from bad
        except OSError as bad:
            if bad.errno in NO_SPACE:
                raise StorageUnavailable(str(self.path), why=bad.strerror or "full", remedy="free space") from bad
            raise InvariantBroken(f"{self.path}: {bad.strerror}") from bad
        self.size = size
        self._slot ^= 1

    def _overwrite(self, note: bytes) -> None:
        fd = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC)
        writer = SectorWriter(self.path, fd)
        try:
            data = note.ljust(-(-len(note) // SECTOR_BYTES) * SECTOR_BYTES, b"\0")
            at = self._slot * MAX_NOTE_BYTES
            while data:
                written = writer.write(data, at)
                data, at = data[written:], at + written
            os.fdatasync(fd)
        finally:
            writer.close()
            os.close(fd)

    def _damaged(self, got: str, first: str = "") -> LogDamaged:
        return LogDamaged(
            str(self.path),
            expected="a checkpoint signed by this unit",
            got=got,
            remedy=f"{first}put back this unit's own; when that is lost and the log's folder is known to be the newest, "
            f"move {self.path} away",
        )


def _place(path: Path, note: bytes) -> int:
    return int(not path.read_bytes().startswith(note))


class Past:
    """What a checkpoint outside the log says that the log once was, held against the log while its entries are read. `known` None
    says nothing."""

    def __init__(self, path: Path | None, known: tuple[bytes, Checkpoint] | None) -> None:
        self._where = str(path)
        self._note: bytes = known[0] if known is not None else b""
        self._known: Checkpoint | None = known[1] if known is not None else None
        self._root_then = EMPTY_ROOT
        self._remedy = (
            "put back the newest copy of the log's folder; if none is as new, windows that are released already could be released "
            f"again: move {path} away only when the clock is right and past them"
        )

    @property
    def size(self) -> int | None:
        """How many entries were known; None where nothing is."""
        return self._known.size if self._known is not None else None

    def require_size(self, head: TreeHead, decided: int) -> None:
        """Raise LogShortened when the log has fewer entries than were known, none of those that are gone governance's; LogDamaged
        when a decision of governance is among them: which one, and whether it was a stop order, nobody here can say."""
        if self._known is None or head.size >= self._known.size:
            return
        try:
            lost_decisions = decisions(self._known) != decided or logged_until(self._known) < 0
        except EncodingError:
            lost_decisions = True
        kind = LogDamaged if lost_decisions else LogShortened
        bad = kind(
            self._where,
            expected=f"a log of at least {self._known.size} entries",
            got=f"{head.size}",
            remedy=self._remedy,
        )
        if isinstance(bad, LogShortened):
            bad.known, bad.kept, bad.root = self._note, head.size, head.root()
        raise bad

    def see(self, head: TreeHead) -> None:
        """One more entry is in `head`."""
        if self._known is not None and head.size == self._known.size:
            self._root_then = head.root()

    def require_root(self) -> None:
        """All entries were seen: raise LogDamaged when the log is not a continuation of what was known."""
        if self._known is not None and self._root_then != self._known.root:
            raise LogDamaged(
                self._where,
                expected=f"a log that begins with the {self._known.size} entries of this checkpoint",
                got="others",
                remedy=self._remedy,
            )


def require_continues(pasts: Iterable[Past], head: TreeHead, decided: int) -> None:
    """All entries were seen: raise LogDamaged when the log does not continue what one of `pasts` knew, or a decision is among what it lost; else
    LogShortened for the newest that it falls short of."""
    short: LogShortened | None = None
    for past in sorted(pasts, key=lambda each: each.size or 0):
        try:
            past.require_size(head, decided)
            past.require_root()
        except LogShortened as bad:
            short = bad
    if short is not None:
        raise short


def first_record(record: Record, path: Path) -> None:
    """Raise LogDamaged unless a log may begin with this."""
    if not record.is_checkpoint:
        raise LogDamaged(str(path), expected="a log that begins with its checkpoint", got="an entry", remedy=RESTORE)
