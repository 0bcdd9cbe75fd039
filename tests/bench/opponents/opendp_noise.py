"""OpenDP: exact discrete Gaussian draws of a given sigma, 16 at a time, as many as a window may have cells. SIGMA is the one argument."""

import sys

import opendp.prelude as dp  # type: ignore[import-not-found,import-untyped,unused-ignore]  # not in this project's environment

from tests.bench.opponents import common

dp.enable_features("contrib")

DRAWS, BATCH = 16_000, 16
ZEROS = [0] * BATCH
DRAW = (dp.vector_domain(dp.atom_domain(T="i32")), dp.l2_distance(T="f64")) >> dp.m.then_gaussian(float(sys.argv[1]))


def run() -> None:
    """All draws."""
    for _ in range(DRAWS // BATCH):
        DRAW(ZEROS)


run()
common.report(["opendp"], common.best_of(run), draws=DRAWS)
