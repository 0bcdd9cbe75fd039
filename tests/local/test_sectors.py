"""agent/local/sectors: the same bytes in the same places, whether or not the file system takes sectors (AN-51)."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.anonymizer.log import ReleaseLog
from agent.contracts.log import NoticeServed
from agent.contracts.log_file import RELEASES
from agent.local.sectors import SECTOR_BYTES, SectorWriter
from tests.anonymizer.stage import KEY, ORIGIN


def refuses_to_open(patch: pytest.MonkeyPatch) -> None:
    real = os.open

    def refusing(path: str, flags: int, *rest: int) -> int:
        if flags & os.O_DIRECT:
            raise OSError(errno.EINVAL, "Invalid argument")
        return real(path, flags, *rest)

    patch.setattr(os, "open", refusing)


def refuses_to_write(patch: pytest.MonkeyPatch) -> None:
    """As a device with sectors of 4 KiB does."""
    real = os.pwrite

    def refusing(fd: int, data: bytes, at: int) -> int:
        if is_direct(fd):
            raise OSError(errno.EINVAL, "Invalid argument")
        return real(fd, data, at)

    patch.setattr(os, "pwrite", refusing)


def takes_sectors(patch: pytest.MonkeyPatch) -> None:
    """Whatever the file system under the tests does."""


def is_direct(fd: int) -> bool:
    flags = Path(f"/proc/self/fdinfo/{fd}").read_text().split("flags:")[1].split()[0]
    return bool(int(flags, 8) & os.O_DIRECT)


WORLDS = [takes_sectors, refuses_to_open, refuses_to_write]


@pytest.mark.parametrize("world", WORLDS)
def test_the_bytes_are_where_they_belong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, world: Callable[[pytest.MonkeyPatch], None]
) -> None:
    """Whole sectors at a sector, and anything else."""
    path, expected = tmp_path / "file", bytearray(64 * SECTOR_BYTES)
    path.write_bytes(expected)
    world(monkeypatch)
    fd = os.open(path, os.O_RDWR)
    writer = SectorWriter(path, fd)
    for number, (at, length) in enumerate([(0, 512), (512, 1536), (700, 100), (4096, 8192), (9000, 512), (12288, 700)]):
        data = bytes([number + 1]) * length
        done = 0
        while done < length:
            done += writer.write(data[done:], at + done)
        expected[at : at + length] = data
        assert os.pread(fd, len(expected), 0) == expected, "at once, for who reads through the page cache"
    os.fdatasync(fd)
    writer.close()
    writer.close()
    os.close(fd)
    assert path.read_bytes() == expected


@pytest.mark.parametrize("world", WORLDS[1:])
def test_a_log_is_the_same_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, world: Callable[[pytest.MonkeyPatch], None]
) -> None:
    """Byte for byte, and it opens again."""
    written(tmp_path / "sectors")
    world(monkeypatch)
    written(tmp_path / "pages")
    assert (tmp_path / "sectors" / RELEASES).read_bytes() == (tmp_path / "pages" / RELEASES).read_bytes()
    log = ReleaseLog(tmp_path / "sectors", ORIGIN, KEY)
    assert (log.size, log.recovered) == (5, None)
    log.close()


def written(folder: Path) -> None:
    log = ReleaseLog(folder, ORIGIN, KEY, copy=folder / "copy")
    for number in range(5):
        log.append([NoticeServed(bytes(32), number, number)])
    log.close()


def test_an_error_that_is_no_refusal_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk or a failing card is not tried again another way."""
    path = tmp_path / "file"
    path.write_bytes(bytes(SECTOR_BYTES))
    fd = os.open(path, os.O_RDWR)
    writer = SectorWriter(path, fd)

    def fails(fd: int, data: bytes, at: int) -> int:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "pwrite", fails)
    with pytest.raises(OSError, match="Input/output"):
        writer.write(bytes(SECTOR_BYTES), 0)
    writer.close()
    os.close(fd)
