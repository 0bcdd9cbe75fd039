"""The rotation of the signing key as the anonymizer meets it on start: the old key's message beside the new key, and its entry (AN-125 to AN-127).

Invariant: nothing is signed with the new key before the entry that names it, and what nobody needs stops no unit from starting.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agent.anonymizer.ledger import Ledger
from agent.anonymizer.log import ReleaseLog
from agent.contracts.log import Entry, KeyRotated, carrying
from agent.contracts.log_file import unit_path
from agent.contracts.rotation import MAX_ROTATION_BYTES, Rotation, open_rotation
from agent.errors import BadInput
from agent.local.credentials import rotation_file
from agent.local.files import read_capped

_log = logging.getLogger("anonymizer")


@dataclass(frozen=True, slots=True)
class Rotated:
    """What the old key said of the present one: the message, and what it says."""

    message: bytes
    rotation: Rotation

    def formerly(self, origin: str) -> tuple[bytes, ...]:
        """Keys that may have signed the log named `origin` before the present one."""
        return (self.rotation.old,) if self.rotation.unit == unit_path(origin) else ()


def load_rotated(signing_key: Path, public_key: bytes) -> Rotated | None:
    """How `public_key` came into its place; None where it always was, or where that cannot be read or is about another: the log then decides
    whether it is missed."""
    path = rotation_file(signing_key)
    try:
        message = read_capped(path, MAX_ROTATION_BYTES)
        if message is None:
            return None
        rotation = open_rotation(message)
    except (OSError, BadInput) as bad:
        _log.warning("not used: %s: %s", path, ascii(str(bad)))
        return None
    return Rotated(message, rotation) if rotation.new == public_key else None


def append_rotation(log: ReleaseLog, ledger: Ledger, rotated: Rotated, fold: Callable[[Entry], None]) -> None:
    """Go on under the new key. Raises StorageUnavailable when there is no room: then the log is what it was."""
    entries: list[Entry] = [carrying(ledger.state)] if ledger.carries else []
    entries.append(KeyRotated(rotated.message))
    log.append(entries)
    for entry in entries:
        fold(entry)
    _log.warning(
        "signing key rotated: from entry %d on releases are signed with %s, before with %s",
        log.size,
        rotated.rotation.new.hex(),
        rotated.rotation.old.hex(),
    )
