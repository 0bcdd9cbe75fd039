"""The values of a policy's text, each with its own message: words, lengths of time, exact numbers, dates, element ids. Pure.

Every refusal is the table's error class with file:line, what was expected, what was found, and the nearest known word where there is one.
"""

import datetime
import re
from collections.abc import Iterable
from fractions import Fraction

from agent.policy.words import UNITS_S, exact_words, time_words
from agent.wire import toml

DAY_S = 86_400

MAX_LIFE_S = 1_827 * DAY_S
"""Five years, two leap days included: what people decide ends while they live to see it, and keys get lost meanwhile."""

MAX_DENOMINATOR = 1_000_000
"""Exact fractions stay small enough to read, to sign and to sample from."""

MAX_TEXT_WORDS = 15
"""A resident reads each text inside one sentence of at most twenty words."""

_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?) (second|minute|hour|day|week)s?")
_UNIT_S = {**UNITS_S, "week": 7 * DAY_S}
_RATIO = re.compile(r"(-?[0-9]{1,7})/([1-9][0-9]{0,6})")
_JOINERS = "\u200c\u200d"
_EARLIEST = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
_LATEST = datetime.datetime(2200, 1, 1, tzinfo=datetime.UTC)
_A_TIME = 'a length of time such as "15 minutes"'


def check_life(table: toml.Table, issued: int, expires: int, remedy: str) -> None:
    """Refuse, at `expires`, what does not end within MAX_LIFE_S of `issued` (Unix seconds both)."""
    if expires - issued > MAX_LIFE_S:
        table.refuse(
            "expires",
            expected="at most 5 years after issued",
            got=f"{(expires - issued) // DAY_S} days after it",
            remedy=remedy,
        )


def words(table: toml.Table, key: str, max_length: int, expected: str) -> str:
    """One line that people read: printable, no leading or trailing blanks."""
    return _line(table, key, None, table.text(key, max_length=max_length, expected=expected), expected)


def lines(table: toml.Table, key: str, max_length: int, high: int, expected: str) -> tuple[str, ...]:
    """None to `high` of the same, each once."""
    found = table.texts(key, low=0, high=high, expected=expected)
    for i, text in enumerate(found):
        if len(text) > max_length:
            table.refuse(key, item=i, expected=f"{expected} of 1 to {max_length} characters", got=f"{len(text)}")
        _line(table, key, i, text, expected)
    return found


def _line(table: toml.Table, key: str, item: int | None, text: str, expected: str) -> str:
    if any(not (c.isprintable() or c in _JOINERS) for c in text):
        table.refuse(
            key, item=item, expected=f"{expected}, printable on one line", got="a control or direction character"
        )
    if len(text.split()) > MAX_TEXT_WORDS:
        table.refuse(
            key,
            item=item,
            expected=f"{expected} of at most {MAX_TEXT_WORDS} words",
            got=f"{len(text.split())} words",
        )
    if text != text.strip():
        table.refuse(key, item=item, expected=f"{expected}, without blanks at its ends", got="a blank at an end")
    return text


def chosen(
    table: toml.Table, key: str, known: Iterable[str], expected: str, *, low: int = 1, high: int | None = None
) -> tuple[str, ...]:
    """Distinct ones of `known`, in their order."""
    known = tuple(known)
    found = table.texts(key, low=low, high=len(known) if high is None else high, expected=f"{expected}s")
    for i, word in enumerate(found):
        if word not in known:
            table.refuse(
                key,
                item=i,
                expected=f"a {expected}",
                got=toml.describe(word),
                remedy=toml.nearest(word, known) or "known: " + ", ".join(known),
            )
    return found


def duration(table: toml.Table, key: str, *, low: int, high: int) -> Fraction:
    """A length of time such as "15 minutes", in seconds from `low` to `high`, exact to a millisecond."""
    return _duration(table, key, None, table.get(key, str, _A_TIME), low, high)


def durations(table: toml.Table, key: str, *, low: int, high: int, most: int) -> tuple[int, ...]:
    """One to `most` lengths of time in whole seconds, each longer than the one before."""
    found: list[int] = []
    for i, text in enumerate(table.texts(key, low=1, high=most, expected="lengths of time")):
        seconds_ = _duration(table, key, i, text, low, high)
        if seconds_.denominator != 1:
            table.refuse(key, item=i, expected="whole seconds", got=f"{float(seconds_):g} seconds")
        if found and seconds_ <= found[-1]:
            table.refuse(key, item=i, expected=f"longer than {time_words(found[-1])}", got=toml.describe(text))
        found.append(int(seconds_))
    return tuple(found)


def _duration(table: toml.Table, key: str, item: int | None, text: str, low: int, high: int) -> Fraction:
    found = _DURATION.fullmatch(text)
    if found is None:
        table.refuse(
            key,
            item=item,
            expected=_A_TIME,
            got=toml.describe(text),
            remedy="write a number, one blank and seconds, minutes, hours, days or weeks",
        )
    length = Fraction(found[1]) * _UNIT_S[found[2]]
    if not low <= length <= high:
        table.refuse(key, item=item, expected=f"from {time_words(low)} to {time_words(high)}", got=toml.describe(text))
    return length


def seconds(table: toml.Table, key: str, *, low: int, high: int) -> int:
    """A length of time in whole seconds."""
    length = duration(table, key, low=low, high=high)
    if length.denominator != 1:
        table.refuse(key, expected="whole seconds", got=f"{float(length):g} seconds")
    return int(length)


def days(table: toml.Table, key: str, *, high: int) -> int:
    """A length of time in whole days."""
    length = seconds(table, key, low=DAY_S, high=high * DAY_S)
    if length % DAY_S:
        table.refuse(key, expected="whole days", got="a part of a day")
    return length // DAY_S


def number(table: toml.Table, key: str, *, low: Fraction, high: Fraction) -> Fraction:
    """An exact number, written as a decimal or as a ratio such as "1/72"."""
    said = f'a number from {exact_words(low)} to {exact_words(high)}, as a decimal or a ratio such as "1/72"'
    value = table.get(key, (int, Fraction, str), said)
    if isinstance(value, str):
        found = _RATIO.fullmatch(value)
        if found is None:
            table.refuse(key, expected=said, got=toml.describe(value))
        value = Fraction(int(found[1]), int(found[2]))
    value = Fraction(value)
    if not low <= value <= high:
        table.refuse(key, expected=said, got=toml.describe(value))
    if value.denominator > MAX_DENOMINATOR:
        table.refuse(key, expected=f"a fraction with a denominator of at most {MAX_DENOMINATOR:,}", got="a finer one")
    return value


def instant(table: toml.Table, key: str) -> int:
    """A date (its first second, UTC) or a UTC date-time, as whole Unix seconds."""
    said = "a date such as 2026-09-01, or a UTC time such as 2026-09-01T12:00:00Z"
    value = table.get(key, datetime.date, said)
    if not isinstance(value, datetime.datetime):
        value = datetime.datetime(value.year, value.month, value.day, tzinfo=datetime.UTC)
    if value.tzinfo is None:
        table.refuse(key, expected=said, got="a time without Z")
    if not _EARLIEST <= value <= _LATEST:
        table.refuse(key, expected="a year from 2020 to 2199", got=str(value.year))
    if value.microsecond:
        table.refuse(key, expected="a time in whole seconds", got="a fraction of a second")
    return int(value.timestamp())
