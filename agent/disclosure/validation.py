"""The rules that a DTPR v1 datachain document must keep, whoever wrote it. Pure.

Source: DTPR datachain schema 0.1, "Validation Requirements": required fields present; category, context-type and variable ids defined;
locale codes well-formed; ISO 8601 times; hex colours; non-negative integers for order and priority.
"""

import datetime
import re
from collections.abc import Mapping
from typing import Any, NoReturn

from agent.errors import DisclosureError

MAX_ITEMS = 1000
"""A datachain for a sign has a few dozen elements; a list far beyond is not one."""

_ID = re.compile(r"[a-z0-9][a-z0-9_]{0,79}")
_LOCALE = re.compile(r"[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?")
_COLOUR = re.compile(r"#[0-9A-Fa-f]{6}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")


def validate(document: Any, element_variables: Mapping[str, frozenset[str]] | None = None) -> None:
    """Raise DisclosureError at the first rule broken; return None when all hold.

    `element_variables`, from an imported taxonomy, maps every known element id to the variables it defines itself; without it, element ids
    are checked for form only and variables against their category.
    """
    top = _map(document, "document", "schema", "datachain", "instance")
    schema = _map(top["schema"], "schema", "name", "version", "namespace")
    if schema["name"] != "DTPR":
        _refuse("schema.name", '"DTPR"', schema["name"])
    for key in ("version", "namespace"):
        _text(schema[key], f"schema.{key}")
    categories = _datachain(top["datachain"])
    _instance(top["instance"], categories, element_variables)


def _datachain(item: Any) -> dict[str, Mapping[str, Any]]:
    chain = _map(item, "datachain", "type", "version", "title", "description", "categories")
    _text(chain["type"], "datachain.type")
    _time(chain["version"], "datachain.version")
    _words(chain["title"], "datachain.title")
    _words(chain["description"], "datachain.description")
    categories: dict[str, Mapping[str, Any]] = {}
    for number, value in enumerate(_list(chain["categories"], "datachain.categories")):
        where = f"datachain.categories[{number}]"
        category = _map(value, where, "id", "order", "name", "description", "prompt")
        identity = _id(category["id"], f"{where}.id")
        if identity in categories:
            _refuse(f"{where}.id", "an id that no other category has", identity)
        _count(category["order"], f"{where}.order")
        for key in ("name", "description", "prompt"):
            _words(category[key], f"{where}.{key}")
        for i, variable in enumerate(_list(category.get("element_variables", []), f"{where}.element_variables")):
            fields = _map(variable, f"{where}.element_variables[{i}]", "id", "label", "required")
            _id(fields["id"], f"{where}.element_variables[{i}].id")
            _words(fields["label"], f"{where}.element_variables[{i}].label")
            if not isinstance(fields["required"], bool):
                _refuse(f"{where}.element_variables[{i}].required", "true or false", fields["required"])
        _contexts(category, where)
        categories[identity] = category
    return categories


def _contexts(category: Mapping[str, Any], where: str) -> set[str]:
    values = list(_list(category.get("context_types", []), f"{where}.context_types"))
    if "context" in category:
        context = _map(category["context"], f"{where}.context", "id", "name", "description", "values")
        _id(context["id"], f"{where}.context.id")
        _words(context["name"], f"{where}.context.name")
        _words(context["description"], f"{where}.context.description")
        values += _list(context["values"], f"{where}.context.values")
    for i, value in enumerate(values):
        fields = _map(value, f"{where} context {i}", "id", "name", "description", "color")
        _id(fields["id"], f"{where} context {i}.id")
        _words(fields["name"], f"{where} context {i}.name")
        _words(fields["description"], f"{where} context {i}.description")
        if not isinstance(fields["color"], str) or not _COLOUR.fullmatch(fields["color"]):
            _refuse(f"{where} context {i}.color", "a colour such as #FFDD00", fields["color"])
    return {value["id"] for value in values}


