"""One table and `build/bench.json`: ratios within one run, because seconds belong to a machine; goals beside what was measured.

A goal is `Least` or `Most`. Its row NAME is joined in build/bench.json by `goal_NAME`, a number, and `met_NAME`; a row that is not itself a
ratio also by `ratio_goal_NAME`, measured over goal. `record` says MISSED in the table for every goal that is missed, and fails the bench, after all
is written, when it is a ratio's: milliseconds and MiB belong to a machine and an interpreter.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

BUILD = Path(__file__).parents[2] / "build"


@dataclass(frozen=True, slots=True)
class Least:
    """At least this much."""

    value: float

    def met(self, measured: float) -> bool:
        """Whether it was reached."""
        return measured >= self.value

    def __str__(self) -> str:
        return f">= {self.value:g}"


@dataclass(frozen=True, slots=True)
class Most:
    """At most this much."""

    value: float

    def met(self, measured: float) -> bool:
        """Whether it was kept."""
        return measured <= self.value

    def __str__(self) -> str:
        return f"<= {self.value:g}"


Goal = Least | Most


def best_of(times: int, work: Callable[[], object]) -> float:
    """The shortest of several runs, in seconds of this process's CPU."""
    shortest = float("inf")
    for _ in range(times):
        began = time.process_time()
        work()
        shortest = min(shortest, time.process_time() - began)
    return shortest


def lines(rows: Mapping[str, float], goals: Mapping[str, Goal]) -> list[str]:
    """The table: name, what was measured, and the goal with `met` or `MISSED` where there is one."""
    text = []
    for name, value in rows.items():
        goal = goals.get(name)
        said = "" if goal is None else f"   goal {goal}: {'met' if goal.met(value) else 'MISSED'}"
        text.append(f"{name:<60} {value:>14,.3f}{said}")
    return text


def record(rows: Mapping[str, float], goals: Mapping[str, Goal] | None = None) -> None:
    """Print rows, merge them into build/bench.json (a row named `ratio_*` is a ratio between two of one run), fail for a goal that is missed."""
    goals = goals or {}
    assert goals.keys() <= rows.keys(), "a goal without a measurement"
    stated = {f"goal_{name}": goal.value for name, goal in goals.items()}
    met = {f"met_{name}": goal.met(rows[name]) for name, goal in goals.items()}
    beside = {
        f"ratio_goal_{name}": rows[name] / goal.value for name, goal in goals.items() if not name.startswith("ratio_")
    }
    path = BUILD / "bench.json"
    path.parent.mkdir(exist_ok=True)
    known = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**known, **rows, **beside, **stated, **met}, indent=1, sort_keys=True) + "\n")
    print("\n" + "\n".join(lines(rows, goals)))
    ratios = {name: goal for name, goal in goals.items() if name.startswith("ratio_")}
    missed = [f"{name}: {rows[name]:.3f}, goal {goal}" for name, goal in ratios.items() if not goal.met(rows[name])]
    if missed:
        pytest.fail("MISSED " + "; ".join(missed), pytrace=False)
