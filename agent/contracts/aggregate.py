"""What a window says in public: an Aggregate, and its SenML pack, the payload of a Release.

    [{"bn":"<city>/<site>/<unit>/<stream>/","bt":<start>,"n":"window","u":"s","v":900}, coverage, state, noise_sd,
     threshold, sums (just where the threshold is above 0), guarantee, policy, disclosure, log_index, total_noise_sd (with running totals),
     then one record a field: "cell/<name>"]

Invariant: for one stream under one policy and one noise (PackTerms) every pack has the same byte length, whatever the window held (I6).
Records that can vary are padded with blanks to a width that follows from the terms. Times are whole Unix seconds, UTC.
"""

import json
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any

from agent.contracts.cells import (
    CELLS,
    COUNT,
    END_START,
    FIRST_START,
    Cell,
    Field,
    Value,
    least_width,
    unit_of,
    written,
)
from agent.contracts.governed import (
    COVERAGE_STEP_PERCENT,
    MAX_LOG_INDEX,
    NAME,
    SUMS,
    Aggregate,
    NotCollected,
    PackTerms,
    check,
    check_terms,
)
from agent.contracts.guarantee import Guarantee, read_guarantee
from agent.errors import EncodingError
from agent.wire import senml
from agent.wire.senml import Record

__all__ = [
    "COVERAGE_STEP_PERCENT",
    "END_START",
    "FIRST_START",
    "MAX_LOG_INDEX",
    "MAX_PACK_BYTES",
    "MIN_VALUE_DIGITS",
    "NAME",
    "SUMS",
    "Aggregate",
    "Cell",
    "Field",
    "NotCollected",
    "PackTerms",
    "Template",
    "Value",
    "decode",
    "encode",
    "layout",
    "pack_bytes",
]

MAX_PACK_BYTES = 47 * 1024
"""An entry of the release log holds the pack, its signature and little else (contracts/log)."""


def encode(aggregate: Aggregate) -> bytes:
    """The pack's bytes; raise EncodingError when a field is outside its bounds."""
    t = aggregate.terms
    return _written(aggregate, _frame(t, str(t.noise_sd), str(t.total_noise_sd)))


def _written(aggregate: Aggregate, frame: "_Frame") -> bytes:
    check(aggregate)
    parts = [
        f"{frame.base}{aggregate.window_start}{frame.window}{aggregate.coverage}",
        f'{{"n":"state","vs":"{aggregate.state}"'.ljust(_STATE_WIDTH - 1),
        frame.fixed,
        f'{{"n":"log_index","v":{aggregate.log_index}'.ljust(_LOG_INDEX_WIDTH - 1) + frame.total,
    ]
    for (number, words, width), value in zip(frame.cells, aggregate.values, strict=True):
        text = f'{words}{value}"' if isinstance(value, str) else number + written(value)
        parts.append(text.ljust(width))
    return ("},".join(parts) + "}]").encode("ascii")


