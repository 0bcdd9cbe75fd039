"""From the text of a policy to a `Policy`: shapes, vocabulary, then the rules between fields (agent/policy/rules). Pure.

Every refusal is a PolicyError with file:line, what was expected, what was found, and the nearest known word where there is one.
"""

from fractions import Fraction

from agent.contracts.board import KINDS, MAX_CLASSES, NAME
from agent.contracts.public import TOPIC_NAME
from agent.errors import PolicyError
from agent.policy import rules, vocabulary
from agent.policy.model import CHANNELS, Audience, Contact, Location, Organisation, Policy, Stream, Unit
from agent.policy.privacy import privacy_of
from agent.policy.values import DAY_S, chosen, days, duration, durations, instant, lines, number, seconds, words
from agent.wire import toml

MAX_STREAMS = 8
MAX_PURPOSES = 3
"""A sign shows at most three, most important first."""

MAX_VENDORS = 5
MAX_AUDIENCES = 6

MAX_EDGES = 31
"""Edges of a duration's bins: 32 bins tell dwell times as well as people can use (PRIVACY.md section 0)."""

MAX_UNIT_NAME = 17
"""The Bluetooth name has 29 bytes: the unit's name, a blank and eleven characters of colour and digest (DESIGN.md 5)."""

STREAM_NAME = r"[a-z][a-z0-9_-]{0,31}"
AUDIENCE_NAME = r"[a-z][a-z0-9_-]{0,15}"

_PHONE = r"\+?[0-9][0-9 ()./-]{2,30}"
_EMAIL = r"[!-?A-~]{1,64}@[!-?A-~]{1,64}"
_URL = r"https://[!-~]+"


def parse_policy(text: str | bytes, name: str) -> Policy:
    """Read and check a whole policy.toml; `name` is what messages call the file. Raises PolicyError."""
    return policy_of(toml.parse(text, name, PolicyError))


def policy_of(top: toml.Table) -> Policy:
    """Build a checked Policy from the tables of a policy, whatever they were read from. Raises PolicyError."""
    top.integer("schema", low=1, high=1, expected="1, the version of this file's form")
    unit, title = _unit(top.table("unit"))
    accountable, purpose, data = (top.table(key) for key in ("accountable", "purpose", "data"))
    dates, budget, access = top.table("dates"), top.table("budget"), top.table("access")
    audiences = top.tables("audience", high=MAX_AUDIENCES)
    streams = top.tables("stream", high=MAX_STREAMS)
    period_s = seconds(budget, "period", low=1, high=DAY_S)
    policy = Policy(
        version=top.integer("version", low=1, high=2**31 - 1),
        unit=unit,
        title=title,
        location=_location(top.table("location")),
        accountable=Organisation(words(accountable, "name", 100, "the name of the accountable organisation")),
        vendors=lines(accountable, "vendors", 100, MAX_VENDORS, "names of vendors"),
        contact=_contact(top.table("contact")),
        purposes=chosen(purpose, "elements", vocabulary.PURPOSES, "DTPR purpose element", high=MAX_PURPOSES),
        audiences=tuple(_audience(table) for table in audiences),
        denied=chosen(access, "denied", vocabulary.DENIED, 'DTPR access element of the form "not_available_…"', low=0),
        licence=_licence(data),
        community_labels=chosen(
            data, "community_labels", vocabulary.COMMUNITY_LABELS, "Local Contexts label", low=0, high=10
        ),
        transport=top.choice("transport", vocabulary.TRANSPORTS),
        issued=instant(dates, "issued"),
        effective=instant(dates, "effective"),
        expires=instant(dates, "expires"),
        notice_s=seconds(dates, "notice", low=0, high=366 * DAY_S),
        period_s=period_s,
        cap_rho=number(budget, "cap_rho", low=Fraction(0), high=Fraction(10)),
        collect_within_s=seconds(data, "collect_within", low=1, high=366 * DAY_S),
        demo=top.boolean("demo", False),
        streams=tuple(_stream(table, period_s) for table in streams),
    )
    for table in (accountable, purpose, data, dates, budget, access, top):
        table.done()
    rules.check(policy, top, audiences, streams)
    return policy


