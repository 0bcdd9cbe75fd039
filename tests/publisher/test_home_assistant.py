"""PB-43 to PB-46: what Home Assistant is told, when, and how it ends. `make interop` has a real Home Assistant read it."""

import dataclasses
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.contracts.cells import SINCE
from agent.disclosure.datachain import Disclosure, compile_disclosure
from agent.errors import EncodingError
from agent.policy.cells import cell_names, cell_unit
from agent.policy.file import load_policy
from agent.policy.parse import parse_policy
from agent.publisher import discovery as discovery_module
from agent.publisher.discovery import Discovery
from agent.publisher.home_assistant import MAX_TOPICS_BYTES, TOPIC, decode_topics, encode_topics, entities, node
from agent.publisher.message import Message
from agent.publisher.topics import Topics
from tests.brokers import Mosquitto
from tests.policy.policies import policies
from tests.publisher.listeners import Heard, Listener
from tests.publisher.test_offers import retain
from tests.publisher.unit_folders import POLICY, STREAM, PublisherProcess, UnitFolder, wait_until

EXAMPLES = sorted((POLICY.parent / "examples").glob("*.toml"))
SPEC = Path(discovery_module.__file__).with_name("SPEC.md")
PREFIX = "homeassistant"
SETTING = f'tls = false\nhome_assistant = "{PREFIX}"'
DISCOVERED = re.compile(r"homeassistant/sensor/([a-zA-Z0-9_-]+)/([a-zA-Z0-9_-]+)/config")
"""Home Assistant's own TOPIC_MATCHER, of sensors."""


def told(disclosure: Disclosure, root: str = "dtpr") -> dict[str, dict[str, Any]]:
    """Object id -> configuration."""
    unit = disclosure.policy.unit
    found: dict[str, dict[str, Any]] = {}
    for message in entities(Topics(root, unit.city, unit.site, unit.name), disclosure, PREFIX):
        place = DISCOVERED.fullmatch(message.topic)
        assert place is not None
        assert TOPIC.fullmatch(message.topic)
        assert (message.retain, message.spare, message.expiry_s) == (True, True, None)
        assert place[1] == f"{root}_{unit.city}_{unit.site}_{unit.name}"
        assert place[2] not in found
        found[place[2]] = json.loads(message.payload)
    return found


@given(policies())
@settings(max_examples=60)
def test_every_cell_of_every_policy_is_an_entity(text: str) -> None:
    """PB-43, PB-45: one for each cell but `since`, and one for the state of each stream's windows; nothing else."""
    disclosure = compile_disclosure(parse_policy(text, "policy"))
    found = told(disclosure)
    wanted = {
        f"{stream.name}_CELL_{name.replace('/', '_PART_')}": (stream, name)
        for stream in disclosure.policy.streams
        for name in cell_names(stream)
        if name != SINCE
    }
    assert found.keys() == {*wanted, *(f"{stream.name}_STATE" for stream in disclosure.policy.streams)}
    assert len({item["unique_id"] for item in found.values()}) == len(found)
    unit = disclosure.policy.unit
    for object_id, item in found.items():
        assert item["state_topic"].startswith(f"dtpr/v1/{unit.path}/agg/")
        assert item["availability_topic"] == f"dtpr/v1/{unit.path}/state"
        assert item["device"]["name"] == disclosure.title
        if object_id in wanted:
            stream, name = wanted[object_id]
            assert f'r.n == "cell/{name}"' in item["value_template"]
            assert item["expire_after"] == 2 * stream.window_s + 30
            assert ("state_class" in item) is bool(cell_unit(stream, name))
            assert (
                (item.get("state_class") == "total") is name.endswith("/total") is ("last_reset_value_template" in item)
            )


