"""Whole sectors of a preallocated file, written past the page cache: a release of 1.4 KiB is three sectors, not one or two pages of 4 KiB.

Where the file system does not offer this (O_DIRECT: tmpfs on older kernels, sectors of 4 KiB), the same bytes go through the page cache.
Nothing is durable before the caller's fdatasync.
"""

import contextlib
import errno
import mmap
import os
from pathlib import Path

SECTOR_BYTES = 512


class SectorWriter:
    """Writes into `path`, which `fd` is also open for; `fd` stays the caller's."""

    def __init__(self, path: Path, fd: int) -> None:
        self._fd = fd
        self._direct: int | None = None
        with contextlib.suppress(OSError):
            self._direct = os.open(path, os.O_WRONLY | os.O_DIRECT | os.O_CLOEXEC)

    def close(self) -> None:
        """Give up the descriptor of its own."""
        if self._direct is not None:
            os.close(self._direct)
            self._direct = None

    def write(self, data: bytes, at: int) -> int:
        """Like pwrite: how many bytes of `data` were written at `at`, at least one; raises OSError."""
        if self._direct is not None and len(data) % SECTOR_BYTES == at % SECTOR_BYTES == 0:
            try:
                with mmap.mmap(-1, len(data)) as aligned:
                    aligned[:] = data
                    return os.pwrite(self._direct, aligned, at)
            except OSError as bad:
                if bad.errno != errno.EINVAL:
                    raise
            self.close()
        return os.pwrite(self._fd, data, at)
