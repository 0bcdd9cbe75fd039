"""FB-1, FB-13, FB-16: the tty, on real ptys."""

import os
import pty
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.errors import PortUnavailable
from firmware_bridge.port import Port
from tests.firmware_bridge.stage import readable


@pytest.fixture
def line() -> Iterator[tuple[int, Path]]:
    """(the board's end, the tty's path)."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    yield master, Path(os.ttyname(slave))
    os.close(slave)
    os.close(master)


def test_bytes_go_through_raw_both_ways(line: tuple[int, Path]) -> None:
    master, path = line
    port = Port(path, 115200)
    every = bytes(range(256))
    os.write(master, every)
    assert readable(port, 5)
    assert bytes(port.read()) == every
    port.write(every)
    assert os.read(master, 1000) == every
    port.close()


def test_nothing_yet_is_not_gone(line: tuple[int, Path]) -> None:
    port = Port(line[1], 115200)
    assert len(port.read()) == 0
    assert not readable(port, 0)
    port.close()


def test_what_was_read_is_overwritten(line: tuple[int, Path]) -> None:
    """FB-16."""
    master, path = line
    port = Port(path, 115200)
    os.write(master, b"\xf1\xe2\xd3\xc4")
    readable(port, 5)
    port.read()
    assert b"\xf1\xe2\xd3\xc4" in port._buffer  # positive control
    port.clear()
    assert not any(port._buffer)
    port.close()


def test_a_line_that_hangs_up_is_named() -> None:
    """FB-13."""
    master, slave = pty.openpty()
    path = Path(os.ttyname(slave))
    port = Port(path, 115200)
    os.close(slave)
    os.close(master)
    assert readable(port, 5)
    with pytest.raises(PortUnavailable, match=str(path)):
        port.read()
    with pytest.raises(PortUnavailable):
        port.write(b"x")
    port.close()
    port.close()


def test_an_absent_busy_or_impossible_port_is_named(line: tuple[int, Path], tmp_path: Path) -> None:
    """FB-13: PortUnavailable and nothing else."""
    with pytest.raises(PortUnavailable, match="No such file"):
        Port(tmp_path / "absent", 115200)
    with pytest.raises(PortUnavailable):
        Port(tmp_path, 115200)
    first = Port(line[1], 115200)
    with pytest.raises(PortUnavailable):
        Port(line[1], 115200)
    first.close()
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(PortUnavailable):
        Port(file, 115200)


def test_a_hundred_reopenings_keep_no_descriptor(line: tuple[int, Path], tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(100):
        Port(line[1], 115200).close()
        with pytest.raises(PortUnavailable):
            Port(tmp_path / "absent", 115200)
    assert len(os.listdir("/proc/self/fd")) == before
