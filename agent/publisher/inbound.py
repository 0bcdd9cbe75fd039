"""What a broker may send to a unit that subscribes to nothing, checked octet by octet before anything is buffered (PB-16). Pure.

    before CONNACK   CONNACK, on MQTT 5 DISCONNECT
    after it         PUBACK, PINGRESP, on MQTT 5 DISCONNECT

Everything else is refused at its first octet, and a packet longer than MAX_PACKET_BYTES at the length that says so: the client
library behind this would collect 256 MiB of one PUBLISH, and store those of QoS 2 until a PUBREL that never comes.
"""

MAX_PACKET_BYTES = 16 * 1024
"""Of one packet's variable header and payload; announced in CONNECT on MQTT 5. A PUBACK has 2 octets and at most a few words."""

_CONNACK, _PUBACK, _PINGRESP, _DISCONNECT = 0x20, 0x40, 0xD0, 0xE0
_NAMES = {
    0x10: "CONNECT", 0x20: "CONNACK", 0x30: "PUBLISH", 0x40: "PUBACK", 0x50: "PUBREC", 0x60: "PUBREL", 0x70: "PUBCOMP",
    0x80: "SUBSCRIBE", 0x90: "SUBACK", 0xA0: "UNSUBSCRIBE", 0xB0: "UNSUBACK", 0xC0: "PINGREQ", 0xD0: "PINGRESP",
    0xE0: "DISCONNECT", 0xF0: "AUTH",
}  # fmt: skip
_MAX_LENGTH_OCTETS = 4


class ProtocolBroken(ConnectionError):
    """The broker sent what it must not send; the words say what. To the client library it is a lost connection."""


class Inbound:
    """Reads along: `take` every octet from the broker, in order; raises ProtocolBroken, from then on each time."""

    def __init__(self, *, mqtt5: bool) -> None:
        self.broken: ProtocolBroken | None = None
        self.answered = False
        """Has a CONNACK begun?"""
        self._mqtt5 = mqtt5
        self._type: int | None = None
        self._length = 0
        self._length_octets = 0
        self._body_left = 0

    def take(self, octets: bytes) -> None:
        """The next octets from the broker, of any number of packets."""
        at = 0
        while at < len(octets):
            if self.broken is not None:
                raise self.broken
            if self._body_left:
                taken = min(self._body_left, len(octets) - at)
                self._body_left -= taken
                at += taken
                continue
            if self._type is None:
                self._begin(octets[at])
            else:
                self._measure(octets[at])
            at += 1

    def _begin(self, header: int) -> None:
        """The first octet of a packet: type and flags (MQTT 5, 2.1.1)."""
        name = _NAMES.get(header & 0xF0, "a packet of type 0")
        allowed = {_PUBACK, _PINGRESP} if self.answered else {_CONNACK}
        if self._mqtt5:
            allowed.add(_DISCONNECT)
        if header not in allowed:
            self._refuse(f"it sent {name} (0x{header:02x}) where a client without subscriptions allows none")
        self.answered = self.answered or header == _CONNACK
        self._type, self._length, self._length_octets = header, 0, 0

    def _measure(self, octet: int) -> None:
        """One octet of the remaining length (MQTT 5, 1.5.5)."""
        self._length |= (octet & 0x7F) << (7 * self._length_octets)
        self._length_octets += 1
        if self._length > MAX_PACKET_BYTES:
            self._refuse(f"it sent a packet of more than {MAX_PACKET_BYTES} bytes")
        if octet & 0x80:
            if self._length_octets == _MAX_LENGTH_OCTETS:
                self._refuse("it sent a packet length of more than 4 octets")
            return
        self._type, self._body_left = None, self._length

    def _refuse(self, words: str) -> None:
        self.broken = ProtocolBroken(words)
        raise self.broken
