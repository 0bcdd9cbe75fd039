"""What a city meets on its own side of `subscribe`: settings that cannot work, a full disk, a process that ends (OP-45 of agent/operations/SPEC.md)."""

import contextlib
import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from agent.cli.main import main
from agent.wire.cose import public_bytes
from tests.brokers import Mosquitto
from tests.operations.stories import PUBLIC, story, write_copy
from tests.operations.test_subscribe import ROOT, Subscriber
from tests.publisher.hostile_broker import CONNACK_5, HostileBroker
from tests.publisher.test_publisher_311 import VersionGate
from tests.publisher.unit_folders import FIRST_START, KEY, TIMEOUT_S, WINDOW_S, PublisherProcess, UnitFolder, wait_until


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--host", ""], "--host: expected a host name"),
        (["--host", "a..b", "--plain"], "--host: expected a host name"),
        (["--host", "x" * 300, "--plain"], "--host: expected a host name"),
        (["--port", "99999"], "--port: expected 1 to 65535"),
        (["--port", "-1"], "--port: expected 1 to 65535"),
        (["--root", "a/#"], "--root: expected the first topic level"),
        (["--root", "$share"], "--root: expected the first topic level"),
        (["--session", "a b"], "--session: expected letters"),
        (["--rate", "nan"], "--rate: expected seconds"),
        (["--keys", "{folder}/closed"], "closed: expected a folder that can be read"),
    ],
)
def test_what_cannot_work_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, options: list[str], words: str
) -> None:
    """OP-45: exit 2, nothing is tried."""
    closed = tmp_path / "closed"
    closed.mkdir()

    def unreadable(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", unreadable)  # root may read everything
    assert main(["subscribe", "--seconds", "1", *(option.format(folder=tmp_path) for option in options)]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    """OP-45: exit 3 and one line."""
    with Mosquitto(tmp_path) as broker, Path("/dev/full").open("wb") as full:
        command = [
            sys.executable,
            "-m",
            "agent.cli.main",
            "subscribe",
            "--host",
            "127.0.0.1",
            "--port",
            str(broker.port),
        ]
        ended = subprocess.run(
            [*command, "--csv"], stdout=full, stderr=subprocess.PIPE, cwd=ROOT, timeout=60, check=False
        )
    assert ended.returncode == 3
    assert ended.stderr.decode().startswith("error: standard output: No space left on device")
    assert ended.stderr.count(b"\n") == 1


def test_a_full_disk_is_no_finding(tmp_path: Path) -> None:
    """OP-45: `audit` exits with 1 for findings only."""
    copy = write_copy(tmp_path, story())
    command = [sys.executable, "-m", "agent.cli.main", "audit", "--log", str(copy), "--key", PUBLIC.hex()]
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, cwd=ROOT, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (3, b"error: standard output: No space left on device; make room\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_who_comes_back_gets_what_came_in_between(tmp_path: Path, number: int) -> None:
    """OP-45: a subscriber is restarted, or killed; with a session of its own it misses nothing that the broker keeps."""
    unit = UnitFolder(tmp_path / "unit")
    unit.announce()
    known = set[int]()
    with Mosquitto(tmp_path) as broker:
        unit.configure(broker.port)
        _begin_session(tmp_path, broker, broker.port)
        unit.release_windows(0, 3)
        with PublisherProcess(unit):
            for round_ in range(3):
                folder = tmp_path / str(round_)
                folder.mkdir()
                known |= _heard_until(folder, broker.port, known, 3 * round_ + 3, number)
                unit.release_windows(3 * round_ + 3, 3)
    assert len(known) == 9


def _begin_session(folder: Path, broker: Mosquitto, port: int) -> None:
    """From here on the broker keeps what comes."""
    with Subscriber(folder, port, "--session", "archive") as first:
        first.listens(broker)
        first.process.send_signal(signal.SIGTERM)
        assert first.process.wait(TIMEOUT_S) == 0


def _heard_until(folder: Path, port: int, known: set[int], many: int, number: int) -> set[int]:
    """The windows that one process heard of, which is ended when they are so many with those known."""
    with Subscriber(folder, port, "--json", "--session", "archive") as subscriber:

        def heard() -> set[int]:
            return {record["window_start"] for record in subscriber.records("release")}

        wait_until(lambda: len(known | heard()) == many, "releases")
        subscriber.process.send_signal(number)
        subscriber.process.wait(TIMEOUT_S)
        return heard()


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_what_was_not_handed_over_is_not_acknowledged(tmp_path: Path, version: str) -> None:
    """OP-13, OP-45: `--count` in the midst of what came together, and a disk that is full: the next under the name begins there."""
    unit = UnitFolder(tmp_path / "unit")
    unit.announce()

    def command(*options: str) -> list[str]:
        where = [
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--session",
            "archive",
            "--json",
            "--key",
            public_bytes(KEY).hex(),
        ]
        return [sys.executable, "-m", "agent.cli.main", "subscribe", *where, *options]

    def three() -> set[int]:
        """What one that ends by --count printed; where nothing more is there it ends by itself."""
        ended = subprocess.run(
            command("--count", "3", "--seconds", "10"), capture_output=True, cwd=ROOT, timeout=60, check=True
        )
        records = map(json.loads, ended.stdout.splitlines())
        return {record["window_start"] for record in records if record["type"] == "release"}

    with Mosquitto(tmp_path) as broker, contextlib.closing(VersionGate(broker.port, b"\x20\x02\x00\x01")) as gate:
        port = broker.port if version == "5" else gate.port
        unit.configure(port)
        _begin_session(tmp_path, broker, port)
        unit.release_windows(0, 9)
        with PublisherProcess(unit):
            wait_until(lambda: unit.passed() == 9, "the releases")
        with Path("/dev/full").open("wb") as full:
            ended = subprocess.run(command(), stdout=full, stderr=subprocess.DEVNULL, cwd=ROOT, timeout=60, check=False)
        assert ended.returncode == 3
        heard = set[int]()
        for _ in range(12):  # acknowledgements may be lost with the connection: perhaps once more, and never left out
            heard |= three()
            assert heard == {FIRST_START + WINDOW_S * number for number in range(len(heard))}
            if len(heard) == 9:
                break
        assert len(heard) == 9


def test_a_member_that_leaves_takes_no_share_with_it(tmp_path: Path) -> None:
    """OP-11, OP-14: its session ends with it, so that the broker gives the others everything."""
    unit = UnitFolder(tmp_path / "unit")
    unit.announce()
    folders = [tmp_path / name for name in ("leaves", "stays")]
    for folder in folders:
        folder.mkdir()
    with Mosquitto(tmp_path) as broker:
        unit.configure(broker.port)
        leaves, stays = (Subscriber(folder, broker.port, "--json", "--group", "city") for folder in folders)
        with leaves, stays:
            wait_until(lambda: broker.log.count("Sending SUBACK to dtpr-subscribe") == 2, "both")
            leaves.process.send_signal(signal.SIGTERM)
            assert leaves.process.wait(TIMEOUT_S) == 0
            wait_until(lambda: broker.log.count("Received DISCONNECT from dtpr-subscribe") == 1, "its goodbye")
            unit.release_windows(0, 8)
            with PublisherProcess(unit):
                wait_until(lambda: unit.passed() == 8, "the releases")
                wait_until(lambda: len(stays.records("release")) == 8, "all of them")


def test_two_with_one_session_are_told(tmp_path: Path) -> None:
    """OP-45: they would throw each other out for ever. (Mosquitto 2.0.11 hangs up without a reason.)"""

    def script(client: socket.socket, number: int) -> None:
        client.sendall(CONNACK_5)
        client.recv(4096)
        client.sendall(bytes.fromhex("e0018e"))

    with HostileBroker(script) as broker, Subscriber(tmp_path, broker.port, "--session", "one") as first:
        assert first.process.wait(TIMEOUT_S) == 3
        assert "took over its session one" in first.errors
