"""SenML packs in JSON (RFC 8428 sections 4 and 5): encode records, decode strictly. In CBOR: wire/senml_cbor.

Invariant: numbers are exact both ways (int or Decimal, never float; no NaN, no infinity), and a record may be padded with
blanks before its closing brace, which JSON allows, so that a pack's length need not depend on its values.
"""

import dataclasses
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from agent.errors import EncodingError

SENML_JSON = "application/senml+json"
SENML_CBOR = "application/senml+cbor"

MAX_PACK_BYTES = 64 * 1024
"""The largest message between daemons (DESIGN.md section 2); contracts/aggregate allows somewhat less."""

MAX_RECORDS = 2048
MAX_NAME_CHARACTERS = 256
MAX_TEXT_CHARACTERS = 1024
MAX_NUMBER_CHARACTERS = 32
"""Enough for every 64-bit integer and decimal; keeps 1e999999999 out."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9\-:./_]*")
"""RFC 8428 section 4.5.1: a whole name (base name and name together)."""

_EXPONENT = 40

Number = int | Decimal


@dataclass(frozen=True, slots=True)
class Record:
    """One record; a field is None when absent. `vd` is base64url text as it stands in the JSON."""

    bn: str | None = None
    bt: Number | None = None
    bu: str | None = None
    bv: Number | None = None
    bs: Number | None = None
    bver: int | None = None
    n: str | None = None
    u: str | None = None
    v: Number | None = None
    vs: str | None = None
    vb: bool | None = None
    vd: str | None = None
    s: Number | None = None
    t: Number | None = None
    ut: Number | None = None


FIELDS = tuple(field.name for field in dataclasses.fields(Record))
_TEXTS = frozenset({"bn", "bu", "n", "u", "vs", "vd"})
_CAPS = {"bn": MAX_NAME_CHARACTERS, "n": MAX_NAME_CHARACTERS, "vd": MAX_PACK_BYTES * 4 // 3}
_VALUES = ("v", "vs", "vb", "vd")


def media_type(payload: bytes) -> str:
    """What a pack's first octet says that it is: JSON's `[` begins no array in CBOR."""
    return SENML_JSON if payload[:1] == b"[" else SENML_CBOR


def encode_record(record: Record, width: int = 0) -> str:
    """The record's JSON without any blank, then padded before the closing brace to `width` characters (all are ASCII).

    Raises EncodingError for a value that SenML cannot carry, or for a record longer than a `width` that is not 0.
    """
    parts = []
    for name in FIELDS:
        value = getattr(record, name)
        if value is not None:
            check_field(name, value, "SenML record")
            parts.append(f'"{name}":{_json(value)}')
    text = "{" + ",".join(parts)
    if width and len(text) + 1 > width:
        raise EncodingError("SenML record", expected=f"at most {width} characters", got=str(len(text) + 1))
    return text + " " * (width - len(text) - 1) + "}"


def encode(records: Sequence[Record], widths: Sequence[int] | None = None) -> bytes:
    """A pack: one JSON array, ASCII, no newline. `widths` (one a record, 0 for as long as it is) pads as in encode_record."""
    if widths is None:
        widths = [0] * len(records)
    pack = ("[" + ",".join(encode_record(r, w) for r, w in zip(records, widths, strict=True)) + "]").encode("ascii")
    decode(pack)  # the rules that span records: names, one value each, caps
    return pack


def decode(pack: bytes) -> tuple[Record, ...]:
    """Decode a whole pack; raise EncodingError naming the record.

    Stricter than RFC 8428 section 4.4 allows a receiver to be: fields outside the standard are refused, not ignored.
    """
    if len(pack) > MAX_PACK_BYTES:
        raise EncodingError("SenML pack", expected=f"at most {MAX_PACK_BYTES} bytes", got=str(len(pack)))
    try:
        items: Any = json.loads(
            bytes(pack).decode("utf-8"),
            object_pairs_hook=_distinct,
            parse_int=_integer,
            parse_float=_decimal,
            parse_constant=_constant,
        )
    except EncodingError:
        raise
    except (ValueError, RecursionError) as bad:
        raise EncodingError("SenML pack", expected="JSON (RFC 8259) in UTF-8", got=type(bad).__name__) from None
    if not isinstance(items, list) or not 1 <= len(items) <= MAX_RECORDS:
        raise EncodingError(
            "SenML pack",
            expected=f"an array of 1 to {MAX_RECORDS} records",
            got=f"{len(items)} records" if isinstance(items, list) else type(items).__name__,
        )
    records = tuple(record_of(item, f"SenML record {number}") for number, item in enumerate(items))
    check_whole(records)
    return records


def record_of(item: Any, where: str) -> Record:
    """The record with these fields; raise EncodingError unless they are a dict of the standard's, each with a value that it may have."""
    if not isinstance(item, dict):
        raise EncodingError(where, expected="an object", got=type(item).__name__)
    for name, value in item.items():
        if name not in FIELDS:
            raise EncodingError(where, expected="the fields of RFC 8428", got=repr(name)[:40])
        check_field(name, value, f"{where} {name}")
    return Record(**item)


