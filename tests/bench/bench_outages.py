"""Lost and changed messages over three faults, in one run: our publisher, and the ten-line paho script that everyone writes first.

The script reads lines and publishes each at QoS 1 from an unbounded queue in memory with a persistent session; a supervisor starts it again
at once when it dies. Lines are fed while it lives, as a serial port would bring them. Ours gets as many releases through its log.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench.record import record
from tests.brokers import Mosquitto
from tests.publisher import test_outages as outages
from tests.publisher.lines import Line, Mode
from tests.publisher.listeners import Listener
from tests.publisher.unit_folders import wait_until

BARE = """
import sys, paho.mqtt.client as mqtt
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, "bare", clean_session=False)
client.max_queued_messages_set(0)
client.reconnect_delay_set(1, 1)
client.connect_async("127.0.0.1", int(sys.argv[1]), 5)
client.loop_start()
for line in sys.stdin:
    client.publish("bare/data", line.strip(), qos=1)
"""
LINES = 20
QUIET_S = 6.0
"""Without a new message for so long, no more will come: the script connects again every second."""


class Bare:
    """The script, a line to a broker, and a city; the same words as outages.World for what the rows need."""

    def __init__(self, broker: Mosquitto, line: Line, city: Listener) -> None:
        self.broker, self.line, self.city = broker, line, city
        self.fed = 0
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", BARE, str(self.line.port)], stdin=subprocess.PIPE)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdin is not None
        self.process.stdin.close()

    def feed(self, count: int) -> None:
        assert self.process.stdin is not None
        for _ in range(count):
            self.process.stdin.write(b"line %06d\n" % self.fed)
            self.process.stdin.flush()
            self.fed += 1

    def reached(self) -> int:
        return len(set(self.city.payloads("bare/data")))

    def settle(self) -> int:
        """How many never came."""
        newest, since = -1, time.monotonic()
        while self.reached() < self.fed and time.monotonic() - since < QUIET_S:
            if self.reached() != newest:
                newest, since = self.reached(), time.monotonic()
            time.sleep(0.1)
        return self.fed - self.reached()


def bare_broker_stopped(bare: Bare) -> None:
    before = bare.city.subscriptions
    bare.line.mode = Mode.REFUSE
    bare.broker.stop()
    bare.feed(LINES)
    bare.broker.start()
    wait_until(lambda: bare.city.subscriptions > before, "the city")
    bare.line.mode = Mode.PASS


def bare_cable_pulled(bare: Bare) -> None:
    bare.line.mode = Mode.SILENT
    bare.feed(LINES)
    time.sleep(12)  # its keep-alive of 5 s notices
    bare.line.mode = Mode.PASS


def bare_killed_while_the_cable_is_out(bare: Bare) -> None:
    bare.line.mode = Mode.SILENT
    bare.feed(LINES)
    wait_until(lambda: bare.line.swallowed > 0, "lines to be lost")
    time.sleep(1)
    bare.kill()
    bare.line.mode = Mode.PASS
    bare.line.cut()
    bare.start()


FAULTS: dict[str, tuple[Callable[[outages.World], None], Callable[[Bare], None]]] = {
    "broker stopped": (outages.broker_stopped, bare_broker_stopped),
    "cable pulled": (outages.cable_pulled, bare_cable_pulled),
    "killed while the cable is out": (outages.killed_while_the_cable_is_out, bare_killed_while_the_cable_is_out),
}


def bare_losses(folder: Path, fault: Callable[[Bare], None]) -> int:
    with Mosquitto(folder, persistence=True) as broker, Line(broker.port) as line, Listener(broker.port) as city:
        bare = Bare(broker, line, city)
        try:
            bare.feed(3)
            wait_until(lambda: bare.reached() == 3, "the first lines")
            fault(bare)
            bare.feed(LINES)
            return bare.settle()
        finally:
            bare.kill()


def test_losses(tmp_path: Path) -> None:
    rows: dict[str, float] = {}
    for number, (name, (ours, bare)) in enumerate(FAULTS.items()):
        verdict = outages.run_row(ours, tmp_path / f"ours{number}")
        assert verdict == outages.Verdict()
        rows[f"{name}: lost by our publisher"] = verdict.lost + verdict.changed
        rows[f"{name}: lost by a bare paho script"] = bare_losses(tmp_path / f"bare{number}", bare)
    record(rows)
