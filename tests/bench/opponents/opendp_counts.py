"""OpenDP: count_by_categories and the discrete Gaussian, one measurement built once and called for each window."""

import numpy as np
import opendp.prelude as dp  # type: ignore[import-not-found,import-untyped,unused-ignore]  # not in this project's environment

from tests.bench.opponents import columns, common

dp.enable_features("contrib")

WORKLOAD = common.about()
CHUNKS = WORKLOAD.chunks("columns.cbor")
CATEGORIES = list(range(len(WORKLOAD.classes)))
SPACE = dp.vector_domain(dp.atom_domain(T="i32")), dp.symmetric_distance()
COUNT = SPACE >> dp.t.then_count_by_categories(CATEGORIES, null_category=False, MO=dp.L2Distance["f64"], TOA="i32")
GOVERN = COUNT >> dp.m.then_gaussian(common.SIGMA)


def run() -> list[list[int | None]]:
    """All chunks; what is published of each window."""
    return [
        [value if value >= common.TAU else None for value in GOVERN(classes.astype(np.int32))]
        for classes in columns.windows(CHUNKS, WORKLOAD.window_ms)
    ]


found = [list(COUNT(classes.astype(np.int32))) for classes in columns.windows(CHUNKS, WORKLOAD.window_ms)]
common.report(["opendp", "cbor2", "numpy"], common.best_of(run), counts=found)
