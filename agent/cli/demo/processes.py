"""The demo's programs: real processes, watched, and started again when they die, as systemd would.

One thread, one selector. What a program prints on standard output as NDJSON, or writes to its exact-counters descriptor,
arrives as `Line`s; standard error goes to a file each. `processes.json` in the folder names every process id, so that
anyone can kill one and watch.
"""

import contextlib
import ctypes
import json
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

_PR_SET_PDEATHSIG = 1

RESTART_AFTER_S = 0.5
END_WITHIN_S = 4.0
MAX_LINE_BYTES = 1024 * 1024
"""A raw capture of our largest message is far below; more without a newline is not a line of ours."""


@dataclass(frozen=True, slots=True)
class Program:
    """How to start one program; it is started again when it ends by itself."""

    name: str
    argv: Sequence[str]
    ndjson: bool = False
    counters: bool = False
    stdin: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """One JSON object from a program."""

    program: str
    value: Mapping[str, Any]


@dataclass(slots=True)
class _Running:
    program: Program
    process: subprocess.Popen[bytes]


class Processes:
    """Starts, watches, restarts and ends programs; use as a context manager so that none outlives the demo."""

    def __init__(self, folder: Path, output: Path) -> None:
        self._folder = folder
        self._output = output
        self._selector = selectors.DefaultSelector()
        self._running: dict[str, _Running] = {}
        self._waiting: dict[str, tuple[Program, float]] = {}
        self._finishing: set[str] = set()
        self._buffers: dict[int, bytearray] = {}
        self.restarts: dict[str, int] = {}

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, *_: object) -> None:
        self.end(*reversed(list(self._running)))
        for key in list(self._selector.get_map().values()):
            self._close(key.fileobj)  # type: ignore[arg-type]  # only files of ours are registered
        self._selector.close()

    def start(self, program: Program) -> None:
        """Start `program`; raises OSError when it cannot be executed at all."""
        argv = list(program.argv)
        passed: tuple[int, ...] = ()
        streams: list[BinaryIO] = []
        if program.counters:
            reader, writer = os.pipe()
            passed = (writer,)
            argv += ["--exact-counters", str(writer)]
            streams.append(os.fdopen(reader, "rb", buffering=0))
        with (self._output / f"{program.name}.err").open("ab") as errors:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE if program.stdin else subprocess.DEVNULL,
                stdout=subprocess.PIPE if program.ndjson else errors,
                stderr=errors,
                pass_fds=passed,
                start_new_session=True,  # Ctrl-C reaches the demo alone, which ends the others in order
                preexec_fn=_die_with_parent,  # one thread; and what the demo started dies with it, however it ends
                bufsize=0,
            )
        for fd in passed:
            os.close(fd)
        if process.stdout is not None:
            streams.append(process.stdout)  # type: ignore[arg-type]  # unbuffered binary pipe
        for stream in streams:
            os.set_blocking(stream.fileno(), False)
            self._buffers[stream.fileno()] = bytearray()
            self._selector.register(stream, selectors.EVENT_READ, program.name)
        self._running[program.name] = _Running(program, process)
        self._write_pids()

    def poll(self, timeout_s: float) -> Iterator[Line]:
        """Wait up to `timeout_s` for lines, yield them, and start again what has died."""
        for key, _ in self._selector.select(timeout_s):
            yield from self._read(key.fileobj, str(key.data))  # type: ignore[arg-type]  # only files of ours
        for name, running in list(self._running.items()):
            if running.process.poll() is not None and name not in self._waiting.keys() | self._finishing:
                self.restarts[name] = self.restarts.get(name, 0) + 1
                self._waiting[name] = (running.program, time.monotonic() + RESTART_AFTER_S)
        for name, (program, at) in list(self._waiting.items()):
            if time.monotonic() >= at:
                del self._waiting[name]
                self.start(program)

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to one program, if it still runs."""
        running = self._running.get(name)
        if running is not None and running.process.poll() is None:
            running.process.send_signal(number)

    def finish(self, name: str) -> None:
        """Ask one program to come to its end in its own time (SIGTERM); it is not started again."""
        self._finishing.add(name)
        self._waiting.pop(name, None)
        self.signal(name, signal.SIGTERM)

    def end(self, *names: str) -> None:
        """End programs in this order with SIGTERM, each killed if it has not gone in a few seconds; none is restarted."""
        for name in names:
            self._waiting.pop(name, None)
            running = self._running.pop(name, None)
            if running is None:
                continue
            process = running.process
            if process.stdin is not None:
                process.stdin.close()
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
                try:
                    process.wait(END_WITHIN_S)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        self._write_pids()

    def _read(self, stream: BinaryIO, name: str) -> Iterator[Line]:
        buffer = self._buffers[stream.fileno()]
        chunk = stream.read(65536)
        if chunk is None:
            return
        if not chunk:
            self._close(stream)
            return
        buffer += chunk
        while (end := buffer.find(b"\n")) >= 0:
            text = bytes(buffer[:end])
            del buffer[: end + 1]
            with contextlib.suppress(ValueError):  # a line cut by a kill
                value = json.loads(text)
                if isinstance(value, dict):
                    yield Line(name, value)
        if len(buffer) > MAX_LINE_BYTES:
            buffer.clear()

    def _close(self, stream: BinaryIO) -> None:
        self._selector.unregister(stream)
        self._buffers.pop(stream.fileno(), None)
        stream.close()

    def _write_pids(self) -> None:
        pids = {name: running.process.pid for name, running in self._running.items()}
        temporary = self._folder / ".processes.json.new"
        temporary.write_text(json.dumps(pids), encoding="ascii")
        temporary.rename(self._folder / "processes.json")


def _die_with_parent() -> None:
    """Called in a fresh child: the kernel kills it when the thread that started it ends, however that happens."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
