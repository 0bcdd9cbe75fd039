"""A policy's disclosure: compact CBOR for the air, DTPR v1 JSON for the city, both from the same bytes. Pure.

    compact = {0: 1 (form), 1: compiled policy (bytes), 2: colour, 3: [[category, element id, mark] or […, context], …],
               4: [where a resident asks or objects, the preferred one first, …]}

The disclosure digest is SHA-256 over the compact form. It carries the compiled policy whole, so a reader computes the policy digest
from what is on air instead of believing one, and every number, name and date shown to a resident is the one that the unit enforces.
Invariant: a compact form decodes only if its elements, marks, contexts and colour are exactly those that agent/disclosure/rules
derives from its policy, and its feedback that policy's. No clock, no imported text, no tree head is in it.
"""

from dataclasses import dataclass
from typing import Any

from agent.contracts.public import MAX_ENVELOPE_BYTES
from agent.disclosure import context, rules, template
from agent.disclosure.rules import Category, Element, Mark
from agent.errors import DisclosureError, EncodingError, PolicyError
from agent.policy.compile import compile_policy, decompile_policy
from agent.policy.model import Policy
from agent.policy.words import date_words
from agent.wire import cbor
from agent.wire.sha256 import sha256

FORM = 1
COLOURS = ("yellow", "blue", "white")

ENVELOPE_OVERHEAD_BYTES = 101
"""COSE_Sign1 tag, headers, signature, the envelope's own map and a 64-bit time (contracts/public)."""

MAX_DISCLOSURE_BYTES = MAX_ENVELOPE_BYTES - ENVELOPE_OVERHEAD_BYTES


@dataclass(frozen=True, slots=True)
class Disclosure:
    """A disclosure: `cbor` is the compact form, `digest` its SHA-256 (32 bytes), `policy` what it was compiled from."""

    cbor: bytes
    digest: bytes
    policy: Policy
    policy_digest: bytes
    elements: tuple[Element, ...]
    colour: str

    @property
    def unit(self) -> str:
        """The unit's printed name."""
        return self.policy.unit.name

    @property
    def policy_version(self) -> int:
        """The version of the policy disclosed."""
        return self.policy.version

    @property
    def title(self) -> str:
        """The unit's title; a demonstration says that it is one."""
        return f"Demonstration: {self.policy.title}" if self.policy.demo else self.policy.title


def compile_disclosure(policy: Policy) -> Disclosure:
    """Compile; raises PolicyError naming the longest texts when the result would not fit the air."""
    disclosure = _disclosure(policy)
    if len(disclosure.cbor) > MAX_DISCLOSURE_BYTES:
        longest = sorted(_texts(policy), key=lambda text: -len(text[1].encode()))[:3]
        raise PolicyError(
            "policy",
            expected=f"a disclosure of at most {MAX_DISCLOSURE_BYTES} bytes, so that phones can read it by radio",
            got=f"{len(disclosure.cbor)} bytes",
            remedy="shorten the longest: "
            + ", ".join(f"{name} ({len(text.encode())} bytes)" for name, text in longest),
        )
    return disclosure


def decode_disclosure(data: bytes) -> Disclosure:
    """Decode a compact form; raises DisclosureError when it is malformed or claims what its policy does not give."""
    try:
        item = cbor.decode(data, max_bytes=MAX_DISCLOSURE_BYTES, max_depth=4)
    except EncodingError as bad:
        raise DisclosureError("disclosure", expected="deterministic CBOR", got=str(bad)) from None
    match item:
        case {0: int(form), 1: bytes(compiled), 2: _, 3: list(), 4: list()} if len(item) == 5:
            pass
        case _:
            raise DisclosureError("disclosure", expected="a map with the keys 0 to 4", got=type(item).__name__)
    if form != FORM or isinstance(form, bool):
        raise DisclosureError(
            "disclosure form", expected=str(FORM), got=str(form)[:20], remedy="update the reader: the unit is newer"
        )
    try:
        disclosure = _disclosure(decompile_policy(compiled))
    except PolicyError as bad:
        raise DisclosureError("disclosure policy", expected="a valid compiled policy", got=str(bad)) from None
    if disclosure.cbor != data:
        raise DisclosureError(
            "disclosure elements",
            expected="exactly those that its policy gives",
            got="other elements, marks, colour or feedback",
        )
    return disclosure


def to_datachain(disclosure: Disclosure) -> dict[str, Any]:
    """The DTPR v1 `device` datachain as JSON values; a pure function of the compact form."""
    priorities = {category: 0 for category in Category}
    placed = []
    for element in disclosure.elements:
        variables = [*element.variables, ("assurance", element.mark.name.lower())]
        if element.id == "institution":
            variables.append(("policy_digest", disclosure.policy_digest.hex()))
        placed.append(
            {
                "element_id": element.id,
                "category_id": element.category.id,
                "priority": priorities[element.category],
                **({"context_type_id": element.context.value} if element.context else {}),
                "variables": [{"id": name, "value": value} for name, value in variables],
            }
        )
        priorities[element.category] += 1
    return {
        "schema": template.schema(),
        "datachain": template.datachain(),
        "instance": {
            "title": template.local(disclosure.title),
            "created_at": date_words(disclosure.policy.issued),
            "elements": placed,
        },
    }


def _disclosure(policy: Policy) -> Disclosure:
    compiled = compile_policy(policy)
    elements = rules.elements(policy)
    colour = context.colour(policy)
    data = cbor.encode(
        {
            0: FORM,
            1: compiled,
            2: COLOURS.index(colour),
            3: [_compact(element) for element in elements],
            4: [where for _, where in policy.contact.feedback_channels],
        },
    )
    return Disclosure(
        cbor=data,
        digest=sha256(data),
        policy=policy,
        policy_digest=sha256(compiled),
        elements=elements,
        colour=colour,
    )


def _compact(element: Element) -> list[Any]:
    told = [element.context.value] if element.context else []
    return [element.category.value, element.id, Mark(element.mark).value, *told]


def _texts(policy: Policy) -> list[tuple[str, str]]:
    texts = [
        ("unit.title", policy.title),
        ("location.text", policy.location.text),
        ("accountable.name", policy.accountable.name),
        *((f"vendor {number}", vendor) for number, vendor in enumerate(policy.vendors, 1)),
        *((f"contact.{channel}", where) for channel, where in policy.contact.channels),
    ]
    return [*texts, *((f"stream {s.name} classes", "".join(s.classes)) for s in policy.streams)]
