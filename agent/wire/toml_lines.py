"""Where each key and array element of a TOML text stands: what `tomllib` does not keep. Pure, linear in the text.

The walk is for texts that `tomllib` accepts; for any other it still ends without an error, with positions that nobody asks for. It
runs first: its bound keeps `tomllib` from recursing, and from time that grows with the square of a key's length.
"""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field

Path = tuple[str | int, ...]

_TOKEN = re.compile(
    r'''(?P<blank>[ \t\r]+)|(?P<newline>\n)|(?P<comment>\#[^\n]*)
      |(?P<text>"""(?:[^"\\]|\\[\s\S]|"(?!""))*(?:"""(?:"(?!"")){0,2}|\Z)|\'\'\'(?:[^\']|\'(?!\'\'))*(?:\'\'\'\'{0,2}|\Z)
               |"(?:[^"\\\n]|\\[^\n])*"?|\'[^\'\n]*\'?)
      |(?P<bare>[A-Za-z0-9_-]+)|(?P<mark>[.=,\[\]{}])|(?P<other>[\s\S])''',
    re.VERBOSE,
)


@dataclass(slots=True)
class Lines:
    """`of` maps a path to its line; `deepest` is the most nested bracket or the most dotted key, at line `deepest_line`."""

    of: dict[Path, int] = field(default_factory=dict)
    deepest: int = 0
    deepest_line: int = 1

    def _deep(self, depth: int, line: int) -> None:
        if depth > self.deepest:
            self.deepest, self.deepest_line = depth, line


@dataclass(slots=True)
class _Container:
    """An open array (`index` of its current element) or inline table (index None) and the path it is the value of."""

    path: Path
    index: int | None


def find_lines(text: str, max_depth: int) -> Lines:
    """Walk `text` once; stop where brackets or dotted keys go deeper than `max_depth`, since paths grow with it."""
    found = Lines()
    counts: dict[Path, int] = {}
    table: Path = ()
    value: Path = ()
    stack: list[_Container] = []
    parts: list[str] = []
    collecting = True
    header = ""
    for kind, piece, line in _tokens(text):
        if found.deepest > max_depth:
            break
        if kind in ("blank", "comment"):
            continue
        if kind == "newline":
            if not stack:
                parts, collecting, header = [], True, ""
            continue
        if kind in ("bare", "text", "other"):
            if collecting:
                parts.append(_word(piece) if kind == "text" else piece)
                found._deep(len(parts), line)
            elif stack and stack[-1].index is not None:
                found.of.setdefault((*stack[-1].path, stack[-1].index), line)
            continue
        if header or (not stack and collecting and not parts and piece == "["):
            if piece == "[":
                header += "["
            elif piece == "]" and header:
                if parts:
                    table = _header(found, counts, tuple(parts), array=header == "[[", line=line)
                parts, header, collecting = [], "closed", False
            continue
        match piece:
            case "=" if collecting:
                base = stack[-1].path if stack else table
                value = (*base, *parts)
                for end in range(len(base) + 1, len(value) + 1):
                    found.of.setdefault(value[:end], line)
                parts, collecting = [], False
            case "[" | "{" if not collecting or stack:
                if stack and stack[-1].index is not None:
                    value = (*stack[-1].path, stack[-1].index)
                    found.of.setdefault(value, line)
                stack.append(_Container(value, 0 if piece == "[" else None))
                collecting, parts = piece == "{", []
                found._deep(len(stack), line)
            case "]" | "}" if stack:
                stack.pop()
                collecting, parts = False, []
            case "," if stack:
                if (index := stack[-1].index) is not None:
                    stack[-1].index = index + 1
                collecting, parts = stack[-1].index is None, []
    return found


def _tokens(text: str) -> Iterator[tuple[str, str, int]]:
    line = 1
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup
        assert kind is not None
        yield kind, match[0], line
        line += match[0].count("\n")


def _header(found: Lines, counts: dict[Path, int], parts: Path, *, array: bool, line: int) -> Path:
    """Note a [table] or [[table]]; returns its path with the current index after each array of tables."""
    path: Path = ()
    for i, part in enumerate(parts):
        path = (*path, part)
        if i + 1 < len(parts) and path in counts:
            path = (*path, counts[path])
        found.of.setdefault(path, line)
    if array:
        counts[path] = counts.get(path, -1) + 1
        path = (*path, counts[path])
    found.of[path] = line
    return path


def _word(token: str) -> str:
    """The value of a quoted key."""
    if "\\" not in token:
        return token.strip(token[0])
    try:
        return str(tomllib.loads(f"k = {token}")["k"])
    except ValueError:
        return token
