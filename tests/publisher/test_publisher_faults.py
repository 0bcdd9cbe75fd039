"""What goes wrong around the publisher, each with its name. Rules PB-n are those of agent/publisher/SPEC.md."""

import contextlib
import dataclasses
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent.contracts.log_file import RELEASES, iter_records
from agent.contracts.public import ENVELOPE, STATE
from agent.local.files import write_atomic
from agent.publisher.cursor import SLOT_BYTES
from agent.wire.tiles import WIDTH
from agent.wire.tlog import TreeHead
from tests.brokers import Mosquitto, free_port
from tests.publisher.listeners import Listener
from tests.publisher.unit_folders import STREAM, PublisherProcess, UnitFolder, wait_until

DATA = f"agg/{STREAM}"
TOPIC_ENDS = ("state", "disclosure", "disclosure/upcoming", "checkpoint", "health", DATA)


def test_refused_login_is_named_and_tried_again(tmp_path: Path, unit: UnitFolder) -> None:
    """PB-13: broker_refused; the process stays, says no secret, and works once the password is right."""
    secret = tmp_path / "password"
    secret.write_text("wrong-secret\n")
    secret.chmod(0o600)
    expected = unit.release_windows(0, 2)
    with Mosquitto(tmp_path, login=("unit", "right")) as broker:
        unit.configure(broker.port, f'tls = false\nusername = "unit"\npassword_file = "{secret}"')
        with PublisherProcess(unit) as publisher:
            wait_until(lambda: '"broker_refused"' in unit.status(), "the refusal")
            assert publisher.process is not None
            assert publisher.process.poll() is None
            assert "wrong-secret" not in publisher.log + unit.status()
            assert publisher.stop() == 0
            secret.write_text("right\n")
            with Listener(broker.port, login=("unit", "right")) as city:
                publisher.start()
                wait_until(lambda: len(city.heard(DATA)) >= 2, "releases")
                assert city.payloads(DATA) == expected


def test_broker_that_lets_nobody_in(tmp_path: Path, unit: UnitFolder) -> None:
    """PB-13: an anonymous login refused is a refusal too."""
    with Mosquitto(tmp_path, refuse_all=True) as broker:
        unit.configure(broker.port)
        with PublisherProcess(unit):
            wait_until(lambda: '"broker_refused"' in unit.status(), "the refusal")


def test_refused_topic_is_not_taken_for_delivery(tmp_path: Path, unit: UnitFolder) -> None:
    """PB-9: a PUBACK with an error is no acknowledgement; the backlog stays until the ACL allows it."""
    expected = unit.release_windows(0, 2)
    with Mosquitto(tmp_path, acl=f"topic readwrite {unit.base}/state\n") as broker:
        unit.configure(broker.port)
        with PublisherProcess(unit):
            wait_until(lambda: '"broker_refused"' in unit.status(), "the refusal")
            assert not unit.cursor.exists()
            (broker.folder / "acl").write_text("topic readwrite #\n")
            broker.stop()
            broker.start()
            with Listener(broker.port) as city:
                wait_until(lambda: len(city.heard(DATA)) >= 2, "releases")
                assert city.payloads(DATA)[:2] == expected


def test_tiles_that_a_broker_refuses_cost_nothing_else(tmp_path: Path, unit: UnitFolder) -> None:
    """PB-48: an access list of before there were tiles; the connection lasts, and what is logged goes out at once."""
    expected = unit.release_windows(0, WIDTH)
    allowed = "".join(
        f"topic write {unit.base}/{level}\n" for level in ("agg/#", "state", "disclosure/#", "checkpoint", "health")
    )
    with Mosquitto(tmp_path, acl=f"{allowed}topic read #\n") as broker, Listener(broker.port) as city:
        unit.configure(broker.port)
        with PublisherProcess(unit) as publisher:
            wait_until(lambda: "takes no bundles and tiles" in publisher.log, "the refusal")
            expected += unit.release_windows(WIDTH, 3)
            wait_until(lambda: len(city.heard(DATA)) >= WIDTH + 3, "the releases")
            assert city.payloads(DATA) == expected
            assert not city.heard("log/entries/000")
        assert publisher.log.count("connected to the MQTT broker") == 1
        assert publisher.log.count("takes no bundles and tiles") <= 2


