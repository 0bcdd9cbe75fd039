"""A broker on a raw socket that does to its clients what a script says."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

CONNACK_5 = bytes.fromhex("2003000000")
CONNACK_311 = bytes.fromhex("20020000")


class HostileBroker:
    """Accepts on loopback, reads each client's CONNECT, then runs `script(client, number of the connection, from 0)`."""

    def __init__(self, script: Callable[[socket.socket, int], None]) -> None:
        self._script = script
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.connects: list[bytes] = []
        self.connected_at: list[float] = []

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.connected_at.append(time.monotonic())
                threading.Thread(target=self._serve, args=(client, len(self.connected_at) - 1), daemon=True).start()

    def _serve(self, client: socket.socket, number: int) -> None:
        with client, contextlib.suppress(OSError):
            client.settimeout(25)
            self.connects.append(client.recv(65536))
            self._script(client, number)

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def hear_out(client: socket.socket) -> None:
    """Read until the client ends the connection."""
    while client.recv(65536):
        pass
