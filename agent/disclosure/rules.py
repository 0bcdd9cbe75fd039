"""From a policy to DTPR elements: which property of which stream says what, and who stands behind it. Pure.

Invariant (I2): `RULES` is the only source of a disclosure's elements. A process or data element appears because of a mode, a kind or a
technology in the policy, never because somebody chose it, and every element marked ENFORCED names the code that enforces it
(`ENFORCED_BY`). Nothing is claimed here of k-anonymity (thresholds are on noisy numbers, or without any guarantee), of an immutable
query ledger (the log holds what was published, not who asked), of encryption at rest or of audits: no code of this unit enforces them.
"""

import enum
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from agent.disclosure.context import MOST_REVEALING_FIRST, context, contexts
from agent.policy import guarantee
from agent.policy.model import Policy, Stream
from agent.policy.vocabulary import Identifiability
from agent.policy.words import time_words


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


Variables = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Element:
    """One element of a datachain; `reason` is that of the rule that put it there, `variables` are (id, text) pairs."""

    category: Category
    id: str
    mark: Mark
    reason: str
    context: Identifiability | None = None
    variables: Variables = ()


@dataclass(frozen=True, slots=True)
class Found:
    """What a rule finds in a policy: an element's id with its context and variables."""

    id: str
    variables: Variables = ()
    context: Identifiability | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the table: `when` a policy has this property, it `gives` these elements, because of `reason`."""

    when: str
    gives: str
    category: Category
    mark: Mark
    reason: str
    find: Callable[[Policy], Iterable[Found]]


ENFORCED_BY: Mapping[str, str] = {
    "aggregated": "agent.anonymizer.window",
    "de_identified": "agent.anonymizer.distinct",
    "differential_privacy": "agent.anonymizer.noise",
    "raw_data": "agent.anonymizer.scalar",
    "transport_layer_security": "agent.publisher.connection",
    "values_time": "agent.anonymizer.window",
}
"""Element -> the module without which it would be a lie. A policy whose module is not built yet is refused by agent/policy/enforcement."""


def elements(policy: Policy) -> tuple[Element, ...]:
    """Every element of the policy's datachain, by category and, within one, by priority."""
    found = [
        Element(rule.category, one.id, rule.mark, rule.reason, one.context, one.variables)
        for rule in RULES
        for one in rule.find(policy)
    ]
    return tuple(sorted(found, key=_place))


def _place(element: Element) -> tuple[int, int]:
    """Technologies that reveal most come first (DTPR); all else keeps the order of the rules."""
    return element.category, MOST_REVEALING_FIRST.index(element.context) if element.context else 0


def _institution(policy: Policy) -> Iterable[Found]:
    contact = policy.contact
    yield Found(
        "institution",
        (
            ("name", policy.accountable.name),
            *contact.channels,
            ("feedback", "; ".join(where for _, where in contact.feedback_channels)),
            ("location", policy.location.text),
            ("location_precision", policy.location.precision),
        ),
    )


def _vendors(policy: Policy) -> Iterable[Found]:
    return (Found("organization", (("name", vendor),)) for vendor in policy.vendors)


def _purposes(policy: Policy) -> Iterable[Found]:
    return (Found(purpose) for purpose in policy.purposes)


def _technologies(of: Callable[[Stream], bool]) -> Callable[[Policy], Iterable[Found]]:
    def find(policy: Policy) -> Iterable[Found]:
        for technology, shown in contexts(policy).items():
            streams = [stream for stream in policy.streams if stream.technology == technology]
            if of(next(stream for stream in streams if context(stream) is shown)):
                yield Found(technology, (("streams", "; ".join(map(guarantee.measured, streams))),), shown)

    return find


def _if_any(
    element: str, of: Callable[[Stream], bool], say: Callable[[Policy, Stream], str] | None = None
) -> Callable[[Policy], Iterable[Found]]:
    """The element when a stream is `of` that sort, with what `say` tells of each such stream."""

    def find(policy: Policy) -> Iterable[Found]:
        streams = [stream for stream in policy.streams if of(stream)]
        if streams:
            said = "; ".join(say(policy, stream) if say else stream.name for stream in streams)
            yield Found(element, (("streams", said),))

    return find


def _transport(policy: Policy) -> Iterable[Found]:
    if policy.transport == "tls":
        yield Found("transport_layer_security")


def _storage(policy: Policy) -> Iterable[Found]:
    for element in policy.storage:
        who = [audience.name for audience in policy.audiences if element in audience.storage]
        yield Found(element, (("audiences", ", ".join(who)),))


def _access(policy: Policy) -> Iterable[Found]:
    terms = (("licence", policy.licence), ("community_labels", ", ".join(policy.community_labels)))
    for audience in policy.audiences:
        streams = [stream.name for stream in policy.streams if audience.name in stream.receivers]
        variables = (("audiences", audience.name), ("streams", ", ".join(streams)), *terms)
        yield Found(audience.access, tuple((name, text) for name, text in variables if text))


