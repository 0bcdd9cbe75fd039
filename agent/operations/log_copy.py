"""A copy of a release log as C2SP tlog-tiles files: made from a unit's log folder, and read again by whoever audits.

    checkpoint                  the signed note
    tile/entries/000            entry bundles, 256 entries each, the last one perhaps tile/entries/000.p/17
    tile/0/000 tile/1/000 …     hash tiles

Invariant: `export` writes nothing before the whole log is known to have the root of its checkpoint and to continue what the folder holds
already, and `checkpoint` last. What is read here was written by others: only regular files of bounded size, and every byte is held
against the checkpoint's root by who asked for it (`operations/copies`).
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.contracts.log_end import read_last_head
from agent.contracts.log_file import MAX_ENTRY_BYTES, RECORD, RELEASES, iter_records
from agent.errors import EncodingError, LogDamaged, StorageUnavailable
from agent.local.files import write_atomic
from agent.wire.tiles import (
    CHECKPOINT,
    WIDTH,
    Tile,
    TileBuilder,
    bundles_of,
    encode_bundle,
    hash_tiles_of,
)
from agent.wire.tlog import EMPTY_ROOT, MAX_NOTE_BYTES, Checkpoint, TreeHead, decode_checkpoint

_BLOCK_BYTES = 1 << 20
assert RECORD.size + MAX_ENTRY_BYTES < _BLOCK_BYTES  # a block without a whole record is damage


@dataclass(frozen=True, slots=True)
class Exported:
    """What `export` did: the checkpoint that the copy now has, how many entries it had before, and where a closed log is damaged behind that."""

    checkpoint: Checkpoint
    before: int
    damage: str | None = None


def export(log: Path, folder: Path) -> Exported:
    """Bring the copy in `folder` up to the last checkpoint of the log in the folder `log`, or of a closed one (AN-64) in that file, which is copied up
    to where it is damaged. Raises LogDamaged or StorageUnavailable; the copy then is what it was."""
    releases = log if log.is_file() else log / RELEASES
    damage = None
    try:
        note, length = _end(releases)
    except LogDamaged as bad:
        if not releases.name.startswith(f"{RELEASES}."):
            raise
        damage, (note, length) = bad.where, _end(releases, damaged=True)
    checkpoint = _checkpoint(releases, note)
    old = _known(folder, checkpoint)
    _require(releases, checkpoint, old, length)
    try:
        _write(releases, folder, note, checkpoint, length, old.size if old is not None else 0)
    except OSError as bad:
        raise StorageUnavailable(str(folder), why=bad.strerror or "an error", remedy="choose another folder") from bad
    return Exported(checkpoint, old.size if old is not None else 0, damage)


def _write(releases: Path, folder: Path, note: bytes, checkpoint: Checkpoint, length: int, old: int) -> None:
    builder, bundle = TileBuilder(), list[bytes]()
    for entry in _records(releases, length):
        for tile, content in builder.append(entry):
            _put(folder, tile, content)
        bundle.append(entry)
        if len(bundle) == WIDTH:
            _put(folder, Tile(None, builder.size // WIDTH - 1), encode_bundle(bundle))
            bundle.clear()
    if bundle:
        _put(folder, Tile(None, builder.size // WIDTH, len(bundle)), encode_bundle(bundle))
    for tile, content in builder.partial():
        _put(folder, tile, content)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / CHECKPOINT, note, durable=True)
    kept = {*bundles_of(checkpoint.size), *hash_tiles_of(checkpoint.size)}
    for tile in {*bundles_of(old), *hash_tiles_of(old)} - kept:
        (folder / tile.path).unlink(missing_ok=True)


def _put(folder: Path, tile: Tile, content: bytes) -> None:
    path = folder / tile.path
    if path.exists() and path.stat().st_size == len(content) and path.read_bytes() == content:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, content)


def _known(folder: Path, checkpoint: Checkpoint) -> Checkpoint | None:
    """What `folder` holds already; raises LogDamaged when that is another log's or newer."""
    path = folder / CHECKPOINT
    if not is_there(path):
        return None
    old = _checkpoint(path, read_regular(path, MAX_NOTE_BYTES))
    if old.origin != checkpoint.origin or old.size > checkpoint.size:
        raise LogDamaged(
            str(path),
            expected=f"an older checkpoint of {checkpoint.origin}, at most {checkpoint.size} entries",
            got=f"{old.size} entries of {old.origin}"[:120],
            remedy="keep this copy, and export into another folder; `dtpr-agent audit` shows how they differ",
        )
    return old


