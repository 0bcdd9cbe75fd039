"""Drops what came on the policy topic into the offer folder, where the anonymizer judges it (PB-21). Nothing is opened or judged here.

Invariant: one file of bounded size, replaced whole; the next no sooner than EVERY_S after the one before, and never the same bytes twice in a row.
"""

import hashlib
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

from agent.errors import StorageUnavailable

FILE = "mqtt"
_TEMPORARY = ".mqtt.new"
"""Hidden from the anonymizer until it is whole. Always the same name: a process that is killed leaves one behind, not one each."""

EVERY_S = 60.0

_log = logging.getLogger(__name__)


class OfferBox:
    """`take` each message, `look` often; of several that wait the newest is dropped."""

    def __init__(self, folder: Path, now: Callable[[], float] = time.monotonic) -> None:
        self.fault: StorageUnavailable | None = None
        self._folder = folder
        self._now = now
        self._waiting: bytes | None = None
        self._dropped = b""
        self._next_at = float("-inf")

    def take(self, message: bytes) -> None:
        """A message came. An empty one says that the broker keeps none."""
        if message:
            self._waiting = message

    def look(self) -> None:
        """Drop what waits, if it is time."""
        if self._waiting is None or self._now() < self._next_at:
            return
        digest = hashlib.sha256(self._waiting).digest()
        if digest == self._dropped:  # a broker hands a retained message over on every connection
            self._waiting = None
            return
        self._next_at = self._now() + EVERY_S
        try:
            _replace(self._folder, self._waiting)
        except OSError as bad:
            self.fault = StorageUnavailable(
                str(self._folder / FILE), why=bad.strerror or "an error", remedy="check the folder's owner and mode"
            )
            _log.warning("%s", self.fault)
            return
        _log.info("an offer of %d bytes came by MQTT", len(self._waiting))
        self.fault, self._waiting, self._dropped = None, None, digest


def _replace(folder: Path, message: bytes) -> None:
    temporary = folder / _TEMPORARY
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(temporary, flags, 0o644), "wb") as file:
        os.fchmod(
            file.fileno(), 0o644
        )  # the anonymizer reads it as another user; the folder is closed to everyone else
        file.write(message)
    os.rename(temporary, folder / FILE)
