"""A line of JSON a reading, a dict, and Laplace noise of numpy: what everyone writes first."""

import json

import numpy as np

from tests.bench.opponents import common

WORKLOAD = common.about()
CHUNKS = WORKLOAD.chunks("lines.json")
NOISE = np.random.default_rng()  # noqa: TID251  # theirs, as it is met


def close(counts: dict[str, int], published: list[dict[str, int | None]]) -> None:
    """Clamp, noise, threshold."""
    cells: dict[str, int | None] = {}
    for name, noise in zip(
        WORKLOAD.classes, NOISE.laplace(0, common.LAPLACE_SCALE, len(WORKLOAD.classes)).tolist(), strict=True
    ):
        noisy = round(min(counts.get(name, 0), common.MAX_COUNT) + noise)
        cells[name] = noisy if noisy >= common.TAU else None
    published.append(cells)


def run() -> list[dict[str, int]]:
    """All chunks; the exact counts of each window."""
    loads, window_ms = json.loads, WORKLOAD.window_ms
    published: list[dict[str, int | None]] = []
    exact: list[dict[str, int]] = []
    counts: dict[str, int] = {}
    current = WORKLOAD.start_ms // window_ms
    for chunk in CHUNKS:
        for line in chunk.splitlines():
            reading = loads(line)
            window = reading["t"] // window_ms
            if window != current:
                close(counts, published)
                exact.append(counts)
                counts, current = {}, window
            name = reading["class"]
            counts[name] = counts.get(name, 0) + 1
    close(counts, published)
    return [*exact, counts]


found = [[counts.get(name, 0) for name in WORKLOAD.classes] for counts in run()]
common.report(["numpy"], common.best_of(run), counts=found)
