"""Reads many packs of one stream and policy fast: what cannot vary is compared, what can is read in its place. Pure.

Invariant: `Layout.read` returns only what `contracts/aggregate.decode`, which is strict, would return for the same bytes; anything it does not
know is None, and the caller asks `decode` (which made the layout in the first place).
"""

import re
from typing import NamedTuple

from agent.contracts.aggregate import (
    COVERAGE_STEP_PERCENT,
    END_START,
    FIRST_START,
    MAX_LOG_INDEX,
    Aggregate,
    Cell,
    NotCollected,
)

_PARTS = re.compile(
    rb'(\[\{"bn":"[^"]*","bt":)(\d{10})(,"n":"window","u":"s","v":\d+\},\{"n":"coverage","u":"/","v":)(\d\.\d\d)'
    rb'(\},\{"n":"state",)("vs":"[a-z_:]*" *)(\},\{"n":"noise_sd".*\{"n":"log_index","v":)(\d+ *)(\},)(\{"n":"cell/.*\})\]'
)
_STATE = b'"vs":"(complete|not_collected:(?:' + b"|".join(str(reason).encode() for reason in NotCollected) + b'))" *'
_CELL = re.compile(rb'\{"n":"cell/([a-z0-9_]+)",([^}]*)\}')


class Pack(NamedTuple):
    """What varies from window to window. `reason` is None for a complete window."""

    window_start: int
    coverage_percent: int
    reason: NotCollected | None
    log_index: int
    values: tuple[int | Cell, ...]


class Layout:
    """The layout of `payload`, of which `aggregate` is the decoded form."""

    def __init__(self, payload: bytes, aggregate: Aggregate) -> None:
        self.aggregate = aggregate
        self._length = len(payload)
        self._pattern: re.Pattern[bytes] | None = None
        parts = _PARTS.fullmatch(payload)
        if parts is None:
            return
        before, _, to_coverage, _, to_state, _, to_index, _, to_cells, cells = parts.groups()
        fixed = [re.escape(part) for part in (before, to_coverage, to_state, to_index, to_cells)]
        found = list(_CELL.finditer(cells))
        self._widths = {2: 4, 3: parts.end(6) - parts.start(6), 4: parts.end(8) - parts.start(8)}
        self._widths |= {5 + i: len(cell[2]) for i, cell in enumerate(found)}
        shown = b",".join(
            b'\\{"n":"cell/'
            + cell[1]
            + b'",("u":"count","v":(?:0|[1-9][0-9]*) *|"vs":"(?:suppressed|not_collected)" *)\\}'
            for cell in found
        )
        self._pattern = re.compile(
            fixed[0] + rb"(\d{10})" + fixed[1] + rb"(\d\.\d\d)" + fixed[2] + b"(" + _STATE.replace(b"(complete", b"(?:complete") + b")"
            + fixed[3] + b"((?:0|[1-9][0-9]*) *)" + fixed[4] + shown + rb"\]"
        )  # fmt: skip

    def read(self, payload: bytes) -> Pack | None:
        """The varying part, or None for a payload that is not certainly of this layout."""
        match = self._pattern.fullmatch(payload) if self._pattern is not None and len(payload) == self._length else None
        if match is None or any(match.end(i) - match.start(i) != width for i, width in self._widths.items()):
            return None
        start, coverage, index = int(match[1]), int(match[2].replace(b".", b"")), int(match[4])
        state = match[3].split(b'"')[3].decode()
        reason = None if state == "complete" else NotCollected(state.removeprefix("not_collected:"))
        values = tuple(_value(cell) for cell in match.groups()[4:])
        collected = Cell.NOT_COLLECTED not in values if reason is None else set(values) == {Cell.NOT_COLLECTED}
        if (
            not collected
            or coverage > 100
            or coverage % COVERAGE_STEP_PERCENT
            or not FIRST_START <= start < END_START
            or start % self.aggregate.window_s
            or index >= MAX_LOG_INDEX
        ):
            return None
        return Pack(start, coverage, reason, index, values)


def pack_of(aggregate: Aggregate) -> Pack:
    """The same part of a decoded pack."""
    values = tuple(value for _, value in aggregate.cells)
    return Pack(aggregate.window_start, aggregate.coverage_percent, aggregate.reason, aggregate.log_index, values)


def _value(cell: bytes) -> int | Cell:
    if cell.startswith(b'"u"'):
        return int(cell[len(b'"u":"count","v":') :])
    return Cell(cell.split(b'"')[3].decode())
