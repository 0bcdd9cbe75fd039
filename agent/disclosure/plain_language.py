"""What a resident reads first: short sentences in their language, each with who stands behind it. Pure.

Every number comes from the disclosure's policy; in English no sentence has more than `MAX_WORDS` words. The mark of a sentence about a
DTPR element is that element's own mark, so text and datachain cannot disagree. A promised sentence begins with that word, so that the
difference survives plain text.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import isqrt
from typing import assert_never

from agent.disclosure.datachain import Disclosure
from agent.disclosure.presence import caused_by_people, presence
from agent.disclosure.rules import Category, Element, Mark
from agent.disclosure.wording import Wording, locale_of, portions
from agent.policy.model import Policy, Stream
from agent.policy.modes import CoarsePrivacy, CountPrivacy, NoPrivacy, ScalarPrivacy, ThresholdOnly, UniquePrivacy
from agent.policy.vocabulary import QUANTITIES
from agent.policy.words import root_words

MAX_WORDS = 20
_LIST_WORDS = 8
"""Words of a list of names inside one sentence."""
_LENGTHS = 4
"""Lengths of time inside one sentence, whatever the language calls them."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One sentence, who stands behind it, and what it is about.

    `text` stands by itself; `shown` begins with the locale's word for promised where `mark` is PROMISED. `section` is a heading's key,
    `key` the sentence's, `element` the DTPR element that it explains, "" when it explains none.
    """

    text: str
    mark: Mark
    shown: str
    section: str
    key: str
    element: str


def sentences(disclosure: Disclosure, locale: str = "en") -> tuple[str, ...]:
    """The statements as text; promised ones begin with the locale's "Promised: ". A text that no speaker has checked says so first."""
    return (*notes(locale), *(statement.shown for statement in statements(disclosure, locale)))


def notes(locale: str) -> tuple[str, ...]:
    """What readers of a translation that no speaker has checked are told, in its language and in English; nothing otherwise."""
    table = locale_of(locale)
    if table.reviewed:
        return ()
    return (Wording(table).say("note.unreviewed"), f"No speaker of {table.name} has checked this text yet.")


def statements(disclosure: Disclosure, locale: str = "en") -> tuple[Statement, ...]:
    """Who, why, how, what and how protected, what others can learn, who gets it, how long, where to ask, what is not done; in that order."""
    return tuple(_Writer(disclosure, Wording(locale_of(locale))).all())


def heading(section: str, locale: str = "en") -> str:
    """The words over a section."""
    return Wording(locale_of(locale)).say(f"heading.{section}")