@given(policies())
@settings(max_examples=30)
def test_nothing_is_told_that_the_disclosure_does_not_say(text: str) -> None:
    """PB-43: but for the templates, which follow from a cell's name, every text is in the datachain's policy or names a topic."""
    disclosure = compile_disclosure(parse_policy(text, "policy"))
    policy = disclosure.policy
    said = {disclosure.title, policy.accountable.name, "dtpr-edge-agent", "measurement", "total", "diagnostic"}
    for item in told(disclosure).values():
        item = {name: value for name, value in item.items() if not name.endswith("_template")}
        assert item.pop("qos") == 1
        assert isinstance(item.pop("expire_after"), int)
        assert item.pop("unit_of_measurement", "count") in {
            "count", "dB", "ppm", "°C", "%", "hPa", "m", "lx", "µg/m³", "W", "mm", "°", "S/m", "pH", "kg", "m/s"
        }  # fmt: skip
        assert item.pop("origin") == {"name": "dtpr-edge-agent"}
        device = item.pop("device")
        assert device.keys() == {"identifiers", "name", "manufacturer"}
        assert {device["name"], device["manufacturer"]} <= said
        unit = policy.unit
        for name, value in item.items():
            parts = re.split(r"[/_ ]", value)
            named = any(stream.name in value for stream in policy.streams) or value.endswith("/state")
            assert value in said or (named and (unit.city in parts or name == "name")), (name, value)


def test_the_same_policy_says_the_same_always() -> None:
    """PB-43: byte for byte, whatever was measured: nothing but policy and name go in."""
    disclosure = compile_disclosure(load_policy(POLICY))
    topics = Topics("dtpr", "springfield", "river-bridge", "bridge-01")
    assert entities(topics, disclosure, PREFIX) == entities(topics, compile_disclosure(disclosure.policy), PREFIX)
    assert node(topics) == "dtpr_springfield_river-bridge_bridge-01"


def test_the_specs_example_is_what_the_code_makes() -> None:
    """PB-43."""
    block = SPEC.read_text().partition("## Home Assistant")[2].split("```")[1]
    topic, rest = block.partition("PUBLISH")[2].split(None, 1)
    text = "".join(line.strip() for line in rest.split("application/json\n")[1].splitlines())
    head, tail = text.split("… ", 1)
    topics = Topics("dtpr", "springfield", "river-bridge", "bridge-01")
    message = entities(topics, compile_disclosure(load_policy(POLICY)), PREFIX)[0]
    assert message.topic == topic
    assert message.payload.decode().startswith(head)
    assert message.payload.decode().endswith(tail)


# The file of what may be retained

NAMES = st.frozensets(st.from_regex(TOPIC, fullmatch=True).filter(str.isascii), max_size=5)


@given(NAMES)
def test_the_file_is_read_as_it_was_written(topics: frozenset[str]) -> None:
    """PB-44."""
    assert decode_topics(encode_topics(topics)) == topics


