"""Both ways through a READINGS body: what the template reads is what the strict decoder reads, and it never accepts more."""

import itertools

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
from agent.errors import MessageError
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


def by_cbor(data: bytes, count: int) -> object:
    """What the strict decoder finds, or the words of its refusal."""
    try:
        return tuple(batch._by_cbor(memoryview(data), count))
    except MessageError as bad:
        return str(bad)


COUNTS = (0, 1, 11, 12, 23, 24, 127, 128, 255, 256, 4096)


@pytest.mark.parametrize("count", COUNTS)
def test_the_template_reads_every_ordinary_body(count: int) -> None:
    """Every form that a board sends goes the short way, and comes out the same."""
    forms = itertools.product((0, 1, 23, 24, 255), (False, True), (None, 0, 6, 16))
    for channel, values, width in forms:
        data = body(channel, count, values=values, width=width)
        short = batch._by_template(memoryview(data), count)
        assert short is not None
        assert tuple(short) == by_cbor(data, count)


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
def test_the_template_never_accepts_more(
    count: int,
    channel: int,
    values: bool,
    width: int | None,
    claimed: int,
    edits: list[tuple[int, int]],
    cut: int,
) -> None:
    """Bytes changed, cut, added, another number of readings claimed: whatever the short way reads, the strict decoder reads too."""
    data = bytearray(body(channel, count, values=values, width=width))
    for at, value in edits:
        data[at % len(data)] = value
    changed = bytes(data[:cut] if cut < 0 else data + bytes(cut))
    readings = max(0, count + claimed)
    short = batch._by_template(memoryview(changed), readings)
    if short is not None:
        assert tuple(short) == by_cbor(changed, readings)


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
            short = batch._by_template(memoryview(changed), 4)
            assert short is None or (at == 2 and tuple(short) == by_cbor(bytes(changed), 4))


@pytest.mark.parametrize(
    ("columns", "tail", "words"),
    [
        (body(256, 2), b"", "channel"),
        (body(True, 2), b"", "channel"),
        (body(0, 2, width=17), b"", "at most 16 bytes each"),
        (body(0, 2, width=6), bytes(11), "one a reading"),
        (body(0, 2), b"\0", "one a reading"),
        (body(0, 3), b"", "ages"),
        (body(0, 2)[:-1], b"", "CBOR"),
        (b"\xa0", b"", "keys 0 to 2"),
    ],
)
def test_refusals_name_the_column(columns: bytes, tail: bytes, words: str) -> None:
    header = Header(Kind.READINGS, 2, 0, 0, 10**12, len(columns))
    with pytest.raises(MessageError, match=words):
        batch.decode(header, memoryview(header.pack() + columns + tail))


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
