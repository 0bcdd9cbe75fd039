"""agent/disclosure/plain_language: short sentences that are true of the policy, with promises kept apart, in every locale."""

import math
import re
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings

from agent.disclosure import plain_language
from agent.disclosure.datachain import Disclosure, compile_disclosure
from agent.disclosure.plain_language import MAX_WORDS, heading, notes, sentences, statements
from agent.disclosure.rules import Mark
from agent.disclosure.wording import LOCALES
from agent.errors import DisclosureError
from agent.policy.model import Policy
from agent.policy.modes import CountPrivacy
from agent.policy.parse import parse_policy
from tests.disclosure.readability import grade, hardest, syllables, words
from tests.policy.policies import policies
from tests.policy.test_parse import DEMO, GOOD, changed

CONFIG = Path(__file__).parents[2] / "config"
EXAMPLES = [CONFIG / "policy.toml", *sorted((CONFIG / "examples").glob("*.toml"))]

DISCLOSURE = compile_disclosure(parse_policy(GOOD, "p"))
TEXT = sentences(DISCLOSURE)

TOTALS = changed('totals = "none"', 'totals = "period"')

OVERCLAIMS = re.compile(
    r"anonym|k-anonym|immutable|\bTLS\b|guarantee|impossible|never be\b|secure\b|certif", re.IGNORECASE
)
JARGON = re.compile(
    r"zcdp|\brho\b|epsilon|delta|sigma|standard deviation|gaussian|laplace|differential|\bcell\b|bitmap|hash|"
    r"sensitivity|aggregat|metadata|de-identif|datachain|threshold|MQTT|broker",
    re.IGNORECASE,
)


def disclosure_of(text: str) -> Disclosure:
    return compile_disclosure(parse_policy(text, "p"))


@pytest.mark.parametrize(
    "sentence",
    [
        "This is bridge-01, at river-bridge in springfield.",
        "Promised: its operator calls it Bike and foot counter, River Bridge.",
        "Promised: the one responsible is City of Springfield.",
        "Promised: it is here to learn how people get around.",
        "Promised: it senses with a sensor for body heat.",
        "Promised: that sensor cannot tell who you are.",
        "It counts: bike, foot.",
        "It sends one number for each of these every 15 minutes.",
        "Single readings stay in its memory and are never stored or sent.",
        "Chance changes each number, at least nine times in ten by 8 or less.",
        "Numbers below 13 after that are not shown.",
        "This covers up to 4 readings of you in 1 day, at most 1 in 15 minutes.",
        "Someone who studies all published figures to tell if you passed today is right at most 61 times in 100.",
        "Guessing is right 50 times in 100.",
        "If you pass every day for 30 days, they are right at most 92 times in 100.",
        "Promised: the numbers are deleted after 730 days.",
        "It collects only after 14 days of this notice on air.",
        "These rules begin on 15 September 2026 and end on 15 September 2028.",
        "Promised: anyone may download the numbers.",
        "Promised: the numbers are kept in this country or state.",
        "It collects nothing while this notice is not on air.",
        "It sends no picture, sound, name, number plate or device address.",
    ],
)
def test_what_is_said(sentence: str) -> None:
    """Who, why, how, what, protected how, how long, who sees it, where to ask, what is not done."""
    assert sentence in TEXT


@pytest.mark.parametrize("locale", LOCALES)
def test_in_the_order_of_a_readers_questions(locale: str) -> None:
    """The sections follow one another, each with a heading, none left out."""
    sections = list(dict.fromkeys(statement.section for statement in statements(DISCLOSURE, locale)))
    assert sections == ["who", "why", "sensor", "numbers", "protection", "receivers", "time", "ask", "not_done"]
    assert all(heading(section, locale) for section in sections)


def test_a_demonstration_says_so() -> None:
    """The demo's sentences say that it is a demonstration, a real unit's do not; its claim is about its own period."""
    demo = sentences(disclosure_of(DEMO))
    assert "This is a demonstration, with shorter notice and a shorter period than a real unit." in demo
    assert any(re.match(r"Whoever studies all figures to tell if you passed in \d+ minutes is right", s) for s in demo)
    assert "If you pass every day for 30 days, they may be sure of it." in demo
    assert not any("demonstration" in sentence for sentence in TEXT)


@given(policies())
@settings(max_examples=60)
def test_short_whole_and_marked(text: str) -> None:
    """At most twenty words, one line, a capital first; a promise begins with that word, nothing else does."""
    disclosure = disclosure_of(text)
    for statement, sentence in zip(statements(disclosure), sentences(disclosure), strict=True):
        assert len(sentence.split()) <= MAX_WORDS, sentence
        assert "\n" not in sentence
        assert sentence[0].isupper()
        assert sentence.startswith("Promised: ") == (statement.mark is Mark.PROMISED)