def _denied(policy: Policy) -> Iterable[Found]:
    return (Found(element) for element in policy.denied)


def _retention(policy: Policy) -> Iterable[Found]:
    for audience in policy.audiences:
        yield Found(
            "data_retained",
            (("duration", time_words(audience.retention_days * 86_400)), ("audiences", audience.name)),
        )


def _every(_: Policy, stream: Stream) -> str:
    return f"{stream.name}: every {time_words(stream.window_s)}"


RULES: tuple[Rule, ...] = (
    Rule(
        "[accountable] name, [contact], [location]",
        "institution",
        Category.ACCOUNTABLE,
        Mark.PROMISED,
        "the institution says of itself who it is, where it can be reached and where the unit stands",
        _institution,
    ),
    Rule(
        "[accountable] vendors",
        "organization",
        Category.ACCOUNTABLE,
        Mark.PROMISED,
        "the institution says who works for it, in its order",
        _vendors,
    ),
    Rule(
        "[purpose] elements",
        "the same",
        Category.PURPOSE,
        Mark.PROMISED,
        "the unit cannot know what its numbers are used for",
        _purposes,
    ),
    Rule(
        "a technology, of streams of any kind but unique",
        "the same, with the context of its sensor",
        Category.TECH,
        Mark.PROMISED,
        "the unit cannot see what is mounted in front of it",
        _technologies(lambda stream: stream.kind != "unique"),
    ),
    Rule(
        "a technology, of streams of kind unique alone",
        "the same, with the context de-identified",
        Category.TECH,
        Mark.PROMISED,
        "its addresses could identify, and each is dropped as soon as it has set a cell under a key that lives for one window",
        _technologies(lambda stream: stream.kind == "unique"),
    ),
    Rule(
        "a stream of any kind",
        "values_time",
        Category.DATA,
        Mark.ENFORCED,
        "one number a cell leaves at the end of each window, and nothing else",
        _if_any("values_time", lambda stream: True, _every),
    ),
    Rule(
        "a stream whose technology's context is identifiable",
        "personal",
        Category.DATA,
        Mark.PROMISED,
        "the sensor's raw data are about identifiable persons, whatever is done with them afterwards",
        _if_any("personal", lambda stream: context(stream) is Identifiability.IDENTIFIABLE),
    ),
    Rule(
        "mode dp",
        "differential_privacy",
        Category.PROCESS,
        Mark.ENFORCED,
        "discrete noise is added to every cell before anything else sees it",
        _if_any("differential_privacy", lambda stream: stream.privacy.mode == "dp", guarantee.protection),
    ),
    Rule(
        "mode dp, threshold-only or coarse",
        "aggregated",
        Category.PROCESS,
        Mark.ENFORCED,
        "readings are summed by window and class, and only sums or what is made of them go on",
        _if_any("aggregated", lambda stream: stream.privacy.mode != "none", guarantee.aggregation),
    ),
    Rule(
        "a stream of kind unique",
        "de_identified",
        Category.PROCESS,
        Mark.ENFORCED,
        "an address only sets a cell of a bitmap under a key in memory, and key and bitmap end with the window",
        _if_any("de_identified", lambda stream: stream.kind == "unique"),
    ),
    Rule(
        "a stream of another kind whose technology's context is de-identified",
        "de_identified",
        Category.PROCESS,
        Mark.PROMISED,
        "the sensor board does it before the unit sees a reading",
        _if_any(
            "de_identified",
            lambda stream: stream.kind != "unique" and context(stream) is Identifiability.DE_IDENTIFIED,
        ),
    ),
    Rule(
        "mode none",
        "raw_data",
        Category.PROCESS,
        Mark.ENFORCED,
        "nothing protects these values, so they have to be taken for what the sensor measured",
        _if_any("raw_data", lambda stream: stream.privacy.mode == "none"),
    ),
    Rule(
        'transport = "tls"',
        "transport_layer_security",
        Category.PROCESS,
        Mark.ENFORCED,
        "the publisher speaks to its broker by TLS or not at all, and no device setting changes that",
        _transport,
    ),
    Rule(
        "[[audience]] storage",
        "the same",
        Category.STORAGE,
        Mark.PROMISED,
        "numbers are stored where the unit's power ends",
        _storage,
    ),
    Rule(
        "[[audience]] access",
        "the same",
        Category.ACCESS,
        Mark.PROMISED,
        "access is given where the unit's power ends",
        _access,
    ),
    Rule(
        "[access] denied",
        "the same",
        Category.ACCESS,
        Mark.PROMISED,
        "access is refused where the unit's power ends",
        _denied,
    ),
    Rule(
        "[[audience]] kept",
        "data_retained, with its duration",
        Category.RETENTION,
        Mark.PROMISED,
        "the receiver deletes, not the unit",
        _retention,
    ),
)
"""Every derivation. Within a category, elements stand in the order of the rules, technologies in that of what they reveal."""
