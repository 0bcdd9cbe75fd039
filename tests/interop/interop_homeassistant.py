"""A real Home Assistant reads what units tell it (PB-43 to PB-46): every kind of stream, and a real publisher from its first to its last word."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Self

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

from agent.contracts import aggregate
from agent.contracts.aggregate import Aggregate, Cell, Field, NotCollected
from agent.contracts.cells import SINCE
from agent.disclosure.datachain import compile_disclosure
from agent.local.clock import OPERATOR, Clock
from agent.local.randomness import random_bytes
from agent.operations.simulation import HISTORY_S, Crowd
from agent.policy.file import load_policy
from agent.policy.model import Policy
from agent.policy.parse import parse_policy
from agent.publisher.home_assistant import entities, node
from agent.publisher.message import Message
from agent.publisher.topics import Topics
from tests.brokers import Mosquitto, free_port
from tests.publisher.test_home_assistant import SETTING
from tests.publisher.unit_folders import POLICY, PublisherProcess, UnitFolder, wait_until

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / "build" / "home-assistant" / "bin" / "python"
SCRIPT = Path(__file__).parent / "home_assistant" / "states.py"
PREFIX = "homeassistant"
TIMEOUT_S = 120.0
Shown = dict[str, tuple[str, dict[str, Any]]]


class HomeAssistant:
    """One at this broker, while the block runs."""

    def __init__(self, folder: Path, broker: Mosquitto) -> None:
        assert PYTHON.exists(), "build/home-assistant is empty: `make interop` fills it"
        self._folder = folder
        self._output, self._errors = folder / "shown", folder / "errors"
        self._command = [str(PYTHON), str(SCRIPT), str(folder / "config"), str(broker.port), str(free_port())]
        self._process: subprocess.Popen[bytes] | None = None

    def shown(self) -> Shown:
        """What it shows now: unique id -> (state, attributes)."""
        lines = self._output.read_bytes().split(b"\n")
        return {name: (state, attributes) for name, (state, attributes) in json.loads(lines[-2]).items()}

    def wait(self, holds: Callable[[Shown], bool], what: str) -> Shown:
        """Until it shows that."""
        wait_until(lambda: b"\n" in self._output.read_bytes() and holds(self.shown()), what, TIMEOUT_S)
        return self.shown()

    def complaints(self) -> list[str]:
        """What it had to say about our messages."""
        lines = self._errors.read_text().splitlines()
        return [line for line in lines if "homeassistant.components.mqtt" in line and "requirements" not in line]

    def __enter__(self) -> Self:
        self._folder.mkdir()
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        with self._output.open("wb") as output, self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                self._command, cwd=self._folder, stdout=output, stderr=errors, env=environment
            )
        self.wait(lambda shown: True, "Home Assistant")
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path) as running:
        yield running


@pytest.fixture
def home(tmp_path: Path, broker: Mosquitto) -> Iterator[HomeAssistant]:
    with HomeAssistant(tmp_path / "home", broker) as running:
        yield running


def publish(broker: Mosquitto, *messages: Message) -> None:
    """At QoS 1."""
    client = Client(CallbackAPIVersion.VERSION2, "", protocol=MQTTv5)
    client.connect(broker.host, broker.port)
    client.loop_start()
    for message in messages:
        client.publish(message.topic, message.payload, qos=1, retain=message.retain).wait_for_publish(25)
    client.disconnect()
    client.loop_stop()


def subscribed(broker: Mosquitto, topic: str) -> None:
    """Home Assistant takes a second or more from an entity to its subscription."""
    wait_until(lambda: f"{topic} (QoS 1)" in broker.log, f"the subscription to {topic}", TIMEOUT_S)


def _now_s() -> int:
    return Clock(OPERATOR).utc_ns() // 10**9


def with_totals() -> Policy:
    text = POLICY.read_text().replace('totals = "none"', 'totals = "period"')
    return parse_policy(text.replace("\nk = 5 ", "\nk = 0 ").replace("\nz = 2\n", "\nz = 0\n"), "totals")


KINDS = {path.stem: path for path in (POLICY, *sorted((POLICY.parent / "examples").glob("*.toml")))}


@pytest.mark.parametrize("name", [*KINDS, "totals"])
def test_every_kind_of_stream_is_shown_as_it_is(broker: Mosquitto, home: HomeAssistant, name: str) -> None:
    """PB-43, PB-45: each cell with its number, its unit and what is known of it; what is hidden or late is unknown, never 0."""
    policy = with_totals() if name == "totals" else load_policy(KINDS[name])
    longest = max(stream.window_s for stream in policy.streams)
    crowd = Crowd(policy, "dtpr", _now_s() + HISTORY_S + longest)  # windows that are not over yet
    unit = crowd.unit(0, Ed25519PrivateKey.generate())
    _, site, own = unit.path.split("/")
    disclosure = compile_disclosure(replace(policy, unit=replace(policy.unit, site=site, name=own)))
    told = entities(unit.topics, disclosure, PREFIX)
    publish(broker, *told, *unit.announcements("0" * 16))
    home.wait(lambda shown: len(shown) == len(told), "every entity")
    assert {state for state, _ in home.shown().values()} == {"unavailable"}
    for stream in policy.streams:
        subscribed(broker, unit.topics.data(stream.name))
    windows = [aggregate.decode(message.payload) for message in _round(unit.release, policy, broker)]
    expected = {key: value for window in windows for key, value in _expected(unit.topics, window).items()}
    shown = home.wait(lambda shown: all(state != "unavailable" for state, _ in shown.values()), "every number")
    assert shown.keys() == expected.keys()
    for key, value in expected.items():
        state, attributes = shown[key]
        assert (Decimal(state) if isinstance(value, int | Decimal) else state) == value, key
        assert attributes["friendly_name"].startswith(disclosure.title)
    for window in windows:
        for cell, value in window.cells:
            if cell == SINCE:
                continue
            attributes = shown[_key(unit.topics, window, cell)][1]
            assert attributes["cell"] == (value if isinstance(value, Cell) else "published")
            assert attributes["guarantee"] == window.terms.guarantee.words()
            assert Decimal(str(attributes["noise_sd"])) == window.terms.noise_sd
            assert (attributes["window_start"], attributes["window_state"]) == (window.window_start, "complete")
            if cell.endswith("/total"):
                since = dict(window.cells)[SINCE]
                assert isinstance(since, int)
                assert attributes["last_reset"] == time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(since))
    closed = [
        replace(w, reason=NotCollected.GATE, coverage_percent=0, values=(Cell.NOT_COLLECTED,) * len(w.values))
        for w in windows
    ]
    publish(broker, *(_message(unit.topics, window) for window in closed))
    shown = home.wait(
        lambda shown: {"unknown", "not_collected:gate"} == {state for state, _ in shown.values()}, "unknown"
    )
    late = [replace(window, window_start=window.window_start - 40 * 86_400) for window in windows]
    publish(broker, *(_message(unit.topics, window) for window in windows))
    home.wait(lambda shown: "not_collected:gate" not in {state for state, _ in shown.values()}, "numbers again")
    publish(broker, *(_message(unit.topics, window) for window in late))
    home.wait(lambda shown: {"unknown"} == {state for state, _ in shown.values()}, "nothing of the past")
    publish(broker, unit.state("0" * 16, "offline"))
    home.wait(lambda shown: {"unavailable"} == {state for state, _ in shown.values()}, "offline")
    assert home.complaints() == []


def _round(release: Callable[..., tuple[Message, ...]], policy: Policy, broker: Mosquitto) -> list[Message]:
    messages = [release(random_bytes)[0] for _ in policy.streams]
    publish(broker, *messages)
    return messages


def _message(topics: Topics, window: Aggregate) -> Message:
    return Message(topics.data(window.terms.stream), aggregate.encode(window), False, "application/senml+json")


def _key(topics: Topics, window: Aggregate, cell: str) -> str:
    return f"{node(topics)}_{window.terms.stream}_CELL_{cell.replace('/', '_PART_')}"


def _expected(topics: Topics, window: Aggregate) -> dict[str, object]:
    """Unique id -> what has to be shown."""
    found: dict[str, object] = {
        _key(topics, window, cell): "unknown" if isinstance(value, Cell) else value
        for cell, value in window.cells
        if cell != SINCE
    }
    return found | {f"{node(topics)}_{window.terms.stream}_STATE": "complete"}


def test_a_publisher_from_its_first_to_its_last_word(tmp_path: Path, broker: Mosquitto, home: HomeAssistant) -> None:
    """PB-43, PB-44: entities come with the unit, go with a class, and are all gone when the setting is taken out."""
    unit = UnitFolder(tmp_path / "unit")
    unit.announce()
    unit.configure(broker.port, SETTING)
    bike, foot, state = (
        f"{node(Topics('dtpr', unit.city, unit.site, unit.name))}_crossings_{end}"
        for end in ("CELL_bike", "CELL_foot", "STATE")
    )
    start = _now_s() // 900 * 900 - 900
    fields = (Field("bike", "count", 6), Field("foot", "count", 6))

    def release(ago: int, values: tuple[int | Cell, ...]) -> None:
        unit.append(unit.release(0, window_start=start - 900 * ago, window_s=900, fields=fields, values=values))

    with PublisherProcess(unit) as publisher:
        subscribed(broker, f"{unit.base}/agg/crossings")
        release(5, (70, 80))  # of an outage
        shown = home.wait(
            lambda shown: shown.keys() == {bike, foot, state} and shown[state][0] == "unknown", "the unit"
        )
        assert (shown[bike][0], shown[foot][0]) == ("unknown", "unknown")
        release(0, (23, Cell.SUPPRESSED))
        shown = home.wait(lambda shown: shown[state][0] == "complete", "a window")
        assert (shown[bike][0], shown[foot][0]) == ("23", "unknown")
        assert shown[foot][1]["cell"] == "suppressed"
        assert (shown[bike][1]["unit_of_measurement"], shown[bike][1]["state_class"]) == ("count", "measurement")
        assert publisher.stop() == 0
        home.wait(lambda shown: {state for state, _ in shown.values()} == {"unavailable"}, "the goodbye")
        policy = unit.disclosure.policy
        one = replace(policy.streams[0], classes=policy.streams[0].classes[:1])
        unit.disclosure = compile_disclosure(replace(policy, streams=(one,)))
        unit.announce(disclosure=unit.disclosure.digest.hex())
        publisher.start()
        home.wait(lambda shown: shown.keys() == {bike, state}, "the end of a class")
        assert publisher.stop() == 0
        unit.configure(broker.port)
        publisher.start()
        home.wait(lambda shown: shown == {}, "the end of all")
    assert home.complaints() == []
