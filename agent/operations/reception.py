"""Receives a topic filter's messages from a broker, reconnecting for as long as it is asked to. The only user of paho on this side.

The session outlives a lost connection (MQTT 5), so that a network gap loses nothing; it ends with the generator.

Invariant: a message is acknowledged only after whoever reads the generator has asked for the next one: what was received and not yet dealt with when
the process dies, the broker still has.
"""

import select
import ssl
import time
from collections import deque
from collections.abc import Generator
from typing import Any

from paho.mqtt.client import Client, MQTTv5, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from agent.errors import BrokerUnavailable, MessageError
from agent.local.randomness import random_bytes
from agent.local.settings import Mqtt
from agent.operations.client import MAX_PACKET_BYTES, BufferedClient
from agent.operations.verification import Received
from agent.publisher.connection import Login

RETRY_S = 0.2
"""Sooner than a publisher's first datum on a new connection (PB-7), so that a broker's restart loses nothing."""

FIRST_CONNECT_WITHIN_S = 10.0
SESSION_EXPIRY_S = 600
_UNSUPPORTED_VERSION = 132
_REMEDY = "check host, port, TLS and credentials"


def receive(
    mqtt: Mqtt, filters: tuple[str, ...], context: ssl.SSLContext | None, login: Login, *, poll_s: float = 0.2
) -> Generator[Received | None, None, None]:
    """Every message, and None at least every `poll_s` or so; for as long as the caller goes on.

    Raises BrokerUnavailable when the broker refuses us, or was not there within FIRST_CONNECT_WITHIN_S of the beginning.
    """
    reception = _Reception(mqtt, filters, context, login)
    try:
        while True:
            reception.turn(poll_s)
            while reception.messages:
                yield reception.messages.popleft()
            yield None
    finally:
        reception.close()


class _Reception:
    """One paho client, kept over its connections, without threads."""

    def __init__(self, mqtt: Mqtt, filters: tuple[str, ...], context: ssl.SSLContext | None, login: Login) -> None:
        self.messages: deque[Received] = deque()
        self._mqtt = mqtt
        self._filters = filters
        self._context = context
        self._login = login
        self._fault: BrokerUnavailable | None = None
        self._ever = False
        self._began = time.monotonic()
        self._tried_at = float("-inf")
        self._client_id = f"dtpr-subscribe-{random_bytes(6).hex()}"
        self._mqtt5 = True
        self._client = self._make_client()

    def turn(self, timeout_s: float) -> None:
        client = self._client
        sock = client.socket()
        if sock is None:
            self._connect()
            return
        client.flush()  # what acknowledges the messages before
        pending = client.pending()
        readable, _, _ = select.select([sock], [sock] if client.unsent() else [], [], 0 if pending else timeout_s)
        if readable or pending:
            now = time.monotonic()
            try:
                for published in client.published():
                    self.messages.append(
                        Received(published.topic, published.payload, published.user_properties, published.retain, now)
                    )
            except MessageError as bad:
                raise BrokerUnavailable(self._broker, why=f"it does not speak MQTT: {bad}", remedy=_REMEDY) from None
        if self._client.socket() is not None:
            self._client.loop_misc()
        if self._fault is not None:
            raise self._fault

    def close(self) -> None:
        self._client.on_disconnect = None
        if self._client.socket() is not None:
            if self._mqtt5:
                properties = Properties(PacketTypes.DISCONNECT)  # type: ignore[no-untyped-call]  # paho leaves it untyped
                properties.SessionExpiryInterval = 0
                self._client.disconnect(properties=properties)
            else:
                self._client.disconnect()
            self._client.flush()
        sock = self._client.socket()
        if sock is not None:
            sock.close()

    def _connect(self) -> None:
        mqtt = self._mqtt
        time.sleep(max(0.0, self._tried_at + RETRY_S - time.monotonic()))
        self._tried_at = time.monotonic()
        kept: dict[str, Any] = {}
        if self._mqtt5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho leaves it untyped
            properties.SessionExpiryInterval = SESSION_EXPIRY_S
            properties.MaximumPacketSize = MAX_PACKET_BYTES
            kept = {"clean_start": False, "properties": properties}
        self._client.forget()
        try:
            self._client.connect(mqtt.host, mqtt.port, mqtt.keepalive_s, **kept)
        except ssl.SSLError as bad:
            raise BrokerUnavailable(self._broker, why=f"TLS failed: {bad.reason or bad}", remedy=_REMEDY) from None
        except OSError as bad:
            if not self._ever and time.monotonic() - self._began > FIRST_CONNECT_WITHIN_S:
                raise BrokerUnavailable(self._broker, why=bad.strerror or str(bad), remedy=_REMEDY) from None

    @property
    def _broker(self) -> str:
        return f"MQTT broker {self._mqtt.host}:{self._mqtt.port}"

    def _make_client(self) -> BufferedClient:
        client = BufferedClient(
            CallbackAPIVersion.VERSION2,
            self._client_id,
            clean_session=None if self._mqtt5 else True,
            protocol=MQTTv5 if self._mqtt5 else MQTTv311,
            reconnect_on_failure=False,
        )
        client.forget()
        client.connect_timeout = 5.0
        if self._context is not None:
            client.tls_set_context(self._context)
            client.tls_insecure_set(not self._context.check_hostname)
        if self._login.username is not None:
            client.username_pw_set(self._login.username, self._login.password)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        return client

    def _on_connect(self, client: Client, userdata: Any, flags: Any, reason: ReasonCode, properties: Any) -> None:
        if reason.value == _UNSUPPORTED_VERSION and self._mqtt5:
            self._fall_back()
        elif reason.is_failure:
            self._fault = BrokerUnavailable(self._broker, why=f"it refused us: {reason}", remedy=_REMEDY)
        else:
            self._ever = True
            client.subscribe([(filter_, 1) for filter_ in self._filters])

    def _on_disconnect(self, client: Client, userdata: Any, flags: Any, reason: ReasonCode, properties: Any) -> None:
        if client is self._client and not self._ever:
            self._fall_back()  # some brokers refuse a version by hanging up
            if time.monotonic() - self._began > FIRST_CONNECT_WITHIN_S:
                self._fault = BrokerUnavailable(
                    self._broker, why="it closed the connection without an answer", remedy=_REMEDY
                )

    def _fall_back(self) -> None:
        self._mqtt5 = not self._mqtt5
        self._client = self._make_client()
