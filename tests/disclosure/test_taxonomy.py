"""agent/disclosure/taxonomy, taxonomy_export, taxonomy_text: an export is taken whole and plain, or refused with file and element."""

import copy
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.disclosure.taxonomy import (
    ATTRIBUTION,
    Difference,
    Taxonomy,
    differences,
    encode_taxonomy,
    findings,
    official,
    used_elements,
)
from agent.disclosure.taxonomy_export import MAX_EXPORT_BYTES, decode_taxonomy, read_exports
from agent.disclosure.taxonomy_text import depth, plain
from agent.disclosure.wording import LOCALES
from agent.errors import TaxonomyError
from tests.conftest import MISSING_SHARED

SHARED = Path(__file__).parents[3] / "shared/dtpr"

Json = Any


def schema(kind: str) -> dict[str, str]:
    return {"name": f"DTPR {kind}", "id": f"dtpr_{kind.lower()}", "version": "0.2"}


def words(text: str) -> list[dict[str, str]]:
    return [{"locale": "en", "value": text}, {"locale": "km", "value": f"{text}\u200bក"}]


def element(identity: str = "mobility", **fields: Json) -> Json:
    body = {
        "id": identity,
        "category_ids": ["device__purpose", "ai__purpose"],
        "version": "2025-08-29T00:00:00Z",
        "icon": {"url": f"https://dtpr.example/dtpr-icons/{identity}.svg", "alt_text": words("icon"), "format": "svg"},
        "title": words("Title"),
        "description": words(
            "Kept {{duration}}, see [this page](https://x.example/a_(b)), *really*.\nSecond line & more."
        ),
        "citation": [],
        "variables": [],
    }
    return {"schema": schema("Element"), "element": {**body, **fields}}


def category(identity: str = "device__purpose", **fields: Json) -> Json:
    body = {"id": identity, "name": words("Purpose"), "description": words("Why"), "version": "2025-08-29T00:00:00Z"}
    return {"schema": schema("Category"), "category": {**body, **fields}}


EXPORT = [category(prompt=[], element_variables=[]), element()]


def read(items: Json) -> Taxonomy:
    return read_exports([("export.json", items if isinstance(items, bytes) else json.dumps(items).encode())])


def shared() -> Taxonomy:
    names = ("elements_device.json", "categories_device.json")
    if not all((SHARED / name).exists() for name in names):
        pytest.skip(f"{MISSING_SHARED}: dtpr/{names[0]}")
    return read_exports([(name, (SHARED / name).read_bytes()) for name in names])


def test_the_official_taxonomy_is_read_whole() -> None:
    """All 124 elements and 8 categories, in six locales, every text plain; nothing that we use is missing or elsewhere."""
    taxonomy = shared()
    assert (len(taxonomy.elements), len(taxonomy.categories)) == (124, 8)
    found = findings(taxonomy, LOCALES)
    assert (found.unknown, found.moved, found.untranslated) == ((), (), ())
    for one in taxonomy.elements.values():
        assert set(one.title) == set(one.description) == set(LOCALES)
        for text in (*one.title.values(), *one.description.values()):
            assert not re.search(r"\]\(|<[A-Za-z/]|\*|\n|https?:", text), (one.id, text)
    assert taxonomy.elements["data_retained"].icon == "is_retained.svg"
    assert decode_taxonomy(encode_taxonomy(taxonomy), "t") == taxonomy


def test_a_text_becomes_plain() -> None:
    """Links become their words, emphasis and line breaks go, joiners and ampersands stay, places are filled when it is shown."""
    one = read(EXPORT).elements["mobility"]
    assert one.description["en"] == "Kept {{duration}}, see this page, really. Second line & more."
    assert one.title["km"] == "Title\u200bក"
    assert one.categories == ("device__purpose",)
    assert (
        official(one.description, "en", {"duration": "7 days"})
        == "Kept 7 days, see this page, really. Second line & more."
    )
    assert official(one.description, "en") == "Kept …, see this page, really. Second line & more."
    assert official(one.title, "fr") is None, "never another language instead"


