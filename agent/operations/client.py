"""paho's client, reading ahead and writing together: one system call for many messages where paho alone makes five for each."""

import ssl

from paho.mqtt.client import Client

READ_BYTES = 64 * 1024


class BufferedClient(Client):
    """What is written waits for `flush`; after `loop_read` there may be more to read without waiting. paho has no public place for either."""

    _ahead: bytes = b""
    _at: int = 0
    _behind: bytearray

    def pending(self) -> bool:
        """Is there more to read without waiting?"""
        if self._at < len(self._ahead):
            return True
        sock = self.socket()
        return isinstance(sock, ssl.SSLSocket) and sock.pending() > 0

    def unsent(self) -> bool:
        """Is there anything to write?"""
        return bool(self._behind)

    def flush(self) -> None:
        """Hand what was written to the kernel, as far as it takes it; what ends the connection shows at the next read."""
        if self.want_write():  # what a callback wrote
            self.loop_write()
        while self._behind and self.socket() is not None:
            try:
                del self._behind[: super()._sock_send(self._behind)]
            except OSError:  # BlockingIOError too
                return

    def forget(self) -> None:
        """Nothing of an earlier connection is read or written on the next."""
        self._ahead, self._at, self._behind = b"", 0, bytearray()

    def _sock_recv(self, bufsize: int) -> bytes:
        if self._at >= len(self._ahead):
            self._ahead, self._at = super()._sock_recv(READ_BYTES), 0
        octets = self._ahead[self._at : self._at + bufsize]
        self._at += len(octets)
        return octets

    def _sock_send(self, buf: bytes | bytearray) -> int:
        self._behind += buf
        return len(buf)
