"""diffprivlib: one private histogram a window."""

import numpy as np
from diffprivlib import BudgetAccountant  # type: ignore[import-not-found,import-untyped,unused-ignore]  # not in this project's environment
from diffprivlib.tools import histogram  # type: ignore[import-not-found,import-untyped,unused-ignore]  # the same

from tests.bench.opponents import columns, common

WORKLOAD = common.about()
CHUNKS = WORKLOAD.chunks("columns.cbor")
BINS = len(WORKLOAD.classes)
EPSILON = 1 / common.LAPLACE_SCALE


def run() -> list[list[int | None]]:
    """All chunks; what is published of each window."""
    accountant = BudgetAccountant()
    return [
        columns.published(histogram(classes, EPSILON, bins=BINS, range=(0, BINS), accountant=accountant)[0])
        for classes in columns.windows(CHUNKS, WORKLOAD.window_ms)
    ]


found = [
    np.histogram(classes, bins=BINS, range=(0, BINS))[0].tolist()
    for classes in columns.windows(CHUNKS, WORKLOAD.window_ms)
]
common.report(["diffprivlib", "scikit-learn", "cbor2", "numpy"], common.best_of(run), counts=found)
