"""From text that others wrote to one plain line, or to a refusal. Pure.

What may stay: letters of any script with their joiners and zero-width blanks (Khmer is written with them), digits, punctuation. What is
reduced: line breaks and blanks to one blank, a Markdown link to its words, emphasis to what it emphasises. What is refused: anything
that a page could take for HTML, and characters that steer a terminal or turn a line around.
"""

import re
import unicodedata

from agent.errors import TaxonomyError

MAX_TEXT = 4_000
"""Characters; the longest official text has about 900."""

_LINK = re.compile(r"\[([^\[\]]*)\]\s?\((?:[^()]|\([^()]*\))*\)")
_EMPHASIS = re.compile(r"\\?\*")
_MARKUP = re.compile(
    r"<[A-Za-z/!?]|&(?:#|[A-Za-z][A-Za-z0-9]{1,31};)|\]\(|(?:javascript|data|vbscript):", re.IGNORECASE
)
_TOKENS = re.compile(rb'\\.|["\[\]{}]', re.DOTALL)
_JOINERS = "\u200b\u200c\u200d\u2060"


def plain(text: str, where: str) -> str:
    """The text on one plain line; raises TaxonomyError at `where`."""
    if len(text) > MAX_TEXT:
        _refuse(where, f"at most {MAX_TEXT:,} characters", f"{len(text):,}")
    text = _EMPHASIS.sub("", _LINK.sub(r"\1", text))
    text = " ".join(text.replace("\ufeff", "").split())
    if not text:
        _refuse(where, "text", "nothing or blanks")
    if found := _MARKUP.search(text):
        _refuse(where, "text without markup", repr(found[0]))
    for character in text:
        if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn") and character not in _JOINERS:
            _refuse(where, "printable text", f"the character U+{ord(character):04X}")
    return text


def depth(data: bytes) -> int:
    """How deep the brackets of a JSON text nest, strings left out; counted before anything recurses on it."""
    deepest = level = 0
    inside = False
    for token in _TOKENS.finditer(data):  # one pass, whatever the bytes
        mark = token[0]
        if mark == b'"':
            inside = not inside
        elif not inside and mark in (b"[", b"{"):
            level += 1
            deepest = max(deepest, level)
        elif not inside and mark in (b"]", b"}"):
            level -= 1
    return deepest


def _refuse(where: str, expected: str, got: str) -> None:
    raise TaxonomyError(
        where, expected=expected, got=got, remedy="ask the taxonomy's publisher, or import another export"
    )
