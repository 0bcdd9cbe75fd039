"""Bytes to governed aggregate, and draws of noise, against what others would use, in one run on the same readings.

Ours is bytes of reading.sock to Aggregates (parse, window, clamp, count, exact noise, threshold); each opponent (tests/bench/opponents)
starts from the bytes that suit it best. All must find the same exact counts. A window's noise has the same standard deviation everywhere.
"""

import json
import os
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.anonymizer.noise import DiscreteGaussian
from agent.local.randomness import random_bytes
from tests.bench.governed import Governed
from tests.bench.record import Least, best_of, record
from tests.bench.workload import Workload

PROJECT = Path(__file__).parents[2]
PYTHON = Path(os.environ.get("OPPONENTS", PROJECT / "build" / "opponents")) / "bin" / "python"
"""The environment that `make bench` made of opponents/requirements.txt."""

NAMES = ("json_dict", "cbor2_dict", "pandas_groupby", "opendp_counts", "diffprivlib_histogram")

WORKLOADS = (
    Workload("1000_a_window_chunks_of_4096", a_window=1000, a_chunk=4096, window_s=10, windows=240),
    Workload("1000_a_window_chunks_of_256", a_window=1000, a_chunk=256, window_s=10, windows=240),
    Workload("60_a_window_chunks_of_3600", a_window=60, a_chunk=3600, window_s=1, windows=2400),
    Workload("60_a_window_chunks_of_256", a_window=60, a_chunk=256, window_s=1, windows=2400),
)
"""3600: sixty windows of a second, as far back as a reading's age may reach."""

GOALS = {
    "1000_a_window_chunks_of_4096": Least(90),
    "1000_a_window_chunks_of_256": Least(25),
    "60_a_window_chunks_of_3600": Least(30),
}
"""Against json + dict."""

DRAWS, BATCH, TIMES = 40_000, 16, 150
"""What is timed takes about as long as the opponent's and is repeated as often: the best of TIMES, half of them before it ran, half after."""
GOAL_DRAWS = Least(40)


def opponent(name: str, argument: str) -> dict[str, Any]:
    """Its versions, its seconds and what it counted."""
    if not PYTHON.exists():
        pytest.fail(f"{PYTHON} is not there: `make bench` sets it up")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": ""}
    argv = [str(PYTHON), "-W", "ignore", "-m", f"tests.bench.opponents.{name}", argument]
    done = subprocess.run(argv, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    print(f"{name:<24} {said['versions']}")
    return said


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.name)
def test_bytes_to_governed_aggregate(workload: Workload, tmp_path: Path) -> None:
    print(f"\n{workload.name}")
    exact = workload.counts()
    ours = Governed(workload)
    assert np.array_equal(np.array(ours.run()), exact)
    assert len(ours.published) == workload.windows
    ours_s = best_of(9, ours.run)
    workload.write(tmp_path)
    rows = {f"{workload.name}, readings/s, ours": workload.readings / ours_s}
    for name in NAMES:
        theirs = opponent(name, str(tmp_path))
        assert theirs["counts"] == exact.tolist(), f"{name} counted otherwise"
        rows[f"{workload.name}, readings/s, {name}"] = workload.readings / theirs["seconds"]
        rows[f"ratio_{workload.name}_to_{name}"] = theirs["seconds"] / ours_s
    goal = GOALS.get(workload.name)
    record(rows, {f"ratio_{workload.name}_to_json_dict": goal} if goal else {})


@pytest.mark.parametrize("sigma", [3, 4])
def test_noise_a_window_at_a_time(sigma: int) -> None:
    """16 exact draws at once, constant work, against OpenDP's."""
    noise = DiscreteGaussian(Fraction(sigma**2))

    def ours() -> None:
        for _ in range(DRAWS // BATCH):
            noise.draw(BATCH, random_bytes)

    ours()
    before = best_of(TIMES // 2, ours)
    theirs = opponent("opendp_noise", str(sigma))
    ours_rate = DRAWS / min(before, best_of(TIMES // 2, ours))
    theirs_rate = theirs["draws"] / theirs["seconds"]
    record(
        {
            f"draws/s in batches of 16, sigma {sigma}, ours": ours_rate,
            f"draws/s in batches of 16, sigma {sigma}, OpenDP": theirs_rate,
            (ratio := f"ratio_draws_in_batches_of_16_sigma_{sigma}_to_opendp"): ours_rate / theirs_rate,
        },
        {ratio: GOAL_DRAWS},
    )
