"""A board that prints a line a window on a pty: what a bare script and Node-RED read. A kind one: it waits while nobody holds its port."""

import os
import pty
import select
import threading
import tty
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Self

LOOK_EVERY_S = 0.02


class LineBoard:
    """`link` becomes a symbolic link to its tty; what `say` is given goes out in order, once someone has opened that."""

    def __init__(self, link: Path) -> None:
        self._due: deque[bytes] = deque()
        self._end = threading.Event()
        self._fd, host_fd = pty.openpty()
        tty.setraw(host_fd)
        link.symlink_to(os.ttyname(host_fd))
        os.close(host_fd)  # from now on the pty tells whether the host holds it
        os.set_blocking(self._fd, False)
        self._thread = threading.Thread(target=self._serve)

    def say(self, line: bytes) -> None:
        """One line, without its end."""
        self._due.append(line + b"\n")

    @property
    def idle(self) -> bool:
        """Has all been handed over?"""
        return not self._due

    def _serve(self) -> None:
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        while not self._end.wait(LOOK_EVERY_S):
            events = dict(poll.poll(0)).get(self._fd, 0)
            if events & select.POLLHUP:
                continue  # nobody there
            if events & select.POLLIN:
                os.read(self._fd, 4096)  # an echo, before the host has set its port
            while self._due:
                line = self._due[0]
                assert os.write(self._fd, line) == len(line)
                self._due.popleft()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()
        os.close(self._fd)
