"""Lengths of time and exact numbers as people read them. Pure."""

import datetime
from fractions import Fraction
from math import isqrt

_MONTHS = (  # not strftime's: those follow the machine's locale
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)

UNITS_S = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}


def time_words(seconds: int | Fraction) -> str:
    """A length of time in the largest unit that divides it: "15 minutes", "1 day", "0.5 seconds"."""
    for name, size in reversed(UNITS_S.items()):
        if seconds and seconds % size == 0:
            count = int(seconds // size)
            return f"{count} {name}" if count == 1 else f"{count} {name}s"
    return f"{exact_words(Fraction(seconds))} seconds"


def exact_words(value: Fraction) -> str:
    """An exact number: a decimal where a short one is exact, else a ratio."""
    if value < 0:
        return f"-{exact_words(-value)}"
    for places in range(10):
        if value.denominator != 1 and 10**places % value.denominator:
            continue
        digits = str(value.numerator * 10**places // value.denominator).rjust(places + 1, "0")
        return digits if not places else f"{digits[:-places]}.{digits[-places:]}"
    return f"{value.numerator}/{value.denominator}"


def root_words(squared: Fraction) -> str:
    """The square root as a decimal of at most three places, rounded up: the standard deviation of a known variance."""
    scaled = squared * 1_000_000
    whole = -(-scaled.numerator // scaled.denominator)
    root = isqrt(whole)
    return exact_words(Fraction(root if root * root == whole else root + 1, 1000))


def date_words(instant: int) -> str:
    """A Unix second as ISO 8601 in UTC: "2026-09-01T00:00:00Z"."""
    return datetime.datetime.fromtimestamp(instant, tz=datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def day_words(instant: int) -> str:
    """A Unix second as a day that people read: "15 September 2028", with the time of day when it is not midnight UTC."""
    moment = datetime.datetime.fromtimestamp(instant, tz=datetime.UTC)
    day = f"{moment.day} {_MONTHS[moment.month - 1]} {moment.year}"
    return day if instant % 86_400 == 0 else f"{day}, {moment:%H:%M:%S} UTC"
