"""PB-9, PB-10: the cursor's two slots, and that no damage to them goes unnoticed."""

import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import LogDamaged
from agent.publisher.cursor import BEGIN, FILE_BYTES, SLOT_BYTES, START, Cursor, Progress, at, decode, encode
from agent.publisher.cursor_file import CursorFile
from tests.local.test_sectors import WORLDS

numbers = st.integers(0, 2**63)
cursors = st.builds(Cursor, numbers, numbers, numbers, st.binary(min_size=32, max_size=32))


@st.composite
def progresses(draw: st.DrawFn) -> Progress:
    entries = sorted(draw(st.tuples(numbers, numbers, numbers)))
    backlog, live = (replace(draw(cursors), entries=at) for at in (entries[0], entries[2]))
    return Progress(backlog, entries[1], live)


serials = st.integers(1, 2**63)


@given(serials, progresses(), progresses())
def test_round_trip_newest_first(serial: int, progress: Progress, previous: Progress) -> None:
    data = encode(serial, progress, previous)
    known, damage = decode(data, "cursor")
    assert known == ((serial, progress), (serial - 1, previous))
    assert damage is None
    assert len(data) == FILE_BYTES == 3 * SLOT_BYTES


@given(progresses())
def test_positions_out_of_order_are_damage(progress: Progress) -> None:
    """PB-10: the backlog ends where the live lane begins, not after it."""
    wrong = replace(progress, live_from=progress.live.entries + 1)
    assert decode(encode(1, wrong), "cursor")[0] == ((0, BEGIN),)


def test_what_is_acknowledged_is_counted_on_both_sides_of_a_backlog() -> None:
    cursor = Cursor(7, 700, 600, bytes(32))
    assert at(cursor).acknowledged == 7
    assert Progress(cursor, 10, Cursor(14, 1400, 1300, bytes(32))).acknowledged == 11


@given(serials, progresses(), progresses(), st.data())
def test_any_changed_byte_or_lost_tail_is_damage_and_gives_no_invented_cursor(
    serial: int, progress: Progress, previous: Progress, data: st.DataObject
) -> None:
    whole = encode(serial, progress, previous)
    place = data.draw(st.integers(0, len(whole) - 1))
    octet = data.draw(st.integers(0, 255).filter(lambda octet: octet != whole[place]))
    for damaged in (whole[:place] + bytes([octet]) + whole[place + 1 :], whole[:place]):
        known, damage = decode(damaged, "cursor")
        assert isinstance(damage, LogDamaged)
        assert set(known) <= {(serial, progress), (serial - 1, previous)}


@given(st.binary(max_size=600))
def test_arbitrary_bytes_are_damage(data: bytes) -> None:
    known, damage = decode(data, "cursor")
    assert known == ()
    assert damage is not None


def test_follows_chains_the_positions() -> None:
    first = START.follows(b"one", 11)
    second = first.follows(b"three", 24)
    assert (second.entries, second.offset, second.last_start) == (2, 24, 11)
    assert second.last_hash != first.last_hash


@given(st.lists(progresses(), min_size=1, max_size=6), st.integers(0, SLOT_BYTES - 1))
def test_a_torn_write_costs_one_step(steps: list[Progress], torn: int) -> None:
    """PB-10: whatever part of the last write is on the disk, the progress before it is still there, and the next writes heal the file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cursor"
        file = CursorFile(path)
        for step in steps:
            file.write(step)
        before = path.read_bytes()
        place = path.stat().st_ino
        newest = at(Cursor(2**40, 2**50, 2**50 - 100, bytes(32)))
        file.write(newest)
        after = path.read_bytes()
        assert path.stat().st_ino == place  # in place
        assert CursorFile(path).known == (newest, steps[-1])
        changed = [number for number in (0, 1) if slots(before)[number] != slots(after)[number]]
        assert len(changed) == 1
        begin = SLOT_BYTES * changed[0]
        path.write_bytes(before[:begin] + after[begin : begin + torn] + before[begin + torn :])
        again = CursorFile(path)
        assert again.known[0] in (steps[-1], newest)
        for step in (newest, steps[0]):
            again.write(step)
        assert CursorFile(path).known == (steps[0], newest)
        assert CursorFile(path).damage is None


@pytest.mark.parametrize("world", WORLDS)
def test_the_same_file_with_and_without_sectors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, world: Callable[[pytest.MonkeyPatch], None]
) -> None:
    """PB-37: whatever the file system takes, and nothing is written where the file ends."""
    path, steps = tmp_path / "cursor", [at(Cursor(number, 100 * number, 0, bytes(32))) for number in range(1, 5)]
    file = CursorFile(path)
    file.write(steps[0])
    world(monkeypatch)
    real, ends = os.pwrite, list[int]()

    def noting(fd: int, data: bytes, offset: int) -> int:
        ends.append(offset + len(data))
        return real(fd, data, offset)

    monkeypatch.setattr(os, "pwrite", noting)
    for step in steps[1:]:
        file.write(step)
    assert path.read_bytes() == encode(4, steps[3], steps[2])
    assert {end % SLOT_BYTES for end in ends} == {0}
    assert max(ends) < FILE_BYTES


def slots(data: bytes) -> tuple[bytes, bytes]:
    return data[:SLOT_BYTES], data[SLOT_BYTES : 2 * SLOT_BYTES]
