"""How many different devices came by: linear counting (Whang et al. 1990) on a keyed bitmap for one window (PRIVACY.md 1.5). Pure.

Invariants: no identifier, hash or set is ever kept: of a sighting nothing remains but a cell that is set, and every cell is the cell of
2^31 of the 2^48 addresses; the key is in memory only, lives for one window and is overwritten with the bitmap at its end; identifiers are
read from the buffer that they came in and are never copied into a Python object.

One address changes the number of set cells by at most one, whatever the key and however often it is seen. So a person with at most A
addresses in a window changes it by at most A, and discrete Laplace noise of rate epsilon / A on that number makes the window
epsilon-differentially private, up to 2^-158 (noise.DiscreteLaplace). All else is computed from the noisy number.
"""

from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from agent.anonymizer.cells import Field, Value, scaled
from agent.anonymizer.discard import Discard
from agent.anonymizer.noise import DiscreteLaplace, RandomBytes
from agent.anonymizer.siphash import CHUNK, Fill, SipHash
from agent.contracts.aggregate import Cell
from agent.errors import InvariantBroken
from agent.policy.modes import BITMAP_CELLS, UniquePrivacy, ceil_sqrt

CELLS = BITMAP_CELLS
"""Of the bitmap."""

LIMIT = CELLS - CELLS // 64
"""From so many set cells on the estimate is only a lower bound: beyond it the error grows faster than the number."""

WIDTHS = {
    "identifiable_wifi_sensor": frozenset({6}),
    "identifiable_nfc": frozenset({4, 7, 10}),
    "identifiable_rfid": frozenset(range(4, 17)),
}
"""Bytes of an identifier by technology: IEEE 802 and Bluetooth addresses; UIDs of ISO/IEC 14443-3; EPCs and UIDs of RFID tags."""

TAIL = Fraction(1, 200)
"""Three times the published error are exceeded by the noise at most so often."""

ESTIMATE, AT_LEAST = "estimate", "at_least"

_LOG_BITS = 128
_LOG_TERMS = 1000


class Sightings:
    """One open window. `fill` gives its key; `widths` are the lengths that identifiers may have."""

    def __init__(self, widths: frozenset[int], fill: Fill) -> None:
        self._widths = widths
        self._hash = SipHash()
        self._hash.rekey(fill)
        self._cells = np.zeros(CELLS + 1, dtype=np.uint8)  # the last one takes what is not of this window
        self._places = np.zeros(CHUNK, dtype=np.intp)
        self._open = True

    def add(self, identifiers: memoryview, width: int, belongs: NDArray[np.bool_]) -> Counter[Discard]:
        """Set the cells of the packed `identifiers`, `width` bytes each, that `belongs` marks as this window's.

        Returns how many of these were discarded, for a wrong length: all or none. Work and memory depend on the number of identifiers alone.
        """
        if not self._open or len(identifiers) != width * belongs.size:
            raise InvariantBroken("sightings: the window is closed, or its columns are of unequal length")
        if width not in self._widths:
            return +Counter({Discard.MALFORMED: int(np.count_nonzero(belongs))})
        rows = np.frombuffer(identifiers, dtype=np.uint8).reshape(-1, width)
        try:
            for at in range(0, len(rows), CHUNK):
                hashes = self._hash.hashes(rows[at : at + CHUNK])
                np.bitwise_and(hashes, np.uint64(CELLS - 1), out=hashes)
                places = self._places[: hashes.size]
                np.copyto(places, hashes, casting="unsafe")
                np.copyto(places, CELLS, where=~belongs[at : at + CHUNK])
                self._cells[places] = 1
        finally:
            self._hash.wipe()
            self._places.fill(0)
        return Counter()

    def close(self) -> int:
        """The number of set cells; overwrites key and bitmap. Raises InvariantBroken the second time."""
        if not self._open:
            raise InvariantBroken("sightings: closed twice")
        filled = int(np.count_nonzero(self._cells[:CELLS]))
        self.abandon()
        return filled

    def abandon(self) -> None:
        """Overwrite key and bitmap of a window that gives no number."""
        self._open = False
        self._hash.forget()
        self._cells.fill(0)


