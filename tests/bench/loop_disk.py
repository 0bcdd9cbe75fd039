"""An ext4 file system in an image of its own, on a loop device: what reaches the device below it is counted by the kernel."""

import contextlib
import ctypes
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

SECTOR_BYTES = 512


class LoopDisk:
    """A new ext4 on `size` bytes with the options of mkfs.ext4 for an SD card (blocks of 4 KiB) unless `mkfs` says otherwise; needs root."""

    def __init__(self, size: int, *, mkfs: tuple[str, ...] = (), options: str = "noatime") -> None:
        self._size = size
        self._mkfs = mkfs
        self._options = options

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory()
        self._image = Path(self._folder.name) / "image"
        self.path = Path(self._folder.name) / "disk"
        self.path.mkdir()
        self._image.touch()
        os.truncate(self._image, self._size)
        _run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", *self._mkfs, str(self._image))
        self._device = _run("losetup", "-f", "--show", str(self._image))
        try:
            _run("mount", "-o", self._options, self._device, str(self.path))
        except subprocess.CalledProcessError:
            _run("losetup", "-d", self._device)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _run("umount", str(self.path))
        _run("losetup", "-d", self._device)
        self._folder.cleanup()

    def settle(self) -> None:
        """Everything in memory goes to the device, the journal's commit and what it is about: as after half a minute of rest."""
        fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            if ctypes.CDLL(None, use_errno=True).syncfs(fd) < 0:
                raise OSError(ctypes.get_errno(), "syncfs")
        finally:
            os.close(fd)

    def write_back(self) -> None:
        """What the journal has committed goes to its places, as the kernel sees to within half a minute; commits nothing itself."""
        fd = os.open(self._device, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def after_a_cut(self) -> Iterator[Path]:
        """The files as they are found when the power goes now: a copy of what the device was given, mounted by itself, its journal replayed."""
        with tempfile.TemporaryDirectory() as folder:
            copy, found = Path(folder) / "image", Path(folder) / "disk"
            shutil.copyfile(self._image, copy)
            found.mkdir()
            _run("mount", "-o", "loop", str(copy), str(found))
            try:
                yield found
            finally:
                _run("umount", str(found))

    def written(self) -> int:
        """Bytes that the device was given to write so far, everything in memory included."""
        self.settle()
        return self.given()

    def given(self) -> int:
        """Bytes that the device was given to write so far."""
        return int(Path(f"/sys/block/{Path(self._device).name}/stat").read_text().split()[6]) * SECTOR_BYTES


def _run(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()
