"""One MQTT connection, from CONNECT to its end, on a fresh paho client (PB-2). No threads: `turn` does the waiting.

Invariant: paho resends nothing. A client lives for one connection with a clean start, and what it had in flight is forgotten
with it; the session sends again from its cursor.
"""

import contextlib
import select
import socket
import ssl
import struct
import time
from dataclasses import dataclass
from typing import Any

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage, MQTTv5, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.exception import MQTTException
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from agent.errors import InvariantBroken
from agent.local.settings import Mqtt
from agent.publisher.faults import BrokerFault, Code, VersionRefused
from agent.publisher.inbound import MAX_OFFER_BYTES, MAX_PACKET_BYTES, Inbound
from agent.publisher.message import Message
from agent.publisher.tls import WrongFingerprint

CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 10.0
OWN_WINDOW = 20
"""At most so many messages in flight, less when the broker says so."""

_UNSUPPORTED_VERSION = 132
_REMEDY_NETWORK = "check [mqtt] host and port in agent.toml, and the network"
_REMEDY_ACCESS = "check user name, password file and client certificate in agent.toml with the broker's operator"
_REMEDY_PROTOCOL = (
    "is it an MQTT broker, and does it subscribe clients by itself? the agent subscribes to nothing and connects again"
)
_REMEDY_TLS = "check ca_file, the broker's name in its certificate, the clock and our client certificate"
_REMEDY_PIN = "ask the broker's operator which it has now; if it is the new certificate, add it to pin_sha256 in agent.toml and restart the publisher"
_REMEDY_LATER = "nothing to do unless it lasts: the agent connects again by itself"


@dataclass(frozen=True, slots=True)
class Login:
    """What is sent to be let in: never logged."""

    username: str | None
    password: str | None


class _GuardedClient(Client):
    """paho's client, with `inbound` reading along before paho keeps anything. paho has no public place for that."""

    inbound: Inbound

    def _sock_recv(self, bufsize: int) -> bytes:
        octets = super()._sock_recv(bufsize)
        self.inbound.take(octets)  # what it raises is an OSError, by which paho ends the connection
        return octets


