"""agent/wire/cbor: one encoding for a value, one value for an encoding (RFC 8949 section 4.2.1), and nothing hostile gets further."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import EncodingError
from agent.wire import cbor

VECTORS = json.loads((Path(__file__).parent.parent / "vectors/wire/rfc8949_appendix_a.json").read_text())["items"]
ACCEPTED = [item for item in VECTORS if "refused" not in item]
REFUSED = [item for item in VECTORS if "refused" in item]

keys = st.one_of(st.integers(-(2**64), 2**64 - 1), st.text(max_size=8), st.binary(max_size=8))
values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**64), 2**64 - 1), st.text(max_size=30), st.binary(max_size=30)),
    lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(keys, inner, max_size=5)),
    max_leaves=20,
)


def value_of(item: dict[str, Any]) -> Any:
    return bytes.fromhex(item["bytes"]) if "bytes" in item else item["value"]


@pytest.mark.parametrize("item", ACCEPTED, ids=lambda item: item["hex"][:24])
def test_appendix_a_both_ways(item: dict[str, Any]) -> None:
    """The published encoding is the one we write, and reads back as the published value."""
    value = value_of(item)
    assert cbor.encode(value).hex() == item["hex"]
    again = cbor.decode(bytes.fromhex(item["hex"]))
    assert again == value
    assert type(again) is type(value)


@pytest.mark.parametrize("item", REFUSED, ids=lambda item: item["hex"][:24])
def test_appendix_a_outside_the_subset(item: dict[str, Any]) -> None:
    """Floats, indefinite lengths, odd simple values and big numbers are refused."""
    with pytest.raises(EncodingError):
        cbor.decode(bytes.fromhex(item["hex"]))


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("long form of 0", "1800"),
        ("long form of 23", "1817"),
        ("two bytes for 255", "1900ff"),
        ("four bytes for 65535", "1a0000ffff"),
        ("eight bytes for 2^32-1", "1b00000000ffffffff"),
        ("long form of a string's length", "580141"),
        ("long form of an array's length", "980101"),
        ("long form of a tag", "d81201"),
        ("duplicate keys", "a201010102"),
        ("duplicate keys apart", "a3010102020101"),
        ("keys in the wrong order", "a202010101"),
        ("keys ordered by length first, as RFC 7049 did", "a2206161" + "1818" + "6162"),
        ("reserved additional information 28", "1c"),
        ("reserved additional information 30", "1e"),
        ("break without a start", "ff"),
        ("bytes after the item", "0000"),
        ("nothing at all", ""),
        ("an array that ends early", "8301"),
        ("a map that ends after a key", "a101"),
        ("a string beyond the end", "4501"),
        ("a string of 2^64-1 bytes", "5bffffffffffffffff"),
        ("an array of 2^64-1 items", "9bffffffffffffffff00"),
        ("a map of 2^63 pairs", "bb800000000000000000"),
        ("an integer cut off", "1903"),
        ("text that is not UTF-8", "61ff"),
        ("text with a surrogate", "63eda080"),
        ("an array as a key", "a1800000"),
        ("a map as a key", "a1a000"),
        ("true as a key", "a1f500"),
        ("null as a key", "a1f600"),
        ("a tag as a key", "a1c10000"),
    ],
)
def test_hostile(name: str, data: str) -> None:
    """Each form that is not the deterministic one, or not CBOR at all, is an EncodingError."""
    with pytest.raises(EncodingError):
        cbor.decode(bytes.fromhex(data))


def test_keys_sort_by_their_encoded_bytes() -> None:
    """RFC 8949 4.2.1, with its own example of key order (those of our key types)."""
    assert cbor.encode({"aa": 0, -1: 0, "z": 0, 100: 0, 10: 0}).hex() == "a50a00186400" + "2000" + "617a00" + "62616100"


@pytest.mark.parametrize("opening", ["81", "a100", "c1", "8282"])
def test_deep_nesting_ends_at_once(opening: str) -> None:
    """100,000 levels neither recurse nor take time."""
    started = time.monotonic()
    with pytest.raises(EncodingError, match=r"levels|bytes"):
        cbor.decode(bytes.fromhex(opening) * 100_000 + b"\x00", max_bytes=1_000_000)
    assert time.monotonic() - started < 2


def test_depth_is_exact() -> None:
    """`max_depth` levels pass, one more does not."""
    assert cbor.decode(b"\x81" * 16 + b"\x00") is not None
    with pytest.raises(EncodingError, match="at most 16 levels"):
        cbor.decode(b"\x81" * 17 + b"\x00")


def test_size_is_exact() -> None:
    """`max_bytes` pass, one more does not."""
    assert cbor.decode(cbor.encode(b"x" * 8), max_bytes=9) == b"x" * 8
    with pytest.raises(EncodingError, match="at most 9 bytes"):
        cbor.decode(cbor.encode(b"x" * 9), max_bytes=9)


@pytest.mark.parametrize("value", [1.0, object(), {1, 2}, {(1,): 2}, {True: 1}, {None: 1}, 2**64, -(2**64) - 1])
def test_unencodable(value: Any) -> None:
    """A value outside the subset is an EncodingError, not something near it."""
    with pytest.raises(EncodingError):
        cbor.encode(value)


@given(values)
def test_round_trip(value: Any) -> None:
    """decode(encode(value)) == value."""
    assert cbor.decode(cbor.encode(value)) == value


@given(st.binary(max_size=64))
def test_only_the_documented_error_escapes(data: bytes) -> None:
    """Any bytes either are refused with EncodingError or are the one encoding of their value."""
    try:
        value = cbor.decode(data)
    except EncodingError:
        return
    assert cbor.encode(value) == data


@given(values, st.data())
def test_damage_never_escapes(value: Any, data: st.DataObject) -> None:
    """One changed byte of a good encoding is refused or is another value's one encoding."""
    good = bytearray(cbor.encode(value))
    good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    try:
        again = cbor.decode(bytes(good))
    except EncodingError:
        return
    assert cbor.encode(again) == bytes(good)
