"""Exact counters, for the demo only (I1): on a descriptor that the demo passes in, refused under any other policy.

A daemon builds `ExactCounters` from its `--exact-counters FD` option and calls `write` about once a second.
"""

import json
import os
from collections.abc import Mapping
from typing import Any

from agent.errors import DemoOnly


class ExactCounters:
    """Writes one JSON line a call to `fd`; does nothing without one."""

    def __init__(self, fd: int | None, daemon: str) -> None:
        self._fd = fd
        self._daemon = daemon
        self._allowed = False

    def allow(self, *, demo: bool) -> None:
        """State whose policy is in force; raise DemoOnly when a descriptor was given and it is not the demo's."""
        if self._fd is not None and not demo:
            raise DemoOnly(f"{self._daemon}: exact counters are for the demo's policy only")
        self._allowed = True

    def write(self, values: Mapping[str, Any]) -> None:
        """Write one line, if allowed; a reader that went away is forgotten."""
        if self._fd is None or not self._allowed:
            return
        try:
            os.write(self._fd, json.dumps({"daemon": self._daemon, **values}).encode() + b"\n")
        except OSError:
            self._fd = None
