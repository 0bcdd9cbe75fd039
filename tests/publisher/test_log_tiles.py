"""PB-30, PB-31: what becomes of the log's bundles where the disk is full."""

from pathlib import Path

import pytest

from agent.publisher.log_tiles import LogTiles
from agent.publisher.topics import Topics
from agent.wire.tiles import WIDTH
from tests.publisher.unit_folders import UnitFolder


def test_a_file_that_cannot_be_written_ends_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """PB-31: bundle and tile go out once in this process; a restart sends them again."""
    unit = UnitFolder(tmp_path / "unit")
    unit.append(*(unit.release(number) for number in range(WIDTH)))
    topics = Topics("dtpr", unit.city, unit.site, unit.name)
    for _ in range(2):
        tiles = LogTiles(unit.log, unit.shown, tmp_path / "absent" / "tiles")
        sent = []
        while (message := tiles.next_message(topics, 60, 0)) is not None:
            sent.append(message.topic.removeprefix(f"{unit.base}/"))
            tiles.sent(len(sent))
        assert sent == ["log/entries/000", "log/tile/0/000"]
        for mid in range(1, len(sent) + 1):
            tiles.acknowledge(mid)
        assert tiles.next_message(topics, 60, 0) is None
    assert "absent" in caplog.text


def test_a_broker_that_came_back_with_a_smaller_limit(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """PB-32, PB-48: what was made for the limit before, and is too long for this one, is passed over too; the tile goes."""
    unit = UnitFolder(tmp_path / "unit")
    unit.append(*(unit.release(number) for number in range(WIDTH)))
    topics = Topics("dtpr", unit.city, unit.site, unit.name)
    tiles = LogTiles(unit.log, unit.shown, tmp_path / "tiles")
    message = tiles.next_message(topics, 60, 0)
    assert message is not None
    tiles.sent(1)
    tiles.rewind()
    limit = len(message.payload)
    again = tiles.next_message(topics, 60, limit)
    assert again is not None
    assert again.topic.endswith("log/tile/0/000")
    tiles.sent(2)
    tiles.acknowledge(2)
    assert tiles.next_message(topics, 60, limit) is None
    assert "too many for a message" in caplog.text
    assert (tmp_path / "tiles").exists()