def check_whole(records: Sequence[Record]) -> None:
    """The rules that span records: names, and one value each; raise EncodingError."""
    base_name, base_value, base_sum = "", False, False
    for number, record in enumerate(records):
        base_name = record.bn if record.bn is not None else base_name
        base_value = base_value or record.bv is not None
        base_sum = base_sum or record.bs is not None
        _check_whole(record, base_name, base_value, base_sum, f"SenML record {number}")


def check_field(name: str, value: Any, where: str) -> None:
    """Raise EncodingError for a value that this field of a record cannot have."""
    if name in _TEXTS:
        cap = _CAPS.get(name, MAX_TEXT_CHARACTERS)
        if not isinstance(value, str):
            raise EncodingError(where, expected="text", got=type(value).__name__)
        if len(value) > cap:
            raise EncodingError(where, expected=f"at most {cap} characters", got=str(len(value)))
        if not value.isascii() and any(0xD800 <= ord(c) < 0xE000 for c in value):
            raise EncodingError(where, expected="Unicode text", got="half a surrogate pair")
        if name == "vd" and not re.fullmatch(r"[A-Za-z0-9_-]*", value):
            raise EncodingError(where, expected="base64url without padding", got="another character")
    elif name == "vb":
        if not isinstance(value, bool):
            raise EncodingError(where, expected="true or false", got=type(value).__name__)
    elif isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise EncodingError(where, expected="an exact number", got=type(value).__name__)
    elif name == "bver" and not (isinstance(value, int) and 1 <= value <= 10):
        raise EncodingError(where, expected="a version of SenML from 1 to 10", got="another number")
    elif len(_json(value, where)) > MAX_NUMBER_CHARACTERS:
        raise EncodingError(
            where, expected=f"a number of at most {MAX_NUMBER_CHARACTERS} characters", got="a longer one"
        )


def _check_whole(record: Record, base_name: str, base_value: bool, base_sum: bool, where: str) -> None:
    name = base_name + (record.n or "")
    if len(name) > MAX_NAME_CHARACTERS or not NAME.fullmatch(name):
        raise EncodingError(
            f"{where} name", expected="letters, digits and -:./_ , the first a letter or digit", got=repr(name)[:60]
        )
    values = sum(getattr(record, field) is not None for field in _VALUES)
    if values > 1 or (values == 0 and record.s is None and not base_value and not base_sum):
        raise EncodingError(where, expected="one of v, vs, vb, vd, or s", got=f"{values} values")


def _json(value: Any, where: str = "SenML number") -> str:
    if isinstance(value, Decimal):
        if not value.is_finite() or abs(int(value.as_tuple().exponent)) > _EXPONENT:
            raise EncodingError(where, expected=f"a finite number, exponent at most {_EXPONENT}", got="another number")
        return format(value, "f")
    if isinstance(value, int) and not isinstance(value, bool):
        if value.bit_length() > 4 * MAX_NUMBER_CHARACTERS:
            raise EncodingError(where, expected=f"at most {MAX_NUMBER_CHARACTERS} characters", got="a longer number")
        return str(value)
    return json.dumps(value, ensure_ascii=True)


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    item = dict(pairs)
    if len(item) != len(pairs):
        raise EncodingError("SenML record", expected="each field once", got="one twice")
    return item


def _integer(text: str) -> int:
    _short(text)
    return int(text)


def _decimal(text: str) -> Decimal:
    _short(text)
    return Decimal(text)


def _short(text: str) -> None:
    if len(text) > MAX_NUMBER_CHARACTERS:
        raise EncodingError(
            "SenML number", expected=f"at most {MAX_NUMBER_CHARACTERS} characters", got=f"{len(text)} characters"
        )


def _constant(text: str) -> Any:
    raise EncodingError("SenML number", expected="a finite number", got=text)
