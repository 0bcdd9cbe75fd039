"""The sensor board's tty. pyserial opens it (exclusive, raw, line speed); reading goes through os.readv into one reused buffer.

pyserial's own `read` returns `bytes`, and an identifier must never become one.
"""

import os
import termios
from pathlib import Path

import serial  # type: ignore[import-untyped]  # pyserial ships no types

from agent.errors import PortUnavailable
from firmware_bridge.frame import CHUNK_BYTES

_VMIN = 6, termios.VMIN
_ZEROS = memoryview(bytes(CHUNK_BYTES))


class Port:
    """An open tty; raise PortUnavailable when it cannot be opened, and later when it went away."""

    def __init__(self, path: Path, baud: int) -> None:
        self._path = path
        try:
            self._serial = serial.Serial(str(path), baud, timeout=0, exclusive=True)
        except (OSError, ValueError) as bad:  # SerialException is an OSError; ValueError is a line speed
            raise PortUnavailable(
                str(path), why=_why(bad), remedy="is the board plugged in, and the port free?"
            ) from None
        self._fd: int = self._serial.fileno()
        try:
            # With VMIN 0, as pyserial leaves it, "nothing yet" and "gone" both read as 0 bytes; with 1 they differ.
            attributes = termios.tcgetattr(self._fd)
            attributes[_VMIN[0]][_VMIN[1]] = 1
            termios.tcsetattr(self._fd, termios.TCSANOW, attributes)
        except termios.error:
            self._serial.close()
            raise PortUnavailable(str(path), why="went away") from None
        self._buffer = bytearray(CHUNK_BYTES)
        self._view = memoryview(self._buffer)
        self._filled = 0

    def fileno(self) -> int:
        """The descriptor, for poll."""
        return self._fd

    def read(self) -> memoryview:
        """What has arrived, possibly nothing; valid until `clear` or the next `read`. Raises PortUnavailable."""
        self.clear()
        try:
            self._filled = os.readv(self._fd, [self._buffer])
        except BlockingIOError:
            return self._view[:0]
        except OSError as bad:
            raise PortUnavailable(str(self._path), why=_why(bad)) from None
        if self._filled == 0:
            raise PortUnavailable(str(self._path), why="hung up")
        return self._view[: self._filled]

    def clear(self) -> None:
        """Overwrite what was read."""
        self._view[: self._filled] = _ZEROS[: self._filled]
        self._filled = 0

    def write(self, data: bytes) -> None:
        """Send, or give up what the line does not take now; raise PortUnavailable when the tty went away."""
        try:
            os.write(self._fd, data)
        except BlockingIOError:
            return  # a board that does not read; the caller asks again
        except OSError as bad:
            raise PortUnavailable(str(self._path), why=_why(bad)) from None

    def close(self) -> None:
        """Overwrite the buffer and close; safe to call twice."""
        self.clear()
        self._serial.close()


def _why(bad: Exception) -> str:
    number = getattr(bad, "errno", None)
    return os.strerror(number) if number else str(bad)[:120]