def release(filled: int, law: DiscreteLaplace, random_bytes: RandomBytes) -> int:
    """The noisy number of set cells: one draw, whatever the number. The sum is made in the array: CPython is quicker with some small ints."""
    return int((law.draw(1, random_bytes) + filled)[0])


@dataclass(frozen=True, slots=True)
class Estimate:
    """`devices` rounded to the next whole, `error_thousandths` its claimed standard deviation; `at_least` when it is only a lower bound."""

    devices: int
    error_thousandths: int
    at_least: bool


def estimate(noisy: int, spread: Fraction) -> Estimate:
    """-M ln(1 - z/M) for z = `noisy` cut to 0 .. LIMIT, in integers; `spread` is the claimed variance of the noise on z (`claimed`).

    The error's variance is M (e^t - t - 1) from collisions (Whang et al. 1990, equation 8) and spread e^2t from the noise, t = n / M,
    e^t = M / (M - z): rational but for n itself, which is exact to 2^-60. The same work for every z.
    """
    filled = min(max(noisy, 0), LIMIT)
    slope = Fraction(CELLS, CELLS - filled)
    devices = CELLS * _log(slope)
    variance = max(Fraction(0), filled * slope - devices) + Fraction(1, 1 << 32) + spread * slope**2
    return Estimate(int(devices + Fraction(1, 2)), ceil_sqrt(variance * 1_000_000), noisy > LIMIT)


def claimed(privacy: UniquePrivacy, law: DiscreteLaplace) -> Fraction:
    """The claimed variance of the noise: at least its own, and such that three claimed deviations hold it all but TAIL of the time.

    Laplace tails are long: 1.4 % of draws lie beyond three of their own standard deviations, which readers of a deviation do not expect.
    """
    return max(privacy.sigma_squared, Fraction(law.half_width(TAIL), 3) ** 2)


def noise_sd(privacy: UniquePrivacy, law: DiscreteLaplace) -> Decimal:
    """The claimed standard deviation of the noise on the number of set cells, in thousandths, rounded up; a function of the policy alone."""
    return scaled(ceil_sqrt(claimed(privacy, law) * 1_000_000), 3)


def publish(noisy: int, privacy: UniquePrivacy, law: DiscreteLaplace) -> tuple[Value, ...]:
    """The cells of `fields`: number, error and kind, or all suppressed when the noisy number of set cells is under the threshold."""
    found = estimate(noisy, claimed(privacy, law))
    if noisy < privacy.tau:
        return (Cell.SUPPRESSED,) * 3
    return (found.devices, scaled(found.error_thousandths, 3), AT_LEAST if found.at_least else ESTIMATE)


def fields(privacy: UniquePrivacy, law: DiscreteLaplace) -> tuple[Field, ...]:
    """What every window publishes. Widths follow from the policy alone: both numbers grow with the noisy one, up to LIMIT."""
    most = estimate(LIMIT, claimed(privacy, law))
    return (
        Field("devices", "count", len(str(most.devices))),
        Field("devices_sd", "count", len(str(scaled(most.error_thousandths, 3)))),
        Field("devices_is", "", max(len(ESTIMATE), len(AT_LEAST))),
    )


def _log(value: Fraction) -> Fraction:
    """ln(value) for 1 <= value <= 64, within 2^-80: 2 atanh u = 2 sum u^(2i+1) / (2i+1), u = (value - 1) / (value + 1) <= 63/65.

    Always the same number of terms: also when the number that it is for will be suppressed.
    """
    u = (value - 1) / (value + 1)
    power = (u.numerator << _LOG_BITS) // u.denominator
    square = power * power >> _LOG_BITS
    total = 0
    for odd in range(1, 2 * _LOG_TERMS, 2):
        total += power // odd
        power = power * square >> _LOG_BITS
    return Fraction(2 * total, 1 << _LOG_BITS)
