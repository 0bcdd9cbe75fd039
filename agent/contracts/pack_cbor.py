"""Packs of one stream in CBOR: the records of contracts/aggregate, then one record `filler` whose octets (zeros, `vd`) make up for what they are short.

Invariant: for one stream under one policy and one noise every pack has the same length, whatever the window held (I6). The filler never changes
the length of its own head, or some lengths could not be reached. How wide a cell may become does not show in a pack, unlike in JSON: such terms have
their length instead (`in_cbor`).
"""

from dataclasses import replace
from decimal import Decimal

from agent.contracts.cells import (
    CELLS,
    COUNT,
    DEVICES,
    END_START,
    FIRST_START,
    MAX_WIDTH,
    SINCE,
    Cell,
    Field,
    Value,
    written,
)
from agent.contracts.governed import MAX_LOG_INDEX, Aggregate, NotCollected, PackTerms
from agent.contracts.pack_records import STATES, records_of
from agent.errors import EncodingError
from agent.wire import cbor, senml_cbor
from agent.wire.cbor import ARRAY, BYTES, NEGATIVE, TEXT, UNSIGNED
from agent.wire.senml import Record

FILLER = "filler"
_FILLER = b"\xa2\x00\x66filler\x08"
_MAX_PLACES = 6
_DECIMAL = b"\xc4\x82"
"""Tag 4, an array of two: exponent and mantissa."""

_CLASSES = ((24, 1 << 8, 2), (1 << 8, 1 << 16, 3))
"""Octets of a filler from, below, and the octets of its head."""


def in_cbor(terms: PackTerms) -> PackTerms:
    """The terms of the same packs in CBOR: as long as the longest of them needs; raise EncodingError when they cannot be so encoded."""
    frame = CborFrame(terms)
    shortest, longest = frame.extent()
    for low, end, head in _CLASSES:
        if longest - shortest + low < end:
            fields = tuple(Field(field.name, field.unit, MAX_WIDTH) for field in terms.fields)
            return replace(terms, fields=fields, cbor_bytes=longest + len(_FILLER) + head + low)
    raise EncodingError("aggregate", expected="cells that a filler can make up for", got="too many")


class CborFrame:
    """What all packs of some terms have in common: octets between what varies, and of each cell its beginnings."""

    __slots__ = ("_cells", "_coverage", "_fixed", "_index", "_state", "_total", "_window", "length", "terms")

    def __init__(self, t: PackTerms) -> None:
        blank = Aggregate(t, FIRST_START, 0, NotCollected.GATE, 0, (Cell.NOT_COLLECTED,) * len(t.fields))
        records = records_of(blank)
        head = [senml_cbor.encode_record(record) for record in records[: len(records) - len(t.fields)]]
        self.terms = t
        self.length = t.cbor_bytes or 0
        self._total = b"" if t.total_noise_sd is None else head.pop()
        self._window = cbor.head(ARRAY, len(records) + 1) + head[0].removesuffix(cbor.head(UNSIGNED, FIRST_START))
        self._coverage = head[1].removesuffix(cbor.head(UNSIGNED, 0))
        self._state = head[2].removesuffix(_text(blank.state))
        self._fixed = b"".join(head[3:-1])
        self._index = head[-1].removesuffix(cbor.head(UNSIGNED, 0))
        self._cells = tuple(
            (
                senml_cbor.encode_record(Record(n=f"cell/{field.name}", u=field.unit, v=0))[:-1],
                senml_cbor.encode_record(Record(n=f"cell/{field.name}", vs=""))[:-1],
            )
            for field in t.fields
        )

    def write(self, a: Aggregate) -> bytes:
        """The pack of a window of these terms that is within its bounds; raise EncodingError when it does not fit the length."""
        parts = [
            self._window, cbor.head(UNSIGNED, a.window_start),
            self._coverage, cbor.head(UNSIGNED, a.coverage_percent),
            self._state, _text(a.state),
            self._fixed,
            self._index, cbor.head(UNSIGNED, a.log_index),
            self._total,
        ]  # fmt: skip
        for (number, words), value in zip(self._cells, a.values, strict=True):
            parts += (words, _text(value)) if isinstance(value, str) else (number, _number(value))
        pack = b"".join(parts)
        left = self.length - len(pack) - len(_FILLER)
        for low, end, head in _CLASSES:
            if low <= left - head < end:
                return pack + _FILLER + cbor.head(BYTES, left - head) + bytes(left - head)
        raise EncodingError("aggregate", expected=f"a window that fits {self.length} bytes", got="another")

    def read(self, payload: bytes) -> Aggregate:
        """The window whose pack this is, its bounds unchecked; raise ValueError, LookupError or EncodingError for any other bytes."""
        at = _past(payload, 0, self._window)
        start, at = _read_integer(payload, at)
        percent, at = _read_integer(payload, _past(payload, at, self._coverage))
        state, at = _read_text(payload, _past(payload, at, self._state))
        log_index, at = _read_integer(payload, _past(payload, _past(payload, at, self._fixed), self._index))
        at = _past(payload, at, self._total)
        values: list[Value] = []
        value: Value
        for number, words in self._cells:
            if payload.startswith(number, at):
                value, at = _read_number(payload, at + len(number))
            else:
                text, at = _read_text(payload, _past(payload, at, words))
                value = CELLS.get(text, text)
            values.append(value)
        reason = None if state == "complete" else NotCollected(state.removeprefix("not_collected:"))
        found = Aggregate(self.terms, start, percent, reason, log_index, tuple(values))
        if self.write(found) != payload:
            raise ValueError("another encoding, or another filler")
        return found

    def extent(self) -> tuple[int, int]:
        """Octets of the shortest and the longest pack of these terms, without the filler."""
        fixed = (self._window, self._coverage, self._state, self._fixed, self._index, self._total)
        least = [cbor.head(UNSIGNED, FIRST_START), cbor.head(UNSIGNED, 0), _text(min(STATES, key=len)), b"\0"]
        most = [
            cbor.head(UNSIGNED, END_START - 1),
            cbor.head(UNSIGNED, 100),
            _text(max(STATES, key=len)),
            cbor.head(UNSIGNED, MAX_LOG_INDEX - 1),
        ]
        cells = [
            (len(number), len(words), field)
            for (number, words), field in zip(self._cells, self.terms.fields, strict=True)
        ]
        return (
            sum(map(len, (*fixed, *least))) + sum(min(number + 1, words + 2) for number, words, _ in cells),
            sum(map(len, (*fixed, *most)))
            + sum(max(number + _most_number(field), words + _most_words(field)) for number, words, field in cells),
        )


