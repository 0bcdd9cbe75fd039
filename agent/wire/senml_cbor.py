"""SenML packs in CBOR (RFC 8428 section 6): the records of wire/senml under the standard's integer labels.

Invariant: what `decode` accepts, `encode` writes again octet for octet. Deterministic CBOR as in wire/cbor, so no floats: a number with decimals is a
decimal fraction (tag 4, RFC 8949 section 3.4.4), which section 6 allows and which is as exact as the same number in JSON.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from agent.errors import EncodingError
from agent.wire import cbor
from agent.wire.senml import FIELDS, MAX_PACK_BYTES, MAX_RECORDS, Record, check_field, check_whole, record_of

LABELS: Mapping[str, int] = {
    "bver": -1, "bn": -2, "bt": -3, "bu": -4, "bv": -5, "bs": -6,
    "n": 0, "u": 1, "v": 2, "vs": 3, "vb": 4, "s": 5, "t": 6, "ut": 7, "vd": 8,
}  # fmt: skip
"""RFC 8428, table 4."""

_NAMES = {label: name for name, label in LABELS.items()}
_LEAST_EXPONENT = -40
_MAX_DEPTH = 4
"""Array, map, tag, array."""


def encode_record(record: Record) -> bytes:
    """One map; raise EncodingError for a value that SenML, or CBOR's integers of 64 bits, cannot carry."""
    item: dict[int, Any] = {}
    for name in FIELDS:
        value = getattr(record, name)
        if value is not None:
            check_field(name, value, f"SenML record {name}")
            item[LABELS[name]] = _octets(value) if name == "vd" else _item(value)
    return cbor.encode(item)


def encode(records: Sequence[Record]) -> bytes:
    """A pack: one array of maps."""
    pack = cbor.head(cbor.ARRAY, len(records)) + b"".join(map(encode_record, records))
    decode(pack)  # the rules that span records, and caps
    return pack


def decode(pack: bytes) -> tuple[Record, ...]:
    """Decode a whole pack; raise EncodingError naming the octet or the record."""
    items = cbor.decode(pack, max_bytes=MAX_PACK_BYTES, max_depth=_MAX_DEPTH)
    if not isinstance(items, list) or not 1 <= len(items) <= MAX_RECORDS:
        raise EncodingError(
            "SenML pack",
            expected=f"an array of 1 to {MAX_RECORDS} records",
            got=f"{len(items)} records" if isinstance(items, list) else type(items).__name__,
        )
    records = tuple(_record(item, f"SenML record {number}") for number, item in enumerate(items))
    check_whole(records)
    return records


def _record(item: Any, where: str) -> Record:
    if not isinstance(item, dict):
        raise EncodingError(where, expected="a map", got=type(item).__name__)
    fields = {}
    for label, value in item.items():
        name = _NAMES.get(label) if type(label) is int else None
        if name is None:
            raise EncodingError(where, expected="the labels of RFC 8428", got=repr(label)[:40])
        if name == "vd":
            if not isinstance(value, bytes):
                raise EncodingError(f"{where} vd", expected="a byte string", got=type(value).__name__)
            fields[name] = base64.urlsafe_b64encode(value).decode().rstrip("=")
        else:
            fields[name] = _value(value, f"{where} {name}")
    return record_of(fields, where)


def _item(value: Any) -> Any:
    """What has no decimals is an integer."""
    if isinstance(value, Decimal) and int(value.as_tuple().exponent) >= 0:
        return int(value)
    return value


def _value(item: Any, where: str) -> Any:
    if isinstance(item, Decimal) and not _LEAST_EXPONENT <= int(item.as_tuple().exponent) < 0:
        raise EncodingError(where, expected="an integer, or a decimal fraction with decimals", got="another number")
    return item


def _octets(text: str) -> bytes:
    try:
        octets = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        octets = b""
    if base64.urlsafe_b64encode(octets).decode().rstrip("=") != text:
        raise EncodingError("SenML record vd", expected="base64url of whole octets", got="other text")
    return octets