def test_the_longest_texts_keep_the_limit() -> None:
    """Texts of fifteen words, as many as the parser lets through, still make sentences of twenty."""
    wordy = " ".join(["w"] * 15)
    text = changed("effective = 2026-09-15", "effective = 2026-09-15T10:11:12Z")
    text = changed("expires = 2028-09-15", "expires = 2028-09-15T10:11:12Z", text)
    text = re.sub(r'^(title|text|name|address) = "[^"]* [^"]*"', rf'\1 = "{wordy}"', text, flags=re.MULTILINE)
    text = re.sub(r"^vendors = .*", f'vendors = ["{wordy}"]', text, flags=re.MULTILINE)
    text = re.sub(r"^classes = .*", f'classes = ["{"_".join("abcdefghijklmnop")}", "bike"]', text, flags=re.MULTILINE)
    found = sentences(disclosure_of(text))
    assert sum(wordy in sentence for sentence in found) >= 4
    assert max(len(s.split()) for s in found) <= MAX_WORDS


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_eighth_grader_can_read_it(path: Path) -> None:
    """Flesch-Kincaid grade of at most 8 for the whole of every shipped policy's text; the ten hardest sentences are printed."""
    found = sentences(disclosure_of(path.read_text()))
    ten = "\n".join(f"  {hard:5.1f}  {sentence}" for hard, sentence in hardest(found, 10))
    print(f"\n{path.name}: grade {grade(found):.1f}; the ten hardest sentences:\n{ten}")
    assert grade(found) <= 8, ten
    assert max(len(words(sentence)) for sentence in found) <= MAX_WORDS


def test_every_english_sentence_can_be_read() -> None:
    """The table as a whole, whatever a policy selects of it, stays at grade 8."""
    english = [text for key, text in LOCALES["en"].texts.items() if text.endswith(".")]
    assert len(english) > 100
    assert grade([re.sub(r"\{\w+\}", "ten", text) for text in english]) <= 8


@pytest.mark.parametrize(
    ("word", "count"),
    [
        ("people", 2),
        ("published", 2),
        ("passed", 1),
        ("demonstration", 4),
        ("encrypted", 3),
        ("changes", 2),
        ("stays", 1),
    ],
)
def test_the_syllable_counter(word: str, count: int) -> None:
    """The grade means something only if words are measured about right."""
    assert syllables(word) == count


def test_the_grade_tells_easy_from_hard() -> None:
    """A text that nobody would call plain is not passed by the same measure."""
    assert grade(["The cat sat on the mat."]) < 1
    assert (
        grade(["Differential privacy probabilistically obfuscates individual contributions to statistical aggregates."])
        > 20
    )


@given(policies())
@settings(max_examples=40)
def test_no_jargon_and_no_overclaim(text: str) -> None:
    """No word that only the trade understands, none for a protection that no code gives."""
    disclosure = disclosure_of(text)
    for statement in statements(disclosure):
        own = LOCALES["en"].texts[statement.key]
        assert not JARGON.search(own), own
        assert not OVERCLAIMS.search(own), own
    assert ("encrypted" in " ".join(sentences(disclosure))) == (disclosure.policy.transport == "tls")


@given(policies())
@settings(max_examples=40)
def test_every_element_is_explained_under_its_own_mark(text: str) -> None:
    """Each element of the datachain has a sentence with the element's mark; no sentence explains an element that is not there (I2)."""
    disclosure = disclosure_of(text)
    elements = {(element.id, element.mark) for element in disclosure.elements}
    for locale in LOCALES:
        said = {
            (statement.element, statement.mark) for statement in statements(disclosure, locale) if statement.element
        }
        assert elements <= said, elements - said
        assert said <= elements, said - elements


@given(policies())
@settings(max_examples=40)
def test_every_locale_says_the_same_facts(text: str) -> None:
    """Same statements in the same order, with the same marks and elements, in every language."""
    disclosure = disclosure_of(text)

    def facts(locale: str) -> list[tuple[str, Mark, str, str]]:
        return [(s.key, s.mark, s.element, s.section) for s in statements(disclosure, locale)]

    for locale in LOCALES:
        assert facts(locale) == facts("en")
        for statement in statements(disclosure, locale):
            assert statement.shown.startswith(LOCALES[locale].promised) == (statement.mark is Mark.PROMISED)
            assert not re.search(r"[{}]", statement.key)


