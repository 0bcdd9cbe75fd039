"""A batch of readings as it comes through reading.sock, and what a board's hello means for a stream. Pure.

Invariant: identifiers are never copied, also of a message whose lengths are wrong: only columns that stand where they should are copied, and
what is handed on of identifiers is a slice of the receive buffer.
"""

from functools import lru_cache
from typing import NamedTuple

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
from agent.errors import MessageError
from agent.policy.model import Stream
from agent.wire import cbor

_MAX_BOOT_NS = 1 << 62
_MINUS_MS_NS = np.int64(-1_000_000)
_UINT32_LE, _UINT16_LE, _UINT8 = np.dtype("<u4"), np.dtype("<u2"), np.dtype(np.uint8)
_MAP = 0xA0
_ONE_BYTE = 24
"""CBOR (RFC 8949 section 3): the initial byte of a map less its number of keys; the additional information before an 8-bit argument."""

_KEYS, _CHANNEL, _IDENTIFIER_LENGTH = len(Body), Body.CHANNEL.value, Body.IDENTIFIER_LENGTH.value
"""Looked up once: an enumeration takes its time, and a message is a few microseconds."""

_LEAST = 4
"""No body is shorter than what is read of it before its columns."""


class Batch(NamedTuple):
    """`channel` is the number in the board's hello; the columns have one item a reading, `values` is None without that column.

    Every reading was taken at `oldest_boot_ns` or later, and at `newest_boot_ns` or earlier. `identifiers` are packed, `width` bytes each, and
    stand in the receive buffer: whoever wants them takes them before the next message comes.
    """

    channel: int
    times_boot_ns: NDArray[np.int64]
    classes: NDArray[np.uint8]
    values: NDArray[np.uint32] | None
    identifiers: memoryview
    width: int
    oldest_boot_ns: int
    newest_boot_ns: int


def decode(header: Header, message: memoryview) -> Batch:
    """Decode a READINGS message; raise MessageError naming the column."""
    body = message[HEADER.size : HEADER.size + header.body_length]
    count = header.reading_count
    columns = _columns(body, count)
    identifiers = message[HEADER.size + header.body_length :]
    if len(identifiers) != columns.identifier_bytes * count:
        raise MessageError("reading.sock identifiers", expected="one a reading", got="another length")
    ages = np.frombuffer(columns.ages, dtype=_UINT16_LE)
    oldest_ms = int(np.maximum.reduce(ages)) if count else 0
    if header.received_boot_ns >= _MAX_BOOT_NS or oldest_ms > MAX_AGE_MS:
        raise MessageError("reading.sock ages", expected=f"at most {MAX_AGE_MS} ms", got="more")
    times = ages * _MINUS_MS_NS
    times += header.received_boot_ns
    return Batch(
        channel=columns.channel,
        times_boot_ns=times,
        classes=np.frombuffer(columns.classes, dtype=_UINT8),
        values=None if columns.values is None else np.frombuffer(columns.values, dtype=_UINT32_LE),
        identifiers=identifiers,
        width=columns.identifier_bytes,
        oldest_boot_ns=header.received_boot_ns - oldest_ms * 1_000_000,
        newest_boot_ns=header.received_boot_ns,
    )


class _Columns(NamedTuple):
    """A body, taken apart: `ages`, `classes` and `values` are the contents of their typed arrays."""

    channel: int
    ages: bytes
    classes: bytes
    values: bytes | None
    identifier_bytes: int


def _columns(body: memoryview, count: int) -> _Columns:
    """The columns of a body of `count` readings; raise MessageError naming the first that is not as it should be.

    A body has one deterministic encoding once its keys, its channel and its number of readings are known: constant bytes around columns
    of known length. So those bytes are compared where they stand. Of a body that differs nothing is copied: where its length is wrong,
    identifiers are in it.
    """
    before_ages, before_classes, before_values = _constants(count)
    if len(body) < _LEAST or not 3 <= body[0] - _MAP <= _KEYS or body[1] != _CHANNEL:
        raise _refusal("readings", "a map with the keys 0 to 2, perhaps 3 and 4")
    channel, at = (body[2], 3) if body[2] < _ONE_BYTE else (body[3], 4)
    if at == 4 and (body[2] != _ONE_BYTE or channel < _ONE_BYTE):
        raise _refusal("channel", "a channel's number")
    ages = at + len(before_ages)
    classes = ages + 2 * count + len(before_classes)
    end = classes + count
    if body[at:ages] != before_ages:
        raise _refusal("ages", f"tag {TAG_UINT16_LE} around one item a reading")
    if len(body) < end or body[ages + 2 * count : classes] != before_classes:
        raise _refusal("classes", f"tag {TAG_UINT8} around one item a reading")
    keys, identifier_bytes, values = 3, 0, None
    if body[end : end + len(before_values)] == before_values:
        values = slice(end + len(before_values), end + len(before_values) + 4 * count)
        keys, end = keys + 1, values.stop
    if end + 2 == len(body) and body[end] == _IDENTIFIER_LENGTH:
        keys, identifier_bytes, end = keys + 1, body[end + 1], end + 2
    if identifier_bytes > MAX_IDENTIFIER_BYTES:
        raise _refusal("identifiers", f"at most {MAX_IDENTIFIER_BYTES} bytes each")
    if end != len(body) or body[0] != _MAP + keys:
        raise _refusal("readings", "the columns that its keys say, and nothing after them")
    return _Columns(
        channel,
        body[ages : ages + 2 * count].tobytes(),
        body[classes : classes + count].tobytes(),
        body[values].tobytes() if values else None,
        identifier_bytes,
    )


def _refusal(column: str, expected: str) -> MessageError:
    return MessageError(f"reading.sock {column}", expected=expected, got="other")


@lru_cache(maxsize=1024)
def _constants(count: int) -> tuple[bytes, bytes, bytes]:
    """What stands before the ages, classes and values of `count` readings: key, tag and the byte string's head."""
    columns = ((Body.AGES, TAG_UINT16_LE, 2), (Body.CLASSES, TAG_UINT8, 1), (Body.VALUES, TAG_UINT32_LE, 4))
    ages, classes, values = (
        cbor.encode({key.value: cbor.CBORTag(tag, bytes(width * count))})[1 : -width * count or None]
        for key, tag, width in columns
    )
    return ages, classes, values


def class_table(board: Board, stream: Stream) -> tuple[int, NDArray[np.int64]] | None:
    """(channel number, policy class index for each of 256 board class numbers, the number of classes for none), or None.

    None when the board has no such channel of the stream's kind or the channel lacks a class of the policy: then it does not measure
    this stream. In a stream without classes every reading has index 0.
    """
    for number, channel in enumerate(board.channels):
        if (
            channel.name == stream.channel
            and channel.kind == stream.kind
            and set(stream.classes) <= set(channel.classes)
        ):
            table = np.full(256, len(stream.classes), dtype=np.int64)
            for place, name in enumerate(channel.classes):
                if name in stream.classes:
                    table[place] = stream.classes.index(name)
            return number, table
    return None