def _require(releases: Path, checkpoint: Checkpoint, old: Checkpoint | None, length: int) -> None:
    head, then = TreeHead(), EMPTY_ROOT
    for entry in _records(releases, length):
        head.append(entry)
        if old is not None and head.size == old.size:
            then = head.root()
    if (head.size, head.root()) != (checkpoint.size, checkpoint.root):
        raise LogDamaged(str(releases), expected=f"{checkpoint.size} entries under the checkpoint's root", got="others")
    if old is not None and then != old.root:
        raise LogDamaged(
            str(releases),
            expected=f"a log that begins with the {old.size} entries of the copy",
            got="others",
            remedy="keep the copy: it proves that the log was rewritten; `dtpr-agent audit` shows it",
        )


def _records(path: Path, end: int) -> Iterator[bytes]:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as bad:
        raise _unreadable(path, bad) from None
    with os.fdopen(fd, "rb") as file:
        at = 0
        while at < end:
            begin = at
            for after, entry in iter_records(os.pread(file.fileno(), min(_BLOCK_BYTES, end - begin), begin)):
                yield entry
                at = begin + after
            if at == begin:
                raise LogDamaged(str(path), expected=f"records up to byte {end}", got=f"damage at byte {at}")


def _checkpoint(path: Path, note: bytes) -> Checkpoint:
    try:
        return decode_checkpoint(note)
    except EncodingError as bad:
        raise LogDamaged(str(path), expected="a checkpoint", got=bad.got) from None


def _end(path: Path, *, damaged: bool = False) -> tuple[bytes, int]:
    """The note of the last checkpoint, or of the last one before what is `damaged`, and where the entries before it end; what is read is on the disk first."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fdatasync(fd)
            head = read_last_head(lambda at, length: os.pread(fd, length, at), str(path), damaged=damaged)
        finally:
            os.close(fd)
    except OSError as bad:
        raise _unreadable(path, bad) from None
    if head is None:
        raise LogDamaged(str(path), expected="a log that has begun", got="nothing")
    return head.note, head.offset


def read_regular(path: Path, max_bytes: int) -> bytes:
    """A regular file's bytes, no link followed and nothing waited for; raises LogDamaged or StorageUnavailable."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as file:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise LogDamaged(str(path), expected="a file", got="something else")
            if status.st_size > max_bytes:
                raise LogDamaged(str(path), expected=f"at most {max_bytes} bytes", got=str(status.st_size))
            return file.read(max_bytes + 1)
    except OSError as bad:
        raise _unreadable(path, bad) from None


def is_there(path: Path) -> bool:
    """Also what cannot be read: reading it then says why."""
    try:
        path.lstat()
    except OSError as bad:
        return not isinstance(bad, FileNotFoundError | NotADirectoryError)
    return True


def _unreadable(path: Path, bad: OSError) -> LogDamaged | StorageUnavailable:
    if isinstance(bad, PermissionError):
        return StorageUnavailable(str(path), why=bad.strerror or "an error", remedy="check its owner and mode")
    remedy = {
        CHECKPOINT: "a copy is a folder that `dtpr-agent log export` or `dtpr-agent audit mirror` made",
        RELEASES: "name the log's folder on the unit or its card, with --log, or agent.toml, with --config",
    }.get(path.name, "")
    return LogDamaged(str(path), expected="a file of the log", got=bad.strerror or "an error", remedy=remedy)
