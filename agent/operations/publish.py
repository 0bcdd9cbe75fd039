"""The packets that a broker sends to a subscriber, as far as they are PUBLISH (MQTT 5 and 3.1.1, section 3.3): cut from a buffer and read. Pure.

Only topic, payload and user properties are kept; of the other properties only the length matters. paho, which reads everything else, takes four times as
long for a PUBLISH, most of it for properties.
"""

from typing import NamedTuple

from agent.errors import MessageError

PUBLISH = 3
MAX_PROPERTIES = 64
_USER_PROPERTY = 0x26
_FIXED = {0x01: 1, 0x02: 4, 0x23: 2}
"""Payload format, message expiry, topic alias: identifier -> octets."""
_PREFIXED = (0x03, 0x08, 0x09)
"""Content type, response topic, correlation data."""
_SUBSCRIPTION_IDENTIFIER = 0x0B


class Packet(NamedTuple):
    """A control packet: `kind` and `flags` from its first octet, its body from `start` to `end` of the buffer, which may not have all of it yet."""

    kind: int
    flags: int
    start: int
    end: int


class Published(NamedTuple):
    """A PUBLISH. `topic` None when it is not UTF-8; `mid` 0 at QoS 0."""

    topic: str | None
    payload: bytes
    qos: int
    retain: bool
    mid: int
    user_properties: tuple[tuple[str, str], ...]


def cut(buffer: bytes, at: int) -> Packet | None:
    """The packet that begins at `at`, None while its length is not there; raise MessageError for a length that no packet may have."""
    length, shift, place = 0, 0, at + 1
    while True:
        if place >= len(buffer):
            return None
        octet = buffer[place]
        length |= (octet & 0x7F) << shift
        place += 1
        if octet < 0x80:
            break
        shift += 7
        if shift > 21:
            raise MessageError("MQTT packet", expected="a remaining length of at most four octets", got="more")
    return Packet(buffer[at] >> 4, buffer[at] & 0x0F, place, place + length)


def read_mid(buffer: bytes, packet: Packet) -> int | None:
    """The identifier of a PUBLISH that is not kept, 0 at QoS 0; None while it is not there."""
    if not packet.flags & 6:
        return 0
    at = packet.start + 2
    if at > len(buffer):
        return None
    at += buffer[at - 2] << 8 | buffer[at - 1]
    return None if at + 2 > len(buffer) else buffer[at] << 8 | buffer[at + 1]


def read_publish(buffer: bytes, packet: Packet, *, mqtt5: bool) -> Published:
    """What a whole PUBLISH says; raise MessageError for a malformed one, and for QoS 2, which nobody asked for."""
    qos, end = packet.flags >> 1 & 3, packet.end
    at = packet.start + 2
    if at > end or qos > 1:
        raise _malformed("a topic and a QoS of at most 1")
    after = at + (buffer[at - 2] << 8 | buffer[at - 1])
    octets = buffer[at:after]
    at = after
    mid = 0
    if qos:
        at += 2
        if at > end:
            raise _malformed("a packet identifier")
        mid = buffer[at - 2] << 8 | buffer[at - 1]
        if not mid:
            raise _malformed("a packet identifier above 0")
    pairs: tuple[tuple[str, str], ...] = ()
    if mqtt5:
        length, at = _variable(buffer, at, end)
        if at + length > end:
            raise _malformed("properties within the packet")
        if length:
            pairs = _user_properties(buffer, at, at + length)
        at += length
    elif at > end:
        raise _malformed("a topic within the packet")
    try:
        topic = octets.decode("utf-8")
    except UnicodeDecodeError:
        topic = None
    return Published(topic, buffer[at:end], qos, bool(packet.flags & 1), mid, pairs)


def puback(mid: int) -> bytes:
    """Success, in both versions."""
    return b"\x40\x02" + mid.to_bytes(2, "big")


def _user_properties(buffer: bytes, at: int, end: int) -> tuple[tuple[str, str], ...]:
    """The first MAX_PROPERTIES of them: whoever published may have set more."""
    pairs: list[tuple[str, str]] = []
    while at < end:
        identifier = buffer[at]
        at += 1
        if identifier == _USER_PROPERTY:
            name, at = _prefixed(buffer, at, end)
            value, at = _prefixed(buffer, at, end)
            if len(pairs) == MAX_PROPERTIES:
                continue
            try:
                pairs.append((name.decode("utf-8"), value.decode("utf-8")))
            except UnicodeDecodeError:
                raise _malformed("user properties in UTF-8") from None
        elif identifier in _PREFIXED:
            _, at = _prefixed(buffer, at, end)
        elif identifier == _SUBSCRIPTION_IDENTIFIER:
            _, at = _variable(buffer, at, end)
        elif identifier in _FIXED:
            at += _FIXED[identifier]
            if at > end:
                raise _malformed("whole properties")
        else:
            raise _malformed("a property that a PUBLISH may have")
    return tuple(pairs)


def _prefixed(buffer: bytes, at: int, end: int) -> tuple[bytes, int]:
    start = at + 2
    if start > end:
        raise _malformed("whole properties")
    after = start + (buffer[at] << 8 | buffer[at + 1])
    if after > end:
        raise _malformed("whole properties")
    return buffer[start:after], after


def _variable(buffer: bytes, at: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in (0, 7, 14, 21):
        if at >= end:
            break
        octet = buffer[at]
        value |= (octet & 0x7F) << shift
        at += 1
        if octet < 0x80:
            return value, at
    raise _malformed("a length of at most four octets")


def _malformed(expected: str) -> MessageError:
    return MessageError("MQTT PUBLISH", expected=expected, got="something else")
