"""Frames of the serial protocol (SPEC.md): encode one, and decode a stream that arrives in any pieces.

Invariants of the Decoder:
- it holds at most one preallocated buffer, whatever arrives;
- a damaged frame costs at most itself: decoding goes on at the next 0x00;
- nothing of a frame is copied out: a Frame's `body` and `identifiers` are slices of the buffer, valid until the next frame is
  asked for; then they are released and the buffer is overwritten. An identifier never becomes a `bytes` object.
"""

import enum
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from agent.contracts.board import MAX_HELLO_BYTES
from agent.contracts.reading import MAX_IDENTIFIER_BYTES
from agent.errors import FrameError
from agent.wire.buffers import Buffer
from agent.wire.crc32c import crc32c
from firmware_bridge import cobs

VERSION = 1
HEADER = struct.Struct("<BBIQHH")
CRC = struct.Struct("<I")

MAX_FRAME_BYTES = 8192
"""A full batch of 256 readings with values and 16-byte identifiers is under 6,000 bytes; a microcontroller must be able to hold one."""

MAX_READINGS = 256
"""A second of the busiest street at 20 frames a second is far less; bounds the columns and the identifiers."""

MAX_ENCODED_BYTES = cobs.max_encoded_bytes(MAX_FRAME_BYTES)
"""What a frame of MAX_FRAME_BYTES can grow to before its 0x00."""

CHUNK_BYTES = 4096
"""Room behind the longest partial frame, so that a read of the tty (at most 4,095 bytes, N_TTY) is taken whole."""

_ZEROS = memoryview(bytes(MAX_ENCODED_BYTES + 1 + CHUNK_BYTES))


class Type(enum.IntEnum):
    """What a frame says."""

    HELLO_REQUEST = 1
    HELLO = 2
    READINGS = 3
    HEARTBEAT = 4


class Damage(enum.StrEnum):
    """Why bytes between two 0x00 were not a frame (FB-8)."""

    TOO_LONG = "too_long"
    COBS = "cobs"
    CRC = "crc"
    VERSION = "version"
    TYPE = "type"
    LENGTH = "length"


EXPECTED = {
    Damage.TOO_LONG: f"at most {MAX_FRAME_BYTES} bytes before the next 0x00",
    Damage.COBS: "COBS (FB-2)",
    Damage.CRC: "a CRC-32C that starts with our schema hash (FB-6)",
    Damage.VERSION: f"version {VERSION}",
    Damage.TYPE: "type 1 to 4",
    Damage.LENGTH: "lengths and counts that agree (FB-7)",
}

UNSEEDED = (Type.HELLO_REQUEST, Type.HELLO)
"""Readable whatever schema the other end has, so that it can be named."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame. `board_ms` is the sender's monotonic milliseconds; `body` is CBOR as in reading.cddl, `identifiers` packed."""

    type: Type
    sequence: int
    board_ms: int
    reading_count: int
    body: Buffer
    identifiers: Buffer


def crc_seed(schema_hash: bytes) -> int:
    """What the CRC of READINGS and HEARTBEAT continues from: the first 4 bytes of the schema hash, little endian."""
    return int(CRC.unpack_from(schema_hash)[0])


def encode(frame: Frame, schema_hash: bytes) -> bytes:
    """The frame as it goes over the wire, with its ending 0x00; raise FrameError when its lengths break FB-7.

    For a board: its own readings become `bytes` here. The bridge only ever encodes HELLO_REQUEST.
    """
    total = HEADER.size + len(frame.body) + len(frame.identifiers) + CRC.size
    if total > MAX_FRAME_BYTES or not _agree(frame.type, frame.reading_count, len(frame.body), len(frame.identifiers)):
        raise FrameError("frame to send", expected=EXPECTED[Damage.LENGTH], got="others")
    plain = bytearray(
        HEADER.pack(VERSION, frame.type, frame.sequence, frame.board_ms, frame.reading_count, len(frame.body))
    )
    plain += frame.body
    plain += frame.identifiers
    plain += CRC.pack(crc32c(plain, 0 if frame.type in UNSEEDED else crc_seed(schema_hash)))
    return bytes(cobs.encode(plain)) + b"\0"


