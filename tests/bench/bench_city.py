"""The city's side at a real mosquitto: `subscribe` with every signature verified against paho that only counts, and a thousand simulated units.

Both subscribers receive the same messages of the same run, at QoS 1; what is compared is processor time a message, because two cores are shared by
publisher, broker and both. The limit that Ed25519 sets is measured in the same run: the time of raw paho and of the signatures alone.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from nacl.bindings import crypto_sign_open

from agent.wire.cose import public_bytes
from tests.bench.record import best_of, record
from tests.brokers import Mosquitto
from tests.memory import resident_kib
from tests.operations.fleets import ROOT, done, simulate
from tests.publisher.unit_folders import wait_until

UNITS = 1000
SUSTAINED_S = float(os.environ.get("DTPR_BENCH_SUSTAINED_S", "300"))
RATE = 100.0
TICK = os.sysconf("SC_CLK_TCK")
QUIET = ("log_type error", "log_type subscribe", "max_queued_messages 0", "max_inflight_messages 1000")
"""A broker for many: nothing is dropped for a subscriber that is slower than a burst."""

TIMEOUT_S = 120.0
GROUP = "$share/city/dtpr/v1/+/+/+/agg/+"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(8192, hard), hard))
    with Mosquitto(tmp_path, extra=QUIET) as running:
        yield running


def cpu_s(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def make_keys(broker: Mosquitto, keys: Path, *options: str) -> None:
    """The key directory, before any unit is there."""
    assert done(simulate(broker, keys, *options, "--seconds", "0"), TIMEOUT_S) == {}


def quiet(pids: list[int]) -> None:
    """Wait until none of them works any more."""
    before, still = [-1.0] * len(pids), 0
    deadline = time.monotonic() + TIMEOUT_S
    while still < 4:
        now = [cpu_s(pid) for pid in pids]
        still = still + 1 if sum(now) - sum(before) <= 2 / TICK else 0
        before = now
        assert time.monotonic() < deadline
        time.sleep(0.25)


def verify_s() -> float:
    """One Ed25519 verification of a pack's length, by the library alone."""
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    public, text = public_bytes(key), bytes(700)
    signed = key.sign(text) + text
    return best_of(5, lambda: [crypto_sign_open(signed, public) for _ in range(500)]) / 500


def test_subscribe_and_verify_against_raw_paho(broker: Mosquitto, tmp_path: Path) -> None:
    """The same messages to both, from the first retained one on."""
    keys = tmp_path / "keys.json"
    fleet = ("--units", "50", "--rate", "0", "--secret", str(tmp_path / "secret"))
    make_keys(broker, keys, *fleet)
    ours_out = tmp_path / "ours.ndjson"
    python = [sys.executable, "-m"]
    options = ["--host", broker.host, "--port", str(broker.port), "--keys", str(keys), "--json"]
    with ours_out.open("wb") as out:
        ours = subprocess.Popen([*python, "agent.cli.main", "subscribe", *options], cwd=ROOT, stdout=out)
        raw = subprocess.Popen([*python, "tests.bench.raw_paho", str(broker.port)], cwd=ROOT)
    try:
        wait_until(
            lambda: broker.log.count(" 1 #\n") + broker.log.count("/+/+/+/#\n") == 2, "both subscribers", TIMEOUT_S
        )
        quiet([ours.pid, raw.pid])
        before = cpu_s(ours.pid), cpu_s(raw.pid)
        done(simulate(broker, keys, *fleet, "--seconds", "15"), 4 * TIMEOUT_S)
        quiet([ours.pid, raw.pid])
        spent = cpu_s(ours.pid) - before[0], cpu_s(raw.pid) - before[1]
    finally:
        for process in (ours, raw):
            process.kill()
            process.wait()
    lines = [json.loads(line) for line in ours_out.read_text().splitlines()]
    signed = [line for line in lines if line["type"] in ("release", "checkpoint")]
    assert len(signed) > 2000
    assert all(line["verified"] for line in signed)
    messages = len(lines)
    limit = messages / (spent[1] + len(signed) * verify_s())
    record(
        {
            "city: raw paho, messages/s of one core": messages / spent[1],
            "city: subscribe and verify, messages/s of one core": messages / spent[0],
            "city: paho and the signatures alone, messages/s of one core": limit,
            "ratio_city_subscribe_to_raw_paho": spent[1] / spent[0],
            "ratio_city_subscribe_to_ed25519_limit": messages / spent[0] / limit,
        }
    )
    assert messages / spent[0] >= min(0.6 * messages / spent[1], limit)


