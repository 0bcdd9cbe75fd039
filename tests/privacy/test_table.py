"""The red team's frame: a row without a caught control is none, and an attack that is missing or failed fails the run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.privacy import table

HERE = Path(__file__).parent
GOOD = {"measured": "1", "claim": "<= 2", "caught": ["a variant"]}


@pytest.mark.parametrize(
    "change", [{"caught": []}, {"caught": [""]}, {"measured": ""}, {"claim": ""}, {"id": "R0"}, {"id": "R22"}]
)
def test_rows_that_prove_nothing_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"R\d+: "):
        table.row(**{"id": "R1", "attack": "x", **GOOD, **change})  # type: ignore[arg-type]  # as listed above


def test_every_attack_needs_a_row() -> None:
    rows = [table.row(attack, "x", measured="1", claim="<= 2", caught=["a"]) for attack in table.ATTACKS]
    assert table.missing(rows) == []
    assert table.missing(rows[:5] + rows[6:]) == ["R6"]


def test_rows_stand_in_the_order_of_the_attacks() -> None:
    rows = [table.row(id, "x", measured="1", claim="<= 2", caught=["a", "b"]) for id in ("R10", "R2", "R1")]
    assert [line.split()[0] for line in table.lines(rows, ["R3"])] == ["id", "R1", "R2", "R10", "R3:"]
    assert [each["id"] for each in table.as_json(rows)] == ["R1", "R2", "R10"]


@pytest.mark.parametrize(
    ("name", "attack"), [("test_r01_one_event.py", "R1"), ("test_r21_scalar.py", "R21"), ("test_table.py", None)]
)
def test_files_name_their_attack(name: str, attack: str | None) -> None:
    assert table.attack_of(name) == attack


A_RUN = """
def test_one(record):
    record("R1", "one event", measured="1", claim="<= 2", caught=["a variant"])
"""


@pytest.mark.parametrize(("broken", "words"), [("", "R2: MISSING"), ("\n    assert False\n", "R1: FAILED")])
def test_an_attack_that_is_missing_or_failed_fails_the_run(tmp_path: Path, broken: str, words: str) -> None:
    """The frame itself, in a session of its own: other files of the folder are left to make test."""
    folder = tmp_path / "tests" / "privacy"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").touch()
    for name in ("__init__.py", "conftest.py", "table.py"):
        (folder / name).write_bytes((HERE / name).read_bytes())
    (folder / "test_r01_one.py").write_text(A_RUN + broken)
    (folder / "test_other.py").write_text("def test_other(): raise AssertionError\n")
    argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--red-team", "-m", "privacy", "tests/privacy"]
    done = subprocess.run(argv, cwd=tmp_path, env={**os.environ, "PYTHONPATH": ""}, capture_output=True, text=True)
    assert done.returncode == 1, done.stdout + done.stderr
    assert words in done.stdout
    assert "1 deselected" in done.stdout
    assert [row["id"] for row in json.loads((tmp_path / "build" / "privacy.json").read_text())] == ["R1"]
