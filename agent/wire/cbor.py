"""CBOR as this project uses it: deterministic (RFC 8949 section 4.2.1), integers, decimal fractions, strings, arrays, maps and tags.

Invariant: `encode(decode(data)) == data` for every `data` that `decode` accepts, so a digest over bytes is a digest over
the value. Floating-point numbers, indefinite lengths and simple values other than false, true and null are refused both ways.

cbor2 does the encoding and decoding; its own `canonical=True` sorts keys as RFC 7049 did (length first), and it accepts
duplicate keys, trailing bytes, long-form integers and any depth, hence the scan and the comparison here.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import cbor2
from cbor2 import CBORTag

from agent.errors import EncodingError

__all__ = ["ARRAY", "BYTES", "NEGATIVE", "TEXT", "UNSIGNED", "CBORTag", "decode", "encode", "head"]

UNSIGNED, NEGATIVE, BYTES, TEXT, ARRAY = range(5)
"""Major types (RFC 8949 section 3.1)."""

DECIMAL_FRACTION = 4
"""The tag of [exponent, mantissa] (RFC 8949 section 3.4.4): a Decimal, with as many places as it is written with."""

DEFAULT_MAX_BYTES = 64 * 1024
"""One message between daemons is at most this long (DESIGN.md section 2)."""

DEFAULT_MAX_DEPTH = 16
"""Deeper than anything we define; bounds the recursion of every decoder behind the scan."""


_AS_THEY_ARE = frozenset({bytes, str, bool, type(None)})


def encode(value: Any) -> bytes:
    """Return the one deterministic encoding of `value`; raise EncodingError for a type outside the subset."""
    return cbor2.dumps(_ordered(value, "$"))


def decode(data: bytes, *, max_bytes: int = DEFAULT_MAX_BYTES, max_depth: int = DEFAULT_MAX_DEPTH) -> Any:
    """Decode exactly one deterministic item; raise EncodingError naming the byte offset otherwise."""
    if len(data) > max_bytes:
        raise EncodingError("CBOR", expected=f"at most {max_bytes} bytes", got=f"{len(data)} bytes")
    _scan(data, max_depth)
    try:
        value = _plain(cbor2.loads(data))
        again = encode(value)
    except EncodingError:
        raise
    except Exception as error:  # cbor2 lets several types through on hostile text and tags
        raise EncodingError("CBOR", expected="a decodable item", got=type(error).__name__) from None
    if again != data:
        raise EncodingError(
            "CBOR",
            expected="deterministic encoding (RFC 8949 4.2.1)",
            got="unsorted or repeated map keys, or a long form",
        )
    return value


def head(major: int, argument: int) -> bytes:
    """The beginning of an item in its shortest form (RFC 8949 section 4.2.1); raise EncodingError beyond 64 bits."""
    if argument < 24:
        return bytes((major << 5 | argument,))
    for low, octets in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if argument < 1 << 8 * octets:
            return bytes((major << 5 | low,)) + argument.to_bytes(octets, "big")
    raise EncodingError("CBOR", expected="an integer of at most 64 bits", got="a larger one")


def _plain(value: Any) -> Any:
    """cbor2 6 returns tuples and frozen maps below a tag, older ones do not: lists and dicts for all."""
    if type(value) in _AS_THEY_ARE or type(value) is int:
        return value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, CBORTag):
        return CBORTag(value.tag, _plain(value.value))
    return value


def _ordered(value: Any, where: str) -> Any:
    """Rebuild `value` with every map in bytewise order of its encoded keys."""
    if type(value) in _AS_THEY_ARE:
        return value
    if isinstance(value, int | bytes | str):
        if isinstance(value, int) and not -(1 << 64) <= value < (1 << 64):
            raise EncodingError(f"CBOR {where}", expected="an integer of at most 64 bits", got="a larger one")
        return value
    if isinstance(value, list | tuple):
        return [_ordered(item, f"{where}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, dict):
        if all(type(key) is int and key >= 0 for key in value):  # their encodings have the order of the numbers
            keys = sorted(value)
        else:
            keys = [key for _, key in sorted((cbor2.dumps(key), key) for key in value if _is_key(key, where))]
        return {key: _ordered(value[key], f"{where}.{key}") for key in keys}
    if isinstance(value, CBORTag):
        return CBORTag(value.tag, _ordered(value.value, f"{where}#{value.tag}"))
    if isinstance(value, Decimal) and value.is_finite():
        sign, digits, exponent = value.as_tuple()
        mantissa = int("".join(map(str, digits)))
        return CBORTag(DECIMAL_FRACTION, _ordered([exponent, -mantissa if sign else mantissa], f"{where}#4"))
    raise EncodingError(
        f"CBOR {where}",
        expected="integer, decimal, text, bytes, array, map, tag, true, false or null",
        got=type(value).__name__,
    )


def _is_key(key: Any, where: str) -> bool:
    if isinstance(key, bool) or not isinstance(key, int | str | bytes):
        raise EncodingError(
            f"CBOR {where}", expected="an integer, text or byte string as map key", got=type(key).__name__
        )
    return True


def _scan(data: bytes, max_depth: int) -> None:
    """Walk the heads of one item without recursion: well-formed, shortest form, definite, shallow, nothing after it.

    A stack entry is the number of items still owed at that depth, so time is linear and memory is `max_depth`.
    """
    owed = [1]
    at = 0
    end = len(data)
    while owed:
        if owed[-1] == 0:
            owed.pop()
            continue
        owed[-1] -= 1
        start = at
        if at >= end:
            raise EncodingError(f"CBOR byte {start}", expected="another item", got="the end of the input")
        major, low = data[at] >> 5, data[at] & 31
        at += 1
        argument = low
        if 24 <= low <= 27 and major != 7:
            width = 1 << (low - 24)
            argument = int.from_bytes(data[at : at + width], "big")
            if at + width > end:
                raise EncodingError(f"CBOR byte {start}", expected=f"{width} more bytes", got="the end of the input")
            if argument < (24, 1 << 8, 1 << 16, 1 << 32)[low - 24]:
                raise EncodingError(f"CBOR byte {start}", expected="the shortest form", got="a longer one")
            at += width
        elif low > 27 or (major == 7 and low not in (20, 21, 22)):
            raise EncodingError(
                f"CBOR byte {start}", expected="a definite item without floats", got=f"initial byte 0x{data[start]:02x}"
            )
        if major in (2, 3):
            if argument > end - at:
                raise EncodingError(
                    f"CBOR byte {start}", expected=f"a string of {argument} bytes", got=f"{end - at} bytes left"
                )
            at += argument
        elif major in (4, 5, 6):
            if len(owed) > max_depth:
                raise EncodingError(f"CBOR byte {start}", expected=f"at most {max_depth} levels", got="more")
            owed.append(argument * 2 if major == 5 else 1 if major == 6 else argument)
    if at != end:
        raise EncodingError(f"CBOR byte {at}", expected="the end of the input", got=f"{end - at} more bytes")
