"""The four examples of config/: each compiles to a datachain that keeps DTPR's rules and uses only upstream's elements and categories."""

import json
from pathlib import Path
from typing import Any

import pytest

from agent.disclosure.datachain import Disclosure, compile_disclosure, decode_disclosure, to_datachain
from agent.disclosure.validation import validate
from agent.policy.file import load_policy
from agent.policy.model import Policy
from tests.conftest import MISSING_SHARED
from tests.policy.test_parse import CONFIG, EXAMPLES

SHARED = Path(__file__).parents[3] / "shared/dtpr"


def taxonomy(name: str) -> list[dict[str, Any]]:
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"{MISSING_SHARED}: dtpr/{name}")
    items: list[dict[str, Any]] = json.loads(path.read_text())
    return items


@pytest.fixture(params=EXAMPLES, ids=lambda path: path.stem)
def disclosure(request: pytest.FixtureRequest) -> Disclosure:
    """Each example's."""
    return compile_disclosure(load_policy(request.param))


def test_there_is_one_of_each_sort() -> None:
    """A bike and foot counter, an air and noise station, a Wi-Fi and Bluetooth visitor counter, a parking and bin sensor."""
    kinds = {path.stem: {s.kind for s in load_policy(path).streams} for path in EXAMPLES}
    assert kinds == {
        "policy": {"count"},
        "air-quality-and-noise": {"scalar"},
        "visitors": {"unique"},
        "parking-and-bins": {"scalar", "duration"},
    }


def test_the_datachain_is_valid(disclosure: Disclosure) -> None:
    """By DTPR's rules, with the variables that upstream's elements have themselves; also when read back from the compact form."""
    own = {
        item["element"]["id"]: frozenset(variable["id"] for variable in item["element"].get("variables", []))
        for item in taxonomy("elements_device.json")
    }
    document = to_datachain(disclosure)
    validate(document, own)
    assert to_datachain(decode_disclosure(disclosure.cbor)) == document


def test_every_element_and_category_is_upstreams(disclosure: Disclosure) -> None:
    """Each element exists in the official taxonomy, in just the category in which it is used."""
    elements = {item["element"]["id"]: item["element"]["category_ids"] for item in taxonomy("elements_device.json")}
    categories = {item["category"]["id"] for item in taxonomy("categories_device.json")}
    document = to_datachain(disclosure)
    assert {category["id"] for category in document["datachain"]["categories"]} == categories
    for element in document["instance"]["elements"]:
        assert element["category_id"] in elements[element["element_id"]]


@pytest.mark.parametrize(
    ("name", "colour", "process", "technologies"),
    [
        (
            "policy",
            "white",
            {"differential_privacy", "aggregated", "transport_layer_security"},
            {"passive_infrared_sensor": "non_identifiable"},
        ),
        (
            "examples/air-quality-and-noise",
            "white",
            {"differential_privacy", "aggregated", "raw_data", "transport_layer_security"},
            {"air_quality": "non_identifiable", "sound_level_meter": "non_identifiable"},
        ),
        (
            "examples/visitors",
            "blue",
            {"differential_privacy", "aggregated", "de_identified", "transport_layer_security"},
            {"identifiable_wifi_sensor": "de_identified"},
        ),
        (
            "examples/parking-and-bins",
            "white",
            {"differential_privacy", "aggregated", "raw_data", "transport_layer_security"},
            {"ultrasonic_level_sensor": "non_identifiable", "induction_loop": "non_identifiable"},
        ),
    ],
)
def test_what_each_says(name: str, colour: str, process: set[str], technologies: dict[str, str]) -> None:
    """Colour, processing and contexts, as a city would expect them."""
    found = compile_disclosure(load_policy(CONFIG / f"{name}.toml"))
    placed = to_datachain(found)["instance"]["elements"]
    assert found.colour == colour
    assert {e["element_id"] for e in placed if e["category_id"] == "device__process"} == process
    assert {e["element_id"]: e["context_type_id"] for e in placed if e["category_id"] == "device__tech"} == technologies


def test_retention_for_each_audience() -> None:
    """Whoever keeps numbers longer is told apart from whoever keeps them shorter."""
    policy: Policy = load_policy(CONFIG / "examples/parking-and-bins.toml")
    placed = to_datachain(compile_disclosure(policy))["instance"]["elements"]
    kept = [{v["id"]: v["value"] for v in e["variables"]} for e in placed if e["element_id"] == "data_retained"]
    assert [(one["audiences"], one["duration"]) for one in kept] == [("city", "365 days"), ("public", "30 days")]
    assert policy.retention_days == 365
