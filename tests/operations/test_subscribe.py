"""`dtpr-agent subscribe` against a real broker and a real publisher. Rules OP-n are those of agent/operations/SPEC.md."""

import base64
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

from agent.errors import SettingsError
from agent.operations.subscribe import load_public_key
from tests.brokers import Mosquitto, TlsFiles, free_port
from tests.publisher.certificates import Authority
from tests.publisher.unit_folders import KEY, TIMEOUT_S, PublisherProcess, UnitFolder, wait_until

ROOT = Path(__file__).parents[2]


class Subscriber:
    """`dtpr-agent subscribe` as a process, its output in files."""

    def __init__(self, folder: Path, port: int, *options: str) -> None:
        self._out, self._err = folder / "out", folder / "err"
        command = [sys.executable, "-m", "agent.cli.main", "subscribe", "--host", "127.0.0.1", "--port", str(port)]
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen([*command, *options], stdout=out, stderr=err, cwd=ROOT)

    def listens(self, broker: Mosquitto) -> None:
        """Wait until the broker has confirmed its subscription."""
        wait_until(lambda: "Sending SUBACK to dtpr-subscribe" in broker.log, "the subscription")

    @property
    def text(self) -> str:
        return self._out.read_text(encoding="utf-8")

    @property
    def errors(self) -> str:
        return self._err.read_text(encoding="utf-8")

    def records(self, kind: str) -> list[dict[str, Any]]:
        """Whole NDJSON lines so far, of one type."""
        lines = self.text.split("\n")[:-1]
        return [record for record in map(json.loads, lines) if record["type"] == kind]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(TIMEOUT_S)


@pytest.fixture
def unit(tmp_path: Path) -> UnitFolder:
    folder = UnitFolder(tmp_path / "unit")
    folder.announce()
    return folder


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path) as running:
        yield running


def test_ndjson_with_raw_and_a_key(tmp_path: Path, unit: UnitFolder, broker: Mosquitto) -> None:
    """OP-1, OP-9: every type, verified, with the bytes themselves; ends by --count with exit 0."""
    unit.configure(broker.port)
    payloads = unit.release_windows(0, 3)
    options = ("--json", "--raw", "--key", unit.state.public_key, "--count", "3")
    with Subscriber(tmp_path, broker.port, *options) as subscriber:
        subscriber.listens(broker)
        with PublisherProcess(unit):
            assert subscriber.process.wait(TIMEOUT_S) == 0
        releases = subscriber.records("release")
        assert [base64.b64decode(r["payload_base64"]) for r in releases] == payloads
        assert all(r["verified"] is True and r["disclosure_announced"] for r in releases)
        assert [r["log_index"] for r in releases] == [0, 1, 2]
        assert releases[0]["topic"] == f"{unit.base}/agg/crossings"
        assert {pair[0] for pair in releases[0]["user_properties"]} == {"sig", "log-index", "disclosure", "late"}
        for kind in ("disclosure", "checkpoint"):
            assert subscriber.records(kind)[0]["verified"] is True
        assert subscriber.records("state")[0]["connection"] == "online"
        assert subscriber.errors == ""


def test_table_for_people(tmp_path: Path, unit: UnitFolder, broker: Mosquitto) -> None:
    """OP-10: one aligned line a release, suppressed as under its threshold."""
    unit.configure(broker.port)
    unit.release_windows(0, 2)
    with Subscriber(tmp_path, broker.port, "--key", unit.state.public_key, "--count", "2") as subscriber:
        subscriber.listens(broker)
        with PublisherProcess(unit):
            assert subscriber.process.wait(TIMEOUT_S) == 0
        head, *rows = [line for line in subscriber.text.splitlines() if not line.startswith("#")]
        assert head.startswith("window begins (UTC)")
        assert "bicycle 20  pedestrian 31" in rows[0]
        assert "bicycle <18  pedestrian 31" in rows[1]
        assert all(row.endswith("complete  ✓  (late)") for row in rows)
        assert len({row.index("complete") for row in rows}) == 1


def test_a_broker_restart_loses_nothing_for_a_live_subscriber(
    tmp_path: Path, unit: UnitFolder, broker: Mosquitto
) -> None:
    """PB-7, OP-11: the subscriber is back before the first datum of the new connection."""
    unit.configure(broker.port)
    unit.release_windows(0, 5)
    with Subscriber(tmp_path, broker.port, "--json", "--key", unit.state.public_key) as subscriber:
        subscriber.listens(broker)
        with PublisherProcess(unit):
            for round_ in range(1, 4):
                wait_until(
                    lambda n=round_: len({r["window_start"] for r in subscriber.records("release")}) >= 5 * n,  # type: ignore[misc]  # mypy cannot type a lambda's default
                    "releases",
                )
                broker.kill()
                unit.release_windows(5 * round_, 5)
                time.sleep(1.0)
                broker.start()
            wait_until(lambda: len({r["window_start"] for r in subscriber.records("release")}) >= 20, "all releases")
        assert not any(r["conflict"] or r["missing_before"] for r in subscriber.records("release"))


