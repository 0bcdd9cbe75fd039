"""The board's end of the serial line: a pty that behaves like a USB sensor board with flow control.

Invariant: a READINGS frame counts as sent when its last byte is in the pty, and none leaves before the host asked for our hello
on this connection. None is dropped: while the host is away or does not read, `ready` is False and the street waits.
"""

import contextlib
import hashlib
import os
import pty
import select
import time
import tty
from collections import deque
from pathlib import Path

from agent.contracts import board
from agent.errors import PortUnavailable
from agent.wire.buffers import Buffer
from firmware_bridge.frame import CHUNK_BYTES, Decoder, Frame, Type, encode

FIRMWARE = "dtpr-street-simulator 1"
HEARTBEAT_EVERY_S = 1.0

_HUNG_UP_POLL_S = 0.02
"""A pty whose other end is closed reports so at once and for ever: look again after this."""


class Board:
    """A simulated board on a new pty, with `link` as a symbolic link to its tty."""

    def __init__(self, link: Path, *, board_id: str, channels: tuple[board.Channel, ...], schema_hash: bytes) -> None:
        self._schema_hash = schema_hash
        self._hello = board.Board(
            board_id, FIRMWARE, hashlib.sha256(FIRMWARE.encode()).digest(), schema_hash, channels
        ).encode()
        self._decoder = Decoder(schema_hash)
        self._sequence = 0
        self._started_s = time.monotonic() - int.from_bytes(os.urandom(3), "little") / 1000  # a board that runs already
        self._control: deque[Type] = deque()  # HELLO and HEARTBEAT that are due
        self._readings: deque[tuple[int, Buffer, Buffer]] = deque()
        self._sending = b""  # what is left of the frame that is being written
        self._sending_readings = False
        self.readings_sent = 0
        self.frames_sent = 0
        self._heartbeat_at_s = 0.0
        self._present = False  # does anyone hold the tty open?
        self._greeted = False  # has that someone asked for our hello?
        self._fd, tty_fd = pty.openpty()
        tty.setraw(tty_fd)
        self.tty = os.ttyname(tty_fd)
        os.close(tty_fd)  # from now on the pty tells whether the host holds it
        os.set_blocking(self._fd, False)
        self._link = link
        self._place_link()

    @property
    def ready(self) -> bool:
        """Is the host there, greeted, and everything so far in its hands?"""
        return self._greeted and self.idle and not self._control and not self._sending

    @property
    def idle(self) -> bool:
        """Have all readings been sent?"""
        return not self._readings

    def board_ms(self) -> int:
        """The board's monotonic clock, milliseconds from an origin of its own."""
        return int((time.monotonic() - self._started_s) * 1000)

    def serve(self, for_s: float) -> None:
        """Keep the protocol going for about `for_s` seconds: answer, beat, write what waits."""
        ends_s = time.monotonic() + for_s
        while True:
            self._beat()
            self._write()
            left_s = ends_s - time.monotonic()
            self._listen(max(left_s, 0.0))
            if left_s <= 0:
                return

    def send(self, reading_count: int, body: Buffer, identifiers: Buffer) -> None:
        """Queue one READINGS frame; the caller waits for `ready` first, which bounds the queue."""
        self._readings.append((reading_count, body, identifiers))
        self._write()

    def close(self) -> None:
        """Hang up and remove the link if it is still ours."""
        with contextlib.suppress(OSError):
            if os.readlink(self._link) == self.tty:
                self._link.unlink()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _place_link(self) -> None:
        if self._link.exists() and not self._link.is_symlink():
            self.close()
            raise PortUnavailable(
                str(self._link), why="is there and not a symbolic link", remedy="choose another path for --link"
            )
        temporary = self._link.with_name(f".{self._link.name}.new")
        try:
            temporary.unlink(missing_ok=True)
            temporary.symlink_to(self.tty)
            temporary.rename(self._link)
        except OSError as bad:
            self.close()
            raise PortUnavailable(str(self._link), why=bad.strerror or str(bad), remedy="choose another path") from None

    def _listen(self, timeout_s: float) -> None:
        poll = select.poll()
        poll.register(self._fd, select.POLLIN | (select.POLLOUT if self._due() else 0))
        events = dict(poll.poll(timeout_s * 1000)).get(self._fd, 0)
        if events & select.POLLHUP:
            self._absent()
            time.sleep(min(timeout_s, _HUNG_UP_POLL_S))
            return
        if not self._present:
            self._present = True
            self._control.append(Type.HELLO)
        if events & select.POLLIN:
            self._answer()
        self._write()

    def _absent(self) -> None:
        """The host is gone: a frame cut short is sent again, whole, to the next one."""
        self._present = self._greeted = self._sending_readings = False
        self._sending = b""
        self._control.clear()
        self._decoder.clear()
        with contextlib.suppress(OSError):
            while os.read(self._fd, CHUNK_BYTES):
                pass  # requests of a host that is gone

    def _answer(self) -> None:
        try:
            heard = os.read(self._fd, CHUNK_BYTES)
        except OSError:
            return  # hung up between poll and read
        for frame in self._decoder.feed(memoryview(heard)):
            if frame.type is Type.HELLO_REQUEST:
                self._control.append(Type.HELLO)
                self._greeted = True

    def _beat(self) -> None:
        now_s = time.monotonic()
        if self._present and now_s >= self._heartbeat_at_s and Type.HEARTBEAT not in self._control:
            self._heartbeat_at_s = now_s + HEARTBEAT_EVERY_S
            self._control.append(Type.HEARTBEAT)

    def _due(self) -> bool:
        """Is there anything that may be written now?"""
        return bool(self._sending or self._control or (self._readings and self._greeted))

    def _write(self) -> None:
        """Write frames until none is due or the pty is full."""
        while self._present and self._due():
            if not self._sending:
                self._begin()
            try:
                self._sending = self._sending[os.write(self._fd, self._sending) :]
            except OSError:
                return  # full (flow control), or hung up: the next poll says which
            if self._sending_readings and not self._sending:
                self.readings_sent += self._readings.popleft()[0]
                self.frames_sent += 1

    def _begin(self) -> None:
        """Encode the next frame: its sequence number and board time are those of sending."""
        self._sending_readings = not self._control
        if self._control:
            kind = self._control.popleft()
            body = self._hello if kind is Type.HELLO else b""
            frame = Frame(kind, self._sequence, self.board_ms(), 0, body, b"")
        else:
            count, readings_body, identifiers = self._readings[0]
            frame = Frame(Type.READINGS, self._sequence, self.board_ms(), count, readings_body, identifiers)
        self._sending = encode(frame, self._schema_hash)
        self._sequence = (self._sequence + 1) % (1 << 32)
