"""`dtpr-agent fleet simulate`: each simulated unit on a connection of its own at a real broker, in one process, without threads.

Invariant: memory is bounded by the number of units: a unit has at most WINDOW messages that the broker has not acknowledged, and a slow broker slows
the units down.
"""

import resource
import selectors
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import cycle
from ssl import SSLContext
from typing import Any

from paho.mqtt.client import MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from agent.errors import BrokerUnavailable, SettingsError
from agent.local.randomness import random_bytes
from agent.local.settings import Mqtt
from agent.operations.client import BufferedClient
from agent.operations.simulation import SimulatedUnit
from agent.publisher.connection import Login
from agent.publisher.message import Message

WINDOW = 20
"""As a real unit's (PB-9)."""

ANSWER_WITHIN_S = 30.0
PING_EVERY_S = 5.0
"""So often it is looked whose keep-alive is due."""

SPARE_FILES = 64
_REMEDY = "check host, port, TLS and credentials, and how many clients the broker and its ulimit -n allow"


@dataclass(slots=True)
class Progress:
    """What a run has done so far. Seconds are of a monotonic clock, `cpu_s` of this process."""

    units: int
    releases: int = 0
    messages: int = 0
    """Acknowledged by the broker, without the announcements."""
    acknowledged: int = 0
    payload_bytes: int = 0
    seconds: float = 0.0
    cpu_s: float = 0.0
    late_s: float = 0.0
    """How far the releases are behind the rate that was asked for."""

    def rates(self) -> dict[str, float]:
        """The same a second."""
        return {
            "releases_per_s": self.releases / self.seconds if self.seconds else 0.0,
            "messages_per_s": self.messages / self.seconds if self.seconds else 0.0,
            "messages_per_cpu_s": self.messages / self.cpu_s if self.cpu_s else 0.0,
        }


