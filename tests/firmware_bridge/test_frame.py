"""FB-1 to FB-8 and FB-16: frames, damage, bounds, and what stays in memory."""

import re
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import firmware_bridge
from agent.errors import FrameError
from agent.wire import cbor
from agent.wire.crc32c import crc32c
from firmware_bridge import cobs
from firmware_bridge.frame import CRC, HEADER, MAX_ENCODED_BYTES, Damage, Decoder, Frame, Type, encode
from firmware_bridge.schema import SCHEMA_HASH

OTHER_SCHEMA = bytes(range(32))
Plain = tuple[Type, int, int, int, bytes, bytes]


def plain(frame: Frame) -> Plain:
    """Copy a frame out, as only a test may."""
    return frame.type, frame.sequence, frame.board_ms, frame.reading_count, bytes(frame.body), bytes(frame.identifiers)


def decode(stream: bytes, decoder: Decoder | None = None, sizes: list[int] | None = None) -> list[Plain]:
    decoder = decoder or Decoder(SCHEMA_HASH)
    frames: list[Plain] = []
    at = 0
    while at < len(stream):
        size = sizes.pop(0) if sizes else len(stream)
        frames += [plain(frame) for frame in decoder.feed(memoryview(stream)[at : at + size])]
        at += size
    return frames


def readings(sequence: int = 1, count: int = 2, body: bytes = b"\xa1\x00\x00", width: int = 6) -> Frame:
    return Frame(Type.READINGS, sequence, 5000, count, body, bytes(i % 251 + 1 for i in range(count * width)))


def seal(header: bytes, rest: bytes, seed: int) -> bytes:
    """A frame with a right CRC, whatever else is wrong."""
    data = header + rest
    return bytes(cobs.encode(data + CRC.pack(crc32c(data, seed)))) + b"\0"


SEED = struct.unpack("<I", SCHEMA_HASH[:4])[0]


@st.composite
def frames(draw: st.DrawFn) -> Frame:
    kind = draw(st.sampled_from(Type))
    count, body, identifiers = 0, b"", b""
    if kind is Type.HELLO:
        body = draw(st.binary(min_size=1, max_size=300))
    elif kind is Type.READINGS:
        count = draw(st.integers(1, 256))
        body = draw(st.binary(min_size=1, max_size=600))
        identifiers = draw(st.sampled_from([0, 1, 6, 16])) * count * draw(st.binary(min_size=1, max_size=1))
    return Frame(kind, draw(st.integers(0, 2**32 - 1)), draw(st.integers(0, 2**64 - 1)), count, body, identifiers)


def test_crc_check_value() -> None:
    """FB-6: the published check value of CRC-32C."""
    assert crc32c(b"123456789") == 0xE3069283


def test_example_of_the_spec() -> None:
    """The document opens with a frame that this code decodes to what the document says."""
    text = (Path(firmware_bridge.__file__).parent / "SPEC.md").read_text()
    example = re.search(r"```\n([0-9a-f \n]+)```", text)
    assert example is not None
    (frame,) = decode(bytes.fromhex(example[1]))
    assert frame[:4] == (Type.READINGS, 7, 90_061_000, 2)
    body = cbor.decode(frame[4])
    assert (body[0], body[1].value, body[2].value, body[4]) == (0, struct.pack("<HH", 40, 12), b"\0\2", 6)
    assert frame[5].hex(" ") == "a0 b1 c2 d3 e4 f5 0a 1b 2c 3d 4e 5f"
    request = re.search(r"`((?:[0-9a-f]{2} )+00)`\.", text)
    assert request is not None
    assert decode(bytes.fromhex(request[1])) == [(Type.HELLO_REQUEST, 0, 0, 0, b"", b"")]
    assert SCHEMA_HASH[:4].hex(" ") in text


@given(st.lists(frames(), max_size=8), st.lists(st.integers(1, 5000), max_size=60))
def test_round_trip_in_any_pieces(sent: list[Frame], sizes: list[int]) -> None:
    """FB-1, FB-3: any chunking gives the same frames and no damage."""
    decoder = Decoder(SCHEMA_HASH)
    stream = b"".join(encode(frame, SCHEMA_HASH) for frame in sent)
    assert decode(stream, decoder, sizes) == [plain(frame) for frame in sent]
    assert not any(decoder.damaged.values())


