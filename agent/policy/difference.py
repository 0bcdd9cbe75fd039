"""Two policies compared in plain words, for a council that decides on the second. Pure.

Each line is one sentence with both values, below a heading that says which way it goes. The last line says when the new policy may act, by
the order that the unit itself uses (agent/policy/order).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

from agent.policy.model import Policy
from agent.policy.modes import (
    CoarsePrivacy,
    CountPrivacy,
    Guaranteed,
    NoPrivacy,
    ScalarPrivacy,
    ThresholdOnly,
    UniquePrivacy,
)
from agent.policy.order import Change, Comparison, Direction, compare
from agent.policy.words import root_words, time_words

NEW, GONE = "New", "Gone"
FINER, COARSER = "Finer", "Coarser"
LESS_NOISE, MORE_NOISE = "Less noise", "Noisier"
LONGER, SHORTER = "Longer kept", "Shorter kept"
LESS_PROTECTED, MORE_PROTECTED = "Less protected", "Better protected"
MORE_TIME, LESS_TIME = "In force for longer", "In force for less long"
OTHERWISE = "Otherwise different"
ANOTHER = "For another unit"

HEADINGS = (
    *(ANOTHER, NEW, GONE, FINER, COARSER, LESS_NOISE, MORE_NOISE, LESS_PROTECTED, MORE_PROTECTED),
    *(LONGER, SHORTER, MORE_TIME, LESS_TIME, OTHERWISE),
)
"""In the order in which they are printed."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """How one field's change is said: the headings for a stricter and a laxer change, and the words, with {before} and {after}."""

    words: str
    stricter: str = OTHERWISE
    laxer: str = OTHERWISE


def _other(words: str) -> Sentence:
    return Sentence(words)


def _more(words: str) -> Sentence:
    return Sentence(words, MORE_PROTECTED, LESS_PROTECTED)


def _finer(words: str) -> Sentence:
    return Sentence(words, COARSER, FINER)


_LOW = "Values below {after} are published as {after}; so far the lowest was {before}."
_HIGH = "Values above {after} are published as {after}; so far the highest was {before}."
_STEP = "Values are published in steps of {after} instead of {before}."
_CROWD = "The smallest crowd shown is {after} instead of {before}"
_CEILING = "The highest number it can show is {after} instead of {before}."
_RHO = "One person's readings of a period may reveal {after} zCDP instead of {before}."
_COVERED = "The protection holds for a person counted up to {after} times in a %s instead of {before}."

