"""The files of a log that lost its end: it is closed under another name, and the log that follows it takes its place (AN-64).

Invariant: at every instant `releases` is the old log or the whole beginning of the new one.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.anonymizer.log import ReleaseLog
from agent.anonymizer.loss import continuation, origin_after, with_states
from agent.contracts.log import LOGGED, RELEASES, Entry, LogLost, decode_entry, iter_log
from agent.errors import InvariantBroken, LogShortened, StorageUnavailable
from agent.local.files import remove_folder, sync_folder
from agent.wire.tlog import decode_checkpoint

_BEGINNING = "beginning"
_BLOCK_BYTES = 1 << 18
_BATCH = 256
"""Entries appended together: memory does not grow with the log."""


def begin_successor(
    folder: Path, origin: str, key: Ed25519PrivateKey, short: LogShortened, progress: Callable[[], None]
) -> tuple[str, str]:
    """Begin the log that follows; its origin, and the name under which the old one is kept in `folder`. Raises StorageUnavailable."""
    lost = LogLost(short.known, short.kept, short.root)
    following = origin_after(origin, decode_checkpoint(short.known))
    beginning = folder / _BEGINNING
    closed = f"{RELEASES}.{short.kept}-{short.root[:8].hex()}"
    try:
        remove_folder(beginning)
        log = ReleaseLog(beginning, following, key, progress=progress)
        try:
            batch: list[Entry] = []
            for entry in with_states(continuation(lost, _left(folder / RELEASES, short.kept))):
                batch.append(entry)
                if len(batch) == _BATCH:
                    log.append(batch)
                    batch = []
            if batch:
                log.append(batch)
        finally:
            log.close()
        (folder / closed).unlink(missing_ok=True)
        os.link(folder / RELEASES, folder / closed)
        sync_folder(folder)
        os.rename(beginning / RELEASES, folder / RELEASES)
        sync_folder(folder)
        (beginning / LOGGED).unlink(missing_ok=True)
        beginning.rmdir()
    except OSError as bad:
        raise StorageUnavailable(
            str(folder), why=bad.strerror or "an error", remedy="free space, or check the folder's owner and mode"
        ) from bad
    return following, closed


def _left(path: Path, kept: int) -> Iterator[Entry]:
    """The first `kept` entries, whose root the caller has verified."""
    number = at = 0
    with path.open("rb") as file:
        while number < kept:
            begin = at
            for record in iter_log(os.pread(file.fileno(), _BLOCK_BYTES, begin)):
                at = begin + record.end
                if not record.is_checkpoint and number < kept:
                    yield decode_entry(record.body, f"{path} entry {number}")
                    number += 1
            if at == begin:
                raise InvariantBroken(f"{path}: entry {number} was whole and is not")
