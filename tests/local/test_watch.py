"""FolderWatch wakes for what is replaced or written, and for nothing else; absent and replaced folders are watched again."""

import select
from pathlib import Path

import pytest

from agent.local.files import write_atomic
from agent.local.watch import FolderWatch


def woken(watch: FolderWatch, timeout_s: float = 5.0) -> bool:
    assert watch.fd is not None
    return bool(select.select([watch.fd], [], [], timeout_s)[0])


@pytest.mark.parametrize("how", ["replaced", "written"])
def test_a_change_wakes_and_is_forgotten(tmp_path: Path, how: str) -> None:
    path = tmp_path / "checkpoint"
    path.write_bytes(b"old")
    watch = FolderWatch([tmp_path])
    try:
        assert not woken(watch, 0.05)
        if how == "replaced":
            write_atomic(path, b"new")
        else:
            with path.open("r+b") as file:
                file.write(b"new")
        assert woken(watch)
        watch.drain()
        assert not woken(watch, 0.05)
        path.read_bytes()
        assert not woken(watch, 0.05)
    finally:
        watch.close()


def test_a_folder_that_comes_later_or_anew_is_watched(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    watch = FolderWatch([folder])
    try:
        for _ in range(2):
            folder.mkdir()
            watch.drain()
            write_atomic(folder / "checkpoint", b"new")
            assert woken(watch)
            (folder / "checkpoint").unlink()
            folder.rmdir()
            watch.drain()
    finally:
        watch.close()
        watch.close()
