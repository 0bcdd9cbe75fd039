"""FB-19 to FB-21: the simulator as a process, and with the bridge between it and an inbox."""

import itertools
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.contracts import board as hello_contract
from agent.contracts.reading import Kind
from agent.wire import cbor
from firmware_bridge.frame import Decoder, Frame, Type, encode
from firmware_bridge.port import Port
from firmware_bridge.schema import SCHEMA_HASH
from tests.firmware_bridge.stage import WITHIN_S, Bridge, Peer, readable, until, write_config

COUNTS = "time,Bike,Walker\n" + "".join(f"2024-05-01T{hour:02d}:00,{600 + hour},400\n" for hour in range(24))
REQUEST = encode(Frame(Type.HELLO_REQUEST, 0, 0, 0, b"", b""), SCHEMA_HASH)


class Simulator:
    """The simulator as a child process."""

    def __init__(self, *options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "firmware_bridge.simulator", *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), False)
        self.lines: list[dict[str, Any]] = []
        self._rest = b""

    def pump(self) -> list[dict[str, Any]]:
        """Progress so far."""
        assert self.process.stdout is not None
        while piece := self.process.stdout.read():
            *whole, self._rest = (self._rest + piece).split(b"\n")
            self.lines += [json.loads(line) for line in whole]
        return self.lines

    def final(self) -> dict[str, Any] | None:
        """The last line, if it has come."""
        lines = self.pump()
        return lines[-1] if lines and lines[-1]["final"] else None

    def end(self) -> int:
        """Close stdin; the exit code."""
        assert self.process.stdin is not None
        assert self.process.stderr is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        code = self.process.wait(10)
        self.process.stdout.close()
        self.process.stderr.close()
        return code


@pytest.fixture
def counts(tmp_path: Path) -> Path:
    path = tmp_path / "counts.csv"
    path.write_text(COUNTS)
    return path


@pytest.fixture
def simulator(tmp_path: Path, counts: Path) -> Iterator[Simulator]:
    running = Simulator("--link", str(tmp_path / "tty"), "--replay", str(counts), "--canaries", "3", "--speed", "600")
    yield running
    if running.process.poll() is None:
        running.process.kill()
        running.end()


class Host:
    """Reads the simulator's tty as the bridge would."""

    def __init__(self, path: Path) -> None:
        self.port = Port(path, 115200)
        self.decoder = Decoder(SCHEMA_HASH)
        self.frames: list[tuple[Type, int, int, int, bytes, bytes]] = []

    def listen(self, for_s: float) -> None:
        ends_s = time.monotonic() + for_s
        while (left_s := ends_s - time.monotonic()) > 0:
            if readable(self.port, left_s):
                for f in self.decoder.feed(self.port.read()):
                    self.frames.append(
                        (f.type, f.sequence, f.board_ms, f.reading_count, bytes(f.body), bytes(f.identifiers))
                    )

    def listen_until(self, holds: Callable[[], bool]) -> None:
        ends_s = time.monotonic() + WITHIN_S
        while not holds():
            assert time.monotonic() < ends_s, self.types()
            self.listen(0.05)

    def types(self) -> set[Type]:
        return {frame[0] for frame in self.frames}

    def beats_ms(self) -> list[int]:
        """The board's own time of each heartbeat."""
        return [frame[2] for frame in self.frames if frame[0] is Type.HEARTBEAT]


def test_a_whole_run_through_the_bridge_loses_nothing(simulator: Simulator, tmp_path: Path) -> None:
    """FB-19: sent = handed over, the canaries are what was reported, the final line is the truth."""
    peer = Peer(tmp_path / "reading.sock")
    bridge = Bridge(write_config(tmp_path))
    try:
        until(lambda: len(peer.of(Kind.READINGS)) > 60, peer)
        simulator.process.send_signal(signal.SIGTERM)
        until(simulator.final, peer)
        final = simulator.final()
        assert final is not None
        until(lambda: sum(h.reading_count for h, _, _ in peer.of(Kind.READINGS)) >= final["readings_sent"], peer)
        gone = len(peer.of(Kind.BOARD_GONE))
        until(lambda: len(peer.of(Kind.ALIVE)) >= 3, peer)  # the line stays open, with heartbeats
        assert len(peer.of(Kind.BOARD_GONE)) == gone
        received = peer.of(Kind.READINGS)
        assert sum(header.reading_count for header, _, _ in received) == final["readings_sent"]
        assert len(received) == final["frames_sent"]
        assert final["classes"] == ["bike", "walker"]
        assert final["calendar"].startswith("2024-05-01T23:")
        assert abs(min(h.received_boot_ns for h, _, _ in received) - final["first_reading_boot_ns"]) < 5e9
        planted = {(c["identifier"], c["value"]) for c in final["canaries"]}
        assert planted
        seen = {
            (identifiers[:6].hex(), int.from_bytes(cbor.decode(body)[3].value[:4], "little"))
            for _, body, identifiers in received
            if identifiers
        }
        assert seen == planted
        assert simulator.end() == 0
        until(lambda: len(peer.of(Kind.BOARD_GONE)) > gone, peer)
        assert not (tmp_path / "tty").is_symlink()
    finally:
        bridge.end()
        peer.close()