def test_categories_with_and_without_the_fields_that_upstream_leaves_out() -> None:
    """order, prompt, required, element_variables and context may be absent or present."""
    bare = read([category(), element()]).categories["device__purpose"]
    assert (bare.order, bare.required, bare.prompt, bare.variables, bare.contexts) == (None, None, {}, (), ())
    full = category(
        order=1,
        required=True,
        prompt=words("Why?"),
        element_variables=[{"id": "duration", "label": words("Kept for"), "required": True}],
        context={
            "id": "use",
            "name": words("Use"),
            "description": words("Use"),
            "values": [{"id": "own", "name": words("Own"), "description": words("Own"), "color": "#FFDD00"}],
        },
    )
    taxonomy = read([full, element()])
    one = taxonomy.categories["device__purpose"]
    assert (one.order, one.required, one.prompt["en"]) == (1, True, "Why?")
    assert (one.variables[0].id, one.variables[0].required) == ("duration", True)
    assert (one.contexts[0].id, one.contexts[0].colour) == ("own", "#FFDD00")
    assert decode_taxonomy(encode_taxonomy(taxonomy), "t") == taxonomy


def test_the_stored_form_names_licence_and_authors() -> None:
    """CC BY 4.0 asks for the attribution and for what was changed; both travel with the texts, and the sources' digests."""
    stored = json.loads(encode_taxonomy(read(EXPORT)))
    assert stored["licence"] == "CC-BY-4.0"
    assert stored["attribution"] == ATTRIBUTION
    assert "Digital Transparency in the Public Realm contributors" in ATTRIBUTION
    assert "Links" in stored["changes_made"]
    assert [source["name"] for source in stored["sources"]] == ["export.json"]


def edited(path: list[str | int], value: Json) -> Json:
    items = copy.deepcopy(EXPORT)
    inner: Json = items
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return items


def titled(text: str) -> Json:
    return edited([1, "element", "title"], [{"locale": "en", "value": text}])


