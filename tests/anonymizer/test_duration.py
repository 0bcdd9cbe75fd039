"""Durations: every stay in exactly one cell, exact noise in each, quantiles that see noisy cells only."""

import itertools
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from agent.anonymizer.discard import Discard
from agent.anonymizer.duration import (
    Stays,
    bin_names,
    certain_quantile,
    fields,
    publish,
    publish_unprotected,
    quantile,
    release,
)
from agent.anonymizer.noise import DiscreteGaussian
from agent.contracts.aggregate import Cell
from agent.local.randomness import random_bytes
from agent.policy.model import Stream
from agent.policy.modes import CountPrivacy, ThresholdOnly
from agent.policy.parse import MAX_EDGES, parse_policy

EXAMPLE = Path(__file__).parents[2] / "config" / "examples" / "parking-and-bins.toml"
STREAM = next(s for s in parse_policy(EXAMPLE.read_text(), "parking").streams if s.kind == "duration")
assert isinstance(STREAM.privacy, CountPrivacy)
PRIVACY = STREAM.privacy
LAW = DiscreteGaussian(PRIVACY.sigma_squared)
NAMES = bin_names(STREAM)


def stays(lengths_ms: list[int], classes: list[int] | None = None, stream: Stream = STREAM) -> Stays:
    window = Stays(stream, PRIVACY)
    chosen = np.array(classes if classes is not None else [0] * len(lengths_ms), dtype=np.int64)
    assert window.add(chosen, np.array(lengths_ms, dtype=np.uint32)) == Counter()
    return window


def test_edges_belong_below_them() -> None:
    """AN-420: "up to 15 minutes" holds 15 minutes to the millisecond; a stay of 49 days, the wire's longest, is in the open bin."""
    assert STREAM.bins_s == (900, 3600, 14400)
    counts = stays([0, 900_000, 900_001, 3_600_000, 3_600_001, 14_400_000, 14_400_001, 2**32 - 1]).close()
    assert counts.tolist() == [[2, 2, 2, 2], [0, 0, 0, 0]]


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 2**32 - 1)), max_size=60))
def test_a_stay_changes_one_cell_by_one(entries: list[tuple[int, int]]) -> None:
    """AN-421, the sensitivity and conservation: cells add up to the stays; one stay more is one count more, in one cell."""
    classes, lengths = [c for c, _ in entries], [v for _, v in entries]
    before = stays(lengths, classes).close()
    after = stays([*lengths, 1_000_000], [*classes, 1]).close()
    assert before.sum() == len(entries)
    assert np.abs(after - before).sum() == 1


def test_thirty_two_bins_for_every_class() -> None:
    """AN-422: the policy's most bins are those of PRIVACY.md section 0; a logarithmic row of them reaches from a second to seven days."""
    assert MAX_EDGES + 1 == 32
    edges = tuple(sorted({round(1.536**i) for i in range(1, 32)}))
    assert edges[-1] <= 7 * 86_400
    stream = replace(STREAM, bins_s=edges)
    assert stays([1000 * edge for edge in edges], stream=stream).close()[0].tolist() == [1] * len(edges) + [0]


def test_a_cell_is_cut_at_max_count() -> None:
    """AN-423: bounded, and what is over is counted."""
    window = Stays(STREAM, PRIVACY)
    over = window.add(np.zeros(1500, dtype=np.int64), np.zeros(1500, dtype=np.uint32))
    assert over == {Discard.OVER_RATE: 500}
    assert window.close().max() == PRIVACY.max_count == 1000


def test_stays_without_lengths_are_refused() -> None:
    """AN-423."""
    window = Stays(STREAM, PRIVACY)
    assert window.add(np.zeros(7, dtype=np.int64), None) == {Discard.MALFORMED: 7}
    assert window.close().sum() == 0


def test_noise_in_every_cell_whatever_the_counts() -> None:
    """AN-41, AN-421: the same bytes for empty and full windows, and the claimed variance; the control has none in one cell."""
    asked: list[int] = []

    def source(count: int) -> bytes:
        asked.append(count)
        return random_bytes(count)

    empty, full = np.zeros((2, 4), dtype=np.int64), np.full((2, 4), 900, dtype=np.int64)
    noises = np.array([release(counts, LAW, source) - counts for counts in [empty, full] * 1000])
    assert set(asked) == {64}
    variances = noises.astype(float).var(axis=0)
    assert np.all(np.abs(variances / float(PRIVACY.sigma_squared) - 1) < 0.2)
    noises[:, 0, 0] = 0
    assert not np.all(np.abs(noises.astype(float).var(axis=0) / float(PRIVACY.sigma_squared) - 1) < 0.2)


def test_what_is_published_fits_its_fields() -> None:
    """AN-424, I6: as many values as fields, in one order, none wider than its field."""
    named = fields(STREAM, PRIVACY, LAW)
    assert [f.name for f in named[:5]] == [*(f"short_bay/{name}" for name in NAMES), f"disabled_bay/{NAMES[0]}"]
    assert [f.name for f in named[-2:]] == ["disabled_bay/median", "disabled_bay/p75"]
    for counts in (np.zeros((2, 4), dtype=np.int64), np.full((2, 4), PRIVACY.max_count + LAW.bound)):
        values = publish(counts, PRIVACY, NAMES)
        assert len(values) == len(named)
        assert all(isinstance(v, Cell) or len(str(v)) <= f.width for v, f in zip(values, named, strict=True))