def stands_still(lines: list[dict[str, Any]], count: int) -> bool:
    """Has the street waited for the last `count` reports?"""
    return len(lines) >= count and len({line["calendar"] for line in lines[-count:]}) == 1


def test_nothing_is_sent_before_the_host_asked_and_again_after_it_returns(simulator: Simulator, tmp_path: Path) -> None:
    """FB-10, FB-11, FB-19: the street waits for its host, and starts where it stood."""
    until(lambda: len(simulator.pump()) >= 2)
    assert simulator.lines[-1]["calendar"] == "2024-05-01T23:00:00"
    total = 0
    for _ in range(2):
        host = Host(tmp_path / "tty")
        host.listen_until(lambda host=host: len(host.beats_ms()) >= 3)  # type: ignore[misc]  # mypy cannot infer a lambda's default
        assert host.types() == {Type.HELLO, Type.HEARTBEAT}
        assert 990 <= min(after - before for before, after in itertools.pairwise(host.beats_ms())) < 1500
        host.port.write(REQUEST)
        host.listen_until(lambda host=host: Type.READINGS in host.types())  # type: ignore[misc]  # as above
        host.listen(1.0)
        hello = next(frame for frame in host.frames if frame[0] is Type.HELLO)
        (channel,) = hello_contract.decode(hello[4]).channels
        assert (channel.name, channel.kind, channel.classes) == ("street", "count", ("bike", "walker"))
        numbers = [frame[1] for frame in host.frames]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        stamps = [frame[2] for frame in host.frames]
        assert stamps == sorted(stamps)
        total += sum(frame[3] for frame in host.frames)
        host.port.close()
        reports = len(simulator.pump())
        until(lambda reports=reports: stands_still(simulator.pump()[reports:], 3))  # type: ignore[misc]  # as above
    assert total > 0
    until(lambda: simulator.pump()[-1]["readings_sent"] >= total)  # the report is half a second behind at most


def test_a_host_that_does_not_read_stops_the_street_and_loses_nothing(simulator: Simulator, tmp_path: Path) -> None:
    """FB-19: flow control."""
    until(lambda: (tmp_path / "tty").is_symlink())
    host = Host(tmp_path / "tty")
    host.port.write(REQUEST)
    until(lambda: stands_still(simulator.pump(), 4) and simulator.lines[-1]["readings_sent"] > 0, within_s=60)
    host.listen(1.5)
    simulator.process.send_signal(signal.SIGTERM)
    ends_s = time.monotonic() + WITHIN_S
    while simulator.final() is None:
        assert time.monotonic() < ends_s
        host.listen(0.1)
    host.listen(0.5)
    final = simulator.final()
    assert final is not None
    assert sum(frame[3] for frame in host.frames) == final["readings_sent"]
    assert not any(host.decoder.damaged.values())
    host.port.close()


def run(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "firmware_bridge.simulator", *options],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_classes_of_a_file_are_printed_without_running(counts: Path) -> None:
    done = run("--replay", str(counts), "--classes")
    assert (done.returncode, json.loads(done.stdout)) == (0, ["bike", "walker"])
    assert json.loads(run("--classes").stdout) == ["bike", "person", "vehicle"]


def test_bad_input_is_one_line_and_exit_2(tmp_path: Path, counts: Path) -> None:
    link = str(tmp_path / "tty")
    counts.write_text("t,a\nnever,1\n")
    for options in (["--replay", str(counts)], ["--replay", str(tmp_path / "absent.csv")]):
        done = run("--link", link, *options)
        assert done.returncode == 2
        assert done.stderr.startswith("error: ")
        assert len(done.stderr.splitlines()) == 1
    for options in (["--speed", "0"], ["--speed", "nan"], ["--frames-per-second", "x"], ["--canaries", "-1"], []):
        assert run(*(["--link", link] if options else []), *options).returncode == 2


def test_a_file_in_the_place_of_the_link_is_kept(tmp_path: Path) -> None:
    link = tmp_path / "tty"
    link.write_text("mine")
    done = run("--link", str(link))
    assert done.returncode == 3
    assert "not a symbolic link" in done.stderr
    assert link.read_text() == "mine"


def test_stdin_that_stays_open_keeps_the_line_for_a_while(simulator: Simulator, tmp_path: Path) -> None:
    until(lambda: (tmp_path / "tty").is_symlink())
    host = Host(tmp_path / "tty")
    simulator.process.send_signal(signal.SIGINT)
    until(simulator.final)
    host.listen(1.5)
    assert simulator.process.poll() is None
    assert Type.HEARTBEAT in host.types()
    assert simulator.end() == 0
    poll = select.poll()
    poll.register(host.port.fileno(), select.POLLIN)
    assert poll.poll(1000)[0][1] & select.POLLHUP
    host.port.close()
