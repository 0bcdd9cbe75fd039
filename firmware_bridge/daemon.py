"""dtpr-firmware-bridge: one tty in, the anonymizer's inbox out. One blocking loop; bodies and identifiers pass through unopened.

Invariant: every reading of an undamaged frame is handed to the inbox or counted as dropped under a reason; none is kept.
"""

import logging
import select
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

from agent.contracts.public import MAX_STATE_BYTES, STATE, says_demo
from agent.contracts.reading import Header, Kind
from agent.contracts.status import STATUS, WRITE_EVERY_S, Status, bucket
from agent.errors import PortUnavailable
from agent.local.clock import OPERATOR, Clock
from agent.local.counters import ExactCounters
from agent.local.files import ReplacedFile
from agent.local.notify import Watchdog, notify
from agent.local.settings import BoardPort, Paths
from firmware_bridge.frame import Decoder, Frame, Type, encode
from firmware_bridge.inbox import Inbox
from firmware_bridge.link import Condition, Link, Verdict
from firmware_bridge.port import Port
from firmware_bridge.schema import SCHEMA_HASH
from firmware_bridge.tally import Tally

DAEMON = "firmware-bridge"

REOPEN_EVERY_S = 0.5
"""How often an absent tty is looked for; it must be back within 5 s."""

TICK_S = 0.2

INBOX_ABSENT = "inbox_absent"

_log = logging.getLogger(DAEMON)
_HELLO_REQUEST = encode(Frame(Type.HELLO_REQUEST, 0, 0, 0, b"", b""), SCHEMA_HASH)
_WORDS = {
    Condition.PORT_ABSENT: "the board's tty is absent or busy: look at the cable, and `port` in agent.toml; it is tried twice a second",
    Condition.BOARD_SILENT: "the tty is open, no board says hello on it: look at its power, and `baud` in agent.toml; it is asked every second",
    Condition.BOARD_REFUSED: "the board is refused",
    Condition.UP: "readings are handed over",
    INBOX_ABSENT: "the anonymizer is not there, look at its journal; readings are dropped",
}


