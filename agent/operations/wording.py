"""A release's cells in words for people, whatever its kind. Pure."""

import datetime

from agent.contracts.cells import COUNT, DEVICES, SINCE
from agent.contracts.guarantee import LABEL

Cells = dict[str, int | float | str]

MAX_CELLS_CHARACTERS = 240
"""A window of many bins is cut here, so that what is said of it still fits its line."""


def cells_words(cells: Cells, unit: str, threshold: int) -> str:
    """Each cell by name: its number with its unit, its words, `<18` for a number under the threshold, `-` for one that was not collected.

    `unit` is that of the numbers. Running totals say since when they run; a number of devices comes with its standard deviation.
    """
    if DEVICES[2] in cells:
        return _devices(cells, threshold)
    words = [
        f"since {instant(value)}"
        if name == SINCE and isinstance(value, int)
        else f"{name} {_cell(value, unit, threshold)}"
        for name, value in cells.items()
    ]
    return _shortened(words)


def label(guarantee: str) -> str:
    """ "" for numbers with a guarantee, else what says that they have none."""
    return guarantee if guarantee.endswith(LABEL) else ""


def instant(at: int) -> str:
    """UTC, to the second."""
    return f"{datetime.datetime.fromtimestamp(at, datetime.UTC):%Y-%m-%d %H:%M:%S}"


def _cell(value: float | str, unit: str, threshold: int) -> str:
    if value == "suppressed":
        return f"<{threshold}"
    if value == "not_collected":
        return "-"
    return str(value) if isinstance(value, str) or unit == COUNT else f"{value} {unit}"


def _devices(cells: Cells, threshold: int) -> str:
    number, error, kind = (cells[name] for name in DEVICES)
    if isinstance(number, str):
        return f"{DEVICES[0]} {_cell(number, COUNT, threshold)}"
    return f"{DEVICES[0]} {'at least ' if kind == 'at_least' else ''}{number} ±{error}"


def _shortened(words: list[str]) -> str:
    length = 0
    for place, word in enumerate(words):
        length += len(word) + 2
        if length > MAX_CELLS_CHARACTERS:
            return "  ".join((*words[:place], f"… {len(words) - place} more"))
    return "  ".join(words)
