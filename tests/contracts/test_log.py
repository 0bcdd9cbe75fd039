"""contracts/log: entries and records are read as written or not at all."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.contracts import log, log_file
from agent.contracts.board_seen import BoardSeen
from agent.contracts.gate_log import Change, Further, GateChanges
from agent.contracts.log import (
    Charge,
    Entry,
    Gap,
    GovernanceTaken,
    NoticeServed,
    PolicyOffered,
    PolicyTaken,
    Release,
    StopTaken,
)
from agent.contracts.public import Reason
from agent.errors import LogDamaged
from agent.wire import cbor

RELEASE = Release("crossings", 1788220800, 900, b"[]", b"s" * 84, Charge(Fraction(1, 32)), bytes(32))
ENTRIES: list[Entry] = [
    RELEASE,
    Release("crossings", 1788220800, 900, b"", b"", Charge(Fraction(0)), b""),
    Release("air", 1788220800, 900, b'[{"n":"guarantee","vs":"none: not a privacy guarantee"}]', b"", None, b""),
    PolicyTaken(b"policy", bytes(32), 1788220800, 1788220900),
    PolicyOffered(b"signed policy", bytes(32), 1788220800),
    StopTaken(b"signed stop order", ("steward/ana", "community/chi"), 1788220800),
    StopTaken(b"", (), 0),
    GovernanceTaken(b"signed trust root", 1788220800),
    NoticeServed(bytes(32), 900, 1788220800),
    Gap("crossings", 1788220800, 900, 3, Charge(Fraction(1, 32))),
    GateChanges(1788220800, (Change(1788220800, Reason.NO_LEASE), Change(1788220802, Reason.OPEN))),
    GateChanges(0, (Change(0, Reason.OPEN),), Further(9, 700, 1788220800, Reason.STOPPED)),
    BoardSeen(bytes(8), "1.4.2+ge0a1", bytes(32), bytes(32), 1788220800, unsaid=False),
    BoardSeen(bytes(8), "?", bytes(32), bytes(32), 0, unsaid=True),
]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: type(entry).__name__)
def test_entries(entry: Entry) -> None:
    """Each kind decodes to what was encoded."""
    assert log.decode_entry(entry.encode()) == entry


@pytest.mark.parametrize(
    "item",
    [
        {},
        [],
        {0: 10},
        {0: 10, 1: 0, 2: []},
        {0: 10, 1: 0, 2: [[0, "open"]] * 65},
        {0: 10, 1: 0, 2: [[0, "ajar"]]},
        {0: 10, 1: 0, 2: [[0, 1]]},
        {0: 10, 1: 0, 2: [[True, "open"]]},
        {0: 10, 1: 0, 2: [[-1, "open"]]},
        {0: 10, 1: 1 << 40, 2: [[0, "open"]]},
        {0: 10, 1: 0, 2: [[0, "open", 1]]},
        {0: 10, 1: 0, 2: "open"},
        {0: 10, 1: 0, 2: 5},
        {0: 10, 1: 0, 2: [[0, "open"]], 3: None},
        {0: 10, 1: 0, 2: [[0, "open"]], 3: [1, 1, 1]},
        {0: 10, 1: 0, 2: [[0, "open"]], 3: [1, 1, False, "open"]},
        {0: 10, 1: 0, 2: [[0, "open"]], 4: 1},
        {0: 11},
        {0: 11, 1: bytes(7), 2: "1", 3: bytes(32), 4: bytes(32), 5: 1, 6: 0},
        {0: 11, 1: bytes(8), 2: "", 3: bytes(32), 4: bytes(32), 5: 1, 6: 0},
        {0: 11, 1: bytes(8), 2: "\u202e", 3: bytes(32), 4: bytes(32), 5: 1, 6: 0},
        {0: 11, 1: bytes(8), 2: "a" * 33, 3: bytes(32), 4: bytes(32), 5: 1, 6: 0},
        {0: 11, 1: bytes(8), 2: "1", 3: bytes(31), 4: bytes(32), 5: 1, 6: 0},
        {0: 11, 1: bytes(8), 2: "1", 3: bytes(32), 4: bytes(32), 5: -1, 6: 0},
        {0: 11, 1: bytes(8), 2: "1", 3: bytes(32), 4: bytes(32), 5: 1, 6: 2},
        {0: 11, 1: bytes(8), 2: "1", 3: bytes(32), 4: bytes(32), 5: 1, 6: 0, 7: 0},
        {0: 99},
        {0: 9, 1: 1},
        {0: 9, **dict.fromkeys(range(1, 11), 0)},
        {0: 1},
        {0: 2, 1: b"", 2: b"", 3: 1},
        {0: 2, 1: b"", 2: b"", 3: 1, 4: 1, 5: 1},
        {0: 2, 1: b"", 2: b"", 3: 1, 4: "1"},
        {0: 5, 1: b"", 2: b""},
        {0: 5, 1: "", 2: b"", 3: 1},
        {0: 6, 1: b"", 2: "ana", 3: 1},
        {0: 6, 1: b"", 2: ["ana", 1], 3: 1},
        {0: 7, 1: b""},
        {0: 8, 1: b"", 2: 1},
        {0: 3, 1: b"", 2: "900", 3: 1},
        {0: 4, 1: "s", 2: 0, 3: 900, 4: 1, 5: [1]},
        {0: 4, 1: "s", 2: 0, 3: 900, 4: 1, 5: [-1, 2]},
        {0: 4, 1: "s", 2: 0, 3: 900, 4: 1, 5: [1, 0]},
        {0: 4, 1: "s", 2: 0, 3: 900, 4: 1, 5: [1, -2]},
        {0: 4, 1: "s", 2: 0, 3: 900, 4: 1, 5: [2, 64]},
        {0: 4, 1: "s", 2: 0, 3: 900, 4: True, 5: [1, 32]},
        {0: 4, 1: "s", 2: 0, 3: 900, 4: 1, 5: 0},
    ],
)
def test_what_is_no_entry(item: Any) -> None:
    """Another kind, a key too many or too few, an impossible charge."""
    with pytest.raises(LogDamaged, match="the place"):
        log.decode_entry(cbor.encode(item), "the place")


@given(st.binary(max_size=80))
def test_only_the_documented_error_escapes(data: bytes) -> None:
    """Whatever the bytes."""
    with pytest.raises(LogDamaged):
        log.decode_entry(data)


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.integers(0, 30))
def test_records_read_back(entries: list[bytes], zeros: int) -> None:
    """All records come back with the offset after each; the preallocated zeros are the end."""
    data = b"".join(log_file.pack_record(entry) for entry in entries) + bytes(zeros)
    found = list(log_file.iter_records(data))
    assert [entry for _, entry in found] == entries
    assert [at for at, _ in found] == [
        sum(len(entry) + log_file.RECORD.size for entry in entries[: i + 1]) for i in range(len(entries))
    ]


@given(st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=4), st.data())
def test_reading_stops_at_the_first_damage(entries: list[bytes], data: st.DataObject) -> None:
    """A changed byte ends the reading before the record that it is in; a torn tail ends it before the tail."""
    packed = [log_file.pack_record(entry) for entry in entries]
    text = bytearray(b"".join(packed))
    at = data.draw(st.integers(0, len(text) - 1))
    torn = list(log_file.iter_records(bytes(text[:at])))
    text[at] ^= 1 << data.draw(st.integers(0, 7))
    whole = 0
    while sum(map(len, packed[: whole + 1])) <= at:
        whole += 1
    assert [entry for _, entry in log_file.iter_records(bytes(text))] == entries[:whole]
    assert [entry for _, entry in torn] == entries[:whole]


def test_reading_from_an_offset() -> None:
    """A reader goes on where it stopped."""
    data = log_file.pack_record(b"one") + log_file.pack_record(b"two")
    (after, _), (end, _) = log_file.iter_records(data)
    assert list(log_file.iter_records(data, after)) == [(end, b"two")]


def test_a_length_beyond_the_cap_ends_the_reading() -> None:
    """A record that claims more than an entry may have is damage, whatever follows."""
    record = log_file.RECORD.pack(log_file.MAX_ENTRY_BYTES + 1, 0) + bytes(log_file.MAX_ENTRY_BYTES + 1)
    assert list(log_file.iter_records(record)) == []
