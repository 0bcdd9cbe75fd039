"""A log that follows a lost one takes its place while a publisher runs, and is as long before the publisher looks: PB-47."""

from pathlib import Path

import pytest

from agent.contracts.log_file import RELEASES
from agent.publisher.backlog import Backlog
from agent.publisher.log_tiles import LogTiles
from agent.publisher.topics import Topics
from agent.wire.tiles import WIDTH, decode_bundle
from tests.publisher.unit_folders import UnitFolder

TOPICS = Topics("dtpr", "a", "b", "c")


def follower(folder: Path, unit: UnitFolder, first: int, count: int) -> UnitFolder:
    """The log that follows: its own name, its own entries; the records are as long as the other's, sectors and all."""
    other = UnitFolder(folder)
    other.origin = f"{unit.origin[:-1]}2"
    other.release_windows(first, count)
    return other


def put_in_place(unit: UnitFolder, other: UnitFolder) -> None:
    (other.log / RELEASES).rename(unit.log / RELEASES)
    other.shown.rename(unit.shown)


@pytest.mark.parametrize("count", [5, 9])
@pytest.mark.parametrize("acknowledged", [True, False])
def test_a_log_of_the_same_layout_is_sent_from_its_beginning(tmp_path: Path, count: int, acknowledged: bool) -> None:
    """PB-11, PB-47: where the old one was read up to, an entry of the new one begins too."""
    unit = UnitFolder(tmp_path / "unit")
    unit.release_windows(0, 5)
    backlog = Backlog(unit.log, unit.shown, unit.cursor)
    mids = iter(range(1, 1000))

    def drain() -> list[int]:
        sent = []
        backlog.look()
        while (due := backlog.due()) is not None:
            mid = next(mids)
            backlog.sent(due, [mid])
            if acknowledged or due.release.window_start >= other.release(100).window_start:
                backlog.acknowledge(mid)
            sent.append(due.release.window_start)
        return sent

    other = follower(tmp_path / "other", unit, 100, count)
    assert len(drain()) == 5
    put_in_place(unit, other)
    assert drain() == [other.release(100 + number).window_start for number in range(count)]
    backlog.store(at_once=True)
    assert backlog.progress.acknowledged == count


def test_tiles_of_a_log_of_the_same_layout_begin_anew(tmp_path: Path) -> None:
    """PB-31, PB-47: it grew past the other while the broker was away; under a bundle's number stands that bundle."""
    unit = UnitFolder(tmp_path / "unit")
    unit.release_windows(0, WIDTH)
    tiles = LogTiles(unit.log, unit.shown, unit.folder / "tiles")

    def published() -> dict[str, bytes]:
        found = {}
        while (message := tiles.next_message(TOPICS, 600, 0)) is not None:
            found[message.topic.partition("/log/")[2]] = message.payload
            tiles.sent(len(found))
            tiles.acknowledge(len(found))
        return found

    assert list(published()) == ["entries/000", "tile/0/000"]
    other = follower(tmp_path / "other", unit, 1000, 2 * WIDTH + 3)
    put_in_place(unit, other)
    tiles._look_at = 0.0
    found = published()
    assert sorted(found) == ["entries/000", "entries/001", "tile/0/000", "tile/0/001"]
    first, *_ = decode_bundle(found["entries/000"], WIDTH)
    assert first == other.release(1000, log_index=0).encode()


@pytest.mark.parametrize("answer", ["none", "refused"])
def test_a_bundle_that_waits_goes_with_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    """PB-47, PB-48: made of the old log and not acknowledged before the other began, it is not published as the other's."""
    monkeypatch.setattr("agent.publisher.log_tiles.REFUSED_S", 0.0)
    unit = UnitFolder(tmp_path / "unit")
    unit.release_windows(0, WIDTH)
    tiles = LogTiles(unit.log, unit.shown, unit.folder / "tiles")
    assert tiles.next_message(TOPICS, 600, 0) is not None
    tiles.sent(1)
    if answer == "refused":
        tiles.refuse(1, "not authorized")
    tiles.rewind()
    other = follower(tmp_path / "other", unit, 1000, WIDTH)
    put_in_place(unit, other)
    found = []
    while (message := tiles.next_message(TOPICS, 600, 0)) is not None:
        found.append(message)
        tiles.sent(len(found))
        tiles.acknowledge(len(found))
    assert [message.topic.partition("/log/")[2] for message in found] == ["entries/000", "tile/0/000"]
    first, *_ = decode_bundle(found[0].payload, WIDTH)
    assert first == other.release(1000, log_index=0).encode()


def test_a_log_that_cannot_be_read_at_that_instant_is_still_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PB-11, PB-47: that a file could not be opened when the checkpoint changed hides no entry of the new log."""
    unit = UnitFolder(tmp_path / "unit")
    unit.release_windows(0, 5)
    backlog = Backlog(unit.log, unit.shown, unit.cursor)
    backlog.look()
    for mid in range(1, 6):
        due = backlog.due()
        assert due is not None
        backlog.sent(due, [mid])
        backlog.acknowledge(mid)
    other = follower(tmp_path / "other", unit, 100, 5)
    put_in_place(unit, other)
    away = unit.log / "away"
    (unit.log / RELEASES).rename(away)
    monkeypatch.setattr("agent.publisher.backlog.LOOK_AGAIN_S", 0.0)
    backlog.look()
    assert backlog.condition()[0] == "log_damaged"
    away.rename(unit.log / RELEASES)
    starts = []
    for mid in range(6, 20):
        backlog.look()
        if (due := backlog.due()) is not None:
            starts.append(due.release.window_start)
            backlog.sent(due, [mid])
    assert starts == [other.release(100 + number).window_start for number in range(5)]