HOSTILE: dict[str, tuple[Json, str]] = {
    "script": (titled("<script>alert(1)</script>"), "export.json: element mobility: title: en: expected text without"),
    "image": (titled('x <img src=x onerror="y">'), "element mobility: title: en: expected text without markup"),
    "closing tag": (titled("x</p>"), "text without markup"),
    "comment": (titled("x <!-- y"), "text without markup"),
    "entity": (titled("x &lt;b&gt; y"), "text without markup"),
    "number entity": (titled("&#60;script"), "text without markup"),
    "tag split by emphasis": (titled("<*script>"), "text without markup"),
    "tag in a link's words": (titled("[<b>](https://x.example)"), "text without markup"),
    "half a link": (titled("[words]("), "text without markup"),
    "terminal escape": (titled("x\x1b[2Jy"), r"printable text, got the character U\+001B"),
    "bell": (titled("x\x07"), r"U\+0007"),
    "turned around": (titled("x\u202ey"), r"U\+202E"),
    "isolate": (titled("x\u2067y"), r"U\+2067"),
    "lone surrogate": (b'[{"schema": {"name": "DTPR Element", "version": "0.2"}, "element": {"id": "x", "category_ids": '
                       b'["device__purpose"], "version": "2025-08-29T00:00:00Z", "title": [{"locale": "en", "value": "\\ud800"}]}}]',
                       r"U\+D800"),
    "private use": (titled("x\ue000"), r"U\+E000"),
    "blank": (titled(" \n "), "expected text, got nothing or blanks"),
    "too long": (titled("x" * 4001), "at most 4,000 characters, got 4,001"),
    "title a number": (edited([1, "element", "title"], 7), "title: expected an array"),
    "title empty": (edited([1, "element", "title"], []), "a text in one locale at least"),
    "value a number": (edited([1, "element", "title"], [{"locale": "en", "value": 7}]), "title: en: expected text, got int"),
    "no value": (edited([1, "element", "title"], [{"locale": "en"}]), "the field value"),
    "locale of blanks": (edited([1, "element", "title"], [{"locale": " ", "value": "x"}]), "a locale such as en"),
    "locale twice": (edited([1, "element", "title"], [*words("x"), *words("y")]), "title: en: expected each locale once"),
    "id with a path": (edited([1, "element", "id"], "../../etc"), "an id of lower-case letters"),
    "id a number": (edited([1, "element", "id"], 7), "an id of lower-case letters"),
    "element twice": ([*EXPORT, element()], "export.json: element mobility: expected each id once, got a second one"),
    "category twice": ([*EXPORT, category()], "category device__purpose: expected each id once"),
    "key twice": (b'[{"schema": {}, "schema": {}}]', "each key of an object once"),
    "no device category": (edited([1, "element", "category_ids"], ["ai__purpose"]), "begins with device__"),
    "category unknown": (edited([1, "element", "category_ids"], ["device__magic"]), "a category of this export, got 'device__magic'"),
    "categories twice": (edited([1, "element", "category_ids"], ["device__purpose"] * 2), "distinct ids"),
    "icon by http": (edited([1, "element", "icon", "url"], "http://x.example/a.svg"), "icon.url: expected an https address"),
    "icon a program": (edited([1, "element", "icon", "url"], "javascript:alert(1)//a.svg"), "an https address"),
    "icon elsewhere": (edited([1, "element", "icon", "url"], "https://x.example/../../a.svg?x=y"), "an https address"),
    "icon of a file": (edited([1, "element", "icon", "url"], "file:///etc/passwd.svg"), "an https address"),
    "icon a list": (edited([1, "element", "icon"], []), "icon: expected an object"),
    "version a day": (edited([1, "element", "version"], "yesterday"), "version: expected an ISO 8601 time"),
    "order negative": (edited([0, "category", "order"], -1), "order: expected an integer of 0 or more"),
    "order true": (edited([0, "category", "order"], True), "order: expected an integer"),
    "required text": (edited([0, "category", "required"], "yes"), "required: expected true or false"),
    "prompt markup": (edited([0, "category", "prompt"], words("<b>why</b>")), "category device__purpose: prompt: en"),
    "context without values": (edited([0, "category", "context"], {}), "the field values"),
    "colour a name": (edited([0, "category", "context"], {"values": [{"id": "a", "name": words("A"), "color": "red"}]}),
                      "a colour such as #FFDD00"),
    "variable twice": (edited([1, "element", "variables"], [{"id": "a"}, {"id": "a"}]), "each id once"),
    "other schema": (edited([1, "schema", "name"], "DTPR Datachain"), "item 1: schema.name"),
    "schema a list": (edited([1, "schema", "name"], ["DTPR Element"]), "item 1: schema.name"),
    "newer schema": (edited([1, "schema", "version"], "0.3"), 'schema.version: expected "0.2"'),
    "no element": ([category(), {"schema": schema("Element")}], "item 1: element: expected an object"),
    "elements alone": ([element()], "elements and categories of device, got no categories"),
    "categories alone": ([category()], "got no elements"),
    "nothing": ([], "an array of 1 to"),
    "an object": ({}, "an array of 1 to"),
    "too many": ([1] * 2001, "an array of 1 to 2000"),
    "numbers": ([1, 2], "item 0: expected an object, got int"),
    "not JSON": (b"<html>", "export.json: line 1: expected JSON in UTF-8"),
    "not UTF-8": (b'["\xff"]', "JSON in UTF-8"),
    "empty": (b"", "JSON in UTF-8"),
    "deep": (b"[" * 100_000, "at most 12 levels of nesting"),
    "a number of 10,000 digits": (b"[" + b"9" * 10_000 + b"]", "JSON in UTF-8"),
    "oversized": (b" " * (MAX_EXPORT_BYTES + 1), "at most 4,194,304 bytes"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_exports(name: str) -> None:
    """Each is one named error that says where, and nothing of it is taken over."""
    items, message = HOSTILE[name]
    with pytest.raises(TaxonomyError, match=message) as caught:
        read(items)
    assert caught.value.exit_code == 2
    assert len(str(caught.value)) < 500
    assert str(caught.value).isprintable()


def test_a_file_given_twice_is_refused() -> None:
    """The message says what to do."""
    data = json.dumps(EXPORT).encode()
    with pytest.raises(TaxonomyError, match="import each file once"):
        read_exports([("a.json", data), ("b.json", data)])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda tree: tree.update(form=2),
        lambda tree: tree.update(form=True),
        lambda tree: tree.pop("elements"),
        lambda tree: tree["elements"].update({"../x": tree["elements"]["mobility"]}),
        lambda tree: tree["elements"]["mobility"]["title"].update(en="<b>"),
        lambda tree: tree["elements"]["mobility"]["title"].update({"": "x"}),
        lambda tree: tree["categories"].clear(),
        lambda tree: tree.update(sources=[{"name": 1, "sha256": "x"}]),
    ],
)
def test_a_stored_taxonomy_is_checked_again(spoil: Callable[[Json], object]) -> None:
    """The stored file is input too: whoever can write it cannot put markup on a resident's page."""
    tree = json.loads(encode_taxonomy(read(EXPORT)))
    spoil(tree)
    with pytest.raises(TaxonomyError):
        decode_taxonomy(json.dumps(tree).encode(), "taxonomy.json")


