"""From the text of a policy to a `Policy`: shapes, vocabulary, then the rules between fields (agent/policy/rules). Pure.

Every refusal is a PolicyError with file:line, what was expected, what was found, and the nearest known word where there is one.
"""

import datetime
import re
from collections.abc import Iterable
from fractions import Fraction

from agent.contracts.board import MAX_CLASSES, NAME
from agent.contracts.public import TOPIC_NAME
from agent.errors import PolicyError
from agent.policy import rules, vocabulary
from agent.policy.model import CountPrivacy, Organisation, Policy, Stream, Threshold, Unit
from agent.policy.words import UNITS_S, exact_words, time_words
from agent.wire import toml

DAY_S = 86_400
MAX_STREAMS = 8
MAX_PURPOSES = 3
"""A sign shows at most three, most important first."""

MAX_UNIT_NAME = 17
"""The Bluetooth name has 29 bytes: the unit's name, a blank and eleven characters of colour and digest (DESIGN.md 5)."""

MAX_DENOMINATOR = 1_000_000
"""Exact fractions stay small enough to read, to sign and to sample from."""

MAX_TEXT_WORDS = 15
"""A resident reads each text inside one sentence of at most twenty words."""

STREAM_NAME = r"[a-z][a-z0-9_-]{0,31}"

_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?) (second|minute|hour|day|week)s?")
_UNIT_S = {**UNITS_S, "week": 7 * DAY_S}
_RATIO = re.compile(r"([0-9]{1,7})/([1-9][0-9]{0,6})")
_JOINERS = "\u200c\u200d"
_EARLIEST = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
_LATEST = datetime.datetime(2200, 1, 1, tzinfo=datetime.UTC)


def parse_policy(text: str | bytes, name: str) -> Policy:
    """Read and check a whole policy.toml; `name` is what messages call the file. Raises PolicyError."""
    return policy_of(toml.parse(text, name, PolicyError))


def policy_of(top: toml.Table) -> Policy:
    """Build a checked Policy from the tables of a policy, whatever they were read from. Raises PolicyError."""
    top.integer("schema", low=1, high=1, expected="1, the version of this file's form")
    unit, title = _unit(top.table("unit"))
    dates = top.table("dates")
    budget = top.table("budget")
    retention = top.table("retention")
    tables = top.tables("stream", high=MAX_STREAMS)
    policy = Policy(
        version=top.integer("version", low=1, high=2**31 - 1),
        unit=unit,
        title=title,
        accountable=_accountable(top.table("accountable")),
        purposes=_elements(top.table("purpose"), vocabulary.PURPOSES, "purpose", MAX_PURPOSES),
        access=_elements(top.table("access"), vocabulary.ACCESS, "access", len(vocabulary.ACCESS)),
        storage=_elements(top.table("storage"), vocabulary.STORAGE, "storage", len(vocabulary.STORAGE)),
        retention_days=_seconds(retention, "kept", low=DAY_S, high=36_525 * DAY_S) // DAY_S,
        issued=_instant(dates, "issued"),
        effective=_instant(dates, "effective"),
        expires=_instant(dates, "expires"),
        notice_s=_seconds(dates, "notice", low=0, high=366 * DAY_S),
        period_s=_seconds(budget, "period", low=1, high=DAY_S),
        cap_rho=_number(budget, "cap_rho", low=Fraction(1, MAX_DENOMINATOR), high=Fraction(10)),
        collect_within_s=_seconds(retention, "collect_within", low=1, high=366 * DAY_S),
        demo=top.boolean("demo", False),
        streams=tuple(_stream(table) for table in tables),
    )
    if _seconds(retention, "kept", low=DAY_S, high=36_525 * DAY_S) % DAY_S:
        retention.refuse("kept", expected="whole days", got="a part of a day")
    for table in (dates, budget, retention, top):
        table.done()
    rules.check(policy, top, tables)
    return policy


def _unit(table: toml.Table) -> tuple[Unit, str]:
    words = "lower-case letters, digits and inner dashes (one MQTT topic level)"
    unit = Unit(
        city=table.text("city", pattern=TOPIC_NAME.pattern, max_length=32, expected=words),
        site=table.text("site", pattern=TOPIC_NAME.pattern, max_length=32, expected=words),
        name=table.text("name", pattern=TOPIC_NAME.pattern, max_length=MAX_UNIT_NAME, expected=words),
    )
    title = _words(table, "title", 80, "a short title of the unit")
    table.done()
    return unit, title


def _accountable(table: toml.Table) -> Organisation:
    organisation = Organisation(
        name=_words(table, "name", 100, "the name of the accountable organisation"),
        contact=_words(table, "contact", 120, "how to reach the person in charge"),
        feedback=_words(table, "feedback", 120, "where a resident sends questions: an address, a number or a page"),
        url=table.text("url", pattern=r"https://[!-~]+", max_length=120, expected="a web address that begins https://"),
    )
    table.done()
    return organisation


