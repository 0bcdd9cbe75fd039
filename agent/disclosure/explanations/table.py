"""Every locale's table of explanations, and who has checked it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from agent.disclosure.explanations import en, es, fr, km, pt, tl


@dataclass(frozen=True, slots=True)
class Explanations:
    """`texts` by element id, and by "tech." and a context; `reviewed` is True once a speaker has signed them off; `titles` are short."""

    reviewed: bool
    texts: Mapping[str, str]
    titles: Mapping[str, str]


EXPLANATIONS: Mapping[str, Explanations] = {
    "en": Explanations(True, en.TEXTS, en.TITLES),
    "es": Explanations(False, es.TEXTS, es.TITLES),
    "fr": Explanations(False, fr.TEXTS, fr.TITLES),
    "km": Explanations(False, km.TEXTS, km.TITLES),
    "pt": Explanations(False, pt.TEXTS, pt.TITLES),
    "tl": Explanations(False, tl.TEXTS, tl.TITLES),
}
"""Locale -> its table. Nobody but the authors has read the translations, whatever was said of the locale's other sentences."""
