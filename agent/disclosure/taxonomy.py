"""DTPR's official elements and categories, as imported: kept compact, shown with their attribution, compared with what we use. Pure.

    stored = {"form": 1, "licence", "attribution", "changes_made", "sources": [{name, sha256}], "categories": {…}, "elements": {…}}

The taxonomy is CC BY 4.0. This project ships none of it: agent/disclosure/taxonomy_export reads an export of the DTPR API v1, and what was
imported is shown with `ATTRIBUTION` beside it. `CHANGES_MADE` says what was changed, as the licence asks.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from agent.disclosure.rules import RULES, Category
from agent.policy import vocabulary

FORM = 1
SPDX = "CC-BY-4.0"
ATTRIBUTION = (
    "Official texts and icons: DTPR taxonomy by the Digital Transparency in the Public Realm contributors, "
    "CC BY 4.0, https://creativecommons.org/licenses/by/4.0/; portions of the icons derive from Material Symbols (Apache-2.0)."
)
CHANGES_MADE = "Links are reduced to their words, emphasis and line breaks dropped."


Words = Mapping[str, str]
"""Locale -> text."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A place `{{id}}` in an element's texts, or a variable that a category gives to its elements."""

    id: str
    required: bool
    label: Words


@dataclass(frozen=True, slots=True)
class ContextValue:
    """One context type of a category."""

    id: str
    name: Words
    description: Words
    colour: str


@dataclass(frozen=True, slots=True)
class OfficialElement:
    """An official element; `icon` is the file name that its icon's address ends in, "" without one."""

    id: str
    version: str
    categories: tuple[str, ...]
    title: Words
    description: Words
    icon: str
    icon_url: str
    icon_words: Words
    variables: tuple[Variable, ...]


@dataclass(frozen=True, slots=True)
class OfficialCategory:
    """An official category; `order`, `required` are None and the rest empty where the export is silent."""

    id: str
    version: str
    name: Words
    description: Words
    prompt: Words
    order: int | None
    required: bool | None
    variables: tuple[Variable, ...]
    contexts: tuple[ContextValue, ...]


@dataclass(frozen=True, slots=True)
class Taxonomy:
    """What was imported; `sources` are (file or address, SHA-256 in hex)."""

    elements: Mapping[str, OfficialElement]
    categories: Mapping[str, OfficialCategory]
    sources: tuple[tuple[str, str], ...] = field(default=())


def encode_taxonomy(taxonomy: Taxonomy) -> bytes:
    """The compact imported form: JSON, keys sorted, one byte string for one taxonomy."""
    stored = {
        "form": FORM,
        "licence": SPDX,
        "attribution": ATTRIBUTION,
        "changes_made": CHANGES_MADE,
        "sources": [{"name": name, "sha256": digest} for name, digest in taxonomy.sources],
        "categories": {one.id: _category_tree(one) for one in taxonomy.categories.values()},
        "elements": {one.id: _element_tree(one) for one in taxonomy.elements.values()},
    }
    return json.dumps(stored, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def official(words: Words, locale: str, variables: Mapping[str, str] | None = None) -> str | None:
    """The text in this locale with its {{places}} filled, an unknown one by "…"; None where the taxonomy has none in this locale."""
    text = words.get(locale)
    if text is None:
        return None
    return re.sub(r"\{\{([a-z0-9_]+)\}\}", lambda found: (variables or {}).get(found[1], "…"), text)


def _element_tree(one: OfficialElement) -> dict[str, Any]:
    return {
        "version": one.version,
        "category_ids": list(one.categories),
        "title": dict(one.title),
        "description": dict(one.description),
        "icon": {"url": one.icon_url, "alt_text": dict(one.icon_words)},
        "variables": [_variable_tree(variable) for variable in one.variables],
    }


def _category_tree(one: OfficialCategory) -> dict[str, Any]:
    values = [
        {"id": v.id, "name": dict(v.name), "description": dict(v.description), "color": v.colour} for v in one.contexts
    ]
    return {
        "version": one.version,
        "name": dict(one.name),
        "description": dict(one.description),
        "prompt": dict(one.prompt),
        "order": one.order,
        "required": one.required,
        "element_variables": [_variable_tree(variable) for variable in one.variables],
        "context": {"values": values} if values else None,
    }


def _variable_tree(one: Variable) -> dict[str, Any]:
    return {"id": one.id, "required": one.required, "label": dict(one.label)}


def used_elements() -> Mapping[str, Category]:
    """Every element id that a policy can lead to, with the category in which it stands."""
    chosen = (
        (Category.PURPOSE, vocabulary.PURPOSES),
        (Category.TECH, vocabulary.TECHNOLOGIES),
        (Category.STORAGE, vocabulary.STORAGE),
        (Category.ACCESS, vocabulary.ACCESS),
    )
    derived = {rule.gives.split(",")[0]: rule.category for rule in RULES if not rule.gives.startswith("the same")}
    return {**derived, **{element: category for category, ids in chosen for element in ids}}


@dataclass(frozen=True, slots=True)
class Findings:
    """Where a taxonomy does not fit this program: ids that it lacks, ids in other categories than ours, (id, locale) without a text."""

    unknown: tuple[str, ...]
    moved: tuple[str, ...]
    untranslated: tuple[tuple[str, str], ...]


def findings(taxonomy: Taxonomy, locales: Iterable[str]) -> Findings:
    """Compare the taxonomy with the elements and categories that we use, and their titles with the locales that we speak."""
    used = used_elements()
    elements = taxonomy.elements
    lost = [category.id for category in Category if category.id not in taxonomy.categories]
    return Findings(
        unknown=tuple([element for element in used if element not in elements] + lost),
        moved=tuple(e for e, category in used.items() if e in elements and category.id not in elements[e].categories),
        untranslated=tuple(
            (element, locale)
            for locale in locales
            for element in used
            if element in elements
            and not (locale in elements[element].title and locale in elements[element].description)
        ),
    )


class Difference(StrEnum):
    """What happened to an id between two imports."""

    NEW = "new"
    GONE = "gone"
    MOVED = "in other categories"
    CHANGED = "changed"


def differences(old: Taxonomy, new: Taxonomy) -> tuple[tuple[str, Difference], ...]:
    """(id, what happened) for every element and category that is not the same in both, in the order of their ids."""
    found: dict[str, Difference] = {}
    before: Mapping[str, OfficialElement | OfficialCategory] = {**old.categories, **old.elements}
    after: Mapping[str, OfficialElement | OfficialCategory] = {**new.categories, **new.elements}
    for identity in before.keys() | after.keys():
        was, is_ = before.get(identity), after.get(identity)
        if was is None or is_ is None:
            found[identity] = Difference.GONE if is_ is None else Difference.NEW
        elif isinstance(was, OfficialElement) and isinstance(is_, OfficialElement) and was.categories != is_.categories:
            found[identity] = Difference.MOVED
        elif was != is_:
            found[identity] = Difference.CHANGED
    return tuple(sorted(found.items()))