@pytest.mark.parametrize("damage", ["half", "empty", "flipped", "long"])
def test_damaged_cursor_is_said_and_nothing_is_lost(tmp_path: Path, unit: UnitFolder, damage: str) -> None:
    """PB-10: cursor_damaged is shown, and sending resumes from the last whole position."""
    expected = unit.release_windows(0, 30)
    with Mosquitto(tmp_path) as broker:
        unit.configure(broker.port)
        with PublisherProcess(unit) as publisher:
            wait_until(lambda: unit.passed() == 30, "the cursor")
            expected += unit.release_windows(30, 1)
            wait_until(lambda: unit.passed() == 31, "the cursor")
            publisher.kill()
            whole = unit.cursor.read_bytes()
            flipped = whole.replace(b" 31 ", b" 21 ", 1)
            unit.cursor.write_bytes(
                {"half": whole[: SLOT_BYTES // 2], "empty": b"", "flipped": flipped, "long": whole * 20}[damage]
            )
            expected += unit.release_windows(31, 1)
            with Listener(broker.port) as city:
                publisher.start()
                wait_until(lambda: expected[-1] in city.payloads(DATA), "the newest release")
                heard = city.payloads(DATA)
            again = 30 if damage == "flipped" else 0  # its other slot is whole: only one entry is sent again
            assert heard == expected[again:]
            wait_until(lambda: '"cursor_damaged"' in unit.status(), "the fault in the status")
            assert "cursor" in publisher.log


def test_checkpoint_beyond_the_file_waits_for_it(tmp_path: Path, unit: UnitFolder) -> None:
    """PB-11: log_damaged, the process lives, the state still goes out; whole again, all goes on."""
    expected = unit.release_windows(0, 2)
    unit.checkpoint(entries=3, bytes=unit.bytes + 500)
    with Mosquitto(tmp_path) as broker, Listener(broker.port) as city:
        unit.configure(broker.port)
        with PublisherProcess(unit):
            wait_until(lambda: '"log_damaged"' in unit.status(), "the damage")
            wait_until(lambda: b'"publisher":"log_damaged"' in b"".join(city.payloads("/state")[-1:]), "the state")
            expected += unit.release_windows(2, 1)
            wait_until(lambda: len(city.heard(DATA)) >= 3, "releases")
            wait_until(lambda: '"ok": true' in unit.status(), "recovery")
        assert city.payloads(DATA) == expected


def test_damaged_record_stops_before_it(tmp_path: Path, unit: UnitFolder) -> None:
    """PB-11: nothing from a record whose checksum fails, nothing after it; repaired, it goes on."""
    expected = unit.release_windows(0, 3)
    path = unit.log / RELEASES
    whole = path.read_bytes()
    start = len(whole) * 2 // 3 + 100
    path.write_bytes(whole[:start] + bytes([whole[start] ^ 1]) + whole[start + 1 :])
    with Mosquitto(tmp_path) as broker, Listener(broker.port) as city:
        unit.configure(broker.port)
        with PublisherProcess(unit):
            wait_until(lambda: '"log_damaged"' in unit.status(), "the damage")
            wait_until(lambda: len(city.heard(DATA)) >= 2, "what is whole")
            assert city.payloads(DATA) == expected[:2]
            path.write_bytes(whole)
            wait_until(lambda: len(city.heard(DATA)) >= 3, "the rest")
        assert city.payloads(DATA) == expected


@pytest.mark.parametrize("running", [True, False])
def test_shorter_log_is_said_and_sent_from_where_it_can_be_proven(
    tmp_path: Path, unit: UnitFolder, running: bool
) -> None:
    """PB-11: a log replaced by a shorter one; every release of the new one arrives."""
    unit.release_windows(0, 20)
    with Mosquitto(tmp_path) as broker, Listener(broker.port) as city:
        unit.configure(broker.port)
        with PublisherProcess(unit) as publisher:
            wait_until(lambda: unit.passed() == 20, "the cursor")
            if not running:
                publisher.kill()
            other = UnitFolder(tmp_path / "other")
            expected = other.release_windows(100, 5)
            (other.log / RELEASES).rename(unit.log / RELEASES)
            other.shown.rename(unit.shown)
            if not running:
                publisher.start()
            wait_until(lambda: len(city.heard(DATA)) >= 25, "the new log")
            assert city.payloads(DATA)[20:] == expected
            wait_until(lambda: '"log_damaged"' in unit.status(), "the damage in the status")


def test_older_checkpoint_over_the_same_log_is_waited_out(tmp_path: Path, unit: UnitFolder) -> None:
    """PB-11: after a power cut the checkpoint may lag behind what was acknowledged; nothing is sent twice for that."""
    unit.release_windows(0, 5)
    old = (unit.head.size, unit.bytes)
    unit.release_windows(5, 5)
    with Mosquitto(tmp_path) as broker, Listener(broker.port) as city:
        unit.configure(broker.port)
        with PublisherProcess(unit) as publisher:
            wait_until(lambda: unit.passed() == 10, "the cursor")
            publisher.kill()
            unit.checkpoint(entries=old[0], bytes=old[1])
            publisher.start()
            wait_until(lambda: '"log_damaged"' in unit.status(), "the lag")
            live = unit.release_windows(10, 1)
            wait_until(lambda: len(city.heard(DATA)) >= 11, "the next release")
        assert len(city.heard(DATA)) == 11
        assert city.payloads(DATA)[-1:] == live


def test_envelope_that_is_none_is_named(tmp_path: Path, unit: UnitFolder) -> None:
    """PB-4: a damaged envelope is not announced, and without a disclosure nothing is published."""
    unit.release_windows(0, 1)
    (unit.public / ENVELOPE).write_bytes(b"\xd2\x84not an envelope")
    with Mosquitto(tmp_path) as broker, Listener(broker.port) as city:
        unit.configure(broker.port)
        with PublisherProcess(unit):
            wait_until(lambda: '"public_damaged"' in unit.status(), "the damage")
            assert not city.heard()
            unit.announce()
            wait_until(lambda: len(city.heard(DATA)) >= 1, "the release")


def test_stream_that_is_no_topic_level_is_log_damaged(tmp_path: Path, unit: UnitFolder) -> None:
    """PB-11: the record is whole, its stream is not one: what is before it is sent, nothing of it, and the process lives."""
    expected = unit.release_windows(0, 2)
    whole = (unit.log / RELEASES).read_bytes(), unit.shown.read_bytes()
    with Mosquitto(tmp_path) as broker, Listener(broker.port) as city:
        unit.configure(broker.port)
        with PublisherProcess(unit) as publisher:
            wait_until(lambda: len(city.heard(DATA)) >= 2, "releases")
            for number, stream in enumerate(("#", "a/b")):
                unit.append(dataclasses.replace(unit.release(10 + number), stream=stream))
                wait_until(lambda: '"log_damaged"' in unit.status(), repr(stream))
                assert publisher.process is not None
                assert publisher.process.poll() is None
                (unit.log / RELEASES).write_bytes(whole[0])
                write_atomic(unit.shown, whole[1])
                unit.head, unit.bytes = TreeHead(), len(whole[0])
                for _, entry in iter_records(whole[0]):
                    unit.head.append(entry)
                wait_until(lambda: '"ok": true' in unit.status(), "the log as it was")
            expected += unit.release_windows(2, 1)
            wait_until(lambda: len(city.heard(DATA)) >= 3, "the next release")
        assert city.payloads(DATA) == expected
        assert {heard.topic for heard in city.heard()} <= {f"{unit.base}/{end}" for end in TOPIC_ENDS}


@pytest.mark.parametrize(
    "change",
    [{"city": "a/b"}, {"site": "#"}, {"unit": "+"}, {"unit": ""}, {"unit": "\ud800"}, {"gate": "\ud800"}, {"city": "a\n"},
     {"collect_within_s": -1}, {"collect_within_s": 2**32}],
)  # fmt: skip
def test_state_that_cannot_be_published_is_public_damaged(
    tmp_path: Path, unit: UnitFolder, change: dict[str, object]
) -> None:
    """PB-1, PB-3: the last good state stays in use, the process lives, and a good state ends it."""
    good = unit.state
    with Mosquitto(tmp_path) as broker, Listener(broker.port) as city:
        unit.configure(broker.port)
        with PublisherProcess(unit) as publisher:
            wait_until(lambda: bool(city.heard("/disclosure")), "the announcements")
            unit.announce(**change)
            wait_until(lambda: '"public_damaged"' in unit.status(), "the damage")
            expected = unit.release_windows(0, 1)
            wait_until(lambda: city.payloads(DATA) == expected, "a release under the last good state")
            assert publisher.process is not None
            assert publisher.process.poll() is None
            unit.state = good
            unit.announce()
            wait_until(lambda: '"public_damaged"' not in unit.status(), "recovery")
            assert publisher.stop() == 0


def test_cursor_that_cannot_be_written_is_named(tmp_path: Path, unit: UnitFolder) -> None:
    """PB-9: publishing goes on; the status says that a restart would repeat releases."""
    unit.release_windows(0, 2)
    unit.cursor = unit.folder / "absent" / "cursor"
    with Mosquitto(tmp_path) as broker, Listener(broker.port) as city:
        unit.configure(broker.port)
        with PublisherProcess(unit):
            wait_until(lambda: len(city.heard(DATA)) >= 2, "releases")
            wait_until(lambda: '"cursor_unwritable"' in unit.status(), "the fault")
            unit.cursor.parent.mkdir()
            wait_until(unit.cursor.exists, "the cursor")
            wait_until(lambda: '"ok": true' in unit.status(), "recovery")


def test_stop_while_the_broker_does_not_answer(unit: UnitFolder) -> None:
    """PB-14: SIGTERM during a connection attempt ends it at once."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        unit.configure(int(silent.getsockname()[1]))
        with PublisherProcess(unit) as publisher:
            connection, _ = silent.accept()
            with connection:
                assert publisher.process is not None
                assert publisher.stop() == 0


def test_exact_counters_are_refused_outside_the_demo(unit: UnitFolder) -> None:
    """I1, PB-14: DemoOnly, exit 4; with the demo's policy a line comes."""
    unit.configure(free_port())
    reader, writer = os.pipe()
    with PublisherProcess(unit, "--exact-counters", str(writer), pass_fds=(writer,)) as publisher:
        assert publisher.process is not None
        assert publisher.process.wait(25) == 4
        assert "exact counters" in publisher.log
        unit.announce(demo=True)
        publisher.start()
        os.close(writer)
        line = json.loads(os.read(reader, 65536).split(b"\n")[0])
        assert set(line) == {"daemon", "connected", "published", "acknowledged", "cursor", "backlog", "pss_kib"}
        assert publisher.stop() == 0
    os.close(reader)


@pytest.mark.parametrize("after", ["absent", "damaged", "another policy"])
def test_exact_counters_stop_when_the_policy_is_no_longer_known_to_be_the_demos(unit: UnitFolder, after: str) -> None:
    """I1, PB-14: the permission is asked for at every line: silence without a state, exit 4 under another policy."""
    unit.configure(free_port())
    unit.announce(demo=True)
    reader, writer = os.pipe()
    with PublisherProcess(unit, "--exact-counters", str(writer), pass_fds=(writer,)) as publisher:
        os.close(writer)
        os.set_blocking(reader, False)
        wait_until(lambda: drained(reader) > 0, "a line")
        match after:
            case "absent":
                (unit.public / STATE).unlink()
            case "damaged":
                (unit.public / STATE).write_bytes(b"{")
            case _:
                unit.announce(demo=False)
        time.sleep(0.2)
        drained(reader)  # one that was being written
        time.sleep(1.5)
        assert drained(reader) == 0
        assert publisher.process is not None
        if after == "another policy":
            assert publisher.process.wait(25) == 4
        else:
            assert publisher.process.poll() is None
            unit.announce(demo=True)
            wait_until(lambda: drained(reader) > 0, "a line again")
    os.close(reader)


def drained(reader: int) -> int:
    """How many bytes the pipe held."""
    count = 0
    with contextlib.suppress(BlockingIOError):
        while octets := os.read(reader, 65536):
            count += len(octets)
    return count


def test_settings_that_cannot_work_are_one_line_and_exit_2(tmp_path: Path, unit: UnitFolder) -> None:
    """I8: missing agent.toml, an open password file, a CA that is none."""
    secret = tmp_path / "password"
    secret.write_text("secret")
    secret.chmod(0o644)
    (tmp_path / "ca.pem").write_text("no certificate")
    for mqtt, words in (
        (None, "agent.toml"),
        (f'tls = false\nusername = "u"\npassword_file = "{secret}"', "chmod 600"),
        (f'ca_file = "{tmp_path}/ca.pem"', "ca_file"),
    ):
        unit.configure(free_port(), mqtt or "tls = false")
        config = unit.config if mqtt else tmp_path / "absent" / "agent.toml"
        done = subprocess.run(
            [sys.executable, "-m", "agent.publisher", "--config", str(config)],
            capture_output=True,
            text=True,
            timeout=25,
            check=False,
        )
        assert done.returncode == 2
        assert done.stderr.startswith("error: ")
        assert words in done.stderr
        assert done.stderr.count("\n") == 1


def test_the_process_never_loads_what_it_must_not_see(unit: UnitFolder) -> None:
    """Separation: the running daemon's modules hold no reading, numpy, anonymizer, serial, cryptography or random noise."""
    unit.release_windows(0, 2)
    code = """
import sys, json, threading, os, signal, time
def end():
    while not os.path.exists(sys.argv[2]):  # the cursor: it has sent something, and heard that it arrived
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGTERM)
threading.Thread(target=end, daemon=True).start()
from agent.publisher.__main__ import main
code = main(["--config", sys.argv[1]])
print(json.dumps([code, sorted(sys.modules)]))
"""
    with Mosquitto(unit.folder) as broker, Listener(broker.port) as city:
        unit.configure(broker.port)
        done = subprocess.run(
            [sys.executable, "-c", code, str(unit.config), str(unit.cursor)],
            capture_output=True,
            text=True,
            timeout=25,
            check=True,
        )
        wait_until(lambda: bool(city.heard(DATA)), "a release")  # it did its job; SIGTERM may come between two
    status, modules = json.loads(done.stdout)
    assert status == 0
    forbidden = (
        "agent.contracts.reading",
        "agent.anonymizer",
        "agent.beacon",
        "agent.cli",
        "firmware_bridge",
        "numpy",
        "serial",
        "cryptography",
        "dbus_fast",
        "bumble",
    )
    assert not [m for m in modules if any(m == f or m.startswith(f"{f}.") for f in forbidden)]
    assert "agent.publisher.session" in modules
