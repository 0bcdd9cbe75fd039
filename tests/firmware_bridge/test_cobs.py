"""FB-2: COBS, against the paper's and the `cobs` package's published examples (vectors/cobs.json)."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge import cobs

VECTORS = json.loads((Path(__file__).parent / "vectors" / "cobs.json").read_text())


def decode(encoded: bytes) -> bytes | None:
    buffer = bytearray(encoded)
    length = cobs.decode_in_place(memoryview(buffer))
    return None if length is None else bytes(buffer[:length])


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_published_example_encodes_and_decodes(vector: dict[str, str]) -> None:
    plain, encoded = bytes.fromhex(vector["plain"]), bytes.fromhex(vector["encoded"])
    assert cobs.encode(plain) == encoded
    assert decode(encoded) == plain


def test_superfluous_last_block_is_accepted() -> None:
    block = b"\xff" + bytes(range(1, 255))
    assert decode(block + b"\x01") == decode(block) == bytes(range(1, 255))


@pytest.mark.parametrize("encoded", [b"\x02", b"\x05abc", b"\xff" + b"a" * 253, b"\x01\x03a"])
def test_code_beyond_the_end_is_refused(encoded: bytes) -> None:
    assert decode(encoded) is None


@given(st.binary(max_size=1200) | st.lists(st.sampled_from([b"\0", b"x" * 253, b"y" * 254, b"z" * 255])).map(b"".join))
def test_round_trip_without_zero_within_the_stated_length(plain: bytes) -> None:
    encoded = bytes(cobs.encode(plain))
    assert 0 not in encoded
    assert len(encoded) <= cobs.max_encoded_bytes(len(plain))
    assert decode(encoded) == plain


@given(st.binary(max_size=600))
def test_any_bytes_decode_in_place_or_are_refused(encoded: bytes) -> None:
    decoded = decode(encoded.replace(b"\0", b""))
    assert decoded is None or len(decoded) <= len(encoded)