class Decoder:
    """Turns pieces of a byte stream into Frames; `damaged` counts by kind what was not one."""

    def __init__(self, schema_hash: bytes) -> None:
        self._seed = crc_seed(schema_hash)
        self._buffer = bytearray(len(_ZEROS))
        self._view = memoryview(self._buffer)  # also pins the size: a bytearray with a view cannot grow
        self._held = 0  # bytes of an unfinished frame at the front; everything behind them is zero
        self._skipping = False  # inside a frame that was too long: drop up to the next 0x00
        self.damaged: dict[Damage, int] = dict.fromkeys(Damage, 0)

    def feed(self, chunk: memoryview) -> Iterator[Frame]:
        """Take all of `chunk` and yield each whole frame in it. A consumer that stops before the end loses the rest.

        Raises nothing. A yielded frame is valid until the next one is asked for.
        """
        while len(chunk):
            taken = min(len(chunk), len(self._buffer) - self._held)
            self._view[self._held : self._held + taken] = chunk[:taken]
            chunk = chunk[taken:]
            yield from self._frames(self._held + taken)

    def clear(self) -> None:
        """Forget an unfinished frame: the line was opened anew."""
        self._wipe(0, self._held)
        self._held = 0
        self._skipping = False

    def _frames(self, filled: int) -> Iterator[Frame]:
        start = 0
        search = self._held
        self._held = filled
        try:
            while (end := self._buffer.find(0, search, filled)) >= 0:
                yield from self._frame(start, end)
                self._wipe(start, end)
                start = search = end + 1
        except BaseException:  # the consumer gave up in the middle
            self.clear()
            raise
        self._keep(start, filled)

    def _frame(self, start: int, end: int) -> Iterator[Frame]:
        if self._skipping:
            self._skipping = False
            return
        if start == end:
            return  # 0x00 0x00: an idle line, or a board that clears the line before a frame
        if end - start > MAX_ENCODED_BYTES:
            self.damaged[Damage.TOO_LONG] += 1
            return
        frame = self._open(self._view[start:end])
        if isinstance(frame, Damage):
            self.damaged[frame] += 1
            return
        try:
            yield frame
        finally:
            for part in (frame.body, frame.identifiers):
                if isinstance(part, memoryview):
                    part.release()  # a consumer that kept it gets ValueError, not another frame's bytes

    def _keep(self, start: int, filled: int) -> None:
        """Move what is behind the last 0x00 to the front and clear the rest; give up a frame that is too long already."""
        rest = filled - start
        if self._skipping or rest > MAX_ENCODED_BYTES:
            if not self._skipping:
                self.damaged[Damage.TOO_LONG] += 1
                self._skipping = True
            self._wipe(start, filled)
            self._held = 0
            return
        self._view[:rest] = self._view[start:filled]  # may overlap: a memmove
        self._wipe(rest, filled)
        self._held = rest

    def _open(self, encoded: memoryview) -> Frame | Damage:
        length = cobs.decode_in_place(encoded)
        if length is None:
            return Damage.COBS
        if length > MAX_FRAME_BYTES:
            return Damage.TOO_LONG
        if length < HEADER.size + CRC.size:
            return Damage.LENGTH
        end = length - CRC.size
        (checksum,) = CRC.unpack_from(encoded, end)
        version, number, sequence, board_ms, count, body_length = HEADER.unpack_from(encoded)
        known = number in Type._value2member_map_
        seeds = (0, self._seed) if not known else (0,) if number in UNSEEDED else (self._seed,)
        if all(crc32c(encoded[:end], seed) != checksum for seed in seeds):
            return Damage.CRC
        if version != VERSION:
            return Damage.VERSION
        if not known:
            return Damage.TYPE
        body_end = HEADER.size + body_length
        if body_end > end or not _agree(Type(number), count, body_length, end - body_end):
            return Damage.LENGTH
        return Frame(Type(number), sequence, board_ms, count, encoded[HEADER.size : body_end], encoded[body_end:end])

    def _wipe(self, start: int, end: int) -> None:
        self._view[start:end] = _ZEROS[: end - start]


def _agree(kind: Type, reading_count: int, body_bytes: int, identifier_bytes: int) -> bool:
    """FB-7: may a frame of this type have these lengths?"""
    match kind:
        case Type.READINGS:
            return (
                1 <= reading_count <= MAX_READINGS
                and body_bytes > 0
                and identifier_bytes % reading_count == 0
                and identifier_bytes <= MAX_IDENTIFIER_BYTES * reading_count
            )
        case Type.HELLO:
            return reading_count == 0 and 0 < body_bytes <= MAX_HELLO_BYTES and identifier_bytes == 0
        case Type.HELLO_REQUEST | Type.HEARTBEAT:
            return reading_count == 0 and body_bytes == 0 and identifier_bytes == 0
