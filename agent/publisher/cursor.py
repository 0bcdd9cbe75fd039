"""How far the broker has acknowledged, and the proof that a position belongs to this very log (PB-9, PB-10). Pure.

The file is one line for the present cursor and one for the one before it, each with its own checksum:

    1 <entries> <offset> <start of the last entry's record> <SHA-256 of the last entry, hex> <CRC-32C of the line so far, hex>

Invariant: everything before a cursor that was once written has been acknowledged, so going back to an older one repeats
identical bytes and loses nothing.
"""

import hashlib
from dataclasses import dataclass

from agent.errors import LogDamaged
from agent.wire.crc32c import crc32c

MAX_CURSOR_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Cursor:
    """The first `entries` entries, which end at byte `offset`, are acknowledged; the last of them is named by place and hash."""

    entries: int
    offset: int
    last_start: int
    last_hash: bytes

    def follows(self, entry: bytes, end: int) -> "Cursor":
        """The cursor after the next entry, whose record ends at `end`."""
        return Cursor(self.entries + 1, end, self.offset, hashlib.sha256(entry).digest())


START = Cursor(0, 0, 0, bytes(32))


def encode(cursor: Cursor, previous: Cursor = START) -> bytes:
    """The file's bytes."""
    return _line(cursor) + _line(previous)


def decode(data: bytes, where: str) -> tuple[tuple[Cursor, ...], LogDamaged | None]:
    """The whole lines, newest first, and the damage if any line is not whole."""
    lines = data.split(b"\n")
    good = tuple(cursor for line in lines[:2] if (cursor := _parse(line)) is not None)
    if len(good) == 2 and lines[2:] == [b""] and len(data) <= MAX_CURSOR_BYTES:
        return good, None
    return good, LogDamaged(
        where,
        expected="two whole lines of a cursor",
        got=f"{len(good)}",
        remedy="nothing to do: releases from the last whole position are sent again, byte for byte",
    )


def _line(cursor: Cursor) -> bytes:
    text = f"1 {cursor.entries} {cursor.offset} {cursor.last_start} {cursor.last_hash.hex()}".encode()
    return text + f" {crc32c(text):08x}\n".encode()


def _parse(line: bytes) -> Cursor | None:
    try:
        version, entries, offset, last_start, last_hash, _ = line.decode("ascii").split(" ")
        cursor = Cursor(int(entries), int(offset), int(last_start), bytes.fromhex(last_hash))
    except ValueError:
        return None
    return cursor if version == "1" and _line(cursor) == line + b"\n" else None
