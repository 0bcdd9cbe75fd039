"""A city's client in the tests: paho over MQTT 5 (or 3.1.1) that keeps every message with its properties, in order."""

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from paho.mqtt.client import Client, MQTTMessage, MQTTv5, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion


@dataclass(frozen=True, slots=True)
class Heard:
    """One PUBLISH as received."""

    topic: str
    payload: bytes
    retain: bool
    qos: int
    user_properties: dict[str, str]
    content_type: str
    expiry_s: int | None


class Listener:
    """Subscribed to everything under `filter_` while the block runs; comes back after a lost connection. `where` is a loopback port, or a Unix socket."""

    def __init__(
        self, where: int | Path, filter_: str = "#", *, mqtt5: bool = True, login: tuple[str, str] | None = None
    ) -> None:
        self._where = where
        self._filter = filter_
        self._heard: list[Heard] = []
        self._lock = threading.Lock()
        self._ready = threading.Event()
        self._client = Client(
            CallbackAPIVersion.VERSION2,
            "",
            protocol=MQTTv5 if mqtt5 else MQTTv311,
            transport="unix" if isinstance(where, Path) else "tcp",
        )
        self._client.reconnect_delay_set(1, 1)
        if login:
            self._client.username_pw_set(*login)
        self._client.on_connect = lambda client, *_: client.subscribe(self._filter, qos=1)
        self.subscriptions = 0
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message

    def heard(self, topic_end: str = "") -> list[Heard]:
        """So far, those whose topic ends so."""
        with self._lock:
            return [item for item in self._heard if item.topic.endswith(topic_end)]

    def payloads(self, topic_end: str) -> list[bytes]:
        """So far, payloads of those whose topic ends so."""
        return [item.payload for item in self.heard(topic_end)]

    def _on_subscribe(self, *_: Any) -> None:
        self.subscriptions += 1
        self._ready.set()

    def _on_message(self, client: Client, userdata: Any, message: MQTTMessage) -> None:
        properties = message.properties
        item = Heard(
            message.topic,
            bytes(message.payload),
            message.retain,
            message.qos,
            dict(getattr(properties, "UserProperty", [])),
            getattr(properties, "ContentType", ""),
            getattr(properties, "MessageExpiryInterval", None),
        )
        with self._lock:
            self._heard.append(item)

    def __enter__(self) -> Self:
        if isinstance(self._where, Path):
            self._client.connect(str(self._where), keepalive=30)
        else:
            self._client.connect("127.0.0.1", self._where, 30)
        self._client.loop_start()
        assert self._ready.wait(10)
        time.sleep(0.05)  # retained messages follow the SUBACK
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        # What we gave it holds us, and we hold it: a circle is left to the garbage collector, which may find paho's sockets before paho closes them.
        self._client.on_connect = self._client.on_subscribe = self._client.on_message = None