def _most_number(field: Field) -> int:
    """Octets of the longest number of so many characters; one that CBOR's integers cannot hold is refused when it comes."""
    if not field.unit:
        return 0
    whole = len(cbor.head(UNSIGNED, min(10**field.width, 1 << 64) - 1))
    if field.name == SINCE or (field.unit == COUNT and field.name != DEVICES[1]):
        return whole
    digits = max(field.width - 1, 1)
    return max(whole, len(_DECIMAL) + 1 + len(cbor.head(UNSIGNED, min(10**digits, 1 << 64) - 1)))


def _most_words(field: Field) -> int:
    """Octets of the longest words: the states of a cell, and what one without a unit may say."""
    longest = max(map(len, Cell))
    return len(_text(" " * max(longest, 0 if field.unit else field.width)))


def _text(text: str) -> bytes:
    return cbor.head(TEXT, len(text)) + text.encode("ascii")


def _number(value: int | Decimal) -> bytes:
    """An integer, or a decimal fraction with as many places as it is written with."""
    if isinstance(value, Decimal):
        text = written(value)
        places = len(text.partition(".")[2])
        if places:
            return _DECIMAL + cbor.head(NEGATIVE, places - 1) + _integer(int(text.replace(".", "")))
    return _integer(int(value))


def _integer(value: int) -> bytes:
    return cbor.head(UNSIGNED, value) if value >= 0 else cbor.head(NEGATIVE, -1 - value)


def _past(payload: bytes, at: int, expected: bytes) -> int:
    if not payload.startswith(expected, at):
        raise ValueError("other terms")
    return at + len(expected)


def _read_head(payload: bytes, at: int) -> tuple[int, int, int]:
    """Major type and argument of an item, in whatever form, and where it goes on; raise ValueError or IndexError."""
    major, low = payload[at] >> 5, payload[at] & 31
    if low < 24:
        return major, low, at + 1
    if low > 27:
        raise ValueError("an indefinite item")
    end = at + 1 + (1 << low - 24)
    return major, int.from_bytes(payload[at + 1 : end], "big"), end


def _read_integer(payload: bytes, at: int) -> tuple[int, int]:
    major, argument, end = _read_head(payload, at)
    if major > NEGATIVE:
        raise ValueError("no integer")
    return (-1 - argument if major else argument), end


def _read_text(payload: bytes, at: int) -> tuple[str, int]:
    major, length, start = _read_head(payload, at)
    if major != TEXT:
        raise ValueError("no text")
    return payload[start : start + length].decode("ascii"), start + length


def _read_number(payload: bytes, at: int) -> tuple[int | Decimal, int]:
    if not payload.startswith(_DECIMAL, at):
        return _read_integer(payload, at)
    exponent, at = _read_integer(payload, at + len(_DECIMAL))
    if not -_MAX_PLACES <= exponent < 0:
        raise ValueError("no decimal fraction of a cell")
    digits, at = _read_integer(payload, at)
    return Decimal(f"{digits}E{exponent}"), at
