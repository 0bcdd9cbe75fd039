"""What a board may send that is wrong: each is counted under its name, bounded, and named in the daemon's status without any number.

One table of cases, each a message or a flood at a unit in mid-window. What is measured of the unit is what leaves it: packs and status.
"""

import json
import os
from collections.abc import Callable
from dataclasses import fields
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from agent.anonymizer.announcement import Announcement
from agent.anonymizer.newest import Newest
from agent.anonymizer.window import NS
from agent.contracts.aggregate import Aggregate, Cell, NotCollected
from agent.contracts.log import Charge, Gap
from agent.contracts.reading import TAG_UINT8, TAG_UINT16_LE, TAG_UINT32_LE, Body, Kind
from agent.contracts.status import bucket
from agent.errors import MessageError
from agent.local.clock import OPERATOR, Clock
from agent.local.settings import Paths
from agent.wire import cbor
from tests.anonymizer.stage import KEY, message
from tests.anonymizer.test_kinds import Life, brought
from tests.memory import resident_kib

NAMES = ("passing", "stays", "visitors", "noise")
TAG_SINT8, TAG_FLOAT32_LE = 72, 85
"""RFC 8746 section 2: signed and floating-point columns, which no reading has."""

Wrong = Callable[[Life, int], None]
"""Sends so many wrong readings."""


def column(tag: int, values: "np.ndarray[tuple[int], np.dtype[np.generic]]") -> cbor.CBORTag:
    return cbor.CBORTag(tag, values.tobytes())


def raw(name: str, count: int, **columns: object) -> Callable[[Life], None]:
    """A body that no honest encoder of ours would write."""

    def send(life: Life) -> None:
        body: dict[int, object] = {
            Body.CHANNEL.value: NAMES.index(name),
            Body.AGES.value: cbor.CBORTag(TAG_UINT16_LE, bytes(2 * count)),
            Body.CLASSES.value: cbor.CBORTag(TAG_UINT8, bytes(count)),
        }
        body.update({Body[key.upper()].value: value for key, value in columns.items()})
        life.sent += count
        packet = message(Kind.READINGS, cbor.encode(body), count=count, received_boot_ns=life.boot_ns)
        with pytest.raises(MessageError, match="expected") as bad:
            life.deliver(packet)
        assert str(count) not in str(bad.value).replace("uint16", "").replace("uint8", "")

    return send


def negative(life: Life, count: int) -> None:
    """How many passed, as a signed number below zero."""
    raw("passing", count, classes=column(TAG_SINT8, np.full(count, -1, dtype="<i1")))(life)


def not_a_number(life: Life, count: int) -> None:
    raw("noise", count, values=column(TAG_FLOAT32_LE, np.full(count, np.nan, dtype="<f4")))(life)


def infinite(life: Life, count: int) -> None:
    raw("noise", count, values=column(TAG_FLOAT32_LE, np.full(count, np.inf, dtype="<f4")))(life)


def over_an_integer(life: Life, count: int) -> None:
    """A measured value above all that the channel can say: 64 bits where 32 are."""
    raw("noise", count, values=column(TAG_UINT32_LE, np.full(count, 1 << 33, dtype="<u8")))(life)


def unknown_class(life: Life, count: int) -> None:
    """A class that the hello did not name, and one that it did but the policy does not."""
    life.bring("stays", classes=[7] * count, values=[60_000] * count)


def late(life: Life, count: int) -> None:
    """Of a window that has closed, beyond its grace."""
    life.bring("passing", classes=[0] * count, ages=[20_000] * count)


def future(life: Life, count: int) -> None:
    """Taken two seconds after it came."""
    life.sent += count
    life.deliver(brought(NAMES.index("passing"), life.boot_ns + 2 * NS, [0] * count))


def too_old(life: Life, count: int) -> None:
    """An age over the minute that a message may bring."""
    raw("passing", count, ages=column(TAG_UINT16_LE, np.full(count, 60_001, dtype="<u2")))(life)


def wrong_length(life: Life, count: int) -> None:
    """Five octets where an address has six."""
    life.bring("visitors", identifiers=[bytes(5)] * count)


def no_length(life: Life, count: int) -> None:
    life.bring("visitors", classes=[0] * count)


def over_the_cell(life: Life, count: int) -> None:
    """More than `max_count` of one class in one window: 5000 fill it."""
    for part in (1000,) * 5:
        life.bring("passing", classes=[0] * part)
    life.bring("passing", classes=[0] * count)


def over_the_samples(life: Life, count: int) -> None:
    """A measured value faster than the policy's fixed number: 10 are taken."""
    life.bring("noise", values=[60] * (10 + count))


CASES: list[tuple[Wrong, str]] = [
    (negative, "malformed"),
    (not_a_number, "malformed"),
    (infinite, "malformed"),
    (over_an_integer, "malformed"),
    (too_old, "malformed"),
    (wrong_length, "malformed"),
    (no_length, "malformed"),
    (unknown_class, "unknown_class"),
    (late, "late"),
    (future, "future"),
    (over_the_cell, "over_rate"),
    (over_the_samples, "over_rate"),
]