def _elements(table: toml.Table, known: Iterable[str], what: str, high: int) -> tuple[str, ...]:
    known = tuple(known)
    chosen = table.texts("elements", low=1, high=high, expected=f"DTPR {what} elements")
    for i, element in enumerate(chosen):
        if element not in known:
            table.refuse(
                "elements",
                item=i,
                expected=f"a DTPR {what} element",
                got=toml.describe(element),
                remedy=toml.nearest(element, known) or "known: " + ", ".join(known),
            )
    table.done()
    return chosen


def _stream(table: toml.Table) -> Stream:
    stream = Stream(
        name=table.text("name", pattern=STREAM_NAME, max_length=32, expected="a lower-case stream name"),
        channel=table.text("channel", pattern=NAME.pattern, max_length=32, expected="the name of a board's channel"),
        kind=table.choice("kind", ("count",)),
        technology=table.choice("technology", vocabulary.TECHNOLOGIES),
        classes=table.texts("classes", pattern=NAME.pattern, high=MAX_CLASSES, expected="lower-case class names"),
        window_s=_seconds(table, "window", low=1, high=DAY_S),
        grace_s=_duration(table, "grace", low=0, high=DAY_S),
        privacy=_count_privacy(table.table("privacy")),
    )
    table.done()
    return stream


def _count_privacy(table: toml.Table) -> CountPrivacy:
    table.choice("mode", ("dp",))
    privacy = CountPrivacy(
        rho=_number(table, "rho", low=Fraction(1, MAX_DENOMINATOR), high=Fraction(10)),
        m=table.integer("m", low=1, high=100_000),
        c=table.integer("c", low=1, high=100_000),
        threshold=Threshold(
            k=table.integer("k", low=1, high=1_000_000),
            z=_number(table, "z", low=Fraction(0), high=Fraction(10)),
        ),
        max_count=table.integer("max_count", low=1, high=1_000_000_000),
    )
    table.done()
    return privacy


def _words(table: toml.Table, key: str, max_length: int, expected: str) -> str:
    """One line that people read: printable, no leading or trailing blanks."""
    text = table.text(key, max_length=max_length, expected=expected)
    if any(not (c.isprintable() or c in _JOINERS) for c in text):
        table.refuse(key, expected=f"{expected}, printable on one line", got="a control or direction character")
    if len(text.split()) > MAX_TEXT_WORDS:
        table.refuse(key, expected=f"{expected} of at most {MAX_TEXT_WORDS} words", got=f"{len(text.split())} words")
    if text != text.strip():
        table.refuse(key, expected=f"{expected}, without blanks at its ends", got="a blank at an end")
    return text


def _duration(table: toml.Table, key: str, *, low: int, high: int) -> Fraction:
    """A length of time such as "15 minutes", in seconds from `low` to `high`, exact to a millisecond."""
    text = table.get(key, str, 'a length of time such as "15 minutes"')
    found = _DURATION.fullmatch(text)
    if found is None:
        table.refuse(
            key,
            expected='a length of time such as "15 minutes"',
            got=toml.describe(text),
            remedy="write a number, one blank and seconds, minutes, hours, days or weeks",
        )
    seconds = Fraction(found[1]) * _UNIT_S[found[2]]
    if not low <= seconds <= high:
        table.refuse(key, expected=f"from {time_words(low)} to {time_words(high)}", got=toml.describe(text))
    return seconds


def _seconds(table: toml.Table, key: str, *, low: int, high: int) -> int:
    seconds = _duration(table, key, low=low, high=high)
    if seconds.denominator != 1:
        table.refuse(key, expected="whole seconds", got=f"{float(seconds):g} seconds")
    return int(seconds)


def _number(table: toml.Table, key: str, *, low: Fraction, high: Fraction) -> Fraction:
    """An exact number, written as a decimal or as a ratio such as "1/72"."""
    words = f'a number from {exact_words(low)} to {exact_words(high)}, as a decimal or a ratio such as "1/72"'
    value = table.get(key, (int, Fraction, str), words)
    if isinstance(value, str):
        found = _RATIO.fullmatch(value)
        if found is None:
            table.refuse(key, expected=words, got=toml.describe(value))
        value = Fraction(int(found[1]), int(found[2]))
    value = Fraction(value)
    if not low <= value <= high:
        table.refuse(key, expected=words, got=toml.describe(value))
    if value.denominator > MAX_DENOMINATOR:
        table.refuse(key, expected=f"a fraction with a denominator of at most {MAX_DENOMINATOR:,}", got="a finer one")
    return value


def _instant(table: toml.Table, key: str) -> int:
    """A date (its first second, UTC) or a UTC date-time, as whole Unix seconds."""
    words = "a date such as 2026-09-01, or a UTC time such as 2026-09-01T12:00:00Z"
    value = table.get(key, datetime.date, words)
    if not isinstance(value, datetime.datetime):
        value = datetime.datetime(value.year, value.month, value.day, tzinfo=datetime.UTC)
    if value.tzinfo is None:
        table.refuse(key, expected=words, got="a time without Z")
    if not _EARLIEST <= value <= _LATEST:
        table.refuse(key, expected="a year from 2020 to 2199", got=str(value.year))
    if value.microsecond:
        table.refuse(key, expected="a time in whole seconds", got="a fraction of a second")
    return int(value.timestamp())
