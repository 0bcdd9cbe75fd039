"""How far the broker has acknowledged, and the proof that a position belongs to this very log (PB-9, PB-10). Pure.

Of the log, what lies before `backlog` is acknowledged, and what lies from entry `live_from` to `live`:

    0 ─────────── backlog ············ live_from ───────── live ········ the log's end
    acknowledged           to be sent,             acknowledged     to be sent
                           late

The file is two slots of SLOT_BYTES, each a line padded with blanks, and a blank one; a progress of serial number N is in slot N mod 2:

    2 <serial> <entries> <offset> <start of the last entry's record> <SHA-256 of the last entry, hex>      the backlog's
      <live_from> <entries> <offset> <start of …> <SHA-256 of …>                                            the live lane's
      <CRC-32C of the line so far, hex>

Invariant: everything that a written progress says is acknowledged has been, so going back to an older one repeats
identical bytes and loses nothing.
"""

import hashlib
from dataclasses import dataclass

from agent.errors import LogDamaged
from agent.wire.crc32c import crc32c

SLOT_BYTES = 512
"""A line of the greatest numbers has under 360, and a sector is what a disk writes whole or not at all."""

_END = b" " * (SLOT_BYTES - 1) + b"\n"
"""Where a write ends with the file, ext4 writes zeros to the end of the block too: 4 KiB for a slot of 512."""

FILE_BYTES = 2 * SLOT_BYTES + len(_END)


@dataclass(frozen=True, slots=True)
class Cursor:
    """A position after `entries` entries, at byte `offset`; the last of them is named by place and hash."""

    entries: int
    offset: int
    last_start: int
    last_hash: bytes

    def follows(self, entry: bytes, end: int) -> "Cursor":
        """The cursor after the next entry, whose record ends at `end`."""
        return Cursor(self.entries + 1, end, self.offset, hashlib.sha256(entry).digest())


START = Cursor(0, 0, 0, bytes(32))


@dataclass(frozen=True, slots=True)
class Progress:
    """Both positions: backlog.entries <= live_from <= live.entries; without a backlog all three are one."""

    backlog: Cursor
    live_from: int
    live: Cursor

    @property
    def acknowledged(self) -> int:
        """How many entries are."""
        return self.backlog.entries + self.live.entries - self.live_from


def at(cursor: Cursor) -> Progress:
    """Everything before `cursor` is acknowledged and nothing after it."""
    return Progress(cursor, cursor.entries, cursor)


BEGIN = at(START)


def encode(serial: int, progress: Progress, previous: Progress = BEGIN) -> bytes:
    """The whole file's bytes: the progress of this serial number (>= 1), and the one before it."""
    slots = [slot(serial, progress), slot(serial - 1, previous)]
    return b"".join(slots if serial % 2 == 0 else reversed(slots)) + _END


def slot(serial: int, progress: Progress) -> bytes:
    """One slot's bytes."""
    text = f"2 {serial} {_words(progress.backlog)} {progress.live_from} {_words(progress.live)}".encode()
    return (text + f" {crc32c(text):08x}".encode()).ljust(SLOT_BYTES - 1) + b"\n"


def decode(data: bytes, where: str) -> tuple[tuple[tuple[int, Progress], ...], LogDamaged | None]:
    """The whole slots as (serial, progress), newest first, and the damage if any slot is not whole."""
    slots = (data[:SLOT_BYTES], data[SLOT_BYTES : 2 * SLOT_BYTES])
    read = [
        found for number, octets in enumerate(slots) if (found := _parse(octets)) is not None and found[0] % 2 == number
    ]
    good = tuple(sorted(read, key=lambda found: -found[0]))
    if len(good) == 2 and data[2 * SLOT_BYTES :] == _END and good[0][0] == good[1][0] + 1:
        return good, None
    return good, LogDamaged(
        where,
        expected="two whole slots of a cursor",
        got=f"{len(good)}",
        remedy="nothing to do: releases from the last whole position are sent again, byte for byte",
    )


def _words(cursor: Cursor) -> str:
    return f"{cursor.entries} {cursor.offset} {cursor.last_start} {cursor.last_hash.hex()}"


def _parse(octets: bytes) -> tuple[int, Progress] | None:
    try:
        version, serial, *words, _ = octets.rstrip().decode("ascii").split(" ")
        if version != "2" or len(words) != 9:
            return None
        progress = Progress(_cursor(words[:4]), int(words[4]), _cursor(words[5:]))
        if not progress.backlog.entries <= progress.live_from <= progress.live.entries:
            return None
        return (int(serial), progress) if slot(int(serial), progress) == octets else None
    except ValueError:
        return None


def _cursor(words: list[str]) -> Cursor:
    return Cursor(int(words[0]), int(words[1]), int(words[2]), bytes.fromhex(words[3]))
