"""What the tests of the bridge need around it: a board on a real pty, a real inbox, and the daemon as a child process."""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from agent.contracts.board import Channel
from agent.contracts.reading import HEADER, MAX_MESSAGE_BYTES, Header, Kind, unpack_header
from agent.local.sockets import bind_inbox
from firmware_bridge.port import Port
from firmware_bridge.schema import SCHEMA_HASH
from firmware_bridge.simulator.board import Board

WITHIN_S = 25.0
"""Five times what the slowest of these needs on the target."""

Message = tuple[Header, bytes, bytes]


def readable(port: Port, within_s: float) -> bool:
    """Wait until there is something to read, or the tty went away, at most `within_s`."""
    return bool(select.select([port], [], [], within_s)[0])


class Peer:
    """The anonymizer's end of reading.sock."""

    def __init__(self, path: Path) -> None:
        self._listener = bind_inbox(path)
        self._listener.setblocking(False)
        self._connections: list[socket.socket] = []
        self.accepted = 0
        self.messages: list[Message] = []

    def pump(self) -> None:
        """Accept and read what is there."""
        with contextlib.suppress(BlockingIOError):
            connection, _ = self._listener.accept()
            connection.setblocking(False)
            self._connections.append(connection)
            self.accepted += 1
        for connection in self._connections:
            with contextlib.suppress(BlockingIOError, ConnectionResetError):
                while packet := connection.recv(MAX_MESSAGE_BYTES):
                    header = unpack_header(packet)
                    end = HEADER.size + header.body_length
                    self.messages.append((header, packet[HEADER.size : end], packet[end:]))

    def kinds(self) -> list[Kind]:
        """What arrived, in order, without ALIVE."""
        return [header.kind for header, _, _ in self.messages if header.kind is not Kind.ALIVE]

    def of(self, kind: Kind) -> list[Message]:
        """The messages of one kind."""
        return [message for message in self.messages if message[0].kind is kind]

    def close(self) -> None:
        """Go away, as the anonymizer does when it is killed."""
        for connection in [*self._connections, self._listener]:
            connection.close()


class Bridge:
    """The daemon as a child process."""

    def __init__(self, config: Path, *options: str, fds: Sequence[int] = (), program: Sequence[str] = ()) -> None:
        self._stderr = config.with_name("bridge.stderr")
        self._status = config.parent / "status" / "firmware-bridge" / "street" / "status"
        with self._stderr.open("ab") as stderr:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    *(program or ("-m", "firmware_bridge")),
                    "--board",
                    "street",
                    "--config",
                    str(config),
                    *options,
                ],
                stderr=stderr,
                pass_fds=fds,
            )

    def status(self) -> dict[str, Any]:
        """The status file, or {}."""
        return dict(json.loads(self._status.read_text())) if self._status.exists() else {}

    def code(self) -> str:
        """The status code, or ""."""
        return str(self.status().get("code", ""))

    def output(self) -> str:
        """Everything it wrote to stderr."""
        return self._stderr.read_text()

    def written(self) -> bytes:
        """Status and stderr as bytes, to search."""
        return self._status.read_bytes() + self._stderr.read_bytes()

    def open_fds(self) -> int:
        """How many descriptors it holds."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def stop(self) -> int:
        """SIGTERM; the exit code, which must come within 2 s, times five."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(10)

    def end(self) -> None:
        """Make sure that it is gone."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def write_config(folder: Path, board_id: str | None = None) -> Path:
    """An agent.toml whose paths are all in `folder`."""
    config = folder / "agent.toml"
    config.write_text(
        f"""schema = 1
[paths]
public = "{folder}/public"
status = "{folder}/status"
reading_socket = "{folder}/reading.sock"
[clock]
trusted_when = "operator"
[mqtt]
host = "127.0.0.1"
tls = false
[radio]
backend = "bluez"
[boards.street]
port = "{folder}/tty"
"""
        + (f'board_id = "{board_id}"\n' if board_id else "")
    )
    return config


def make_board(folder: Path, *, board_id: str = "board-1", schema_hash: bytes = SCHEMA_HASH) -> Board:
    """A board with one channel, linked at `folder`/tty."""
    channel = Channel("street", "count", ("bike", "person"))
    return Board(folder / "tty", board_id=board_id, channels=(channel,), schema_hash=schema_hash)


def until(condition: Callable[[], object], *parts: Board | Peer | None, within_s: float = WITHIN_S) -> None:
    """Keep boards and peers going until `condition` holds; fail after `within_s`."""
    ends_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < ends_s, "what was waited for did not happen"
        time.sleep(0.005)
        for part in parts:
            if isinstance(part, Board):
                part.serve(0.005)
            elif part is not None:
                part.pump()
