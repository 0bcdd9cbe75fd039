"""A batch of readings as it comes through reading.sock, and what a board's hello means for a stream. Pure.

Invariant: identifiers are never copied: their length is checked, and what is handed on is a slice of the receive buffer.
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
from agent.errors import EncodingError, MessageError
from agent.policy.model import Stream
from agent.wire import cbor

_MAX_BOOT_NS = 1 << 62
_MINUS_MS_NS = np.int64(-1_000_000)
_UINT32_LE, _UINT16_LE, _UINT8 = np.dtype("<u4"), np.dtype("<u2"), np.dtype(np.uint8)
_MAP = 0xA0
_ONE_BYTE = 24
"""CBOR (RFC 8949 section 3): the initial byte of a map less its number of keys; the additional information before an 8-bit argument."""


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
    columns = _by_template(body, count) or _by_cbor(body, count)
    identifiers = message[HEADER.size + header.body_length :]
    if len(identifiers) != columns.identifier_bytes * count:
        raise MessageError("reading.sock identifiers", expected="one a reading", got="another length")
    if not _is_whole(columns.channel, 255):
        raise MessageError("reading.sock channel", expected="a channel's number", got="other")
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
    """A body, taken apart: `ages`, `classes` and `values` are the contents of their typed arrays. `channel` is still to be checked."""

    channel: int
    ages: bytes
    classes: bytes
    values: bytes | None
    identifier_bytes: int


def _by_template(body: memoryview, count: int) -> _Columns | None:
    """The columns of a body of `count` readings, or None to let `_by_cbor` say what is wrong with it.

    A body has one deterministic encoding once its keys, its channel and its number of readings are known: constant bytes around columns
    of known length. A body with those bytes is what `_by_cbor` would accept, and is read without looking at any other byte.
    """
    if len(body) < 3 * count + 4:
        return None
    before_ages, before_classes, before_values = _constants(count)
    fixed = body[:4].tobytes()
    at, channel = (3, fixed[2]) if fixed[2] < _ONE_BYTE else (4, fixed[3])
    ages = at + len(before_ages)
    classes = ages + 2 * count + len(before_classes)
    end = classes + count
    if (
        fixed[1] != Body.CHANNEL
        or (at == 4 and (fixed[2] != _ONE_BYTE or channel < _ONE_BYTE))
        or body[at:ages] != before_ages
        or body[ages + 2 * count : classes] != before_classes
    ):
        return None
    keys, identifier_bytes, values = 3, 0, None
    if body[end : end + len(before_values)] == before_values:
        at_values, end = end + len(before_values), end + len(before_values) + 4 * count
        keys, values = keys + 1, body[at_values:end].tobytes()
    if end + 2 == len(body) and body[end] == Body.IDENTIFIER_LENGTH and body[end + 1] <= MAX_IDENTIFIER_BYTES:
        keys, identifier_bytes, end = keys + 1, body[end + 1], end + 2
    if end != len(body) or fixed[0] != _MAP + keys:
        return None
    return _Columns(
        channel,
        body[ages : ages + 2 * count].tobytes(),
        body[classes : classes + count].tobytes(),
        values,
        identifier_bytes,
    )


@lru_cache(maxsize=1024)
def _constants(count: int) -> tuple[bytes, bytes, bytes]:
    """What stands before the ages, classes and values of `count` readings: key, tag and the byte string's head."""
    columns = ((Body.AGES, TAG_UINT16_LE, 2), (Body.CLASSES, TAG_UINT8, 1), (Body.VALUES, TAG_UINT32_LE, 4))
    ages, classes, values = (
        cbor.encode({key.value: cbor.CBORTag(tag, bytes(width * count))})[1 : -width * count or None]
        for key, tag, width in columns
    )
    return ages, classes, values


def _by_cbor(body: memoryview, count: int) -> _Columns:
    """The columns of any body; raise MessageError."""
    try:
        item = cbor.decode(bytes(body), max_depth=3)
    except EncodingError as bad:
        raise MessageError("reading.sock readings", expected="deterministic CBOR", got=bad.expected) from None
    if not isinstance(item, dict) or not {Body.CHANNEL, Body.AGES, Body.CLASSES} <= set(item) <= set(Body):
        raise MessageError(
            "reading.sock readings", expected="a map with the keys 0 to 2, perhaps 3 and 4", got="another"
        )
    ages = _column(item[Body.AGES], TAG_UINT16_LE, 2, count, "ages")
    classes = _column(item[Body.CLASSES], TAG_UINT8, 1, count, "classes")
    values = _column(item[Body.VALUES], TAG_UINT32_LE, 4, count, "values") if Body.VALUES in item else None
    width = item.get(Body.IDENTIFIER_LENGTH, 0)
    if not _is_whole(width, MAX_IDENTIFIER_BYTES):
        raise MessageError(
            "reading.sock identifiers", expected=f"at most {MAX_IDENTIFIER_BYTES} bytes each", got="other"
        )
    return _Columns(item[Body.CHANNEL], ages, classes, values, width)


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
