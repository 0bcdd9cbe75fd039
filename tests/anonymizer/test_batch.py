"""A READINGS body is read by comparing bytes: just what the strict decoder reads, and nothing is copied of what is refused."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.anonymizer import batch
from agent.contracts.reading import (
    HEADER,
    TAG_UINT8,
    TAG_UINT16_LE,
    TAG_UINT32_LE,
    Body,
    Header,
    Kind,
)
from agent.errors import EncodingError, MessageError
from agent.wire import cbor


def body(channel: object, count: int, *, values: bool = False, width: object = None) -> bytes:
    """A body of `count` readings."""
    columns: dict[int, object] = {
        Body.CHANNEL.value: channel,
        Body.AGES.value: cbor.CBORTag(TAG_UINT16_LE, bytes(i % 200 for i in range(2 * count))),
        Body.CLASSES.value: cbor.CBORTag(TAG_UINT8, bytes(i % 7 for i in range(count))),
    }
    if values:
        columns[Body.VALUES.value] = cbor.CBORTag(TAG_UINT32_LE, bytes(i % 251 for i in range(4 * count)))
    if width is not None:
        columns[Body.IDENTIFIER_LENGTH.value] = width
    return cbor.encode(columns)


def by_cbor(data: bytes, count: int) -> tuple[object, ...] | None:
    """What the strict decoder finds, None when it refuses."""
    try:
        item = cbor.decode(data, max_depth=3)
    except EncodingError:
        return None
    if not isinstance(item, dict) or not {0, 1, 2} <= set(item) <= set(Body):
        return None
    channel, width = item[Body.CHANNEL], item.get(Body.IDENTIFIER_LENGTH, 0)
    if type(channel) is not int or not 0 <= channel <= 255 or type(width) is not int or not 0 <= width <= 16:
        return None
    columns: list[bytes | None] = []
    for key, tag, size in (
        (Body.AGES, TAG_UINT16_LE, 2),
        (Body.CLASSES, TAG_UINT8, 1),
        (Body.VALUES, TAG_UINT32_LE, 4),
    ):
        found = item.get(key, cbor.CBORTag(tag, None) if key is Body.VALUES else None)
        if not isinstance(found, cbor.CBORTag) or found.tag != tag:
            return None
        if key in item and (not isinstance(found.value, bytes) or len(found.value) != size * count):
            return None
        columns.append(found.value)
    return (channel, *columns, width)


def by_template(data: bytes, count: int) -> tuple[object, ...] | None:
    """What the comparison finds, None when it refuses."""
    try:
        return tuple(batch._columns(memoryview(data), count))
    except MessageError:
        return None


COUNTS = (0, 1, 11, 12, 23, 24, 127, 128, 255, 256, 4096)


@pytest.mark.parametrize("count", COUNTS)
def test_the_template_reads_every_ordinary_body(count: int) -> None:
    """Every form that a board sends."""
    forms = itertools.product((0, 1, 23, 24, 255), (False, True), (None, 0, 6, 16))
    for channel, values, width in forms:
        data = body(channel, count, values=values, width=width)
        found = by_template(data, count)
        assert found is not None
        assert found == by_cbor(data, count)


@given(
    count=st.integers(0, 40),
    channel=st.integers(0, 300),
    values=st.booleans(),
    width=st.none() | st.integers(0, 30),
    claimed=st.integers(-1, 1),
    edits=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=3),
    cut=st.integers(-3, 3),
)
@example(count=3, channel=5, values=False, width=None, claimed=0, edits=[(1, 1)], cut=0)
@example(count=3, channel=24, values=False, width=None, claimed=0, edits=[(3, 5)], cut=0)
def test_the_template_accepts_what_the_strict_decoder_accepts(
    count: int,
    channel: int,
    values: bool,
    width: int | None,
    claimed: int,
    edits: list[tuple[int, int]],
    cut: int,
) -> None:
    """Bytes changed, cut, added, another number of readings claimed: both read the same, or both refuse."""
    data = bytearray(body(channel, count, values=values, width=width))
    for at, value in edits:
        data[at % len(data)] = value
    changed = bytes(data[:cut] if cut < 0 else data + bytes(cut))
    readings = max(0, count + claimed)
    assert by_template(changed, readings) == by_cbor(changed, readings)


@pytest.mark.parametrize("at", range(16))
def test_each_constant_byte_is_compared(at: int) -> None:
    """A body whose heads differ in one bit anywhere is not read by the template, or is one that the strict decoder reads alike."""
    good = body(5, 4)
    heads = [0, 1, 2, 3, 4, 5, 6, 15, 16, 17, 18]
    assert len(good) == 23
    assert [good[i] for i in heads] == [0xA3, 0, 5, 1, 0xD8, 69, 0x48, 2, 0xD8, 64, 0x44]
    if at in heads:
        for bit in range(8):
            changed = bytearray(good)
            changed[at] ^= 1 << bit
            found = by_template(bytes(changed), 4)
            assert found is None or (at == 2 and found == by_cbor(bytes(changed), 4))


@pytest.mark.parametrize(
    ("columns", "tail", "words"),
    [
        (body(256, 2), b"", "channel"),
        (body(True, 2), b"", "channel"),
        (body(0, 2, width=17), b"", "at most 16 bytes each"),
        (body(0, 2, width=6), bytes(11), "one a reading"),
        (body(0, 2), b"\0", "one a reading"),
        (body(0, 3), b"", "ages"),
        (body(0, 2)[:-1], b"", "classes"),
        (body(0, 2, values=True)[:-1], b"", "nothing after them"),
        (body(0, 2, width=6), bytes(12)[:0], "one a reading"),
        (b"\xa0", b"", "keys 0 to 2"),
        (b"", b"", "keys 0 to 2"),
    ],
)
def test_refusals_name_the_column(columns: bytes, tail: bytes, words: str) -> None:
    header = Header(Kind.READINGS, 2, 0, 0, 10**12, len(columns))
    with pytest.raises(MessageError, match=words):
        batch.decode(header, memoryview(header.pack() + columns + tail))


class Watched:
    """A receive buffer that notes which of its bytes were copied."""

    def __init__(self, view: memoryview, copied: set[int], at: int = 0) -> None:
        self._view, self._copied, self._at = view, copied, at

    def __len__(self) -> int:
        return len(self._view)

    def __getitem__(self, key: int | slice) -> "int | Watched":
        if isinstance(key, slice):
            return Watched(self._view[key], self._copied, self._at + key.indices(len(self._view))[0])
        return self._view[key]

    def __eq__(self, other: object) -> bool:
        return self._view == other

    __hash__ = None  # type: ignore[assignment]  # like the memoryview of a buffer that can be written

    def tobytes(self) -> bytes:
        self._copied.update(range(self._at, self._at + len(self._view)))
        return self._view.tobytes()

    __bytes__ = tobytes


IDENTIFIERS = b"".join(bytes((2, 0xAA, 0xBB, 0xCC, 0xDD, n)) for n in range(5))


def copied_of(by: Callable[[Header, memoryview], object], claimed: int, **columns: Any) -> tuple[bool, int]:
    """(was it refused, how many bytes of identifiers were copied) when a body claims to be `claimed` bytes longer than it is."""
    data = body(3, 5, **columns)
    header = Header(Kind.READINGS, 5, 0, 0, 10**12, len(data) + claimed)
    copied: set[int] = set()
    message: Any = Watched(memoryview(header.pack() + data + IDENTIFIERS), copied)
    identifiers = range(HEADER.size + len(data), HEADER.size + len(data) + len(IDENTIFIERS))
    try:
        by(header, message)
    except (MessageError, EncodingError):
        return True, len(copied & set(identifiers))
    return False, len(copied & set(identifiers))


@pytest.mark.parametrize("values", [False, True])
@pytest.mark.parametrize("width", [None, 0, 5, 6, 7])
def test_identifiers_in_a_body_that_claims_to_be_longer_are_not_copied(values: bool, width: int | None) -> None:
    """AN-60, AN-412: whatever a body's length says, it is refused where it stands; the control copies what it decodes."""
    for claimed in range(-10, len(IDENTIFIERS) + 1):
        refused, copied = copied_of(batch.decode, claimed, values=values, width=width)
        assert refused == (claimed != 0 or width != 6)
        assert copied == 0

    def strict(header: Header, message: memoryview) -> object:
        return cbor.decode(bytes(message[HEADER.size : HEADER.size + header.body_length]))

    assert copied_of(strict, len(IDENTIFIERS), values=values, width=width) == (True, len(IDENTIFIERS))


def test_ages_over_a_minute_are_refused() -> None:
    """The limit itself is not."""
    for age, fine in ((60_000, True), (60_001, False)):
        columns = cbor.encode(
            {
                0: 0,
                1: cbor.CBORTag(TAG_UINT16_LE, age.to_bytes(2, "little") + bytes(2)),
                2: cbor.CBORTag(TAG_UINT8, bytes((3, 4))),
            }
        )
        header = Header(Kind.READINGS, 2, 0, 0, 10**12, len(columns))
        message = memoryview(header.pack() + columns)
        assert header.body_length == len(message) - HEADER.size
        if fine:
            decoded = batch.decode(header, message)
            assert decoded.times_boot_ns.tolist() == [10**12 - 60_000_000_000, 10**12]
            assert decoded.classes.tolist() == [3, 4]
        else:
            with pytest.raises(MessageError, match="ages"):
                batch.decode(header, message)
