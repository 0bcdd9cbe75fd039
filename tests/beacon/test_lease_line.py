"""The beacon's end of lease.sock (SPEC.md, BE-20 to BE-23), with time as an argument."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.beacon.lease_line import RECONNECT_S, LeaseLine
from agent.contracts.lease import RENEW_EVERY_S, Lease, OnAir
from agent.errors import InboxUnavailable
from agent.local.sockets import BACKLOG, connect_inbox
from tests.beacon.stage import Inbox

ONE, TWO = Lease(bytes(32), OnAir.ADVERTISING, 7), Lease(b"\x01" * 32, OnAir.ADVERTISING, 7)


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Inbox]:
    """A real inbox."""
    inbox = Inbox(tmp_path / "lease.sock")
    yield inbox
    inbox.close()


def test_first_at_once_then_every_two_seconds_and_at_a_change(tmp_path: Path, inbox: Inbox) -> None:
    """BE-20: exactly these calls send."""
    line = LeaseLine(tmp_path / "lease.sock")
    for now in (0.0, 0.5, RENEW_EVERY_S - 0.01, RENEW_EVERY_S, RENEW_EVERY_S + 0.5):
        line.renew(ONE, now)
    line.renew(TWO, RENEW_EVERY_S + 0.6)
    assert line.sent == 3
    inbox.accept()
    line.hang_up()
    assert inbox.until_hang_up() == [ONE, ONE, TWO]
    assert not line.connected


def test_a_lease_that_differs_only_in_its_time_is_a_renewal(tmp_path: Path, inbox: Inbox) -> None:
    """BE-20: a later stamp alone is no news, and the lease that does go has the stamp it was given."""
    line = LeaseLine(tmp_path / "lease.sock")
    for number, now in enumerate((0.0, 0.5, 1.0, RENEW_EVERY_S)):
        line.renew(dataclasses.replace(ONE, sent_boot_ns=number), now)
    inbox.accept()
    line.hang_up()
    assert [said.sent_boot_ns for said in inbox.until_hang_up() if said] == [0, 3]


def test_reconnects_with_a_pause(tmp_path: Path) -> None:
    """BE-23: an absent inbox is tried at most every half second, and the first lease on a new connection goes at once."""
    line = LeaseLine(tmp_path / "lease.sock")
    line.renew(ONE, 0.0)
    assert not line.connected
    inbox = Inbox(tmp_path / "lease.sock")
    line.renew(ONE, RECONNECT_S / 2)
    assert not line.connected
    line.renew(ONE, RECONNECT_S)
    inbox.accept()
    assert inbox.next_lease() == ONE
    inbox.close()
    line.renew(ONE, RECONNECT_S + 0.1)
    assert not line.connected
    again = Inbox(tmp_path / "lease.sock")
    line.renew(ONE, 2 * RECONNECT_S + 0.2)
    again.accept()
    assert again.next_lease() == ONE
    line.hang_up()
    again.close()


def test_an_owner_that_does_not_accept_never_blocks_us(tmp_path: Path, inbox: Inbox) -> None:
    """BE-23: a full backlog is an absent inbox, a full buffer an unsent lease; neither is a wait."""
    path = tmp_path / "lease.sock"
    waiting = [connect_inbox(path) for _ in range(BACKLOG + 1)]  # the kernel holds one more than it is told
    with pytest.raises(InboxUnavailable):
        connect_inbox(path)
    line = LeaseLine(path)
    line.renew(ONE, 0.0)
    assert not line.connected
    for peer in waiting:
        peer.close()
    while not inbox.is_quiet(0):
        inbox.accept()
    line.renew(ONE, RECONNECT_S)
    for number in range(2000):
        line.renew(ONE, 1.0 + number * RENEW_EVERY_S)
    assert line.connected
    assert 0 < line.sent < 2000
    line.hang_up()
