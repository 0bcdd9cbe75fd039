"""Further channels of the simulated board, beside its street: stays, measured values, devices. Pure: random bytes come in as a function.

They run in real seconds, whatever the street's speed: a scalar gives one sample a second, as a policy's fixed number of samples supposes.
"""

from array import array
from collections.abc import Sequence

from agent.contracts.board import KINDS, MAX_CLASSES, NAME, Channel
from agent.contracts.reading import MAX_AGE_MS, TAG_UINT8, TAG_UINT16_LE, TAG_UINT32_LE, Body
from agent.errors import ReplayError
from agent.wire import cbor
from firmware_bridge.simulator.batch import IDENTIFIER_BYTES, Batch, RandomBytes, little_endian

A_SECOND = {"count": 40, "duration": 20, "scalar": 1, "unique": 20}
"""Readings a second, by kind."""

STAYS_MS = (90_000, 4 * 60_000, 11 * 60_000, 25 * 60_000, 50 * 60_000, 100 * 60_000, 5 * 3_600_000)
"""Lengths of stays, one after another."""

LEVELS = (48, 50, 53, 57, 62, 58, 54, 51)
"""Measured values, one after another, in whole units of whatever is measured."""

DEVICES = 200
"""So many devices are around at a time."""

STAYS_S = 60
"""Each device is there for about so long: one of DEVICES is replaced every STAYS_S / DEVICES seconds."""


def wanted(text: str) -> Channel:
    """NAME:KIND or NAME:KIND:CLASS,CLASS as a channel; raise ReplayError."""
    name, _, rest = text.partition(":")
    kind, _, words = rest.partition(":")
    classes = tuple(words.split(",")) if words else ()
    right = (
        NAME.fullmatch(name)
        and kind in KINDS
        and all(NAME.fullmatch(each) for each in classes)
        and bool(classes) == (kind in ("count", "duration"))
        and len(set(classes)) == len(classes) <= MAX_CLASSES
    )
    if not right:
        raise ReplayError(
            "--also",
            expected="NAME:count:CLASS,CLASS or NAME:duration:CLASS,CLASS or NAME:scalar or NAME:unique",
            got=repr(text)[:60],
        )
    return Channel(name, kind, classes)


class Source:
    """The readings of one channel, whose number in the board's hello is `number`."""

    def __init__(self, number: int, channel: Channel, random_bytes: RandomBytes) -> None:
        self._number = number
        self._channel = channel
        self._random_bytes = random_bytes
        self._taken = 0
        self._devices = [self._device() for _ in range(DEVICES)] if channel.kind == "unique" else []

    def take(self, running_s: float) -> Batch | None:
        """What is due `running_s` after the beginning and was not taken yet; None when nothing is. What is over a minute old is left out."""
        each_ms = 1000 // A_SECOND[self._channel.kind]
        now_ms = int(running_s * 1000)
        due = now_ms // each_ms
        first = max(self._taken, due - MAX_AGE_MS // each_ms)
        self._taken = max(self._taken, due)
        if first >= due:
            return None
        places = range(first, due)
        ages = array("H", (now_ms - (place + 1) * each_ms for place in places))
        body: dict[int, object] = {
            Body.CHANNEL.value: self._number,
            Body.AGES.value: cbor.CBORTag(TAG_UINT16_LE, little_endian(ages)),
            Body.CLASSES.value: cbor.CBORTag(
                TAG_UINT8, bytes(place % max(1, len(self._channel.classes)) for place in places)
            ),
        }
        identifiers = b""
        match self._channel.kind:
            case "duration":
                body[Body.VALUES.value] = _values(places, STAYS_MS)
            case "scalar":
                body[Body.VALUES.value] = _values(places, LEVELS)
            case "unique":
                body[Body.IDENTIFIER_LENGTH.value] = IDENTIFIER_BYTES
                identifiers = b"".join(map(self._seen, places))
        return Batch(len(places), cbor.encode(body), identifiers, None)

    def _device(self) -> bytes:
        """A random address, locally administered and unicast (IEEE 802), as phones use."""
        address = bytearray(self._random_bytes(IDENTIFIER_BYTES))
        address[0] = address[0] & 0xFC | 0x02
        return bytes(address)

    def _seen(self, place: int) -> bytes:
        """The device that sighting `place` is of; a device leaves, and another comes in its place, as often as STAYS_S says."""
        at = place * 7 % DEVICES
        if place % (A_SECOND["unique"] * STAYS_S // DEVICES) == 0:
            self._devices[at] = self._device()
        return self._devices[at]


def _values(places: Sequence[int], cycle: Sequence[int]) -> cbor.CBORTag:
    return cbor.CBORTag(TAG_UINT32_LE, little_endian(array("I", (cycle[place % len(cycle)] for place in places))))
