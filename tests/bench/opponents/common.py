"""What every opponent does alike: it reads its own bytes, is timed as we are, and prints version, seconds and exact counts as JSON.

An opponent is one script, `python -m tests.bench.opponents.json_dict FOLDER`, with nothing of `agent` in it: it runs in an environment
of its own (requirements.txt). FOLDER is what tests/bench/workload.py writes.
"""

import gc
import importlib.metadata
import json
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SIGMA = 4.0
"""The noise's standard deviation, everyone's; a Laplace scale is that by the square root of 2."""
LAPLACE_SCALE = SIGMA / 2**0.5
TAU = 13
MAX_COUNT = 5000

TIMES = 3
"""The best of so many runs counts, after one that warms up."""


@dataclass(frozen=True)
class About:
    """The workload: windows of `window_ms` from `start_ms` on, classes by name."""

    folder: Path
    classes: list[str]
    start_ms: int
    window_ms: int
    windows: int

    def chunks(self, name: str) -> list[bytes]:
        """What arrives at once, one after another."""
        data = (self.folder / name).read_bytes()
        found, at = [], 0
        while at < len(data):
            length = int.from_bytes(data[at : at + 4], "little")
            found.append(data[at + 4 : at + 4 + length])
            at += 4 + length
        return found


def about() -> About:
    """The folder on the command line."""
    folder = Path(sys.argv[1])
    said = json.loads((folder / "workload.json").read_text())
    return About(folder, said["classes"], said["start"] * 1000, said["window_s"] * 1000, said["windows"])


def best_of(work: Callable[[], object], times: int = TIMES) -> float:
    """The shortest of several runs, in seconds of this process's CPU."""
    shortest = float("inf")
    for _ in range(times):
        gc.collect()
        began = time.process_time()
        work()
        shortest = min(shortest, time.process_time() - began)
    return shortest


def report(packages: list[str], seconds: float, **found: object) -> None:
    """The result, on standard output."""
    versions = " ".join(f"{package} {importlib.metadata.version(package)}" for package in packages)
    said = f"Python {platform.python_version()} {versions}".strip()
    print(json.dumps({"versions": said, "seconds": seconds, **found}))
