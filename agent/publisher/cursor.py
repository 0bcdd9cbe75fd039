"""How far the broker has acknowledged, and the proof that a position belongs to this very log (PB-9, PB-10). Pure.

Of the log, what lies before `backlog` is acknowledged, and what lies from entry `live_from` to `live`:

    0 ─────────── backlog ············ live_from ───────── live ········ the log's end
    acknowledged           to be sent,             acknowledged     to be sent
                           late

The file is one line for the present progress and one for the one before it, each with its own checksum:

    2 <entries> <offset> <start of the last entry's record> <SHA-256 of the last entry, hex>      the backlog's
      <live_from> <entries> <offset> <start of …> <SHA-256 of …>                                   the live lane's
      <CRC-32C of the line so far, hex>

Invariant: everything that a written progress says is acknowledged has been, so going back to an older one repeats
identical bytes and loses nothing.
"""

import hashlib
from dataclasses import dataclass

from agent.errors import LogDamaged
from agent.wire.crc32c import crc32c

MAX_CURSOR_BYTES = 1024


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


def encode(progress: Progress, previous: Progress = BEGIN) -> bytes:
    """The file's bytes."""
    return _line(progress) + _line(previous)


def decode(data: bytes, where: str) -> tuple[tuple[Progress, ...], LogDamaged | None]:
    """The whole lines, newest first, and the damage if any line is not whole."""
    lines = data.split(b"\n")
    good = tuple(progress for line in lines[:2] if (progress := _parse(line)) is not None)
    if len(good) == 2 and lines[2:] == [b""] and len(data) <= MAX_CURSOR_BYTES:
        return good, None
    return good, LogDamaged(
        where,
        expected="two whole lines of a cursor",
        got=f"{len(good)}",
        remedy="nothing to do: releases from the last whole position are sent again, byte for byte",
    )


def _line(progress: Progress) -> bytes:
    text = f"2 {_words(progress.backlog)} {progress.live_from} {_words(progress.live)}".encode()
    return text + f" {crc32c(text):08x}\n".encode()


def _words(cursor: Cursor) -> str:
    return f"{cursor.entries} {cursor.offset} {cursor.last_start} {cursor.last_hash.hex()}"


def _parse(line: bytes) -> Progress | None:
    try:
        version, *words, _ = line.decode("ascii").split(" ")
        if version != "2" or len(words) != 9:
            return None
        progress = Progress(_cursor(words[:4]), int(words[4]), _cursor(words[5:]))
    except ValueError:
        return None
    if not progress.backlog.entries <= progress.live_from <= progress.live.entries:
        return None
    return progress if _line(progress) == line + b"\n" else None


def _cursor(words: list[str]) -> Cursor:
    return Cursor(int(words[0]), int(words[1]), int(words[2]), bytes.fromhex(words[3]))
