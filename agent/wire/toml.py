"""TOML 1.0 with line numbers: `tomllib` parses, `toml_lines` says where each key stands, this file checks shapes.

Fractions keep decimals exact: `rho = 0.125` is 1/8, never a float.
"""

import datetime
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NoReturn

from agent.errors import BadInput
from agent.wire.toml_lines import Path, find_lines

MAX_BYTES = 256 * 1024
"""A policy that people read aloud is a few kilobytes; a file far beyond that is not one."""

MAX_NESTING = 32
"""tomllib recurses; nothing of ours nests deeper than four."""

_LONG_NUMBER = re.compile(r"[0-9][0-9_]{1000,}")


class Table:
    """One table of a parsed file: every read is checked, and what nobody read is an unknown key.

    Each getter raises the error class given to `parse`, naming `file:line`, what was expected and what was found.
    Call `done()` last: it refuses keys that no getter asked for and suggests the nearest known one.
    """

    def __init__(self, values: Mapping[str, Any], path: Path, source: "_Source") -> None:
        self._values = values
        self._path = path
        self._source = source
        self._known: list[str] = []

    def has(self, key: str) -> bool:
        """Is the key present? Marks it as known."""
        self._known.append(key)
        return key in self._values

    def where(self, key: str | None = None) -> str:
        """`file:line` of a key, or of this table."""
        return self._source.where((*self._path, key) if key is not None else self._path)

    def refuse(
        self, key: str | None, *, expected: str, got: str, remedy: str = "", item: int | None = None
    ) -> NoReturn:
        """Raise the file's error class at `key`, or at element `item` of the array that is its value."""
        path = (*self._path, *(part for part in (key, item) if part is not None))
        where = self._source.where(path)
        name = ".".join(str(part) for part in path)
        raise self._source.error(f"{where}: {name}" if name else where, expected=expected, got=got, remedy=remedy)

    def get(self, key: str, kind: type | tuple[type, ...], expected: str, default: Any = ...) -> Any:
        """The value of `key` if it is a `kind`; `default` when absent, or an error when there is none."""
        self._known.append(key)
        if key not in self._values:
            if default is not ...:
                return default
            self.refuse(
                key,
                expected=expected,
                got="nothing",
                remedy=self._nearest_unread(key) or ("" if "[" in expected else f"add {key} = …"),
            )
        value = self._values[key]
        kinds = kind if isinstance(kind, tuple) else (kind,)
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            self.refuse(key, expected=expected, got=describe(value))
        return value

    def text(
        self, key: str, default: Any = ..., *, pattern: str | None = None, max_length: int = 200, expected: str = "text"
    ) -> str:
        """A non-empty string of at most `max_length` characters that matches `pattern` whole."""
        value: str = self.get(key, str, expected, default)
        if key in self._values:
            if not value.strip() or len(value) > max_length:
                self.refuse(
                    key, expected=f"{expected} of 1 to {max_length} characters", got=f"{len(value.strip())} characters"
                )
            if any(ord(c) < 32 and c != "\n" for c in value):
                self.refuse(key, expected=f"{expected} without control characters", got="a control character")
            if pattern is not None and not re.fullmatch(pattern, value):
                self.refuse(key, expected=expected, got=describe(value))
        return value

    def integer(self, key: str, default: Any = ..., *, low: int, high: int, expected: str | None = None) -> int:
        """A whole number from `low` to `high`."""
        words = expected or f"a whole number from {low} to {high}"
        value: int = self.get(key, int, words, default)
        if key in self._values and not low <= value <= high:
            self.refuse(key, expected=words, got=describe(value))
        return value

    def fraction(self, key: str, default: Any = ..., *, low: Fraction, high: Fraction, expected: str) -> Fraction:
        """An exact number from `low` to `high`."""
        value = self.get(key, (int, Fraction), expected, default)
        if key in self._values and not low <= value <= high:
            self.refuse(key, expected=expected, got=describe(value))
        return Fraction(value)

    def boolean(self, key: str, default: Any = ...) -> bool:
        """true or false."""
        return bool(self.get(key, bool, "true or false", default))

    def choice(self, key: str, choices: Iterable[str], default: Any = ...) -> str:
        """One of `choices`; the error suggests the nearest."""
        choices = list(choices)
        words = "one of " + ", ".join(choices)
        value: str = self.get(key, str, words, default)
        if key in self._values and value not in choices:
            self.refuse(key, expected=words, got=describe(value), remedy=nearest(value, choices))
        return value

    def texts(
        self,
        key: str,
        default: Any = ...,
        *,
        pattern: str | None = None,
        low: int = 1,
        high: int = 64,
        expected: str = "texts",
    ) -> tuple[str, ...]:
        """An array of `low` to `high` distinct strings that each match `pattern` whole."""
        value = self.get(key, list, f"an array of {expected}", default)
        if key not in self._values:
            return tuple(value)
        if not low <= len(value) <= high:
            self.refuse(key, expected=f"{low} to {high} {expected}", got=str(len(value)))
        for i, item in enumerate(value):
            if not isinstance(item, str) or not item or (pattern is not None and not re.fullmatch(pattern, item)):
                self.refuse(key, item=i, expected=f"an array of {expected}", got=describe(item))
            if item in value[:i]:
                self.refuse(key, item=i, expected=f"distinct {expected}", got=f"{describe(item)} twice")
        return tuple(value)

    def table(self, key: str, *, optional: bool = False) -> "Table":
        """A sub-table; an empty one when absent and `optional`."""
        values = self.get(
            key, dict, f"a table [{'.'.join(str(p) for p in (*self._path, key))}]", {} if optional else ...
        )
        return Table(values, (*self._path, key), self._source)

    def tables(self, key: str, *, low: int = 1, high: int = 32) -> list["Table"]:
        """An array of tables, written `[[key]]`."""
        name = ".".join(str(p) for p in (*self._path, key))
        values = self.get(key, list, f"at least one [[{name}]]", [] if low == 0 else ...)
        if not low <= len(values) <= high or not all(isinstance(value, dict) for value in values):
            self.refuse(key, expected=f"{low} to {high} tables [[{name}]]", got=f"{len(values)} values")
        return [Table(value, (*self._path, key, i), self._source) for i, value in enumerate(values)]

    def names(self) -> list[str]:
        """The keys present, in file order; marks them all as known (for tables keyed by name)."""
        self._known.extend(self._values)
        return list(self._values)

    def done(self) -> None:
        """Refuse every key that no getter asked for."""
        for key in self._values:
            if key not in self._known:
                known = sorted(set(self._known))
                self.refuse(
                    key,
                    expected="a known key",
                    got=f"{key!r}",
                    remedy=nearest(key, known) or "known here: " + ", ".join(known),
                )

    def _nearest_unread(self, key: str) -> str:
        unread = [name for name in self._values if name not in self._known]
        near = _close(key, unread, 0.7)  # below, other known keys begin to look near
        return f"is {near[0]!r} at {self.where(near[0])} meant to be {key!r}?" if near else ""


