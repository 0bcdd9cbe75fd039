"""The shape of a locale's table. Pure.

`texts` is keyed by DTPR element id ("mobility") or by section and statement ("dp.noise"). A text is one sentence; a {placeholder} is
filled with words that the same table formatted. Texts of the organisation's promises are shown after `promised`, their first letter lowered.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Locale:
    """One language: how it writes numbers, dates and lists, and every sentence in it.

    `reviewed` is True once a speaker has signed the sentences off. `grouped_from` is the number of digits from which a whole number is
    grouped by thousands. `single_below` is the number below which the singular is used (2 in French: 1.5 is singular), or None where only
    1 has it. `date` has the places {day}, {month} and {year}; `first_day` is how the first of a month is written.
    """

    code: str
    name: str
    reviewed: bool
    decimal: str
    group: str
    grouped_from: int
    single_below: int | None
    months: tuple[str, ...]
    date: str
    first_day: str
    comma: str
    promised: str
    texts: Mapping[str, str]
