"""pandas: all chunks in one frame, one groupby for all windows, noise of numpy for all cells at once."""

import numpy as np
import pandas as pd  # type: ignore[import-not-found,import-untyped,unused-ignore]  # not in this project's environment

from tests.bench.opponents import columns, common

WORKLOAD = common.about()
CHUNKS = WORKLOAD.chunks("columns.cbor")
NOISE = np.random.default_rng()  # noqa: TID251  # theirs, as it is met
FIRST = WORKLOAD.start_ms // WORKLOAD.window_ms
SHAPE = (WORKLOAD.windows, len(WORKLOAD.classes))


def run() -> list[list[int]]:
    """All chunks; the exact counts of each window."""
    parts = [columns.columns(chunk) for chunk in CHUNKS]
    frame = pd.DataFrame(
        {
            "window": np.concatenate([times for times, _ in parts]) // WORKLOAD.window_ms - FIRST,
            "class": np.concatenate([classes for _, classes in parts]),
        }
    )
    sizes = frame.groupby(["window", "class"], sort=False).size()
    counts = np.zeros(SHAPE, dtype=np.int64)
    counts[sizes.index.get_level_values(0), sizes.index.get_level_values(1)] = sizes.to_numpy()
    noisy = np.minimum(counts, common.MAX_COUNT) + NOISE.laplace(0, common.LAPLACE_SCALE, SHAPE)
    rounded = np.rint(noisy).astype(np.int64)
    _published = np.where(rounded >= common.TAU, rounded, -1).tolist()
    exact: list[list[int]] = counts.tolist()
    return exact


common.report(["pandas", "cbor2", "numpy"], common.best_of(run), counts=run())
