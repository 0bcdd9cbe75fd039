"""What a broker, or a neighbour on it, does to `subscribe`, `mirror` and whoever else receives (OP-44, OP-45 of agent/operations/SPEC.md)."""

import contextlib
import socket
import threading
import time
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from agent.errors import BrokerUnavailable
from agent.local.settings import Mqtt
from agent.operations.reception import receive
from agent.operations.verification import Received
from agent.publisher.connection import Login
from tests.brokers import Mosquitto, TlsFiles
from tests.operations.test_city import published
from tests.operations.test_subscribe import Subscriber
from tests.publisher.certificates import Authority
from tests.publisher.hostile_broker import CONNACK_5, CONNACK_311, HostileBroker, hear_out
from tests.publisher.unit_folders import wait_until

SUBACK_5 = bytes.fromhex("9004000100") + b"\x01"
TOPIC = b"dtpr/v1/a/b/c/state"


def mqtt_at(port: int) -> Mqtt:
    return Mqtt(
        host="127.0.0.1",
        port=port,
        root="dtpr",
        tls=False,
        ca_file=None,
        client_certificate=None,
        client_key=None,
        username=None,
        password_file=None,
        keepalive_s=30,
    )


def listening(port: int) -> Generator[Received | None, None, None]:
    return receive(mqtt_at(port), ("dtpr/v1/#",), None, Login(None, None), poll_s=0.05)


def until(messages: Iterator[Received | None], topic: str, within_s: float = 20) -> Received:
    """The first message on this topic."""
    deadline = time.monotonic() + within_s
    for message in messages:
        if message is not None and message.topic == topic:
            return message
        assert time.monotonic() < deadline, "it did not come"
    raise AssertionError("it ended")


def refusal(port: int, within_s: float = 20) -> str:
    """Receive until it is told why that does not go on."""
    deadline = time.monotonic() + within_s
    try:
        with contextlib.closing(listening(port)) as messages:
            for _ in messages:
                assert time.monotonic() < deadline, "nothing was said"
    except BrokerUnavailable as refused:
        return str(refused)
    raise AssertionError("it ended")


def publish(port: int, topic: str, payload: bytes, pairs: int = 0, *, retain: bool = False) -> None:
    """As a neighbour."""
    client = Client(CallbackAPIVersion.VERSION2, "neighbour", protocol=MQTTv5)
    client.connect("127.0.0.1", port)
    client.loop_start()
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho leaves it untyped
    if pairs:
        properties.UserProperty = [(f"k{i}", "v" * 50) for i in range(pairs)]
    client.publish(topic, payload, qos=1, retain=retain, properties=properties).wait_for_publish(10)
    client.disconnect()
    client.loop_stop()


def test_a_neighbours_many_user_properties_end_nothing(tmp_path: Path) -> None:
    """OP-44: retained, so that whoever came back would meet them again."""
    with Mosquitto(tmp_path) as broker:
        publish(broker.port, "dtpr/v1/a/b/c/state", b"x", pairs=1000, retain=True)
        with Subscriber(tmp_path, broker.port, "--json") as subscriber:
            wait_until(lambda: len(subscriber.records("fault")) == 1, "the fault")
            publish(broker.port, "dtpr/v1/a/b/c/state", b"y")
            wait_until(lambda: len(subscriber.records("fault")) == 2, "the next message")
            assert subscriber.process.poll() is None


def test_what_is_too_long_is_passed_over_and_acknowledged() -> None:
    """OP-44: MQTT 3.1.1 has no way to tell a broker how much is too much."""
    heard: list[bytes] = []
    big = published(TOPIC, b"x" * 3_000_000, b"", 1, 5)
    big = bytes([big[0]]) + _length(len(big) - 5 - 1) + big[5:].replace(TOPIC + b"\x00\x05\x00", TOPIC + b"\x00\x05", 1)

    def script(client: socket.socket, number: int) -> None:
        if number == 0:
            return  # it does not know MQTT 5
        client.sendall(CONNACK_311)
        heard.append(client.recv(4096))
        client.sendall(b"\x90\x03\x00\x01\x01" + big + b"\x30" + _length(3 + len(TOPIC)) + b"\x00\x13" + TOPIC + b"!")
        client.settimeout(10)
        with contextlib.suppress(OSError):
            while octets := client.recv(4096):
                heard.append(octets)

    with HostileBroker(lambda client, number: script(client, number)) as broker:
        with contextlib.closing(listening(broker.port)) as messages:
            assert until(messages, TOPIC.decode()).payload == b"!"
            for _ in zip(range(5), messages, strict=False):
                pass
        wait_until(lambda: b"\x40\x02\x00\x05" in b"".join(heard), "its acknowledgement")


def _length(value: int) -> bytes:
    octets = bytearray()
    while True:
        value, octet = value >> 7, value & 0x7F
        octets.append(octet | (0x80 if value else 0))
        if not value:
            return bytes(octets)


@pytest.mark.parametrize(
    ("octets", "words"),
    [
        (bytes.fromhex("9004000100") + b"\x87", "refused the subscription"),
        (bytes.fromhex("900400010080"), "refused the subscription"),
        (b"\x34\x20" + b"\x00\x13" + TOPIC + b"\x00\x05\x00" + b"12345678", "does not speak MQTT"),
        (b"\x30\xff\xff\xff\xff\x7f", "does not speak MQTT"),
    ],
)
def test_a_broker_that_refuses_or_breaks_the_protocol_is_named(octets: bytes, words: str) -> None:
    """OP-44: a refused subscription would otherwise be waited for without end, and QoS 2 that nobody asked for pile up."""

    def script(client: socket.socket, number: int) -> None:
        client.sendall(CONNACK_5)
        client.recv(4096)
        client.sendall(octets)
        hear_out(client)

    with HostileBroker(script) as broker:
        assert words in refusal(broker.port)


