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
from agent.policy.enforcement import enforceable
from agent.policy.model import Policy
from agent.policy.modes import (
    CoarsePrivacy,
    CountPrivacy,
    NoPrivacy,
    ScalarPrivacy,
    Threshold,
    ThresholdOnly,
    UniquePrivacy,
)
from agent.policy.parse import parse_policy
from agent.policy.vocabulary import TECHNOLOGIES, Identifiability
from agent.wire import cbor
from tests.anonymizer.one_window import count_privacy
from tests.conftest import MISSING_SHARED
from tests.policy.policies import policies
from tests.policy.test_parse import DEMO, GOOD, changed
from tests.vectors.policy import generate as vectors

SHARED = Path(__file__).parents[3] / "shared/dtpr"
POLICY = parse_policy(GOOD, "p")

NEVER_CLAIMED = {
    "k_anonymity",
    "immutable_query_ledger",
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

GUARANTEES = (CountPrivacy, UniquePrivacy, ScalarPrivacy)


def named(element: Element) -> list[str]:
    """The streams that an element speaks of."""
    return [part.split(":")[0] for part in dict(element.variables).get("streams", "").split("; ")]


def enforcing(element: str, policy: Policy) -> list[str] | None:
    """From an element to the streams for which the code does that, found from what is stated of them, not from their modes' names.

    Written apart from agent/disclosure/rules. None: nothing enforces the element; an empty list: it is about no stream.
    """
    match element:
        case "values_time":
            return [s.name for s in policy.streams if 1 <= s.window_s <= policy.period_s]
        case "differential_privacy":
            return [s.name for s in policy.streams if isinstance(s.privacy, GUARANTEES) and 0 < s.privacy.rho < 10]
        case "aggregated":
            summed = [s for s in policy.streams if s.classes or isinstance(s.privacy, (*GUARANTEES, CoarsePrivacy))]
            return [s.name for s in summed]
        case "raw_data":
            return [s.name for s in policy.streams if isinstance(s.privacy, NoPrivacy)]
        case "de_identified":
            return [s.name for s in policy.streams if isinstance(s.privacy, UniquePrivacy)]
        case "transport_layer_security":
            return [] if policy.transport == "tls" else None
        case _:
            return None


def enforced(element: Element, policy: Policy) -> bool:
    """Is an element marked ENFORCED given by the enforcement of just the streams that it names?"""
    streams = enforcing(element.id, policy)
    return streams is not None and streams == (named(element) if element.variables else [])


def revealing(policy: Policy) -> set[Identifiability]:
    """The contexts of streams that count no addresses, by their sensors alone."""
    return {TECHNOLOGIES[s.technology] for s in policy.streams if not isinstance(s.privacy, UniquePrivacy)}


def promised(element: Element, policy: Policy) -> bool:
    """An element that the organisation may promise, because its policy says so."""
    variables = dict(element.variables)
    match element.category:
        case Category.ACCOUNTABLE:
            who = {"institution": (policy.accountable.name,), "organization": policy.vendors}
            return variables["name"] in who[element.id]
        case Category.PURPOSE:
            return element.id in policy.purposes
        case Category.TECH:
            return element.id in {stream.technology for stream in policy.streams}
        case Category.DATA:
            return element.id == "personal" and Identifiability.IDENTIFIABLE in revealing(policy)
        case Category.PROCESS:
            return element.id == "de_identified" and Identifiability.DE_IDENTIFIED in revealing(policy)
        case Category.STORAGE:
            return any(variables["audiences"] and element.id in audience.storage for audience in policy.audiences)
        case Category.ACCESS:
            given = [(audience.access, audience.name) for audience in policy.audiences]
            return (element.id, variables.get("audiences")) in given or element.id in policy.denied
        case Category.RETENTION:
            kept = [(audience.name, f"{audience.retention_days}") for audience in policy.audiences]
            return element.id == "data_retained" and (
                (variables["audiences"], variables["duration"].split()[0]) in kept
            )


@given(policies())
@settings(max_examples=200)
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
def test_what_is_enforced_is_claimed(text: str) -> None:
    """The other way round: no enforcement is left out, so that a missing claim means a missing protection."""
    policy = parse_policy(text, "p")
    claimed = {element.id for element in rules.elements(policy) if element.mark is Mark.ENFORCED}
    for element in rules.ENFORCED_BY:
        streams = enforcing(element, policy)
        wanted = streams is not None and (bool(streams) or element == "transport_layer_security")
        assert (element in claimed) == wanted, element


@given(policies())
@settings(max_examples=60)
def test_nothing_collected_is_left_out(text: str) -> None:
    """Each stream's name, technology, classes or quantity, window and protection stand in the datachain."""
    policy = parse_policy(text, "p")
    placed = to_datachain(compile_disclosure(policy))["instance"]["elements"]
    said: dict[str, str] = {}
    for element in placed:
        said[element["element_id"]] = said.get(element["element_id"], "") + json.dumps(element, ensure_ascii=False)
    for stream in policy.streams:
        assert f"{stream.name}: " in said[stream.technology]
        for name in stream.classes or (stream.quantity,) if stream.kind != "unique" else ():
            assert name in said[stream.technology]
        assert f"{stream.name}: every " in said["values_time"]
        match stream.privacy:
            case CountPrivacy(threshold=Threshold(k=0)):
                assert "every number published, also below zero" in said["differential_privacy"]
            case CountPrivacy() | UniquePrivacy() as privacy:
                assert f"published from {privacy.tau}" in said["differential_privacy"]
            case CoarsePrivacy() | ThresholdOnly():
                assert "not a privacy guarantee" in said["aggregated"]
            case NoPrivacy():
                assert stream.name in said["raw_data"]
    for element_id in (*policy.purposes, *policy.access, *policy.storage):
        assert element_id in said
    for audience in policy.audiences:
        assert f'"{audience.name}"' in said["data_retained"]


@given(policies())
@settings(max_examples=60)
def test_every_category_is_answered(text: str) -> None:
    """DTPR's questions each have an answer; elements come by category; revealing technologies come first."""
    policy = parse_policy(text, "p")
    found = rules.elements(policy)
    unprotected = all(stream.privacy.mode == "none" for stream in policy.streams)
    assert {element.category for element in found} == set(Category), unprotected
    assert [e.category for e in found] == sorted(e.category for e in found)
    order = ["identifiable", "de_identified", "non_identifiable"]
    contexts = [order.index(e.context.value) for e in found if e.context is not None]
    assert contexts == sorted(contexts)
    assert all((e.context is not None) == (e.category is Category.TECH) for e in found)


def other(stream: str) -> Policy:
    """The good policy with one of the vectors' streams of another kind."""
    return parse_policy(changed(*vectors.instead(stream, "other", "other")), "p")


@pytest.mark.parametrize(
    ("stream", "given", "refused"),
    [
        (vectors.STREAM, {"aggregated", "differential_privacy"}, {"raw_data", "de_identified"}),
        (vectors.DURATION, {"aggregated", "differential_privacy"}, {"raw_data", "de_identified"}),
        (vectors.UNIQUE, {"aggregated", "differential_privacy", "de_identified"}, {"raw_data"}),
        (vectors.SOUND, {"aggregated", "differential_privacy"}, {"raw_data", "de_identified"}),
        (vectors.THRESHOLD_ONLY, {"aggregated"}, {"differential_privacy", "k_anonymity", "raw_data"}),
        (vectors.COARSE, {"aggregated"}, {"differential_privacy", "k_anonymity", "raw_data"}),
        (vectors.NONE, {"raw_data"}, {"aggregated", "differential_privacy", "k_anonymity"}),
    ],
)
def test_derivations_of_each_mode(stream: str, given: set[str], refused: set[str]) -> None:
    """What each kind and mode yields, and what it may not claim."""
    policy = POLICY if stream == vectors.STREAM else other(stream)
    process = {e.id for e in rules.elements(policy) if e.category is Category.PROCESS}
    assert given <= process
    assert not refused & process
    assert process - given == {"transport_layer_security"}


def test_transport() -> None:
    """`transport = "tls"` yields the element, "any" does not."""
    plain = parse_policy(changed('transport = "tls"', 'transport = "any"'), "p")
    ids = [{e.id for e in rules.elements(policy)} for policy in (POLICY, plain)]
    assert ids[0] - ids[1] == {"transport_layer_security"}


def test_unique_streams_are_de_identified_and_blue() -> None:
    """A `unique` stream makes its technology's context de-identified, which by itself would be identifiable."""
    policy = other(vectors.UNIQUE)
    (technology,) = (e for e in rules.elements(policy) if e.category is Category.TECH)
    assert TECHNOLOGIES[technology.id] is Identifiability.IDENTIFIABLE
    assert technology.context is Identifiability.DE_IDENTIFIED
    assert compile_disclosure(policy).colour == "blue"


def test_accountable() -> None:
    """The institution with its contact and feedback, then the vendors in their order."""
    two = parse_policy(changed('["Kerbside Sensors Ltd"]', '["Kerbside Sensors Ltd", "A Cloud"]'), "p")
    first, *vendors = (e for e in rules.elements(two) if e.category is Category.ACCOUNTABLE)
    assert first.id == "institution"
    assert dict(first.variables) == {
        "name": "City of Springfield",
        "address": "1 Main Street, Springfield",
        "phone": "+1 555 0100",
        "email": "data@springfield.example",
        "url": "https://springfield.example/sensors",
        "feedback": "https://springfield.example/sensors; +1 555 0100",
        "location": "River Bridge, west side",
        "location_precision": "street",
    }
    assert [(e.id, dict(e.variables)["name"]) for e in vendors] == [
        ("organization", "Kerbside Sensors Ltd"),
        ("organization", "A Cloud"),
    ]


def test_feedback_is_a_field_of_the_compact_form() -> None:
    """A reader who knows nothing of policies finds where to ask."""
    assert cbor.decode(compile_disclosure(POLICY).cbor)[4] == ["https://springfield.example/sensors", "+1 555 0100"]


def test_rules_have_reasons() -> None:
    """Each rule says when, what and why, in one sentence; no two have the same `when`."""
    assert len({rule.when for rule in rules.RULES}) == len(rules.RULES)
    for rule in rules.RULES:
        assert rule.when
        assert rule.gives
        assert len(rule.reason.split()) > 4
        assert ". " not in rule.reason


def test_enforced_elements_name_their_code() -> None:
    """Each enforced element of a policy that this version runs names a module that exists; only such elements are in the table."""
    enforceable(POLICY)
    found = {element.id for element in rules.elements(POLICY) if element.mark is Mark.ENFORCED}
    for name in found:
        assert importlib.util.find_spec(rules.ENFORCED_BY[name]) is not None, name
    possible = {e.id for stream in vectors.OTHERS for e in rules.elements(other(stream)) if e.mark is Mark.ENFORCED}
    assert found | possible == set(rules.ENFORCED_BY)


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
    return lambda p: with_privacy(threshold=dataclasses.replace(count_privacy(p.streams[0]).threshold, **fields))(p)  # type: ignore[arg-type]  # the same


def with_audience(**fields: object) -> Callable[[Policy], Policy]:
    return lambda p: with_policy(audiences=(dataclasses.replace(p.audiences[0], **fields), *p.audiences[1:]))(p)  # type: ignore[arg-type]  # the same


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
    "retention": with_audience(retention_days=731),
    "notice": with_policy(notice_s=86_400),
    "period": with_policy(period_s=43_200),
    "expires": with_policy(expires=POLICY.expires + 86_400),
    "effective": with_policy(effective=POLICY.effective + 86_400),
    "collect within": with_policy(collect_within_s=60),
    "purposes": with_policy(purposes=("mobility",)),
    "access": with_audience(access="available_to_vendor"),
    "storage": with_audience(storage=("stored_on_3rd_party_cloud",)),
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
    """`data_retained` carries the variable that its DTPR text shows, for each audience."""
    found = [e for e in rules.elements(POLICY) if e.category is Category.RETENTION]
    assert {(e.id, e.mark) for e in found} == {("data_retained", Mark.PROMISED)}
    assert [e.variables for e in found] == [
        (("duration", "730 days"), ("audiences", "city")),
        (("duration", "730 days"), ("audiences", "public")),
    ]


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
        Category.ACCOUNTABLE: ["institution", "organization"],
        Category.PURPOSE: vocabulary.PURPOSES,
        Category.TECH: TECHNOLOGIES,
        Category.DATA: ["values_time", "personal"],
        Category.PROCESS: set(rules.ENFORCED_BY) - {"values_time"},
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
