"""The beacon's end of lease.sock: says what is on air, and falls silent by hanging up (I3)."""

import contextlib
import dataclasses
import select
import socket
from pathlib import Path

from agent.contracts.lease import RENEW_EVERY_S, Lease
from agent.errors import InboxUnavailable
from agent.local.sockets import connect_inbox

RECONNECT_S = 0.5


class LeaseLine:
    """One connection at a time to the anonymizer's inbox. Nothing here blocks; `now` is time.monotonic()."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._peer: socket.socket | None = None
        self._ended = select.poll()
        self._said: Lease | None = None
        self._said_at = 0.0
        self._try_at = 0.0
        self.sent = 0

    @property
    def connected(self) -> bool:
        """Is there somebody to give leases to?"""
        return self._peer is not None

    def renew(self, lease: Lease, now: float) -> None:
        """Send `lease` at once when it is the first or a new one, else every RENEW_EVERY_S; reconnect when the inbox went away."""
        if self._peer is not None and self._ended.poll(0):
            self.hang_up()
        if self._peer is None:
            self._connect(now)
        if self._peer is None or (self._says_nothing_new(lease) and now - self._said_at < RENEW_EVERY_S):
            return
        try:
            self._peer.send(lease.encode())
        except BlockingIOError:
            return  # the inbox is full: its owner is not reading, and its lease lapses by itself
        except OSError:
            self.hang_up()
            self._try_at = now + RECONNECT_S
            return
        self._said, self._said_at = lease, now
        self.sent += 1

    def hang_up(self) -> None:
        """End the connection, and with it the lease."""
        if self._peer is not None:
            with contextlib.suppress(KeyError, OSError):
                self._ended.unregister(self._peer)
            self._peer.close()
        self._peer, self._said = None, None

    def _says_nothing_new(self, lease: Lease) -> bool:
        return self._said is not None and dataclasses.replace(lease, sent_boot_ns=self._said.sent_boot_ns) == self._said

    def _connect(self, now: float) -> None:
        if now < self._try_at:
            return
        self._try_at = now + RECONNECT_S
        try:
            self._peer = connect_inbox(self._path)
        except InboxUnavailable:
            return
        self._peer.setblocking(False)
        self._ended.register(self._peer, 0)  # POLLHUP and POLLERR are always told
