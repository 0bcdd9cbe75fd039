"""A batch of readings as it comes through reading.sock, and what a board's hello means for a stream. Pure.

Invariant: identifiers are never copied: their length is checked and nothing here touches them (no stream counts them yet).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.contracts.board import Board
from agent.contracts.reading import (
    HEADER,
    MAX_AGE_MS,
    MAX_IDENTIFIER_BYTES,
    TAG_UINT8,
    TAG_UINT16_LE,
    TAG_UINT32_LE,
    Body,
    Header,
)
from agent.errors import EncodingError, MessageError
from agent.policy.model import Stream
from agent.wire import cbor

_MAX_BOOT_NS = 1 << 62
_MS_NS = 1_000_000


@dataclass(frozen=True, slots=True)
class Batch:
    """`channel` is the number in the board's hello; the columns have one item a reading."""

    channel: int
    times_boot_ns: NDArray[np.int64]
    classes: NDArray[np.uint8]


def decode(header: Header, message: memoryview) -> Batch:
    """Decode a READINGS message; raise MessageError naming the column."""
    try:
        body = cbor.decode(bytes(message[HEADER.size : HEADER.size + header.body_length]), max_depth=3)
    except EncodingError as bad:
        raise MessageError("reading.sock readings", expected="deterministic CBOR", got=bad.expected) from None
    if not isinstance(body, dict) or not {Body.CHANNEL, Body.AGES, Body.CLASSES} <= set(body) <= set(Body):
        raise MessageError(
            "reading.sock readings", expected="a map with the keys 0 to 2, perhaps 3 and 4", got="another"
        )
    count = header.reading_count
    ages = np.frombuffer(_column(body[Body.AGES], TAG_UINT16_LE, 2, count, "ages"), dtype="<u2").astype(np.int64)
    classes = np.frombuffer(_column(body[Body.CLASSES], TAG_UINT8, 1, count, "classes"), dtype=np.uint8)
    if Body.VALUES in body:
        _column(body[Body.VALUES], TAG_UINT32_LE, 4, count, "values")
    width = body.get(Body.IDENTIFIER_LENGTH, 0)
    if not _is_whole(width, MAX_IDENTIFIER_BYTES):
        raise MessageError(
            "reading.sock identifiers", expected=f"at most {MAX_IDENTIFIER_BYTES} bytes each", got="other"
        )
    if len(message) - HEADER.size - header.body_length != width * count:
        raise MessageError("reading.sock identifiers", expected="one a reading", got="another length")
    if not _is_whole(body[Body.CHANNEL], 255):
        raise MessageError("reading.sock channel", expected="a channel's number", got="other")
    if header.received_boot_ns >= _MAX_BOOT_NS or (count and int(ages.max()) > MAX_AGE_MS):
        raise MessageError("reading.sock ages", expected=f"at most {MAX_AGE_MS} ms", got="more")
    return Batch(body[Body.CHANNEL], header.received_boot_ns - ages * _MS_NS, classes)


def class_table(board: Board, stream: Stream) -> tuple[int, NDArray[np.int64]] | None:
    """(channel number, policy class index for each of 256 board class numbers, -1 for none), or None.

    None when the board has no such counting channel or the channel lacks a class of the policy: then it does not measure
    this stream.
    """
    for number, channel in enumerate(board.channels):
        if (
            channel.name == stream.channel
            and channel.kind == stream.kind
            and set(stream.classes) <= set(channel.classes)
        ):
            table = np.full(256, -1, dtype=np.int64)
            for place, name in enumerate(channel.classes):
                if name in stream.classes:
                    table[place] = stream.classes.index(name)
            return number, table
    return None


def _column(item: object, tag: int, width: int, count: int, name: str) -> bytes:
    if (
        isinstance(item, cbor.CBORTag)
        and item.tag == tag
        and isinstance(item.value, bytes)
        and len(item.value) == width * count
    ):
        return item.value
    raise MessageError(f"reading.sock {name}", expected=f"tag {tag} around one item a reading", got="other")


def _is_whole(value: object, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= high