def test_byte_by_byte_and_idle_zeros() -> None:
    """FB-1: zeros between frames are an idle line."""
    decoder = Decoder(SCHEMA_HASH)
    stream = b"\0\0" + encode(readings(1), SCHEMA_HASH) + b"\0" + encode(readings(2), SCHEMA_HASH)
    assert [frame[1] for frame in decode(stream, decoder, [1] * len(stream))] == [1, 2]
    assert not any(decoder.damaged.values())


def test_largest_legal_batch_fits() -> None:
    """FB-7: every batch that reading.cddl allows fits a frame."""
    tag = cbor.CBORTag
    body = cbor.encode({0: 15, 1: tag(69, bytes(512)), 2: tag(64, bytes(256)), 3: tag(70, bytes(1024)), 4: 16})
    frame = Frame(Type.READINGS, 1, 1, 256, body, b"\xaa" * 4096)
    assert decode(encode(frame, SCHEMA_HASH)) == [plain(frame)]


@given(st.lists(st.binary(max_size=12_000), min_size=2, max_size=4), st.integers(1, 4096))
@settings(max_examples=60)
def test_noise_between_frames_costs_at_most_itself(noise: list[bytes], size: int) -> None:
    """FB-8: whatever stands between frames, each frame behind a 0x00 arrives, and only those."""
    sent = [readings(i) for i in range(len(noise))]
    stream = b"".join(junk + b"\0" + encode(frame, SCHEMA_HASH) for junk, frame in zip(noise, sent, strict=True))
    received = decode(stream, sizes=[size] * (len(stream) // size + 1))
    assert received == [plain(frame) for frame in sent]


@given(st.data())
@settings(max_examples=200)
def test_one_damaged_byte_costs_at_most_the_frames_it_touches(data: st.DataObject) -> None:
    """FB-8: a changed byte costs its frame; a changed 0x00 the two that it parted."""
    sent = [readings(i, count=1 + i) for i in range(5)]
    encoded = [encode(frame, SCHEMA_HASH) for frame in sent]
    stream = bytearray(b"".join(encoded))
    at = data.draw(st.integers(0, len(stream) - 1))
    hit = next(i for i in range(5) if at < len(b"".join(encoded[: i + 1])))
    lost = {hit, hit + 1} if stream[at] == 0 else {hit}
    stream[at] ^= data.draw(st.integers(1, 255))
    decoder = Decoder(SCHEMA_HASH)
    received = decode(bytes(stream), decoder)
    assert received == [plain(frame) for i, frame in enumerate(sent) if i not in lost]
    assert sum(decoder.damaged.values()) >= (0 if lost == {4, 5} else 1)


@given(st.lists(st.binary(max_size=20_000), max_size=4))
@settings(max_examples=50)
def test_nothing_escapes_and_the_buffer_does_not_grow(pieces: list[bytes]) -> None:
    """FB-8, FB-17: any bytes at all; no exception, no frame that fails its CRC, no memory."""
    decoder = Decoder(SCHEMA_HASH)
    size = len(decoder._buffer)
    for piece in pieces:
        list(decoder.feed(memoryview(piece)))
    assert len(decoder._buffer) == size
    with pytest.raises(BufferError):
        decoder._buffer.append(0)


@pytest.mark.parametrize(
    ("kind", "damaged"),
    [
        (Damage.TOO_LONG, b"a" * (MAX_ENCODED_BYTES + 1) + b"\0"),
        (Damage.TOO_LONG, bytes(cobs.encode(b"a" * 8193)) + b"\0"),
        (Damage.COBS, b"\x09abc\0"),
        (Damage.CRC, encode(readings(), OTHER_SCHEMA)),
        (Damage.CRC, encode(readings(), SCHEMA_HASH).replace(b"\x88\x13", b"\x88\x14")),
        (Damage.VERSION, seal(HEADER.pack(2, 3, 1, 1, 1, 1), b"\xa0", SEED)),
        (Damage.TYPE, seal(HEADER.pack(1, 9, 1, 1, 0, 0), b"", SEED)),
        (Damage.TYPE, seal(HEADER.pack(1, 0, 1, 1, 0, 0), b"", 0)),
        (Damage.LENGTH, bytes(cobs.encode(b"short")) + b"\0"),
        (Damage.LENGTH, seal(HEADER.pack(1, 3, 1, 1, 1, 9), b"\xa0", SEED)),
        (Damage.LENGTH, seal(HEADER.pack(1, 3, 1, 1, 0, 1), b"\xa0", SEED)),
        (Damage.LENGTH, seal(HEADER.pack(1, 3, 1, 1, 257, 1), b"\xa0", SEED)),
        (Damage.LENGTH, seal(HEADER.pack(1, 3, 1, 1, 2, 1), b"\xa0" + b"abc", SEED)),
        (Damage.LENGTH, seal(HEADER.pack(1, 3, 1, 1, 1, 1), b"\xa0" + b"x" * 17, SEED)),
        (Damage.LENGTH, seal(HEADER.pack(1, 3, 1, 1, 1, 0), b"", SEED)),
        (Damage.LENGTH, seal(HEADER.pack(1, 2, 1, 1, 0, 0), b"", 0)),
        (Damage.LENGTH, seal(HEADER.pack(1, 2, 1, 1, 1, 1), b"\xa0", 0)),
        (Damage.LENGTH, seal(HEADER.pack(1, 4, 1, 1, 0, 1), b"\xa0", SEED)),
        (Damage.LENGTH, seal(HEADER.pack(1, 1, 1, 1, 0, 0), b"x", 0)),
    ],
)
def test_damage_is_counted_by_kind_and_the_next_frame_arrives(kind: Damage, damaged: bytes) -> None:
    """FB-8."""
    for size in (len(damaged), 7):
        decoder = Decoder(SCHEMA_HASH)
        stream = damaged + encode(readings(3), SCHEMA_HASH)
        assert [frame[1] for frame in decode(stream, decoder, [size] * (len(stream) // size + 1))] == [3]
        assert {name: count for name, count in decoder.damaged.items() if count} == {kind: 1}


def test_hello_of_another_schema_is_readable_and_readings_are_not() -> None:
    """FB-6."""
    decoder = Decoder(SCHEMA_HASH)
    hello = Frame(Type.HELLO, 1, 1, 0, b"\xa0", b"")
    heartbeat = Frame(Type.HEARTBEAT, 2, 1, 0, b"", b"")
    stream = b"".join(encode(frame, OTHER_SCHEMA) for frame in (hello, heartbeat, readings()))
    assert decode(stream, decoder) == [plain(hello)]
    assert decoder.damaged[Damage.CRC] == 2


@pytest.mark.parametrize(
    "frame",
    [
        readings(count=257),
        readings(width=17),
        readings(body=b""),
        readings(body=b"a" * 8192),
        Frame(Type.READINGS, 1, 1, 0, b"\xa0", b""),
        Frame(Type.HEARTBEAT, 1, 1, 0, b"x", b""),
        Frame(Type.HELLO, 1, 1, 0, b"x" * 4097, b""),
    ],
)
def test_impossible_frame_is_not_sent(frame: Frame) -> None:
    """FB-7: a board's side refuses what the other would."""
    with pytest.raises(FrameError, match="frame to send"):
        encode(frame, SCHEMA_HASH)


def test_slices_end_with_their_frame_and_the_buffer_is_overwritten() -> None:
    """FB-16: after the next call nothing of a frame is left in the decoder, and a kept slice is dead."""
    decoder = Decoder(SCHEMA_HASH)
    identifier = b"\xf1\xe2\xd3\xc4\xb5\xa6"
    stream = b"".join(
        encode(Frame(Type.READINGS, i, 1, 2, b"\xa1\x00\x00", identifier * 2), SCHEMA_HASH) for i in range(2)
    )
    kept: list[Frame] = []
    for frame in decoder.feed(memoryview(stream)):
        assert bytes(frame.identifiers) == identifier * 2
        assert identifier in decoder._buffer  # positive control: the search below can find it
        kept.append(frame)
    assert not any(decoder._buffer)
    for frame in kept:
        with pytest.raises(ValueError, match="released"):
            bytes(frame.identifiers)


def test_frames_that_wait_and_frames_given_up_are_overwritten() -> None:
    """FB-16: unfinished input goes with `clear`, a consumer that stops half-way leaves nothing, damage leaves nothing."""
    decoder = Decoder(SCHEMA_HASH)
    whole = encode(readings(), SCHEMA_HASH)
    list(decoder.feed(memoryview(whole)[:-5]))
    assert any(decoder._buffer)
    decoder.clear()
    assert not any(decoder._buffer)
    iterator = decoder.feed(memoryview(whole * 2))
    next(iterator)
    iterator.close()  # type: ignore[attr-defined]  # a generator, declared as an iterator
    assert not any(decoder._buffer)
    decoder.clear()
    list(decoder.feed(memoryview(whole[:9] + b"\x7f" + whole[10:])))
    assert not any(decoder._buffer)
