"""PB-21, PB-16: policy offers by MQTT, only when asked for, from one topic, bounded whatever the broker sends."""

import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

from agent.anonymizer.offers import OfferFolder
from agent.publisher.inbound import MAX_OFFER_BYTES, MAX_OFFERS, MAX_PACKET_BYTES, Inbound, ProtocolBroken
from agent.publisher.offers import EVERY_S, FILE, OfferBox
from tests.brokers import Mosquitto
from tests.publisher.hostile_broker import CONNACK_5, HostileBroker, hear_out
from tests.publisher.test_hostile_broker import GROWTH_KIB, length, memory_kib
from tests.publisher.unit_folders import PublisherProcess, UnitFolder, wait_until

SUBSCRIBE = "subscribe = true"
OFFER = b"\xd8\x62 a signed policy, of which the publisher knows nothing"


def retain(port: int, topic: str, message: bytes) -> None:
    """The city leaves a message at the broker."""
    client = Client(CallbackAPIVersion.VERSION2, "", protocol=MQTTv5)
    client.connect("127.0.0.1", port, 30)
    client.loop_start()
    client.publish(topic, message, qos=1, retain=True).wait_for_publish(25)
    client.disconnect()
    client.loop_stop()


def test_a_retained_offer_reaches_the_anonymizers_folder(tmp_path: Path, unit: UnitFolder) -> None:
    """Byte for byte, once, whatever reconnects; the topics beside it are not subscribed to."""
    judge = OfferFolder(unit.offer, unit.folder / "absent")
    with Mosquitto(tmp_path, persistence=True) as broker:
        retain(broker.port, f"{unit.base}/policy", OFFER)
        retain(broker.port, f"{unit.base}/policy/more", b"not this one")
        unit.configure(broker.port, policy=SUBSCRIBE)
        with PublisherProcess(unit):
            wait_until((unit.offer / FILE).exists, "the offer")
            judge.scan()  # one look to see that it has stopped changing
            (offer,) = judge.scan()
            assert (offer.message, offer.fault) == (OFFER, "")
            judge.judged(offer)
            assert list(unit.offer.iterdir()) == []
            before = broker.log.count("Received SUBSCRIBE")
            broker.stop()
            broker.start()
            wait_until(lambda: broker.log.count("Received SUBSCRIBE") > before, "the next connection")
            wait_until(lambda: '"ok": true' in unit.status() or "waiting_for_log" in unit.status(), "calm")
            expected = unit.release_windows(0, 1)
            wait_until(lambda: unit.cursor.exists(), "a release")
            assert expected
        assert list(unit.offer.iterdir()) == []
        assert f"{unit.base}/policy (QoS 0)" in broker.log


def test_by_default_nothing_is_subscribed_to(tmp_path: Path, unit: UnitFolder) -> None:
    unit.release_windows(0, 1)
    with Mosquitto(tmp_path) as broker:
        retain(broker.port, f"{unit.base}/policy", OFFER)
        unit.configure(broker.port)
        with PublisherProcess(unit):
            wait_until(unit.cursor.exists, "a release")
        assert "Received SUBSCRIBE" not in broker.log
    assert list(unit.offer.iterdir()) == []


def test_an_offer_that_is_too_long_is_the_brokers_to_keep(tmp_path: Path, unit: UnitFolder) -> None:
    """CONNECT says what is read at most, so a true broker does not send it; the unit works on."""
    unit.release_windows(0, 1)
    with Mosquitto(tmp_path) as broker:
        retain(broker.port, f"{unit.base}/policy", bytes(MAX_OFFER_BYTES + 1))
        unit.configure(broker.port, policy=SUBSCRIBE)
        with PublisherProcess(unit):
            wait_until(unit.cursor.exists, "a release")
    assert list(unit.offer.iterdir()) == []


def publish(topic: str, message: bytes, header: int = 0x31) -> bytes:
    """An MQTT 5 PUBLISH; with an identifier when its QoS has one."""
    identifier = b"\0\1" if header & 0x06 else b""
    body = len(topic).to_bytes(2, "big") + topic.encode() + identifier + b"\0" + message
    return bytes([header]) + length(len(body)) + body


