"""Files that are replaced whole, and files that are read with a cap."""

import logging
import os
from pathlib import Path

from agent.errors import BadInput, MessageError, StorageUnavailable

_log = logging.getLogger(__name__)


def write_atomic(path: Path, data: bytes, *, mode: int = 0o644, durable: bool = False) -> None:
    """Replace `path` with `data` by rename; with `durable`, only after both file and folder are on the disk.

    Raises StorageUnavailable; `path` then still holds what it held.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        try:
            os.fchmod(fd, mode)
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
            if durable:
                os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(temporary, path)
        if durable:
            sync_folder(path.parent)
    except OSError as bad:
        raise StorageUnavailable(
            str(path), why=bad.strerror or str(bad), remedy="free space on this file system, or check its permissions"
        ) from bad


class ReplacedFile:
    """A file that is replaced again and again and that the process can do without: a failure is said once and tried again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._failed = False

    def replace(self, data: bytes) -> bool:
        """Make the folder if it is missing and replace the file; False when that failed."""
        try:
            self._path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            write_atomic(self._path, data)
        except (OSError, StorageUnavailable) as bad:
            if not self._failed:
                _log.warning("cannot be written: %s", bad)
            self._failed = True
            return False
        self._failed = False
        return True

    def remove(self) -> bool:
        """Remove the file, if it is there; False when that failed."""
        try:
            self._path.unlink(missing_ok=True)
        except OSError as bad:
            if not self._failed:
                _log.warning("%s cannot be removed: %s", self._path, bad.strerror)
            self._failed = True
            return False
        self._failed = False
        return True


def remove_folder(folder: Path) -> None:
    """A folder of files goes, if it is there (shutil, which can do more, takes half a MiB of a daemon for good). Raises OSError."""
    try:
        files = list(folder.iterdir())
    except FileNotFoundError:
        return
    for path in files:
        path.unlink()
    folder.rmdir()


def sync_folder(folder: Path) -> None:
    """fsync a folder, so that a rename or a new file in it survives a power cut."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def read_capped(path: Path, max_bytes: int) -> bytes | None:
    """The file's bytes, or None when it is absent; raise MessageError when it is larger than `max_bytes`."""
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except FileNotFoundError:
        return None
    if len(data) > max_bytes:
        raise MessageError(str(path), expected=f"at most {max_bytes} bytes", got="more")
    return data


def read_given(path: Path, max_bytes: int, what: str, error: type[BadInput]) -> bytes:
    """The bytes of a file that somebody named, `what` it should be; raise `error` when it is absent, cannot be read or is larger."""
    try:
        data = read_capped(path, max_bytes)
    except MessageError as bad:
        raise error(bad.where, expected=bad.expected, got=bad.got) from None
    except (OSError, ValueError) as bad:
        raise error(str(path)[:100], expected=what, got=getattr(bad, "strerror", None) or str(bad)) from None
    if data is None:
        raise error(str(path)[:100], expected=what, got="No such file or directory")
    return data


def file_stamp(path: Path) -> tuple[int, int, int] | None:
    """What changes when a file is replaced or written; None while it is absent. Raises OSError."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size
