"""What a resident reads first: short English sentences, each with who stands behind it. Pure. First form.

Every number comes from the disclosure's policy; no sentence has more than `MAX_WORDS` words. A sentence marked PROMISED begins with
that word, so that the difference survives plain text.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from agent.disclosure.datachain import Disclosure
from agent.disclosure.rules import Mark
from agent.errors import DisclosureError
from agent.policy.model import CountPrivacy, Policy
from agent.policy.vocabulary import TECHNOLOGIES, Identifiability
from agent.policy.words import day_words, exact_words, root_words, time_words

MAX_WORDS = 20

_PURPOSES: Mapping[str, str] = {
    "accessibility": "equal access for everyone",
    "agency_interaction": "letting people interact with the place",
    "arts_culture": "arts and culture",
    "commerce": "buying and selling",
    "connectivity": "connecting devices to a network",
    "dining": "food and meals",
    "ecology": "watching over nature",
    "energy_efficiency": "saving energy",
    "enforcement": "enforcing rules",
    "entry": "controlling entry",
    "fire_emergency": "fire and emergency services",
    "health": "health",
    "inform": "informing the public",
    "logistics": "moving goods",
    "mobility": "how people get around",
    "planning_decision_making": "planning and decisions",
    "research_development": "research and testing",
    "safety_security": "safety and security",
    "social": "meeting other people",
    "switch": "switching equipment on and off",
    "waste_management": "waste and recycling",
    "water_efficiency": "saving water",
    "wayfinding_services": "finding the way and services",
}

_TECHNOLOGIES: Mapping[str, str] = {
    "de_identified_image": "a camera for still pictures, made unrecognisable",
    "de_identified_video": "a video camera, made unrecognisable",
    "identifiable_image": "a camera for still pictures that can show who somebody is",
    "identifiable_video": "a video camera that can show who somebody is",
    "induction_loop": "an induction loop in the ground",
    "li_dar": "a laser that measures distances",
    "motion_detector": "a motion detector",
    "non_identifiable_video": "a video camera too coarse to show who somebody is",
    "passive_infrared_sensor": "an infrared sensor for body heat",
    "piezoelectric_sensor": "a pressure sensor",
    "radar": "a radar",
    "ultrasonic_level_sensor": "an ultrasonic distance sensor",
    "weighing_scale": "a scale",
}

_ACCESS: Mapping[str, str] = {
    "available_for_resale": "the numbers may be sold on",
    "available_to_3rd_parties": "other organisations may see the numbers",
    "available_to_download": "anyone may download the numbers",
    "available_to_the_accountable_organization": "the responsible organisation sees the numbers",
    "available_to_vendor": "the supplier of the technology sees the numbers",
    "not_available_to_me": "the numbers are not available to you",
    "not_available_to_the_accountable_organization": "the responsible organisation does not see the numbers",
    "not_available_to_vendor": "the supplier of the technology does not see the numbers",
}

_STORAGE: Mapping[str, str] = {
    "backed_up_internationally": "copies of the numbers are kept in another country",
    "backed_up_locally": "copies of the numbers are kept in this jurisdiction",
    "shared_storage_and_governance": "several organisations store and govern the numbers together",
    "stored_locally": "the numbers are stored in this jurisdiction",
    "stored_on_3rd_party_cloud": "the numbers are stored with a cloud company",
    "stored_primarily_internationally": "the numbers are stored mainly in another country",
    "stored_primarily_locally": "the numbers are stored mainly in this jurisdiction",
}

_IDENTIFIABILITY: Mapping[Identifiability, str] = {
    Identifiability.IDENTIFIABLE: "its sensor can identify people.",
    Identifiability.DE_IDENTIFIED: "its sensor could identify people, and removes that before the unit counts.",
    Identifiability.NON_IDENTIFIABLE: "its sensor cannot identify people.",
}


@dataclass(frozen=True, slots=True)
class Statement:
    """One sentence and who stands behind it."""

    text: str
    mark: Mark


def sentences(disclosure: Disclosure) -> tuple[str, ...]:
    """The statements as text; promised ones begin with "Promised: "."""
    return tuple(
        statement.text if statement.mark is Mark.ENFORCED else f"Promised: {statement.text}"
        for statement in statements(disclosure)
    )


def statements(disclosure: Disclosure) -> tuple[Statement, ...]:
    """Who, why, what, how protected, how long, who sees it, where to ask, and what is not done; in that order."""
    policy = disclosure.policy
    return (
        *_who(policy),
        *_why(policy),
        *_what(policy),
        *_protection(policy),
        *_how_long(policy),
        *_who_sees(policy),
        *_feedback(policy),
        *_not_done(),
    )


def _enforced(*texts: str) -> Iterator[Statement]:
    return (Statement(text, Mark.ENFORCED) for text in texts)


def _promised(*texts: str) -> Iterator[Statement]:
    return (Statement(text, Mark.PROMISED) for text in texts)


def _who(policy: Policy) -> Iterable[Statement]:
    unit = policy.unit
    yield from _enforced(f"This is {unit.name}, at {unit.site} in {unit.city}.")
    if policy.demo:
        yield from _enforced("This is a demonstration, with shorter notice and a shorter period than a real unit.")
    yield from _promised(f"its operator calls it {policy.title}.", f"responsible is {policy.accountable.name}.")


def _why(policy: Policy) -> Iterable[Statement]:
    yield from _promised(*(f"it is here for {_PURPOSES[purpose]}." for purpose in policy.purposes))


def _what(policy: Policy) -> Iterable[Statement]:
    for technology in dict.fromkeys(stream.technology for stream in policy.streams):
        yield from _promised(f"it senses with {_TECHNOLOGIES[technology]}.")
    for context in dict.fromkeys(TECHNOLOGIES[stream.technology] for stream in policy.streams):
        yield from _promised(_IDENTIFIABILITY[context])
    for stream in policy.streams:
        classes = [name.replace("_", " ") for name in stream.classes]
        for start in range(0, len(classes), 4):
            yield from _enforced(f"It counts: {', '.join(classes[start : start + 4])}.")
        yield from _enforced(f"It sends one number for each of these every {_every(stream.window_s)}.")
    yield from _enforced("Single readings stay in its memory and are never stored or sent.")


def _protection(policy: Policy) -> Iterable[Statement]:
    several = len(policy.streams) > 1
    period = time_words(policy.period_s)
    for stream in policy.streams:
        privacy = stream.privacy
        if not isinstance(privacy, CountPrivacy):
            raise DisclosureError(
                f"stream {stream.name}",
                expected="kind count or duration with mode dp, which these sentences can tell",
                got=f"{stream.kind} with mode {privacy.mode}",
            )
        texts = (
            f"each number carries random noise with a standard deviation of {root_words(privacy.sigma_squared)}.",
            f"numbers below {privacy.tau} after noise are not shown.",
            f"one person's readings in {period} cost {exact_words(privacy.rho)} zCDP.",
            f"that covers {_times(privacy.m)} a person in {period}, at most {privacy.c} a window.",
        )
        yield from _enforced(*(f"In {stream.name}, {text}" if several else _capital(text) for text in texts))
    if several:
        yield from _enforced(
            f"All streams together cost at most {exact_words(policy.cap_rho)} zCDP a person in {period}."
        )


def _how_long(policy: Policy) -> Iterable[Statement]:
    yield from _promised(
        f"published numbers are deleted after {time_words(policy.retention_days * 86_400)}.",
        f"a message that nobody collects expires after {time_words(policy.collect_within_s)}.",
    )
    yield from _enforced(
        f"It counts only after {time_words(policy.notice_s)} of this notice on air.",
        f"These rules begin on {day_words(policy.effective)} and end on {day_words(policy.expires)}.",
    )


def _who_sees(policy: Policy) -> Iterable[Statement]:
    yield from _promised(*(f"{_ACCESS[element]}." for element in policy.access))
    yield from _promised(*(f"{_STORAGE[element]}." for element in policy.storage))


def _feedback(policy: Policy) -> Iterable[Statement]:
    contact = policy.contact
    yield from _promised(*(f"questions and objections: {where}" for _, where in contact.feedback_channels))
    others = [where for channel, where in contact.channels if channel not in contact.feedback]
    yield from _promised(*(f"contact: {where}" for where in others))


def _not_done() -> Iterable[Statement]:
    yield from _enforced(
        "It counts nothing while this notice is not on air.",
        "It sends no picture, sound, name, number plate or device address.",
        "It keeps no identifier, so it cannot follow anyone.",
    )


def _every(window_s: int) -> str:
    return time_words(window_s).removeprefix("1 ")


def _times(count: int) -> str:
    return "1 reading" if count == 1 else f"{count} readings"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
