"""What a reader makes of a reading: each reason, every damage, and 300 (10,000 in `make soak`) mutated disclosures of which none is accepted."""

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

import pytest

from agent.beacon import gatt
from agent.beacon.broadcast import compile_broadcast
from agent.beacon.reading import TRIES, Reading, read_unit
from agent.beacon.verdict import Judged, Reason, Trust, Verdict, judge
from agent.errors import DisclosureError
from agent.policy.signed import Units, VouchedUnit
from tests.beacon.stage import (
    PUBLIC_KEY,
    disclosure,
    envelope,
    last_figures,
    stop_notice,
    tree_head,
    upcoming,
)

NOW_S = 1_790_000_100
OTHER_KEY = (bytes(31) + b"\1").hex()
TRUST = Trust(key=PUBLIC_KEY)
UNITS = Units(1, "springfield", (VouchedUnit("river-bridge", "fremont-01", PUBLIC_KEY),))


def reading(**changes: object) -> Reading:
    """All that a unit can have."""
    whole = Reading(
        envelope=envelope(),
        header=gatt.read_header(gatt.attributes(envelope(), 1)[0].value),
        upcoming=upcoming(),
        stop=stop_notice(),
        checkpoint=tree_head(NOW_S - 30),
        latest=last_figures(),
    )
    return replace(whole, **changes)  # type: ignore[arg-type]


def test_all_is_well() -> None:
    """By one key, and under a trust root."""
    for trust, vouched in ((TRUST, False), (Trust(units=UNITS), True), (Trust(PUBLIC_KEY, UNITS), True)):
        judged = judge(reading(), trust, NOW_S)
        assert (judged.verdict, judged.reasons, judged.vouched) == (Verdict.LIVE, (), vouched)
        assert judged.disclosure == disclosure()
        assert judged.head is not None
        assert judged.head.signed_at == NOW_S - 30
        assert judged.upcoming == disclosure(2)
        assert judged.stop is not None
        assert judged.latest is not None


@pytest.mark.parametrize(
    ("changes", "trust", "at", "reason", "shown"),
    [
        ({}, Trust(), NOW_S, Reason.NO_KEY, True),
        ({}, Trust(key=bytes.fromhex(OTHER_KEY)), NOW_S, Reason.SIGNATURE, False),
        ({}, Trust(units=Units(1, "springfield", ())), NOW_S, Reason.UNKNOWN_KEY, False),
        ({}, Trust(units=replace(UNITS, city="shelbyville")), NOW_S, Reason.OTHER_UNIT, False),
        (
            {},
            Trust(units=replace(UNITS, units=(VouchedUnit("river-bridge", "fremont-02", PUBLIC_KEY),))),
            NOW_S,
            Reason.OTHER_UNIT,
            False,
        ),
        ({}, Trust(bytes.fromhex(OTHER_KEY), UNITS), NOW_S, Reason.UNKNOWN_KEY, False),
        ({"checkpoint": None}, TRUST, NOW_S, Reason.NO_TREE_HEAD, True),
        ({}, TRUST, NOW_S + 300, Reason.STALE_TREE_HEAD, True),
        ({}, TRUST, NOW_S - 400, Reason.STALE_TREE_HEAD, True),
        ({"checkpoint": tree_head(NOW_S, unit="fremont-02")}, TRUST, NOW_S, Reason.SIGNATURE, False),
        ({"checkpoint": b"no note"}, TRUST, NOW_S, Reason.DAMAGED, False),
        ({"latest": last_figures("fremont-02")}, TRUST, NOW_S, Reason.OTHER_UNIT, False),
        ({"latest": envelope()}, TRUST, NOW_S, Reason.DAMAGED, False),
        ({"upcoming": upcoming(unit="fremont-02")}, TRUST, NOW_S, Reason.OTHER_UNIT, False),
        ({"upcoming": envelope()}, TRUST, NOW_S, Reason.DAMAGED, False),
        ({"envelope": upcoming()}, TRUST, NOW_S, Reason.DAMAGED, False),
        ({"envelope": last_figures()}, TRUST, NOW_S, Reason.DAMAGED, False),
        ({"stop": envelope()}, TRUST, NOW_S, Reason.DAMAGED, False),
        ({"envelope": b""}, TRUST, NOW_S, Reason.DAMAGED, False),
        ({"envelope": b""}, Trust(units=UNITS), NOW_S, Reason.DAMAGED, False),
    ],
)
def test_each_reason(changes: dict[str, object], trust: Trust, at: int, reason: Reason, *, shown: bool) -> None:
    """And nothing of the unit's words with those that say that it is not the unit's."""
    judged = judge(reading(**changes), trust, at)
    assert judged.verdict is (Verdict.UNCHECKED if reason is Reason.NO_KEY else Verdict.CANNOT)
    assert judged.reasons == (reason,)
    assert judged.words
    assert (judged.disclosure is not None) is shown
    if not shown:
        assert judged == Judged(Verdict.CANNOT, (reason,), judged.detail)


def test_an_ended_policy_is_shown_as_ended() -> None:
    """With a fresh tree head."""
    at = disclosure().policy.expires
    judged = judge(reading(checkpoint=tree_head(at)), TRUST, at)
    assert (judged.verdict, judged.reasons) == (Verdict.CANNOT, (Reason.ENDED,))
    assert judged.disclosure is not None


