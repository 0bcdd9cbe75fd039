"""TOML 1.0 with line numbers: `tomllib` parses, this file says where each key stands and checks shapes.

`tomllib` keeps no positions, so `_positions` walks the text once more and notes the line of every key. Fractions keep
decimals exact: `rho = 0.125` is 1/8, never a float.
"""

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any, NoReturn

from agent.errors import BadInput

MAX_BYTES = 256 * 1024
"""A policy that people read aloud is a few kilobytes; a file far beyond that is not one."""

MAX_NESTING = 32
"""tomllib recurses; nothing of ours nests deeper than four."""

Path = tuple[str | int, ...]

_HEADER = re.compile(r"^\s*(\[\[?)\s*([^\]]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(
    r"""^\s*((?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*'))*)\s*="""
)


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

    def refuse(self, key: str | None, *, expected: str, got: str, remedy: str = "") -> NoReturn:
        """Raise the file's error class at `key`."""
        name = ".".join(str(part) for part in (*self._path, *([key] if key is not None else [])))
        raise self._source.error(
            f"{self.where(key)}: {name}" if name else self.where(key), expected=expected, got=got, remedy=remedy
        )

    def get(self, key: str, kind: type | tuple[type, ...], expected: str, default: Any = ...) -> Any:
        """The value of `key` if it is a `kind`; `default` when absent, or an error when there is none."""
        self._known.append(key)
        if key not in self._values:
            if default is not ...:
                return default
            self.refuse(key, expected=expected, got="nothing", remedy=self._nearest_unread(key))
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
            self.refuse(key, expected=words, got=str(value)[:40])
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
        for item in value:
            if not isinstance(item, str) or not item or (pattern is not None and not re.fullmatch(pattern, item)):
                self.refuse(key, expected=f"an array of {expected}", got=describe(item))
        if len(set(value)) != len(value):
            self.refuse(key, expected=f"distinct {expected}", got="one of them twice")
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
        near = difflib.get_close_matches(key, unread, n=1)
        return (
            f"is {near[0]!r} at {self.where(near[0])} meant to be {key!r}?"
            if near
            else f"add {key} = …"
        )


def parse(text: str | bytes, name: str, error: type[BadInput]) -> Table:
    """Parse a whole file; `name` is used in messages, `error` is raised for everything wrong with it."""
    try:
        text = text.decode("utf-8") if isinstance(text, bytes) else text
    except UnicodeDecodeError as bad:
        raise error(f"{name}: byte {bad.start}", expected="UTF-8 text", got="another encoding") from None
    if len(text) > MAX_BYTES:
        raise error(name, expected=f"at most {MAX_BYTES} characters", got=f"{len(text)}")
    depth = deepest = 0
    for character in text:
        depth += (character in "[{") - (character in "]}")
        deepest = max(deepest, depth)
    if deepest > MAX_NESTING:
        raise error(name, expected=f"at most {MAX_NESTING} nested brackets", got="more")
    source = _Source(name, text, error)
    try:
        values = tomllib.loads(text, parse_float=_exact)
    except (tomllib.TOMLDecodeError, ValueError) as bad:
        message = str(bad)
        found = re.search(r"\(at line (\d+), column (\d+)\)", message)
        place = f"{name}:{found[1]}:{found[2]}" if found else f"{name}:{text.count(chr(10)) + 1}"
        raise error(place, expected="TOML 1.0", got=re.sub(r"\s*\(at .*\)$", "", message)[:120]) from None
    return Table(values, (), source)


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
        return str(value)[:40]
    if isinstance(value, Fraction):
        return f"{float(value):g}"
    if isinstance(value, list):
        return f"an array of {len(value)}"
    if isinstance(value, dict):
        return "a table"
    return type(value).__name__


def _exact(text: str) -> Fraction:
    if len(text) > 40 or not re.fullmatch(r"[+-]?[0-9_]+(\.[0-9_]+)?([eE][+-]?[0-9]{1,2})?", text):
        raise ValueError(f"Expected a plain decimal number, got {text[:40]!r}")
    return Fraction(text.replace("_", ""))


def nearest(word: str, choices: Iterable[str]) -> str:
    """`did you mean …?` with the nearest of `choices`, or nothing."""
    near = difflib.get_close_matches(word, list(choices), n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}?" if near else ""


class _Source:
    """A file's name, its key positions and the error class its faults raise."""

    def __init__(self, name: str, text: str | None, error: type[BadInput]) -> None:
        self.name = name
        self.error = error
        self._lines = _positions(text) if text is not None else None

    def line(self, path: Path) -> int:
        """The line of `path`, or of the nearest parent that has one."""
        lines = self._lines or {}
        while path and path not in lines:
            path = path[:-1]
        return lines.get(path, 1)

    def where(self, path: Path) -> str:
        return self.name if self._lines is None else f"{self.name}:{self.line(path)}"


def _positions(text: str) -> dict[Path, int]:
    """The line of each key and table header, for files in the usual form (one key a line)."""
    lines: dict[Path, int] = {}
    counts: dict[Path, int] = {}
    table: Path = ()
    quote = ""
    for number, line in enumerate(text.splitlines(), 1):
        if quote:
            quote = "" if quote in line else quote
            continue
        if header := _HEADER.match(line):
            table = _absolute(_split(header[2]), counts)
            if header[1] == "[[":
                counts[table] = counts.get(table, -1) + 1
                lines.setdefault(table, number)
                table = (*table, counts[table])
            lines.setdefault(table, number)
        elif key := _KEY.match(line):
            path = (*table, *_split(key[1]))
            for end in range(len(table) + 1, len(path) + 1):
                lines.setdefault(path[:end], number)
            rest = line[key.end() :]
            for mark in ('"""', "'''"):
                if rest.count(mark) == 1:
                    quote = mark
    return lines


def _absolute(path: Path, counts: Mapping[Path, int]) -> Path:
    """Insert the current index after each part that is an array of tables, except the last."""
    done: Path = ()
    for i, part in enumerate(path):
        done = (*done, part)
        if i + 1 < len(path) and done in counts:
            done = (*done, counts[done])
    return done


def _split(dotted: str) -> Path:
    return tuple(part.strip().strip("\"'") for part in re.findall(r'"[^"]*"|\'[^\']*\'|[^.\s]+', dotted))
