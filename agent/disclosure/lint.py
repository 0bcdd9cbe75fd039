"""Weak spots of a policy that is well-formed: what a council should hear before it signs. Pure.

Each finding has a severity, the line to change and a remedy. An error refuses the policy; a warning is a decision that somebody should take
knowingly; a note is worth knowing. What contradicts itself never gets here: agent/policy/rules refuses it while reading.
"""

import enum
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from agent.disclosure.purposes import serves
from agent.disclosure.wording import LOCALES, missing
from agent.policy.epsilon import DELTA, epsilon
from agent.policy.model import Policy, Stream
from agent.policy.modes import CoarsePrivacy, CountPrivacy, NoPrivacy, ThresholdOnly, UniquePrivacy
from agent.policy.vocabulary import QUANTITIES
from agent.policy.words import exact_words, time_words
from agent.wire import toml

DAY_S = 86_400

MAX_UNIQUE_WINDOW_S = 300
"""CNIL, 17 October 2018: device addresses anonymised within five minutes need no consent (PRIVACY.md 1.5)."""

USUAL_ADDRESSES = 2
"""A phone shows several random addresses in one window (PRIVACY.md 1.5)."""

MAX_DAY_EPSILON = 3
MAX_MONTH_EPSILON = 20
MONTH_DAYS = 30
"""Somewhat above the design's own defaults (2.4 a day, 17.2 for a month of daily presence, PRIVACY.md 1.2) and within what large publishers
have defended (2 to 16 a day, 35 a month, PRIVACY.md 1.1)."""

LEAST_MARGIN = 1
"""Standard deviations between k and the threshold below which noise alone shows many cells with less than k people (PRIVACY.md 4.2)."""

FINEST_WINDOW_S: Mapping[str, int] = {"exact": 1, "street": 60, "neighbourhood": 900, "city": 3600}
"""Precision of the location -> the shortest window that does not tell the place more exactly: a series of numbers every minute can be matched
with what somebody saw on the spot, so a place said only coarsely needs numbers said only rarely."""

MOST_PRESENT = 4
"""Running totals are for persons who are counted in at most one window of this many (PRIVACY.md section 0)."""


class Severity(enum.StrEnum):
    """How much a finding weighs."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One weak spot: `where` is file:line (or the file's name alone when it was read from CBOR)."""

    severity: Severity
    where: str
    words: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.severity}: {self.where}: {self.words}; {self.remedy}"


@dataclass(frozen=True, slots=True)
class Text:
    """A policy and the tables it was read from, for the lines."""

    policy: Policy
    top: toml.Table

    def streams(self) -> Iterator[tuple[Stream, toml.Table]]:
        """Each stream with its table."""
        yield from zip(self.policy.streams, self.top.tables("stream"), strict=True)


def lint(policy: Policy, top: toml.Table) -> tuple[Finding, ...]:
    """Every finding, the heaviest first, then in the order of the checks."""
    text = Text(policy, top)
    found = [finding for check in CHECKS for finding in check(text)]
    return tuple(sorted(found, key=lambda finding: [*Severity].index(finding.severity)))


def _feedback(text: Text) -> Iterator[Finding]:
    if not text.policy.contact.feedback:
        where = text.top.table("contact").where("feedback")
        yield Finding(
            Severity.ERROR,
            where,
            "there is no channel for feedback, and DTPR requires one",
            "name one of the channels given",
        )


def _as_measured(text: Text) -> Iterator[Finding]:
    for stream, table in text.streams():
        if isinstance(stream.privacy, NoPrivacy) and QUANTITIES[stream.quantity].person_derived:
            yield Finding(
                Severity.ERROR,
                table.table("privacy").where("mode"),
                f"people cause {stream.quantity}, and it would be published as measured",
                "use mode dp or coarse",
            )


def _unserved(text: Text) -> Iterator[Finding]:
    """Purposes that no stream serves, and streams that serve no purpose."""
    purposes = text.top.table("purpose")
    policy = text.policy
    for purpose in policy.purposes:
        if not any(serves(stream, purpose) for stream in policy.streams):
            yield Finding(
                Severity.WARNING,
                purposes.where("elements"),
                f"nothing that this unit publishes serves the purpose {purpose}",
                "drop the purpose, or say elsewhere what serves it",
            )
    for stream, table in text.streams():
        if not any(serves(stream, purpose) for purpose in policy.purposes):
            yield Finding(
                Severity.WARNING,
                table.where("name"),
                f"the stream {stream.name} serves none of the purposes stated",
                "drop the stream, or state what it is for",
            )


def _location(text: Text) -> Iterator[Finding]:
    precision = text.policy.location.precision
    for stream, table in text.streams():
        if stream.window_s < FINEST_WINDOW_S[precision]:
            yield Finding(
                Severity.WARNING,
                table.where("window"),
                f"a number every {time_words(stream.window_s)} tells the place more exactly than a location said to the precision {precision}",
                f"use windows of {time_words(FINEST_WINDOW_S[precision])} or more, or state the location more exactly",
            )


