"""What a window's numbers promise each person, in the words that stand in every pack. Pure."""

import re
from dataclasses import dataclass
from fractions import Fraction

from agent.errors import EncodingError

UNPROTECTED_MODES = ("none", "coarse", "threshold-only")
"""Modes of a policy without a guarantee (PRIVACY.md 4.1)."""

LABEL = "not a privacy guarantee"


@dataclass(frozen=True, slots=True)
class ConcentratedGuarantee:
    """zCDP `rho` a person-period of `period_s`, for at most `m` readings in it and `c` in one window (PRIVACY.md 1.2)."""

    rho: Fraction
    period_s: int
    m: int
    c: int

    def words(self) -> str:
        """As it stands in the pack."""
        return f"zCDP rho={self.rho} per person-period of {self.period_s} s, m={self.m}, c={self.c}"


@dataclass(frozen=True, slots=True)
class PureGuarantee:
    """Pure differential privacy `epsilon` a person-window of `window_s`, for a person whose devices show at most `addresses` addresses in one
    window and who is present in at most `m` windows of a period of `period_s` (PRIVACY.md 1.5)."""

    epsilon: Fraction
    m: int
    addresses: int
    window_s: int
    period_s: int

    def words(self) -> str:
        """As it stands in the pack."""
        return (
            f"pure epsilon={self.epsilon} per person-window of {self.window_s} s, m={self.m} windows per {self.period_s} s, "
            f"addresses={self.addresses}"
        )


@dataclass(frozen=True, slots=True)
class NoGuarantee:
    """The numbers of a mode that promises nobody anything; every Release says so (I1)."""

    mode: str

    def words(self) -> str:
        """As it stands in the pack."""
        return f"{self.mode}: {LABEL}"


Guarantee = ConcentratedGuarantee | PureGuarantee | NoGuarantee

_FRACTION = "([1-9][0-9]{0,17})(?:/([1-9][0-9]{0,17}))?"
_NUMBER = "([1-9][0-9]{0,7})"
_CONCENTRATED = re.compile(f"zCDP rho={_FRACTION} per person-period of {_NUMBER} s, m={_NUMBER}, c={_NUMBER}")
_PURE = re.compile(
    f"pure epsilon={_FRACTION} per person-window of {_NUMBER} s, m={_NUMBER} windows per {_NUMBER} s, addresses={_NUMBER}"
)


def read_guarantee(words: str) -> Guarantee:
    """The strict inverse of `words`; raise EncodingError for any others."""
    guarantee: Guarantee | None = None
    if concentrated := _CONCENTRATED.fullmatch(words):
        rho, over, period_s, m, c = concentrated.groups()
        guarantee = ConcentratedGuarantee(Fraction(int(rho), int(over or 1)), int(period_s), int(m), int(c))
    elif pure := _PURE.fullmatch(words):
        epsilon, over, window_s, m, period_s, addresses = pure.groups()
        guarantee = PureGuarantee(
            Fraction(int(epsilon), int(over or 1)), int(m), int(addresses), int(window_s), int(period_s)
        )
    elif words.removesuffix(f": {LABEL}") in UNPROTECTED_MODES:
        guarantee = NoGuarantee(words.removesuffix(f": {LABEL}"))
    if guarantee is None or guarantee.words() != words:
        raise EncodingError("aggregate guarantee", expected="a guarantee, or the label that there is none", got="other")
    return guarantee
