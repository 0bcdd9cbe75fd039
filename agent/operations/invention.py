"""What simulated windows held: numbers of no street, in the form in which the anonymizer hands a closed window of each kind to its terms. Pure.

Invariant: only this is invented; noise, thresholds, labels and lengths are those of the anonymizer's own code.
"""

from typing import Any

from agent.anonymizer.duration import Stays
from agent.anonymizer.noise import RandomBytes
from agent.anonymizer.rows import Rows
from agent.anonymizer.scalar import WHOLE_UNITS, Grid, Sampled, Samples
from agent.policy.model import Stream
from agent.policy.modes import CoarsePrivacy, CountPrivacy, NoPrivacy, ScalarPrivacy, ThresholdOnly, UniquePrivacy

MOST_CELLS = 1 << 12
"""Of a bitmap that are set."""

SAMPLES = 64
"""Of a window whose policy fixes no number, at least."""

SPOTS = 16
"""So many different values has a window of a scalar, at most."""


class Invention:
    """One stream's windows, `next_window` by `next_window`. What it gives is overwritten by the next."""

    __slots__ = ("_blank", "_stream")

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._blank: Any  # an array that is filled anew, None for devices; numpy itself is not loaded by name here
        privacy = stream.privacy
        match privacy:
            case CountPrivacy() | ThresholdOnly() if stream.kind == "duration":
                self._blank = Stays(stream, privacy).close()
            case CountPrivacy() | ThresholdOnly():
                self._blank = Rows(0, len(stream.classes), privacy.max_count).take(1)[0]
            case UniquePrivacy():
                self._blank = None
            case ScalarPrivacy() | CoarsePrivacy() | NoPrivacy():
                self._blank = Samples(privacy, Grid(privacy, WHOLE_UNITS)).close().counts

    def next_window(self, random_bytes: RandomBytes) -> object:
        """The contents of one window, as `Terms.numbers` takes a sequence of them; some numbers are under any threshold."""
        privacy, blank = self._stream.privacy, self._blank
        if blank is None:
            return [int.from_bytes(random_bytes(2), "big") % MOST_CELLS]
        if isinstance(privacy, CountPrivacy | ThresholdOnly):
            blank.flat[:] = list(random_bytes(blank.size))  # 0 to 255 each
            return [blank] if self._stream.kind == "duration" else blank
        received = privacy.samples if isinstance(privacy, ScalarPrivacy) else SAMPLES
        if isinstance(privacy, CoarsePrivacy):
            received = max(received, privacy.min_samples)
        blank.fill(0)
        for spot, octet in enumerate(random_bytes(SPOTS)):
            blank[octet * (blank.size - 1) // 255] += received // SPOTS + (spot < received % SPOTS)
        return [Sampled(blank, received)]
