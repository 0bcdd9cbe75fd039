"""What a window publishes beside its head: named cells, each of a fixed width that follows from the policy alone (I6). Pure."""

from dataclasses import dataclass
from decimal import Decimal

from agent.contracts.aggregate import Cell

Value = int | Decimal | str | Cell
"""A number as it is written, words, or why there are none."""


@dataclass(frozen=True, slots=True)
class Field:
    """One cell: its name, its SenML unit ("" where it holds words), and the characters of the longest number or words it may hold."""

    name: str
    unit: str
    width: int


def scaled(whole: int, places: int) -> Decimal:
    """whole / 10^places, written with exactly `places` decimals; 0 <= places <= 6, beyond which decimals would be written with exponents."""
    return Decimal(whole).scaleb(-places)
