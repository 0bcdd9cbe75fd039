"""PB-9: never more unacknowledged messages than the broker takes, in the goodbye neither."""

import socket
import threading
from pathlib import Path

from agent.operations.publish import PUBLISH, cut, read_publish
from tests.publisher.hostile_broker import HostileBroker
from tests.publisher.unit_folders import PublisherProcess, UnitFolder, wait_until

CONNACK_ONE = bytes.fromhex("200600000321" + "0001")
"""Receive maximum 1."""


def test_the_goodbye_waits_for_its_turn(tmp_path: Path) -> None:
    """PB-3, PB-9, PB-14: with a receive maximum of 1 and a datum on its way, the state goes offline after the datum's PUBACK, or by the will."""
    unit = UnitFolder(tmp_path / "unit")
    unit.announce()
    unit.release_windows(0, 1)
    told, heard = threading.Event(), list[str]()
    most = 0

    def script(client: socket.socket, number: int) -> None:
        nonlocal most
        client.sendall(CONNACK_ONE)
        buffer, waiting = b"", list[int]()
        while octets := client.recv(65536):
            buffer += octets
            while (packet := cut(buffer, 0)) is not None and packet.end <= len(buffer):
                if packet.kind == PUBLISH:
                    published = read_publish(buffer, packet, mqtt5=True)
                    heard.append(str(published.topic).removeprefix(f"{unit.base}/"))
                    waiting.append(published.mid)
                    most = max(most, len(waiting))
                buffer = buffer[packet.end :]
            if heard[-1:] == ["agg/crossings"] and waiting:
                told.set()
                client.settimeout(0.4)
                try:
                    more = client.recv(65536, socket.MSG_PEEK)
                except TimeoutError:
                    more = b""
                client.settimeout(25)
                if more:
                    continue
            for mid in waiting:
                client.sendall(b"\x40\x02" + mid.to_bytes(2, "big"))
            waiting.clear()

    with HostileBroker(script) as broker:
        unit.configure(broker.port)
        with PublisherProcess(unit) as publisher:
            wait_until(told.is_set, "the datum")
            assert publisher.stop() == 0
    assert most == 1
