"""Follows the release log's folder, read-only, never past `bytes` of the checkpoint (PB-8).

A running log is read up to the checkpoint that the anonymizer shows in the public folder; one that nobody writes, a copy, up to the last
one in it. The former is read again when its file changes; entries are read from a position in chunks, so memory is bounded
whatever the backlog. Nothing is verified by signature here: the log and this reader are on one unit.
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.contracts.log import Entry, Release, decode_entry
from agent.contracts.log_end import BLOCK_BYTES, Head, head_of, read_last_head
from agent.contracts.log_file import MAX_ENTRY_BYTES, MAX_NOTE_RECORD_BYTES, RECORD, RELEASES, iter_records
from agent.errors import LogDamaged, MessageError, StorageUnavailable
from agent.local.files import file_stamp, read_capped
from agent.publisher.cursor import START, Cursor
from agent.publisher.topics import is_stream
from agent.wire.tlog import MAX_NOTE_BYTES

POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class Logged:
    """One entry, its index (counted from 0) and the cursor once it is acknowledged."""

    index: int
    entry: Entry
    cursor: Cursor


class Follower:
    """Reads one log folder. The methods raise LogDamaged for a log that is not what was written; the next call looks again.

    `shown` is the checkpoint by itself; without it the last one in the log counts, sought once, which is for a log that nobody writes.
    """

    def __init__(self, folder: Path, shown: Path | None = None) -> None:
        self._folder = folder
        self._shown = shown
        self._seen: tuple[int, int, int] | None = None
        self._head: Head | None = None

    def head(self) -> Head | None:
        """The checkpoint now on the disk, or None while there is none."""
        if self._shown is None:
            if self._head is None:
                self._head = self._last()
            return self._head
        path = self._shown
        try:
            stamp = file_stamp(path)
            if stamp is None or stamp == self._seen:
                return self._head
            note = read_capped(path, MAX_NOTE_BYTES)
            if note is None:
                return self._head
            self._head, self._seen = head_of(note, str(path)), stamp
        except MessageError as bad:
            raise LogDamaged(
                str(path), expected="a checkpoint", got=str(bad), remedy="run `dtpr-agent audit`"
            ) from None
        except OSError as bad:
            raise _unreadable(path, bad) from None
        return self._head

    def _last(self) -> Head | None:
        """What is read is on the disk first."""
        path = self._folder / RELEASES
        if not path.exists():
            return None
        with self._opened() as fd:
            os.fdatasync(fd)
        return read_last_head(self._read, str(path))

    def entries(self, cursor: Cursor, limit: int) -> Iterator[Logged]:
        """At most `limit` entries after `cursor`; fewer, or none, at the checkpoint or at the end of a chunk."""
        head = self.head()
        if head is None or cursor.offset >= head.offset or limit <= 0:
            if head is not None and cursor.offset == head.offset and cursor.entries != head.entries:
                raise self._damaged(cursor.offset, f"entry {head.entries} to end here", f"entry {cursor.entries}")
            return
        data = self._read(cursor.offset, min(BLOCK_BYTES, head.offset - cursor.offset))
        whole = cursor.offset + len(data) >= head.offset
        if cursor.offset + len(data) < head.offset and len(data) < BLOCK_BYTES:
            raise self._damaged(cursor.offset + len(data), "the log to reach its checkpoint", "the end of the file")
        at = cursor
        for end, entry in iter_records(data):
            decoded = decode_entry(entry, f"{self._folder / RELEASES} byte {at.offset}")
            if isinstance(decoded, Release) and not is_stream(decoded.stream):
                raise self._damaged(at.offset, "a stream that can be a topic level", ascii(decoded.stream)[:40])
            logged = Logged(at.entries, decoded, at.follows(entry, cursor.offset + end))
            yield logged
            at = logged.cursor
            limit -= 1
            if limit == 0:
                return
        if at is cursor or (whole and at.offset != head.offset):
            raise self._damaged(at.offset, "a whole record", "another length or checksum")

    def proves(self, cursor: Cursor) -> bool:
        """Is `cursor` a position in this log: does its last entry stand there, with that hash?

        The checkpoint does not matter: after a power cut it may for a moment be older than what it has already let through.
        """
        if cursor == START:
            return True
        length = cursor.offset - cursor.last_start
        if not RECORD.size < length <= MAX_NOTE_RECORD_BYTES + RECORD.size + MAX_ENTRY_BYTES:
            return False
        origin = Cursor(cursor.entries - 1, cursor.last_start, 0, b"")
        records = list(iter_records(self._read(cursor.last_start, length)))
        return len(records) == 1 and origin.follows(records[0][1], cursor.last_start + records[0][0]) == cursor

    def _read(self, offset: int, length: int) -> bytes:
        with self._opened() as fd:
            return os.pread(fd, length, offset)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int]:
        path = self._folder / RELEASES
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                yield fd
            finally:
                os.close(fd)
        except OSError as bad:
            raise _unreadable(path, bad) from None

    def _damaged(self, offset: int, expected: str, got: str) -> LogDamaged:
        return LogDamaged(
            f"{self._folder / RELEASES} byte {offset}", expected=expected, got=got, remedy="run `dtpr-agent audit`"
        )


def _unreadable(path: Path, bad: OSError) -> StorageUnavailable | LogDamaged:
    if isinstance(bad, FileNotFoundError):
        return LogDamaged(str(path), expected="the file beside its checkpoint", got="none")
    return StorageUnavailable(str(path), why=bad.strerror or "an error", remedy="check the folder's owner and mode")
