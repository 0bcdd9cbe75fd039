"""FB-15, FB-17: the bridge's end of reading.sock, against real sockets."""

import contextlib
import itertools
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.contracts.reading import Header, Kind
from agent.local.sockets import bind_inbox
from firmware_bridge.inbox import Inbox
from tests.firmware_bridge.stage import Peer, until

HEADER = Header(Kind.READINGS, 1, 1, 1, 1, 3)


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Inbox]:
    made = Inbox(tmp_path / "reading.sock")
    yield made
    made.hang_up()


def keep(inbox: Inbox, now_s: float) -> None:
    inbox.keep(now_s, 1, sequence=1, board_ms=1)


def send(inbox: Inbox) -> str | None:
    return inbox.send_readings(HEADER, b"abc", b"")


def test_readings_never_come_before_their_board(inbox: Inbox, tmp_path: Path) -> None:
    """FB-15: neither without a board, nor on a new connection before it has been told."""
    peer = Peer(tmp_path / "reading.sock")
    keep(inbox, 0.0)
    assert send(inbox) == "inbox_full"  # connected, and no board declared: nothing may pass
    inbox.declare(b"hello")
    assert send(inbox) is not None
    keep(inbox, 0.1)
    assert send(inbox) is None
    until(lambda: peer.kinds()[-1:] == [Kind.READINGS], peer)
    assert peer.kinds() == [Kind.BOARD_GONE, Kind.BOARD, Kind.READINGS]
    peer.close()


def test_backs_off_to_a_second_and_no_further(inbox: Inbox, tmp_path: Path) -> None:
    """FB-17."""
    tried = []
    for tenth in range(60):
        before = inbox._retry_at_s
        keep(inbox, tenth / 10)
        if inbox._retry_at_s != before:
            tried.append(tenth / 10)
    assert 6 <= len(tried) <= 10
    assert max(after - before for before, after in itertools.pairwise(tried)) <= 1.1
    peer = Peer(tmp_path / "reading.sock")
    keep(inbox, 7.1)
    assert inbox.connected
    peer.close()


def test_a_full_inbox_is_waited_for_once(inbox: Inbox, tmp_path: Path) -> None:
    """FB-17: 200 ms for the first batch, none for the next ones, and on again once there is room."""
    peer = Peer(tmp_path / "reading.sock")
    inbox.declare(b"hello")
    keep(inbox, 0.0)
    while send(inbox) is None:
        pass

    def hundred_s() -> float:
        began_s = time.monotonic()
        assert all(send(inbox) == "inbox_full" for _ in range(100))
        return time.monotonic() - began_s

    assert min(hundred_s() for _ in range(5)) < 0.2  # whoever waits does so each time; a busy machine does not
    peer.pump()
    assert send(inbox) is None
    peer.close()


def test_an_anonymizer_that_accepts_nobody_does_not_stop_the_bridge(inbox: Inbox, tmp_path: Path) -> None:
    """FB-17: a queue of connections that is full counts as absent; connecting must not block."""
    listener = bind_inbox(tmp_path / "reading.sock")
    waiting = [socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(8)]
    for one in waiting:
        one.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            one.connect(str(tmp_path / "reading.sock"))
    began_s = time.monotonic()
    keep(inbox, 0.0)
    assert time.monotonic() - began_s < 1
    assert not inbox.connected
    for one in [*waiting, listener]:
        one.close()


def test_a_peer_that_goes_away_is_noticed_when_sending(inbox: Inbox, tmp_path: Path) -> None:
    peer = Peer(tmp_path / "reading.sock")
    inbox.declare(b"hello")
    keep(inbox, 0.0)
    until(lambda: peer.of(Kind.BOARD), peer)
    peer.close()
    assert send(inbox) == "inbox_absent"
    assert not inbox.connected
