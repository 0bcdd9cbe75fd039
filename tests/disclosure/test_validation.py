"""agent/disclosure/validation: the published rules of a DTPR v1 datachain, each broken once."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.disclosure.datachain import compile_disclosure, to_datachain
from agent.disclosure.validation import validate
from agent.errors import DisclosureError
from agent.policy.parse import parse_policy
from tests.conftest import MISSING_SHARED
from tests.policy.policies import policies
from tests.policy.test_parse import DEMO, GOOD

SHARED = Path(__file__).parents[3] / "shared/dtpr"
DOCUMENT = to_datachain(compile_disclosure(parse_policy(GOOD, "p")))
TECH = next(i for i, c in enumerate(DOCUMENT["datachain"]["categories"]) if c["id"] == "device__tech")
TECH_ELEMENT = next(i for i, e in enumerate(DOCUMENT["instance"]["elements"]) if e["category_id"] == "device__tech")


def element_variables() -> dict[str, frozenset[str]]:
    """The taxonomy's elements and the variables that each defines itself."""
    path = SHARED / "elements_device.json"
    if not path.exists():
        pytest.skip(f"{MISSING_SHARED}: dtpr/elements_device.json")
    items = [item["element"] for item in json.loads(path.read_text())]
    return {item["id"]: frozenset(variable["id"] for variable in item["variables"]) for item in items}


@pytest.mark.parametrize("text", [GOOD, DEMO])
def test_ours_is_valid(text: str) -> None:
    """What we compile keeps every rule, with and without a taxonomy to check against."""
    document = to_datachain(compile_disclosure(parse_policy(text, "p")))
    validate(document)
    validate(document, element_variables())


@given(policies())
@settings(max_examples=60)
def test_ours_is_always_valid(text: str) -> None:
    """The same for every policy."""
    validate(to_datachain(compile_disclosure(parse_policy(text, "p"))))


def category(number: int, **fields: Any) -> Callable[[dict[str, Any]], None]:
    return lambda d: d["datachain"]["categories"][number].update(fields)


def element(number: int, **fields: Any) -> Callable[[dict[str, Any]], None]:
    return lambda d: d["instance"]["elements"][number].update(fields)


def without(*path: str | int) -> Callable[[dict[str, Any]], None]:
    def edit(document: dict[str, Any]) -> None:
        inner: Any = document
        for step in path[:-1]:
            inner = inner[step]
        del inner[path[-1]]

    return edit


def put(value: Any, *path: str | int) -> Callable[[dict[str, Any]], None]:
    def edit(document: dict[str, Any]) -> None:
        inner: Any = document
        for step in path[:-1]:
            inner = inner[step]
        inner[path[-1]] = value

    return edit


REQUIRED: list[tuple[str | int, ...]] = [
    ("schema",),
    ("datachain",),
    ("instance",),
    ("schema", "name"),
    ("schema", "version"),
    ("schema", "namespace"),
    ("datachain", "type"),
    ("datachain", "version"),
    ("datachain", "title"),
    ("datachain", "description"),
    ("datachain", "categories"),
    ("datachain", "categories", 0, "id"),
    ("datachain", "categories", 0, "order"),
    ("datachain", "categories", 0, "name"),
    ("datachain", "categories", 0, "prompt"),
    ("datachain", "categories", 0, "description"),
    ("datachain", "categories", 0, "element_variables", 0, "id"),
    ("datachain", "categories", 0, "element_variables", 0, "label"),
    ("datachain", "categories", TECH, "context_types", 0, "id"),
    ("datachain", "categories", TECH, "context_types", 0, "color"),
    ("datachain", "categories", TECH, "context", "values"),
    ("instance", "title"),
    ("instance", "created_at"),
    ("instance", "elements"),
    ("instance", "title", 0, "locale"),
    ("instance", "title", 0, "value"),
    ("instance", "elements", 0, "element_id"),
    ("instance", "elements", 0, "category_id"),
    ("instance", "elements", 0, "priority"),
    ("instance", "elements", 0, "variables", 0, "id"),
    ("instance", "elements", 0, "variables", 0, "value"),
]


