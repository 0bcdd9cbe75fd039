"""Reading a DTPR API v1 export, and the compact form that was made of one (agent/disclosure/taxonomy). Pure.

    export = [{"schema": {…"version": "0.2"}, "element": {…} or "category": {…}}, …]     GET /api/dtpr/v1/{elements,categories}/device

Invariant: what is returned is whole: every text is plain (agent/disclosure/taxonomy_text), every id well-formed and there once, every
category that an element names is there. Category fields `order`, `prompt`, `required`, `element_variables` and `context` may be absent,
as upstream leaves most of them. Fields that nobody asks for are left out.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from agent.disclosure import taxonomy_text
from agent.disclosure.taxonomy import (
    FORM,
    ContextValue,
    OfficialCategory,
    OfficialElement,
    Taxonomy,
    Variable,
    Words,
)
from agent.errors import TaxonomyError

SCHEMA_VERSION = "0.2"

MAX_EXPORT_BYTES = 4 * 1024 * 1024
"""The whole taxonomy of devices in six languages has 0.4 MB."""

MAX_ITEMS = 2_000
MAX_DEPTH = 12
_ID = re.compile(r"[a-z0-9][a-z0-9_]{0,79}")
_LOCALE = re.compile(r"[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?")
_ICON = re.compile(
    r"(?:https://[a-z0-9.-]{1,100}(?::[0-9]{1,5})?)?/(?:[A-Za-z0-9._-]{1,80}/){0,6}(?P<name>[a-z0-9][a-z0-9_-]{0,79}\.svg)"
)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")
_COLOUR = re.compile(r"#[0-9A-Fa-f]{6}")


def read_exports(files: Iterable[tuple[str, bytes]]) -> Taxonomy:
    """One taxonomy from all files of an export (name, bytes); raises TaxonomyError naming file and element."""
    elements: dict[str, OfficialElement] = {}
    categories: dict[str, OfficialCategory] = {}
    sources = []
    for name, data in files:
        items = _json(name, data)
        if not isinstance(items, list) or not 1 <= len(items) <= MAX_ITEMS:
            _refuse(name, f"an array of 1 to {MAX_ITEMS} elements or categories, as the DTPR API v1 returns", items)
        for number, item in enumerate(items):
            _place(item, f"{name}: item {number}", name, elements, categories)
        sources.append((name, hashlib.sha256(data).hexdigest()))
    return _whole(Taxonomy(elements, categories, tuple(sources)))


def decode_taxonomy(data: bytes, name: str) -> Taxonomy:
    """Read the compact imported form; raises TaxonomyError when it is not what `encode_taxonomy` writes."""
    top = _map(_json(name, data), name, "form", "sources", "categories", "elements")
    if type(top["form"]) is not int or top["form"] != FORM:
        _refuse(f"{name}: form", str(FORM), top["form"], "import the taxonomy again")
    sources = []
    for number, item in enumerate(_list(top["sources"], f"{name}: sources")):
        source = _map(item, f"{name}: sources[{number}]", "name", "sha256")
        sources.append((_string(source["name"], f"{name}: sources"), _string(source["sha256"], f"{name}: sources")))
    elements, categories = {}, {}
    for identity, item in _map(top["categories"], f"{name}: categories").items():
        categories[identity] = _category(
            {**_map(item, f"{name}: category {identity}"), "id": identity}, f"{name}: category {identity}"
        )
    for identity, item in _map(top["elements"], f"{name}: elements").items():
        elements[identity] = _element(
            {**_map(item, f"{name}: element {identity}"), "id": identity}, f"{name}: element {identity}"
        )
    return _whole(Taxonomy(elements, categories, tuple(sources)))


def _place(
    item: Any, where: str, name: str, elements: dict[str, OfficialElement], categories: dict[str, OfficialCategory]
) -> None:
    top = _map(item, where, "schema")
    schema = _map(top["schema"], f"{where}: schema", "name", "version")
    kinds = {"DTPR Element": "element", "DTPR Category": "category"}
    kind = kinds.get(schema["name"]) if isinstance(schema["name"], str) else None
    if kind is None:
        _refuse(f"{where}: schema.name", '"DTPR Element" or "DTPR Category"', schema["name"])
    if schema["version"] != SCHEMA_VERSION:
        _refuse(
            f"{where}: schema.version", f'"{SCHEMA_VERSION}"', schema["version"], "this program reads exports of API v1"
        )
    fields = _map(top.get(kind), f"{where}: {kind}", "id")
    identity = _id(fields["id"], f"{where}: {kind}.id")
    known: Mapping[str, object] = elements if kind == "element" else categories
    if identity in known:
        _refuse(f"{name}: {kind} {identity}", "each id once", _Said("a second one"), "import each file once")
    if kind == "element":
        elements[identity] = _element(fields, f"{name}: element {identity}")
    else:
        categories[identity] = _category(fields, f"{name}: category {identity}")


def _whole(taxonomy: Taxonomy) -> Taxonomy:
    """Refuse half a taxonomy, and an element in a device category that there is none of."""
    if not taxonomy.elements or not taxonomy.categories:
        what = "elements" if taxonomy.categories else "categories"
        raise TaxonomyError(
            "export",
            expected="elements and categories of device",
            got=f"no {what}",
            remedy=f"give the answer of /api/dtpr/v1/{what}/device too",
        )
    for element in taxonomy.elements.values():
        for category in element.categories:
            if category not in taxonomy.categories:
                _refuse(f"element {element.id}: category_ids", "a category of this export", category)
    return taxonomy


def _element(fields: Mapping[str, Any], where: str) -> OfficialElement:
    _map(fields, where, "category_ids", "title", "version")
    ids = [_id(one, f"{where}: category_ids") for one in _list(fields["category_ids"], f"{where}: category_ids")]
    categories = tuple(one for one in ids if one.startswith("device__"))
    if not categories or len(set(ids)) != len(ids):
        _refuse(f"{where}: category_ids", "distinct ids, of which one begins with device__", _Said("others"))
    icon = _map(fields["icon"], f"{where}: icon", "url") if fields.get("icon") is not None else {"url": ""}
    url = _string(icon["url"], f"{where}: icon.url") if icon["url"] else ""
    found = _ICON.fullmatch(url)
    if url and not found:
        _refuse(f"{where}: icon.url", "an https address or absolute path of an .svg file", url)
    return OfficialElement(
        id=_id(fields["id"], f"{where}: id"),
        version=_time(fields["version"], f"{where}: version"),
        categories=categories,
        title=_words(fields["title"], f"{where}: title", low=1),
        description=_words(fields.get("description", []), f"{where}: description"),
        icon=found["name"] if found else "",
        icon_url=url,
        icon_words=_words(icon.get("alt_text", []), f"{where}: icon.alt_text"),
        variables=_variables(fields.get("variables", []), f"{where}: variables"),
    )


def _category(fields: Mapping[str, Any], where: str) -> OfficialCategory:
    _map(fields, where, "name", "version")
    order, required = fields.get("order"), fields.get("required")
    if order is not None and (type(order) is not int or not 0 <= order <= MAX_ITEMS):
        _refuse(f"{where}: order", "an integer of 0 or more", order)
    if required is not None and type(required) is not bool:
        _refuse(f"{where}: required", "true or false", required)
    contexts: Sequence[Any] = ()
    if fields.get("context") is not None:
        context = _map(fields["context"], f"{where}: context", "values")
        contexts = _list(context["values"], f"{where}: context.values")
    values = tuple(_context(value, f"{where}: context.values[{i}]") for i, value in enumerate(contexts))
    if len({value.id for value in values}) != len(values):
        _refuse(f"{where}: context.values", "each id once", _Said("a second one"))
    return OfficialCategory(
        id=_id(fields["id"], f"{where}: id"),
        version=_time(fields["version"], f"{where}: version"),
        name=_words(fields["name"], f"{where}: name", low=1),
        description=_words(fields.get("description", []), f"{where}: description"),
        prompt=_words(fields.get("prompt", []), f"{where}: prompt"),
        order=order,
        required=required,
        variables=_variables(fields.get("element_variables", []), f"{where}: element_variables"),
        contexts=values,
    )


def _context(item: Any, where: str) -> ContextValue:
    fields = _map(item, where, "id", "name", "color")
    if not isinstance(fields["color"], str) or not _COLOUR.fullmatch(fields["color"]):
        _refuse(f"{where}.color", "a colour such as #FFDD00", fields["color"])
    return ContextValue(
        id=_id(fields["id"], f"{where}.id"),
        name=_words(fields["name"], f"{where}.name", low=1),
        description=_words(fields.get("description", []), f"{where}.description"),
        colour=fields["color"],
    )


def _variables(item: Any, where: str) -> tuple[Variable, ...]:
    found = []
    for number, value in enumerate(_list(item, where)):
        fields = _map(value, f"{where}[{number}]", "id")
        required = fields.get("required", False)
        if type(required) is not bool:
            _refuse(f"{where}[{number}].required", "true or false", required)
        found.append(
            Variable(
                _id(fields["id"], f"{where}[{number}].id"),
                required,
                _words(fields.get("label", []), f"{where}[{number}].label"),
            )
        )
    if len({variable.id for variable in found}) != len(found):
        _refuse(where, "each id once", _Said("a second one"))
    return tuple(found)


def _words(item: Any, where: str, low: int = 0) -> Words:
    """An array of {locale, value} (an export), or an object from locale to text (the stored form)."""
    pairs: list[tuple[Any, Any]] = []
    if isinstance(item, dict):
        pairs = list(item.items())
    else:
        for number, one in enumerate(_list(item, where)):
            fields = _map(one, f"{where}[{number}]", "locale", "value")
            pairs.append((fields["locale"], fields["value"]))
    found: dict[str, str] = {}
    for locale, value in pairs:
        if not isinstance(locale, str) or not _LOCALE.fullmatch(locale):
            _refuse(f"{where}: locale", "a locale such as en or fr-CA", locale)
        if locale in found:
            _refuse(f"{where}: {locale}", "each locale once", _Said("a second one"))
        found[locale] = taxonomy_text.plain(_string(value, f"{where}: {locale}"), f"{where}: {locale}")
    if len(found) < low:
        _refuse(where, "a text in one locale at least", _Said("none"))
    return found


def _json(name: str, data: bytes) -> Any:
    if len(data) > MAX_EXPORT_BYTES:
        raise TaxonomyError(name, expected=f"at most {MAX_EXPORT_BYTES:,} bytes", got=f"{len(data):,} bytes")

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            _refuse(name, "each key of an object once", _Said("one twice"))
        return found

    if taxonomy_text.depth(data) > MAX_DEPTH:
        _refuse(name, f"at most {MAX_DEPTH} levels of nesting", _Said("more"))
    try:
        return json.loads(data.decode(), object_pairs_hook=once)
    except ValueError as bad:
        where = f"{name}: line {bad.lineno}" if isinstance(bad, json.JSONDecodeError) else name
        raise TaxonomyError(where, expected="JSON in UTF-8, as the DTPR API v1 returns", got="something else") from None


def _map(value: Any, where: str, *required: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        _refuse(where, "an object", value)
    for key in required:
        if key not in value:
            _refuse(where, f"the field {key}", _Said("nothing"))
    return value


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list) or len(value) > MAX_ITEMS:
        _refuse(where, f"an array of at most {MAX_ITEMS}", value)
    return value


def _string(value: Any, where: str) -> str:
    if not isinstance(value, str):
        _refuse(where, "text", value)
    return value


def _id(value: Any, where: str) -> str:
    if not isinstance(value, str) or not _ID.fullmatch(value):
        _refuse(where, "an id of lower-case letters, digits and _", value)
    return value


def _time(value: Any, where: str) -> str:
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        _refuse(where, "an ISO 8601 time", value)
    return value


def _refuse(where: str, expected: str, got: Any, remedy: str = "") -> NoReturn:
    words = got.words if isinstance(got, _Said) else repr(got[:60]) if isinstance(got, str) else type(got).__name__
    raise TaxonomyError(where, expected=expected, got=words, remedy=remedy)


@dataclass(frozen=True, slots=True)
class _Said:
    """What was found, in our words instead of the file's."""

    words: str
