"""The simulated board's further channels: what reading.sock would carry of them is decoded by the anonymizer's own reader."""

import os

import pytest

from agent.anonymizer import batch
from agent.contracts.board import Channel
from agent.contracts.reading import Header, Kind
from agent.errors import ReplayError
from firmware_bridge.simulator.sources import A_SECOND, DEVICES, LEVELS, STAYS_MS, Source, wanted


def decoded(source: Source, running_s: float) -> batch.Batch | None:
    """What is due, as the anonymizer reads it."""
    frame = source.take(running_s)
    if frame is None:
        return None
    header = Header(Kind.READINGS, frame.reading_count, 0, 0, 10**12, len(frame.body))
    return batch.decode(header, memoryview(header.pack() + frame.body + frame.identifiers))


@pytest.mark.parametrize("words", ["stays:duration:bay,kerb", "noise:scalar", "visitors:unique", "cars:count:car"])
def test_each_second_brings_its_readings(words: str) -> None:
    """As many as the kind says, each once, spread over the time since the last look, whatever the looks."""
    source = Source(3, wanted(words), os.urandom)
    kind = wanted(words).kind
    found = [each for each in (decoded(source, at / 10) for at in range(101)) if each is not None]
    assert sum(len(each.classes) for each in found) == 10 * A_SECOND[kind]
    for each in found:
        assert each.channel == 3
        assert each.oldest_boot_ns >= 10**12 - 10**9
        assert (each.values is not None) == (kind in ("duration", "scalar"))
        assert each.width == (6 if kind == "unique" else 0)
    values = {int(value) for each in found if each.values is not None for value in each.values}
    assert values <= set(STAYS_MS if kind == "duration" else LEVELS)
    assert decoded(source, 10.0) is None


def test_devices_come_again_and_leave() -> None:
    """A few new ones every second, most of them seen before."""
    source = Source(0, wanted("visitors:unique"), os.urandom)
    seen = []
    for second in range(1, 61):
        each = decoded(source, second)
        assert each is not None
        seen += [bytes(each.identifiers[at : at + 6]) for at in range(0, len(each.identifiers), 6)]
    assert len(seen) == 1200
    assert DEVICES < len(set(seen)) <= 2 * DEVICES
    assert all(address[0] & 3 == 2 for address in seen)


def test_a_long_wait_brings_no_reading_that_is_too_old() -> None:
    """At most a minute of them."""
    each = decoded(Source(0, wanted("noise:scalar"), os.urandom), 3600)
    assert each is not None
    assert len(each.classes) == 60


def test_channels_by_their_words() -> None:
    """Each kind with classes or without, as it must be."""
    assert wanted("stays:duration:bay,kerb") == Channel("stays", "duration", ("bay", "kerb"))
    for wrong in (
        "",
        "noise",
        "noise:loud",
        "noise:scalar:a",
        "stays:duration",
        "x:count:a,a",
        "X:scalar",
        "a:count:,",
    ):
        with pytest.raises(ReplayError, match="--also"):
            wanted(wrong)
