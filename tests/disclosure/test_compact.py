"""The compact disclosure (BE-28 to BE-33): its size, its registry of numbers, and every vector that JavaScript must pass too."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.disclosure import compact
from agent.disclosure.compact import PHRASES, compact_of, lengthen, seal_compact, shorten
from agent.disclosure.datachain import compile_disclosure, decode_disclosure
from agent.disclosure.numbers import ELEMENTS, NUMBERS, REGISTRY
from agent.disclosure.presence import presence
from agent.disclosure.rules import RULES, elements
from agent.disclosure.taxonomy import used_elements
from agent.errors import DisclosureError
from agent.policy.file import load_policy
from tests.beacon.vectors import generate_compact
from tests.conftest import MISSING_SHARED

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "dtpr" / "elements_device.json"
SPEC = (ROOT / "agent" / "beacon" / "SPEC.md").read_text()
POLICIES = (ROOT / "config" / "policy.toml", *sorted((ROOT / "config" / "examples").glob("*.toml")))
VECTORS: list[dict[str, Any]] = json.loads(generate_compact.FILE.read_text())["vectors"]
BIKE = compact_of(compile_disclosure(load_policy(POLICIES[0])))


def test_the_bike_counter_fits_200_bytes() -> None:
    """BE-28: one extended advertisement and a small QR code."""
    assert len(seal_compact(BIKE, generate_compact.KEY)) == 193 <= 200


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.stem)
def test_it_says_what_the_disclosure_says(path: Path) -> None:
    """BE-28, BE-29: every element with its mark, who answers, where to ask, until when, which disclosure."""
    disclosure = compile_disclosure(load_policy(path))
    short = compact_of(disclosure)
    said = [(one.id, one.category, one.mark) for one in short.elements]
    assert said == list(dict.fromkeys((one.id, one.category, one.mark) for one in elements(disclosure.policy)))
    assert short.organisation == disclosure.policy.accountable.name
    assert (short.channel, short.where) == disclosure.policy.contact.feedback_channels[0]
    assert disclosure.digest.startswith(short.digest)
    assert short.colour == disclosure.colour
    found = presence(disclosure.policy)
    assert (short.guarantee.scope, short.guarantee.period, short.guarantee.month) == (
        found.scope,
        found.period,
        found.month,
    )
    assert compact.decode_compact(short.encode()) == short
    assert compact_of(decode_disclosure(disclosure.cbor)) == short


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_vector(vector: dict[str, Any]) -> None:
    """BE-33: each hostile message is refused by the layer that must; the others read as they say."""
    found = generate_compact.outcome(bytes.fromhex(vector["message"]))
    assert found == {key: value for key, value in vector.items() if key not in ("name", "message")}


def test_the_vectors_are_those_of_this_code() -> None:
    """The generator is committed with what it makes."""
    assert [(one["name"], one["message"]) for one in VECTORS] == [
        (name, message.hex()) for name, message in generate_compact.messages()
    ]
    assert {one.get("refused_by") for one in VECTORS} == {None, "cbor", "cose", "signature", "compact"}


@given(st.text(max_size=60), st.sampled_from(["bridge-01", "a", "https"]))
def test_short_texts_come_back(text: str, unit: str) -> None:
    """BE-32: one short form a text; what is not printable on one line is refused."""
    data = shorten(f"City of {text}://", unit)
    try:
        assert lengthen(data, unit) == f"City of {text}://"
    except DisclosureError:
        assert compact._STEERING.search(text) or len(text) > 100


def test_phrases_are_no_utf8() -> None:
    """BE-32: a phrase's byte occurs in no text (RFC 3629 section 1)."""
    assert all(code in (0xC0, 0xC1) or code >= 0xF5 for code in (*PHRASES, compact.UNIT_CODE))
    assert shorten("City of Ada, Department of Transportation", "x") == b"\xf7Ada, \xf8\xf9"
    assert shorten("https://www.ada.example/x/bridge-01", "bridge-01") == b"\xf5ada.example/x/\xc0"


def test_a_text_that_everybody_else_prints_is_not_refused() -> None:
    """What a policy may say (policy/values) a compact disclosure can carry: its list of refused characters is not wider."""
    for number in range(0x110000):
        if chr(number).isprintable():
            assert not compact._STEERING.match(chr(number)), hex(number)


def test_too_long_is_an_error_that_says_what_to_shorten(monkeypatch: pytest.MonkeyPatch) -> None:
    """BE-28."""
    monkeypatch.setattr(compact, "MAX_COMPACT_BYTES", 180)
    with pytest.raises(DisclosureError, match="shorten the organisation's name or the preferred feedback address"):
        seal_compact(BIKE, generate_compact.KEY)


def test_what_could_not_be_read_is_not_sealed() -> None:
    """BE-33: the unit's side refuses what readers would."""
    with pytest.raises(DisclosureError, match="organisation"):
        seal_compact(dataclasses.replace(BIKE, organisation="a\u202eb"), generate_compact.KEY)


def test_every_element_has_a_number() -> None:
    """BE-29: whatever the rules can give, with the mark that they give it."""
    assert {one.id for one in REGISTRY} == set(used_elements())
    for rule in RULES:
        ids = [e for e, c in used_elements().items() if c is rule.category] if rule.gives.startswith("the same") else []
        assert all((element, rule.mark) in NUMBERS for element in ids or [rule.gives.split(",")[0]])


def test_numbers_are_only_appended() -> None:
    """BE-29: SPEC.md holds the registry as it was published; what stands there stays, in that order."""
    table = SPEC.split("<!-- registry -->")[1]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines() if line.startswith("| ")]
    published = [(int(cells[i]), cells[i + 1].strip("`")) for cells in rows[1:] for i in (0, 2, 4) if cells[i]]
    assert sorted(published) == list(enumerate(ELEMENTS, 1))
    shuffled = (ELEMENTS[1], ELEMENTS[0], *ELEMENTS[2:])
    assert sorted(published) != list(enumerate(shuffled, 1))


def test_numbers_are_of_the_taxonomy() -> None:
    """BE-29: every numbered element is in the DTPR taxonomy, in the category that the registry gives."""
    if not SHARED.exists():
        pytest.skip(f"{MISSING_SHARED}: dtpr")
    official = {one["element"]["id"]: one["element"]["category_ids"] for one in _exported()}
    assert {one.id for one in REGISTRY} - set(official) == set()
    assert [one.id for one in REGISTRY if one.category.id not in official[one.id]] == []


def _exported() -> list[dict[str, Any]]:
    exported = json.loads(SHARED.read_text())
    found = exported if isinstance(exported, list) else exported["elements"]
    return [one if "element" in one else {"element": one} for one in found]