SENTENCES: Mapping[str, Sentence] = {
    "Policy.title": _other("Its title is “{after}” instead of “{before}”."),
    "Policy.vendors": Sentence("The vendors stand in the order {after} instead of {before}.", GONE, NEW),
    "Policy.purposes": Sentence("The purposes stand in the order {after} instead of {before}.", GONE, NEW),
    "Policy.denied": _more(""),
    "Policy.licence": _other("The numbers are published under the licence {after} instead of {before}."),
    "Policy.community_labels": _other("The community labels are {after} instead of {before}."),
    "Policy.transport": _more(
        "The way to the broker must be {after} instead of {before} (tls: nobody on the way can read along)."
    ),
    "Policy.effective": Sentence("It begins on {after} instead of {before}.", LESS_TIME, MORE_TIME),
    "Policy.expires": Sentence("It ends on {after} instead of {before}.", LESS_TIME, MORE_TIME),
    "Policy.notice_s": _more("A change is announced on air for {after} instead of {before}."),
    "Policy.period_s": _other("A person's budget is counted over {after} instead of {before}."),
    "Policy.cap_rho": _more(
        "All streams together may reveal {after} zCDP about one person in a period instead of {before}."
    ),
    "Policy.collect_within_s": Sentence(
        "A message that nobody fetched expires after {after} instead of {before}.", SHORTER, LONGER
    ),
    "Policy.demo": _more("Is it only a demonstration: {after} instead of {before}."),
    "Unit.city": Sentence("It is for the city {after} instead of {before}.", ANOTHER, ANOTHER),
    "Unit.site": Sentence("It is for the site {after} instead of {before}.", ANOTHER, ANOTHER),
    "Unit.name": Sentence("It is for the unit {after} instead of {before}.", ANOTHER, ANOTHER),
    "Location.text": _other("Its place is called “{after}” instead of “{before}”."),
    "Location.precision": _finer("Its place is named to the precision {after} instead of {before}."),
    "Organisation.name": _other("Responsible is {after} instead of {before}."),
    "Contact.address": Sentence("The postal address is “{after}” instead of “{before}”.", NEW, GONE),
    "Contact.phone": Sentence("The telephone is {after} instead of {before}.", NEW, GONE),
    "Contact.email": Sentence("The e-mail address is {after} instead of {before}.", NEW, GONE),
    "Contact.url": Sentence("The web page is {after} instead of {before}.", NEW, GONE),
    "Contact.feedback": _more(""),
    "Audience.access": _other("They are {after} instead of {before}."),
    "Audience.storage": _more(""),
    "Audience.retention_days": Sentence(
        "They delete what they received after {after} instead of {before}.", SHORTER, LONGER
    ),
    "Stream.channel": _other("It takes the channel {after} of the sensor board instead of {before}."),
    "Stream.kind": _other("It publishes numbers of the kind {after} instead of {before}."),
    "Stream.technology": _other("It senses with the technology {after} instead of {before}."),
    "Stream.classes": Sentence("", GONE, NEW),
    "Stream.bins_s": _other("Its bins end at {after} seconds instead of {before}."),
    "Stream.quantity": _other("It measures {after} instead of {before}."),
    "Stream.window_s": _finer("It publishes every {after} instead of every {before}."),
    "Stream.grace_s": _other("It waits {after} for late readings instead of {before}."),
    "Stream.receivers": Sentence("", GONE, NEW),
    "Stream.privacy": _more("Its numbers are protected in the mode {after} instead of {before}."),
    "CountPrivacy.rho": _more(_RHO),
    "CountPrivacy.m": _more(_COVERED % "period"),
    "CountPrivacy.c": _more(_COVERED % "window"),
    "CountPrivacy.max_count": _finer(_CEILING),
    "CountPrivacy.totals": _other("Running totals are published {after} instead of {before}."),
    "Threshold.k": _more(f"{_CROWD}, before the margin for noise."),
    "Threshold.z": _more("The margin for noise is {after} standard deviations instead of {before}."),
    "ThresholdOnly.k": _more(f"{_CROWD}."),
    "ThresholdOnly.max_count": _finer(_CEILING),
    "UniquePrivacy.epsilon": _more(
        "One person's presence in a window may reveal an epsilon of {after} instead of {before}."
    ),
    "UniquePrivacy.m": _more(
        "The protection holds for a person present in up to {after} windows of a period instead of {before}."
    ),
    "UniquePrivacy.addresses": _more(
        "The protection holds for a person with up to {after} addresses in a window instead of {before}."
    ),
    "ScalarPrivacy.rho": _more(_RHO),
    "ScalarPrivacy.m": _more(
        "The protection holds for a person who touches up to {after} samples of a period instead of {before}."
    ),
    "ScalarPrivacy.c": _more(
        "The protection holds for a person who touches up to {after} samples of a window instead of {before}."
    ),
    "ScalarPrivacy.low": _other(_LOW),
    "ScalarPrivacy.high": _other(_HIGH),
    "ScalarPrivacy.step": _finer(_STEP),
    "ScalarPrivacy.samples": _finer("Each value is the mean of {after} samples instead of {before}."),
    "ScalarPrivacy.percentiles": _finer(""),
    "ScalarPrivacy.percentiles_rho": _other("Of that, the percentiles may reveal {after} zCDP instead of {before}."),
    "CoarsePrivacy.aggregation": _other("Each value is the {after} of its samples instead of the {before}."),
    "CoarsePrivacy.min_samples": _more("A value is published from {after} samples upwards instead of {before}."),
    "CoarsePrivacy.low": _finer(_LOW),
    "CoarsePrivacy.high": _finer(_HIGH),
    "CoarsePrivacy.step": _finer(_STEP),
    "NoPrivacy.low": _finer(_LOW),
    "NoPrivacy.high": _finer(_HIGH),
    "NoPrivacy.step": _finer(_STEP),
}
"""Field -> how its change is said. Members that come and go have sentences of their own (`MEMBERS`)."""

MEMBERS: Mapping[str, tuple[str, str]] = {
    "Policy.vendors": ("A new vendor is {after}.", "{before} is no longer a vendor."),
    "Policy.purposes": ("A new purpose is {after}.", "{before} is no longer a purpose."),
    "Policy.denied": ("It newly promises: {after}.", "It no longer promises: {before}."),
    "Contact.feedback": (
        "Questions and objections newly go by {after}.",
        "Questions and objections no longer go by {before}.",
    ),
    "Audience.storage": ("Of storage they newly say: {after}.", "Of storage they no longer say: {before}."),
    "Stream.classes": ("It newly counts {after} apart.", "It no longer counts {before}."),
    "ScalarPrivacy.percentiles": (
        "It newly publishes the percentile {after}.",
        "It no longer publishes the percentile {before}.",
    ),
    "Stream.receivers": ("The audience {after} newly receives it.", "The audience {before} no longer receives it."),
}

_IDS = (
    *("Policy.purposes", "Policy.denied", "Audience.access", "Audience.storage"),
    *("Stream.classes", "Stream.quantity", "Stream.technology"),
)
"""Fields whose values are ids, read without their underscores."""


def difference(old: Policy, new: Policy) -> str:
    """Lines of text, grouped by heading; the last line says when the new policy may act."""
    comparison = compare(old, new)
    lines = [*_head(old, new)]
    said = [*(_say(change, old, new) for change in comparison.changes), *_noise(old, new)]
    for heading in HEADINGS:
        if below := [line for place, line in said if place == heading]:
            lines += ["", heading, *(f"  - {line}" for line in below)]
    if not said:
        lines += ["", "Nothing changes in what the unit does or what its organisation promises."]
    return "\n".join([*lines, "", verdict(comparison, new)]) + "\n"


