"""Exact counters, for the demo only (I1): on a descriptor that the demo passes in, refused under any other policy.

A daemon builds `ExactCounters` from its `--exact-counters FD` option; when they are `due` it states whose policy is in force,
or asks the public state, and writes.
"""

import json
import logging
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from agent.errors import BadInput, DemoOnly
from agent.local.files import read_capped
from agent.local.memory import pss_kib

WRITE_EVERY_S = 0.5

_log = logging.getLogger(__name__)


class ExactCounters:
    """Writes one JSON line a call to `fd`; does nothing without one."""

    def __init__(self, fd: int | None, daemon: str) -> None:
        self._fd = fd
        self._daemon = daemon
        self._allowed = False
        self._waiting = ""
        self._written_at = float("-inf")

    @property
    def due(self) -> bool:
        """Is there a descriptor, and has it had no line for WRITE_EVERY_S?"""
        return self._fd is not None and time.monotonic() - self._written_at >= WRITE_EVERY_S

    def allow(self, *, demo: bool) -> None:
        """State whose policy is in force; raise DemoOnly when a descriptor was given and it is not the demo's."""
        if self._fd is not None and not demo:
            raise DemoOnly(f"{self._daemon}: exact counters are for the demo's policy only")
        self._allowed = True

    def ask(self, state: Path, most_bytes: int, demo_of: Callable[[bytes], bool]) -> bool:
        """Ask the file `state` whose policy is in force; False while it does not say. Raise DemoOnly as `allow` does."""
        try:
            text = read_capped(state, most_bytes)
            if text is None:
                return False
            demo = demo_of(text)
        except (BadInput, OSError) as bad:
            if str(bad) != self._waiting:
                self._waiting = str(bad)
                _log.warning("exact counters wait for a readable state: %s", bad)
            return False
        self.allow(demo=demo)
        return True

    def write(self, values: Mapping[str, Any]) -> None:
        """Write one line, if allowed, with the daemon's name and memory; a reader that went away is forgotten."""
        if self._fd is None or not self._allowed:
            return
        self._written_at = time.monotonic()
        line = {"daemon": self._daemon, **values, "pss_kib": pss_kib()}
        try:
            os.write(self._fd, json.dumps(line).encode() + b"\n")
        except OSError:
            self._fd = None
