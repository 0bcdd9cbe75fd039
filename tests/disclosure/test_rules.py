"""I2: a disclosure claims only what the code enforces or the organisation promises, and leaves out nothing that is collected."""

import dataclasses
import importlib.util
import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings

from agent.disclosure import rules
from agent.disclosure.datachain import compile_disclosure, to_datachain
from agent.disclosure.plain_language import sentences
from agent.disclosure.rules import Category, Element, Mark
from agent.policy import vocabulary
from agent.policy.model import CountPrivacy, Policy
from agent.policy.parse import parse_policy
from agent.policy.vocabulary import TECHNOLOGIES, Identifiability
from tests.conftest import MISSING_SHARED
from tests.policy.policies import policies
from tests.policy.test_parse import DEMO, GOOD, changed

SHARED = Path(__file__).parents[3] / "shared/dtpr"
POLICY = parse_policy(GOOD, "p")

NEVER_CLAIMED = {
    "k_anonymity",
    "immutable_query_ledger",
    "transport_layer_security",
    "encrypted",
    "encrypted_at_rest",
    "code_signing",
    "hardware_audits",
    "trusted_execution_environment",
    "no_data_retained",
    "homomorphic_encryption",
    "secure_multi_party_computing",
    "zero_knowledge_proofs",
    "reviewed_internally",
    "regulated",
    "rdua_approved",
}
"""Protections that no code of this unit enforces for every reader of its numbers."""


def enforced(element: Element, policy: Policy) -> bool:
    """The other direction, from an element to what the policy makes the code do; written apart from agent/disclosure/rules.

    An element that is not in here is supported by nothing.
    """
    counts = [stream for stream in policy.streams if stream.kind == "count"]
    match element.id:
        case "aggregated" | "values_time":
            return counts == list(policy.streams) and all(stream.window_s >= 1 for stream in counts)
        case "differential_privacy":
            return all(isinstance(s.privacy, CountPrivacy) and s.privacy.sigma_squared >= 1 for s in policy.streams)
        case _:
            return False


def promised(element: Element, policy: Policy) -> bool:
    """An element that the organisation may promise, because its policy says so."""
    contexts = {TECHNOLOGIES[stream.technology] for stream in policy.streams}
    match element.category:
        case Category.ACCOUNTABLE:
            return element.id == "organization" and dict(element.variables)["name"] == policy.accountable.name
        case Category.PURPOSE:
            return element.id in policy.purposes
        case Category.TECH:
            return element.id in {stream.technology for stream in policy.streams}
        case Category.DATA:
            return element.id == "personal" and Identifiability.IDENTIFIABLE in contexts
        case Category.PROCESS:
            return element.id == "de_identified" and Identifiability.DE_IDENTIFIED in contexts
        case Category.STORAGE:
            return element.id in policy.storage
        case Category.ACCESS:
            return element.id in policy.access
        case Category.RETENTION:
            return element.id == "data_retained" and dict(element.variables)["duration"].endswith(("day", "days"))


@given(policies())
@settings(max_examples=60)
def test_no_unsupported_claim(text: str) -> None:
    """Every element of every policy is supported under its own mark, and never under the stronger one only."""
    policy = parse_policy(text, "p")
    for element in rules.elements(policy):
        support = enforced if element.mark is Mark.ENFORCED else promised
        assert support(element, policy), element
        assert element.id not in NEVER_CLAIMED
        assert element.reason


@given(policies())
@settings(max_examples=60)
def test_nothing_collected_is_left_out(text: str) -> None:
    """Each stream's name, technology, classes, window, noise and threshold stand in the datachain."""
    policy = parse_policy(text, "p")
    placed = to_datachain(compile_disclosure(policy))["instance"]["elements"]
    by_id = {element["element_id"]: json.dumps(element, ensure_ascii=False) for element in placed}
    for stream in policy.streams:
        assert f"{stream.name}: {', '.join(stream.classes)}" in by_id[stream.technology]
        assert f"{stream.name}: every " in by_id["values_time"]
        assert f"{stream.name}: zCDP rho " in by_id["differential_privacy"]
        assert f"published from {stream.privacy.tau}" in by_id["differential_privacy"]
    for element in (*policy.purposes, *policy.access, *policy.storage):
        assert element in by_id