class _Writer:
    """Writes the statements of one disclosure in one locale."""

    def __init__(self, disclosure: Disclosure, words: Wording) -> None:
        self._policy = disclosure.policy
        self._elements = disclosure.elements
        self._words = words
        self._section = ""

    def all(self) -> Iterator[Statement]:
        policy = self._policy
        for section, written in (
            ("who", self._who(policy)),
            ("why", self._of(Category.PURPOSE)),
            ("sensor", self._sensor(policy)),
            ("numbers", self._numbers(policy)),
            ("protection", self._protection(policy)),
            ("receivers", self._receivers(policy)),
            ("time", self._time(policy)),
            ("ask", self._ask(policy)),
            ("not_done", self._not_done()),
        ):
            self._section = section
            yield from written

    def _statement(self, key: str, mark: Mark, element: str = "", **filled: str) -> Statement:
        text = self._words.say(key, **filled)
        shown = text if mark is Mark.ENFORCED else self._words.promise(key, **filled)
        return Statement(text, mark, shown, self._section, key, element)

    def _enforced(self, key: str, element: str = "", **filled: str) -> Statement:
        return self._statement(key, Mark.ENFORCED, element, **filled)

    def _promised(self, key: str, element: str = "", **filled: str) -> Statement:
        return self._statement(key, Mark.PROMISED, element, **filled)

    def _own(self, category: Category, *ids: str) -> Iterator[Element]:
        """This disclosure's elements of a category, only those called `ids` if any are given, each id and mark once."""
        found = (e for e in self._elements if e.category is category and (not ids or e.id in ids))
        return iter({(element.id, element.mark): element for element in found}.values())

    def _of(self, category: Category, *ids: str) -> Iterator[Statement]:
        """The sentence of each of those elements."""
        return (self._statement(element.id, element.mark, element.id) for element in self._own(category, *ids))

    def _who(self, policy: Policy) -> Iterator[Statement]:
        unit = policy.unit
        yield self._enforced("unit.name", unit=unit.name, site=unit.site, city=unit.city)
        if policy.demo:
            yield self._enforced("unit.demo")
        yield self._promised("unit.title", title=policy.title)
        yield self._promised("institution", "institution", name=policy.accountable.name)
        yield self._promised(f"place.{policy.location.precision}", "institution", place=policy.location.text)
        for vendor in policy.vendors:
            yield self._promised("organization", "organization", name=vendor)

    def _sensor(self, policy: Policy) -> Iterator[Statement]:
        for element in self._own(Category.TECH):
            yield self._statement(element.id, element.mark, element.id)
            if element.context is not None:
                yield self._statement(f"tech.{element.context.value}", element.mark, element.id)
        yield from self._of(Category.DATA, "personal")

    def _numbers(self, policy: Policy) -> Iterator[Statement]:
        for stream in policy.streams:
            if len(policy.streams) > 1:
                yield self._enforced("stream.lead", stream=stream.name)
            yield from self._kind(stream)
            yield from self._privacy(stream)
        yield from self._of(Category.PROCESS, "aggregated", "de_identified")
        if not any(isinstance(stream.privacy, NoPrivacy | CoarsePrivacy) for stream in policy.streams):
            yield self._enforced("readings.stay", "aggregated")
        yield from self._of(Category.PROCESS, "transport_layer_security")
        if policy.transport == "any":
            yield self._enforced("transport.any")

    def _kind(self, stream: Stream) -> Iterator[Statement]:
        every = self._words.every(stream.window_s)
        element = "values_time"
        match stream.kind:
            case "unique":
                yield self._enforced("unique.devices", element)
                yield self._enforced("unique.memory", element, every=every)
            case "scalar":
                yield self._enforced(
                    "scalar.quantity", element, quantity=self._words.text(f"quantity.{stream.quantity}")
                )
            case kind:
                for part in portions((name.replace("_", " ") for name in stream.classes), _LIST_WORDS):
                    yield self._enforced(f"{kind}.classes", element, classes=self._words.listed(part))
        if stream.kind == "duration":
            for start in range(0, len(stream.bins_s), _LENGTHS):
                lengths = map(self._words.duration, stream.bins_s[start : start + _LENGTHS])
                yield self._enforced("duration.bins", element, lengths=self._words.listed(lengths))
            yield self._enforced("duration.longer", element)
        yield self._enforced(f"{stream.kind}.every", element, every=every)

    def _privacy(self, stream: Stream) -> Iterator[Statement]:
        privacy = stream.privacy
        match privacy:
            case CountPrivacy():
                usual = _usual(privacy.sigma_squared, _CORRELATED if privacy.totals else _INDEPENDENT)
                yield self._noise("dp.noise", self._words.number(usual))
                if privacy.threshold.hides:
                    yield self._enforced("dp.threshold", "differential_privacy", tau=self._words.number(privacy.tau))
                else:
                    yield self._enforced("dp.no_threshold", "differential_privacy")
                if privacy.totals:
                    every = self._words.every(self._policy.period_s)
                    yield self._enforced("dp.totals", "values_time", every=every)
                yield self._presence(stream, privacy.m, privacy.c)
            case UniquePrivacy():
                yield self._noise("dp.noise_marks", self._words.number(_usual(privacy.sigma_squared)))
                yield self._enforced("dp.threshold_marks", "differential_privacy", tau=self._words.number(privacy.tau))
                yield self._enforced(
                    "dp.presence_unique",
                    "differential_privacy",
                    windows=self._words.plural("count", privacy.m),
                    period=self._words.duration(self._policy.period_s),
                    addresses=self._words.plural("address", privacy.addresses),
                )
            case ScalarPrivacy():
                yield self._range(stream, privacy)
                usual_value = Fraction(root_words(4 * privacy.mean_sigma_squared))
                samples = self._words.plural("reading", privacy.samples)
                yield self._enforced("dp.mean", "aggregated", samples=samples)
                yield self._noise("dp.noise_value", self._measured(stream, usual_value))
                if privacy.percentiles:
                    told = self._words.listed(map(self._words.number, privacy.percentiles))
                    yield self._enforced("dp.percentiles", "aggregated", percentiles=told)
                    usual = _usual(privacy.cell_sigma_squared)
                    yield self._noise("dp.noise_percentiles", self._words.number(usual))
                yield self._presence(stream, privacy.m, privacy.c)
            case ThresholdOnly():
                yield self._enforced("threshold_only.threshold", "aggregated", k=self._words.number(privacy.k))
                yield self._enforced("threshold_only.warning", "aggregated")
            case CoarsePrivacy():
                yield self._range(stream, privacy)
                yield self._enforced(
                    f"coarse.{privacy.aggregation}",
                    "aggregated",
                    samples=self._words.plural("reading", privacy.min_samples),
                    step=self._measured(stream, privacy.step),
                )
                yield self._about_people(stream)
            case NoPrivacy():
                yield self._range(stream, privacy)
                yield self._enforced("raw_data", "raw_data", step=self._measured(stream, privacy.step))
                yield self._about_people(stream)
            case _:
                assert_never(privacy)

    def _noise(self, key: str, amount: str) -> Statement:
        return self._enforced(key, "differential_privacy", amount=amount)

    def _presence(self, stream: Stream, m: int, c: int) -> Statement:
        return self._enforced(
            "dp.presence",
            "differential_privacy",
            readings=self._words.plural("reading", m),
            period=self._words.duration(self._policy.period_s),
            c=self._words.number(c),
            window=self._words.duration(stream.window_s),
        )

    def _range(self, stream: Stream, privacy: ScalarPrivacy | CoarsePrivacy | NoPrivacy) -> Statement:
        return self._enforced(
            "scalar.range",
            "values_time",
            low=self._measured(stream, privacy.low),
            high=self._measured(stream, privacy.high),
        )

    def _about_people(self, stream: Stream) -> Statement:
        return self._enforced("coarse.warning") if caused_by_people(stream) else self._promised("none.people")

    def _measured(self, stream: Stream, value: Fraction) -> str:
        return self._words.quantity(value, QUANTITIES[stream.quantity].unit)

    def _protection(self, policy: Policy) -> Iterator[Statement]:
        """The guarantee in words and numbers, and where there is none."""
        found = presence(policy)
        period = "day" if policy.period_s == 86_400 else "period"
        filled = {} if period == "day" else {"period": self._words.duration(policy.period_s)}
        element = "differential_privacy"
        if not found.covered and not found.open:
            yield self._promised("guarantee.no_people")
            return
        limited = bool(found.open or found.apart)
        if limited and found.covered:
            yield from self._lists("guarantee.only", "streams", found.covered, element)
        if not found.covered or found.period == 100:
            yield self._enforced(f"guarantee.open_{period}", **filled)
        else:
            some = "some_" if limited else ""
            yield self._enforced(f"guarantee.{some}{period}", element, n=str(found.period), **filled)
            yield self._enforced("guarantee.guess", element)
        if not found.covered or found.month == 100:
            yield self._enforced("guarantee.open_month")
        else:
            yield self._enforced("guarantee.month", element, n=str(found.month))
        if found.open and found.covered:
            yield from self._lists("guarantee.none", "streams", found.open, "")

    def _lists(
        self, key: str, name: str, items: Iterable[str], element: str, mark: Mark = Mark.ENFORCED
    ) -> Iterator[Statement]:
        for part in portions(items, _LIST_WORDS):
            yield self._statement(key, mark, element, **{name: self._words.listed(part)})

    def _receivers(self, policy: Policy) -> Iterator[Statement]:
        for audience in policy.audiences:
            yield self._promised("audience.name", audience=audience.name.replace("_", " "))
            streams = [stream.name for stream in policy.streams if audience.name in stream.receivers]
            if len(streams) < len(policy.streams):
                yield from self._lists("audience.streams", "streams", streams, "", Mark.PROMISED)
            yield from self._of(Category.ACCESS, audience.access)
            yield from self._of(Category.STORAGE, *audience.storage)
            kept = self._words.duration(audience.retention_days * 86_400)
            yield self._promised("data_retained", "data_retained", duration=kept)
        if policy.denied:
            yield from self._of(Category.ACCESS, *policy.denied)
        yield self._promised("data.licence", licence=policy.licence)
        yield from self._lists("data.labels", "labels", policy.community_labels, "", Mark.PROMISED)
        yield self._promised("data.expiry", time=self._words.duration(policy.collect_within_s))

    def _time(self, policy: Policy) -> Iterator[Statement]:
        yield self._enforced("time.notice", notice=self._words.duration(policy.notice_s))
        yield self._enforced("time.dates", start=self._words.day(policy.effective), end=self._words.day(policy.expires))

    def _ask(self, policy: Policy) -> Iterator[Statement]:
        contact = policy.contact
        for channel, where in contact.feedback_channels:
            yield self._promised(f"ask.{channel}", "institution", where=where)
        for channel, where in contact.channels:
            if channel not in contact.feedback:
                yield self._promised(f"contact.{channel}", "institution", where=where)

    def _not_done(self) -> Iterator[Statement]:
        for key in ("not_done.silent", "not_done.sent", "not_done.follow", "legend.promised", "legend.enforced"):
            yield self._enforced(key)


_INDEPENDENT = 4
"""Twice the standard deviation: independent noise of this project's kinds is smaller than or equal to it at least nine times in ten."""

_CORRELATED = 6
"""For noise that adds up from steps, of which each is sub-Gaussian given those before it: P[|X| > sqrt(6 V)] <= 2 exp(-3) < 1/10."""


def _usual(variance: Fraction, times: int = _INDEPENDENT) -> int:
    """The root of `times` the variance, rounded up."""
    whole = -(-times * variance.numerator // variance.denominator)
    root = isqrt(whole)
    return root if root * root == whole else root + 1
