"""The fixed part of every datachain of this project: schema, categories, their contexts and variables, in words of our own. Pure.

Upstream's device categories carry no order, context or variables (taxonomy as of 2026-08-21), so the document brings its own. The datachain
form 0.1 calls a category's contexts `context_types`, the category form 0.2 calls them `context.values`: both are given.
"""

from typing import Any

from agent.disclosure.rules import Category
from agent.policy.vocabulary import Identifiability

VERSION = "2026-08-21T00:00:00Z"
"""The day of the taxonomy whose ids are used."""

BLACK, WHITE, BLUE, YELLOW = "#000000", "#FFFFFF", "#36B2E6", "#FFDD00"

Words = list[dict[str, str]]

_CATEGORIES = {
    Category.ACCOUNTABLE: (
        "Accountable",
        "Who answers for this unit?",
        "The institution that answers for this unit, and who works for it.",
    ),
    Category.PURPOSE: ("Purpose", "Why is it here?", "What the numbers are for."),
    Category.TECH: ("Technology", "How does it sense?", "The sensor in front of the unit."),
    Category.DATA: ("Data Type", "What leaves it?", "The kind of data that the unit passes on."),
    Category.PROCESS: ("Processing", "What is done to the data?", "How readings become published numbers."),
    Category.STORAGE: ("Storage", "Where are the numbers kept?", "Where published numbers are kept."),
    Category.ACCESS: ("Access", "Who sees the numbers?", "Who may see published numbers."),
    Category.RETENTION: ("Retention", "How long are they kept?", "How long published numbers are kept."),
}

_CONTEXTS = {
    Identifiability.IDENTIFIABLE: ("Identifiable", "The sensor can identify a person.", YELLOW),
    Identifiability.DE_IDENTIFIED: (
        "De-identified",
        "The sensor could identify a person; that is removed before anything is counted.",
        BLUE,
    ),
    Identifiability.NON_IDENTIFIABLE: ("Not identifiable", "The sensor cannot identify a person.", WHITE),
}

_VARIABLES = {
    Category.ACCOUNTABLE: (
        ("name", "Organisation"),
        ("address", "Postal address"),
        ("phone", "Phone"),
        ("email", "E-mail"),
        ("url", "Web page"),
        ("feedback", "Questions and objections"),
        ("location", "Where the unit stands"),
        ("location_precision", "How exact that is"),
        ("policy_digest", "SHA-256 of the policy"),
    ),
    Category.TECH: (("streams", "What is counted"),),
    Category.DATA: (("streams", "How often"),),
    Category.PROCESS: (("streams", "Protection in numbers"),),
    Category.STORAGE: (("audiences", "By whom"),),
    Category.ACCESS: (
        ("audiences", "Who"),
        ("streams", "What they receive"),
        ("licence", "Licence (SPDX)"),
        ("community_labels", "Labels of Indigenous communities (Local Contexts)"),
    ),
    Category.RETENTION: (("duration", "Kept for"), ("audiences", "By whom")),
}


def local(text: str) -> Words:
    """English text in DTPR's form."""
    return [{"locale": "en", "value": text}]


def schema() -> dict[str, str]:
    """The `schema` part."""
    return {"name": "DTPR", "version": "0.1", "namespace": "https://dtpr.io/schemas/datachain/v0.1"}


def datachain() -> dict[str, Any]:
    """The `datachain` part: type, version, title, description, categories."""
    return {
        "type": "device",
        "version": VERSION,
        "title": local("Device datachain"),
        "description": local("What a sensor unit in a public place senses, does with it and passes on."),
        "categories": [_category(category) for category in Category],
    }


def _category(category: Category) -> dict[str, Any]:
    name, prompt, description = _CATEGORIES[category]
    variables = (*_VARIABLES.get(category, ()), ("assurance", "Enforced by this unit, or promised by the organisation"))
    return {
        "id": category.id,
        "order": category.value,
        "required": True,
        "name": local(name),
        "prompt": local(prompt),
        "description": local(description),
        "element_variables": [
            {"id": variable, "label": local(label), "required": variable in ("assurance", "duration")}
            for variable, label in variables
        ],
        **(_contexts() if category is Category.TECH else {}),
    }


def _contexts() -> dict[str, Any]:
    values = [
        {"id": context.value, "name": local(name), "description": local(description), "color": colour}
        for context, (name, description, colour) in _CONTEXTS.items()
    ]
    return {
        "context": {
            "id": "identifiability",
            "name": local("Identifiability"),
            "description": local("Whether the sensor can tell who somebody is."),
            "values": values,
        },
        "context_types": values,
    }
