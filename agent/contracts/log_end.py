"""How far a release log may be read that nobody shows the limit of: up to the last checkpoint in it. Pure.

Invariant: a broken record ends the log only where a write that power cut short could have left it, with at most one checkpoint behind it;
two of them were durable, and what is broken before them is damage.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from agent.contracts.log_file import MAX_ENTRY_BYTES, MAX_NOTE_RECORD_BYTES, RECORD, covered_bytes, iter_log, notes_in
from agent.errors import EncodingError, LogDamaged
from agent.wire.tlog import MAX_NOTE_BYTES, Checkpoint, decode_checkpoint

BLOCK_BYTES = 64 * 1024
"""More than a checkpoint and one record of the greatest size."""
assert MAX_NOTE_RECORD_BYTES + RECORD.size + MAX_ENTRY_BYTES < BLOCK_BYTES

Read = Callable[[int, int], bytes]
"""(offset, length) -> that part of the file, shorter at its end."""


@dataclass(frozen=True, slots=True)
class Head:
    """How far the log may be read: the checkpoint's `entries` and `offset`, and its note as signed."""

    entries: int
    offset: int
    note: bytes

    @property
    def origin(self) -> bytes:
        """Which log it is of."""
        return self.note.partition(b"\n")[0]


def head_of(note: bytes, where: str) -> Head:
    """What a note says of it; raises LogDamaged for what is no checkpoint of a release log. Its signature is not looked at."""
    try:
        checkpoint = decode_checkpoint(note)
        return Head(checkpoint.size, covered_bytes(checkpoint), note)
    except EncodingError as bad:
        raise LogDamaged(where, expected="a checkpoint", got=str(bad), remedy="run `dtpr-agent audit`") from None


def read_last_head(read: Read, where: str, *, damaged: bool = False) -> Head | None:
    """Of the last checkpoint in the log, or before what is `damaged` of it; None for one that has not begun. Raises LogDamaged."""
    note, at = b"", 0
    while True:
        begin = at
        for record in iter_log(read(begin, BLOCK_BYTES)):
            at = begin + record.end
            note = record.body if record.is_checkpoint else note
        if at == begin:
            break
    if not note:
        if read(0, BLOCK_BYTES).strip(b"\0"):
            raise _damaged(where, 0, "a log that begins with its checkpoint")
        return None
    head = head_of(note, where)
    if not damaged and _later(read, at, decode_checkpoint(note)) > 1:
        raise _damaged(where, at, "whole records up to the last checkpoint")
    return head


def _later(read: Read, at: int, known: Checkpoint) -> int:
    """Larger checkpoints of the same log behind the last whole record."""
    later = set[int]()
    while block := read(at, BLOCK_BYTES):
        for note in notes_in(block, known.origin):
            with contextlib.suppress(EncodingError):
                size = decode_checkpoint(note).size
                later |= {size} if size > known.size else set()
        if len(block) < BLOCK_BYTES or len(later) > 1:
            break
        at += BLOCK_BYTES - MAX_NOTE_BYTES
    return len(later)


def _damaged(where: str, at: int, expected: str) -> LogDamaged:
    return LogDamaged(f"{where} byte {at}", expected=expected, got="damage", remedy="run `dtpr-agent audit`")
