"""Flesch-Kincaid grade of English text, with a syllable counter of our own for tests.

Limits: syllables are counted as groups of vowels, less a silent e and the e of -ed and -es where they are silent, plus one for a final
-le after a consonant. Names, loan words and neighbouring vowels that are spoken apart ("radio", "area") come out one off now and then;
over a whole text that evens out to a few tenths of a grade. A number counts as many syllables as its digits are usually spoken with (one a digit,
two for 7), a web or mail address as one word of one syllable: nobody reads it aloud.
"""

import re
from collections.abc import Sequence

_WORD = re.compile(r"[A-Za-z]+(?:['’-][A-Za-z]+)*|\d[\d.,]*")
_ADDRESS = re.compile(r"\S*(?:://|@)\S*|\+\d[\d ]+")


def syllables(word: str) -> int:
    """Syllables of one word or number; at least 1."""
    if word[0].isdigit():
        digits = re.sub(r"\D", "", word)
        return len(digits) + digits.count("7")
    total = 0
    for part in re.split(r"['’-]", word.lower()):
        silent_e = re.search(r"[^aeiouy]e$", part) and not re.search(r"[^aeiouy]le$", part)
        silent_ending = re.search(r"[^aeioudty]ed$", part) or re.search(r"[^aeiouyscxz](?<!sh)(?<!ch)(?<!g)es$", part)
        groups = len(re.findall(r"[aeiouy]+", part)) - (1 if silent_e or silent_ending else 0)
        total += max(groups, 1 if len(part) > 1 else 0)
    return max(total, 1)


def words(sentence: str) -> list[str]:
    """The words of a sentence as they are read; an address is one."""
    return _WORD.findall(_ADDRESS.sub(" link ", sentence))


def grade(sentences: Sequence[str]) -> float:
    """Flesch-Kincaid grade: 0.39 words a sentence + 11.8 syllables a word - 15.59 (Kincaid et al. 1975)."""
    found = [words(sentence) for sentence in sentences]
    count = sum(map(len, found))
    return 0.39 * count / len(found) + 11.8 * sum(syllables(w) for part in found for w in part) / count - 15.59


def hardest(sentences: Sequence[str], count: int) -> list[tuple[float, str]]:
    """The sentences of the highest grade, each once, the hardest first."""
    return sorted(((grade([one]), one) for one in dict.fromkeys(sentences) if words(one)), reverse=True)[:count]
