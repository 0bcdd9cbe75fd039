"""PB-8, PB-10, PB-11: reading the log folder without a daemon around it."""

import dataclasses
from pathlib import Path

import pytest

from agent.anonymizer.log import ReleaseLog
from agent.contracts.log import NoticeServed, Release
from agent.contracts.log_file import LOGGED, RELEASES, iter_log
from agent.errors import LogDamaged
from agent.publisher.cursor import START, Cursor
from agent.publisher.follow import Follower, Logged
from tests.anonymizer.stage import KEY, ORIGIN
from tests.publisher.unit_folders import UnitFolder


@pytest.fixture
def unit(tmp_path: Path) -> UnitFolder:
    return UnitFolder(tmp_path / "unit")


def everything(follower: Follower, cursor: Cursor = START, limit: int = 7) -> list[Logged]:
    read: list[Logged] = []
    while some := list(follower.entries(cursor, limit)):
        read += some
        cursor = some[-1].cursor
    return read


def test_absent_folder_and_absent_checkpoint_are_nothing_yet(unit: UnitFolder) -> None:
    assert Follower(unit.folder / "nowhere", unit.folder / "nothing").head() is None
    assert list(Follower(unit.log, unit.shown).entries(START, 10)) == []


def test_reads_all_in_order_over_many_chunks(unit: UnitFolder) -> None:
    payloads = unit.release_windows(0, 200)  # more than two chunks
    read = everything(Follower(unit.log, unit.shown))
    assert [one.entry.payload for one in read if isinstance(one.entry, Release)] == payloads
    assert [one.index for one in read] == list(range(200))
    assert read[-1].cursor.offset == unit.bytes


def test_preallocated_zeros_after_the_checkpoint_are_not_read(unit: UnitFolder) -> None:
    unit.release_windows(0, 3)
    with (unit.log / RELEASES).open("ab") as file:
        file.write(bytes(100_000))
    assert len(everything(Follower(unit.log, unit.shown))) == 3


def test_every_position_is_proven_and_no_other(unit: UnitFolder) -> None:
    unit.release_windows(0, 5)
    follower = Follower(unit.log, unit.shown)
    for one in everything(follower):
        assert follower.proves(one.cursor)
        c = one.cursor
        assert not follower.proves(Cursor(c.entries, c.offset, c.last_start, bytes(32)))
        assert not follower.proves(Cursor(c.entries, c.offset + 1, c.last_start, c.last_hash))
        assert not follower.proves(Cursor(c.entries, c.offset, c.last_start + 1, c.last_hash))
    assert follower.proves(START)


@pytest.mark.parametrize(
    ("note", "words"),
    [
        (b"", "checkpoint"),
        (b"\xff" * 10, "checkpoint"),
        (b"x" * 10_000, "4096"),
        (b"o\n1\n" + b"A" * 43 + b"=\nbytes 1\nbytes 2\n\n\xe2\x80\x94 o QUJDRA==\n", "bytes N"),
        (b"o\n1\n" + b"A" * 43 + b"=\nbytes -1\n\n\xe2\x80\x94 o QUJDRA==\n", "bytes N"),
        (b"o\n1\n" + b"A" * 43 + b"=\n\n\xe2\x80\x94 o QUJDRA==\n", "bytes N"),
    ],
)
def test_a_checkpoint_that_is_none_is_log_damaged(unit: UnitFolder, note: bytes, words: str) -> None:
    unit.shown.write_bytes(note)
    with pytest.raises(LogDamaged, match=words):
        Follower(unit.log, unit.shown).head()


@pytest.mark.parametrize("lie", [{"bytes": 10**6}, {"entries": 2}, {"bytes": 735 + 100}])
def test_a_checkpoint_that_does_not_fit_the_file_is_log_damaged(unit: UnitFolder, lie: dict[str, int]) -> None:
    unit.release_windows(0, 3)
    unit.checkpoint(**lie)
    with pytest.raises(LogDamaged):
        everything(Follower(unit.log, unit.shown))


def test_missing_releases_file_is_log_damaged(unit: UnitFolder) -> None:
    unit.release_windows(0, 1)
    (unit.log / RELEASES).unlink()
    with pytest.raises(LogDamaged, match="none"):
        everything(Follower(unit.log, unit.shown))


@pytest.mark.parametrize("stream", ["#", "+", "a/b", "", " ", "A", "\u00e4", "\0", "x" * 40, "$SYS", "a\n"])
def test_stream_that_is_no_topic_level_is_log_damaged(unit: UnitFolder, stream: str) -> None:
    """PB-11: found where the log is read, after what is whole before it; a topic is never made of it."""
    unit.release_windows(0, 2)
    unit.append(dataclasses.replace(unit.release(2), stream=stream))
    read: list[Logged] = []
    with pytest.raises(LogDamaged, match="topic level"):
        read.extend(Follower(unit.log, unit.shown).entries(START, 10))
    assert len(read) == 2


def a_copy(folder: Path) -> Path:
    """A log as the anonymizer writes it: entries and checkpoints, four appends."""
    log = ReleaseLog(folder, ORIGIN, KEY)
    for number in range(4):
        log.append([NoticeServed(bytes(32), number, number)])
    log.close()
    (folder / LOGGED).unlink()
    return folder


def test_a_log_that_nobody_writes_is_read_up_to_its_last_checkpoint(tmp_path: Path) -> None:
    """AN-51: nothing beside it is needed; positions are proven as in a running one, and a write cut short is left out."""
    folder = a_copy(tmp_path / "log")
    follower = Follower(folder)
    read = everything(follower, limit=3)
    assert [logged.index for logged in read] == [0, 1, 2, 3]
    assert all(follower.proves(logged.cursor) for logged in read)
    data = (folder / RELEASES).read_bytes()
    last = [record for record in iter_log(data) if not record.is_checkpoint][-1]
    (folder / RELEASES).write_bytes(data[: last.start + 20] + b"\1" + data[last.start + 21 :])
    assert len(everything(Follower(folder))) == 3


def test_damage_in_a_log_that_nobody_writes_is_named(tmp_path: Path) -> None:
    """AN-54: where at least two whole appends stand behind it."""
    folder = a_copy(tmp_path / "log")
    data = (folder / RELEASES).read_bytes()
    second = [record.end for record in iter_log(data) if record.is_checkpoint][2]
    for at in range(0, second, 13):
        flipped = bytearray(data)
        flipped[at] ^= 1
        (folder / RELEASES).write_bytes(flipped)
        with pytest.raises(LogDamaged):
            Follower(folder).head()
