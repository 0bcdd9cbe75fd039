"""The file `bundles` beside the log: where each whole bundle of 256 entries ends and its root, so that a start need not read them (AN-66).

    a row for each bundle, 40 bytes: where its last entry ends, u64 little endian | root of its 256 entries, 32 bytes

Invariant: it is derived from the log and never trusted (anonymizer/resumption). Nothing waits for it to be durable, and no fault of it
ends the process or closes the gate: without it the next start reads the whole log and makes it again.
"""

import contextlib
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from agent.anonymizer.extent import BUNDLE_BYTES, Bundle, decode_bundles
from agent.errors import LogDamaged, MessageError, StorageUnavailable
from agent.local.files import read_capped, write_atomic

BUNDLES = "bundles"

MAX_BYTES = 4 << 20
"""27 million entries, 190 years of four streams of 15 minutes; of a longer file nothing is read."""

_log = logging.getLogger(__name__)


class BundleFile:
    """`read` what it says, `keep` what the log says once that was read, `add` what becomes complete."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / BUNDLES
        self.absent = False
        self._data: bytes | None = None
        self._owed: list[Bundle] = []
        self._rows = 0
        self._spoiled = False
        self._failed = False

    def read(self) -> tuple[Bundle, ...]:
        """The bundles that it names; none when it is absent. Raises LogDamaged."""
        try:
            data = read_capped(self.path, MAX_BYTES)
        except (MessageError, OSError) as bad:
            self._data, self._spoiled = b"", True
            raise LogDamaged(str(self.path), expected=f"a file of at most {MAX_BYTES} bytes", got=str(bad)) from None
        self.absent, self._data = data is None, data or b""
        return decode_bundles(self._data, str(self.path))

    def keep(self, bundles: Sequence[Bundle]) -> None:
        """Make it name these: what is missing at its end is written there; a file that says anything else is replaced."""
        data = b"".join(bundle.encode() for bundle in bundles)
        if self._data is None:
            with contextlib.suppress(LogDamaged):
                self.read()
        if not self._spoiled and self._data is not None and data.startswith(self._data):
            self._rows = len(self._data) // BUNDLE_BYTES
            self._owed = list(bundles[self._rows :])
            self._write()
            return
        try:
            write_atomic(self.path, data, mode=0o640, durable=True)
        except StorageUnavailable as bad:
            self._spoiled = True
            self._say(str(bad))
            return
        self._rows, self._owed, self._spoiled = len(bundles), [], False

    def add(self, bundle: Bundle) -> None:
        """One more is whole, and durable in the log. Behind a file that could not be replaced nothing is written."""
        if not self._spoiled:
            self._owed.append(bundle)
            self._write()

    def _write(self) -> None:
        """What is owed; what finds no space is owed on."""
        if not self._owed:
            return
        data, at = b"".join(bundle.encode() for bundle in self._owed), self._rows * BUNDLE_BYTES
        try:
            fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o640)
            try:
                while data:
                    written = os.pwrite(fd, data, at)
                    data, at = data[written:], at + written
            finally:
                os.close(fd)
        except OSError as bad:
            self._say(f"{self.path}: {bad.strerror}")
            return
        self._rows += len(self._owed)
        self._owed.clear()
        self._failed = False

    def _say(self, words: str) -> None:
        if not self._failed:
            _log.warning("%s; the next start reads more of the log", words)
        self._failed = True
