"""How long things lasted: stays by class and length, noise in every cell, medians and quartiles from the noisy cells alone. Pure.

Invariants: a stay changes exactly one cell by one, so all cells of a window together have the sensitivity of one count, and the policy's
c and m mean what they mean for counts (PROOF.md, Lemma 8); a cell never exceeds `max_count`; quantiles are computed from noisy cells only.

A value is milliseconds (firmware_bridge/reading.cddl). A stay of exactly an edge belongs below it ("up to 15 minutes").
"""

from collections import Counter
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from agent.anonymizer.cells import Field, Value
from agent.anonymizer.discard import Discard
from agent.anonymizer.noise import DiscreteGaussian, RandomBytes
from agent.anonymizer.threshold import shown, value_digits
from agent.contracts.aggregate import Cell
from agent.policy.model import Stream
from agent.policy.modes import CountPrivacy, ThresholdOnly, ceil_sqrt

QUANTILES = (("p25", Fraction(1, 4)), ("median", Fraction(1, 2)), ("p75", Fraction(3, 4)))


class Stays:
    """One open window of a duration stream. Memory: classes x bins numbers."""

    def __init__(self, stream: Stream, privacy: CountPrivacy | ThresholdOnly) -> None:
        self._edges_ms = np.array(stream.bins_s, dtype=np.int64) * 1000
        self._counts = np.zeros((len(stream.classes), len(stream.bins_s) + 1), dtype=np.int64)
        self._max_count = privacy.max_count

    def add(self, classes: NDArray[np.int64], values: NDArray[np.uint32] | None) -> Counter[Discard]:
        """Count stays of this window: `classes` are indices in policy order, none negative; `values` their lengths (ms), None without a column.

        Returns how many were discarded, by reason; all others are counted.
        """
        if values is None:
            return +Counter({Discard.MALFORMED: classes.size})
        bins = np.searchsorted(self._edges_ms, values, side="left")
        width = self._counts.shape[1]
        added = np.bincount(classes * width + bins, minlength=self._counts.size)
        total = self._counts + added.reshape(self._counts.shape)
        self._counts = np.minimum(total, self._max_count)
        return +Counter({Discard.OVER_RATE: int((total - self._counts).sum())})

    def close(self) -> NDArray[np.int64]:
        """True counts, shape (classes, bins)."""
        return self._counts


def release(counts: NDArray[np.int64], law: DiscreteGaussian, random_bytes: RandomBytes) -> NDArray[np.int64]:
    """The noisy counts, one draw a cell, whatever the counts."""
    return counts + law.draw(counts.size, random_bytes).reshape(counts.shape)


def publish(noisy: NDArray[np.int64], privacy: CountPrivacy, names: tuple[str, ...]) -> tuple[Value, ...]:
    """The values of `fields`, in their order: every cell that reaches tau, then each class's quantiles where its noisy total reaches its own.

    `names` are those of the bins, of which a quantile is one.
    """
    spread = privacy.threshold.z**2 * privacy.sigma_squared * noisy.shape[1]
    needed = privacy.threshold.k + ceil_sqrt(spread)
    values: list[Value] = list(shown(noisy.ravel().tolist(), privacy.tau))
    for row in noisy:
        enough = int(row.sum()) >= needed
        for _, part in QUANTILES:
            name = names[quantile(row, part)]
            values.append(name if enough else Cell.SUPPRESSED)
    return tuple(values)


def publish_unprotected(counts: NDArray[np.int64], privacy: ThresholdOnly, names: tuple[str, ...]) -> tuple[Value, ...]:
    """The same from true counts, under the mode that is labelled as no privacy guarantee (PRIVACY.md 4.2).

    Quantiles are functions of the cells that are shown: one that depends on what is in the others is suppressed like them.
    """
    values: list[Value] = list(shown(counts.ravel().tolist(), privacy.k))
    for row in counts:
        found = [certain_quantile(row, part, privacy.k) for _, part in QUANTILES]
        values += [Cell.SUPPRESSED if place is None else names[place] for place in found]
    return tuple(values)


def fields(
    stream: Stream, privacy: CountPrivacy | ThresholdOnly, law: DiscreteGaussian | None = None
) -> tuple[Field, ...]:
    """What every window publishes; a function of the policy alone. `law` is the noise's, None in the mode without any."""
    names = bin_names(stream)
    digits = value_digits(privacy.max_count, law.bound if law else 0)
    cells = [Field(f"{name}/{bin_}", "count", digits) for name in stream.classes for bin_ in names]
    longest = max(map(len, names))
    return (*cells, *(Field(f"{name}/{label}", "", longest) for name in stream.classes for label, _ in QUANTILES))


def bin_names(stream: Stream) -> tuple[str, ...]:
    """The bins by their upper edges in seconds; the last is open."""
    return (*(f"to_{edge}s" for edge in stream.bins_s), f"over_{stream.bins_s[-1]}s")


def quantile(noisy: NDArray[np.int64], part: Fraction, total: int | None = None) -> int:
    """The cell in which `part` of all readings lie at or below, from noisy cells and, where it is public, the true `total`.

    The cells are first brought to the nearest histogram (least squares, so the likeliest for Gaussian noise) without negative cells and of the
    same total: max(cell - theta, 0). Taking negative cells for zero alone would give every empty cell 0.4 sigma. The first cell when there is nothing.
    """
    cells = [int(cell) for cell in noisy]
    wanted = max(sum(cells) if total is None else total, 0)
    kept, over = 1, 0
    running = 0
    for place, cell in enumerate(sorted(cells, reverse=True), 1):
        running += cell
        if cell * place > running - wanted:
            kept, over = place, running - wanted
    fitted = np.array(
        [max(cell * kept - over, 0) for cell in cells], dtype=np.int64
    )  # times `kept`, which does not matter
    sums = np.cumsum(fitted)
    return int(np.searchsorted(sums * part.denominator, int(sums[-1]) * part.numerator, side="left"))


def certain_quantile(counts: NDArray[np.int64], part: Fraction, k: int) -> int | None:
    """The cell in which `part` of all readings lie at or below, when that is so whatever is in the cells under `k`; otherwise None.

    It is at or below cell j when (1 - part) x (readings up to j) >= part x (readings above j). That is certain when the hidden cells up to j are
    empty and those above hold k - 1 each, and possible when it is the other way round. Never asks what a hidden cell holds.
    """
    hidden = counts < k
    least = np.where(hidden, 0, counts)
    below, most_below = np.cumsum(least), np.cumsum(np.where(hidden, k - 1, counts))
    above, most_above = below[-1] - below, most_below[-1] - most_below
    weight, other = part.denominator - part.numerator, part.numerator
    certain = int(np.argmax(weight * below >= other * most_above))
    possible = int(np.argmax(weight * most_below >= other * above))
    return certain if certain == possible and below[-1] > 0 else None
