"""agent/disclosure/wording and the tables: the same facts in every locale, each written as its readers write."""

import dataclasses
import re
from fractions import Fraction

import pytest

from agent.disclosure import wording
from agent.disclosure.wording import LOCALES, Wording, locale_of, missing, placeholders, portions
from agent.errors import DisclosureError
from agent.policy import vocabulary

OTHERS = [code for code in LOCALES if code != "en"]
EN = LOCALES["en"].texts

ELEMENTS = [
    *vocabulary.PURPOSES,
    *vocabulary.TECHNOLOGIES,
    *vocabulary.ACCESS,
    *vocabulary.STORAGE,
    *("institution", "organization", "personal", "aggregated", "de_identified", "raw_data", "data_retained"),
    "transport_layer_security",
]


@pytest.mark.parametrize("code", OTHERS)
def test_every_table_has_the_same_keys_and_places(code: str) -> None:
    """A fact that one language tells, every other tells too, with the same numbers in it."""
    texts = LOCALES[code].texts
    assert set(texts) == set(EN)
    for key, text in texts.items():
        assert placeholders(text) == placeholders(EN[key]), key
        assert text.strip() == text, key
        assert "\n" not in text, key


@pytest.mark.parametrize("code", OTHERS)
def test_nothing_was_left_in_english(code: str) -> None:
    """No whole sentence is the English one."""
    same = {key for key, text in LOCALES[code].texts.items() if text == EN[key]}
    assert all(not EN[key].endswith(".") for key in same), same
    assert len(same) < 12


def test_every_id_of_the_vocabulary_has_words() -> None:
    """No policy that the parser accepts is without a sentence, in any locale."""
    keys = [
        *ELEMENTS,
        *(f"quantity.{quantity}" for quantity in vocabulary.QUANTITIES),
        *(f"tech.{context.value}" for context in vocabulary.Identifiability),
        *(f"place.{precision}" for precision in vocabulary.PRECISIONS),
    ]
    assert missing(keys) == ()


def test_a_missing_translation_is_reported_and_never_english(monkeypatch: pytest.MonkeyPatch) -> None:
    """By `missing`, naming locale and key; and by an error when it is asked for."""
    assert ("km", "new_element") in missing(["new_element"])
    gap = dataclasses.replace(LOCALES["fr"], texts={**LOCALES["fr"].texts, "mobility": " "})
    monkeypatch.setattr(wording, "LOCALES", {**LOCALES, "fr": gap})
    assert missing(()) == (("fr", "mobility"),)
    with pytest.raises(DisclosureError, match="sentences: fr: expected a text for mobility, got none"):
        Wording(gap).say("mobility")


@pytest.mark.parametrize("code", LOCALES)
def test_nothing_but_words_and_plain_punctuation(code: str) -> None:
    """No markup and no control character in any table: they are shown on pages and terminals as they stand."""
    for key, text in LOCALES[code].texts.items():
        assert not re.search(r"[<>&*_`\\\x00-\x1f\u202a-\u202e\u2066-\u2069]", re.sub(r"\{\w+\}", "", text)), key


@pytest.mark.parametrize(
    ("code", "numbers"),
    [
        ("en", ["0", "-0.5", "1234", "12,345", "1,234,567.25", "1/3"]),
        ("es", ["0", "-0,5", "1234", "12.345", "1.234.567,25", "1/3"]),
        ("fr", ["0", "-0,5", "1\u202f234", "12\u202f345", "1\u202f234\u202f567,25", "1/3"]),
        ("km", ["0", "-0,5", "1.234", "12.345", "1.234.567,25", "1/3"]),
        ("pt", ["0", "-0,5", "1.234", "12.345", "1.234.567,25", "1/3"]),
        ("tl", ["0", "-0.5", "1,234", "12,345", "1,234,567.25", "1/3"]),
    ],
)
def test_numbers(code: str, numbers: list[str]) -> None:
    """Grouping and decimal mark are the locale's, digits 0 to 9 everywhere, a value without end a ratio."""
    values: list[int | Fraction] = [0, Fraction(-1, 2), 1234, 12345, Fraction(123456725, 100), Fraction(1, 3)]
    assert [Wording(locale_of(code)).number(value) for value in values] == numbers


