"""reading.sock: firmware-bridge -> anonymizer. SOCK_SEQPACKET, one message a packet, nothing is answered.

    header 26 bytes | body (deterministic CBOR, as the board sent it) | identifiers (packed, fixed width, may be empty)

The bridge forwards `body` and `identifiers` unopened. Both sides hold a message in one reused buffer that is overwritten
when the message has been dealt with, and pass slices of it: an identifier must never become a `bytes` object, because
CPython does not clear freed memory. Only the anonymizer and the bridge may import this file.
"""

import enum
import struct
from dataclasses import dataclass

from agent.errors import MessageError

MAX_MESSAGE_BYTES = 16 * 1024
"""A board's frame is at most 8 KiB (firmware_bridge/SPEC.md); twice that leaves room and bounds the buffer."""

HEADER = struct.Struct("<BBHIQQH")
VERSION = 1

MAX_IDENTIFIER_BYTES = 16
"""The longest we know is a UUID; a MAC address has 6."""

MAX_AGE_MS = 60_000
"""A reading older than a minute when its frame was sent is not one that a live board batches."""


class Kind(enum.IntEnum):
    """What a message says."""

    BOARD = 1
    """A board said hello; body is its hello (contracts/board). Every later READINGS is from this board."""
    READINGS = 2
    """A batch; body is the frame's body (keys in `Body`), identifiers may follow."""
    BOARD_GONE = 3
    """The board or its tty went away; no body. Until the next BOARD nothing is being measured."""
    ALIVE = 4
    """The board is connected and may have had nothing to report; no body. Sent once a second: it is what coverage counts."""


class Body(enum.IntEnum):
    """Keys of a READINGS body. Columns are RFC 8746 typed arrays of equal length."""

    CHANNEL = 0
    """Unsigned: the channel's number in the board's hello."""
    AGES = 1
    """Tag 69 (uint16, little endian): milliseconds before the frame's board time, each <= MAX_AGE_MS."""
    CLASSES = 2
    """Tag 64 (uint8): index into the channel's classes."""
    VALUES = 3
    """Tag 70 (uint32, little endian), optional: a measured value a reading, in the channel's unit."""
    IDENTIFIER_LENGTH = 4
    """Unsigned, optional: bytes an identifier, at most MAX_IDENTIFIER_BYTES; the message then ends with `reading_count` of them."""


TAG_UINT8 = 64
TAG_UINT16_LE = 69
TAG_UINT32_LE = 70


@dataclass(frozen=True, slots=True)
class Header:
    """The fixed part of a message.

    `board_ms` is the board's monotonic clock when it sent the frame, `received_boot_ns` the host's CLOCK_BOOTTIME when
    the frame had arrived. `sequence` is the frame's (32 bits, wraps).
    """

    kind: Kind
    reading_count: int
    sequence: int
    board_ms: int
    received_boot_ns: int
    body_length: int

    def pack(self) -> bytes:
        """The 26 header bytes."""
        return HEADER.pack(
            self.kind,
            VERSION,
            self.reading_count,
            self.sequence,
            self.board_ms,
            self.received_boot_ns,
            self.body_length,
        )


_KINDS = {kind.value: kind for kind in Kind}


def unpack_header(message: memoryview | bytes | bytearray) -> Header:
    """Read the header of one whole message; raise MessageError when message and header disagree."""
    if len(message) < HEADER.size:
        raise MessageError("reading.sock", expected=f"at least {HEADER.size} bytes", got=str(len(message)))
    kind, version, count, sequence, board_ms, received, body_length = HEADER.unpack_from(message)
    if version != VERSION:
        raise MessageError("reading.sock version", expected=str(VERSION), got=str(version))
    known = _KINDS.get(kind)
    if known is None:
        raise MessageError("reading.sock kind", expected="1 to 4", got=str(kind))
    if HEADER.size + body_length > len(message):
        raise MessageError("reading.sock body", expected=f"{body_length} bytes", got=str(len(message) - HEADER.size))
    return Header(known, count, sequence, board_ms, received, body_length)
