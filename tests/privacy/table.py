"""The red team's table: one row for each attack of PRIVACY.md 4.3 that was made, what it measured, what was claimed, which controls it caught."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

ATTACKS = tuple(f"R{number}" for number in range(1, 22))

BUDGET_S = 120
"""What the whole red team may take on one core."""

_HEADS = ("id", "attack", "measured", "claim", "controls caught")


@dataclass(frozen=True, slots=True)
class Row:
    """`caught` names the deliberately broken variants that the same measurement detected; an attack without one proves nothing."""

    id: str
    attack: str
    measured: str
    claim: str
    caught: tuple[str, ...]


class Record(Protocol):
    """What the fixture `record` is."""

    def __call__(self, id: str, attack: str, *, measured: str, claim: str, caught: Sequence[str]) -> None:
        """Add a row; call it last, after every assertion of the test."""
        ...


def row(id: str, attack: str, *, measured: str, claim: str, caught: Sequence[str]) -> Row:
    """A valid row; raises ValueError for an unknown id, an empty column or no control."""
    if id not in ATTACKS:
        raise ValueError(f"{id}: no attack of PRIVACY.md 4.3")
    if not (attack and measured and claim and caught and all(caught)):
        raise ValueError(f"{id}: every column is filled, and at least one broken variant is caught")
    return Row(id, attack, measured, claim, tuple(caught))


def missing(rows: Sequence[Row]) -> list[str]:
    """The attacks without a row."""
    return [attack for attack in ATTACKS if attack not in {row.id for row in rows}]


def attack_of(path: str) -> str | None:
    """The attack that a file `test_rNN_….py` belongs to."""
    found = re.search(r"test_r0*([0-9]+)_[^/]*$", path)
    return f"R{found[1]}" if found else None


def lines(rows: Sequence[Row], failed: Sequence[str]) -> list[str]:
    """The table, in the order of the attacks; `failed` are ids of attacks of which a test failed."""
    ordered = sorted(rows, key=lambda row: ATTACKS.index(row.id))
    cells = [_HEADS, *((row.id, row.attack, row.measured, row.claim, ", ".join(row.caught)) for row in ordered)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(_HEADS) - 1)]
    text = ["  ".join([*map(str.ljust, row, widths), row[-1]]) for row in cells]
    text += [f"{attack}: FAILED" for attack in ATTACKS if attack in failed]
    return text


def as_json(rows: Sequence[Row]) -> list[dict[str, object]]:
    """The rows for build/privacy.json."""
    return [asdict(row) for row in sorted(rows, key=lambda row: ATTACKS.index(row.id))]
