"""The clocks: boot time for ages and leases, UTC for windows, and whether UTC can be trusted yet.

A Pi has no clock chip: until time has been set, UTC is a guess and the gate stays shut. No daemon has an option that bends a clock.
"""

import time
from pathlib import Path

OPERATOR = "operator"
"""`[clock] trusted_when = "operator"`: a person's word at commissioning."""


def boot_ns() -> int:
    """CLOCK_BOOTTIME in nanoseconds: never stepped, counts suspend, one for all processes of a kernel."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Clock:
    """Reads the system's clocks. `trusted_when` is a marker file's path, or OPERATOR."""

    def __init__(self, trusted_when: str) -> None:
        self._marker = None if trusted_when == OPERATOR else Path(trusted_when)
        self._trusted = self._marker is None

    def boot_ns(self) -> int:
        """CLOCK_BOOTTIME in nanoseconds: never stepped, counts suspend."""
        return boot_ns()

    def utc_ns(self) -> int:
        """CLOCK_REALTIME in nanoseconds since 1970."""
        return time.time_ns()

    def trusted(self) -> bool:
        """Has the marker been seen since this process began? Once true it stays true; steps are caught elsewhere."""
        if not self._trusted and self._marker is not None:
            self._trusted = self._marker.exists()
        return self._trusted