def publish_raw(port: int, messages: list[tuple[str, bytes]]) -> None:
    client = Client(CallbackAPIVersion.VERSION2, "hostile", protocol=MQTTv5)
    client.connect("127.0.0.1", port)
    client.loop_start()
    for topic, payload in messages:
        client.publish(topic, payload, qos=1).wait_for_publish(10)
    client.disconnect()
    client.loop_stop()


def test_hostile_messages_do_not_reach_the_terminal(tmp_path: Path, unit: UnitFolder, broker: Mosquitto) -> None:
    """OP-8: escape sequences in topic and payload, oversized payloads; one line each, and the next release still comes."""
    unit.configure(broker.port)
    with Subscriber(tmp_path, broker.port) as subscriber:
        subscriber.listens(broker)
        escape = "\u202egnp.exe"  # a broker refuses control characters in a topic, but not this
        publish_raw(
            broker.port,
            [
                (f"dtpr/v1/a/b/{escape}/state", b"{}"),
                (f"{unit.base}/state", b"\x1b[2J"),
                (f"{unit.base}/agg/crossings", b"x" * 70_000),
                (f"{unit.base}/agg/crossings", b"y" * 2_000_000),
                (f"{unit.base}/disclosure", b"[" * 60_000),
            ],
        )
        unit.release_windows(0, 1)
        with PublisherProcess(unit):
            wait_until(lambda: "complete" in subscriber.text, "the release")
        assert subscriber.process.poll() is None
        assert "\x1b" not in subscriber.text
        assert "\u202e" not in subscriber.text
        assert sum(line.startswith("! ") for line in subscriber.text.splitlines()) == 4
        assert "Traceback" not in subscriber.errors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_is_a_quiet_exit_0(tmp_path: Path, broker: Mosquitto, number: int) -> None:
    """OP-11."""
    with Subscriber(tmp_path, broker.port) as subscriber:
        subscriber.listens(broker)
        subscriber.process.send_signal(number)
        assert subscriber.process.wait(TIMEOUT_S) == 0
        assert subscriber.errors == ""


def test_seconds_ends_it(tmp_path: Path, broker: Mosquitto) -> None:
    """OP-11."""
    with Subscriber(tmp_path, broker.port, "--seconds", "0.5") as subscriber:
        assert subscriber.process.wait(TIMEOUT_S) == 0


def test_a_pipe_that_closes_is_not_an_error(unit: UnitFolder, broker: Mosquitto) -> None:
    """OP-11: `| head`."""
    unit.configure(broker.port)
    unit.release_windows(0, 1)
    command = [sys.executable, "-m", "agent.cli.main", "subscribe", "--host", "127.0.0.1", "--port", str(broker.port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        with PublisherProcess(unit):
            assert process.wait(TIMEOUT_S) == 0
        assert process.stderr.read() == b""


def test_no_broker_and_a_refusal_are_named(tmp_path: Path) -> None:
    """OP-11: exit 3 and one line."""
    with Mosquitto(tmp_path, refuse_all=True) as broker, Subscriber(tmp_path, broker.port) as subscriber:
        assert subscriber.process.wait(TIMEOUT_S) == 3
        assert subscriber.errors.startswith("error: MQTT broker")
        assert subscriber.errors.count("\n") == 1
    with Subscriber(tmp_path, free_port()) as subscriber:
        assert subscriber.process.wait(40) == 3
        waiting, error = subscriber.errors.splitlines()
        assert waiting.startswith("# no connection to MQTT broker")
        assert error.startswith("error: MQTT broker")


def test_over_tls(tmp_path: Path, unit: UnitFolder) -> None:
    """OP-11: own authority; the wrong one is exit 3."""
    authority, stranger = Authority(tmp_path / "ca"), Authority(tmp_path / "other", "stranger")
    server = authority.issue("localhost")
    with Mosquitto(tmp_path, tls=TlsFiles(authority.certificate, server.certificate, server.key)) as broker:
        unit.configure(broker.port, f'ca_file = "{authority.certificate}"')
        unit.release_windows(0, 1)
        options = ("--host", "localhost", "--tls", "--count", "1")
        ours = ("--ca-file", str(authority.certificate))
        with Subscriber(tmp_path, broker.port, *options, *ours) as subscriber:
            subscriber.listens(broker)
            with PublisherProcess(unit):
                assert subscriber.process.wait(TIMEOUT_S) == 0
        with Subscriber(tmp_path, broker.port, *options, "--ca-file", str(stranger.certificate)) as subscriber:
            assert subscriber.process.wait(TIMEOUT_S) == 3
            assert "TLS failed" in subscriber.errors


def test_keys_as_hex_file_and_pem(tmp_path: Path) -> None:
    """OP-9: and everything else is a SettingsError."""
    raw = KEY.public_key().public_bytes_raw()
    (tmp_path / "hex").write_text(raw.hex() + "\n")
    (tmp_path / "pem").write_bytes(KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    assert (
        load_public_key(raw.hex()) == load_public_key(str(tmp_path / "hex")) == load_public_key(str(tmp_path / "pem"))
    )
    (tmp_path / "junk").write_bytes(b"\xff\x00junk")
    for wrong in ("", "00", str(tmp_path / "junk"), str(tmp_path / "absent"), "\x00", str(tmp_path)):
        with pytest.raises(SettingsError):
            load_public_key(wrong)
