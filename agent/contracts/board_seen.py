"""The sensor board behind a unit's readings, as an entry of the release log names it: what runs on it, by its hello (AN-123, AN-124). Pure.

{0: 11, 1: board, 2: firmware, 3: firmware hash, 4: schema hash, 5: at, 6: unsaid}. `board` is the first 8 bytes of the
SHA-256 of the board's id: the log is public, and an id is whatever its maker or the technician chose.
"""

from dataclasses import dataclass
from typing import Any

from agent.contracts.board import Board
from agent.contracts.gate_log import MAX_INSTANT
from agent.errors import EncodingError
from agent.wire import cbor
from agent.wire.sha256 import sha256

BOARD_BYTES = 8
"""Of the SHA-256 of a board's id: who has the board, or its record, knows which it is."""

MAX_FIRMWARE_CHARACTERS = 32
"""A version and what it was built from; the rest of a longer text is cut off."""


@dataclass(frozen=True, slots=True)
class BoardSeen:
    """At `at` (Unix seconds) a board said hello that differs from what was logged of it before. `firmware` are its own words, made plain;
    `unsaid`: it, or another, had said something else in between that was not logged."""

    board: bytes
    firmware: str
    firmware_hash: bytes
    schema_hash: bytes
    at: int
    unsaid: bool

    @property
    def said(self) -> tuple[str, bytes, bytes]:
        """What the board says of itself."""
        return self.firmware, self.firmware_hash, self.schema_hash

    def encode(self) -> bytes:
        """The entry, deterministic CBOR."""
        return cbor.encode(
            {
                0: 11,
                1: self.board,
                2: self.firmware,
                3: self.firmware_hash,
                4: self.schema_hash,
                5: self.at,
                6: int(self.unsaid),
            }
        )


def seen(board: Board, at: int, *, unsaid: bool = False) -> BoardSeen:
    """What the log says of a board that said hello."""
    return BoardSeen(
        sha256(board.board_id.encode())[:BOARD_BYTES],
        firmware_words(board.firmware),
        board.firmware_hash,
        board.schema_hash,
        at,
        unsaid,
    )


def firmware_words(text: str) -> str:
    """Printable ASCII on one line, without quotes and backslashes, cut to MAX_FIRMWARE_CHARACTERS; a board may say anything."""
    plain = "".join(c if c.isascii() and c.isprintable() and c not in "\"'\\" else "?" for c in text)
    return plain if len(plain) <= MAX_FIRMWARE_CHARACTERS else plain[: MAX_FIRMWARE_CHARACTERS - 3] + "..."


def decode_board_seen(item: dict[Any, Any]) -> BoardSeen:
    """The inverse of `encode`, of the decoded map; raises EncodingError."""
    match item:
        case {1: bytes(board), 2: str(firmware), 3: bytes(hashed), 4: bytes(schema), 5: int(at), 6: int(unsaid)} if (
            (len(item), len(board), len(hashed), len(schema)) == (7, BOARD_BYTES, 32, 32)
            and firmware_words(firmware) == firmware != ""
            and 0 <= at < MAX_INSTANT
            and unsaid in (0, 1)
        ):
            return BoardSeen(board, firmware, hashed, schema, at, bool(unsaid))
    raise EncodingError(
        "board seen", expected="its digest, plain words, two hashes, an instant and 0 or 1", got="another shape"
    )
