"""sd_notify(3): tell systemd (or the demo) that a daemon is ready, alive, or stopping."""

import os
import socket
import time

FEED_EVERY_S = 1.0
"""Many chances within the WatchdogSec= of the units."""


def notify(message: str) -> None:
    """Send `message` (`READY=1`, `WATCHDOG=1`, `STATUS=…`) to the service manager, if there is one."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        try:
            sender.connect("\0" + address[1:] if address.startswith("@") else address)
            sender.send(message.encode())
        except OSError:
            return  # the manager went away; it will notice us by other means


EXTEND_S = 30
"""A start that goes on asks for this much more each time it speaks (EXTEND_TIMEOUT_USEC=, after TimeoutStartSec=)."""


class Watchdog:
    """Tells the service manager that the main loop still turns."""

    def __init__(self) -> None:
        self._fed_at = float("-inf")

    def feed(self) -> None:
        """Call it on every turn; it speaks every FEED_EVERY_S."""
        self._say("WATCHDOG=1")

    def feed_start(self) -> None:
        """The same before READY=1, for each step of a start that may take long."""
        self._say(f"EXTEND_TIMEOUT_USEC={EXTEND_S * 1_000_000}")

    def _say(self, message: str) -> None:
        now = time.monotonic()
        if now - self._fed_at >= FEED_EVERY_S:
            self._fed_at = now
            notify(message)
