"""Why a disclosure says what it says: the derivation table in words, and for one policy which rules fired and from which lines. Pure.

Invariant: everything printed is read from `rules.RULES` and `context.COLOURS`, which are also what compiles a disclosure; this file adds the places.
"""

import dataclasses
import textwrap
from collections.abc import Iterator, Mapping

from agent.disclosure.context import COLOURS, colour, context, contexts
from agent.disclosure.rules import ENFORCED_BY, RULES, Category, Mark, Rule
from agent.policy.model import Policy
from agent.wire import toml

WIDTH = 120
_MARKS = {
    Mark.ENFORCED: "the unit does it, whatever anybody wants",
    Mark.PROMISED: "the accountable organisation says so; the unit cannot know",
}

KEYS: Mapping[str, tuple[str, ...]] = {
    "[accountable] name, [contact], [location]": ("accountable.name", "contact", "location"),
    "[accountable] vendors": ("accountable.vendors",),
    "[purpose] elements": ("purpose.elements",),
    "a technology, of streams of any kind but unique": ("stream.technology",),
    "a technology, of streams of kind unique alone": ("stream.technology", "stream.kind"),
    "a stream of any kind": ("stream.window",),
    "a stream whose technology's context is identifiable": ("stream.technology",),
    "mode dp": ("stream.privacy.mode",),
    "mode dp, threshold-only or coarse": ("stream.privacy.mode",),
    "a stream of kind unique": ("stream.kind",),
    "a stream of another kind whose technology's context is de-identified": ("stream.technology",),
    "mode none": ("stream.privacy.mode",),
    'transport = "tls"': ("transport",),
    "[[audience]] storage": ("audience.storage",),
    "[[audience]] access": ("audience.access",),
    "[access] denied": ("access.denied",),
    "[[audience]] kept": ("audience.kept",),
}
"""What a rule looks at (its `when`) -> the keys of a policy.toml that decide it."""


def table_text() -> str:
    """The derivation table: every rule with element, mark and reason, and the rules of the colour."""
    lines = [
        "How a disclosure follows from a policy. Nobody writes a disclosure: each element is there because of one of these rules.",
        *(f"  {mark.name.lower():<9} {words}" for mark, words in _MARKS.items()),
    ]
    for category in Category:
        lines += ["", category.id]
        for rule in RULES:
            if rule.category is category:
                lines += _rule(rule)
    lines += ["", "colour of the sign, by the first that holds"]
    for one in COLOURS:
        lines += [f"  {one.colour:<9} {one.when}", *_wrapped(f"because {one.reason}", "            ")]
    return "\n".join(lines) + "\n"


def fired_text(policy: Policy, top: toml.Table, name: str) -> str:
    """Which rules fire for this policy, from which lines; then those that do not."""
    lines = [f"What {name} compiles to, and why."]
    silent = []
    for category in Category:
        lines += ["", category.id]
        for rule in RULES:
            if rule.category is not category:
                continue
            found = list(dict.fromkeys(one.id for one in rule.find(policy)))
            if not found:
                silent.append(rule)
                continue
            lines += [
                f"  {', '.join(found)}: {rule.mark.name.lower()}",
                *_wrapped(f"because {rule.reason}", "      "),
                *(f"      from {place}" for place in _places(rule, policy, top)),
            ]
    shown = colour(policy)
    one = next(one for one in COLOURS if one.colour == shown)
    technology, of = next(iter(contexts(policy).items()))
    lines += ["", f"colour: {shown}", *_wrapped(f"because {one.reason} ({technology}: {of.value})", "      ")]
    if silent:
        lines += ["", "Not said of this policy, with what would be needed:"]
        lines += [f"  {_gives(rule)}: {rule.when}" for rule in silent]
    return "\n".join(lines) + "\n"


def _gives(rule: Rule) -> str:
    """The element of a rule; "the same" is the one that the policy names."""
    return rule.gives.replace("the same", "the element that the policy names", 1)


def _rule(rule: Rule) -> Iterator[str]:
    yield f"  {_gives(rule)}: {rule.mark.name.lower()}"
    yield from _wrapped(f"from {rule.when}", "      ")
    yield from _wrapped(f"because {rule.reason}", "      ")
    if rule.mark is Mark.ENFORCED:
        yield f"      by {ENFORCED_BY[rule.gives]}"


def _places(rule: Rule, policy: Policy, top: toml.Table) -> Iterator[str]:
    """`file:line key = value` of everything in the policy that made the rule fire."""
    for key in KEYS[rule.when]:
        head, _, rest = key.partition(".")
        if head == "stream":
            streams = [_alone(rule, policy, number) for number in range(len(policy.streams))]
            for number, table in enumerate(top.tables("stream")):
                if streams[number] or not any(streams):
                    yield _place(table, f"stream {policy.streams[number].name}", rest)
        elif head == "audience":
            for table, audience in zip(top.tables("audience"), policy.audiences, strict=True):
                yield _place(table, f"audience {audience.name}", rest)
        else:
            yield _place(top, "", key)


def _alone(rule: Rule, policy: Policy, number: int) -> bool:
    """Does the rule fire for this stream by itself, with the context that its technology has in the whole policy?"""
    stream = policy.streams[number]
    if context(stream) is not contexts(policy)[stream.technology] and rule.category is Category.TECH:
        return False
    return bool(list(rule.find(dataclasses.replace(policy, streams=(stream,)))))


def _place(table: toml.Table, of: str, key: str) -> str:
    *tables, last = key.split(".")
    for name in tables:
        table = table.table(name)
    where = table.where(last) if last else table.where()
    value = table.get(last, object, "a value", None)
    said = "" if isinstance(value, dict) else f" = {_said(value)}"
    return f"{where} {of + ': ' if of else ''}{key}{said}"


def _said(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(str(item) for item in value) or "none"
    return str(value)


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=f"{indent}  ", break_long_words=False)
