"""A TCP line in the tests' hand, between a publisher and its broker: cut, silent, slow."""

import contextlib
import enum
import socket
import threading
import time
from types import TracebackType
from typing import Self

SLOW_BYTES = 1024
SLOW_EVERY_S = 0.1


class Mode(enum.Enum):
    """PASS: all goes through. REFUSE: connections are closed at once. SILENT: everything sent, either way, vanishes and nothing ends, as when
    a cable is pulled. SLOW: what the publisher sends trickles."""

    PASS = enum.auto()
    REFUSE = enum.auto()
    SILENT = enum.auto()
    SLOW = enum.auto()


class Line:
    """Listens on `port` and connects to the broker's; `mode` may change at any time."""

    def __init__(self, broker_port: int) -> None:
        self.mode = Mode.PASS
        self.swallowed = 0
        """Octets from the publisher that vanished."""
        self._broker_port = broker_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._ends: list[socket.socket] = []

    def cut(self) -> None:
        """Every connection ends for both sides."""
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def saw(self, octets: bytes, out: bool) -> None:
        """What passes; `out` is from the publisher."""

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self.mode is Mode.REFUSE:
                    client.close()
                    continue
                try:
                    broker = socket.create_connection(("127.0.0.1", self._broker_port), 5)
                except OSError:
                    client.close()
                    continue
                broker.settimeout(None)
                self._ends += [client, broker]
                for source, sink, out in ((client, broker, True), (broker, client, False)):
                    threading.Thread(target=self._pipe, args=(source, sink, out), daemon=True).start()

    def _pipe(self, source: socket.socket, sink: socket.socket, out: bool) -> None:
        with source, sink, contextlib.suppress(OSError):
            while octets := source.recv(SLOW_BYTES if self.mode is Mode.SLOW else 65536):
                if self.mode is Mode.SILENT:
                    self.swallowed += len(octets) if out else 0
                    continue
                if self.mode is Mode.SLOW and out:
                    time.sleep(SLOW_EVERY_S)
                self.saw(octets, out)
                sink.sendall(octets)
            while self.mode is Mode.SILENT:  # that one side has gone is not heard either
                time.sleep(0.05)

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.mode = Mode.PASS
        self._listener.close()
        self.cut()
