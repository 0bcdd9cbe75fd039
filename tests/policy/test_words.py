"""agent/policy/words: numbers and times as people read them, never rounded in the wrong direction."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.policy.words import date_words, day_words, exact_words, root_words, time_words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 seconds"),
        (1, "1 second"),
        (5, "5 seconds"),
        (60, "1 minute"),
        (90, "90 seconds"),
        (900, "15 minutes"),
        (3600, "1 hour"),
        (82_800, "23 hours"),
        (86_400, "1 day"),
        (14 * 86_400, "14 days"),
        (Fraction(1, 2), "0.5 seconds"),
        (Fraction(1001, 1000), "1.001 seconds"),
    ],
)
def test_time_words(seconds: int | Fraction, words: str) -> None:
    """The largest unit that divides it, so nothing is lost."""
    assert time_words(seconds) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (Fraction(0), "0"),
        (Fraction(7), "7"),
        (Fraction(100), "100"),
        (Fraction(1, 8), "0.125"),
        (Fraction(1, 72), "1/72"),
        (Fraction(1, 1_000_000), "0.000001"),
        (Fraction(5, 4), "1.25"),
        (Fraction(1, 2**20), "1/1048576"),
        (Fraction(-40), "-40"),
        (Fraction(-1, 2), "-0.5"),
        (Fraction(-1, 3), "-1/3"),
    ],
)
def test_exact_words(value: Fraction, words: str) -> None:
    """A short decimal where it is exact, else the ratio."""
    assert exact_words(value) == words


@given(st.fractions(min_value=0, max_value=10**6, max_denominator=10**6))
def test_exact_words_are_exact(value: Fraction) -> None:
    """What is written is the number."""
    assert Fraction(exact_words(value)) == value


@given(st.fractions(min_value=1, max_value=2**20, max_denominator=10**6))
def test_root_is_rounded_up(squared: Fraction) -> None:
    """A stated standard deviation is never below the true one, and less than a thousandth above."""
    root = Fraction(root_words(squared))
    assert root**2 >= squared
    assert (root - Fraction(1, 1000)) ** 2 < squared


def test_dates() -> None:
    """Days as people read them, instants as ISO 8601, both UTC."""
    assert day_words(1789430400) == "15 September 2026"
    assert day_words(1789430401) == "15 September 2026, 00:00:01 UTC"
    assert date_words(1788220800) == "2026-09-01T00:00:00Z"