def test_threshold_on_noisy_cells_and_on_noisy_totals() -> None:
    """AN-425: tau = 5 + 2 * 4 = 13 for a cell, 5 + 2 * 4 * sqrt(4) = 21 for a class's quantiles."""
    noisy = np.array([[12, 13, -5, 0], [20, -3, 2, 2]], dtype=np.int64)
    short = Cell.SUPPRESSED
    assert PRIVACY.tau == 13
    assert publish(noisy, PRIVACY, NAMES) == (
        *(short, 13, short, short),
        *(20, short, short, short),
        *(short, short, short),
        *("to_900s", "to_900s", "to_900s"),
    )


def test_the_mode_without_a_guarantee() -> None:
    """AN-427: true counts from k on, in cells of their own width; quantiles that no suppressed cell could move."""
    bare = ThresholdOnly(k=5, max_count=1000)
    window = Stays(STREAM, bare)
    window.add(np.array([0] * 21 + [1] * 4, dtype=np.int64), np.array([1000] * 20 + [5_000_000] * 5, dtype=np.uint32))
    values = publish_unprotected(window.close(), bare, NAMES)
    assert values[:8] == (20, *[Cell.SUPPRESSED] * 7)
    assert values[8:] == ("to_900s", "to_900s", Cell.SUPPRESSED, *[Cell.SUPPRESSED] * 3)
    assert [f.width for f in fields(STREAM, bare)] <= [f.width for f in fields(STREAM, PRIVACY, LAW)]
    assert len(fields(STREAM, bare)) == len(values)


def quantiles_of(row: tuple[int, ...], k: int) -> tuple[object, ...]:
    """The quantiles that are published of one class without a guarantee."""
    counts = np.array([row], dtype=np.int64)
    return publish_unprotected(counts, ThresholdOnly(k=k, max_count=1000), NAMES[: len(row)])[len(row) :]


@given(st.lists(st.integers(0, 12), min_size=3, max_size=3), st.integers(1, 4))
def test_quantiles_tell_nothing_of_suppressed_cells(row: list[int], k: int) -> None:
    """AN-427: whatever stands in the cells under k, the same quantiles are published; they are right for all, and missing only where none is."""
    fillings = list(itertools.product(*([cell] if cell >= k else range(k) for cell in row)))
    assert len({quantiles_of(filling, k) for filling in fillings}) == 1
    for part in (Fraction(1, 4), Fraction(1, 2), Fraction(3, 4)):
        found = certain_quantile(np.array(row, dtype=np.int64), part, k)
        true = {quantile(np.array(filling, dtype=np.int64), part) for filling in fillings}
        assert found == (true.pop() if len(true) == 1 and max(row) >= k else None)


def test_quantiles_of_true_counts_told_suppressed_cells() -> None:
    """AN-427's control: shown as soon as a class has k stays, they told one suppressed window from another."""
    rows = ((1, 1, 1), (3, 0, 0), (0, 0, 3))
    told = {tuple(quantile(np.array(row, dtype=np.int64), Fraction(n, 4)) for n in (1, 2, 3)) for row in rows}
    assert len(told) == len(rows)
    assert quantiles_of((1, 1, 1), 4) == quantiles_of((0, 0, 3), 4) == (Cell.SUPPRESSED,) * 3
    assert quantiles_of((1, 1, 1), 3) == (Cell.SUPPRESSED,) * 3


@pytest.mark.parametrize(
    ("row", "part", "expected"),
    [
        ([10, 10, 10, 10], Fraction(1, 2), 1),
        ([10, 10, 10, 11], Fraction(1, 2), 2),
        ([0, 0, 0, 7], Fraction(1, 4), 3),
        ([-50, 8, -3, 8], Fraction(1, 2), 1),
        ([-1, -1, -1, -1], Fraction(1, 2), 0),
        ([3, 3, 3, 3], Fraction(3, 4), 2),
    ],
)
def test_quantiles(row: list[int], part: Fraction, expected: int) -> None:
    """AN-426: exact ties, negative noise taken as zero, nothing at all."""
    assert quantile(np.array(row, dtype=np.int64), part) == expected


def test_empty_bins_do_not_pull_a_quantile() -> None:
    """AN-426: one full bin among 32, noise in all: the median stays in it; with negative cells taken for zero it moves (the control)."""
    counts = np.zeros(32, dtype=np.int64)
    counts[3] = 60
    rows = [counts + LAW.draw(32, random_bytes) for _ in range(300)]
    assert sum(quantile(row, Fraction(3, 4)) == 3 for row in rows) >= 200
    assert sum(quantile(np.maximum(row, 0), Fraction(3, 4)) == 3 for row in rows) <= 100


def test_medians_of_many_stays_are_right() -> None:
    """AN-426: with some hundred stays the published median is the true one."""
    rows: list[NDArray[np.int64]] = []
    for _ in range(200):
        rows.append(release(stays([600_000] * 40 + [2_000_000] * 150 + [5_000_000] * 60).close(), LAW, random_bytes))
    at = [f.name for f in fields(STREAM, PRIVACY, LAW)].index("short_bay/median")
    assert sum(publish(row, PRIVACY, NAMES)[at] == "to_3600s" for row in rows) >= 198
