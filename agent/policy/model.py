"""The policy as values: everything the unit enforces and everything its organisation promises.

Invariant: a `Policy` that exists is valid; `parse` is the only way from text, and every privacy parameter is stated, none defaulted.
Numbers are exact (int or Fraction), lengths of time whole seconds, instants whole Unix seconds, UTC.
"""

from dataclasses import dataclass
from fractions import Fraction

from agent.policy.modes import Guaranteed, Privacy


@dataclass(frozen=True, slots=True)
class Unit:
    """Whose policy this is; the three topic levels."""

    city: str
    site: str
    name: str

    @property
    def path(self) -> str:
        """city/site/name, as in topics and in the log's origin."""
        return f"{self.city}/{self.site}/{self.name}"


@dataclass(frozen=True, slots=True)
class Location:
    """Where the unit stands, in words, and how exact these words are: exact, street, neighbourhood or city."""

    text: str
    precision: str


@dataclass(frozen=True, slots=True)
class Organisation:
    """Who is accountable."""

    name: str


@dataclass(frozen=True, slots=True)
class Contact:
    """How to reach the accountable institution; "" where a channel is not given.

    `feedback` names, the preferred one first, the channels (`address`, `phone`, `email`, `url`) at which a resident asks or objects.
    """

    address: str
    phone: str
    email: str
    url: str
    feedback: tuple[str, ...]

    @property
    def channels(self) -> tuple[tuple[str, str], ...]:
        """(channel, where it leads) of every channel given, in the order of `CHANNELS`."""
        return tuple((name, getattr(self, name)) for name in CHANNELS if getattr(self, name))

    @property
    def feedback_channels(self) -> tuple[tuple[str, str], ...]:
        """The same of the channels for feedback, the preferred one first."""
        return tuple((name, getattr(self, name)) for name in self.feedback)


CHANNELS = ("address", "phone", "email", "url")


@dataclass(frozen=True, slots=True)
class Audience:
    """Some people who receive published numbers: `access` is a DTPR element id, `storage` are those of where they keep them."""

    name: str
    access: str
    storage: tuple[str, ...]
    retention_days: int


@dataclass(frozen=True, slots=True)
class Stream:
    """One published stream: readings of `channel` in tumbling UTC windows of `window_s`.

    `kind` is count, duration, scalar or unique. `classes` are those of a count or duration, empty otherwise; `bins_s` the upper edges
    (s, rising) of a duration's bins, the last bin being open; `quantity` what a scalar measures. `receivers` are names of audiences.
    """

    name: str
    channel: str
    kind: str
    technology: str
    classes: tuple[str, ...]
    bins_s: tuple[int, ...]
    quantity: str
    window_s: int
    grace_s: Fraction
    receivers: tuple[str, ...]
    privacy: Privacy


@dataclass(frozen=True, slots=True)
class Policy:
    """A whole policy. `technology`, `purposes`, `access`, `storage` and `denied` are DTPR element ids.

    `denied` are the access elements that say who sees nothing; `licence` is an SPDX id; `community_labels` are Local Contexts TK and BC
    label ids; `transport` is "tls" (the unit speaks to its broker by TLS or not at all) or "any".
    """

    version: int
    unit: Unit
    title: str
    location: Location
    accountable: Organisation
    vendors: tuple[str, ...]
    contact: Contact
    purposes: tuple[str, ...]
    audiences: tuple[Audience, ...]
    denied: tuple[str, ...]
    licence: str
    community_labels: tuple[str, ...]
    transport: str
    issued: int
    effective: int
    expires: int
    notice_s: int
    period_s: int
    cap_rho: Fraction
    collect_within_s: int
    demo: bool
    streams: tuple[Stream, ...]

    @property
    def access(self) -> tuple[str, ...]:
        """Every access element, each once: who sees the numbers, then who does not."""
        return tuple(dict.fromkeys((*(audience.access for audience in self.audiences), *self.denied)))

    @property
    def storage(self) -> tuple[str, ...]:
        """Every storage element, each once."""
        return tuple(dict.fromkeys(element for audience in self.audiences for element in audience.storage))

    @property
    def retention_days(self) -> int:
        """The longest that any audience keeps the numbers."""
        return max(audience.retention_days for audience in self.audiences)

    @property
    def spent_rho(self) -> Fraction:
        """What all streams with a guarantee may cost one person in one period, in zCDP."""
        return sum(
            (stream.privacy.rho for stream in self.streams if isinstance(stream.privacy, Guaranteed)), Fraction(0)
        )
