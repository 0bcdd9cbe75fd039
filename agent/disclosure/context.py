"""What a policy's sensors tell of persons, and the colour of its sign that follows from it. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from agent.policy.model import Policy, Stream
from agent.policy.vocabulary import TECHNOLOGIES, Identifiability

MOST_REVEALING_FIRST = (Identifiability.IDENTIFIABLE, Identifiability.DE_IDENTIFIED, Identifiability.NON_IDENTIFIABLE)


def context(stream: Stream) -> Identifiability:
    """What this stream's sensor tells of persons after what the stream's kind does with it."""
    return Identifiability.DE_IDENTIFIED if stream.kind == "unique" else TECHNOLOGIES[stream.technology]


def contexts(policy: Policy) -> Mapping[str, Identifiability]:
    """Technology -> the most revealing context of the streams that it feeds, the most revealing technology first."""
    found = {
        technology: min(
            (context(stream) for stream in policy.streams if stream.technology == technology),
            key=MOST_REVEALING_FIRST.index,
        )
        for technology in dict.fromkeys(stream.technology for stream in policy.streams)
    }
    return dict(sorted(found.items(), key=lambda item: MOST_REVEALING_FIRST.index(item[1])))


def colour(policy: Policy) -> str:
    """DTPR's colour of the policy's sign, by the first of `COLOURS` that holds."""
    return next(rule.colour for rule in COLOURS if rule.holds(frozenset(contexts(policy).values())))


@dataclass(frozen=True, slots=True)
class ColourRule:
    """One line of the table of colours."""

    colour: str
    when: str
    reason: str
    holds: Callable[[frozenset[Identifiability]], bool]


COLOURS = (
    ColourRule(
        "yellow",
        "a technology whose context is identifiable",
        "its raw data show who somebody is",
        lambda found: Identifiability.IDENTIFIABLE in found,
    ),
    ColourRule(
        "blue",
        "a technology whose context is de-identified",
        "its raw data could show who somebody is, and nothing that does is kept",
        lambda found: Identifiability.DE_IDENTIFIED in found,
    ),
    ColourRule("white", "any other", "nothing that shows who somebody is is collected", lambda _: True),
)