@given(policies())
@settings(max_examples=60)
def test_every_category_is_answered(text: str) -> None:
    """DTPR's eight questions each have an answer; elements come by category; revealing technologies come first."""
    found = rules.elements(parse_policy(text, "p"))
    assert {element.category for element in found} == set(Category)
    assert [e.category for e in found] == sorted(e.category for e in found)
    order = ["identifiable", "de_identified", "non_identifiable"]
    contexts = [order.index(e.context.value) for e in found if e.context is not None]
    assert contexts == sorted(contexts)
    assert all((e.context is not None) == (e.category is Category.TECH) for e in found)


def test_enforced_elements_name_their_code() -> None:
    """Each enforced element names a module that exists; no promised one does."""
    marks = {element.id: element.mark for element in rules.elements(POLICY)}
    assert {name for name, mark in marks.items() if mark is Mark.ENFORCED} == set(rules.ENFORCED_BY)
    for module in rules.ENFORCED_BY.values():
        assert importlib.util.find_spec(module) is not None, module


@pytest.mark.parametrize(
    ("technologies", "colour"),
    [
        (["induction_loop"], "white"),
        (["radar", "passive_infrared_sensor"], "white"),
        (["de_identified_video"], "blue"),
        (["induction_loop", "de_identified_image"], "blue"),
        (["identifiable_video"], "yellow"),
        (["de_identified_video", "identifiable_image", "radar"], "yellow"),
    ],
)
def test_colour(technologies: list[str], colour: str) -> None:
    """DTPR's meaning: the most revealing sensor decides."""
    (stream,) = POLICY.streams
    streams = tuple(
        dataclasses.replace(stream, name=f"s{i}", technology=technology) for i, technology in enumerate(technologies)
    )
    assert compile_disclosure(dataclasses.replace(POLICY, streams=streams)).colour == colour


def with_stream(**fields: object) -> Callable[[Policy], Policy]:
    return lambda p: dataclasses.replace(p, streams=(dataclasses.replace(p.streams[0], **fields), *p.streams[1:]))  # type: ignore[arg-type]  # names are checked by replace itself


def with_privacy(**fields: object) -> Callable[[Policy], Policy]:
    return lambda p: with_stream(privacy=dataclasses.replace(p.streams[0].privacy, **fields))(p)  # type: ignore[arg-type]  # the same


def with_policy(**fields: object) -> Callable[[Policy], Policy]:
    return lambda p: dataclasses.replace(p, **fields)  # type: ignore[arg-type]  # the same


def with_threshold(**fields: object) -> Callable[[Policy], Policy]:
    return lambda p: with_privacy(threshold=dataclasses.replace(p.streams[0].privacy.threshold, **fields))(p)  # type: ignore[arg-type]  # the same


VISIBLE = {
    "rho": with_privacy(rho=Fraction(1, 9)),
    "m": with_privacy(m=5),
    "c": with_privacy(c=2),
    "k": with_threshold(k=6),
    "z": with_threshold(z=Fraction(3)),
    "window": with_stream(window_s=600),
    "classes": with_stream(classes=("bike",)),
    "class order": with_stream(classes=("foot", "bike")),
    "stream name": with_stream(name="passings"),
    "technology": with_stream(technology="radar"),
    "retention": with_policy(retention_days=731),
    "notice": with_policy(notice_s=86_400),
    "period": with_policy(period_s=43_200),
    "expires": with_policy(expires=POLICY.expires + 86_400),
    "effective": with_policy(effective=POLICY.effective + 86_400),
    "collect within": with_policy(collect_within_s=60),
    "purposes": with_policy(purposes=("mobility",)),
    "access": with_policy(access=("available_to_vendor",)),
    "storage": with_policy(storage=("stored_on_3rd_party_cloud",)),
    "demo": with_policy(demo=True),
    "title": with_policy(title="Another"),
}
HIDDEN = {
    "max_count": with_privacy(max_count=4999),
    "grace": with_stream(grace_s=Fraction(9)),
    "channel": with_stream(channel="others"),
    "cap_rho": with_policy(cap_rho=Fraction(1, 4)),
    "version": with_policy(version=4),
    "issued": with_policy(issued=POLICY.issued + 1),
}


