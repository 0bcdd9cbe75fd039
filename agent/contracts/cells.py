"""The cells of a pack: which a window of each kind has, what one may hold, and how many characters it takes whatever it holds (I6). Pure.

count      <class> …                                     numbers
           with running totals: <class>/total … and total/since
duration   <class>/<bin> …                               numbers
           <class>/p25, <class>/median, <class>/p75 …    the name of a bin
unique     devices, devices_sd, devices_is               number, its standard deviation, `estimate` or `at_least`
scalar     one, named by how it was averaged, and        numbers in the quantity's unit
           under dp percentiles: p10, p50 …              rising; p10 is what 10 in 100 samples do not exceed (acousticians' L90)
"""

import enum
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from agent.contracts import board
from agent.contracts.guarantee import Guarantee, PureGuarantee

FIRST_START, END_START = 10**9, 10**10
"""Bounds of a window's start (Unix seconds): ten digits, 2001 to 2286. A clock beyond them is wrong."""

MAX_WIDTH = 32
"""Characters of the longest number or words."""

COUNT = "count"
"""The SenML unit of things that are counted (RFC 8428 section 12.1); no scalar has it."""

QUANTILES = ("p25", "median", "p75")
PERCENTILE = re.compile("p[1-9][0-9]?")
"""The name of a percentile of a scalar's samples, 1 to 99."""

TOTAL = "total"
SINCE = "total/since"
"""Since when running totals run (Unix seconds): the start of their first window."""
DEVICES = ("devices", "devices_sd", "devices_is")

WORDS = board.NAME
"""A class, or any other word of a cell."""

NAME = re.compile(f"{WORDS.pattern}(?:/{WORDS.pattern})?")
"""A class, or a class and what of it."""


class Cell(enum.StrEnum):
    """A cell without a number."""

    SUPPRESSED = "suppressed"
    NOT_COLLECTED = "not_collected"


CELLS: Mapping[str, Cell] = {cell.value: cell for cell in Cell}

Value = int | Decimal | str | Cell
"""A number as it is written, words, or why there are none."""


@dataclass(frozen=True, slots=True)
class Field:
    """One cell: its name, its SenML unit ("" where it holds words), and the characters of the longest number or words it may hold.

    A `width` under what `not_collected` needs in its place is raised to that.
    """

    name: str
    unit: str
    width: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "width", max(self.width, least_width(self.unit)))

    @property
    def record_width(self) -> int:
        """Characters of its record."""
        return len(_BLANK) + len(self.name) + self.width - least_width(self.unit)

    def fits(self, value: Value, threshold: int) -> bool:
        """May it hold this? Without a threshold nothing is suppressed, and counts may be below zero, so that sums of them are unbiased."""
        if isinstance(value, Cell):
            return value is Cell.NOT_COLLECTED or (threshold > 0 and self.name != SINCE)
        if isinstance(value, str):
            return not self.unit and bool(WORDS.fullmatch(value)) and value not in CELLS and len(value) <= self.width
        if not self.unit or not plain(value) or len(written(value)) > self.width:
            return False
        if self.name == SINCE:
            return isinstance(value, int) and FIRST_START <= value < END_START
        if self.unit != COUNT:
            return True
        return (value >= 0 or threshold == 0) and (isinstance(value, int) or self.name == DEVICES[1])


_BLANK = '{"n":"cell/","vs":"not_collected"}'


def least_width(unit: str) -> int:
    """What `not_collected` needs: fewer characters would not shorten a cell."""
    return len(_BLANK) - len(f'{{"n":"cell/","u":"{unit}","v":}}' if unit else '{"n":"cell/","vs":""}')


def kind_of(names: Sequence[str], unit: str, guarantee: Guarantee) -> str | None:
    """The kind of stream whose windows have just these cells, None when none has; `unit` is that of its numbers."""
    found = tuple(names)
    if isinstance(guarantee, PureGuarantee):
        return "unique" if (found, unit) == (DEVICES, COUNT) else None
    if unit != COUNT:
        percents = [int(name[1:]) for name in found[1:] if PERCENTILE.fullmatch(name)]
        rising = len(percents) == len(found) - 1 and sorted(set(percents)) == percents
        return "scalar" if rising and found[:1] and "/" not in found[0] else None
    classes = tuple(name for name in found if "/" not in name)
    if classes:
        totals = (*(f"{name}/{TOTAL}" for name in classes), SINCE)
        return COUNT if found in (classes, classes + totals) else None
    classes = tuple(dict.fromkeys(name.partition("/")[0] for name in found))
    bins = tuple(dict.fromkeys(name.partition("/")[2] for name in found if name.partition("/")[2] not in QUANTILES))
    cells = tuple(f"{name}/{part}" for parts in (bins, QUANTILES) for name in classes for part in parts)
    return "duration" if found == cells and bins else None


def percentile_name(percent: int) -> str:
    """Of the cell with what `percent` in a hundred samples do not exceed."""
    return f"p{percent}"


def unit_of(name: str, unit: str, guarantee: Guarantee) -> str:
    """The unit of a cell, in a pack whose numbers are in `unit`: "" for words, seconds for SINCE."""
    if name == SINCE:
        return "s"
    words = name.partition("/")[2] in QUANTILES or (name == DEVICES[2] and isinstance(guarantee, PureGuarantee))
    return "" if words else unit


def plain(value: int | Decimal) -> bool:
    """Is there one way to write it: a finite number of at most six decimals, no negative zero?"""
    if isinstance(value, int):
        return not isinstance(value, bool)
    exponent = value.as_tuple().exponent
    return isinstance(exponent, int) and -6 <= exponent <= 0 and not (value.is_zero() and value.is_signed())


def written(value: int | Decimal) -> str:
    """As SenML has it."""
    return f"{value:f}" if isinstance(value, Decimal) else str(value)