def test_what_does_not_fit_this_program_is_found() -> None:
    """Ids that we use and the taxonomy lacks, ids in other categories, locales without text."""
    tech = category("device__tech")
    found = findings(
        read([*EXPORT, tech, element("radar"), element("commerce", category_ids=["device__tech"])]), ["en", "fr"]
    )
    assert "institution" in found.unknown
    assert "device__access" in found.unknown
    assert "mobility" not in found.unknown
    assert set(found.moved) == {"commerce", "radar"}
    assert ("mobility", "fr") in found.untranslated
    assert ("mobility", "en") not in found.untranslated


def test_every_id_of_every_rule_is_compared() -> None:
    """What `findings` compares is what a policy can lead to, derived elements too."""
    used = used_elements()
    assert {"institution", "organization", "values_time", "differential_privacy", "data_retained", "raw_data"} <= set(
        used
    )
    assert not any(" " in identity for identity in used)


def test_differences_between_two_imports() -> None:
    """New, gone, moved and changed ids, and silence when nothing is."""
    tech = category("device__tech")
    old = read([*EXPORT, tech, element("radar"), element("dining"), element("health")])
    new = read(
        [
            *EXPORT,
            tech,
            element("radar", category_ids=["device__tech"]),
            element("entry"),
            element("health", title=words("Well")),
        ]
    )
    assert dict(differences(old, new)) == {
        "dining": Difference.GONE,
        "entry": Difference.NEW,
        "health": Difference.CHANGED,
        "radar": Difference.MOVED,
    }
    assert differences(old, old) == ()


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "schema",
                        "element",
                        "category",
                        "id",
                        "title",
                        "name",
                        "version",
                        "icon",
                        "url",
                        "locale",
                        "value",
                        "context",
                        "values",
                        "order",
                    ]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
@settings(max_examples=300)
def test_only_the_documented_error_escapes(value: Json) -> None:
    """Whatever stands in the place of an element, a category or one of their fields (I8)."""
    for items in (
        [value],
        edited([1, "element"], value),
        edited([0, "category"], value),
        edited([1, "element", "icon"], value),
        edited([0, "category", "context"], value),
    ):
        try:
            taxonomy = read(items)
        except TaxonomyError:
            continue
        assert decode_taxonomy(encode_taxonomy(taxonomy), "t") == taxonomy


@given(st.text(max_size=200))
@settings(max_examples=300)
def test_plain_is_plain(text: str) -> None:
    """What comes back is one printable line without anything that HTML could read, and is the same when read again."""
    try:
        found = plain(text, "here")
    except TaxonomyError:
        return
    assert not re.search(r"<[A-Za-z/!?]|&#|\n|\]\(|\*", found)
    assert plain(found, "here") == found


def test_reading_takes_time_in_proportion() -> None:
    """Texts made to make a pattern search long do not."""
    started = time.monotonic()
    for text in ("[" * 4000, "[a](" * 1000, "[a](" + "()" * 1990, "\\" * 4000, "&" * 4000):
        with pytest.raises(TaxonomyError):
            plain(text + "<b>", "here")
    assert depth(b'\\"' * 1_000_000 + b"[[") == 2
    assert depth(b'["[[", {"a": [1]}]') == 3
    assert time.monotonic() - started < 10