def parse(text: str | bytes, name: str, error: type[BadInput]) -> Table:
    """Parse a whole file; `name` is used in messages, `error` is raised for everything wrong with it."""
    try:
        text = text.decode("utf-8") if isinstance(text, bytes) else text
    except UnicodeDecodeError as bad:
        raise error(f"{name}: byte {bad.start}", expected="UTF-8 text", got="another encoding") from None
    if len(text) > MAX_BYTES:
        raise error(name, expected=f"at most {MAX_BYTES} characters", got=f"{len(text)}")
    lines = find_lines(text, MAX_NESTING)
    if lines.deepest > MAX_NESTING:
        raise error(
            f"{name}:{lines.deepest_line}",
            expected=f"at most {MAX_NESTING} nested brackets or dotted parts",
            got="more",
        )
    if digits := _LONG_NUMBER.search(text):
        line = text.count("\n", 0, digits.start()) + 1
        raise error(f"{name}:{line}", expected="numbers of at most 1,000 digits", got=f"{len(digits[0])} digits")
    try:
        values = tomllib.loads(text, parse_float=_exact)
    except (tomllib.TOMLDecodeError, ValueError) as bad:
        message = str(bad)
        found = re.search(r"\(at line (\d+), column (\d+)\)", message)
        place = (
            f"{name}:{found[1]}:{found[2]}" if found else f"{name}:{text.count(chr(10)) + 1}"
        )  # "(at end of document)"
        raise error(place, expected="TOML 1.0", got=re.sub(r"\s*\(at .*\)$", "", message)[:120]) from None
    return Table(values, (), _Source(name, lines.of, error))


def tree(values: Mapping[str, Any], name: str, error: type[BadInput]) -> Table:
    """The same checks over values that did not come from a text: messages name `name` and the key, without a line."""
    return Table(values, (), _Source(name, None, error))


def describe(value: Any) -> str:
    """A short description of a value for an error message."""
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else value[:57] + "…")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if abs(value) < 10**40 else f"a number of {value.bit_length()} bits"
    if isinstance(value, Fraction):
        return f"{float(value):g}"
    if isinstance(value, _Odd):
        return value.text[:40]
    if isinstance(value, datetime.date | datetime.time):
        return str(value)
    if isinstance(value, list):
        return f"an array of {len(value)}"
    if isinstance(value, dict):
        return "a table"
    return type(value).__name__


@dataclass(frozen=True, slots=True)
class _Odd:
    """A TOML float that is no plain decimal (inf, nan, forty digits): no getter takes it, so it is refused at its key."""

    text: str


def _exact(text: str) -> Fraction | _Odd:
    if len(text) > 40 or not re.fullmatch(r"[+-]?[0-9_]+(\.[0-9_]+)?([eE][+-]?[0-9]{1,2})?", text):
        return _Odd(text)
    return Fraction(text.replace("_", ""))


def nearest(word: str, choices: Iterable[str]) -> str:
    """`did you mean …?` with the nearest of `choices`, or nothing."""
    near = _close(word, list(choices), 0.6)
    return f"did you mean {near[0]!r}?" if near else ""


def _close(word: str, choices: list[str], cutoff: float) -> list[str]:
    """At most one of `choices`. The daemons, which read policies that were checked before they were signed, need no difflib in memory."""
    import difflib  # the same

    return difflib.get_close_matches(word, choices, n=1, cutoff=cutoff)


class _Source:
    """A file's name, its key positions and the error class its faults raise."""

    def __init__(self, name: str, lines: Mapping[Path, int] | None, error: type[BadInput]) -> None:
        self.name = name
        self.error = error
        self._lines = lines

    def line(self, path: Path) -> int:
        """The line of `path`, or of the nearest parent that has one."""
        lines = self._lines or {}
        while path and path not in lines:
            path = path[:-1]
        return lines.get(path, 1)

    def where(self, path: Path) -> str:
        return self.name if self._lines is None else f"{self.name}:{self.line(path)}"
