"""Files that are replaced whole, and files that are read with a cap."""

import os
from pathlib import Path

from agent.errors import MessageError, StorageUnavailable


def write_atomic(path: Path, data: bytes, *, mode: int = 0o644, durable: bool = False) -> None:
    """Replace `path` with `data` by rename; with `durable`, only after both file and folder are on the disk.

    Raises StorageUnavailable; `path` then still holds what it held.
    """
    temporary = path.with_name(f".{path.name}.new")
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