def mutated(seed: int) -> tuple[str, Reading]:
    """One part of a whole reading, with bits turned, bytes lost, bytes put in, or two pieces changed over."""
    draw = hashlib.sha256(seed.to_bytes(4, "big")).digest()
    part = ("envelope", "envelope", "checkpoint", "latest", "upcoming", "stop")[draw[0] % 6]
    data = bytearray(getattr(reading_for_mutation, part))
    place = int.from_bytes(draw[1:5], "big") % len(data)
    match draw[5] % 4:
        case 0:
            data[place] ^= 1 << (draw[6] & 7)
        case 1:
            del data[place : place + 1 + draw[6] % 40]
        case 2:
            data[place:place] = draw[6 : 7 + draw[7] % 20]
        case _:
            other = int.from_bytes(draw[8:12], "big") % len(data)
            data[place], data[other] = data[other], data[place] ^ (data[place] == data[other])
    return part, replace(reading_for_mutation, **{part: bytes(data)})  # type: ignore[arg-type]


reading_for_mutation = reading()


def accepted(count: int) -> int:
    """How many mutated readings are verified as live."""
    found = 0
    for seed in range(count):
        part, damaged = mutated(seed)
        if getattr(damaged, part) == getattr(reading_for_mutation, part):
            continue
        judged = judge(damaged, TRUST, NOW_S)
        found += judged.verdict is Verdict.LIVE
        assert judged.disclosure is None, f"{part} of seed {seed} was damaged, and words were shown"
        again = judge(damaged, Trust(units=UNITS), NOW_S)
        found += again.verdict is Verdict.LIVE
    return found


def test_none_of_300_mutated_readings_is_verified() -> None:
    """Must-show 5, in Python."""
    assert judge(reading_for_mutation, TRUST, NOW_S).verdict is Verdict.LIVE
    assert accepted(300) == 0


@pytest.mark.soak
def test_none_of_10_000_mutated_readings_is_verified(soak_record: Callable[[str, object], None]) -> None:
    """The same, 10,000."""
    found = accepted(10_000)
    soak_record("radio_reading", {"mutations": 10_000, "verified_in_python": found})
    assert found == 0


class Table:
    """A unit's characteristics; `turn` is called with the number of each read before it is answered."""

    def __init__(self, version: int = 1, turn: Callable[["Table", int], None] = lambda _table, _number: None) -> None:
        self.values: dict[UUID, bytes | None] = {}
        self.reads = 0
        self._turn = turn
        self.show(version)

    def show(self, version: int) -> None:
        """Another disclosure from now on."""
        shown = compile_broadcast(
            envelope(version), version, stop=stop_notice(), checkpoint=tree_head(NOW_S), latest=last_figures()
        )
        self.values = {one.uuid: one.value for one in shown.attributes}

    async def value(self, uuid: UUID) -> bytes | None:
        """One read."""
        self.reads += 1
        self._turn(self, self.reads)
        return self.values.get(uuid)


def test_a_reading_is_whole() -> None:
    """BE-9: header, three chunks, then the tree head: the bike counter is verified after five reads."""
    table = Table()
    found = asyncio.run(read_unit(table.value))
    assert (found.envelope, found.stop, found.checkpoint) == (envelope(), stop_notice(), tree_head(NOW_S))
    assert (found.upcoming, found.latest, found.tries) == (None, last_figures(), 1)
    assert found.text.startswith("Bike and foot counter")


@pytest.mark.parametrize("number", range(2, 6))
def test_a_change_between_two_reads_begins_anew(number: int) -> None:
    """BE-9: at whichever read: never a mix; before the last chunk it is read again, after it the old one was whole."""

    def turn(table: Table, read: int) -> None:
        if read == number:
            table.show(2)

    told: list[DisclosureError] = []
    found = asyncio.run(read_unit(Table(turn=turn).value, told.append))
    whole = number == 5
    assert (found.envelope, found.tries, len(told)) == (
        envelope(1 if whole else 2),
        1 if whole else 2,
        0 if whole else 1,
    )


def test_what_never_stops_changing_is_given_up() -> None:
    """Bounded: TRIES readings, then the mix is the error."""

    def turn(table: Table, read: int) -> None:
        table.show(1 + read % 2)

    table = Table(turn=turn)
    with pytest.raises(DisclosureError, match=r"header's hash|chunk"):
        asyncio.run(read_unit(table.value))
    assert table.reads == TRIES * 4


@pytest.mark.parametrize("what", ["missing", "reordered", "cut at 22 bytes"])
def test_bad_chunks_are_refused(what: str) -> None:
    """Chunks missing from the table, exchanged, or cut as by a radio that forgot to go on reading."""
    table = Table()
    first, second = gatt.CHUNK_UUIDS[:2]
    match what:
        case "missing":
            del table.values[second]
        case "reordered":
            table.values[first], table.values[second] = table.values[second], table.values[first]
        case _:
            table.values[first] = (table.values[first] or b"")[:22]
    with pytest.raises(DisclosureError):
        asyncio.run(read_unit(table.value))