class Bridge:
    """The daemon's state and loop. `memory` says in words whether memory is locked."""

    def __init__(self, board: BoardPort, paths: Paths, exact_counters_fd: int | None, memory: str) -> None:
        self._board = board
        self._counters = ExactCounters(exact_counters_fd, DAEMON)
        self._state_path = paths.public / STATE
        self._status_file = ReplacedFile(paths.status / DAEMON / board.name / STATUS)
        self._watchdog = Watchdog()
        self._memory = memory
        self._clock = Clock(OPERATOR)  # only boot time is read here; UTC belongs to the anonymizer
        self._link = Link(SCHEMA_HASH, board.board_id)
        self._decoder = Decoder(SCHEMA_HASH)
        self._inbox = Inbox(paths.reading_socket)
        self._tally = Tally()
        self._port: Port | None = None
        self._port_why = ""
        self._open_at_s = self._status_at_s = float("-inf")
        self._code = ""
        self._seen_damage = dict(self._decoder.damaged)
        self._seen_missing = 0

    def run(self) -> None:
        """Run until SIGTERM or SIGINT. Raises DemoOnly when exact counters were asked for under another policy."""
        with _stop_signal() as stop:
            notify("READY=1")
            while not self._wait(stop):
                self._tend()
            notify("STOPPING=1")
            self._close_port("stopping")
            self._say()
            self._inbox.hang_up()

    def _wait(self, stop: socket.socket) -> bool:
        """Wait for bytes, the end of a connection, or a tick; read what came. True when told to stop."""
        poll = select.poll()
        poll.register(stop, select.POLLIN)
        if self._port is not None:
            poll.register(self._port.fileno(), select.POLLIN)
        if self._inbox.connected:
            poll.register(self._inbox.fileno(), 0)  # only its end is of interest
        ready = {fd for fd, _ in poll.poll(TICK_S * 1000)}
        if self._inbox.connected and self._inbox.fileno() in ready:
            self._inbox.hang_up()
        if self._port is not None and self._port.fileno() in ready:
            self._read(self._port)
        return stop.fileno() in ready

    def _read(self, port: Port) -> None:
        try:
            chunk = port.read()
        except PortUnavailable as gone:
            self._close_port(gone.why)
            return
        received_ns = self._clock.boot_ns()
        now_s = time.monotonic()
        try:
            for frame in self._decoder.feed(chunk):
                self._take(frame, received_ns, now_s)
        finally:
            port.clear()

    def _take(self, frame: Frame, received_ns: int, now_s: float) -> None:
        self._tally.add("frames", 1, now_s)
        verdict = self._link.hear(frame, now_s)
        if verdict is Verdict.NOTHING:
            return
        if verdict is Verdict.HELLO:
            self._inbox.declare(self._link.hello, again=True)
            self._say()
            return
        reason: str | None = verdict
        if verdict is Verdict.FORWARD:
            header = Header(
                Kind.READINGS, frame.reading_count, frame.sequence, frame.board_ms, received_ns, len(frame.body)
            )
            reason = self._inbox.send_readings(header, frame.body, frame.identifiers)
        if reason is None:
            self._tally.add("readings", frame.reading_count, now_s)
        else:
            self._tally.add(f"dropped_{reason}", frame.reading_count, now_s)

    def _tend(self) -> None:
        """Everything that is due by time."""
        now_s = time.monotonic()
        if self._port is None and self._inbox.connected and now_s >= self._open_at_s:
            # not before somebody takes readings: a board begins to send when it has been asked
            self._open_at_s = now_s + REOPEN_EVERY_S
            self._open_port()
        due = self._link.tick(now_s)
        if due.ask_hello and self._port is not None:
            try:
                self._port.write(_HELLO_REQUEST)
            except PortUnavailable as gone:
                self._close_port(gone.why)
        self._say()
        if due.alive:
            self._inbox.send_alive(
                self._clock.boot_ns(), sequence=self._link.sequence.last or 0, board_ms=self._link.board_ms
            )
        self._count_damage(now_s)
        self._report(now_s)

    def _say(self) -> None:
        """Keep the anonymizer told whether a board is there."""
        self._inbox.declare(self._link.hello)
        self._inbox.keep(
            time.monotonic(),
            self._clock.boot_ns(),
            sequence=self._link.sequence.last or 0,
            board_ms=self._link.board_ms,
        )

    def _open_port(self) -> None:
        try:
            self._port = Port(self._board.port, self._board.baud)
        except PortUnavailable as absent:
            self._port_why = absent.why
            return
        self._decoder.clear()
        self._link.opened()

    def _close_port(self, why: str) -> None:
        if self._port is not None:
            self._port.close()
            self._port = None
        self._port_why = why
        self._decoder.clear()
        self._link.closed()

    def _count_damage(self, now_s: float) -> None:
        """Take over what the decoder and the sequence counted since the last tick."""
        for kind, count in self._decoder.damaged.items():
            if count > self._seen_damage[kind]:
                self._tally.add(f"damaged_{kind}", count - self._seen_damage[kind], now_s)
                self._seen_damage[kind] = count
        missing = self._link.sequence.missing
        if missing > self._seen_missing:
            self._tally.add("missing_frames", missing - self._seen_missing, now_s)
            self._seen_missing = missing

    def _report(self, now_s: float) -> None:
        self._watchdog.feed()
        code = self._link.condition.value
        if not self._inbox.connected and (code == Condition.UP or self._port is None):
            code = INBOX_ABSENT
        if code != self._code or now_s >= self._status_at_s:
            self._write_status(code, now_s)
        if self._counters.due:
            self._count(now_s)

    def _write_status(self, code: str, now_s: float) -> None:
        words = _WORDS[code]
        if code == Condition.BOARD_REFUSED and self._link.refusal is not None:
            words = str(self._link.refusal)
        elif code == Condition.PORT_ABSENT and self._port_why:
            words = f"{self._board.port}: {self._port_why}; {words}"
        if code != self._code:
            _log.info("board %s: %s: %s", self._board.name, code, words)
        self._code = code
        self._status_at_s = now_s + WRITE_EVERY_S
        counters = {name: bucket(count) for name, count in sorted(self._tally.last_day(now_s).items())}
        counters["memory"] = self._memory
        self._status_file.replace(Status(DAEMON, code == Condition.UP, code, words, counters).encode())

    def _count(self, now_s: float) -> None:
        """Exact counters begin once the anonymizer says that the policy is the demo's; raise DemoOnly when it is another."""
        if not self._counters.ask(self._state_path, MAX_STATE_BYTES, says_demo):
            return
        total = self._tally.total
        names = [name for name in self._tally.last_day(now_s) if name.startswith("dropped_")]
        links = {Condition.UP: "up", Condition.BOARD_REFUSED: "refused"}
        self._counters.write(
            {
                "link": links.get(self._link.condition, "down"),
                "frames": total("frames"),
                "readings": total("readings"),
                "dropped": {name.removeprefix("dropped_"): total(name) for name in names},
                "damaged": sum(self._decoder.damaged.values()),
                "missing_frames": self._link.sequence.missing,
            }
        )


@contextmanager
def _stop_signal() -> Iterator[socket.socket]:
    """A socket that becomes readable at SIGTERM or SIGINT, so that poll wakes without a race."""
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)}
    previous_fd = signal.set_wakeup_fd(writer.fileno())
    try:
        yield reader
    finally:
        signal.set_wakeup_fd(previous_fd)
        for number, action in before.items():
            signal.signal(number, action)
        reader.close()
        writer.close()