@pytest.mark.parametrize("name", [*VISIBLE, *HIDDEN])
def test_every_change_changes_the_digest(name: str) -> None:
    """No parameter that the unit enforces, no technology and no promise changes under the same digest."""
    change = {**VISIBLE, **HIDDEN}[name]
    assert compile_disclosure(change(POLICY)).digest != compile_disclosure(POLICY).digest


@pytest.mark.parametrize("name", VISIBLE)
def test_every_change_that_matters_to_a_resident_is_said(name: str) -> None:
    """And it shows: in the datachain's instance, beside the policy's digest, or in the sentences."""

    def shown(policy: Policy) -> tuple[str, tuple[str, ...]]:
        disclosure = compile_disclosure(policy)
        instance = json.dumps(to_datachain(disclosure)["instance"])
        return instance.replace(disclosure.policy_digest.hex(), ""), sentences(disclosure)

    assert shown(VISIBLE[name](POLICY)) != shown(POLICY)


def test_retention_names_its_duration() -> None:
    """`data_retained` carries the variable that its DTPR text shows."""
    (element,) = (e for e in rules.elements(POLICY) if e.category is Category.RETENTION)
    assert (element.id, element.mark, element.variables) == (
        "data_retained",
        Mark.PROMISED,
        (("duration", "730 days"),),
    )


def taxonomy(name: str) -> list[dict[str, dict[str, object]]]:
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"{MISSING_SHARED}: dtpr/{name}")
    items: list[dict[str, dict[str, object]]] = json.loads(path.read_text())
    return items


def test_every_id_is_in_the_taxonomy() -> None:
    """Each element that we may use exists upstream, in the category that we use it in."""
    known = {item["element"]["id"]: item["element"]["category_ids"] for item in taxonomy("elements_device.json")}
    used = {
        Category.ACCOUNTABLE: ["organization"],
        Category.PURPOSE: vocabulary.PURPOSES,
        Category.TECH: TECHNOLOGIES,
        Category.DATA: ["values_time", "personal"],
        Category.PROCESS: ["differential_privacy", "aggregated", "de_identified"],
        Category.STORAGE: vocabulary.STORAGE,
        Category.ACCESS: vocabulary.ACCESS,
        Category.RETENTION: ["data_retained"],
    }
    for category, ids in used.items():
        for element in ids:
            categories = known[element]
            assert isinstance(categories, list)
            assert category.id in categories, element
    for element in NEVER_CLAIMED:
        assert element in known, element


def test_every_category_is_in_the_taxonomy() -> None:
    """The eight categories are upstream's."""
    assert {item["category"]["id"] for item in taxonomy("categories_device.json")} == {c.id for c in Category}


def test_all_promised_vocabularies_are_whole() -> None:
    """Purposes and storage are all of upstream's; of access, only the one that no anonymous count can give is left out."""
    known = [item["element"] for item in taxonomy("elements_device.json")]

    def upstream(category: Category) -> set[object]:
        return {e["id"] for e in known if isinstance(e["category_ids"], list) and category.id in e["category_ids"]}

    assert set(vocabulary.PURPOSES) == upstream(Category.PURPOSE)
    assert set(vocabulary.STORAGE) == upstream(Category.STORAGE)
    assert upstream(Category.ACCESS) - set(vocabulary.ACCESS) == {"available_to_me"}


def test_two_technologies_are_two_elements() -> None:
    """One element a technology, naming all its streams."""
    second = changed("cap_rho = 0.125", "cap_rho = 1") + GOOD[GOOD.index("[[stream]]") :].replace(
        'name = "crossings"', 'name = "turnings"'
    )
    found = [e for e in rules.elements(parse_policy(second, "p")) if e.category is Category.TECH]
    assert [e.variables for e in found] == [(("streams", "crossings: bike, foot; turnings: bike, foot"),)]


def test_demo_is_a_valid_policy_for_disclosure() -> None:
    """The demo's disclosure says what it is in its title."""
    disclosure = compile_disclosure(parse_policy(DEMO, "d"))
    assert disclosure.title.startswith("Demonstration: ")
    assert to_datachain(disclosure)["instance"]["title"] == [{"locale": "en", "value": disclosure.title}]
