"""What a window says in public: an Aggregate, and its SenML pack, the payload of a Release.

    [{"bn":"<city>/<site>/<unit>/<stream>/","bt":<start>,"n":"window","u":"s","v":900}, coverage, state, noise_sd,
     threshold, sums (just where the threshold is above 0), guarantee, policy, disclosure, log_index, total_noise_sd (with running totals),
     then one record a field: "cell/<name>"]

Invariant: for one stream under one policy and one noise (PackTerms) every pack has the same byte length, whatever the window held (I6). In JSON
records that can vary are padded with blanks (pack_json), in CBOR a record follows them that fills what they left (pack_cbor). Times are whole Unix
seconds, UTC. What is for CBOR is imported where it is needed: half a MiB that a unit with packs in JSON, the default, goes without.
"""

from dataclasses import replace
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

from agent.contracts.cells import (
    CELLS,
    COUNT,
    END_START,
    FIRST_START,
    MAX_WIDTH,
    Cell,
    Field,
    Value,
    least_width,
    unit_of,
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
from agent.contracts.guarantee import read_guarantee
from agent.contracts.pack_json import JsonFrame, fields_of, layout
from agent.contracts.pack_records import TOTAL_NOISE_SD
from agent.errors import EncodingError
from agent.wire import senml
from agent.wire.senml import SENML_CBOR, Record, media_type

if TYPE_CHECKING:
    from agent.contracts.pack_cbor import CborFrame

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
    "in_cbor",
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
    return frame.write(aggregate)


def pack_bytes(terms: PackTerms) -> int:
    """The length of every pack of these terms; raise EncodingError when they cannot be encoded, for being too long among others."""
    start = -(-FIRST_START // terms.window_s) * terms.window_s if terms.window_s > 0 else FIRST_START
    nothing = (Cell.NOT_COLLECTED,) * len(terms.fields)
    return len(encode(Aggregate(terms, start, 0, NotCollected.GATE, 0, nothing)))


def in_cbor(aggregate: Aggregate) -> Aggregate:
    """The same window, to be encoded in CBOR. Raise EncodingError where its pack in JSON could not be encoded: only that has the fields' widths."""
    from agent.contracts.pack_cbor import in_cbor as terms_in_cbor

    pack_bytes(aggregate.terms)
    check(aggregate)
    return replace(aggregate, terms=terms_in_cbor(aggregate.terms))


class Template:
    """Encodes and decodes the packs of one stream, whose terms are the same in all: the decoding several times faster than that of an unknown pack."""

    __slots__ = ("_frame", "terms")

    def __init__(self, terms: PackTerms) -> None:
        self._frame = _frame(terms, str(terms.noise_sd), str(terms.total_noise_sd))
        self.terms = self._frame.terms

    def encode(self, aggregate: Aggregate) -> bytes:
        """What the function `encode` returns for a window of these very terms."""
        assert aggregate.terms is self.terms
        return _written(aggregate, self._frame)

    def decode(self, payload: bytes) -> Aggregate | None:
        """What `decode` returns, or None for a pack that has other terms or is none: only what encodes to just these bytes is returned."""
        try:
            read = self._frame.read(payload)
            check(read)
            return read
        except (EncodingError, ValueError, LookupError):
            return None


def decode(payload: bytes) -> Aggregate:
    """The strict inverse of `encode`; raise EncodingError for anything that `encode` would not have written."""
    cbor = media_type(payload) == SENML_CBOR
    records = _records_in_cbor(payload) if cbor else senml.decode(payload)
    if len(records) < _LEAST_RECORDS:
        raise EncodingError("aggregate", expected=f"at least {_LEAST_RECORDS} records", got=str(len(records)))
    first = next((at for at, record in enumerate(records) if (record.n or "").startswith("cell/")), len(records))
    head = {record.n: record for record in records[:first]}
    cells = records[first:]
    window = records[0]
    base = (window.bn or "").split("/")
    if len(base) != 5 or base[4]:
        raise EncodingError("aggregate", expected="base name city/site/unit/stream/", got="something else")
    city, site, unit, stream, _ = base
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
    names = [(record.n or "").removeprefix("cell/") for record in cells]
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
        fields=tuple(Field(name, unit_of(name, noise_unit, guarantee), MAX_WIDTH) for name in names)
        if cbor
        else fields_of(payload, names, noise_unit, guarantee),
        total_noise_sd=Decimal(_number(head, TOTAL_NOISE_SD)) if TOTAL_NOISE_SD in head else None,
        cbor_bytes=len(payload) if cbor else None,
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

MIN_VALUE_DIGITS = least_width(COUNT)
"""Fewer digits would not shorten a count's cell."""

_Frame: TypeAlias = "JsonFrame | CborFrame"


@lru_cache(maxsize=64)
def _frame(t: PackTerms, noise_sd: str, total_noise_sd: str) -> _Frame:
    """Checks the terms, and by one whole pack that SenML can carry them. Deviations that are equal may be written differently: two arguments more."""
    check_terms(t)
    frame = JsonFrame(t) if t.cbor_bytes is None else _frame_in_cbor(t)
    if frame.length > MAX_PACK_BYTES:
        raise EncodingError("aggregate", expected=f"at most {MAX_PACK_BYTES} bytes", got=str(frame.length))
    return frame


def _frame_in_cbor(t: PackTerms) -> "CborFrame":
    from agent.contracts.pack_cbor import CborFrame

    return CborFrame(t)


def _records_in_cbor(payload: bytes) -> tuple[Record, ...]:
    """Without the filler."""
    from agent.contracts.pack_cbor import FILLER
    from agent.wire import senml_cbor

    records = senml_cbor.decode(payload)
    return records[:-1] if records[-1].n == FILLER else records


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