class Connection:
    """One connection. `open` once, then `publish` and `turn`; `acknowledged` collects the identifiers of what was taken, `refused` those
    of spare messages that were not."""

    def __init__(
        self,
        mqtt: Mqtt,
        context: ssl.SSLContext | None,
        login: Login,
        client_id: str,
        *,
        mqtt5: bool,
        offers_from: str | None = None,
    ) -> None:
        self.mqtt5 = mqtt5
        self.offers: list[bytes] = []
        """What came on the topic `offers_from`, which is subscribed to unless it is None; emptied by whoever takes it."""
        self.subscription_refused = ""
        """Why the broker does not let us subscribe."""
        self._offers_from = offers_from
        self.window = OWN_WINDOW
        self.acknowledged: list[int] = []
        self.refused: list[tuple[int, str]] = []
        """Spare messages that the broker did not take, and its words."""
        self._spare: set[int] = set()
        self.answered = False
        self._broker = f"{mqtt.host}:{mqtt.port}"
        self._mqtt = mqtt
        self._tls = context is not None
        self._fault: BrokerFault | None = None
        self.max_packet_bytes = 0
        self._tls_words = ""
        self._inbound = Inbound(mqtt5=mqtt5, topic=offers_from)
        self._client = self._make_client(context, login, client_id)

    def open(self, will: Message) -> None:
        """Connect and wait for the broker's answer; raise BrokerFault or VersionRefused."""
        client = self._client
        client.will_set(
            will.topic, will.payload, qos=1, retain=True, properties=self._properties(will, PacketTypes.WILLMESSAGE)
        )
        kept: dict[str, Any] = {"clean_start": True, "properties": self._limits()} if self.mqtt5 else {}
        try:
            client.connect(self._mqtt.host, self._mqtt.port, self._mqtt.keepalive_s, **kept)
        except WrongFingerprint as bad:
            raise self._tls_fault(bad.reason, remedy=_REMEDY_PIN) from None
        except ssl.SSLError as bad:
            raise self._tls_fault(bad.reason or str(bad)) from None
        except OSError as bad:
            if self._tls and isinstance(bad, ConnectionResetError | BrokenPipeError):
                raise self._tls_fault("it hung up during the handshake; is this its TLS port?") from None
            words = bad.strerror or str(bad) or "no answer"
            raise BrokerFault(Code.BROKER_ABSENT, self._broker, why=words, remedy=_REMEDY_NETWORK) from None
        deadline = time.monotonic() + ANSWER_TIMEOUT_S
        while not self.answered:
            self.turn(0.2)
            if time.monotonic() > deadline:
                raise BrokerFault(
                    Code.BROKER_ABSENT, self._broker, why="it accepts but does not answer", remedy=_REMEDY_NETWORK
                )

    def publish(self, message: Message) -> int:
        """Hand over one message; its identifier comes back in `acknowledged`. Raise BrokerFault.

        That the broker refuses a message ends the connection; of one that is spare the identifier comes back in `refused`.
        """
        size = (
            len(message.payload) + len(message.topic) + sum(len(k) + len(v) for k, v in message.user_properties) + 128
        )
        if self.max_packet_bytes and size > self.max_packet_bytes:
            raise BrokerFault(
                Code.BROKER_LIMIT,
                self._broker,
                why=f"it takes at most {self.max_packet_bytes} bytes a packet, a message needs {size}",
                remedy="raise the broker's maximum packet size",
            )
        properties = self._properties(message, PacketTypes.PUBLISH)
        info = self._client.publish(message.topic, message.payload, qos=1, retain=message.retain, properties=properties)
        if info.rc not in (MQTTErrorCode.MQTT_ERR_SUCCESS, MQTTErrorCode.MQTT_ERR_AGAIN):
            raise self._ended()
        if message.spare:
            self._spare.add(info.mid)
        return int(info.mid)

    def turn(self, timeout_s: float, waker: int | None = None) -> None:
        """Wait at most `timeout_s` for the broker, or until the descriptor `waker` is readable, and do what there is to do; raise
        BrokerFault once the connection ended."""
        sock = self._socket()
        if sock is None:
            raise self._ended()
        pending = isinstance(sock, ssl.SSLSocket) and sock.pending() > 0
        writers = [sock] if self._client.want_write() else []
        readers: list[socket.socket | int] = [sock] if waker is None else [sock, waker]
        readable, writable, _ = select.select(readers, writers, [], 0 if pending else timeout_s)
        result = MQTTErrorCode.MQTT_ERR_SUCCESS
        if sock in readable or pending:
            result = self._read()
        if writable and result == MQTTErrorCode.MQTT_ERR_SUCCESS and self._client.socket() is not None:
            result = self._client.loop_write()
        if result == MQTTErrorCode.MQTT_ERR_SUCCESS and self._client.socket() is not None:
            result = self._client.loop_misc()
        if self._fault is not None:
            raise self._fault
        if result != MQTTErrorCode.MQTT_ERR_SUCCESS or self._client.socket() is None:
            raise self._ended()

    def _read(self) -> MQTTErrorCode:
        """Let paho take what is there; what it cannot read is a fault of the broker."""
        try:
            result = self._client.loop_read()
        except _UNREADABLE as bad:
            raise self._broke_protocol(f"it sent a packet that cannot be read ({type(bad).__name__})") from None
        if self._fault is None and self._inbound.broken is not None:
            self._fault = self._broke_protocol(str(self._inbound.broken))
        elif self._fault is None and result == MQTTErrorCode.MQTT_ERR_PROTOCOL and (self.answered or self.mqtt5):
            self._fault = self._broke_protocol("it sent a packet that cannot be read")
        return result

    def close(self) -> None:
        """Say goodbye, so that no will is sent, and forget the client."""
        if self.answered and self._fault is None and self._client.socket() is not None:
            self._client.disconnect()
        self.drop()

    def drop(self) -> None:
        """Forget the client and its socket without a word: the broker sends the will."""
        client, sock = self._client, self._socket()
        client.on_connect = client.on_disconnect = client.on_publish = client.on_log = None
        client.on_subscribe = client.on_message = None
        if sock is not None:
            with contextlib.suppress(OSError):  # already gone
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _make_client(self, context: ssl.SSLContext | None, login: Login, client_id: str) -> Client:
        client = _GuardedClient(
            CallbackAPIVersion.VERSION2,
            client_id,
            clean_session=None if self.mqtt5 else True,
            protocol=MQTTv5 if self.mqtt5 else MQTTv311,
            reconnect_on_failure=False,
        )
        client.inbound = self._inbound
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.max_inflight_messages_set(0)  # the window is ours
        if context is not None:
            client.tls_set_context(context)
            client.tls_insecure_set(
                not context.check_hostname
            )  # else paho looks for a name where only a fingerprint counts
            client.on_log = self._on_log
        if login.username is not None:
            client.username_pw_set(login.username, login.password)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        if self._offers_from is not None:
            client.on_subscribe = self._on_subscribe
            client.on_message = self._on_message
        return client

    def _on_connect(
        self, client: Client, userdata: Any, flags: ConnectFlags, reason: ReasonCode, properties: Properties | None
    ) -> None:
        if not self._inbound.answered:
            raise InvariantBroken("this version of paho-mqtt reads the broker's packets past their check")
        if reason.value == _UNSUPPORTED_VERSION:
            self._fault = VersionRefused(self._broker)
        elif reason.is_failure:
            self._fault = self._refused(reason)
        else:
            self.answered = True
            if flags.session_present:
                self._fault = self._broke_protocol("it kept a session that it was told to forget")
                return
            self._take_limits(properties)
            if self._offers_from is not None:
                client.subscribe(
                    self._offers_from, qos=0
                )  # QoS 0: there is nothing to acknowledge, so nothing piles up

    def _take_limits(self, properties: Properties | None) -> None:
        self.window = max(1, min(OWN_WINDOW, getattr(properties, "ReceiveMaximum", OWN_WINDOW)))
        self.max_packet_bytes = getattr(properties, "MaximumPacketSize", 0)
        for name, words in (("MaximumQoS", "QoS 1"), ("RetainAvailable", "retained messages")):
            if getattr(properties, name, 1) == 0:
                self._fault = BrokerFault(
                    Code.BROKER_LIMIT, self._broker, why=f"it does not take {words}", remedy="allow them at the broker"
                )

    def _on_disconnect(
        self, client: Client, userdata: Any, flags: DisconnectFlags, reason: ReasonCode, properties: Properties | None
    ) -> None:
        if self._fault is None and flags.is_disconnect_packet_from_server:
            self._fault = (
                self._refused(reason) if reason.is_failure and reason.value in _REFUSALS else self._lost(str(reason))
            )

    def _on_publish(
        self, client: Client, userdata: Any, mid: int, reason: ReasonCode, properties: Properties | None
    ) -> None:
        spare = mid in self._spare
        self._spare.discard(mid)
        if not reason.is_failure:
            self.acknowledged.append(mid)
        elif spare:
            self.refused.append((mid, str(reason)))
        else:
            self._fault = self._refused(reason)

    def _on_subscribe(
        self, client: Client, userdata: Any, mid: int, reasons: list[ReasonCode], properties: Properties | None
    ) -> None:
        self.subscription_refused = ", ".join(str(reason) for reason in reasons if reason.is_failure)

    def _on_message(self, client: Client, userdata: Any, message: MQTTMessage) -> None:
        self.offers.append(bytes(message.payload))  # of no other topic: see Inbound

    def _on_log(self, client: Client, userdata: Any, level: int, words: str) -> None:
        if "[SSL" in words:
            self._tls_words = words[words.index("[SSL") :][:120]

    def _refused(self, reason: ReasonCode) -> BrokerFault:
        return BrokerFault(Code.BROKER_REFUSED, self._broker, why=f"it refused us: {reason}", remedy=_REMEDY_ACCESS)

    def _tls_fault(self, words: str, remedy: str = _REMEDY_TLS) -> BrokerFault:
        return BrokerFault(Code.BROKER_TLS, self._broker, why=f"TLS failed: {words}", remedy=remedy)

    def _broke_protocol(self, why: str) -> BrokerFault:
        return BrokerFault(
            Code.BROKER_PROTOCOL,
            self._broker,
            why=why,
            remedy=_REMEDY_PROTOCOL,
            before_answer=not self.answered,
        )

    def _lost(self, why: str) -> BrokerFault:
        return BrokerFault(
            Code.BROKER_LOST if self.answered else Code.BROKER_ABSENT,
            self._broker,
            why=why if self.answered else "it closed the connection without an answer",
            remedy=_REMEDY_LATER if self.answered else _REMEDY_NETWORK,
            before_answer=not self.answered,
        )

    def _ended(self) -> BrokerFault:
        if self._fault is not None:
            return self._fault
        return self._tls_fault(self._tls_words) if self._tls_words else self._lost("the connection ended")

    def _limits(self) -> Properties:
        """What we tell the broker of ourselves (MQTT 5, 3.1.2.11)."""
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho leaves it untyped
        properties.MaximumPacketSize = MAX_PACKET_BYTES if self._offers_from is None else MAX_OFFER_BYTES
        return properties

    def _socket(self) -> socket.socket | None:
        sock = self._client.socket()
        assert sock is None or isinstance(sock, socket.socket)  # paho's other kind is for WebSockets
        return sock

    def _properties(self, message: Message, kind: int) -> Properties | None:
        if not self.mqtt5:
            return None
        properties = Properties(kind)  # type: ignore[no-untyped-call]  # paho leaves it untyped
        properties.ContentType = message.content_type
        if message.expiry_s is not None:
            properties.MessageExpiryInterval = message.expiry_s
        if message.user_properties:
            properties.UserProperty = list(message.user_properties)
        return properties


_UNREADABLE = (ValueError, LookupError, TypeError, AssertionError, struct.error, MQTTException)
"""What paho lets out when it decodes a malformed packet: it has no one error for that in all versions."""

_REFUSALS = frozenset({135, 138, 140, 151, 156, 157})
"""Not authorized, banned, bad authentication method, quota exceeded, use another server, server moved."""
