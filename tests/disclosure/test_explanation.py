"""agent/disclosure/explanation: the derivation table whole, and for a policy each element with the lines it follows from."""

import re
from pathlib import Path

import pytest

from agent.disclosure.context import COLOURS, colour
from agent.disclosure.explanation import KEYS, fired_text, table_text
from agent.disclosure.rules import RULES, Mark, elements
from agent.errors import PolicyError
from agent.policy.model import Policy
from agent.policy.parse import policy_of
from agent.wire import toml
from tests.policy.test_parse import GOOD

PROJECT = Path(__file__).parents[2]
POLICIES = [PROJECT / "config" / "policy.toml", *sorted((PROJECT / "config" / "examples").glob("*.toml"))]


def _read(path: Path) -> tuple[Policy, toml.Table, str]:
    text = path.read_text()
    top = toml.parse(text, path.name, PolicyError)
    return policy_of(top), top, text


def test_every_rule_has_the_keys_that_decide_it() -> None:
    """A new rule cannot be printed without its places."""
    assert set(KEYS) == {rule.when for rule in RULES}
    assert len(KEYS) == len(RULES)


def test_the_table_has_every_rule_with_its_reason_and_mark() -> None:
    text = " ".join(table_text().split())
    for rule in RULES:
        assert f"from {rule.when} because {rule.reason}" in text
        assert f": {rule.mark.name.lower()} from {rule.when}" in text
    for one in COLOURS:
        assert f"{one.colour} {one.when} because {one.reason}" in text
    assert text.count(" by agent.") == sum(rule.mark is Mark.ENFORCED for rule in RULES)
    assert all(len(line) <= 120 for line in table_text().splitlines())


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.name)
def test_every_element_of_the_disclosure_is_explained_from_lines_that_say_so(path: Path) -> None:
    """Each element stands in the text, and each place names a line on which its key stands."""
    policy, top, text = _read(path)
    explained = fired_text(policy, top, path.name)
    for element in elements(policy):
        assert re.search(rf"^  (.*, )?{element.id}(, .*)?: {element.mark.name.lower()}$", explained, re.MULTILINE), (
            element
        )
    assert f"\ncolour: {colour(policy)}\n" in explained
    lines = text.splitlines()
    places = re.findall(rf"from {re.escape(path.name)}:(\d+) (?:\w+ [\w-]+: )?([\w.]+)", explained)
    assert len(places) >= len(RULES) // 2
    for number, key in places:
        assert key.rpartition(".")[2] in lines[int(number) - 1], (number, key)


def test_only_the_streams_that_made_a_rule_fire_are_named() -> None:
    """A noisy and a coarse stream: mode dp is explained by the first alone."""
    policy, top, _ = _read(PROJECT / "config" / "policy.toml")
    assert "mode none" in fired_text(policy, top, "p").partition("Not said")[2]
    silent = fired_text(policy, top, "p").partition("Not said")[2]
    assert "mode dp\n" not in silent


def test_a_policy_without_lines() -> None:
    """Read from CBOR, the places name the keys alone."""
    tree = toml.parse(GOOD, "p", PolicyError)
    assert "from p:" in fired_text(policy_of(tree), tree, "p")
