"""Crossings as READINGS frames, with planted canaries. Pure: random bytes come in as a function.

A canary is a real crossing that carries an identifier and a value that nothing downstream may ever show. The frame that
holds it carries an identifier and a value for each of its readings, as the protocol demands; only the canary's are reported.
"""

import sys
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agent.contracts.reading import MAX_AGE_MS, TAG_UINT8, TAG_UINT16_LE, TAG_UINT32_LE, Body
from agent.wire import cbor
from firmware_bridge.simulator.timeline import Crossing

CHANNEL = 0
IDENTIFIER_BYTES = 6
FIRST_CANARY_S = 1.0
LAST_CANARY_S = 50.0
"""All canaries lie in the first minute: a short demo must plant them all."""

MAX_CANARY_EVERY_S = 5.0
MIN_VALUE = 1 << 24
"""A smaller number could turn up anywhere by chance."""

RandomBytes = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Canary:
    """What was planted: 6 bytes and a 32-bit number of at least 2^24."""

    identifier: bytes
    value: int


@dataclass(frozen=True, slots=True)
class Batch:
    """The variable part of one READINGS frame."""

    reading_count: int
    body: bytes
    identifiers: bytes
    canary: Canary | None


def pack(crossings: Sequence[Crossing], speed: float, canary: Canary | None, random_bytes: RandomBytes) -> Batch:
    """One frame's readings; ages are real milliseconds, so calendar milliseconds over `speed`. The canary is the first reading."""
    count = len(crossings)
    ages = array("H", (min(int(crossing.before_ms / speed), MAX_AGE_MS) for crossing in crossings))
    body = {
        Body.CHANNEL.value: CHANNEL,
        Body.AGES.value: cbor.CBORTag(TAG_UINT16_LE, little_endian(ages)),
        Body.CLASSES.value: cbor.CBORTag(TAG_UINT8, bytes(crossing.class_index for crossing in crossings)),
    }
    identifiers = b""
    if canary is not None:
        values = array("I", [canary.value, *(int.from_bytes(random_bytes(3), "little") for _ in range(count - 1))])
        body[Body.VALUES.value] = cbor.CBORTag(TAG_UINT32_LE, little_endian(values))
        body[Body.IDENTIFIER_LENGTH.value] = IDENTIFIER_BYTES
        identifiers = canary.identifier + random_bytes(IDENTIFIER_BYTES * (count - 1))
    return Batch(count, cbor.encode(body), identifiers, canary)


class Canaries:
    """Says when the next canary is due: the first soon, the rest every few seconds, all within the first minute."""

    def __init__(self, count: int, random_bytes: RandomBytes) -> None:
        self._left = count
        self._random_bytes = random_bytes
        self._every_s = min(MAX_CANARY_EVERY_S, (LAST_CANARY_S - FIRST_CANARY_S) / max(count, 1))
        self._due_s = FIRST_CANARY_S

    def take(self, running_s: float) -> Canary | None:
        """A canary, when one is due `running_s` after the street began."""
        if self._left == 0 or running_s < self._due_s:
            return None
        self._left -= 1
        self._due_s += self._every_s
        identifier = self._random_bytes(IDENTIFIER_BYTES)
        value = int.from_bytes(self._random_bytes(4), "little")
        return Canary(identifier, value | MIN_VALUE)


def little_endian(column: "array[int]") -> bytes:
    """The bytes of a typed array of the wire; the array is not used afterwards."""
    if sys.byteorder == "big":
        column.byteswap()
    return column.tobytes()