def _unit(table: toml.Table) -> tuple[Unit, str]:
    said = "lower-case letters, digits and inner dashes (one MQTT topic level)"
    unit = Unit(
        city=table.text("city", pattern=TOPIC_NAME.pattern, max_length=32, expected=said),
        site=table.text("site", pattern=TOPIC_NAME.pattern, max_length=32, expected=said),
        name=table.text("name", pattern=TOPIC_NAME.pattern, max_length=MAX_UNIT_NAME, expected=said),
    )
    title = words(table, "title", 80, "a short title of the unit")
    table.done()
    return unit, title


def _location(table: toml.Table) -> Location:
    location = Location(
        text=words(table, "text", 100, "where the unit stands, in words"),
        precision=table.choice("precision", vocabulary.PRECISIONS),
    )
    table.done()
    return location


def _contact(table: toml.Table) -> Contact:
    given = {key: table.has(key) for key in CHANNELS}
    web = "a web address that begins https://"
    contact = Contact(
        address=words(table, "address", 120, "a postal address on one line") if given["address"] else "",
        phone=table.text("phone", pattern=_PHONE, max_length=32, expected="a phone number") if given["phone"] else "",
        email=table.text("email", pattern=_EMAIL, max_length=100, expected="an e-mail address")
        if given["email"]
        else "",
        url=table.text("url", pattern=_URL, max_length=120, expected=web) if given["url"] else "",
        feedback=chosen(table, "feedback", CHANNELS, "feedback channel"),
    )
    for i, channel in enumerate(contact.feedback):
        if not given[channel]:
            table.refuse(
                "feedback",
                item=i,
                expected="a channel that this table gives",
                got=repr(channel),
                remedy=f"add {channel} = …",
            )
    table.done()
    return contact


def _audience(table: toml.Table) -> Audience:
    audience = Audience(
        name=table.text("name", pattern=AUDIENCE_NAME, max_length=16, expected="a lower-case name of an audience"),
        access=table.choice("access", vocabulary.GIVEN),
        storage=chosen(table, "storage", vocabulary.STORAGE, "DTPR storage element"),
        retention_days=days(table, "kept", high=36_525),
    )
    table.done()
    return audience


def _licence(table: toml.Table) -> str:
    said = 'an SPDX id of a licence for data, or "LicenseRef-…" for terms of your own'
    licence = table.text("licence", max_length=64, expected=said)
    if licence not in vocabulary.LICENCES and not vocabulary.LICENCE_REF.fullmatch(licence):
        table.refuse(
            "licence",
            expected=said,
            got=toml.describe(licence),
            remedy=toml.nearest(licence, vocabulary.LICENCES) or "known: " + ", ".join(vocabulary.LICENCES),
        )
    return licence


def _stream(table: toml.Table, period_s: int) -> Stream:
    kind = table.choice("kind", KINDS)
    window_s = seconds(table, "window", low=1, high=DAY_S)
    by_class = kind in ("count", "duration")
    stream = Stream(
        name=table.text("name", pattern=STREAM_NAME, max_length=32, expected="a lower-case stream name"),
        channel=table.text("channel", pattern=NAME.pattern, max_length=32, expected="the name of a board's channel"),
        kind=kind,
        technology=table.choice("technology", vocabulary.KIND_TECHNOLOGIES[kind]),
        classes=table.texts("classes", pattern=NAME.pattern, high=MAX_CLASSES, expected="lower-case class names")
        if by_class
        else (),
        bins_s=durations(table, "bins", low=1, high=7 * DAY_S, most=MAX_EDGES) if kind == "duration" else (),
        quantity=table.choice("quantity", vocabulary.QUANTITIES) if kind == "scalar" else "",
        window_s=window_s,
        grace_s=duration(table, "grace", low=0, high=DAY_S),
        receivers=table.texts("receivers", pattern=AUDIENCE_NAME, high=MAX_AUDIENCES, expected="names of audiences"),
        privacy=privacy_of(table.table("privacy"), kind, period_s // window_s),
    )
    table.done()
    return stream