def pack_bytes(terms: PackTerms) -> int:
    """The length of every pack of these terms; raise EncodingError when they cannot be encoded, for being too long among others."""
    start = -(-FIRST_START // terms.window_s) * terms.window_s if terms.window_s > 0 else FIRST_START
    nothing = (Cell.NOT_COLLECTED,) * len(terms.fields)
    return len(encode(Aggregate(terms, start, 0, NotCollected.GATE, 0, nothing)))


class Template:
    """Encodes and decodes the packs of one stream, whose terms are the same in all: the decoding several times faster than that of an unknown pack."""

    __slots__ = ("_frame", "_log_index_at", "terms")

    def __init__(self, terms: PackTerms) -> None:
        self.terms = terms
        self._frame = _frame.__wrapped__(terms, str(terms.noise_sd), str(terms.total_noise_sd))
        blank = Aggregate(terms, FIRST_START, 0, NotCollected.GATE, 0, (Cell.NOT_COLLECTED,) * len(terms.fields))
        self._log_index_at = [record.n for record in layout(blank)[0]].index("log_index")

    def encode(self, aggregate: Aggregate) -> bytes:
        """What the function `encode` returns for a window of these very terms."""
        assert aggregate.terms is self.terms
        return _written(aggregate, self._frame)

    def decode(self, payload: bytes) -> Aggregate | None:
        """What `decode` returns, or None for a pack that has other terms or is none: only what encodes to just these bytes is returned."""
        try:
            items = json.loads(payload, parse_float=Decimal)
            state = items[2]["vs"]
            read = Aggregate(
                terms=self.terms,
                window_start=items[0]["bt"],
                coverage_percent=int(items[1]["v"] * 100),
                reason=None if state == "complete" else NotCollected(state.removeprefix("not_collected:")),
                log_index=items[self._log_index_at]["v"],
                values=tuple([_quick(item) for item in items[-len(self.terms.fields) :]]),
            )
            return read if _written(read, self._frame) == payload else None
        except (EncodingError, ValueError, LookupError, TypeError, ArithmeticError, AttributeError, RecursionError):
            return None


def _quick(item: dict[str, Any]) -> Value:
    words = item.get("vs")
    value: Value = item["v"] if words is None else CELLS.get(words, words)
    return value


def decode(payload: bytes) -> Aggregate:
    """The strict inverse of `encode`; raise EncodingError for anything that `encode` would not have written."""
    records = senml.decode(payload)
    if len(records) < _LEAST_RECORDS:
        raise EncodingError("aggregate", expected=f"at least {_LEAST_RECORDS} records", got=str(len(records)))
    first = next((at for at, record in enumerate(records) if (record.n or "").startswith("cell/")), len(records))
    head = {record.n: record for record in records[:first]}
    cells = records[first:]
    window = records[0]
    names = (window.bn or "").split("/")
    if len(names) != 5 or names[4]:
        raise EncodingError("aggregate", expected="base name city/site/unit/stream/", got="something else")
    city, site, unit, stream, _ = names
    guarantee = read_guarantee(_text(head, "guarantee"))
    noise_unit = head["noise_sd"].u or "" if "noise_sd" in head else ""
    state = _text(head, "state")
    try:
        reason = None if state == "complete" else NotCollected(state.removeprefix("not_collected:"))
        digest = bytes.fromhex(_text(head, "disclosure"))
    except ValueError:
        raise EncodingError(
            "aggregate", expected="a known state and a hex disclosure digest", got="something else"
        ) from None
    terms = PackTerms(
        city=city,
        site=site,
        unit=unit,
        stream=stream,
        window_s=_whole(window.v, "window"),
        noise_sd=Decimal(_number(head, "noise_sd")),
        noise_unit=noise_unit,
        threshold=_whole(_number(head, "threshold"), "threshold"),
        guarantee=guarantee,
        policy_version=_whole(_number(head, "policy"), "policy"),
        disclosure_digest=digest,
        fields=_fields(payload, [(record.n or "").removeprefix("cell/") for record in cells], noise_unit, guarantee),
        total_noise_sd=Decimal(_number(head, _TOTAL_NOISE_SD)) if _TOTAL_NOISE_SD in head else None,
    )
    if terms.sums is not None and _text(head, "sums") != terms.sums:
        raise EncodingError("aggregate sums", expected=terms.sums, got="other words")
    aggregate = Aggregate(
        terms=terms,
        window_start=_whole(window.bt, "bt"),
        coverage_percent=_percent(_number(head, "coverage")),
        reason=reason,
        log_index=_whole(_number(head, "log_index"), "log_index"),
        values=tuple(_value(record) for record in cells),
    )
    if encode(aggregate) != payload:
        raise EncodingError(
            "aggregate", expected="the one layout of an aggregate", got="another order, field or padding"
        )
    return aggregate


_LEAST_RECORDS = 10
"""The shortest head, and one cell."""

_TOTAL_NOISE_SD = "total_noise_sd"
_STATE_WIDTH = len('{"n":"state","vs":""}') + max(len(f"not_collected:{reason}") for reason in NotCollected)
_LOG_INDEX_WIDTH = len('{"n":"log_index","v":}') + len(str(MAX_LOG_INDEX - 1))


MIN_VALUE_DIGITS = least_width(COUNT)
"""Fewer digits would not shorten a count's cell."""


def layout(a: Aggregate) -> tuple[list[Record], list[int]]:
    """The records of a pack, and the characters that each is padded to, 0 for as long as it is."""
    t = a.terms
    records = [
        Record(bn=f"{t.city}/{t.site}/{t.unit}/{t.stream}/", bt=a.window_start, n="window", u="s", v=t.window_s),
        Record(n="coverage", u="/", v=a.coverage),
        Record(n="state", vs=a.state),
        Record(n="noise_sd", u=t.noise_unit, v=t.noise_sd),
        Record(n="threshold", u=t.noise_unit, v=t.threshold),
        *([] if t.sums is None else [Record(n="sums", vs=t.sums)]),
        Record(n="guarantee", vs=t.guarantee.words()),
        Record(n="policy", v=t.policy_version),
        Record(n="disclosure", vs=t.disclosure_digest.hex()),
        Record(n="log_index", v=a.log_index),
    ]
    widths = [0] * len(records)
    widths[2], widths[-1] = _STATE_WIDTH, _LOG_INDEX_WIDTH
    if t.total_noise_sd is not None:
        records.append(Record(n=_TOTAL_NOISE_SD, u=t.noise_unit, v=t.total_noise_sd))
        widths.append(0)
    for field, value in zip(t.fields, a.values, strict=True):
        name = f"cell/{field.name}"
        records.append(
            Record(n=name, vs=str(value)) if isinstance(value, str) else Record(n=name, u=field.unit, v=value)
        )
        widths.append(field.record_width)
    return records, widths


@dataclass(frozen=True, slots=True)
class _Frame:
    """What all packs of some terms have in common: text between what varies, and of each cell its beginnings and its width but for the brace."""

    base: str
    window: str
    fixed: str
    total: str
    cells: tuple[tuple[str, str, int], ...]


@lru_cache(maxsize=64)
def _frame(t: PackTerms, noise_sd: str, total_noise_sd: str) -> _Frame:
    """Checks the terms, and by one whole pack that SenML can carry them. Deviations that are equal may be written differently: two arguments more."""
    check_terms(t)
    blank = Aggregate(t, FIRST_START, 0, NotCollected.GATE, 0, (Cell.NOT_COLLECTED,) * len(t.fields))
    records, widths = layout(blank)
    length = len(senml.encode(records, widths))
    if length > MAX_PACK_BYTES:
        raise EncodingError("aggregate", expected=f"at most {MAX_PACK_BYTES} bytes", got=str(length))
    window, coverage, *fixed = (senml.encode_record(record) for record in records[: len(records) - len(t.fields)])
    total = "" if t.total_noise_sd is None else f"}},{fixed.pop()}".removesuffix("}")
    base, start, rest = window.partition(str(FIRST_START))
    assert start
    return _Frame(
        base=f"[{base}",
        window=f"{rest},{coverage.removesuffix('0.00}')}",
        fixed=",".join(fixed[1:-1]).removesuffix("}"),
        total=total,
        cells=tuple(
            (
                f'{{"n":"cell/{field.name}","u":"{field.unit}","v":',
                f'{{"n":"cell/{field.name}","vs":"',
                field.record_width - 1,
            )
            for field in t.fields
        ),
    )


def _fields(payload: bytes, names: list[str], noise_unit: str, guarantee: Guarantee) -> tuple[Field, ...]:
    """Recover the fields from the padded widths of their records; what is wrong here does not encode to `payload` again."""
    fields = []
    end = len(payload) - 1
    for name in reversed(names):
        start = payload.rfind(b'{"n":"cell/', 0, end)
        unit = unit_of(name, noise_unit, guarantee)
        shortest = Field(name, unit, 0)
        fields.append(Field(name, unit, end - start - shortest.record_width + shortest.width))
        end = start - 1
    return tuple(reversed(fields))


def _text(head: dict[str | None, Record], name: str) -> str:
    record = head.get(name)
    if record is None or record.vs is None:
        raise EncodingError(f"aggregate {name}", expected="text", got="nothing")
    return record.vs


def _number(head: dict[str | None, Record], name: str) -> int | Decimal:
    record = head.get(name)
    if record is None or record.v is None:
        raise EncodingError(f"aggregate {name}", expected="a number", got="nothing")
    return record.v


def _whole(value: object, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise EncodingError(f"aggregate {name}", expected="a whole number", got=type(value).__name__)
    return value


def _percent(coverage: int | Decimal) -> int:
    percent = Decimal(coverage).scaleb(2)
    if percent != percent.to_integral_value():
        raise EncodingError("aggregate coverage", expected="at most 2 decimals", got="more")
    return int(percent)


def _value(record: Record) -> Value:
    if record.vs is not None:
        return CELLS.get(record.vs, record.vs)
    if record.v is None:
        raise EncodingError("aggregate cell", expected="a number or words", got="neither")
    return record.v