def _uniques(text: Text) -> Iterator[Finding]:
    for stream, table in text.streams():
        if not isinstance(stream.privacy, UniquePrivacy):
            continue
        if stream.window_s > MAX_UNIQUE_WINDOW_S:
            yield Finding(
                Severity.WARNING,
                table.where("window"),
                f"devices are told apart for {time_words(stream.window_s)}, and CNIL's bound for anonymous counting is 5 minutes",
                "use windows of 5 minutes or less",
            )
        if stream.privacy.addresses < USUAL_ADDRESSES:
            yield Finding(
                Severity.WARNING,
                table.table("privacy").where("addresses"),
                "the protection is for one address a person, and a phone shows several",
                f"state addresses = {USUAL_ADDRESSES} or more",
            )


def _budget(text: Text) -> Iterator[Finding]:
    """What all streams with a guarantee may cost one person who is there each day, as (epsilon, delta)."""
    policy = text.policy
    day = policy.spent_rho * Fraction(DAY_S, policy.period_s)
    weight = Severity.NOTE if policy.demo else Severity.WARNING
    for rho, limit, span in (
        (day, MAX_DAY_EPSILON, "a day"),
        (day * MONTH_DAYS, MAX_MONTH_EPSILON, f"{MONTH_DAYS} days of daily presence"),
    ):
        cost = epsilon(rho)
        if cost > limit:
            yield Finding(
                weight,
                text.top.table("budget").where("cap_rho"),
                f"all streams together cost a person an epsilon of {exact_words(cost)} for {span} (delta = 1/{DELTA.denominator:,}), above {limit}",
                "lower rho (more noise), or publish fewer streams",
            )


def _retention(text: Text) -> Iterator[Finding]:
    policy = text.policy
    life_s = policy.expires - policy.effective
    for audience, table in zip(policy.audiences, text.top.tables("audience"), strict=True):
        if audience.retention_days * DAY_S > life_s:
            yield Finding(
                Severity.NOTE if policy.demo else Severity.WARNING,
                table.where("kept"),
                f"{audience.name} keeps numbers for {audience.retention_days} days, longer than the {time_words(life_s)} that this policy is in force",
                "keep them for less long: afterwards no policy says why they are kept",
            )


def _modes(text: Text) -> Iterator[Finding]:
    """Modes without a guarantee, and thresholds that noise alone crosses."""
    for stream, table in text.streams():
        privacy, place = stream.privacy, table.table("privacy")
        if isinstance(privacy, ThresholdOnly):
            yield Finding(
                Severity.WARNING,
                place.where("mode"),
                f"{stream.name} is protected by a threshold alone, which is not a privacy guarantee",
                "use mode dp: differences of published numbers give hidden ones away",
            )
        elif isinstance(privacy, CoarsePrivacy):
            yield Finding(
                Severity.NOTE,
                place.where("mode"),
                f"{stream.name} is protected by rounding alone, which is not a privacy guarantee",
                "use mode dp where a guarantee is wanted",
            )
        elif isinstance(privacy, CountPrivacy | UniquePrivacy) and not privacy.threshold.hides:
            yield Finding(
                Severity.NOTE,
                place.where("k"),
                f"{stream.name} hides no number: small ones are protected by the noise alone, and may be below zero",
                "tell readers that sums are meant to be made of them, or state a k",
            )
        elif isinstance(privacy, CountPrivacy | UniquePrivacy) and privacy.threshold.z < LEAST_MARGIN:
            yield Finding(
                Severity.WARNING,
                place.where("z"),
                f"with a margin of {exact_words(privacy.threshold.z)} standard deviations, noise alone shows many cells with fewer than {privacy.threshold.k}",
                "use z = 2",
            )


def _totals(text: Text) -> Iterator[Finding]:
    """Running totals where independent noise is better, and what they do to thresholds."""
    for stream, table in text.streams():
        privacy, place = stream.privacy, table.table("privacy")
        if not isinstance(privacy, CountPrivacy) or not privacy.totals:
            continue
        if MOST_PRESENT * privacy.m > privacy.totals:
            yield Finding(
                Severity.WARNING,
                place.where("totals"),
                f"a person counted {privacy.m} times in {privacy.totals} windows costs running totals more than they save",
                'use totals = "none", or state a smaller m',
            )
        if not privacy.threshold.hides:
            continue
        yield Finding(
            Severity.NOTE,
            place.where("totals"),
            f"differences of running totals show the numbers below {privacy.tau} too: the noise protects them, the threshold does not",
            'use totals = "none" where numbers must stay hidden',
        )


def _transport(text: Text) -> Iterator[Finding]:
    if text.policy.transport != "tls":
        yield Finding(
            Severity.NOTE if text.policy.demo else Severity.WARNING,
            text.top.where("transport"),
            "the way to the broker may be read along and changed, and device settings decide whether",
            'use transport = "tls"',
        )


def _translations(text: Text) -> Iterator[Finding]:
    """Sentences that a locale lacks: those of the elements that this policy names, and those that any policy needs."""
    policy = text.policy
    chosen = (*policy.purposes, *(stream.technology for stream in policy.streams), *policy.access, *policy.storage)
    for locale, key in missing(chosen):
        yield Finding(
            Severity.WARNING,
            f"agent/disclosure/sentences/{locale}.py",
            f"there is no text for {key}, so residents cannot read this policy in {LOCALES[locale].name}",
            "translate it",
        )


CHECKS: Sequence[Callable[[Text], Iterator[Finding]]] = (
    _feedback,
    _as_measured,
    _unserved,
    _location,
    _uniques,
    _budget,
    _retention,
    _modes,
    _totals,
    _transport,
    _translations,
)
