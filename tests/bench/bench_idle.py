"""Memory of an idle publisher against the ten-line paho script that everyone writes first, in one run on one machine."""

import subprocess
import sys
from functools import partial
from pathlib import Path

from tests.bench.record import Most, record
from tests.brokers import Mosquitto
from tests.publisher.test_home_assistant import SETTING
from tests.publisher.unit_folders import PublisherProcess, UnitFolder, wait_until

BARE = """
import sys, paho.mqtt.client as mqtt
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
client.on_connect = lambda *_: print("connected", flush=True)
client.connect("127.0.0.1", int(sys.argv[1]))
client.loop_forever()
"""


def pss_mib(pid: int) -> float:
    """Proportional set size."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no Pss")


def test_idle_publisher(tmp_path: Path) -> None:
    units = [UnitFolder(tmp_path / name) for name in ("unit", "telling")]
    for unit in units:
        unit.announce()
        unit.release_windows(0, 3)
    with Mosquitto(tmp_path) as broker:
        for unit, setting in zip(units, ("tls = false", SETTING), strict=True):
            unit.configure(broker.port, setting)
        bare = subprocess.Popen([sys.executable, "-c", BARE, str(broker.port)], stdout=subprocess.PIPE)
        try:
            assert bare.stdout is not None
            assert bare.stdout.readline() == b"connected\n"
            found = []
            for unit in units:  # one after another: two at once share more than one can
                with PublisherProcess(unit) as publisher:
                    wait_until(partial(_idle, unit), "the publisher to be idle")
                    assert publisher.process is not None
                    found.append(pss_mib(publisher.process.pid))
            ours, telling = found
            theirs = pss_mib(bare.pid)
        finally:
            bare.kill()
            bare.wait()
            assert bare.stdout is not None
            bare.stdout.close()
    ratio = "ratio_publisher_to_bare_paho_memory"
    record(
        {
            "publisher, MiB PSS": ours,
            "publisher that tells Home Assistant, MiB PSS": telling,
            "bare paho, MiB PSS": theirs,
            ratio: ours / theirs,
        },
        {"publisher, MiB PSS": Most(22), ratio: Most(1.6)},
    )


def _idle(unit: UnitFolder) -> bool:
    return '"ok": true' in unit.status() and unit.passed() == 3
