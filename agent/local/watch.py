"""Tells at once when files in some folders were replaced or written (inotify(7)), so that nobody has to look often.

It only wakes: who is woken looks for itself, and goes on looking from time to time, because a watch can be refused (no kernel support,
too many watches) and a folder can be absent.
"""

import contextlib
import ctypes
import logging
import os
from collections.abc import Sequence
from pathlib import Path

_IN_MODIFY, _IN_CLOSE_WRITE, _IN_MOVED_TO = 0x2, 0x8, 0x80
_EVENTS = _IN_MODIFY | _IN_CLOSE_WRITE | _IN_MOVED_TO
_READ_BYTES = 4096

_log = logging.getLogger(__name__)


class FolderWatch:
    """`fd` is readable once something changed; `drain` empties it and watches again what was absent."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.fd: int | None = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        """None where the kernel does not tell."""
        if self.fd == -1:
            _log.warning("changes of files are not told: %s; looking for them instead", os.strerror(ctypes.get_errno()))
            self.fd = None
        self._folders = tuple(folders)
        self._watched: dict[Path, tuple[int, int]] = {}
        self.drain()

    def drain(self) -> None:
        """Forget what has changed so far, and see that each folder that is there is watched."""
        if self.fd is None:
            return
        with contextlib.suppress(BlockingIOError):
            while os.read(self.fd, _READ_BYTES):
                pass
        for folder in self._folders:
            self._watch(folder)

    def close(self) -> None:
        """Give the descriptor back."""
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None

    def _watch(self, folder: Path) -> None:
        try:
            found = folder.stat()
        except OSError:
            self._watched.pop(folder, None)
            return
        place = (found.st_dev, found.st_ino)
        if self._watched.get(folder) == place:
            return
        if self._libc.inotify_add_watch(self.fd, os.fsencode(folder), _EVENTS) == -1:
            words = os.strerror(ctypes.get_errno())
            _log.warning("changes in %s are not told: %s; looking for them instead", folder, words)
        self._watched[folder] = place
