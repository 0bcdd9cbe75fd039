"""FB-5, FB-21: crossings become bodies that reading.cddl allows; canaries are few, timely and unmistakable."""

import os
import struct

from agent.wire import cbor
from firmware_bridge.simulator.batch import MIN_VALUE, Canaries, Canary, pack
from firmware_bridge.simulator.timeline import Crossing

CROSSINGS = [Crossing(15_000, 0), Crossing(300, 2), Crossing(1, 1)]


def test_ages_are_real_milliseconds_and_never_too_old() -> None:
    body = cbor.decode(pack(CROSSINGS, 300.0, None, os.urandom).body)
    assert set(body) == {0, 1, 2}
    assert (body[1].tag, body[1].value) == (69, struct.pack("<3H", 50, 1, 0))
    assert (body[2].tag, body[2].value) == (64, bytes([0, 2, 1]))
    old = pack([Crossing(10**9, 0)], 1.0, None, os.urandom)
    assert cbor.decode(old.body)[1].value == struct.pack("<H", 60_000)


def test_a_canary_is_the_first_reading_of_its_frame() -> None:
    canary = Canary(b"\xf1\xe2\xd3\xc4\xb5\xa6", 0xDEADBEEF)
    batch = pack(CROSSINGS, 300.0, canary, os.urandom)
    body = cbor.decode(batch.body)
    assert body[4] == 6
    assert batch.identifiers[:6] == canary.identifier
    assert len(batch.identifiers) == 18
    assert body[3].tag == 70
    assert struct.unpack("<3I", body[3].value)[0] == canary.value


def test_all_canaries_are_planted_in_the_first_minute_the_first_soon() -> None:
    for count in (0, 1, 5, 30):
        canaries = Canaries(count, os.urandom)
        planted = [(now, canary) for now in range(60) if (canary := canaries.take(float(now))) is not None]
        assert len(planted) == count
        assert all(canary.value >= MIN_VALUE and len(canary.identifier) == 6 for _, canary in planted)
        assert count == 0 or planted[0][0] <= 2
