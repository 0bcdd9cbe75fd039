"""The release log as a start finds it: opened, followed by another where it lost its end (AN-64), and gone on with under a rotated key (AN-126)."""

import logging
from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.anonymizer.announcement import DAEMON
from agent.anonymizer.known import Known
from agent.anonymizer.log import ReleaseLog
from agent.anonymizer.rotation import append_rotation, load_rotated
from agent.anonymizer.successor import begin_successor
from agent.contracts.log_file import LOGGED
from agent.errors import LogShortened
from agent.local.settings import Paths
from agent.wire.cose import public_bytes

_log = logging.getLogger(DAEMON)


def start_log(
    paths: Paths, origin: str, key: Ed25519PrivateKey, progress: Callable[[], None]
) -> tuple[ReleaseLog, Known]:
    """The log named `origin`, or the one that follows it, and what it says; `progress` is called for each record read. Raises LogDamaged, StorageUnavailable."""
    rotated = load_rotated(paths.signing_key, public_bytes(key))
    while True:
        known = Known()
        formerly = rotated.formerly(origin) if rotated is not None else ()
        try:
            log = ReleaseLog(
                paths.log,
                origin,
                key,
                known.fold,
                progress,
                copy=paths.checkpoint_copy,
                shown=paths.public / LOGGED,
                resume=known.resume,
                formerly=formerly,
            )
            break
        except LogShortened as short:
            said = rotated.message if rotated is not None and formerly else None
            origin, closed = begin_successor(paths.log, origin, key, short, progress, said)
            _log.warning("release log shortened: %s", short)
            _log.warning("what is left of it is kept as %s, and a new log begins: %s", closed, ascii(origin))
    if log.recovered:
        _log.warning("release log %s", log.recovered)
    if log.rotation_owed and rotated is not None:
        append_rotation(log, known.ledger, rotated, known.fold)
    return log, known
