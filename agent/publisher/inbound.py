"""What a broker may send to a unit, checked octet by octet before anything is buffered (PB-16, PB-21). Pure.

    before CONNACK   CONNACK, on MQTT 5 DISCONNECT
    after it         PUBACK, PINGRESP, on MQTT 5 DISCONNECT
    with a topic     SUBACK, and PUBLISH of QoS 0 to exactly that topic, a few a connection

Everything else is refused at its first octet (another topic at its first other octet), and a packet that is too long at the length that says
so: the client library behind this would collect 256 MiB of one PUBLISH, and store those of QoS 2 until a PUBREL that never comes.
"""

MAX_PACKET_BYTES = 16 * 1024
"""Of one packet's variable header and payload; announced in CONNECT on MQTT 5. A PUBACK has 2 octets and at most a few words."""

MAX_OFFER_BYTES = 64 * 1024
"""The same of a PUBLISH on the policy topic; a signed policy has at most contracts/log.MAX_SIGNED_BYTES."""

MAX_OFFERS = 16
"""PUBLISHes a connection: a city changes its policy a few times a year. A broker that sends more is left, and met again after a back-off."""

_CONNACK, _PUBLISH, _PUBACK, _SUBACK, _PINGRESP, _DISCONNECT = 0x20, 0x30, 0x40, 0x90, 0xD0, 0xE0
_RETAINED = 0x01
_NAMES = {
    0x10: "CONNECT", 0x20: "CONNACK", 0x30: "PUBLISH", 0x40: "PUBACK", 0x50: "PUBREC", 0x60: "PUBREL", 0x70: "PUBCOMP",
    0x80: "SUBSCRIBE", 0x90: "SUBACK", 0xA0: "UNSUBSCRIBE", 0xB0: "UNSUBACK", 0xC0: "PINGREQ", 0xD0: "PINGRESP",
    0xE0: "DISCONNECT", 0xF0: "AUTH",
}  # fmt: skip
_MAX_LENGTH_OCTETS = 4


class ProtocolBroken(ConnectionError):
    """The broker sent what it must not send; the words say what. To the client library it is a lost connection."""


class Inbound:
    """Reads along: `take` every octet from the broker, in order; raises ProtocolBroken, from then on each time.

    `topic` is the one topic that is subscribed to, None without any.
    """

    def __init__(self, *, mqtt5: bool, topic: str | None = None) -> None:
        self.broken: ProtocolBroken | None = None
        self.answered = False
        """Has a CONNACK begun?"""
        self._mqtt5 = mqtt5
        self._topic = b"" if topic is None else len(topic.encode()).to_bytes(2, "big") + topic.encode()
        self._type: int | None = None
        self._length = 0
        self._length_octets = 0
        self._body_left = 0
        self._topic_left = b""
        self._offers = 0

    def take(self, octets: bytes) -> None:
        """The next octets from the broker, of any number of packets."""
        at = 0
        while at < len(octets):
            if self.broken is not None:
                raise self.broken
            if self._body_left:
                at += self._pass(octets[at : at + self._body_left])
                continue
            if self._type is None:
                self._begin(octets[at])
            else:
                self._measure(octets[at])
            at += 1

    def _pass(self, body: bytes) -> int:
        """Octets of a packet's body, of a PUBLISH beginning with its topic; how many there were."""
        compared = body[: len(self._topic_left)]
        if not self._topic_left.startswith(compared):
            self._refuse("it sent PUBLISH to a topic that nobody subscribed to")
        self._topic_left = self._topic_left[len(compared) :]
        self._body_left -= len(body)
        return len(body)

    def _begin(self, header: int) -> None:
        """The first octet of a packet: type and flags (MQTT 5, 2.1.1)."""
        name = _NAMES.get(header & 0xF0, "a packet of type 0")
        allowed = {_PUBACK, _PINGRESP} if self.answered else {_CONNACK}
        if self._mqtt5:
            allowed.add(_DISCONNECT)
        if self._topic and self.answered:
            allowed |= {_SUBACK, _PUBLISH, _PUBLISH | _RETAINED}
        if header not in allowed:
            self._refuse(f"it sent {name} (0x{header:02x}) where a client of this kind allows none")
        self.answered = self.answered or header == _CONNACK
        self._type, self._length, self._length_octets = header, 0, 0
        if header & 0xF0 == _PUBLISH:
            self._offers += 1
            if self._offers > MAX_OFFERS:
                self._refuse(f"it sent more than {MAX_OFFERS} offers")

    def _measure(self, octet: int) -> None:
        """One octet of the remaining length (MQTT 5, 1.5.5)."""
        assert self._type is not None
        publish = self._type & 0xF0 == _PUBLISH
        longest = MAX_OFFER_BYTES if publish else MAX_PACKET_BYTES
        self._length |= (octet & 0x7F) << (7 * self._length_octets)
        self._length_octets += 1
        if self._length > longest:
            self._refuse(f"it sent a packet of more than {longest} bytes")
        if octet & 0x80:
            if self._length_octets == _MAX_LENGTH_OCTETS:
                self._refuse("it sent a packet length of more than 4 octets")
            return
        self._topic_left = self._topic if publish else b""
        if self._length < len(self._topic_left):
            self._refuse("it sent PUBLISH to a topic that nobody subscribed to")
        self._type, self._body_left = None, self._length

    def _refuse(self, words: str) -> None:
        self.broken = ProtocolBroken(words)
        raise self.broken