@given(policies())
@settings(max_examples=40)
def test_every_class_and_number_is_said(text: str) -> None:
    """No class, window, length, limit or amount of any stream is left out."""
    policy = parse_policy(text, "p")
    found = " ".join(sentences(compile_disclosure(policy)))
    for stream in policy.streams:
        for name in stream.classes:
            assert re.search(rf"\b{name.replace('_', ' ')}\b", found)
        privacy = stream.privacy
        for name, form in (("tau", "{}"), ("k", "below {}"), ("min_samples", "at least {} readings")):
            if hasattr(privacy, name):
                value = getattr(privacy, name)
                assert form.format(f"{value:,}" if value >= 10_000 else value) in found


def _without(policy: Policy, *modes: str) -> bool:
    return not any(stream.privacy.mode in modes for stream in policy.streams)


@given(policies())
@settings(max_examples=60)
def test_no_bound_is_claimed_for_numbers_without_noise(text: str) -> None:
    """ "All published figures" is said only when every stream carries noise, for a bound that is enforced must not rest on a promise; else the bound is limited, or absent."""
    disclosure = disclosure_of(text)
    keys = {statement.key for statement in statements(disclosure)}
    claims_all = keys & {"guarantee.day", "guarantee.period"}
    if not _without(disclosure.policy, "threshold-only", "coarse", "none"):
        assert not claims_all
    if not _without(disclosure.policy, "threshold-only"):
        assert keys & {"guarantee.none", "guarantee.open_day", "guarantee.open_period"}
    if _without(disclosure.policy, "dp"):
        assert not any(key in keys for key in ("guarantee.guess", "guarantee.month", "guarantee.some_day"))
    if not _without(disclosure.policy, "none", "coarse"):
        assert "readings.stay" not in keys


@pytest.mark.parametrize("variance", [Fraction(1), Fraction(9, 4), Fraction(16), Fraction(99, 25), Fraction(400)])
def test_noise_is_as_small_as_said_nine_times_in_ten(variance: Fraction) -> None:
    """ "At least nine times in ten by N or less", by summing the exact laws of both noises of that variance."""
    limit = plain_language._usual(variance)
    reach = range(-60 * limit, 60 * limit + 1)
    laplace = math.sqrt(2 / float(variance))
    gaussian = [math.exp(-k * k / (2 * float(variance))) for k in reach]
    discrete_laplace = [math.exp(-abs(k) * laplace) for k in reach]
    for weights in (gaussian, discrete_laplace):
        within = math.fsum(weight for k, weight in zip(reach, weights, strict=True) if abs(k) <= limit)
        assert within / math.fsum(weights) >= 0.9


@pytest.mark.parametrize("locale", LOCALES)
def test_readers_of_an_unchecked_translation_are_told(locale: str) -> None:
    """In that language and in English, before anything else; Khmer and Tagalog until a speaker has signed them off."""
    unchecked = locale in ("km", "tl")
    assert LOCALES[locale].reviewed is not unchecked
    said = sentences(DISCLOSURE, locale)
    if unchecked:
        assert said[:2] == notes(locale)
        assert said[0] == LOCALES[locale].texts["note.unreviewed"]
        assert said[1] == f"No speaker of {LOCALES[locale].name} has checked this text yet."
    else:
        assert notes(locale) == ()
        assert len(said) == len(statements(DISCLOSURE, locale))


def test_an_unknown_locale_is_an_error_and_never_english() -> None:
    """The error names those that there are."""
    with pytest.raises(DisclosureError, match="one of en, es, fr, km, pt, tl") as caught:
        sentences(DISCLOSURE, "de")
    assert caught.value.exit_code == 2


def test_promises_are_not_enforced_statements() -> None:
    """What happens where the unit's power ends is never marked as enforced."""
    for statement in statements(DISCLOSURE):
        if re.search(
            r"deleted|kept in|download|responsible|sensor|here to|fetches", statement.text
        ) and not statement.key.startswith("legend"):
            assert statement.mark is Mark.PROMISED, statement


def test_running_totals_are_said_in_every_language() -> None:
    """One more sentence wherever there are totals, none where there are none; and the noise it names covers nine times in ten."""
    for code, table in LOCALES.items():
        key = table.texts["dp.totals"].partition("{")[0]
        assert sum(key in sentence for sentence in sentences(disclosure_of(TOTALS), code)) == 1
        assert not any(key in sentence for sentence in sentences(DISCLOSURE, code))
    said = sentences(disclosure_of(TOTALS))
    assert "It also sends running totals, which begin anew every day and include the numbers not shown." in said
    privacy = parse_policy(TOTALS, "p").streams[0].privacy
    assert isinstance(privacy, CountPrivacy)
    amount = math.isqrt(math.ceil(6 * privacy.sigma_squared) - 1) + 1
    assert amount == 31  # 2 exp(-6/2) < 1/10: sub-Gaussian with variance 12.54^2
    assert f"Chance changes each number, at least nine times in ten by {amount} or less." in said
