"""Packs of one stream in JSON: each record that can vary is padded with blanks to a width that follows from the terms. Pure.

Invariant: every value stands at the same place in all of them, whatever it is, so that reading is slicing; what is read is what would be written.
"""

from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache

from agent.contracts.cells import CELLS, FIRST_START, Cell, Field, Value, unit_of, written
from agent.contracts.governed import MAX_LOG_INDEX, Aggregate, NotCollected, PackTerms
from agent.contracts.guarantee import Guarantee
from agent.contracts.pack_records import STATES, records_of
from agent.wire import senml
from agent.wire.senml import Record

STATE_WIDTH = len('{"n":"state","vs":""}') + max(map(len, STATES))
LOG_INDEX_WIDTH = len('{"n":"log_index","v":}') + len(str(MAX_LOG_INDEX - 1))


def layout(a: Aggregate) -> tuple[list[Record], list[int]]:
    """The records of a pack, and the characters that each is padded to, 0 for as long as it is."""
    records = records_of(a)
    varying = {"state": STATE_WIDTH, "log_index": LOG_INDEX_WIDTH}
    varying |= {f"cell/{field.name}": field.record_width for field in a.terms.fields}
    return records, [varying.get(record.n or "", 0) for record in records]


class JsonFrame:
    """What all packs of some terms have in common: text between what varies, and of each cell its beginnings and its width but for the brace."""

    __slots__ = ("_base", "_cells", "_fixed", "_places", "_total", "_window", "length", "terms")

    def __init__(self, t: PackTerms) -> None:
        blank = Aggregate(t, FIRST_START, 0, NotCollected.GATE, 0, (Cell.NOT_COLLECTED,) * len(t.fields))
        records, widths = layout(blank)
        self.terms = t
        self.length = len(senml.encode(records, widths))
        window, coverage, *fixed = (senml.encode_record(record) for record in records[: len(records) - len(t.fields)])
        self._total = "" if t.total_noise_sd is None else f"}},{fixed.pop()}".removesuffix("}")
        base, start, rest = window.partition(str(FIRST_START))
        assert start
        self._base = f"[{base}"
        self._window = f"{rest},{coverage.removesuffix('0.00}')}"
        self._fixed = ",".join(fixed[1:-1]).removesuffix("}")
        self._cells = tuple(
            (
                f'{{"n":"cell/{field.name}","u":"{field.unit}","v":',
                f'{{"n":"cell/{field.name}","vs":"',
                field.record_width - 1,
            )
            for field in t.fields
        )
        self._places = self._find_places()

    def write(self, a: Aggregate) -> bytes:
        """The pack of a window of these terms that is within its bounds."""
        parts = [
            f"{self._base}{a.window_start}{self._window}{a.coverage}",
            f'{{"n":"state","vs":"{a.state}"'.ljust(STATE_WIDTH - 1),
            self._fixed,
            f'{{"n":"log_index","v":{a.log_index}'.ljust(LOG_INDEX_WIDTH - 1) + self._total,
        ]
        for (number, words, width), value in zip(self._cells, a.values, strict=True):
            text = f'{words}{value}"' if isinstance(value, str) else number + written(value)
            parts.append(text.ljust(width))
        return ("},".join(parts) + "}]").encode("ascii")

    def read(self, payload: bytes) -> Aggregate:
        """The window whose pack this is, its bounds unchecked; raise ValueError for any other bytes."""
        start, coverage, state, index, cells, fixed = self._places
        if len(payload) != self.length:
            raise ValueError("another length")
        for at, text in fixed:
            if not payload.startswith(text, at):
                raise ValueError("other terms")
        values: list[Value] = []
        for number, words, at, end in cells:
            if payload.startswith(number, at):
                values.append(_number(payload[at + len(number) : end]))
            elif payload.startswith(words, at):
                values.append(_words(payload[at + len(words) : end]))
            else:
                raise ValueError("another cell")
        log_index = _number(payload[index])
        if not isinstance(log_index, int):
            raise ValueError("a number that is not whole")
        return Aggregate(
            self.terms,
            _whole(payload[start]),
            _COVERAGES[payload[coverage]],
            _REASONS[payload[state]],
            log_index,
            tuple(values),
        )

    def _find_places(self) -> "_Places":
        fixed: list[tuple[int, bytes]] = []
        at = 0

        def past(text: str) -> None:
            nonlocal at
            fixed.append((at, text.encode("ascii")))
            at += len(text)

        def varying(width: int) -> slice:
            nonlocal at
            at += width
            return slice(at - width, at)

        past(self._base)
        start = varying(len(str(FIRST_START)))
        past(self._window)
        coverage = varying(len("0.00"))
        past("},")
        state = varying(STATE_WIDTH - 1)
        past(f"}},{self._fixed}}},{_LOG_INDEX}")
        index = varying(LOG_INDEX_WIDTH - 1 - len(_LOG_INDEX))
        past(self._total)
        cells = []
        for number, words, width in self._cells:
            past("},")
            place = varying(width)
            cells.append((number.encode("ascii"), words.encode("ascii"), place.start, place.stop))
        past("}]")
        assert at == self.length
        return start, coverage, state, index, tuple(cells), tuple(fixed)


_Places = tuple[slice, slice, slice, slice, tuple[tuple[bytes, bytes, int, int], ...], tuple[tuple[int, bytes], ...]]
"""Of the window's start, coverage, state, log index, and of each cell: its beginnings, start and end; then what is the same in all, and where."""

_LOG_INDEX = '{"n":"log_index","v":'
_COVERAGES = {f"{percent / 100:.2f}".encode(): percent for percent in range(101)}
_REASONS: Mapping[bytes, NotCollected | None] = {
    f'{{"n":"state","vs":"{state}"'.ljust(STATE_WIDTH - 1).encode(): reason
    for state, reason in zip(STATES, (None, *NotCollected), strict=True)
}


def fields_of(payload: bytes, names: list[str], noise_unit: str, guarantee: Guarantee) -> tuple[Field, ...]:
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


@lru_cache(maxsize=8192)
def _number(padded: bytes) -> int | Decimal:
    """Only for the one way to write it."""
    text = padded.rstrip(b" ").decode("ascii")
    try:
        value = Decimal(text) if "." in text else int(text)
    except ArithmeticError:
        raise ValueError("no number") from None
    if written(value) != text:
        raise ValueError("a number written otherwise")
    return value


def _whole(text: bytes) -> int:
    if not text.isdigit():
        raise ValueError("no whole number")
    return int(text)


@lru_cache(maxsize=1024)
def _words(padded: bytes) -> Value:
    text = padded.rstrip(b" ").decode("ascii")
    if not text.endswith('"') or '"' in text[:-1]:
        raise ValueError("no words")
    return CELLS.get(text[:-1], text[:-1])