def _instance(
    item: Any, categories: Mapping[str, Mapping[str, Any]], element_variables: Mapping[str, frozenset[str]] | None
) -> None:
    instance = _map(item, "instance", "title", "created_at", "elements")
    _words(instance["title"], "instance.title")
    _time(instance["created_at"], "instance.created_at")
    used = set()
    for number, value in enumerate(_list(instance["elements"], "instance.elements")):
        where = f"instance.elements[{number}]"
        element = _map(value, where, "element_id", "category_id", "priority")
        identity = _id(element["element_id"], f"{where}.element_id")
        if element_variables is not None and identity not in element_variables:
            _refuse(f"{where}.element_id", "an element of the taxonomy", identity)
        category = categories.get(_id(element["category_id"], f"{where}.category_id"))
        if category is None:
            _refuse(f"{where}.category_id", "a category of this datachain", element["category_id"])
        used.add(element["category_id"])
        _count(element["priority"], f"{where}.priority")
        context = element.get("context_type_id")
        if "context_type_id" in element and not (
            isinstance(context, str) and context in _contexts(category, "category")
        ):
            _refuse(f"{where}.context_type_id", "a context type of its category", element["context_type_id"])
        own = (element_variables or {}).get(identity, frozenset())
        _variables(element, category, own, where)
    for identity, category in categories.items():
        if category.get("required") is True and identity not in used:
            _refuse("instance.elements", f"an element of the required category {identity}", "none")


def _variables(element: Mapping[str, Any], category: Mapping[str, Any], own: frozenset[str], where: str) -> None:
    defined = {variable["id"] for variable in category.get("element_variables", [])}
    given = set()
    for i, value in enumerate(_list(element.get("variables", []), f"{where}.variables")):
        variable = _map(value, f"{where}.variables[{i}]", "id", "value")
        if _id(variable["id"], f"{where}.variables[{i}].id") not in defined | own:
            _refuse(f"{where}.variables[{i}].id", "a variable of its element or category", variable["id"])
        if variable["id"] in given:
            _refuse(f"{where}.variables[{i}].id", "each variable once", variable["id"])
        given.add(variable["id"])
    for variable in category.get("element_variables", []):
        if variable["required"] and variable["id"] not in given:
            _refuse(f"{where}.variables", f"the required variable {variable['id']}", "none")


def _map(value: Any, where: str, *required: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        _refuse(where, "an object", type(value).__name__)
    for key in required:
        if key not in value:
            _refuse(where, f"the field {key}", "nothing")
    return value


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list) or len(value) > MAX_ITEMS:
        _refuse(where, f"an array of at most {MAX_ITEMS}", type(value).__name__)
    return value


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        _refuse(where, "text", type(value).__name__ if not isinstance(value, str) else "blanks")
    return value


def _id(value: Any, where: str) -> str:
    if not isinstance(value, str) or not _ID.fullmatch(value):
        _refuse(where, "an id of lower-case letters, digits and _", value)
    return value


def _words(value: Any, where: str) -> None:
    items = _list(value, where)
    if not items:
        _refuse(where, "at least one locale", "none")
    locales = set()
    for i, item in enumerate(items):
        fields = _map(item, f"{where}[{i}]", "locale", "value")
        if not isinstance(fields["locale"], str) or not _LOCALE.fullmatch(fields["locale"]):
            _refuse(f"{where}[{i}].locale", "a locale such as en or fr-CA", fields["locale"])
        if fields["locale"] in locales:
            _refuse(f"{where}[{i}].locale", "each locale once", fields["locale"])
        locales.add(fields["locale"])
        _text(fields["value"], f"{where}[{i}].value")


def _time(value: Any, where: str) -> None:
    try:
        if not isinstance(value, str) or not _TIME.fullmatch(value):
            raise ValueError
        datetime.datetime.fromisoformat(value)
    except ValueError:
        _refuse(where, "an ISO 8601 time such as 2026-09-01T00:00:00Z", value)


def _count(value: Any, where: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        _refuse(where, "an integer of 0 or more", value)


def _refuse(where: str, expected: str, got: Any) -> NoReturn:
    words = (
        repr(got)[:60] if isinstance(got, str | int | float | None) else type(got).__name__
    )  # repr of others recurses
    raise DisclosureError(f"datachain: {where}", expected=expected, got=words)
