"""Receives a topic filter's messages from a broker, reconnecting for as long as it is asked to, and saying so. The only user of paho on this side.

The session outlives a lost connection (MQTT 5), so that a network gap loses nothing; it ends with the generator, unless it has a name.

Invariant: a message is acknowledged only after whoever reads the generator has asked for the next one, or ended it in order: what was received and not yet dealt with when
the process dies, the broker still has.
"""

import logging
import select
import ssl
import time
from collections import deque
from collections.abc import Generator
from dataclasses import dataclass
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

TELL_EVERY_S = 60.0
"""A broker that comes and goes is spoken of so often."""

FIRST_CONNECT_WITHIN_S = 10.0
TELL_ABSENT_AFTER_S = 1.0
"""Whoever started the command hears that it waits for a broker, and why, before it gives up."""

SESSION_EXPIRY_S = 600
NAMED_EXPIRY_S = 7 * 86_400
"""Of a session with a name: as long as a policy's numbers may take to be collected, unless it says otherwise."""

_UNSUPPORTED_VERSION = 132
_TAKEN_OVER = 142
_BUSY = frozenset({136, 137, 151, 159})
"""Server unavailable, server busy, quota exceeded, connection rate exceeded: what a broker says while it starts, or has too much to do."""

_log = logging.getLogger(__name__)

_REMEDY = "check host, port, TLS and credentials"
_REMEDY_ACL = "let this user read these topics at the broker"


@dataclass(slots=True)
class Output:
    """Where a reader's lines go: once it has `failed`, or was interrupted, a session with a name acknowledges nothing more of what was read."""

    failed: bool = False


def receive(
    mqtt: Mqtt,
    filters: tuple[str, ...],
    context: ssl.SSLContext | None,
    login: Login,
    *,
    poll_s: float = 0.2,
    session: str | None = None,
    output: Output | None = None,
) -> Generator[Received | None, None, None]:
    """Every message, and None at least every `poll_s` or so; for as long as the caller goes on. A `session` with a name outlives the process.

    Raises BrokerUnavailable when the broker refuses us or a subscription, or did not let us in within FIRST_CONNECT_WITHIN_S of the beginning.
    """
    reception = _Reception(mqtt, filters, context, login, session)
    try:
        while True:
            reception.turn(poll_s)
            while reception.messages:
                message, mid = reception.messages.popleft()
                try:
                    yield message
                finally:  # whoever ends here has dealt with it, unless `output` failed
                    reception.acknowledge(mid)
            yield None
    finally:
        reception.close(told=output is None or not output.failed)


