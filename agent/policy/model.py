"""The policy as values: everything the unit enforces and everything its organisation promises.

Invariant: a `Policy` that exists is valid; `parse` is the only way from text, and every privacy parameter is stated, none defaulted.
Numbers are exact (int or Fraction), lengths of time whole seconds, instants whole Unix seconds, UTC.
"""

from dataclasses import dataclass
from fractions import Fraction
from math import isqrt


@dataclass(frozen=True, slots=True)
class Unit:
    """Whose policy this is; the three topic levels."""

    city: str
    site: str
    name: str


@dataclass(frozen=True, slots=True)
class Organisation:
    """Who is accountable, and how to reach them; `feedback` is the address a resident is given."""

    name: str
    contact: str
    feedback: str
    url: str


@dataclass(frozen=True, slots=True)
class Threshold:
    """Publish a cell only when its noisy value is >= tau = k + ceil(z * sigma) (PRIVACY.md section 4)."""

    k: int
    z: Fraction


@dataclass(frozen=True, slots=True)
class CountPrivacy:
    """Independent discrete Gaussian noise for one subject with at most m readings a period and c a window (PRIVACY.md 1.2).

    `rho` is what one person-period costs in zCDP; `max_count` clamps each cell before noise and bounds the message's length.
    """

    rho: Fraction
    m: int
    c: int
    threshold: Threshold
    max_count: int

    @property
    def charge(self) -> Fraction:
        """zCDP rho of one reading in one window: 1 / (2 sigma^2)."""
        return 1 / (2 * self.sigma_squared)

    @property
    def sigma_squared(self) -> Fraction:
        """Worst case of sum v_t^2 over the allowed presence, divided by 2 rho (PROOF.md Lemma 8); c*m/(2 rho) when c divides m."""
        whole, rest = divmod(self.m, self.c)
        return (whole * self.c**2 + rest**2) / (2 * self.rho)

    @property
    def tau(self) -> int:
        """The threshold on the noisy value, an exact integer."""
        squared = self.threshold.z**2 * self.sigma_squared
        return self.threshold.k + _ceil_sqrt(squared)


@dataclass(frozen=True, slots=True)
class Stream:
    """One published stream: readings of `channel` counted by class in tumbling UTC windows of `window_s`."""

    name: str
    channel: str
    kind: str
    technology: str
    classes: tuple[str, ...]
    window_s: int
    grace_s: Fraction
    privacy: CountPrivacy


@dataclass(frozen=True, slots=True)
class Policy:
    """A whole policy. `technology`, `purposes`, `access`, `storage` are DTPR element ids."""

    version: int
    unit: Unit
    title: str
    accountable: Organisation
    purposes: tuple[str, ...]
    access: tuple[str, ...]
    storage: tuple[str, ...]
    retention_days: int
    issued: int
    effective: int
    expires: int
    notice_s: int
    period_s: int
    cap_rho: Fraction
    collect_within_s: int
    demo: bool
    streams: tuple[Stream, ...]


def _ceil_sqrt(value: Fraction) -> int:
    """Smallest integer n >= 0 with n^2 >= value."""
    whole = -(-value.numerator // value.denominator)  # ceil; n^2 >= value iff n^2 >= ceil(value)
    root = isqrt(whole)
    return root if root * root == whole else root + 1
