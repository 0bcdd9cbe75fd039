"""What the beacon reads of the public folder: the envelope and what is shown beside it; each again only when it was replaced.

Invariant: an envelope once read stays until another takes its place; the others end with their files.
"""

from dataclasses import dataclass
from pathlib import Path

from agent.contracts.public import (
    CHECKPOINT,
    COMPACT,
    ENVELOPE,
    LATEST,
    MAX_CHECKPOINT_BYTES,
    MAX_COMPACT_BYTES,
    MAX_ENVELOPE_BYTES,
    MAX_LATEST_BYTES,
    MAX_STOP_BYTES,
    MAX_UPCOMING_BYTES,
    STOP,
    UPCOMING,
)
from agent.errors import BadInput, MessageError
from agent.local.files import file_stamp, read_capped


@dataclass(frozen=True, slots=True)
class Shown:
    """The files' bytes; None for one that is absent."""

    envelope: bytes | None = None
    upcoming: bytes | None = None
    stop: bytes | None = None
    compact: bytes | None = None
    checkpoint: bytes | None = None
    latest: bytes | None = None

    @property
    def governed(self) -> tuple[bytes | None, ...]:
        """What governance decides: the rest changes with time and figures, and under one disclosure."""
        return self.envelope, self.upcoming, self.stop


class PublicFiles:
    """`look` reads what was replaced since the last look."""

    def __init__(self, folder: Path) -> None:
        self._faults: dict[str, BadInput] = {}
        self._folder = folder
        self._stamps: dict[str, tuple[int, int, int] | None] = dict.fromkeys(_CAPS)
        self._contents: dict[str, bytes | None] = dict.fromkeys(_CAPS)
        self._changed = False

    @property
    def fault(self) -> BadInput | None:
        """The first file that cannot be used."""
        return next(iter(self._faults.values()), None)

    def look(self) -> Shown | None:
        """What the files hold; None when nothing has changed. Raises OSError when one cannot be read now: what changed is told later."""
        for name, cap in _CAPS.items():
            self._look(name, cap)
        if not self._changed:
            return None
        self._changed = False
        return Shown(*self._contents.values())

    def _look(self, name: str, cap: int) -> None:
        path = self._folder / name
        stamp = file_stamp(path)
        if stamp == self._stamps[name] or (stamp is None and name == ENVELOPE):
            return
        content, fault = self._contents[name] if name == ENVELOPE else None, None
        try:
            content = read_capped(path, cap) or content
        except MessageError as bad:
            fault = bad
        self._faults.pop(name, None)
        if fault is not None:
            self._faults[name] = fault
        self._stamps[name], self._contents[name] = stamp, content  # after an OSError it is read again
        self._changed = True


_CAPS = {
    ENVELOPE: MAX_ENVELOPE_BYTES,
    UPCOMING: MAX_UPCOMING_BYTES,
    STOP: MAX_STOP_BYTES,
    COMPACT: MAX_COMPACT_BYTES,
    CHECKPOINT: MAX_CHECKPOINT_BYTES,
    LATEST: MAX_LATEST_BYTES,
}
"""In the order of the fields of `Shown`."""
