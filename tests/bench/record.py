"""One table and `build/bench.json`: ratios within one run, because seconds belong to a machine."""

import json
import time
from collections.abc import Callable
from pathlib import Path

BUILD = Path(__file__).parents[2] / "build"


def best_of(times: int, work: Callable[[], object]) -> float:
    """The shortest of several runs, in seconds of this process's CPU."""
    shortest = float("inf")
    for _ in range(times):
        began = time.process_time()
        work()
        shortest = min(shortest, time.process_time() - began)
    return shortest


def record(rows: dict[str, float]) -> None:
    """Print rows and merge them into build/bench.json; a row named `ratio_*` is ours against another's."""
    path = BUILD / "bench.json"
    path.parent.mkdir(exist_ok=True)
    known = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**known, **rows}, indent=1, sort_keys=True) + "\n")
    print()
    for name, value in rows.items():
        print(f"{name:<60} {value:>14,.2f}")
