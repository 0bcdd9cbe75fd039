"""agent/disclosure/explanations: every element has one, in every language, and an eighth-grader can read it."""

import re

import pytest

from agent.disclosure.explanations.table import EXPLANATIONS
from agent.disclosure.numbers import REGISTRY
from agent.disclosure.wording import LOCALES
from agent.policy.vocabulary import PURPOSES, TECHNOLOGIES, Identifiability
from tests.disclosure.readability import grade

KEYS = {one.id for one in REGISTRY} | {f"tech.{context.value}" for context in Identifiability}


@pytest.mark.parametrize("code", LOCALES)
def test_every_element_and_context_is_explained(code: str) -> None:
    """A page has nothing that opens to nothing, and nothing is in another language than its own."""
    texts = EXPLANATIONS[code].texts
    assert set(texts) == KEYS
    assert len(set(texts.values())) == len(texts)
    for key, text in texts.items():
        assert text.strip() == text, key
        assert text.endswith("។" if code == "km" else "."), key
        assert not re.search(r"[{}<>\n]", text), key
        assert code == "en" or text != EXPLANATIONS["en"].texts[key], key


@pytest.mark.parametrize("code", LOCALES)
def test_what_stands_in_a_hexagon_has_a_short_name(code: str) -> None:
    """Purposes and technologies; at most 22 characters, each another."""
    titles = EXPLANATIONS[code].titles
    assert set(titles) == {*PURPOSES, *TECHNOLOGIES}
    assert len(set(titles.values())) == len(titles)
    assert max(map(len, titles.values())) <= 22


def test_only_what_a_speaker_checked_counts_as_checked() -> None:
    """km and tl have no speaker at all; no translation of the explanations has been read by one."""
    assert set(EXPLANATIONS) == set(LOCALES)
    assert [code for code, one in EXPLANATIONS.items() if one.reviewed] == ["en"]


def test_an_eighth_grader_can_read_them() -> None:
    """Flesch-Kincaid over sentences; the figure is printed."""
    sentences = [one for text in EXPLANATIONS["en"].texts.values() for one in re.split(r"(?<=\.) ", text)]
    found = grade(sentences)
    print(f"explanations: grade {found:.1f} over {len(sentences)} sentences")
    assert len(sentences) > 90
    assert found <= 8
    assert max(len(one.split()) for one in sentences) <= 22
