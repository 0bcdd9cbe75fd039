"""How long after a window's close its release is acknowledged by a broker on loopback: the whole unit, and its publisher alone.

The whole unit has its board, beacon and virtual radio, and a relay in front of the broker sees the PUBACK. Of the publisher alone there are two in
one run: ours as it is, and ours without the wake-up, which looks every 0.2 s.
"""

import contextlib
import json
import statistics
import tempfile
import threading
import time
from pathlib import Path

from agent.anonymizer.daemon import RELEASE_AFTER_NS
from agent.cli.demo.processes import Processes
from agent.local import settings
from agent.local.clock import OPERATOR, Clock
from agent.publisher.connection import Login
from agent.publisher.session import Session
from tests.bench.record import Most, record
from tests.brokers import Mosquitto
from tests.publisher.lines import Line
from tests.publisher.unit_folders import UnitFolder, wait_until
from tests.whole_unit import GRACE_S, WINDOW_S, Way, whole_unit

WINDOWS = 60
START_S = 120.0
PUBLISH, PUBACK = 3, 4
"""MQTT 5, table 2-1."""


def latencies_ms(folder: Path, *, wake: bool) -> tuple[list[float], float]:
    """From the checkpoint's replacement to PUBACK, for each of WINDOWS live releases; and a release's bytes on the wire."""
    unit = UnitFolder(folder / "unit")
    unit.announce()
    unit.release_windows(0, 1)
    acknowledged: dict[int, float] = {}
    with Mosquitto(folder) as broker:
        unit.configure(broker.port)
        session = Session(settings.load(unit.config), lambda: (None, Login(None, None)))
        if not wake:
            session._watch.close()
        taken = session.backlog.acknowledge

        def acknowledge(mid: int) -> None:
            taken(mid)
            acknowledged.setdefault(session.backlog.progress.acknowledged, time.monotonic())

        session.backlog.acknowledge = acknowledge  # type: ignore[method-assign]  # the bench looks over its shoulder

        def run() -> None:
            while not session.stopping:
                session.step()

        thread = threading.Thread(target=run)
        thread.start()
        try:
            wait_until(lambda: 1 in acknowledged, "the first release")
            found = []
            for number in range(1, WINDOWS + 1):
                time.sleep(0.05 + 0.2 * (number * 7 % 13) / 13)  # at any phase of the other's looking
                began = time.monotonic()
                unit.release_windows(number, 1)
                wait_until(lambda at=number + 1: at in acknowledged, "PUBACK")  # type: ignore[misc]  # mypy cannot type a lambda's default
                found.append((acknowledged[number + 1] - began) * 1000)
        finally:
            session.stopping = True
            thread.join()
            session.stop()
    sent = [line for line in broker.log.splitlines() if "Received PUBLISH" in line and "agg/" in line]
    sizes = [int(line.rpartition("(")[2].split()[0]) for line in sent]
    return found, statistics.fmean(sizes)


class Tap(Line):
    """A line that knows, by the release's window (Unix seconds of its begin), when its PUBACK came (Unix seconds)."""

    def __init__(self, broker_port: int) -> None:
        super().__init__(broker_port)
        self.acknowledged: dict[int, float] = {}
        self._under_way: dict[bytes, int] = {}

    def saw(self, octets: bytes, out: bool) -> None:
        """Every packet of what was read at once: on loopback whole ones, as each is written at once."""
        now, at = Clock(OPERATOR).utc_ns() / 1e9, 0
        while at < len(octets):
            length, shift, body = 0, 0, at + 1
            while True:
                length |= (octets[body] & 0x7F) << shift
                shift, body = shift + 7, body + 1
                if octets[body - 1] < 0x80:
                    break
            packet = octets[body : body + length]
            if out and octets[at] >> 4 == PUBLISH:
                name = 2 + int.from_bytes(packet[:2])
                if b"/agg/" in packet[2:name]:
                    begin = json.loads(packet[packet.index(b"[{") :])[0]["bt"]
                    self._under_way[packet[name : name + 2]] = begin
            elif not out and octets[at] >> 4 == PUBACK and packet[:2] in self._under_way:
                self.acknowledged.setdefault(self._under_way.pop(packet[:2]), now)
            at = body + length


def from_close_ms(folder: Path) -> list[float]:
    """From the instant at which a window closes, its end and the grace, to the PUBACK of its release."""
    with contextlib.ExitStack() as stack:
        short = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dtpr-latency-")))  # Unix sockets lie below
        broker = stack.enter_context(Mosquitto(folder))
        tap = stack.enter_context(Tap(broker.port))
        stage, (radio, *daemons) = whole_unit(short, Way("127.0.0.1", tap.port))
        processes = stack.enter_context(Processes(short, stage.output))
        processes.start(radio)
        wait_until((stage.radio / "hci0").exists, "the radio", START_S)
        for program in daemons:
            processes.start(program)
        wait_until(lambda: bool(tap.acknowledged), "the first release", START_S)
        skip = max(tap.acknowledged) + 3 * WINDOW_S  # what waited for the connection, and its announcements
        wait_until(lambda: max(tap.acknowledged) >= skip + WINDOWS * WINDOW_S, "the releases", START_S + 2 * WINDOWS)
    return [1000 * (at - begin - WINDOW_S - GRACE_S) for begin, at in sorted(tap.acknowledged.items()) if begin > skip]


def test_the_whole_unit(tmp_path: Path) -> None:
    found = from_close_ms(tmp_path)
    assert len(found) >= WINDOWS
    assert min(found) > 1000 * RELEASE_AFTER_NS / 1e9, "a PUBACK before its window was logged: the relay reads it wrong"
    middle = statistics.median(found)
    record(
        {
            "window close to PUBACK, ms, median": middle,
            "window close to PUBACK, ms, 95 %": statistics.quantiles(found, n=20)[-1],
        },
        {"window close to PUBACK, ms, median": Most(25)},
    )


def test_the_publisher_alone(tmp_path: Path) -> None:
    ours, size = latencies_ms(tmp_path / "woken", wake=True)
    looking, _ = latencies_ms(tmp_path / "looking", wake=False)
    middle, before = statistics.median(ours), statistics.median(looking)
    record(
        {
            "checkpoint to PUBACK, ms, median": middle,
            "checkpoint to PUBACK, ms, 95 %": statistics.quantiles(ours, n=20)[-1],
            "checkpoint to PUBACK when looking every 0.2 s, ms, median": before,
            "ratio_woken_to_looking_latency": middle / before,
            "payload of a release with two classes, bytes": size,
        }
    )