ATTACKS: dict[str, Callable[[str], bytes]] = {
    "another topic": lambda base: publish(f"{base}/polity", OFFER),
    "a longer topic": lambda base: publish(f"{base}/policy/x", OFFER),
    "no topic": lambda base: publish("", OFFER),
    "QoS 1": lambda base: publish(f"{base}/policy", OFFER, 0x32),
    "QoS 2": lambda base: publish(f"{base}/policy", OFFER, 0x34),
    "256 MiB": lambda base: b"\x30\xff\xff\xff\x7f" + publish(f"{base}/policy", OFFER)[2:] + bytes(1 << 20) * 8,
    "flood": lambda base: b"".join(publish(f"{base}/policy", bytes([n % 256]) * 60_000) for n in range(200)),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_hostile_broker_gets_no_further_than_its_topic(tmp_path: Path, unit: UnitFolder, attack: str) -> None:
    """PB-16, PB-21: named, bounded in memory and on the disk, tried again."""
    begin = threading.Event()

    def script(client: socket.socket, number: int) -> None:
        client.sendall(CONNACK_5)
        if number == 0:
            client.recv(65536)
            begin.wait(25)
        client.sendall(ATTACKS[attack](unit.base))
        hear_out(client)

    with HostileBroker(script) as broker:
        unit.configure(broker.port, policy=SUBSCRIBE)
        with PublisherProcess(unit) as publisher:
            wait_until(lambda: '"connected": "yes"' in unit.status(), "the connection")
            assert publisher.process is not None
            before_kib = memory_kib(publisher.process.pid, "VmRSS")
            begin.set()
            wait_until(lambda: '"broker_protocol"' in unit.status(), "the fault in the status")
            wait_until(lambda: len(broker.connected_at) >= 4, "further attempts")
            assert memory_kib(publisher.process.pid, "VmHWM") <= before_kib + GROWTH_KIB
            assert "Traceback" not in publisher.log
            assert publisher.stop() == 0
    names = {path.name for path in unit.offer.iterdir()}
    assert names == ({FILE} if attack == "flood" else set())
    assert sum(path.stat().st_size for path in unit.offer.iterdir()) <= MAX_OFFER_BYTES
    assert b"\x27" + MAX_OFFER_BYTES.to_bytes(4, "big") in broker.connects[0]


def test_a_refused_subscription_is_named_and_publishing_goes_on(tmp_path: Path, unit: UnitFolder) -> None:
    unit.release_windows(0, 1)

    def script(client: socket.socket, number: int) -> None:
        client.sendall(CONNACK_5)
        pending = b""
        while octets := client.recv(65536):
            pending += octets
            while (packet := first_packet(pending)) is not None:
                kind, body, pending = packet
                if kind == 0x82:
                    client.sendall(b"\x90\x04" + body[:2] + b"\0\x87")
                elif kind & 0xF0 == 0x30:
                    topic_length = int.from_bytes(body[:2], "big")
                    client.sendall(b"\x40\x02" + body[2 + topic_length : 4 + topic_length])

    with HostileBroker(script) as broker:
        unit.configure(broker.port, policy=SUBSCRIBE)
        with PublisherProcess(unit):
            wait_until(unit.cursor.exists, "a release")
            wait_until(lambda: '"subscription_refused"' in unit.status(), "the refusal")


def first_packet(octets: bytes) -> tuple[int, bytes, bytes] | None:
    """Header, body and what follows; None while it is not whole."""
    size, at = 0, 1
    while at < len(octets):
        size |= (octets[at] & 0x7F) << (7 * (at - 1))
        at += 1
        if not octets[at - 1] & 0x80:
            break
    else:
        return None
    return (octets[0], octets[at : at + size], octets[at + size :]) if len(octets) >= at + size else None


def test_the_box_is_filled_no_faster_than_it_says(tmp_path: Path) -> None:
    """The first at once, of several the newest after EVERY_S, the same bytes not twice in a row, an empty message never."""
    now = [0.0]
    box = OfferBox(tmp_path, lambda: now[0])
    seen = []
    for at, message in ((0, b"a"), (1, b"b"), (2, b"c"), (3, b""), (EVERY_S, b""), (EVERY_S + 1, b"c"), (500, b"a")):
        now[0] = at
        box.take(message)
        box.look()
        path = tmp_path / FILE
        if path.exists():
            seen.append((at, path.read_bytes()))
            assert path.stat().st_mode & 0o777 == 0o644
            path.unlink()
    assert seen == [(0, b"a"), (EVERY_S, b"c"), (500, b"a")]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_a_fault_until_it_can(tmp_path: Path) -> None:
    now = [0.0]
    box = OfferBox(tmp_path / "absent", lambda: now[0])
    box.take(OFFER)
    box.look()
    assert box.fault is not None
    (tmp_path / "absent").mkdir()
    now[0] = EVERY_S
    box.look()
    assert box.fault is None
    assert (tmp_path / "absent" / FILE).read_bytes() == OFFER


TOPIC = "dtpr/v1/a/b/c/policy"


def test_octets_of_offers_are_judged_alike_however_they_are_cut() -> None:
    good = CONNACK_5 + b"\x90\x04\0\1\0\0" + publish(TOPIC, OFFER) + publish(TOPIC, b"", 0x30) + b"\xd0\0"
    bad = publish(TOPIC[:-1] + "z", OFFER)
    for cut in range(1, len(good) + 1):
        inbound = Inbound(mqtt5=True, topic=TOPIC)
        in_pieces(inbound, good, cut)
        assert inbound.broken is None
        with pytest.raises(ProtocolBroken, match="nobody subscribed"):
            in_pieces(inbound, bad, cut)


def in_pieces(inbound: Inbound, octets: bytes, cut: int) -> None:
    for at in range(0, len(octets), cut):
        inbound.take(octets[at : at + cut])


@pytest.mark.parametrize(
    ("octets", "words"),
    [
        (publish("x", b""), "nobody subscribed"),
        (b"\x30" + length(MAX_OFFER_BYTES + 1), "more than 65536"),
        (b"\x40" + length(MAX_PACKET_BYTES + 1), "more than 16384"),
        (publish(TOPIC, OFFER, 0x38), "PUBLISH"),
        (publish(TOPIC, OFFER) * (MAX_OFFERS + 1), "more than 16 offers"),
        (b"\x62", "PUBREL"),
    ],
)
def test_what_a_subscriber_may_not_be_sent(octets: bytes, words: str) -> None:
    """PB-16: at the octet that says so."""
    inbound = Inbound(mqtt5=True, topic=TOPIC)
    inbound.take(CONNACK_5)
    with pytest.raises(ProtocolBroken, match=words):
        inbound.take(octets)


def test_nothing_is_offered_before_the_broker_has_answered() -> None:
    with pytest.raises(ProtocolBroken, match="PUBLISH"):
        Inbound(mqtt5=True, topic=TOPIC).take(publish(TOPIC, OFFER))
