"""PB-6: brokers that speak MQTT 3.1.1 only. One is real (rumqttd), two are a real mosquitto behind a gate that knows no MQTT 5."""

import json
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from agent.cli.demo.broker import broker_command
from tests.brokers import Mosquitto, free_port
from tests.publisher.listeners import Listener
from tests.publisher.unit_folders import STREAM, PublisherProcess, UnitFolder, wait_until

DATA = f"agg/{STREAM}"


class VersionGate:
    """In front of a real broker: answers an MQTT 5 CONNECT as a 3.1.1 broker does (or hangs up), passes 3.1.1 through."""

    def __init__(self, broker_port: int, answer: bytes) -> None:
        self._broker_port = broker_port
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.refused = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            first = client.recv(4096)
            if first[first.index(b"MQTT") + 4] == 5:
                self.refused += 1
                client.sendall(self._answer)
                client.close()
                continue
            broker = socket.create_connection(("127.0.0.1", self._broker_port))
            broker.sendall(first)
            for source, sink in ((client, broker), (broker, client)):
                threading.Thread(target=self._pipe, args=(source, sink), daemon=True).start()

    @staticmethod
    def _pipe(source: socket.socket, sink: socket.socket) -> None:
        try:
            while octets := source.recv(65536):
                sink.sendall(octets)
        except OSError:
            pass
        finally:
            for end in (source, sink):
                end.close()


@pytest.mark.parametrize("answer", [b"\x20\x02\x00\x01", b""], ids=["refuses", "hangs up"])
def test_broker_of_311_gets_signatures_as_messages(tmp_path: Path, unit: UnitFolder, answer: bytes) -> None:
    """PB-6: falls back to MQTT 3.1.1, and each datum is followed by its signature."""
    expected = unit.release_windows(0, 5)
    with Mosquitto(tmp_path) as broker, Listener(broker.port, mqtt5=False) as city:
        gate = VersionGate(broker.port, answer)
        unit.configure(gate.port)
        with PublisherProcess(unit):
            wait_until(lambda: len(city.heard(f"{DATA}/sig")) >= 5, "signatures")
        gate.close()
        assert gate.refused >= 1
        assert city.payloads(DATA) == expected
        kinds = [h.topic.removeprefix(f"{unit.base}/") for h in city.heard() if "/agg/" in h.topic]
        assert kinds == [DATA, f"{DATA}/sig"] * 5
        assert [json.loads(p)["log_index"] for p in city.payloads("/sig")] == list(range(5))


def test_real_broker_of_311_only(tmp_path: Path, unit: UnitFolder) -> None:
    """PB-6, PB-13: rumqttd with a 3.1.1 listener alone hangs up on MQTT 5."""
    port = free_port()
    _, command = broker_command(tmp_path, port, "iotcore")
    configuration = tmp_path / "rumqttd.toml"
    configuration.write_text(configuration.read_text().replace("v5.1", "v4.1"))
    expected = unit.release_windows(0, 5)
    unit.configure(port)
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log) as broker,
    ):
        try:
            wait_until(lambda: accepts(port), "the broker")
            with Listener(port, mqtt5=False) as city, PublisherProcess(unit):
                wait_until(lambda: len(city.heard(f"{DATA}/sig")) >= 5, "signatures")
                assert city.payloads(DATA) == expected
        finally:
            broker.terminate()


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
