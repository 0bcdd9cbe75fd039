"""The files of a log that lost its end: it is closed under another name, and the log that follows it takes its place (AN-64).

Invariant: at every instant `releases` is the old log or the whole beginning of the new one.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.anonymizer.bundle_file import BUNDLES
from agent.anonymizer.checkpoint import RESTORE
from agent.anonymizer.log import ReleaseLog
from agent.anonymizer.loss import continuation, origin_after, with_states
from agent.anonymizer.segment import BLOCK_BYTES
from agent.contracts.log import Entry, LogLost, decode_entry
from agent.contracts.log_file import LOGGED, RELEASES, iter_log
from agent.errors import LogDamaged, LogShortened, StorageUnavailable
from agent.local.files import remove_folder, sync_folder
from agent.wire.tlog import TreeHead, decode_checkpoint

_BEGINNING = "beginning"
_BATCH = 256
"""Entries appended together: memory does not grow with the log."""


def begin_successor(
    folder: Path,
    origin: str,
    key: Ed25519PrivateKey,
    short: LogShortened,
    progress: Callable[[], None],
    rotation: bytes | None = None,
) -> tuple[str, str]:
    """Begin the log that follows; its origin, and the name under which the old one is kept in `folder`. `rotation` is what the key before
    `key` said, which may have signed the note that the new log begins with. Raises StorageUnavailable, and
    LogDamaged when what is left of the old one, of which a start need not read all, is damaged: then nothing is changed."""
    lost = LogLost(short.known, short.kept, short.root)
    following = origin_after(origin, decode_checkpoint(short.known))
    beginning = folder / _BEGINNING
    closed = f"{RELEASES}.{short.kept}-{short.root[:8].hex()}"
    try:
        remove_folder(beginning)
        log = ReleaseLog(beginning, following, key, progress=progress)
        try:
            batch: list[Entry] = []
            left = _left(folder / RELEASES, short.kept, short.root, progress)
            for entry in with_states(continuation(lost, left, rotation)):
                batch.append(entry)
                if len(batch) == _BATCH:
                    log.append(batch)
                    batch = []
            if batch:
                log.append(batch)
        finally:
            log.close()
        (beginning / BUNDLES).unlink(missing_ok=True)
        (folder / BUNDLES).unlink(missing_ok=True)
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


def _left(path: Path, kept: int, root: bytes, progress: Callable[[], None]) -> Iterator[Entry]:
    """The first `kept` entries; raises LogDamaged unless their root is `root`."""
    head, at = TreeHead(), 0
    with path.open("rb") as file:
        while head.size < kept:
            begin = at
            for record in iter_log(os.pread(file.fileno(), BLOCK_BYTES, begin)):
                progress()
                at = begin + record.end
                if not record.is_checkpoint and head.size < kept:
                    head.append(record.body)
                    yield decode_entry(record.body, f"{path} entry {head.size - 1}")
            if at == begin:
                break
    if (head.size, head.root()) != (kept, root):
        raise LogDamaged(
            str(path), expected=f"{kept} entries under their root", got=f"damage at byte {at}", remedy=RESTORE
        )
