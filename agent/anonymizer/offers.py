"""The offer folder: signed files that somebody dropped, each read once, judged elsewhere, then deleted (AN-70).

Invariant: only a regular file of bounded size is read, no link is followed, and nothing is read before it has stopped changing. Whoever may
write here may do no more than offer.
"""

import contextlib
import logging
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from agent.policy.signed import MAX_SIGNED_BYTES

MAX_OFFERS_A_SCAN = 16
"""The others have their turn once these are gone."""

MAX_NAMES = 4096
"""Bounds a scan; what cannot be removed (a folder with something in it) must not hide what can."""

_Stamp = tuple[int, int, int]

_log = logging.getLogger("anonymizer")


@dataclass(frozen=True, slots=True)
class Offer:
    """A file's name and its bytes; `fault` says why it cannot be read, "" when it can."""

    name: str
    message: bytes
    fault: str = ""


class OfferFolder:
    """`folder` is emptied; `standing_offer` is one more file, offered whenever it is new and never deleted."""

    def __init__(self, folder: Path, standing_offer: Path) -> None:
        self._folder = folder
        self._standing_offer = standing_offer
        self._stamps: dict[str, _Stamp] = {}
        self._judged: dict[str, _Stamp] = {}
        self._told = False

    def scan(self) -> list[Offer]:
        """What is to be judged now, in the order of the names, the standing offer first."""
        return [*self._one(None, str(self._standing_offer)), *islice(self._scan(), MAX_OFFERS_A_SCAN)]

    def judged(self, offer: Offer) -> None:
        """Taken or refused: delete it, unless another came under its name. What cannot be deleted is not judged again until it changes."""
        self._judged[offer.name] = self._stamps[offer.name]
        if offer.name == str(self._standing_offer):
            return
        path = self._folder / offer.name
        with contextlib.suppress(OSError):
            found = path.lstat()
            if _stamp(found) == self._stamps[offer.name]:
                path.rmdir() if stat.S_ISDIR(found.st_mode) else path.unlink()

    def _scan(self) -> Iterator[Offer]:
        try:
            folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        except OSError as bad:
            if not self._told:
                _log.warning("%s: %s; nothing can be offered", self._folder, bad.strerror)
            self._told = True
            return
        try:
            with os.scandir(folder) as entries:
                names = sorted(islice((e.name for e in entries if not e.name.startswith(".")), MAX_NAMES))
            for memory in (self._stamps, self._judged):
                for gone in memory.keys() - {*names, str(self._standing_offer)}:
                    del memory[gone]
            for name in names:
                yield from self._one(folder, name)
        finally:
            os.close(folder)

    def _one(self, folder: int | None, name: str) -> Iterator[Offer]:
        """The file, once it is the same as at the scan before (the standing offer: at once)."""
        try:
            found = os.stat(name, dir_fd=folder, follow_symlinks=folder is None)
        except OSError:
            return
        stamp = _stamp(found)
        settled = folder is None or self._stamps.get(name) == stamp
        self._stamps[name] = stamp
        if not settled or self._judged.get(name) == stamp:
            return
        if not stat.S_ISREG(found.st_mode):
            yield Offer(name, b"", "expected a regular file, got something else")
        elif found.st_size > MAX_SIGNED_BYTES:
            yield Offer(name, b"", f"expected at most {MAX_SIGNED_BYTES} bytes, got {found.st_size}")
        else:
            yield self._read(folder, name)

    def _read(self, folder: int | None, name: str) -> Offer:
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (os.O_NOFOLLOW if folder is not None else 0)
        try:
            fd = os.open(name, flags, dir_fd=folder)
        except OSError as bad:
            return Offer(name, b"", f"cannot be opened: {bad.strerror}")
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                return Offer(name, b"", "expected a regular file, got something else")
            with os.fdopen(os.dup(fd), "rb") as file:
                message = file.read(MAX_SIGNED_BYTES + 1)
        except OSError as bad:
            return Offer(name, b"", f"cannot be read: {bad.strerror}")
        finally:
            os.close(fd)
        if len(message) > MAX_SIGNED_BYTES:
            return Offer(name, b"", f"expected at most {MAX_SIGNED_BYTES} bytes, got more")
        return Offer(name, message)


def _stamp(found: os.stat_result) -> _Stamp:
    return found.st_ino, found.st_size, found.st_mtime_ns