@pytest.mark.parametrize(
    ("code", "day", "first"),
    [
        ("en", "15 September 2028", "1 March 2027"),
        ("es", "15 de septiembre de 2028", "1 de marzo de 2027"),
        ("fr", "15 septembre 2028", "1er mars 2027"),
        ("km", "ថ្ងៃទី 15 ខែកញ្ញា ឆ្នាំ 2028", "ថ្ងៃទី 1 ខែមីនា ឆ្នាំ 2027"),
        ("pt", "15 de setembro de 2028", "1º de março de 2027"),
        ("tl", "Setyembre 15, 2028", "Marso 1, 2027"),
    ],
)
def test_days(code: str, day: str, first: str) -> None:
    """The months and the order of the locale; the time of day only where it is not midnight, always in UTC."""
    words = Wording(locale_of(code))
    assert words.day(1_852_588_800) == day
    assert words.day(1_803_859_200) == first
    assert words.day(1_852_588_800 + 3_723) == f"{day}, 01:02:03 UTC"


@pytest.mark.parametrize(
    ("code", "lengths", "often"),
    [
        ("en", ["1 second", "90 seconds", "15 minutes", "1 hour", "730 days"], ["every minute", "every 15 minutes"]),
        ("es", ["1 segundo", "90 segundos", "15 minutos", "1 hora", "730 días"], ["cada minuto", "cada 15 minutos"]),
        (
            "fr",
            ["1 seconde", "90 secondes", "15 minutes", "1 heure", "730 jours"],
            ["chaque minute", "toutes les 15 minutes"],
        ),
        ("km", ["1 វិនាទី", "90 វិនាទី", "15 នាទី", "1 ម៉ោង", "730 ថ្ងៃ"], ["រៀងរាល់នាទី", "រៀងរាល់ 15 នាទី"]),
        (
            "pt",
            ["1 segundo", "90 segundos", "15 minutos", "1 hora", "730 dias"],
            ["a cada minuto", "a cada 15 minutos"],
        ),
        ("tl", ["1 segundo", "90 segundo", "15 minuto", "1 oras", "730 araw"], ["bawat minuto", "bawat 15 minuto"]),
    ],
)
def test_lengths_of_time(code: str, lengths: list[str], often: list[str]) -> None:
    """In the largest unit that fits, singular and plural as the language has them."""
    words = Wording(locale_of(code))
    assert [words.duration(seconds) for seconds in (1, 90, 900, 3600, 730 * 86_400)] == lengths
    assert [words.every(seconds) for seconds in (60, 900)] == often


def test_half_a_second_is_singular_in_french_alone() -> None:
    """French counts everything under two as one."""
    assert Wording(locale_of("fr")).duration(Fraction(1, 2)) == "0,5 seconde"
    assert Wording(locale_of("en")).duration(Fraction(1, 2)) == "0.5 seconds"
    assert Wording(locale_of("es")).duration(Fraction(1, 2)) == "0,5 segundos"


def test_units_as_people_write_them() -> None:
    """SenML's spellings are not for people; a ratio is shown in hundredths."""
    words = Wording(locale_of("fr"))
    assert words.quantity(Fraction(5, 2), "Cel") == "2,5 °C"
    assert words.quantity(Fraction(1, 4), "/") == "25 %"
    assert words.quantity(Fraction(7), "pH") == "7"
    assert words.quantity(Fraction(10), "ug/m3") == "10 µg/m³"
    assert words.quantity(Fraction(-40), "dB") == "-40 dB"


def test_every_unit_of_the_vocabulary_can_be_shown() -> None:
    """No unit reaches a reader with SenML's ASCII spelling of a symbol."""
    for facts in vocabulary.QUANTITIES.values():
        assert not re.search(r"\^|ug|Cel|RH", Wording(locale_of("en")).quantity(Fraction(1), facts.unit))


def test_a_promise_lowers_only_the_tables_own_letter() -> None:
    """A name keeps its capital."""
    words = Wording(locale_of("fr"))
    assert words.promise("institution", name="Ville de X") == "Promis : le responsable est Ville de X."
    gap = dataclasses.replace(LOCALES["en"], texts={"x": "{name} runs it."})
    assert Wording(gap).promise("x", name="Anna") == "Promised: Anna runs it."


def test_lists_are_cut_into_portions() -> None:
    """No part above the limit, but for a single item that is; nothing lost, nothing reordered."""
    items = ["a b", "c", "d e f g", "h", "i"]
    parts = list(portions(items, 3))
    assert parts == [("a b", "c"), ("d e f g",), ("h", "i")]
    assert [item for part in parts for item in part] == items
    assert list(portions([], 3)) == []