@pytest.mark.parametrize("path", REQUIRED, ids=lambda path: ".".join(map(str, path)))
def test_required_fields(path: tuple[str | int, ...]) -> None:
    """Each required field is missed."""
    document = copy.deepcopy(DOCUMENT)
    without(*path)(document)
    with pytest.raises(DisclosureError, match=f"the field {path[-1]}, got"):
        validate(document)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (put("Other", "schema", "name"), "schema.name"),
        (element(0, category_id="device__other"), "a category of this datachain"),
        (element(TECH_ELEMENT, context_type_id="secret"), "a context type of its category"),
        (element(0, context_type_id="identifiable"), "a context type of its category"),
        (element(TECH_ELEMENT, context_type_id=["identifiable"]), "a context type of its category"),
        (element(0, variables=[{"id": "colour", "value": "x"}]), "a variable of its element or category"),
        (element(0, variables=[]), "the required variable assurance"),
        (element(0, variables=[{"id": "assurance", "value": "x"}] * 2), "each variable once"),
        (element(0, element_id="No Such"), "an id of lower-case letters"),
        (element(0, element_id=7), "an id of lower-case letters"),
        (element(0, priority=-1), "an integer of 0 or more"),
        (element(0, priority=1.0), "an integer of 0 or more"),
        (element(0, priority=True), "an integer of 0 or more"),
        (category(0, order=-1), "an integer of 0 or more"),
        (category(0, order="0"), "an integer of 0 or more"),
        (category(1, id="device__accountable"), "an id that no other category has"),
        (category(0, name=[]), "at least one locale"),
        (category(0, name="Accountable"), "an array"),
        (category(0, element_variables=[{"id": "x", "label": [], "required": True}]), "at least one locale"),
        (put("yes", "datachain", "categories", 0, "element_variables", 0, "required"), "true or false"),
        (put("#FFDD0", "datachain", "categories", TECH, "context_types", 0, "color"), "a colour such as"),
        (put("yellow", "datachain", "categories", TECH, "context", "values", 0, "color"), "a colour such as"),
        (put(0xFFDD00, "datachain", "categories", TECH, "context_types", 1, "color"), "a colour such as"),
        (put("english", "instance", "title", 0, "locale"), "a locale such as"),
        (put("EN", "instance", "title", 0, "locale"), "a locale such as"),
        (put([{"locale": "en", "value": "a"}] * 2, "instance", "title"), "each locale once"),
        (put(" ", "instance", "title", 0, "value"), "text"),
        (put("2026-09-01", "instance", "created_at"), "an ISO 8601 time"),
        (put("2026-02-30T00:00:00Z", "instance", "created_at"), "an ISO 8601 time"),
        (put("yesterday", "datachain", "version"), "an ISO 8601 time"),
        (put(1788220800, "instance", "created_at"), "an ISO 8601 time"),
        (put([{}] * 1001, "instance", "elements"), "an array of at most 1000"),
        (put([], "instance", "elements"), "an element of the required category device__accountable"),
        (put({}, "instance", "elements"), "an array"),
        (put("", "datachain", "type"), "text"),
    ],
)  # fmt: skip
def test_rules(edit: Callable[[dict[str, Any]], None], said: str) -> None:
    """Each rule, broken once, is named."""
    document = copy.deepcopy(DOCUMENT)
    edit(document)
    with pytest.raises(DisclosureError) as caught:
        validate(document)
    assert said in str(caught.value)


@pytest.mark.parametrize("locale", ["en", "fr-CA", "es-MX", "km", "tl", "zh-Hant-TW", "es-419"])
def test_locales(locale: str) -> None:
    """Language, script and region in their usual forms."""
    document = copy.deepcopy(DOCUMENT)
    document["instance"]["title"][0]["locale"] = locale
    validate(document)


@pytest.mark.parametrize("time", ["2024-06-11T14:32:00Z", "2024-06-11T14:32:00.123Z", "2024-06-11T14:32:00+02:00"])
def test_times(time: str) -> None:
    """ISO 8601 as DTPR writes it."""
    document = copy.deepcopy(DOCUMENT)
    document["instance"]["created_at"] = time
    validate(document)


def test_an_element_outside_the_taxonomy() -> None:
    """With a taxonomy, an id that it lacks is refused; without one, only its form is checked."""
    known = element_variables()
    document = copy.deepcopy(DOCUMENT)
    document["instance"]["elements"][1]["element_id"] = "world_peace"
    validate(document)
    with pytest.raises(DisclosureError, match="an element of the taxonomy, got 'world_peace'"):
        validate(document, known)


def test_an_elements_own_variables() -> None:
    """A variable may be defined by the element in the taxonomy instead of by its category."""
    document = copy.deepcopy(DOCUMENT)
    document["instance"]["elements"][1]["variables"].append({"id": "speed", "value": "4"})
    with pytest.raises(DisclosureError, match="a variable of its element or category, got 'speed'"):
        validate(document)
    own = {element["element_id"]: frozenset({"speed"}) for element in document["instance"]["elements"]}
    validate(document, own)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(json_values)
def test_only_the_documented_error_escapes(document: Any) -> None:
    """Whatever the JSON."""
    with pytest.raises(DisclosureError):
        validate(document)


@given(st.sampled_from(REQUIRED), json_values)
def test_only_the_documented_error_escapes_near_a_datachain(path: tuple[str | int, ...], value: Any) -> None:
    """One value exchanged for any other is valid or refused, never anything else."""
    document = copy.deepcopy(DOCUMENT)
    put(value, *path)(document)
    try:
        validate(document)
    except DisclosureError as bad:
        assert bad.exit_code == 2  # noqa: PT017  # some exchanges are harmless
