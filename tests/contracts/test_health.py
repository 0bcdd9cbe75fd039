"""I1, I6, PB-22: `health` has one length, and nothing finer than a bucket gets into it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.contracts.health import COUNTERS, DAEMONS, Condition, Report, compile_health, decode_health, read_status
from agent.contracts.status import BUCKETS, Status
from agent.errors import MessageError

buckets = st.sampled_from(BUCKETS)
names = st.sampled_from(
    ["damaged_crc", "damaged_cobs", "missing_frames", "dropped_full", "discarded_gate", "readings", "bad_messages"]
)
reports = st.builds(Report, st.booleans(), st.booleans(), st.dictionaries(names, buckets))
groups = st.lists(st.none() | reports, max_size=3).map(tuple)
AT = 1_800_000_000


@given(st.dictionaries(st.sampled_from(DAEMONS), groups), st.integers(0, 10**10 - 1))
def test_one_length_whatever_it_says(found: dict[str, tuple[Report | None, ...]], at: int) -> None:
    health = compile_health(at, found)
    message = health.encode()
    assert len(message) == len(compile_health(AT, {}).encode())
    assert decode_health(message) == health
    item = json.loads(message)
    assert set(item) == {"v", "at", "memory_locked", *DAEMONS, *COUNTERS}
    assert {item[name] for name in COUNTERS} <= set(BUCKETS)
    assert "readings" not in item


def test_the_worst_is_told() -> None:
    good, bad = (
        Report(True, True, {"damaged_crc": "1+"}),
        Report(False, False, {"damaged_cobs": "100+", "readings": "10+"}),
    )
    health = compile_health(AT, {"firmware_bridge": (good, bad), "anonymizer": (good, None), "beacon": (good,)})
    assert health.daemons == {
        "firmware_bridge": Condition.FAULT,
        "anonymizer": Condition.ABSENT,
        "beacon": Condition.OK,
        "publisher": Condition.ABSENT,
    }
    assert health.counters["damaged"] == "100+"
    assert not health.memory_locked


def test_only_known_words_are_taken_over_from_a_status() -> None:
    """I1: a daemon that wrote an exact number by mistake does not get it published."""
    counters = {"damaged_crc": "1+", "missing_frames": "4711", "readings": "100+", "memory": "locked", "dropped_x": "٣"}
    report = read_status(Status("firmware-bridge", True, "up", "all is well, 4711 frames", counters).encode())
    assert report == Report(True, True, {"damaged_crc": "1+"})


@pytest.mark.parametrize(
    "text",
    [b"", b"{}", b"\xff", b'{"v":2}', b'{"v":true,"ok":true,"counters":{}}', b'{"v":1,"ok":1,"counters":{}}',
     b'{"v":1,"ok":true,"counters":[]}', b'{"v":1,"ok":true,"counters":{}}' + b" " * 5000, b"[" * 3000],
)  # fmt: skip
def test_a_status_that_is_none_is_refused(text: bytes) -> None:
    with pytest.raises(MessageError):
        read_status(text)


@pytest.mark.parametrize(
    "change", [(b'"ok"', b'"well"'), (b'"0"', b'"7"'), (b"1800000000", b"18000000.0"), (b" ", b""), (b"}", b',"x":1}')]
)
def test_another_form_is_refused(change: tuple[bytes, bytes]) -> None:
    report = Report(True, True, {})
    message = compile_health(AT, {name: (report,) for name in DAEMONS}).encode()
    assert change[0] in message
    with pytest.raises(MessageError):
        decode_health(message.replace(*change))
