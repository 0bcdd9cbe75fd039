"""agent/policy/difference: every change in a sentence with both values, and the last line as the unit would decide."""

import dataclasses
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given

from agent.policy.difference import HEADINGS, MEMBERS, SENTENCES, difference
from agent.policy.directions import TABLE, Order
from agent.policy.model import Policy
from agent.policy.modes import NoPrivacy
from agent.policy.order import compare
from tests.policy.test_order import CASES, COUNT, POLICY, changed, policies


def test_every_row_that_can_change_has_a_sentence() -> None:
    """The table of directions and that of sentences go together; what comes and goes has sentences for both."""
    silent = (Order.PART, Order.BOOKKEEPING, Order.NAMED)
    assert set(SENTENCES) == {name for name, row in TABLE.items() if row.order not in silent}
    members = {name for name, row in TABLE.items() if row.order in (Order.SET, Order.RANKED_SET, Order.SENSES)}
    assert set(MEMBERS) == members
    for name, sentence in SENTENCES.items():
        if sentence.words:
            assert "{before}" in sentence.words, name
            assert "{after}" in sentence.words, name
            assert sentence.words.endswith((".", ").")), name
        else:
            assert name in MEMBERS
        assert sentence.stricter in HEADINGS
        assert sentence.laxer in HEADINGS


@pytest.mark.parametrize(("path", "before", "after", "direction"), CASES)
def test_one_change(path: str, before: Any, after: Any, direction: object) -> None:
    """One change is at least one line below a heading, and the verdict is that of the order."""
    old, new = changed(POLICY, path, before), changed(POLICY, path, after)
    text = difference(old, new)
    assert "  - " in text
    comparison = compare(old, new)
    last = text.rstrip("\n").splitlines()[-1]
    if path.startswith("unit"):
        assert "different units" in last
    else:
        assert last.endswith("may act at once." if comparison.stricter else "of notice on air."), last


def _lines(old: Policy, new: Policy) -> dict[str, list[str]]:
    """Heading -> its lines."""
    found: dict[str, list[str]] = {}
    heading = ""
    for line in difference(old, new).splitlines():
        if line in HEADINGS:
            heading = line
        elif line.startswith("  - "):
            found.setdefault(heading, []).append(line.removeprefix("  - "))
    return found


def test_more_noise() -> None:
    """What follows from several fields is said in its own words: the noise and the smallest number shown."""
    new = changed(POLICY, "streams.0.privacy.rho", Fraction(1, 32))
    assert _lines(POLICY, new) == {
        "Noisier": ["crossings: The noise on each number has a standard deviation of 8 instead of 4."],
        "Better protected": [
            "crossings: One person's readings of a period may reveal 0.03125 zCDP instead of 0.125.",
            "crossings: Numbers are shown from 21 instead of 13 upwards, noise included.",
        ],
    }
    assert "Less noise" in _lines(new, POLICY)


def test_finer_new_gone_and_longer_kept() -> None:
    new = changed(changed(POLICY, "streams.0.window_s", 300), "purposes", ("mobility", "enforcement"))
    new = changed(new, "audiences.0.retention_days", 1460)
    assert _lines(POLICY, new) == {
        "New": ["A new purpose is enforcement."],
        "Gone": ["planning decision making is no longer a purpose."],
        "Finer": ["crossings: It publishes every 5 minutes instead of every 15 minutes."],
        "Longer kept": ["Audience city: They delete what they received after 1460 days instead of 730 days."],
    }
    assert difference(POLICY, new).endswith(
        "3 changes are not stricter: version 1 waits for 14 days of notice on air.\n"
    )


def test_a_new_stream_is_described() -> None:
    old = changed(POLICY, "streams", POLICY.streams[:1])
    assert _lines(old, POLICY)["New"] == [
        "The stream level is new: scalar of sound level every 15 minutes, by sound level meter, protected in the mode coarse."
    ]


def test_a_lower_version_is_pointed_out() -> None:
    """A council reads that the unit would refuse it."""
    assert "refuses it" in difference(dataclasses.replace(POLICY, version=2), POLICY)
    assert "refuses it" not in difference(POLICY, dataclasses.replace(POLICY, version=2))


def test_nothing_changes() -> None:
    text = difference(POLICY, dataclasses.replace(POLICY, version=2))
    assert "Nothing changes" in text
    assert text.endswith("version 2 may act at once.\n")


def test_a_web_address_keeps_its_underscores() -> None:
    new = changed(POLICY, "contact.url", "https://x.example/a_b")
    assert any("a_b" in line for lines in _lines(POLICY, new).values() for line in lines)


def test_modes() -> None:
    new = changed(POLICY, "streams.0.privacy", NoPrivacy(Fraction(0), Fraction(1), Fraction(1)))
    assert _lines(POLICY, new) == {
        "Less protected": ["crossings: Its numbers are protected in the mode none instead of dp."]
    }
    assert COUNT.mode == "dp"


@given(policies(), policies())
def test_every_change_is_told(one: Policy, other: Policy) -> None:
    """As many lines as the order has changes, and those that follow from them."""
    told = sum(len(lines) for lines in _lines(one, other).values())
    assert told >= len(compare(one, other).changes)
