"""From a policy to DTPR elements: which property of which stream says what, and who stands behind it. Pure.

Invariant (I2): `elements` is the only source of a disclosure's elements. A process or data element appears because of a mode or a
technology in the policy, never because somebody chose it, and every element marked ENFORCED names the code that enforces it
(`ENFORCED_BY`). Nothing is claimed here of k-anonymity (the threshold is on noisy numbers), of an immutable ledger, of encryption or
of audits: no code of this unit enforces them for every reader.

| property of the policy                      | element                           | mark     | reason
|---------------------------------------------|-----------------------------------|----------|-------
| [accountable]                               | organization                      | promised | the organisation says of itself who it is
| [purpose] elements                          | the same                          | promised | the unit cannot know what its numbers are used for
| stream technology                           | the same, with its context        | promised | the unit cannot see what is mounted in front of it
| a stream of kind count                      | values_time                       | enforced | one number a class leaves at the end of each window, nothing else
| a technology whose context is identifiable  | personal                          | promised | its raw data are about persons, whatever is done with them afterwards
| a stream of kind count                      | aggregated                        | enforced | readings are summed by window and class, and only sums go on
| mode dp                                     | differential_privacy              | enforced | discrete Gaussian noise is added to every cell before anything else sees it
| a technology whose context is de-identified | de_identified                     | promised | the sensor board does that before the unit sees a reading
| [storage], [access] elements                | the same                          | promised | they happen where the unit's power ends
| [retention] kept                            | data_retained, its duration       | promised | the receiver deletes, not the unit
"""

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from agent.policy.model import Policy, Stream
from agent.policy.vocabulary import TECHNOLOGIES, Identifiability
from agent.policy.words import exact_words, root_words, time_words


class Category(enum.IntEnum):
    """DTPR device categories in the order in which a reader asks; the numbers are those of the compact form."""

    ACCOUNTABLE = 0
    PURPOSE = 1
    TECH = 2
    DATA = 3
    PROCESS = 4
    STORAGE = 5
    ACCESS = 6
    RETENTION = 7

    @property
    def id(self) -> str:
        """The category's DTPR id."""
        return f"device__{self.name.lower()}"


class Mark(enum.IntEnum):
    """Who stands behind a statement (I2); the numbers are those of the compact form."""

    ENFORCED = 1
    """This unit does it, whatever anybody wants."""
    PROMISED = 2
    """The accountable organisation says so."""


@dataclass(frozen=True, slots=True)
class Element:
    """One element of a datachain; `reason` is the rule that put it there, `variables` are (id, text) pairs."""

    category: Category
    id: str
    mark: Mark
    reason: str
    context: Identifiability | None = None
    variables: tuple[tuple[str, str], ...] = ()


ENFORCED_BY: Mapping[str, str] = {
    "aggregated": "agent.anonymizer.window",
    "differential_privacy": "agent.anonymizer.noise",
    "values_time": "agent.anonymizer.window",
}
"""Element -> the module without which it would be a lie."""

_MOST_REVEALING_FIRST = (Identifiability.IDENTIFIABLE, Identifiability.DE_IDENTIFIED, Identifiability.NON_IDENTIFIABLE)


def colour(policy: Policy) -> str:
    """DTPR's colour: yellow, persons are identifiable; blue, they were and no longer are; white, never."""
    contexts = {TECHNOLOGIES[stream.technology] for stream in policy.streams}
    if Identifiability.IDENTIFIABLE in contexts:
        return "yellow"
    return "blue" if Identifiability.DE_IDENTIFIED in contexts else "white"


def elements(policy: Policy) -> tuple[Element, ...]:
    """Every element of the policy's datachain, by category and, within one, by priority."""
    found = [
        *_accountable(policy),
        *_promised(Category.PURPOSE, policy.purposes, "the organisation states why"),
        *_technologies(policy),
        *_data(policy),
        *_process(policy),
        *_promised(Category.STORAGE, policy.storage, "storage is where the unit's power ends"),
        *_promised(Category.ACCESS, policy.access, "access is given where the unit's power ends"),
        Element(
            Category.RETENTION,
            "data_retained",
            Mark.PROMISED,
            "the receiver deletes, not the unit",
            variables=(("duration", time_words(policy.retention_days * 86_400)),),
        ),
    ]
    return tuple(sorted(found, key=lambda element: element.category))


def _accountable(policy: Policy) -> Iterable[Element]:
    who = policy.accountable
    yield Element(
        Category.ACCOUNTABLE,
        "organization",
        Mark.PROMISED,
        "the organisation says of itself who it is",
        variables=(("name", who.name), ("contact", who.contact), ("feedback", who.feedback), ("url", who.url)),
    )


def _promised(category: Category, ids: Iterable[str], reason: str) -> Iterable[Element]:
    return (Element(category, element, Mark.PROMISED, reason) for element in ids)


def _technologies(policy: Policy) -> Iterable[Element]:
    for context in _MOST_REVEALING_FIRST:
        for technology in dict.fromkeys(stream.technology for stream in policy.streams):
            if TECHNOLOGIES[technology] is context:
                streams = [stream for stream in policy.streams if stream.technology == technology]
                yield Element(
                    Category.TECH,
                    technology,
                    Mark.PROMISED,
                    "the unit cannot see what is mounted in front of it",
                    context=context,
                    variables=(("streams", "; ".join(_counted(stream) for stream in streams)),),
                )


def _data(policy: Policy) -> Iterable[Element]:
    yield Element(
        Category.DATA,
        "values_time",
        Mark.ENFORCED,
        "one number a class leaves at the end of each window, and nothing else",
        variables=(("streams", "; ".join(f"{s.name}: every {time_words(s.window_s)}" for s in policy.streams)),),
    )
    if any(TECHNOLOGIES[stream.technology] is Identifiability.IDENTIFIABLE for stream in policy.streams):
        yield Element(Category.DATA, "personal", Mark.PROMISED, "the sensor's raw data are about identifiable persons")


def _process(policy: Policy) -> Iterable[Element]:
    yield Element(
        Category.PROCESS,
        "differential_privacy",
        Mark.ENFORCED,
        "discrete Gaussian noise is added to every cell before anything else sees it",
        variables=(("streams", "; ".join(_guarantee(policy, stream) for stream in policy.streams)),),
    )
    yield Element(
        Category.PROCESS, "aggregated", Mark.ENFORCED, "readings are summed by window and class, and only sums go on"
    )
    if any(TECHNOLOGIES[stream.technology] is Identifiability.DE_IDENTIFIED for stream in policy.streams):
        yield Element(
            Category.PROCESS, "de_identified", Mark.PROMISED, "the sensor board does it before the unit sees a reading"
        )


def _counted(stream: Stream) -> str:
    return f"{stream.name}: {', '.join(stream.classes)}"


def _guarantee(policy: Policy, stream: Stream) -> str:
    privacy = stream.privacy
    return (
        f"{stream.name}: zCDP rho {exact_words(privacy.rho)} a person and {time_words(policy.period_s)} "
        f"(at most {privacy.m} times, {privacy.c} a window), noise sd {root_words(privacy.sigma_squared)}, "
        f"published from {privacy.tau}"
    )