def status(life: Life, folder: Path) -> dict[str, object]:
    """The status file of a daemon that has this collection; checked to be within its bound by the writer itself."""
    paths = Paths(**{each.name: folder / each.name for each in fields(Paths)})
    for name in ("public", "status/anonymizer"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    announcement = Announcement(paths, KEY, Clock(OPERATOR), city="springfield", memory="locked")
    announcement.tell(life.collection, None, Newest(), refused="", bad_messages=0)
    said: dict[str, object] = json.loads((paths.status / "anonymizer" / "status").read_bytes())
    return said


def named(life: Life, folder: Path) -> dict[str, str]:
    """Its counters of discarded readings."""
    counters = status(life, folder)["counters"]
    assert isinstance(counters, dict)
    return {key: value for key, value in counters.items() if key.startswith("discarded_")}


def quiet() -> Life:
    """A unit on which nothing wrong was sent, at the beginning of a window."""
    life = Life(*NAMES)
    life.on(20)
    return life


def shapes(packs: list[Aggregate]) -> list[tuple[str, int, object]]:
    return [(pack.terms.stream, pack.window_start, pack.reason) for pack in packs]


@pytest.mark.parametrize(("wrong", "name"), CASES, ids=[wrong.__name__ for wrong, _ in CASES])
def test_what_is_wrong_is_counted_named_and_not_shown(wrong: Wrong, name: str, tmp_path: Path) -> None:
    """I8, I6, I1: all of it is discarded under its name; every stream's windows come as ever; the status has a bucket, the same for 10 as for 99."""
    said = []
    for number, count in enumerate((10, 99, 101)):
        life = quiet()
        wrong(life, count)
        life.on(11)
        discarded = {key: each for key, each in life.collection.tally.discarded.items() if key != "samples"}
        assert discarded == {name: count}
        assert life.sent == life.accounted
        folder = tmp_path / str(number)
        assert {key: each for key, each in named(life, folder).items() if key != "discarded_samples"} == {
            f"discarded_{name}": bucket(count)
        }
        said.append((folder / "status" / "anonymizer" / "status").read_bytes())
        other = quiet()
        other.on(11)
        assert [(stream, start) for stream, start, _ in shapes(life.packs())] == [
            (stream, start) for stream, start, _ in shapes(other.packs())
        ]
    assert said[0] == said[1], "what is 10 and what is 99 look the same"
    assert said[1] != said[2], "the control: the status does say that there were more"


@pytest.mark.parametrize("name", ["passing", "stays", "visitors"])
def test_a_stream_at_a_thousand_times_its_rate(name: str, tmp_path: Path) -> None:
    """I8, AN-413, AN-416, AN-420: 500,000 readings in one window cost no memory, and its numbers stay within what the policy says."""
    life = quiet()
    some = [os.urandom(6) for _ in range(1000)]
    brings: dict[str, Callable[[], None]] = {
        "passing": lambda: life.bring("passing", classes=[0] * 1000),
        "stays": lambda: life.bring("stays", classes=[0] * 1000, values=[60_000] * 1000),
        "visitors": lambda: life.bring("visitors", identifiers=some),
    }
    brings[name]()
    before = resident_kib()
    for _ in range(499):
        brings[name]()
    assert resident_kib() - before < 4096
    life.on(11)
    pack = next(pack for pack in reversed(life.of(name)) if pack.reason is None)
    numbers = [int(str(value)) for value in pack.values if isinstance(value, int) and value < 10**9]
    if name == "visitors":
        assert 985 <= numbers[0] <= 1015
        assert named(life, tmp_path).get("discarded_over_rate") is None
        return
    assert 4900 < max(numbers) < 5100
    assert life.collection.tally.discarded["over_rate"] == 495_000
    assert named(life, tmp_path)["discarded_over_rate"] == "100+"
    assert life.sent == life.accounted


def test_a_million_forged_identifiers_reach_the_city_as_at_least(tmp_path: Path) -> None:
    """AN-416: from the message to the pack. It says `at_least` and the most that a bitmap can tell; memory does not grow; nothing is discarded."""
    life = Life("visitors")
    forged = np.frombuffer(os.urandom(6_000_000), dtype=np.uint8)
    life.bring("visitors", identifiers=[forged[:6].tobytes()])
    before = resident_kib()
    for at in range(0, forged.size, 6000):
        data = forged[at : at + 6000].tobytes()
        life.bring("visitors", identifiers=[data[i : i + 6] for i in range(0, 6000, 6)])
    assert resident_kib() - before < 4096
    life.on(11)
    devices, _, kind = next(pack for pack in reversed(life.of("visitors")) if pack.reason is None).values
    assert (devices, kind) == (545_113, "at_least")
    assert named(life, tmp_path) == {}


def test_a_spent_budget_is_named(tmp_path: Path) -> None:
    """AN-31, I8: charges above the policy's own rate fill the cap; windows are `budget` with nothing in them, and their readings are counted so."""
    life = Life("visitors")
    life.on(10)
    last = max(pack.window_start for pack in life.of("visitors")) + 10
    life.entries.append(Gap("visitors", last, 10, 2, Charge(Fraction(3))))
    life.restart()
    life.boot_ns += (last + 20 - life.utc_s) * NS
    life.on(20)
    life.bring("visitors", identifiers=[os.urandom(6) for _ in range(40)])
    life.on(11)
    pack = life.of("visitors")[-1]
    assert pack.reason is NotCollected.BUDGET
    assert set(pack.values) == {Cell.NOT_COLLECTED}
    assert life.collection.tally.discarded == {"budget": 40}
    assert named(life, tmp_path) == {"discarded_budget": "10+"}
