"""How the windows of a stream are opened, by its kind. Pure."""

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from agent.anonymizer.discard import Discard
from agent.anonymizer.distinct import WIDTHS, Sightings
from agent.anonymizer.duration import Stays
from agent.anonymizer.rows import Apart, Columns, Held, Rows
from agent.anonymizer.scalar import WHOLE_UNITS, Grid, Sampled, Samples
from agent.anonymizer.siphash import Fill
from agent.policy.model import Stream
from agent.policy.modes import CoarsePrivacy, CountPrivacy, NoPrivacy, ScalarPrivacy, ThresholdOnly, UniquePrivacy


def held(stream: Stream, first: int, fill: Fill) -> Held:
    """No readings yet; `first` is the number of the first window. `fill` gives the keys of windows of unique visitors."""
    privacy = stream.privacy
    match privacy:
        case CountPrivacy() | ThresholdOnly() if stream.kind == "duration":
            return Apart(first, lambda: Lengths(stream, privacy))
        case CountPrivacy() | ThresholdOnly():
            return Rows(first, len(stream.classes), privacy.max_count)
        case UniquePrivacy():
            return Apart(first, lambda: Identifiers(WIDTHS[stream.technology], fill))
        case ScalarPrivacy() | CoarsePrivacy() | NoPrivacy():
            grid = Grid(privacy, WHOLE_UNITS)
            return Apart(first, lambda: Values(privacy, grid))


class Lengths:
    """An open window of durations."""

    def __init__(self, stream: Stream, privacy: CountPrivacy | ThresholdOnly) -> None:
        self._classes = len(stream.classes)
        self._stays = Stays(stream, privacy)

    def add(self, columns: Columns, belongs: NDArray[np.bool_]) -> Counter[Discard]:
        """Count stays."""
        known = belongs & (columns.classes < self._classes)
        unknown = int(np.count_nonzero(belongs)) - int(np.count_nonzero(known))
        values = None if columns.values is None else columns.values[known]
        discarded = self._stays.add(columns.classes[known], values)
        return +(discarded + Counter({Discard.UNKNOWN_CLASS: unknown}))

    def close(self) -> NDArray[np.int64]:
        """True counts, shape (classes, bins)."""
        return self._stays.close()

    def abandon(self) -> None:
        """Counts are not wiped."""


class Identifiers:
    """An open window of unique visitors. Identifiers are read where they arrived."""

    def __init__(self, widths: frozenset[int], fill: Fill) -> None:
        self._sightings = Sightings(widths, fill)

    def add(self, columns: Columns, belongs: NDArray[np.bool_]) -> Counter[Discard]:
        """Set cells."""
        return self._sightings.add(columns.identifiers, columns.width, belongs)

    def close(self) -> int:
        """The number of set cells; key and bitmap are overwritten."""
        return self._sightings.close()

    def abandon(self) -> None:
        """Overwrite key and bitmap."""
        self._sightings.abandon()


class Values:
    """An open window of a scalar."""

    def __init__(self, privacy: ScalarPrivacy | CoarsePrivacy | NoPrivacy, grid: Grid) -> None:
        self._samples = Samples(privacy, grid)

    def add(self, columns: Columns, belongs: NDArray[np.bool_]) -> Counter[Discard]:
        """Take samples."""
        values = None if columns.values is None else columns.values[belongs]
        return self._samples.add(values, int(np.count_nonzero(belongs)))

    def close(self) -> Sampled:
        """What was taken."""
        return self._samples.close()

    def abandon(self) -> None:
        """Samples are not wiped."""
