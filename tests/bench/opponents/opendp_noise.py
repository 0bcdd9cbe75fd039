"""OpenDP: exact discrete Gaussian draws of a given sigma, 16 at a time, as many as a window may have cells. SIGMA is the one argument.

One measurement built once and called for each window. A list of i64 is the quickest form of a window for it, by a few in a hundred before
i32 and before numpy arrays of either.
"""

import sys

import opendp.prelude as dp  # type: ignore[import-not-found,import-untyped,unused-ignore]  # not in this project's environment

from tests.bench.opponents import common

dp.enable_features("contrib")

DRAWS, BATCH, TIMES = 800, 16, 150
ZEROS = [0] * BATCH
DRAW = (dp.vector_domain(dp.atom_domain(T="i64")), dp.l2_distance(T="f64")) >> dp.m.then_gaussian(float(sys.argv[1]))


def run() -> None:
    """All draws."""
    for _ in range(DRAWS // BATCH):
        DRAW(ZEROS)


run()
common.report(["opendp"], common.best_of(run, TIMES), draws=DRAWS)