@pytest.mark.parametrize(
    "damaged",
    [
        b"homeassistant/sensor/a/b/config",
        b"homeassistant/sensor/b/b/config\nhomeassistant/sensor/a/b/config\n",
        b"homeassistant/sensor/a/b/config\n" * 2,
        b"dtpr/v1/springfield/river-bridge/bridge-01/state\n",
        b"homeassistant/sensor/a/+/config\n",
        b"homeassistant/sensor/a/b/config\r\n",
        "homeassistant/sensor/a/ä/config\n".encode(),
        b"\n",
        b"\x00" * 40,
        b"homeassistant/sensor/a/b/config\n" * (MAX_TOPICS_BYTES // 32 + 1),
    ],
)
def test_a_damaged_file_names_nothing(tmp_path: Path, damaged: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """PB-44, I8: whole or not at all; no other topic is ever published to because of it."""
    with pytest.raises(EncodingError):
        decode_topics(damaged)
    (tmp_path / "home-assistant").write_bytes(damaged)
    unit = compile_disclosure(load_policy(POLICY))
    assert Discovery(None, tmp_path / "home-assistant").messages(Topics("dtpr", "a", "b", "c"), unit) == ()
    assert "what it named is not cleared" in caplog.text


def topics_of(messages: tuple[Message, ...]) -> tuple[set[str], set[str]]:
    """(told, cleared)."""
    return {m.topic for m in messages if m.payload}, {m.topic for m in messages if not m.payload}


def changed_disclosure(disclosure: Disclosure, **changes: object) -> Disclosure:
    stream = dataclasses.replace(disclosure.policy.streams[0], **changes)  # type: ignore[arg-type]  # the tests name real fields
    return compile_disclosure(dataclasses.replace(disclosure.policy, streams=(stream,)))


def test_what_goes_away_is_cleared_until_that_is_acknowledged(tmp_path: Path) -> None:
    """PB-44: by whichever process; a refusal is tried again, and what came back meanwhile is not cleared."""
    file = tmp_path / "home-assistant"
    one = compile_disclosure(load_policy(POLICY))
    fewer = changed_disclosure(one, classes=one.policy.streams[0].classes[:1])
    topics = Topics("dtpr", "a", "b", "c")
    first = Discovery(PREFIX, file)
    before, none = topics_of(first.messages(topics, one))
    assert (len(before), none) == (3, set())
    assert decode_topics(file.read_bytes()) == before
    second = Discovery(PREFIX, file)
    after, gone = topics_of(second.messages(topics, fewer))
    assert after | gone == before
    assert {topic.rpartition("_CELL_")[2] for topic in gone} == {"foot/config"}
    (empty,) = (message for message in second.messages(topics, fewer) if not message.payload)
    second.sent(1, empty)
    second.refuse(1, "not authorized")
    second.acknowledge(1)
    assert decode_topics(file.read_bytes()) == before
    second.sent(2, empty)
    second.rewind()
    second.acknowledge(2)
    assert decode_topics(file.read_bytes()) == before
    second.sent(3, empty)
    assert topics_of(second.messages(topics, one)) == (before, set())
    second.acknowledge(3)
    assert topics_of(second.messages(topics, one)) == (before, set())
    assert topics_of(second.messages(topics, fewer)) == (after, gone)
    second.sent(4, empty)
    second.acknowledge(4)
    assert topics_of(second.messages(topics, fewer)) == (after, set())
    assert decode_topics(file.read_bytes()) == after
    off = Discovery(None, file)
    assert topics_of(off.messages(topics, fewer)) == (set(), after)
    other = Discovery("ha", file)
    told_now, gone = topics_of(other.messages(topics, fewer))
    assert gone == after
    assert {f"homeassistant{topic.removeprefix('ha')}" for topic in told_now} == after


def test_nothing_is_told_before_the_file_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PB-46: a full disk costs Home Assistant its entities, and the unit nothing."""
    times = iter(range(0, 1000, 6))
    monkeypatch.setattr("agent.publisher.discovery.time.monotonic", lambda: float(next(times)))
    file = tmp_path / "absent" / "home-assistant"
    one = compile_disclosure(load_policy(POLICY))
    topics = Topics("dtpr", "a", "b", "c")
    found = Discovery(PREFIX, file)
    assert found.messages(topics, one) == ()
    assert found.fault is not None
    file.parent.mkdir()
    assert found.messages(topics, one) == ()  # six seconds later
    assert len(found.messages(topics, one)) == 3
    assert found.fault is None


# A publisher and a broker


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path) as running:
        yield running


def retained(port: int) -> dict[str, bytes]:
    """What a Home Assistant that begins now is handed."""
    with Listener(port, "#") as listener:
        retain(port, "after", b"x")
        wait_until(
            lambda: not all(heard.retain for heard in listener.heard("after")), "the end, by the same connection"
        )
        retained = [heard for heard in listener.heard() if heard.retain]
    return {heard.topic: heard.payload for heard in retained if heard.topic.startswith(f"{PREFIX}/")}


def test_entities_are_retained_before_the_first_datum(tmp_path: Path, unit: UnitFolder, broker: Mosquitto) -> None:
    """PB-43: QoS 1, on every connection, also at a broker that forgot; a stop leaves them, `state` says offline."""
    unit.release_windows(0, 1)
    unit.configure(broker.port, SETTING)
    names = {
        m.topic: m.payload for m in entities(Topics("dtpr", unit.city, unit.site, unit.name), unit.disclosure, PREFIX)
    }
    with PublisherProcess(unit) as publisher:
        for windows in (1, 2):
            with Listener(broker.port, "#") as listener:
                unit.release_windows(windows, 1)
                wait_until(lambda: bool(listener.heard(f"agg/{STREAM}")), "a datum", 60)
                assert {h.topic: h.payload for h in listener.heard("/config")} == names
                if windows == 1:
                    assert places(listener.heard()) == sorted(places(listener.heard()))
            broker.stop()  # without persistence: it forgets
            broker.start()
        wait_until(lambda: len(retained(broker.port)) == len(names), "the entities", 60)
        assert retained(broker.port) == names
        assert publisher.stop() == 0
        assert retained(broker.port) == names


def places(heard: list[Heard]) -> list[bool]:
    """False for entities, True for data, in the order in which they came: sorted, where data come last."""
    return ["/agg/" in item.topic for item in heard if item.topic.endswith("/config") or "/agg/" in item.topic]


def test_by_default_nothing_is_told(unit: UnitFolder, broker: Mosquitto) -> None:
    """PB-43: no message and no file."""
    unit.release_windows(0, 1)
    unit.configure(broker.port)
    with PublisherProcess(unit):
        wait_until(unit.cursor.exists, "a release")
    assert retained(broker.port) == {}
    assert not (unit.folder / "home-assistant").exists()


def test_a_stream_that_ends_and_a_setting_that_is_taken_back_are_cleared(unit: UnitFolder, broker: Mosquitto) -> None:
    """PB-44: the first while it runs, the second by the process that starts next."""
    unit.release_windows(0, 1)
    unit.configure(broker.port, SETTING)
    with PublisherProcess(unit) as publisher:
        wait_until(lambda: len(retained(broker.port)) == 3, "the entities")
        stream = unit.disclosure.policy.streams[0]
        unit.disclosure = changed_disclosure(unit.disclosure, classes=stream.classes[:1])
        unit.announce(disclosure=unit.disclosure.digest.hex())
        wait_until(lambda: len(retained(broker.port)) == 2, "the end of a class")
        wait_until(lambda: len((unit.folder / "home-assistant").read_text().splitlines()) == 2, "the file")
        publisher.kill()
        unit.configure(broker.port)
        publisher.start()
        wait_until(lambda: retained(broker.port) == {}, "the end of all")
        wait_until(lambda: (unit.folder / "home-assistant").read_text() == "", "the file")
        unit.release_windows(1, 1)
        wait_until(lambda: unit.passed() == 2, "data as before")


def test_a_broker_that_refuses_them_gets_the_data_all_the_same(tmp_path: Path, unit: UnitFolder) -> None:
    """PB-46: the status says what the broker has to allow; the line in config/home-assistant.md is enough."""
    line = next(
        line
        for line in (POLICY.parent / "home-assistant.md").read_text().splitlines()
        if line.startswith("topic write homeassistant")
    )
    rights = f"user bridge-01\ntopic write {unit.base}/#\nuser listener\ntopic read #\n"
    unit.release_windows(0, 1)
    (unit.folder / "password").write_text("secret")
    os.chmod(unit.folder / "password", 0o600)
    login = f'{SETTING}\nusername = "bridge-01"\npassword_file = "{unit.folder}/password"'
    with Mosquitto(tmp_path, login=("bridge-01", "secret"), acl=rights) as broker:
        unit.configure(broker.port, login)
        with PublisherProcess(unit):
            wait_until(lambda: unit.passed() == 1, "a release")
            wait_until(lambda: "discovery_refused" in unit.status(), "the status", 60)
            assert "config/home-assistant.md" in unit.status()
            unit.release_windows(1, 1)
            wait_until(lambda: unit.passed() == 2, "another")
            (broker.folder / "acl").write_text(rights.replace("user listener", f"{line}\nuser listener"))
            broker.stop()
            broker.start()
            wait_until(lambda: "discovery_refused" not in unit.status() and '"ok": true' in unit.status(), "calm", 60)
            assert broker.log.count("Denied PUBLISH") == 3


def test_a_setting_taken_back_at_a_broker_that_refuses_it(tmp_path: Path, unit: UnitFolder) -> None:
    """PB-44, PB-46: what cannot be cleared stays named, and the remedy is none that was tried already; removing the file ends it."""
    unit.release_windows(0, 1)
    (unit.folder / "password").write_text("secret")
    os.chmod(unit.folder / "password", 0o600)
    login = f'username = "bridge-01"\npassword_file = "{unit.folder}/password"'
    rights = f"user bridge-01\ntopic write {unit.base}/#\n"
    with Mosquitto(tmp_path, login=("bridge-01", "secret"), acl=rights) as broker:
        unit.configure(broker.port, f"{SETTING}\n{login}")
        with PublisherProcess(unit) as publisher:
            wait_until(lambda: "or leave [mqtt] home_assistant out" in unit.status(), "the status", 60)
            publisher.kill()
            unit.configure(broker.port, f"tls = false\n{login}")
            publisher.start()
            wait_until(lambda: "remove the file home-assistant" in unit.status(), "the status", 60)
            unit.release_windows(1, 1)
            wait_until(lambda: unit.passed() == 2, "data as before")
            publisher.kill()
            (unit.folder / "home-assistant").unlink()
            publisher.start()
            wait_until(lambda: '"ok": true' in unit.status(), "calm", 60)
