"""agent/disclosure/plain_language: short sentences that are true of the policy, with promises kept apart."""

import re

import pytest
from hypothesis import given, settings

from agent.disclosure import plain_language
from agent.disclosure.datachain import compile_disclosure
from agent.disclosure.plain_language import MAX_WORDS, Statement, sentences, statements
from agent.disclosure.rules import Mark
from agent.policy import vocabulary
from agent.policy.parse import parse_policy
from tests.policy.policies import policies
from tests.policy.test_parse import DEMO, GOOD, changed

DISCLOSURE = compile_disclosure(parse_policy(GOOD, "p"))
TEXT = sentences(DISCLOSURE)

OVERCLAIMS = re.compile(
    r"anonym|k-anonym|immutable|encrypt|\bTLS\b|guarantee|impossible|never be|secure|certif", re.IGNORECASE
)


@pytest.mark.parametrize(
    "sentence",
    [
        "This is bridge-01, at river-bridge in springfield.",
        "Promised: its operator calls it Bike and foot counter, River Bridge.",
        "Promised: responsible is City of Springfield.",
        "Promised: it is here for how people get around.",
        "Promised: it senses with an infrared sensor for body heat.",
        "Promised: its sensor cannot identify people.",
        "It counts: bike, foot.",
        "It sends one number for each of these every 15 minutes.",
        "Single readings stay in its memory and are never stored or sent.",
        "Each number carries random noise with a standard deviation of 4.",
        "Numbers below 13 after noise are not shown.",
        "One person's readings in 1 day cost 0.125 zCDP.",
        "That covers 4 readings a person in 1 day, at most 1 a window.",
        "Promised: published numbers are deleted after 730 days.",
        "It counts only after 14 days of this notice on air.",
        "These rules begin on 15 September 2026 and end on 15 September 2028.",
        "Promised: anyone may download the numbers.",
        "Promised: the numbers are stored in this jurisdiction.",
        "Promised: questions and objections: https://springfield.example/sensors/bridge-01",
        "It counts nothing while this notice is not on air.",
        "It sends no picture, sound, name, number plate or device address.",
    ],
)
def test_what_is_said(sentence: str) -> None:
    """Who, why, what, protected how, how long, who sees it, where to ask, what is not done."""
    assert sentence in TEXT


def test_in_the_order_of_a_readers_questions() -> None:
    """Who, why, what, how protected, how long, who sees, feedback, what is not done."""
    words = [
        "This is",
        "it is here for",
        "It counts:",
        "random noise",
        "deleted after",
        "download",
        "questions and",
        "It sends no",
    ]
    places = [next(i for i, sentence in enumerate(TEXT) if word in sentence) for word in words]
    assert places == sorted(places)


def test_a_demonstration_says_so() -> None:
    """The demo's sentences say that it is a demonstration, a real unit's do not."""
    demo = sentences(compile_disclosure(parse_policy(DEMO, "d")))
    assert "This is a demonstration, with shorter notice and a shorter period than a real unit." in demo
    assert not any("demonstration" in sentence for sentence in TEXT)


@given(policies())
@settings(max_examples=80)
def test_short_whole_and_marked(text: str) -> None:
    """At most twenty words, one line, a capital first; a promise begins with that word, nothing else does."""
    disclosure = compile_disclosure(parse_policy(text, "p"))
    for statement, sentence in zip(statements(disclosure), sentences(disclosure), strict=True):
        assert len(sentence.split()) <= MAX_WORDS, sentence
        assert "\n" not in sentence
        assert sentence[0].isupper()
        assert sentence.startswith("Promised: ") == (statement.mark is Mark.PROMISED)


def test_the_longest_texts_keep_the_limit() -> None:
    """Texts of fifteen words, as many as the parser lets through, still make sentences of twenty."""
    wordy = " ".join(["w"] * 15)
    text = GOOD
    for old in ("Bike and foot counter, River Bridge", "City of Springfield", "Data steward, data@springfield.example"):
        text = changed(f'"{old}"', f'"{wordy}"', text)
    text = changed('feedback = "https://springfield.example/sensors/bridge-01"', f'feedback = "{wordy}"', text)
    text = changed("effective = 2026-09-15", "effective = 2026-09-15T10:11:12Z", text)
    text = changed("expires = 2028-09-15", "expires = 2028-09-15T10:11:12Z", text)
    assert max(len(s.split()) for s in sentences(compile_disclosure(parse_policy(text, "p")))) <= MAX_WORDS


@given(policies())
@settings(max_examples=80)
def test_every_class_and_number_is_said(text: str) -> None:
    """No class, window, threshold or cost of any stream is left out."""
    policy = parse_policy(text, "p")
    found = " ".join(sentences(compile_disclosure(policy)))
    for stream in policy.streams:
        for name in stream.classes:
            assert re.search(rf"\b{name.replace('_', ' ')}\b", found)
        assert f"umbers below {stream.privacy.tau} after noise" in found
        assert f"at most {stream.privacy.c} a window" in found


def test_nothing_is_overclaimed() -> None:
    """No sentence uses a word for a protection that no code enforces."""
    for text in (GOOD, DEMO):
        for sentence in sentences(compile_disclosure(parse_policy(text, "p"))):
            assert not OVERCLAIMS.search(sentence), sentence


def test_promises_are_not_enforced_statements() -> None:
    """What happens where the unit's power ends is never marked as enforced."""
    for statement in statements(DISCLOSURE):
        if re.search(r"deleted|stored in|download|organisation|sensor|here for|collects expires", statement.text):
            assert statement.mark is Mark.PROMISED, statement
    assert Statement("Numbers below 13 after noise are not shown.", Mark.ENFORCED) in statements(DISCLOSURE)


def test_every_id_of_the_vocabulary_has_words() -> None:
    """No policy that the parser accepts is without a sentence."""
    assert set(plain_language._PURPOSES) == set(vocabulary.PURPOSES)
    assert set(plain_language._TECHNOLOGIES) == set(vocabulary.TECHNOLOGIES)
    assert set(plain_language._ACCESS) == set(vocabulary.ACCESS)
    assert set(plain_language._STORAGE) == set(vocabulary.STORAGE)
    assert set(plain_language._IDENTIFIABILITY) == set(vocabulary.Identifiability)