UNREADABLE = [
    "4009000100051f0002fffe",
    "9004000100ff",
    "e0028b00ff",
    "e0098b071f0002fffe",
    "90090001051f0002fffe01",
    "b003000100",
    "9005000102ff",
    "40050001000101",
    "f0020000",
    "e002ff00",
    "2003000000",
    "c000",
    "62020001",
    "900101",
    "2100",
]


def test_packets_that_cannot_be_read_end_a_connection_and_no_more(caplog: pytest.LogCaptureFixture) -> None:
    """OP-44: nothing but the documented error escapes; a subscriber that comes back says that it lost the broker."""

    def script(client: socket.socket, number: int) -> None:
        client.sendall(CONNACK_5)
        client.recv(4096)
        client.sendall(
            bytes.fromhex(UNREADABLE[number]) if number < len(UNREADABLE) else published(TOPIC, b"!", b"", 0, 0)
        )
        client.settimeout(0.3)
        with contextlib.suppress(OSError):
            hear_out(client)

    with HostileBroker(script) as broker, contextlib.closing(listening(broker.port)) as messages:
        assert until(messages, TOPIC.decode(), 60).payload == b"!"
    assert caplog.text.count("lost") == 1


def test_a_broker_that_never_answers_is_named() -> None:
    """OP-11: in 10 s, not after a keep-alive."""
    with HostileBroker(lambda client, number: hear_out(client)) as broker:
        assert "does not answer" in refusal(broker.port, 25)


def test_a_broker_that_is_busy_later_is_waited_for() -> None:
    """OP-11: a cluster that restarts says `server unavailable`, or `quota exceeded`, for a while."""
    connack = {1: "2003008800", 2: "2003009700", 3: "2003008900"}

    def script(client: socket.socket, number: int) -> None:
        client.sendall(bytes.fromhex(connack.get(number, "2003000000")))
        if number in connack:
            return
        client.recv(4096)
        client.sendall(SUBACK_5 + published(TOPIC, b"%d" % number, b"", 0, 0))
        if number:
            hear_out(client)

    with HostileBroker(script) as broker, contextlib.closing(listening(broker.port)) as messages:
        assert until(messages, TOPIC.decode()).payload == b"0"
        assert until(messages, TOPIC.decode()).payload == b"4"


class Gate:
    """A load balancer: it takes every connection, and hangs up while nothing is behind it."""

    def __init__(self, behind: int) -> None:
        self.behind = behind
        self.open = False
        self.taken = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.taken += 1
                if not self.open:
                    with contextlib.suppress(OSError):
                        client.settimeout(2)
                        client.recv(4096)
                    client.close()
                    continue
                threading.Thread(target=self._join, args=(client,), daemon=True).start()

    def _join(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self.behind)) as server:
            back = threading.Thread(target=_pump, args=(server, client), daemon=True)
            back.start()
            _pump(client, server)
            back.join()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while octets := source.recv(65536):
            sink.sendall(octets)
    for each in (source, sink):
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("hangups", [1, 2, 3])
def test_a_broker_that_was_not_up_yet_is_not_taken_for_an_old_one(tmp_path: Path, hangups: int) -> None:
    """OP-44: over MQTT 3.1.1 no release would ever be verified, because its signature is a property of MQTT 5."""
    with Mosquitto(tmp_path) as broker:
        gate = Gate(broker.port)
        with contextlib.closing(gate), Subscriber(tmp_path, gate.port, "--json", "--raw") as subscriber:
            wait_until(lambda: gate.taken >= hangups, "attempts")
            gate.open = True
            wait_until(lambda: "Sending SUBACK to dtpr-subscribe" in broker.log, "the subscription")
            publish(broker.port, "dtpr/v1/a/b/c/state", b"x", pairs=1)
            wait_until(lambda: len(subscriber.records("fault")) == 1, "the message")
            assert subscriber.records("fault")[0]["user_properties"] == [["k0", "v" * 50]]


def test_a_tls_connection_cut_in_the_middle_is_waited_for(tmp_path: Path) -> None:
    """OP-11: a load balancer hangs up in the middle of a handshake while the broker behind it restarts."""
    authority = Authority(tmp_path / "ca")
    server = authority.issue("localhost")

    with Mosquitto(tmp_path, tls=TlsFiles(authority.certificate, server.certificate, server.key)) as broker:
        gate = Gate(broker.port)
        gate.open = True
        options = ("--host", "localhost", "--tls", "--ca-file", str(authority.certificate))
        with contextlib.closing(gate), Subscriber(tmp_path, gate.port, *options) as subscriber:
            wait_until(lambda: "Sending SUBACK to dtpr-subscribe" in broker.log, "the subscription")
            gate.open = False
            before, subscriptions = gate.taken, broker.log.count("Sending SUBACK")
            broker.kill()
            broker.start()
            wait_until(lambda: gate.taken >= before + 3, "attempts")
            gate.open = True
            wait_until(lambda: broker.log.count("Sending SUBACK") > subscriptions, "the subscription")
            assert subscriber.process.poll() is None
