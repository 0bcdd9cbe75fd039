"""Reads many packs of one stream and policy fast: what cannot vary is compared, what can is read in its place. Pure.

Invariant: `Layout.read` returns only what `contracts/aggregate.decode`, which is strict, would return for the same bytes; anything it does not
know is None, and the caller asks `decode` (which made the layout in the first place).
"""

import re
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from agent.contracts.aggregate import (
    COVERAGE_STEP_PERCENT,
    END_START,
    FIRST_START,
    MAX_LOG_INDEX,
    Aggregate,
    Cell,
    NotCollected,
    Template,
    Value,
)
from agent.contracts.cells import CELLS, written
from agent.wire.senml import SENML_CBOR, media_type

_PARTS = re.compile(
    rb'(\[\{"bn":"[^"]*","bt":)(\d{10})(,"n":"window","u":"s","v":\d+\},\{"n":"coverage","u":"/","v":)(\d\.\d\d)'
    rb'(\},\{"n":"state",)("vs":"[a-z_:]*" *)(\},\{"n":"noise_sd".*?\{"n":"log_index","v":)(\d+ *)(\},(?:.*?\},)??)(\{"n":"cell/.*\})\]'
)
"""What stands between the log's index and the first cell is the same in every pack of a stream, whatever it is."""

_STATE = b'"vs":"(?:complete|not_collected:(?:' + b"|".join(str(reason).encode() for reason in NotCollected) + b'))" *'
_CELL = re.compile(rb'(\{"n":"cell/[a-z0-9_/]+",)([^{}]*)(\})')
_NUMBER = re.compile(rb'"u":"[^"]+","v":(-?\d+(?:\.\d{1,6})?) *')
_WORDS = re.compile(rb'"vs":"([a-z0-9_]+)" *')


class Pack(NamedTuple):
    """What varies from window to window. `reason` is None for a complete window."""

    window_start: int
    coverage_percent: int
    reason: NotCollected | None
    log_index: int
    values: tuple[Value, ...]


class Layout:
    """The layout of `payload`, of which `aggregate` is the decoded form."""

    def __init__(self, payload: bytes, aggregate: Aggregate) -> None:
        self.aggregate = aggregate
        self._length = len(payload)
        self._pattern: re.Pattern[bytes] | None = None
        self._template = Template(aggregate.terms) if media_type(payload) == SENML_CBOR else None
        parts = _PARTS.fullmatch(payload)
        if parts is None:
            return
        before, _, to_coverage, _, to_state, _, to_index, _, to_cells, cells = parts.groups()
        fixed = [re.escape(part) for part in (before, to_coverage, to_state, to_index, to_cells)]
        found = list(_CELL.finditer(cells))
        self._widths = {2: 4, 3: parts.end(6) - parts.start(6), 4: parts.end(8) - parts.start(8)}
        self._widths |= {5 + i: len(cell[2]) for i, cell in enumerate(found)}
        shown = b",".join(
            re.escape(cell[1])
            + b'("vs":"[a-z0-9_]+" *'
            + (b'|"u":"' + re.escape(field.unit.encode()) + b'","v":-?[0-9.]+ *' if field.unit else b"")
            + b")\\}"
            for cell, field in zip(found, aggregate.terms.fields, strict=True)
        )
        self._pattern = re.compile(
            fixed[0] + rb"(\d{10})" + fixed[1] + rb"(\d\.\d\d)" + fixed[2] + b"(" + _STATE + b")"
            + fixed[3] + b"((?:0|[1-9][0-9]*) *)" + fixed[4] + shown + rb"\]"
        )  # fmt: skip

    def read(self, payload: bytes) -> Pack | None:
        """The varying part, or None for a payload that is not certainly of this layout."""
        if self._template is not None:
            found = self._template.decode(payload)
            return None if found is None else pack_of(found)
        match = self._pattern.fullmatch(payload) if self._pattern is not None and len(payload) == self._length else None
        if match is None or any(match.end(i) - match.start(i) != width for i, width in self._widths.items()):
            return None
        start, coverage, index = int(match[1]), int(match[2].replace(b".", b"")), int(match[4])
        state = match[3].split(b'"')[3].decode()
        reason = None if state == "complete" else NotCollected(state.removeprefix("not_collected:"))
        values = tuple(map(_value, match.groups()[4:]))
        collected = Cell.NOT_COLLECTED not in values if reason is None else set(values) == {Cell.NOT_COLLECTED}
        terms = self.aggregate.terms
        if (
            not collected
            or coverage > 100
            or coverage % COVERAGE_STEP_PERCENT
            or not FIRST_START <= start < END_START
            or start % terms.window_s
            or index >= MAX_LOG_INDEX
        ):
            return None
        known = [value for value in values if value is not None]
        if len(known) < len(values) or not all(
            field.fits(value, terms.threshold) for field, value in zip(terms.fields, known, strict=True)
        ):
            return None
        return Pack(start, coverage, reason, index, tuple(known))


def pack_of(aggregate: Aggregate) -> Pack:
    """The same part of a decoded pack."""
    return Pack(
        aggregate.window_start, aggregate.coverage_percent, aggregate.reason, aggregate.log_index, aggregate.values
    )


@lru_cache(maxsize=4096)
def _value(cell: bytes) -> Value | None:
    """None for a number that is not written as it would be."""
    words = _WORDS.fullmatch(cell)
    if words is not None:
        found = words[1].decode()
        return CELLS.get(found, found)
    number = _NUMBER.fullmatch(cell)
    if number is None:
        return None
    text = number[1].decode()
    value = Decimal(text) if "." in text else int(text)
    return value if written(value) == text else None
