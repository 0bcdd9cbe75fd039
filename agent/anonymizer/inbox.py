"""The two inboxes as the anonymizer holds them: accept, read, overwrite; nothing is ever answered.

Invariant: a message lies in one buffer that is reused for all and zeroed when it has been dealt with; only memoryview slices of it
are handed on.
"""

import selectors
import socket
from collections.abc import Callable

MAX_CONNECTIONS = 8
"""One producer each, some that restarted, and no more."""

MAX_MESSAGES_A_TURN = 64
"""Then windows and the other inbox have their turn."""


class Inbox:
    """A listening SOCK_SEQPACKET socket and its connections, registered with a selector.

    `on_message(connection number, message)` and `on_end(connection number)` must not raise; `message` is valid during the call only.
    """

    def __init__(
        self,
        listener: socket.socket,
        selector: selectors.BaseSelector,
        buffer: bytearray,
        on_message: Callable[[int, memoryview], None],
        on_end: Callable[[int], None],
    ) -> None:
        self._listener = listener
        self._selector = selector
        self._buffer = memoryview(buffer)
        self._zeros = memoryview(bytes(len(buffer)))
        self._on_message = on_message
        self._on_end = on_end
        self._connections: dict[int, socket.socket] = {}
        self._last = 0
        selector.register(listener, selectors.EVENT_READ, (self, 0))

    def serve(self, number: int) -> None:
        """Connection `number` is readable, or the listener (0) is."""
        if number == 0:
            self._accept()
        elif number in self._connections:
            self._read(number)

    def close(self) -> None:
        """Close everything; the socket's file stays for whoever listens next."""
        for peer in [*self._connections.values(), self._listener]:
            self._selector.unregister(peer)
            peer.close()
        self._connections.clear()

    def _accept(self) -> None:
        try:
            peer, _ = self._listener.accept()
        except OSError:
            return  # it went away before we looked, or we are out of descriptors: the next turn tries again
        if len(self._connections) >= MAX_CONNECTIONS:
            peer.close()
            return
        peer.setblocking(False)
        peer.shutdown(socket.SHUT_WR)
        self._last += 1
        self._connections[self._last] = peer
        self._selector.register(peer, selectors.EVENT_READ, (self, self._last))

    def _read(self, number: int) -> None:
        peer = self._connections[number]
        for _ in range(MAX_MESSAGES_A_TURN):
            try:
                length, _, flags, _ = peer.recvmsg_into([self._buffer])
            except BlockingIOError:
                return
            except OSError:
                length, flags = 0, 0
            if length == 0:  # the end; an empty message is none of ours and ends the connection too
                self._selector.unregister(peer)
                del self._connections[number]
                peer.close()
                self._on_end(number)
                return
            with self._buffer[: 0 if flags & socket.MSG_TRUNC else length] as message:
                self._on_message(number, message)
            self._buffer[:length] = self._zeros[:length]
