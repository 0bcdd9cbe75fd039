"""config/asyncapi.yaml and config/pack.schema.json as others read them: the official AsyncAPI parser and Ajv, on what a real publisher sends."""

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from agent.contracts import aggregate
from agent.wire.tiles import WIDTH
from tests import packs
from tests.brokers import Mosquitto
from tests.interop.node import NODE, node
from tests.publisher.listeners import Heard, Listener
from tests.publisher.unit_folders import STREAM, PublisherProcess, UnitFolder, wait_until

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "config" / "asyncapi.yaml").read_text()
SCHEMA = json.loads((ROOT / "config" / "pack.schema.json").read_text())
TIMEOUT_S = 120.0


def judged(
    document: str = DOCUMENT, messages: list[dict[str, Any]] | None = None, given: list[Any] | None = None
) -> dict[str, Any]:
    """What tests/node/asyncapi.js says."""
    item = {"document": document, "pack": SCHEMA, "messages": messages or [], "packs": given or []}
    ran = subprocess.run(
        node("asyncapi.js"),
        input=json.dumps(item),
        env=NODE,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    return dict(json.loads(ran.stdout))


def test_the_official_parser_finds_nothing_wrong() -> None:
    """Neither errors nor warnings, and every example fits its schema."""
    found = judged()
    assert found["version"] == "3.0.0"
    assert [problem for problem in found["diagnostics"] if problem["severity"] <= 1] == []
    assert found["examples"] >= len(packs.ALL) + 10
    assert found["refused"] == []


@pytest.mark.parametrize(
    ("before", "after"), [("  action: send\n", "  action: shout\n"), ('#/channels/state"', '#/channels/statue"')]
)
def test_the_official_parser_would_find_something(before: str, after: str) -> None:
    """Positive control."""
    assert before in DOCUMENT
    assert any(problem["severity"] == 0 for problem in judged(DOCUMENT.replace(before, after, 1))["diagnostics"])


def test_every_kind_of_pack_fits_its_schema_and_no_other_does() -> None:
    """Real packs, and the same with one thing wrong."""
    good = [json.loads(aggregate.encode(window)) for window in packs.ALL.values()]
    wrong: list[Any] = [{}, [], good[0][:-2]]
    for place, left_out in enumerate(good[0][:-2]):
        if left_out["n"] != "sums":  # streams without a threshold have none
            wrong.append([record for at, record in enumerate(good[0]) if at != place])
    wrong += [
        [*good[0], {"n": "extra", "v": 1}],
        [good[0][0] | {"v": 0}, *good[0][1:]],
        [good[0][0] | {"x": 1}, *good[0][1:]],
    ]
    found = judged(given=[*good, *wrong])
    assert found["packs"] == [True] * len(good) + [False] * len(wrong)


def as_judged(item: Heard) -> dict[str, Any]:
    """What tests/node/asyncapi.js takes: text and JSON as they are, octets in base64."""
    payload: Any = item.payload
    match item.content_type:
        case "application/octet-stream" | "application/senml+cbor":
            payload = base64.b64encode(item.payload).decode()
        case "application/json" | "application/senml+json" if item.payload:
            payload = json.loads(item.payload)
        case _:
            payload = item.payload.decode()
    return {"topic": item.topic, "type": item.content_type, "headers": item.user_properties, "payload": payload}


@pytest.mark.parametrize("cbor", [False, True])
def test_all_that_a_real_publisher_sends_fits_its_channel(tmp_path: Path, cbor: bool) -> None:
    """Every message of a connection, MQTT 5: one channel for each topic, one message for its content type, payload and user properties by its schemas."""
    unit = UnitFolder(tmp_path / "unit", cbor=cbor)
    unit.announce()
    unit.release_windows(0, WIDTH)
    with Mosquitto(tmp_path) as broker, Listener(broker.port) as city:
        unit.configure(broker.port)
        with PublisherProcess(unit):
            for ending in ("/log/entries/000", "/log/tile/0/000", "/health", "/checkpoint"):
                wait_until(lambda ending=ending: bool(city.heard(ending)), ending)  # type: ignore[misc]
            wait_until(lambda: len(city.heard(f"/agg/{STREAM}")) >= WIDTH, "every release")
        messages = [as_judged(item) for item in city.heard()]
    found = judged(messages=messages)
    assert found["refused"] == []
    seen = {channel["address"].rpartition("{unit}/")[2] for channel in found["channels"] if channel["seen"]}
    assert seen == {
        "agg/{stream}",
        "state",
        "disclosure",
        "disclosure/upcoming",
        "checkpoint",
        "health",
        "log/entries/{number}",
        "log/tile/{level}/{number}",
    }
    releases = [message for message in messages if "/agg/" in message["topic"]]
    assert len(releases) == WIDTH
    assert {message["type"] for message in releases} == {f"application/senml+{'cbor' if cbor else 'json'}"}
    assert len(judged(messages=[each | {"type": "text/csv"} for each in releases])["refused"]) == WIDTH
    wrong = [message | {"payload": {"v": 1}} for message in messages]
    assert len(judged(messages=wrong)["refused"]) >= len(wrong)