@contextmanager
def group_of(broker: Mosquitto, keys: Path, folder: Path, members: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """So many `subscribe --group` processes, each writing NDJSON into `folder`; ended with the block."""
    options = ["--host", broker.host, "--port", str(broker.port), "--keys", str(keys), "--group", "city", "--json"]
    command = [sys.executable, "-m", "agent.cli.main", "subscribe", *options]
    before = broker.log.count(GROUP)
    found = []
    for number in range(members):
        with (folder / f"{number}.ndjson").open("wb") as out:
            found.append(subprocess.Popen(command, cwd=ROOT, stdout=out))
    try:
        wait_until(lambda: broker.log.count(GROUP) == before + members, "the group", TIMEOUT_S)
        yield found
    finally:
        for process in found:
            process.terminate()
            process.wait(TIMEOUT_S)


def received(folder: Path, members: int) -> list[list[dict[str, Any]]]:
    """Every member's lines."""
    return [
        [json.loads(line) for line in (folder / f"{number}.ndjson").read_text().splitlines()]
        for number in range(members)
    ]


def faults(lines: list[list[dict[str, Any]]], releases: float) -> tuple[float, int]:
    """(lost, twice) among the members; every one of them verified."""
    found = [line for member in lines for line in member if line["type"] == "release"]
    assert all(line["verified"] is True for line in found)
    windows = [(line["unit"], line["stream"], line["window_start"]) for line in found]
    return releases - len(set(windows)), len(windows) - len(set(windows))


@pytest.mark.parametrize("members", [1, 2, 4])
def test_a_group_divides_the_work(broker: Mosquitto, tmp_path: Path, members: int) -> None:
    """Each release once among k processes, in equal shares; and what a message costs each of them: more than one alone, for fewer come at a time."""
    keys = tmp_path / "keys.json"
    fleet = ("--units", "50", "--rate", "0", "--secret", str(tmp_path / "secret"))
    make_keys(broker, keys, *fleet)
    with group_of(broker, keys, tmp_path, members) as group:
        pids = [process.pid for process in group]
        quiet(pids)
        before = sum(map(cpu_s, pids))
        told = done(simulate(broker, keys, *fleet, "--seconds", "10"), 4 * TIMEOUT_S)
        quiet(pids)
        spent = sum(map(cpu_s, pids)) - before
    lines = received(tmp_path, members)
    lost, twice = faults(lines, told["releases"])
    messages = sum(line["type"] in ("release", "checkpoint") for member in lines for line in member)
    shares = [sum(line["type"] == "release" for line in member) / told["releases"] for member in lines]
    record(
        {
            f"city: group of {members}, messages/s of one core": messages / spent,
            f"city: group of {members}, largest share of the releases": max(shares),
            f"city: group of {members}, releases lost or twice": lost + twice,
        }
    )
    assert (lost, twice) == (0, 0)
    assert min(shares) > 0


def test_a_thousand_units_sustained(broker: Mosquitto, tmp_path: Path) -> None:
    """Five minutes at RATE releases a second; three subscribers in a group verify all of it, each release once among them."""
    keys = tmp_path / "keys.json"
    fleet = ("--units", str(UNITS), "--rate", str(RATE), "--secret", str(tmp_path / "secret"))
    make_keys(broker, keys, *fleet)
    empty_kib = resident_kib(broker.pid)
    with group_of(broker, keys, tmp_path, 3) as group:
        pids = [process.pid for process in group]
        began, began_group = cpu_s(broker.pid), sum(map(cpu_s, pids))
        told = done(simulate(broker, keys, *fleet, "--seconds", str(SUSTAINED_S)), SUSTAINED_S + 4 * TIMEOUT_S)
        quiet(pids)
        broker_s, group_s = cpu_s(broker.pid) - began, sum(map(cpu_s, pids)) - began_group
        full_kib = resident_kib(broker.pid)
    lines = received(tmp_path, 3)
    lost, twice = faults(lines, told["releases"])
    passed = (
        told["acknowledged"] + 2 * told["messages"] / 2 + 3 * 3 * UNITS
    )  # in, and out once each; what is retained goes to all three
    record(
        {
            "fleet: units sustained": UNITS,
            "fleet: seconds sustained": told["seconds"],
            "fleet: releases/s": told["releases_per_s"],
            "fleet: simulated messages/s of one core": told["messages_per_cpu_s"],
            "fleet: memory of 1000 simulated units, MiB": told["peak_memory_kib"] / 1024,
            "fleet: mosquitto, messages in and out/s of one core": passed / broker_s,
            "fleet: mosquitto, memory a unit, KiB": (full_kib - empty_kib) / UNITS,
            "fleet: group of 3, messages/s of one core": sum(map(len, lines)) / group_s,
            "fleet: releases lost in a group of 3": lost,
            "fleet: releases twice in a group of 3": twice,
        }
    )
    assert (lost, twice) == (0, 0)
