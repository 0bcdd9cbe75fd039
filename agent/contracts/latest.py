"""The figures last published, for a reader without internet: anonymizer -> public folder -> beacon -> phones. Pure.

    COSE_Sign1 by the unit over {0: form 2, 1: "city/site/unit",
                                 2: [[stream, window start, window s, state, policy version, [[cell, unit, value], …]], …], 3: streams left out}

Invariant: it says nothing that a Release did not say: it is made from the packs of logged Releases alone, one a stream (I4). A value is a number
(a decimal is [exponent, mantissa], RFC 8949 section 3.4.4) or words, `suppressed` and `not_collected` among them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from agent.contracts.cells import Cell, Value, plain, written
from agent.contracts.log import Release
from agent.contracts.public import MAX_LATEST_BYTES
from agent.contracts.release import governed
from agent.errors import EncodingError
from agent.wire import cbor, cose

if TYPE_CHECKING:  # as in wire/cose: only sealing needs cryptography
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

FORM = 2
"""An envelope's payload begins with key 1, a compact disclosure's with form 1: no signature given for one counts for another."""

_PATH = re.compile(r"[a-z0-9-]{1,32}(?:/[a-z0-9-]{1,32}){2}")
_TEXT = re.compile(r"[ -~]{0,64}")
_MAX_DIGITS = 18
"""A number of more characters stands as words: CBOR's integers, and phones', end at 64 bits and before."""

_MAX_NUMBER = 10**_MAX_DIGITS
_MAX_SECONDS = 10**10


@dataclass(frozen=True, slots=True)
class Figures:
    """One stream's newest window: `start` (Unix seconds) and `length_s`, `state` ("complete" or why not), its cells (name, unit, value)."""

    stream: str
    start: int
    length_s: int
    state: str
    policy_version: int
    cells: tuple[tuple[str, str, int | Decimal | str], ...]


@dataclass(frozen=True, slots=True)
class Latest:
    """The unit's path `city/site/unit`, the newest window of each stream, and how many streams did not fit."""

    path: str
    figures: tuple[Figures, ...]
    left_out: int = 0

    def encode(self) -> bytes:
        """The payload's one encoding."""
        return cbor.encode({0: FORM, 1: self.path, 2: [_written(one) for one in self.figures], 3: self.left_out})


def figures_of(release: Release) -> Figures:
    """What a logged Release published; raise LogDamaged when it holds no pack of its own."""
    window = governed(release)
    cells = zip(window.terms.fields, window.values, strict=True)
    return Figures(
        stream=release.stream,
        start=window.window_start,
        length_s=window.terms.window_s,
        state=window.state,
        policy_version=window.terms.policy_version,
        cells=tuple((field.name, field.unit, _said(value)) for field, value in cells),
    )


def seal_latest(path: str, figures: Sequence[Figures], key: "Ed25519PrivateKey") -> bytes:
    """Sign as many as fit MAX_LATEST_BYTES, in order; the others are counted."""
    for shown in range(len(figures), -1, -1):
        message = cose.sign1(Latest(path, tuple(figures[:shown]), len(figures) - shown).encode(), key)
        if len(message) <= MAX_LATEST_BYTES:
            return message
    raise AssertionError("unreachable")


def open_latest(message: bytes, public_key: bytes) -> Latest:
    """Verify and read; raise EncodingError or SignatureError."""
    return decode_latest(cose.verify1(message, public_key, max_bytes=MAX_LATEST_BYTES))


def read_latest(message: bytes) -> Latest:
    """Read without verifying (the beacon, on the same unit); raise EncodingError or SignatureError (a header that must be understood)."""
    return decode_latest(cose.decode_sign1(message, max_bytes=MAX_LATEST_BYTES).payload or b"")


def decode_latest(payload: bytes) -> Latest:
    """Decode a payload; raise EncodingError for anything that `encode` would not have written."""
    match cbor.decode(payload, max_bytes=MAX_LATEST_BYTES, max_depth=6):
        case {0: int(form), 1: str(path), 2: list(items), 3: int(left_out)} as item if (
            len(item) == 4
            and form == FORM
            and not isinstance(form, bool)
            and not isinstance(left_out, bool)
            and 0 <= left_out < 2**16
            and _PATH.fullmatch(path)
        ):
            return Latest(path, tuple(_figures(one) for one in items), left_out)
    raise EncodingError("latest", expected="a map of form 2 with the keys 0 to 3", got="another")


def _said(value: Value) -> int | Decimal | str:
    return value.value if isinstance(value, Cell) else value


def _written(one: Figures) -> list[object]:
    cells = [[name, unit, _number(value)] for name, unit, value in one.cells]
    return [one.stream, one.start, one.length_s, one.state, one.policy_version, cells]


def _number(value: int | Decimal | str) -> object:
    if isinstance(value, str):
        return value
    if len(written(value)) > _MAX_DIGITS:
        return written(value)
    if isinstance(value, int):
        return value
    sign, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    mantissa = int("".join(map(str, digits)))
    return [exponent, -mantissa if sign else mantissa]


def _figures(item: object) -> Figures:
    match item:
        case [str(stream), int(start), int(length_s), str(state), int(version), list(cells)] if (
            not any(isinstance(number, bool) for number in (start, length_s, version))
            and all(_TEXT.fullmatch(text) for text in (stream, state))
            and 0 <= start < _MAX_SECONDS
            and 0 < length_s < _MAX_SECONDS
            and 0 < version < 2**32
        ):
            return Figures(stream, start, length_s, state, version, tuple(_cell(cell) for cell in cells))
    raise EncodingError("latest", expected="[stream, start, length, state, policy, cells]", got="another")


def _cell(item: object) -> tuple[str, str, int | Decimal | str]:
    match item:
        case [str(name), str(unit), str(words)] if all(_TEXT.fullmatch(text) for text in (name, unit, words)):
            return name, unit, words
        case [str(name), str(unit), value] if _TEXT.fullmatch(name) and _TEXT.fullmatch(unit):
            return name, unit, _value(value)
    raise EncodingError("latest", expected="[cell, unit, value]", got="another")


def _value(item: object) -> int | Decimal:
    match item:
        case bool():
            pass
        case int(number) if abs(number) < _MAX_NUMBER:
            return number
        case [int(exponent), int(mantissa)] if (
            -6 <= exponent <= 0
            and abs(mantissa) < _MAX_NUMBER
            and not any(isinstance(number, bool) for number in (exponent, mantissa))
        ):
            value = Decimal(mantissa).scaleb(exponent)
            if plain(value) and _number(value) == item:
                return value
    raise EncodingError("latest value", expected="a number of at most six decimals", got="another")
