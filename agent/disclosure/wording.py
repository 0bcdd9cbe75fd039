"""A locale's table at work: sentences filled in, numbers, dates, lengths of time and units as its readers write them. Pure.

Invariant: what a table does not hold is an error that names locale and key; no other language ever takes its place. Digits are 0 to 9 in
every locale; grouping and the decimal mark are the locale's.
"""

import datetime
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from string import Formatter

from agent.disclosure.sentences import en, es, fr, km, pt, tl
from agent.disclosure.sentences.table import Locale
from agent.errors import DisclosureError
from agent.policy.words import UNITS_S, exact_words

LOCALES: Mapping[str, Locale] = {one.LOCALE.code: one.LOCALE for one in (en, es, fr, km, pt, tl)}
"""Every language that residents can read, by its BCP 47 code."""

_UNITS = {"%RH": "%", "/": "%", "Cel": "°C", "ug/m3": "µg/m³", "deg": "°", "pH": ""}
"""SenML units (RFC 8428, RFC 8798) that people write otherwise; a ratio is shown in hundredths."""


def locale_of(code: str) -> Locale:
    """The locale called `code`; raises DisclosureError naming those that there are."""
    if code not in LOCALES:
        raise DisclosureError(
            "locale",
            expected=f"one of {', '.join(LOCALES)}",
            got=repr(code[:20]),
            remedy="no other language is shown instead",
        )
    return LOCALES[code]


def missing(keys: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """(locale, key) for each text that a locale lacks: of `keys` (element ids, say) and of all keys of the English table."""
    wanted = dict.fromkeys((*keys, *LOCALES["en"].texts))
    return tuple(
        (code, key) for code, locale in LOCALES.items() for key in wanted if not locale.texts.get(key, "").strip()
    )


def placeholders(text: str) -> frozenset[str]:
    """The names that a text leaves open."""
    return frozenset(name for _, name, _, _ in Formatter().parse(text) if name is not None)


@dataclass(frozen=True, slots=True)
class Wording:
    """What can be said in one locale."""

    locale: Locale

    def text(self, key: str) -> str:
        """The text of `key` as it stands; raises DisclosureError when the locale lacks it."""
        text = self.locale.texts.get(key, "")
        if not text.strip():
            raise DisclosureError(
                f"sentences: {self.locale.code}",
                expected=f"a text for {key}",
                got="none",
                remedy="translate it; no other language is shown instead",
            )
        return text

    def say(self, key: str, **words: str) -> str:
        """The sentence of `key` with its places filled."""
        return self.text(key).format(**words)

    def promise(self, key: str, **words: str) -> str:
        """The same, marked as the organisation's word; its first letter is lowered unless it is not the table's own."""
        text = self.text(key)
        lowered = text if text.startswith("{") else text[0].lower() + text[1:]
        return self.locale.promised + lowered.format(**words)

    def number(self, value: int | Fraction) -> str:
        """An exact number: a decimal where a short one is exact, else a ratio."""
        exact = Fraction(value)
        if exact < 0:
            return "-" + self.number(-exact)
        whole, _, rest = exact_words(exact).partition(".")
        if "/" in whole:
            return "/".join(self._grouped(part) for part in whole.split("/"))
        return self._grouped(whole) + (self.locale.decimal + rest if rest else "")

    def _grouped(self, digits: str) -> str:
        if len(digits) < self.locale.grouped_from:
            return digits
        head = len(digits) % 3
        parts = [digits[:head]] if head else []
        return self.locale.group.join([*parts, *(digits[i : i + 3] for i in range(head, len(digits), 3))])

    def plural(self, key: str, count: int | Fraction) -> str:
        """`key`.one or `key`.other with the number in it: "1 reading", "4 readings"."""
        below = self.locale.single_below
        single = count == 1 if below is None else 0 <= count < below
        return self.say(f"{key}.{'one' if single else 'other'}", n=self.number(count))

    def duration(self, seconds: int | Fraction) -> str:
        """A length of time in the largest unit that divides it: "15 minutes", "1 day"."""
        name, count = _in_units(seconds)
        return self.plural(name, count)

    def every(self, seconds: int) -> str:
        """How often: "every 15 minutes", "every day"."""
        name, count = _in_units(seconds)
        key = "one" if count == 1 else "other"
        return self.say(f"every_{name}.{key}", **({} if count == 1 else {"n": self.number(count)}))

    def day(self, instant: int) -> str:
        """A Unix second as a day, with the time of day in UTC when it is not midnight."""
        moment = datetime.datetime.fromtimestamp(instant, tz=datetime.UTC)
        number = self.locale.first_day if moment.day == 1 else str(moment.day)
        text = self.locale.date.format(day=number, month=self.locale.months[moment.month - 1], year=moment.year)
        return text if instant % 86_400 == 0 else f"{text}, {moment:%H:%M:%S} UTC"

    def quantity(self, value: Fraction, unit: str) -> str:
        """A measured value with its unit, given as SenML calls it."""
        shown = _UNITS.get(unit, unit)
        number = self.number(value * 100 if unit == "/" else value)
        return f"{number} {shown}" if shown else number

    def listed(self, items: Iterable[str]) -> str:
        """Items side by side."""
        return self.locale.comma.join(items)


def portions(items: Iterable[str], most_words: int) -> Iterator[tuple[str, ...]]:
    """The items in their order, cut so that each part has at most `most_words` words; one longer item stands alone."""
    part: list[str] = []
    words = 0
    for item in items:
        size = len(item.split())
        if part and words + size > most_words:
            yield tuple(part)
            part, words = [], 0
        part.append(item)
        words += size
    if part:
        yield tuple(part)


def _in_units(seconds: int | Fraction) -> tuple[str, Fraction]:
    for name, size in reversed(UNITS_S.items()):
        if seconds and seconds % size == 0:
            return name, Fraction(seconds) / size
    return "second", Fraction(seconds)
