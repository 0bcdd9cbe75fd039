"""local/files: a file that is replaced whole, and one whose failure is said once and tried again."""

import logging
from pathlib import Path

import pytest

from agent.errors import MessageError, StorageUnavailable
from agent.local.files import ReplacedFile, file_stamp, read_capped, remove_folder, write_atomic


def test_a_replaced_file_makes_its_folder_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "status" / "beacon" / "status"
    file = ReplacedFile(path)
    assert file.replace(b"one")
    assert file.replace(b"two")
    assert path.read_bytes() == b"two"
    assert list(path.parent.iterdir()) == [path]


def test_a_failure_is_said_once_and_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    blocked = tmp_path / "status"
    blocked.write_bytes(b"a file where the folder should be")
    file = ReplacedFile(blocked / "status")
    with caplog.at_level(logging.WARNING):
        assert not file.replace(b"one")
        assert not file.replace(b"two")
    assert len(caplog.records) == 1
    blocked.unlink()
    assert file.replace(b"three")
    assert (blocked / "status").read_bytes() == b"three"


def test_what_cannot_be_replaced_is_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "status").mkdir()
    with pytest.raises(StorageUnavailable, match="status"):
        write_atomic(tmp_path / "status", b"one")
    assert (tmp_path / "status").is_dir()


def test_the_cap(tmp_path: Path) -> None:
    path = tmp_path / "state"
    assert read_capped(path, 3) is None
    path.write_bytes(b"123")
    assert read_capped(path, 3) == b"123"
    path.write_bytes(b"1234")
    with pytest.raises(MessageError, match="at most 3 bytes"):
        read_capped(path, 3)


def test_a_stamp_changes_with_every_replacement(tmp_path: Path) -> None:
    path = tmp_path / "state"
    assert file_stamp(path) is None
    write_atomic(path, b"1")
    before = file_stamp(path)
    assert before == file_stamp(path)
    write_atomic(path, b"2")
    assert file_stamp(path) not in (None, before)


def test_a_folder_goes_with_its_files_and_need_not_be_there(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    remove_folder(folder)
    folder.mkdir()
    (folder / "one").write_bytes(b"1")
    (folder / "other").symlink_to(tmp_path)
    remove_folder(folder)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="file"):
        remove_folder(tmp_path / "file")