def verdict(comparison: Comparison, new: Policy) -> str:
    """When the new policy may act."""
    if any(change.field.startswith("Unit.") for change in comparison.changes):
        return "These are policies of different units: the one cannot follow the other."
    if comparison.stricter:
        why = "Every change is stricter" if comparison.changes else "Nothing becomes less strict"
        return f"{why}: version {new.version} may act at once."
    not_stricter = sum(change.direction is not Direction.STRICTER for change in comparison.changes)
    some = "1 change is" if not_stricter == 1 else f"{not_stricter} changes are"
    return f"{some} not stricter: version {new.version} waits for {time_words(comparison.wait_s)} of notice on air."


def _head(old: Policy, new: Policy) -> Iterator[str]:
    unit = new.unit
    yield f"The policy of {unit.path}: version {new.version} instead of version {old.version}."
    if new.version <= old.version:
        yield f"A unit that has version {old.version} refuses it: its version is not higher."


def _say(change: Change, old: Policy, new: Policy) -> tuple[str, str]:
    """(heading, sentence) of one change."""
    head, *rest = change.path.split(".")
    part = rest[0] if head in ("streams", "audiences") else ""
    if change.field in ("Policy.streams", "Policy.audiences"):
        policy, heading = (new, NEW) if change.after else (old, GONE)
        return heading, _stream(policy, part, heading) if head == "streams" else _audience(policy, part, heading)
    sentence = SENTENCES[change.field]
    words = sentence.words
    if change.field in MEMBERS and not (change.before and change.after):
        words = MEMBERS[change.field][0 if change.after else 1]
    before, after = change.before, change.after
    if change.field in _IDS:
        before, after = before.replace("_", " "), after.replace("_", " ")
    text = words.format(before=before, after=after)
    heading = {Direction.STRICTER: sentence.stricter, Direction.LAXER: sentence.laxer}.get(change.direction, OTHERWISE)
    if sentence.stricter == ANOTHER:
        heading = ANOTHER
    return heading, f"{_named(head, part)}{text}"


def _named(head: str, part: str) -> str:
    return "" if not part else f"{part}: " if head == "streams" else f"Audience {part}: "


def _stream(policy: Policy, name: str, heading: str) -> str:
    stream = next(one for one in policy.streams if one.name == name)
    what = stream.quantity.replace("_", " ") or ", ".join(stream.classes) or "devices"
    return (
        f"The stream {name} is {heading.lower()}: {stream.kind} of {what} every {time_words(stream.window_s)}, by "
        f"{stream.technology.replace('_', ' ')}, protected in the mode {stream.privacy.mode}."
    )


def _audience(policy: Policy, name: str, heading: str) -> str:
    audience = next(one for one in policy.audiences if one.name == name)
    kept = time_words(audience.retention_days * 86_400)
    return f"The audience {name} is {heading.lower()}: {audience.access.replace('_', ' ')}, kept for {kept}."


def _noise(old: Policy, new: Policy) -> Iterator[tuple[str, str]]:
    """What follows from several fields together: the noise on a number and the smallest number shown."""
    before = {stream.name: stream.privacy for stream in old.streams}
    for stream in new.streams:
        one, other = before.get(stream.name), stream.privacy
        if type(one) is not type(other) or isinstance(other, ThresholdOnly | CoarsePrivacy | NoPrivacy):
            continue
        assert isinstance(one, Guaranteed)
        here, there = _variance(one), _variance(other)
        if here != there:
            yield (
                MORE_NOISE if there > here else LESS_NOISE,
                f"{stream.name}: The noise on each number has a standard deviation of {root_words(there)} instead of {root_words(here)}.",
            )
        if (
            isinstance(one, ScalarPrivacy)
            and isinstance(other, ScalarPrivacy)
            and one.percentiles
            and other.percentiles
        ):
            was, becomes = one.cell_sigma_squared, other.cell_sigma_squared
            if was != becomes:
                yield (
                    MORE_NOISE if becomes > was else LESS_NOISE,
                    f"{stream.name}: The noise in each cell behind its percentiles has a standard deviation of "
                    f"{root_words(becomes)} samples instead of {root_words(was)}.",
                )
        if not isinstance(one, ScalarPrivacy) and not isinstance(other, ScalarPrivacy) and one.tau != other.tau:
            yield (
                MORE_PROTECTED if other.tau > one.tau else LESS_PROTECTED,
                f"{stream.name}: Numbers are shown from {_shown(other)} instead of {_shown(one)} upwards, noise included.",
            )


def _shown(privacy: CountPrivacy | UniquePrivacy) -> str:
    return str(privacy.tau) if privacy.threshold.hides else "any number"


def _variance(privacy: Guaranteed) -> Fraction:
    """Of what is published, in its own unit squared."""
    return privacy.mean_sigma_squared if isinstance(privacy, ScalarPrivacy) else privacy.sigma_squared