class _Reception:
    """One paho client, kept over its connections, without threads."""

    def __init__(
        self, mqtt: Mqtt, filters: tuple[str, ...], context: ssl.SSLContext | None, login: Login, session: str | None
    ) -> None:
        self.messages: deque[tuple[Received, int]] = deque()
        self._mqtt = mqtt
        self._filters = filters
        self._context = context
        self._login = login
        self._fault: BrokerUnavailable | None = None
        self._ever = False
        self._told_lost = self._told_absent = False
        self._tell_from = 0.0
        self._began = time.monotonic()
        self._tried_at = float("-inf")
        self._session = session
        self._client_id = f"dtpr-subscribe-{random_bytes(6).hex() if session is None else f'session-{session}'}"
        self._mqtt5 = True
        self._answered = False
        self._hangups = 0
        """How often it hung up on MQTT 5 without a word, since it last did so on 3.1.1."""
        self._given_up: list[BufferedClient] = []
        self._client = self._make_client()

    def turn(self, timeout_s: float) -> None:
        client = self._client
        sock = client.socket()
        if sock is None:
            self._connect()
            return
        client.flush()  # what acknowledges the messages before
        pending = client.pending()
        readers = [] if client.stuck else [sock]
        readable, _, _ = select.select(readers, [sock] if client.unsent() else [], [], 0 if pending else timeout_s)
        if readable or (pending and not client.stuck):
            now = time.monotonic()
            try:
                for published in client.published():
                    received = Received(
                        published.topic, published.payload, published.user_properties, published.retain, now
                    )
                    self.messages.append((received, published.mid))
            except MessageError as bad:
                raise BrokerUnavailable(self._broker, why=f"it does not speak MQTT: {bad}", remedy=_REMEDY) from None
        if self._client.socket() is not None:
            self._client.loop_misc()
        if self._fault is not None:
            raise self._fault
        if not self._ever and time.monotonic() - self._began > FIRST_CONNECT_WITHIN_S + client.connect_timeout:
            raise BrokerUnavailable(self._broker, why="it does not answer", remedy=_REMEDY)

    def acknowledge(self, mid: int) -> None:
        self._client.acknowledge(mid)

    def close(self, *, told: bool) -> None:
        """Say goodbye, after what acknowledges the messages dealt with; `told` is whether they were."""
        self._client.on_disconnect = None
        if self._client.socket() is not None and (told or self._session is None):
            if self._mqtt5 and self._session is None:
                properties = Properties(PacketTypes.DISCONNECT)  # type: ignore[no-untyped-call]  # paho leaves it untyped
                properties.SessionExpiryInterval = 0
                self._client.disconnect(properties=properties)
            else:
                self._client.disconnect()
            self._client.flush()
        self._given_up.append(self._client)
        self._hang_up()

    def _hang_up(self) -> None:
        """On those that were given up."""
        for client in self._given_up:
            sock = client.socket()
            if sock is not None:
                sock.close()
        self._given_up.clear()

    def _connect(self) -> None:
        mqtt = self._mqtt
        self._hang_up()
        time.sleep(max(0.0, self._tried_at + RETRY_S - time.monotonic()))
        self._tried_at = time.monotonic()
        kept: dict[str, Any] = {}
        if self._mqtt5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho leaves it untyped
            properties.SessionExpiryInterval = SESSION_EXPIRY_S if self._session is None else NAMED_EXPIRY_S
            properties.MaximumPacketSize = MAX_PACKET_BYTES
            kept = {"clean_start": False, "properties": properties}
        self._client.forget()
        self._answered = False
        try:
            self._client.connect(mqtt.host, mqtt.port, mqtt.keepalive_s, **kept)
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):  # it hung up: something before it that has nobody behind it
            self._absent("it closed the connection in the middle of TLS's beginning")
        except ssl.SSLError as bad:
            raise BrokerUnavailable(self._broker, why=f"TLS failed: {bad.reason or bad}", remedy=_REMEDY) from None
        except OSError as bad:
            self._absent(bad.strerror or str(bad))
        if self._fault is not None:
            raise self._fault

    def _absent(self, why: str) -> None:
        """It is not there: a fault in the beginning, later it is waited for."""
        if not self._ever and time.monotonic() - self._began > FIRST_CONNECT_WITHIN_S:
            self._fault = BrokerUnavailable(self._broker, why=why, remedy=_REMEDY)
        elif not self._ever and not self._told_absent and time.monotonic() - self._began > TELL_ABSENT_AFTER_S:
            self._told_absent = True
            _log.warning("# no connection to %s yet (%s); tried again", self._broker, why)

    @property
    def _broker(self) -> str:
        return f"MQTT broker {self._mqtt.host}:{self._mqtt.port}"

    def _make_client(self) -> BufferedClient:
        client = BufferedClient(
            CallbackAPIVersion.VERSION2,
            self._client_id,
            clean_session=None if self._mqtt5 else self._session is None,
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
        client.on_subscribe = self._on_subscribe
        return client

    def _on_connect(self, client: Client, userdata: Any, flags: Any, reason: ReasonCode, properties: Any) -> None:
        self._answered = True
        if reason.value == _UNSUPPORTED_VERSION and self._mqtt5:
            self._fall_back()
        elif reason.value in _BUSY:
            self._absent(f"it refused us: {reason}")
        elif reason.is_failure:
            self._fault = BrokerUnavailable(self._broker, why=f"it refused us: {reason}", remedy=_REMEDY)
        elif self._hangups == 1 and not self._mqtt5:  # perhaps it was only not up yet, and knows MQTT 5
            self._fall_back()
        else:
            if self._told_lost:
                _log.warning("# %s is back", self._broker)
            self._ever, self._told_lost = True, False
            client.subscribe([(filter_, 1) for filter_ in self._filters])

    def _on_subscribe(
        self, client: Client, userdata: Any, mid: int, reasons: list[ReasonCode], properties: Any
    ) -> None:
        refused = [
            f"{filter_}: {reason}" for filter_, reason in zip(self._filters, reasons, strict=False) if reason.is_failure
        ]
        if refused:
            why = f"it refused the subscription to {'; '.join(refused)}"
            self._fault = BrokerUnavailable(self._broker, why=why, remedy=_REMEDY_ACL)

    def _on_disconnect(self, client: Client, userdata: Any, flags: Any, reason: ReasonCode, properties: Any) -> None:
        if reason.value == _TAKEN_OVER:
            why = f"another subscriber took over its session {self._session}"
            self._fault = BrokerUnavailable(self._broker, why=why, remedy="give each its own --session")
        elif client is self._client and self._ever and time.monotonic() >= self._tell_from:
            self._told_lost, self._tell_from = True, time.monotonic() + TELL_EVERY_S
            _log.warning("# lost %s (%s); it is waited for", self._broker, reason)
        if client is self._client and not self._ever and not self._answered:
            self._hangups = self._hangups + 1 if self._mqtt5 else 0
            self._fall_back()  # some brokers refuse a version by hanging up
            self._absent("it closed the connection without an answer")

    def _fall_back(self) -> None:
        self._mqtt5 = not self._mqtt5
        self._given_up.append(self._client)  # which calls us, and is not done with its connection
        self._client = self._make_client()
