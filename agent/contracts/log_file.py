"""The release log's folder: anonymizer -> publisher and anyone who audits. Read-only for every reader.

    releases    records, one after another: length u32 | CRC-32C u32 (both little endian, CRC over the body) | body
                then zeros up to the preallocated end. A body is an entry or, when the top bit of `length` is set and the CRC is
                inverted, a checkpoint: a signed note (wire/tlog) and zeros up to a whole sector of the file
    bundles     the anonymizer's own, derived (AN-66): no reader needs it
    logged      the newest of these notes by itself, in the public folder (memory, not the card): how far a running log may be read

A note has the origin, the number of entries before it, their root hash, and three extension lines: `bytes N`, where the last of these
entries ends, `decisions N`, how many of them are governance's, and `until N`, the newest instant that they speak of. The first record of a log is the note of 0 entries.

A reader of a running log never reads past `bytes` of `logged`: the anonymizer replaces it only after the record is on the disk.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from agent.errors import EncodingError
from agent.wire.crc32c import crc32c
from agent.wire.tlog import MAX_NOTE_BYTES, Checkpoint

RELEASES = "releases"
LOGGED = "logged"

RECORD = struct.Struct("<II")
MAX_ENTRY_BYTES = 48 * 1024
"""A payload of 64 classes is under 8 KiB; a policy at most 32 KiB."""

SECTOR_BYTES = 512
"""An append begins and ends on a sector, so that it is written without reading, and a torn one touches no other."""

_NOTE = 1 << 31
"""In a record's length: the body is a checkpoint, and the checksum is inverted, so that no flipped bit makes one of an entry."""

_ALL = 2**32 - 1

AFTER = "/after/"
"""In an origin, between the unit's path and which log of it was lost in part, where this one follows that."""

MAX_UNKEPT = 3
"""Entries at most that the checkpoint kept outside the log's folder is behind; a loss may be so much larger than it says."""

MAX_NOTE_RECORD_BYTES = RECORD.size + MAX_NOTE_BYTES + SECTOR_BYTES


def unit_path(origin: str) -> str:
    """city/site/unit: whose log it is."""
    return origin.partition(AFTER)[0]


def pack_record(entry: bytes) -> bytes:
    """Frame one encoded entry for the file."""
    return RECORD.pack(len(entry), crc32c(entry)) + entry


def pack_checkpoint(note: bytes, at: int) -> bytes:
    """Frame a note for the file, where its record begins at byte `at`: the record ends on a whole sector."""
    body = note + bytes(-(at + RECORD.size + len(note)) % SECTOR_BYTES)
    return RECORD.pack(len(body) | _NOTE, ~crc32c(body) & _ALL) + body


@dataclass(frozen=True, slots=True)
class Record:
    """One record: the body of an entry, or the note of a checkpoint; the record is in bytes `start` to `end`."""

    start: int
    end: int
    body: bytes
    is_checkpoint: bool


def iter_log(data: bytes | memoryview, start: int = 0) -> Iterator[Record]:
    """Every whole, undamaged record from `start` on; stops at the first that is not."""
    at = start
    while at + RECORD.size <= len(data):
        length, checksum = RECORD.unpack_from(data, at)
        is_checkpoint, length = bool(length & _NOTE), length & ~_NOTE
        end = at + RECORD.size + length
        if length == 0 or length > (MAX_NOTE_BYTES + SECTOR_BYTES if is_checkpoint else MAX_ENTRY_BYTES):
            return
        if end > len(data):
            return
        body = bytes(data[at + RECORD.size : end])
        if crc32c(body) != (~checksum & _ALL if is_checkpoint else checksum):
            return
        yield Record(at, end, body.rstrip(b"\0") if is_checkpoint else body, is_checkpoint)
        at = end


def iter_records(data: bytes | memoryview, start: int = 0) -> Iterator[tuple[int, bytes]]:
    """Yield (offset after the record, entry bytes) from `start` for every whole, undamaged entry, checkpoints between them left out."""
    return ((record.end, record.body) for record in iter_log(data, start) if not record.is_checkpoint)


def notes_in(block: bytes, origin: str) -> Iterator[bytes]:
    """What looks like a note of `origin`'s log in `block`, wherever it stands: how damage is told from a write that was cut short, which
    has at most one checkpoint behind the break, its own."""
    mark = origin.encode() + b"\n"
    place = block.find(mark)
    while place >= 0:
        text = block[place : place + MAX_NOTE_BYTES]
        yield text[: text.find(b"\n", text.find(b"\n\n") + 2) + 1]
        place = block.find(mark, place + 1)


def extensions(end: int, decided: int, until: int) -> tuple[str, ...]:
    """A checkpoint's extension lines: where its last entry ends, how many entries are governance's, the newest instant."""
    return f"bytes {end}", f"decisions {decided}", f"until {until}"


def covered_bytes(checkpoint: Checkpoint) -> int:
    """Where the entries end that `checkpoint` covers; raises EncodingError unless it says so once."""
    return _extension(checkpoint, "bytes")


def decisions(checkpoint: Checkpoint) -> int:
    """How many of the entries that `checkpoint` covers are decisions of governance; raises EncodingError unless it says so once."""
    return _extension(checkpoint, "decisions")


def logged_until(checkpoint: Checkpoint) -> int:
    """The newest instant (Unix seconds) that an entry speaks of which `checkpoint` covers; raises EncodingError unless it says so once."""
    return _extension(checkpoint, "until")


def _extension(checkpoint: Checkpoint, word: str) -> int:
    found = [line.removeprefix(f"{word} ") for line in checkpoint.extensions if line.startswith(f"{word} ")]
    if len(found) != 1 or not (found[0].isascii() and found[0].isdigit() and len(found[0]) < 19):
        raise EncodingError("checkpoint", expected=f"one line `{word} N`", got=str(len(found)))
    return int(found[0])
