"""paho's client, reading ahead and writing together, and taking each PUBLISH by itself: a third of the work that paho alone has with it.

paho has no public place for any of this: it is told nothing of a PUBLISH, and of what is read and written it sees only the bytes.
"""

import ssl
import struct
from collections.abc import Iterator

from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.exception import MQTTException

from agent.errors import MessageError
from agent.operations.publish import PUBLISH, Packet, Published, cut, puback, read_mid, read_publish

READ_BYTES = 64 * 1024

MAX_PACKET_BYTES = 1024 * 1024
"""With MQTT 5 the broker drops what is longer; what comes all the same is passed over: memory stays bounded."""

MAX_UNSENT_BYTES = 1024 * 1024
"""Of acknowledgements that the broker does not take: four times those of all identifiers. Until it does nothing is read."""

_UNREADABLE = (ValueError, LookupError, TypeError, AssertionError, struct.error, MQTTException)
"""What paho lets out when it decodes a malformed packet: it has no one error for that in all versions."""


class BufferedClient(Client):
    """What is written waits for `flush`; `published` is called in place of `loop_read`, and `forget` before every connection."""

    def forget(self) -> None:
        """Nothing of an earlier connection is read or written on the next."""
        self._ahead = b""
        self._at = 0
        self._behind = bytearray()
        self._passed_over = 0
        self._ended = False

    def pending(self) -> bool:
        """Is there more to read without waiting, of which the kernel does not know?"""
        sock = self.socket()
        return isinstance(sock, ssl.SSLSocket) and sock.pending() > 0

    def unsent(self) -> bool:
        """Is there anything to write?"""
        return bool(self._behind)

    @property
    def stuck(self) -> bool:
        """Does the broker not take what it is sent?"""
        return len(self._behind) > MAX_UNSENT_BYTES

    def flush(self) -> None:
        """Hand what was written to the kernel, as far as it takes it; what ends the connection shows at the next read."""
        if self.want_write():  # what a callback wrote
            self.loop_write()
        self._write()

    def acknowledge(self, mid: int) -> None:
        """Whoever reads `published` is done with what came under this identifier, 0 at QoS 0; it is told at the next `flush`."""
        if mid:
            self._behind += puback(mid)

    def _write(self) -> None:
        while self._behind and self.socket() is not None:
            try:
                del self._behind[: super()._sock_send(self._behind)]
            except OSError:  # BlockingIOError too
                return

    def published(self) -> Iterator[Published]:
        """Read once what the kernel has, and give every PUBLISH in it that is whole; what is another packet paho has dealt with.

        None is acknowledged by that. Raises MessageError for what is no MQTT; paho closes the connection where it sees the end.
        """
        try:
            octets = super()._sock_recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            octets = b""
        if not octets:
            self._ended = True
            self._ahead, self._at = b"", 0
            self.loop_read()
            return
        passed_over = min(self._passed_over, len(octets))
        self._passed_over -= passed_over
        self._ahead = self._ahead[self._at :] + octets[passed_over:]
        self._at = 0
        mqtt5 = self._protocol == MQTTv5
        while self._at < len(self._ahead) and self.socket() is not None:
            packet = cut(self._ahead, self._at)
            if packet is None:
                return
            if packet.end - packet.start > MAX_PACKET_BYTES:
                if not self._pass_over(packet):
                    return
            elif packet.end > len(self._ahead):
                return
            elif packet.kind == PUBLISH:
                published = read_publish(self._ahead, packet, mqtt5=mqtt5)
                self._at = packet.end
                yield published
            else:
                self._let_read()

    def _pass_over(self, packet: Packet) -> bool:
        """Acknowledge a PUBLISH that is too long, and keep nothing of it; False while its identifier is not there."""
        if packet.kind != PUBLISH:
            raise MessageError("MQTT packet", expected=f"at most {MAX_PACKET_BYTES} bytes", got="more")
        mid = read_mid(self._ahead, packet)
        if mid is None:
            return False
        if mid:
            self._behind += puback(mid)
        self._at = min(packet.end, len(self._ahead))
        self._passed_over = packet.end - self._at
        return True

    def _let_read(self) -> None:
        """Let paho take a packet."""
        try:
            self.loop_read()
        except _UNREADABLE as bad:
            raise MessageError("MQTT packet", expected="one that can be read", got=type(bad).__name__) from None

    def _sock_recv(self, bufsize: int) -> bytes:
        if self._at >= len(self._ahead):
            if self._ended:
                return b""
            raise BlockingIOError  # paho gets whole packets only
        octets = self._ahead[self._at : self._at + bufsize]
        self._at += len(octets)
        return octets

    def _sock_close(self) -> None:
        if self.socket() is not None:  # paho closes as soon as it wrote DISCONNECT
            self._write()
        super()._sock_close()

    def _sock_send(self, buf: bytes | bytearray) -> int:
        self._behind += buf
        return len(buf)
