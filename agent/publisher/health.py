"""Samples the status files of this unit's other daemons for `…/health` at fixed times, whatever they say (PB-22)."""

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from agent.contracts.health import Health, Report, compile_health, read_status
from agent.contracts.status import MAX_STATUS_BYTES, STATUS
from agent.errors import BadInput
from agent.local.files import file_stamp, read_capped

EVERY_S = 900.0
SECOND_S = 60.0
"""The first sample is taken at once, the second when the other daemons have had time to start, then one every EVERY_S."""

_Stamp = tuple[int, int, int]

_log = logging.getLogger(__name__)


class Wellbeing:
    """`look` often; `latest` is the newest sample. `now` is a monotonic clock, `utc_s` tells Unix seconds."""

    def __init__(
        self,
        folder: Path,
        boards: Sequence[str],
        utc_s: Callable[[], int],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.latest: Health | None = None
        bridges = [f"firmware-bridge/{board}" for board in boards]
        names = {"firmware_bridge": bridges, "anonymizer": ["anonymizer"], "beacon": ["beacon"]}
        self._files = {daemon: [folder / name / STATUS for name in mine] for daemon, mine in names.items()}
        self._stamps: dict[Path, _Stamp] = {}
        self._utc_s = utc_s
        self._now = now
        self._due_at = now()
        self._samples = 0

    def look(self, own: Report) -> None:
        """Take a sample if it is time for one; `own` is the publisher's."""
        now = self._now()
        if now < self._due_at:
            return
        self._samples += 1
        self._due_at += SECOND_S if self._samples == 1 else EVERY_S
        if self._due_at <= now:  # suspended meanwhile: one sample, not one for each that was missed
            self._due_at = now + EVERY_S
        reports = {daemon: tuple(map(self._report, files)) for daemon, files in self._files.items()}
        self.latest = compile_health(self._utc_s(), {**reports, "publisher": (own,)})

    def _report(self, path: Path) -> Report | None:
        """What the file says; None when it has not been written since the last sample, or cannot be read."""
        try:
            stamp = file_stamp(path)
            if stamp is None or stamp == self._stamps.get(path):
                return None
            self._stamps[path] = stamp
            text = read_capped(path, MAX_STATUS_BYTES)
            return read_status(text) if text is not None else None
        except (BadInput, OSError) as bad:
            _log.warning("%s: %s", path, bad)
            return None
