"""The bridge's end of reading.sock: what the anonymizer should know is kept said, readings are handed over or dropped, never held.

Invariant: READINGS and ALIVE go out only on a connection that has been told of the present board, so a restarted anonymizer
always hears BOARD first.
"""

import select
import socket
from pathlib import Path

from agent.contracts.reading import Header, Kind
from agent.errors import InboxUnavailable
from agent.local.sockets import connect_inbox
from agent.wire.buffers import Buffer

FULL_WAIT_MS = 200
"""How long one frame may wait for room: four frames at 20 a second, which the tty's kernel buffer holds meanwhile."""

FIRST_RETRY_S, LAST_RETRY_S = 0.1, 1.0

_UNSAID = b"unsaid"  # no hello: differs from every board and from None


class Inbox:
    """Connects, reconnects and sends. `send_readings` returns None, or the reason why a batch was dropped."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._peer: socket.socket | None = None
        self._retry_s = FIRST_RETRY_S
        self._retry_at_s = float("-inf")
        self._wanted: bytes | None = None  # the present board's hello
        self._said: bytes | None = _UNSAID
        self._full = False
        self._now_s = 0.0

    @property
    def connected(self) -> bool:
        """Is there a connection?"""
        return self._peer is not None

    def fileno(self) -> int:
        """The descriptor, for poll (POLLHUP: the anonymizer went away), or -1."""
        return -1 if self._peer is None else self._peer.fileno()

    def declare(self, hello: bytes | None, *, again: bool = False) -> None:
        """State which board is present (None: none); `again` when it said hello anew. Said at the next `keep`."""
        self._wanted = hello
        if again:
            self._said = _UNSAID

    def keep(self, now_s: float, boot_ns: int, *, sequence: int, board_ms: int) -> None:
        """Connect when due, and say what has not been said."""
        self._now_s = now_s
        if self._peer is None and now_s >= self._retry_at_s:
            try:
                self._peer = connect_inbox(self._path)
            except InboxUnavailable:
                self._retry_at_s = now_s + self._retry_s
                self._retry_s = min(2 * self._retry_s, LAST_RETRY_S)
                return
            self._retry_s = FIRST_RETRY_S
            self._said = _UNSAID
            self._full = False
        if self._peer is None or self._said == self._wanted:
            return
        wanted = self._wanted
        if wanted is None:
            kind, body = Kind.BOARD_GONE, b""
        else:
            kind, body = Kind.BOARD, wanted
        if self._send(Header(kind, 0, sequence, board_ms, boot_ns, len(body)), body, b""):
            self._said = wanted

    def send_alive(self, boot_ns: int, *, sequence: int, board_ms: int) -> None:
        """Say ALIVE, if anyone listens and there is room."""
        if self._ready():
            self._send(Header(Kind.ALIVE, 0, sequence, board_ms, boot_ns, 0), b"", b"")

    def send_readings(self, header: Header, body: Buffer, identifiers: Buffer) -> str | None:
        """Hand a batch over unopened; else say why it is dropped."""
        if not self._ready():
            return "inbox_full" if self._peer is not None else "inbox_absent"
        if self._send(header, body, identifiers):
            return None
        return "inbox_full" if self._peer is not None else "inbox_absent"

    def hang_up(self) -> None:
        """The connection ended; the next `keep` that is due makes a new one."""
        if self._peer is not None:
            self._peer.close()
            self._peer = None
            self._retry_at_s = self._now_s + FIRST_RETRY_S

    def _ready(self) -> bool:
        return self._peer is not None and self._wanted is not None and self._said == self._wanted

    def _send(self, header: Header, body: Buffer, identifiers: Buffer) -> bool:
        """One message; wait for room once, and not again until some was found. False when it was not sent."""
        assert self._peer is not None
        parts = (header.pack(), body, identifiers)
        for attempt in (1, 2):
            try:
                self._peer.sendmsg(parts, (), socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            except BlockingIOError:
                if attempt == 2 or self._full:
                    break
                poll = select.poll()
                poll.register(self._peer, select.POLLOUT)
                poll.poll(FULL_WAIT_MS)
            except OSError:  # EPIPE, ECONNRESET: the anonymizer went away
                self.hang_up()
                return False
            else:
                self._full = False
                return True
        self._full = True
        return False