def allow_files(count: int) -> None:
    """Raise the limit of open files to what `count` connections need; raise SettingsError where the system does not allow it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = count + SPARE_FILES
    if soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise SettingsError(
            "--units", expected=f"at most {hard - SPARE_FILES}, as ulimit -n says", got=str(count), remedy="raise it"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


@dataclass(slots=True)
class Traffic:
    """The connections of `units`; `run` drives them."""

    mqtt: Mqtt
    context: SSLContext | None
    login: Login
    units: list[SimulatedUnit]
    progress: Progress = field(init=False)
    unsent: set["_Link"] = field(init=False, default_factory=set)
    _links: list["_Link"] = field(init=False, default_factory=list)
    _pinged_at: float = field(init=False, default=0.0)
    _selector: selectors.BaseSelector = field(init=False, default_factory=selectors.DefaultSelector)

    def __post_init__(self) -> None:
        self.progress = Progress(len(self.units))

    def open(self) -> None:
        """Connect all, announce all, and wait until the broker has acknowledged it; raise BrokerUnavailable."""
        allow_files(len(self.units))
        for unit in self.units:
            link = _Link(self, unit)
            self._links.append(link)
            link.open()
            self._selector.register(link.socket(), selectors.EVENT_READ, link)
            self._turn(0)
        deadline = time.monotonic() + ANSWER_WITHIN_S
        while not all(link.announced and not link.waiting for link in self._links):
            self._turn(0.1)
            if time.monotonic() > deadline:
                silent = sum(not link.announced or link.waiting > 0 for link in self._links)
                raise self.unavailable(f"{silent} of {len(self._links)} units got no answer")

    def run(self, rate: float, seconds: float) -> Iterator[Progress]:
        """Release `rate` windows a second for so long, round all units; yields about once a second. 0 for as fast as the broker goes."""
        began, cpu = time.monotonic(), time.process_time()
        told = began
        acknowledged = self.progress.acknowledged
        ring = cycle(self._links)
        done = 0
        while (now := time.monotonic()) - began < seconds:
            due = int((now - began) * rate) if rate else done + len(self._links)
            allowed = min(due - done, len(self._links))
            before = done
            for _ in range(allowed):
                done += next(ring).release()
            self.progress.late_s = max(0.0, (due - done) / rate) if rate else 0.0
            self._turn(0.0 if done > before else 0.01)
            self._measure(began, cpu, acknowledged)
            if now - told >= 1:
                told = now
                yield self.progress
        deadline = time.monotonic() + ANSWER_WITHIN_S
        while any(link.waiting for link in self._links) and time.monotonic() < deadline:
            self._turn(0.1)
        self._measure(began, cpu, acknowledged)
        yield self.progress

    def close(self) -> None:
        """Each unit says goodbye, offline and retained, so that no will is sent."""
        for link in self._links:
            link.close()
        self._selector.close()

    def unavailable(self, why: str) -> BrokerUnavailable:
        """An error that names the broker."""
        return BrokerUnavailable(f"MQTT broker {self.mqtt.host}:{self.mqtt.port}", why=why, remedy=_REMEDY)

    def _turn(self, timeout_s: float) -> None:
        if time.monotonic() - self._pinged_at > PING_EVERY_S:
            self._pinged_at = time.monotonic()
            for link in self._links:
                link.client.loop_misc()
            self.unsent.update(self._links)
        for link in tuple(self.unsent):
            link.client.flush()
            if not link.client.unsent():
                self.unsent.discard(link)
        for key, _ in self._selector.select(timeout_s):
            key.data.read()

    def _measure(self, began: float, cpu: float, acknowledged: int) -> None:
        self.progress.seconds = time.monotonic() - began
        self.progress.cpu_s = time.process_time() - cpu
        self.progress.messages = self.progress.acknowledged - acknowledged


class _Link:
    """One unit's connection."""

    __slots__ = ("_session", "_traffic", "announced", "client", "unit", "waiting")

    def __init__(self, traffic: Traffic, unit: SimulatedUnit) -> None:
        self._traffic = traffic
        self._session = random_bytes(8).hex()
        self.unit = unit
        self.announced = False
        self.waiting = 0
        client_id = f"dtpr-{unit.path.replace('/', '-')}"
        client = BufferedClient(CallbackAPIVersion.VERSION2, client_id, protocol=MQTTv5, reconnect_on_failure=False)
        client.forget()
        client.max_inflight_messages_set(0)  # the window is ours
        client.connect_timeout = 10.0
        if traffic.context is not None:
            client.tls_set_context(traffic.context)
            client.tls_insecure_set(not traffic.context.check_hostname)
        if traffic.login.username is not None:
            client.username_pw_set(traffic.login.username, traffic.login.password)
        will = unit.state(self._session, "offline")
        client.will_set(will.topic, will.payload, qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_publish = self._on_publish
        self.client = client

    def open(self) -> None:
        """Connect; the broker's answer comes later. Raise BrokerUnavailable."""
        mqtt = self._traffic.mqtt
        try:
            self.client.connect(mqtt.host, mqtt.port, mqtt.keepalive_s, clean_start=True)
        except OSError as bad:
            raise self._traffic.unavailable(bad.strerror or str(bad)) from None
        self._traffic.unsent.add(self)

    def socket(self) -> socket.socket:
        """Of the connection; raise BrokerUnavailable once it has ended."""
        sock = self.client.socket()
        if not isinstance(sock, socket.socket):
            raise self._traffic.unavailable(f"the connection of {self.unit.path} ended")
        return sock

    def read(self) -> None:
        """Take what there is; raise BrokerUnavailable when the connection ended."""
        for _ in self.client.published():
            pass  # nobody publishes to us
        self.socket()

    def release(self) -> bool:
        """Publish the next window, unless too much waits for the broker."""
        if not self.announced or self.waiting > WINDOW - 2:
            return False
        for message in (*self.unit.release(random_bytes), self.unit.checkpoint()):
            self._publish(message)
        self._traffic.progress.releases += 1
        return True

    def close(self) -> None:
        """Goodbye."""
        if self.announced and self.client.socket() is not None:
            self._publish(self.unit.state(self._session, "offline"))
            self.client.disconnect()
            self.client.flush()
        sock = self.client.socket()
        if sock is not None:
            sock.close()

    def _publish(self, message: Message) -> None:
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho leaves it untyped
        properties.ContentType = message.content_type
        if message.expiry_s is not None:
            properties.MessageExpiryInterval = message.expiry_s
        if message.user_properties:
            properties.UserProperty = list(message.user_properties)
        self.client.publish(message.topic, message.payload, qos=1, retain=message.retain, properties=properties)
        self.waiting += 1
        self._traffic.unsent.add(self)
        self._traffic.progress.payload_bytes += len(message.payload)

    def _on_connect(self, client: Any, userdata: Any, flags: Any, reason: ReasonCode, properties: Any) -> None:
        if reason.is_failure:
            raise self._traffic.unavailable(f"it refused {self.unit.path}: {reason}")
        for message in self.unit.announcements(self._session):
            self._publish(message)
        self.announced = True

    def _on_publish(self, client: Any, userdata: Any, mid: int, reason: ReasonCode, properties: Any) -> None:
        if reason.is_failure:
            raise self._traffic.unavailable(f"it refused a message of {self.unit.path}: {reason}")
        self.waiting -= 1
        self._traffic.progress.acknowledged += 1
