"""The table of faults in SPEC.md, held against the tests that it names."""

import re
from pathlib import Path

from tests.publisher.test_outages import ROWS

ROOT = Path(__file__).parents[2]
SPEC = (ROOT / "agent" / "publisher" / "SPEC.md").read_text()


def table() -> list[list[str]]:
    """Its cells, without the two lines that head it."""
    lines = SPEC.partition("**PB-40**")[2].partition("\n## ")[0].splitlines()
    return [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines if line.startswith("  |")][
        2:
    ]


def test_every_row_of_the_matrix_stands_in_the_table_and_no_other() -> None:
    """PB-40."""
    named = [name for _, rows, _ in table() for name in re.findall(r"`(\w+)`", rows)]
    assert sorted(named) == sorted(row.__name__ for row in ROWS)


def test_every_fault_has_a_test_that_exists() -> None:
    """PB-40."""
    assert len(table()) >= 20
    for fault, rows, further in table():
        tests = re.findall(r"`([\w/]+\.py)::(\w+)`", further)
        assert rows or tests, fault
        for path, name in tests:
            assert f"\ndef {name}(" in (ROOT / path).read_text(), f"{path}::{name}"
