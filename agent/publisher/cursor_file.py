"""The cursor on the card: two slots overwritten in turn, in place, because a rename costs the card ten times as much, and each a sector,
because the page cache writes whole blocks of 4 KiB (PB-10).

Invariant: the slot that holds the newest progress is not touched until the other one holds a newer one, durably.
"""

import os
from pathlib import Path

from agent.errors import LogDamaged, MessageError, StorageUnavailable
from agent.local.files import read_capped, write_atomic
from agent.local.sectors import SectorWriter
from agent.publisher import cursor as cursors
from agent.publisher.cursor import BEGIN, FILE_BYTES, SLOT_BYTES, Progress


class CursorFile:
    """`known` is what was read, newest first, BEGIN without any; `damage` says what was wrong with it. `write` each newer progress."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.damage: LogDamaged | None = None
        self._serial = 0
        found: tuple[tuple[int, Progress], ...] = ()
        try:
            data = read_capped(path, FILE_BYTES)
            if data is not None:
                found, self.damage = cursors.decode(data, str(path))
        except (MessageError, OSError) as bad:
            self.damage = LogDamaged(str(path), expected="a readable cursor", got=str(bad))
        if found:
            self._serial = found[0][0]
        self.known = tuple(progress for _, progress in found) or (BEGIN,)
        self._whole = found != () and self.damage is None

    def write(self, progress: Progress) -> None:
        """Durably; raise StorageUnavailable, and then the file still holds what was written before."""
        serial = self._serial + 1
        if self._whole and self._overwrite(serial, progress):
            self._serial = serial
            self.known = (progress, self.known[0])
            return
        write_atomic(self._path, cursors.encode(serial, progress, self.known[0]), mode=0o600, durable=True)
        self._serial, self._whole = serial, True
        self.known = (progress, self.known[0])

    def _overwrite(self, serial: int, progress: Progress) -> bool:
        """Into the older slot; False when the file is not there or not of our size."""
        try:
            fd = os.open(self._path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        except OSError as bad:
            raise self._unwritable(bad) from bad
        try:
            if os.fstat(fd).st_size != FILE_BYTES:
                return False
            slot = cursors.slot(serial, progress)
            writer = SectorWriter(self._path, fd)
            try:
                if writer.write(slot, SLOT_BYTES * (serial % 2)) != len(slot):
                    raise OSError(0, "it took a part only")
            finally:
                writer.close()
            os.fdatasync(fd)
        except OSError as bad:
            raise self._unwritable(bad) from bad
        finally:
            os.close(fd)
        return True

    def _unwritable(self, bad: OSError) -> StorageUnavailable:
        return StorageUnavailable(
            str(self._path),
            why=bad.strerror or str(bad),
            remedy="free space on this file system, or check its permissions",
        )
