"""config/node-red.json in a real Node-RED 4: it reads what a real publisher sends by a real mosquitto, and what comes out is checked."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from paho.mqtt import publish

from agent.contracts import aggregate
from tests import packs
from tests.brokers import Mosquitto
from tests.interop import node
from tests.publisher.listeners import Listener
from tests.publisher.unit_folders import PublisherProcess, UnitFolder, wait_until

FLOW = Path(__file__).parents[2] / "config" / "node-red.json"
START_S = 90.0
OTHERS = ("duration", "unique", "scalar", "coarse", "none")
"""Each of a stream of its own."""


@contextmanager
def node_red(folder: Path, broker: Mosquitto) -> Iterator[None]:
    """Node-RED with the flow, its broker being ours and without TLS."""
    flow = json.loads(FLOW.read_text())
    (settings,) = (each for each in flow if each["type"] == "mqtt-broker")
    settings |= {"broker": broker.host, "port": str(broker.port), "usetls": False, "tls": "", "clientid": "flow"}
    command = node.node_red(folder, flow)
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=node.NODE, start_new_session=True)
    try:
        wait_until(lambda: "Sending SUBACK to flow" in broker.log, "Node-RED", START_S)
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(START_S)


def test_the_flow_reads_real_releases(tmp_path: Path) -> None:
    """Numbers, suppressed cells and times of a publisher's Releases; then one pack of every other kind."""
    unit = UnitFolder(tmp_path / "unit")
    unit.announce()
    unit.release_windows(0, 2)

    def found() -> dict[tuple[str, str], dict[str, Any]]:
        payloads = ((item.topic, json.loads(item.payload)) for item in city.heard())
        return {(topic, payload["time"]): payload for topic, payload in payloads}

    with (
        Mosquitto(tmp_path) as broker,
        node_red(tmp_path / "node-red", broker),
        Listener(broker.port, "city/#") as city,
    ):
        unit.configure(broker.port)
        with PublisherProcess(unit):
            wait_until(lambda: len(found()) >= 2, "two windows", START_S)
        for name in OTHERS:
            topic = f"dtpr/v1/a/b/c/agg/{name}"
            publish.single(topic, aggregate.encode(packs.ALL[name]), 1, hostname=broker.host, port=broker.port)
        wait_until(lambda: len(found()) >= 2 + len(OTHERS), "the other kinds", START_S)
    own = [payload for (topic, _), payload in found().items() if topic == f"city/{unit.city}/{unit.name}/crossings"]
    first, second = sorted(own, key=lambda payload: str(payload["time"]))
    assert first["time"] == "2027-01-15T08:00:00.000Z"
    assert (first["cells"], first["suppressed"]) == ({"bicycle": 20, "pedestrian": 31}, [])
    assert (second["cells"], second["suppressed"]) == ({"pedestrian": 31}, ["bicycle"])
    assert (first["state"], first["coverage"], first["threshold"], first["log_index"]) == ("complete", 1, 18, 0)
    assert first["guarantee"].startswith("zCDP rho=1/8 ")
    streams = {payload["stream"]: payload for payload in found().values()}
    assert streams["visitors"]["cells"] == {"devices": 412, "devices_sd": 3.79, "devices_is": "estimate"}
    assert streams["co2"]["cells"] == {"mean": 612.5}
    assert streams["parking"]["cells"]["car/median"] == "to_900s"
