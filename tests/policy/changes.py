"""Every field of a policy changed, one at a time, to another value that is valid where it stands; for tests of what a change must do.

Fields are found in the model itself, so that one added there without a change here is missed by `FIELDS`' count, not by nobody.
"""

import dataclasses
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain
from typing import Any

from agent.errors import PolicyError
from agent.policy import model, modes, vocabulary
from agent.policy.compile import compile_policy, decompile_policy
from agent.policy.model import Policy

CLASSES = [
    item
    for item in (*vars(model).values(), *vars(modes).values())
    if dataclasses.is_dataclass(item) and isinstance(item, type)
]
FIELDS = tuple(f"{item.__name__}.{field.name}" for item in CLASSES for field in dataclasses.fields(item))
"""Class.field of every value in the model."""

_WORDS = {
    "Location.precision": vocabulary.PRECISIONS,
    "Audience.access": vocabulary.GIVEN,
    "Policy.licence": vocabulary.LICENCES,
    "Policy.transport": vocabulary.TRANSPORTS,
    "Stream.technology": tuple(vocabulary.TECHNOLOGIES),
    "Stream.quantity": tuple(vocabulary.QUANTITIES),
    "CoarsePrivacy.aggregation": ("mean", "median"),
}
_LISTS = {
    "Contact.feedback": model.CHANNELS,
    "Audience.storage": vocabulary.STORAGE,
    "Policy.purposes": vocabulary.PURPOSES,
    "Policy.denied": vocabulary.DENIED,
    "Policy.community_labels": vocabulary.COMMUNITY_LABELS,
    "Policy.vendors": ("Another Vendor",),
    "Stream.classes": ("another",),
    "Stream.receivers": ("a0", "a1", "a2"),
}


def changes(policy: Policy) -> Iterator[tuple[str, Policy]]:
    """(Class.field, the policy with another value there) for each field of each part, wherever some other value is valid."""
    together = (
        ("Audience.name", _renamed(policy)),
        ("Stream.kind", _of_another_kind(policy)),
        ("CountPrivacy.totals", _with_or_without_totals(policy)),
        ("ScalarPrivacy.percentiles", _without_percentiles(policy)),
    )
    for name, candidates in chain(_within(policy), together):  # each is used up before the next is made
        for candidate in candidates:
            if valid(candidate) and candidate != policy:
                yield name, candidate
                break


def _renamed(policy: Policy) -> Iterator[Policy]:
    """An audience's name, changed also where streams name it as a receiver."""
    for audience in policy.audiences:
        names = {other.name: other.name for other in policy.audiences} | {audience.name: "renamed"}
        yield dataclasses.replace(
            policy,
            audiences=tuple(dataclasses.replace(one, name=names[one.name]) for one in policy.audiences),
            streams=tuple(
                dataclasses.replace(stream, receivers=tuple(names[name] for name in stream.receivers))
                for stream in policy.streams
            ),
        )


def _of_another_kind(policy: Policy) -> Iterator[Policy]:
    """A count becomes a duration and the other way round, with bins or without."""
    other = {"count": ("duration", (60,)), "duration": ("count", ())}
    for place, stream in enumerate(policy.streams):
        if stream.kind in other:
            kind, bins_s = other[stream.kind]
            privacy = stream.privacy
            if isinstance(privacy, modes.CountPrivacy):
                privacy = dataclasses.replace(privacy, totals=0)  # a duration has none
            changed = dataclasses.replace(stream, kind=kind, bins_s=bins_s, privacy=privacy)
            yield _at_stream(policy, place, changed)


def _with_or_without_totals(policy: Policy) -> Iterator[Policy]:
    """Running totals where there were none and the other way round; what they run over follows from period and window."""
    for place, stream in enumerate(policy.streams):
        if isinstance(stream.privacy, modes.CountPrivacy) and stream.kind == "count":
            totals = 0 if stream.privacy.totals else policy.period_s // stream.window_s
            privacy = dataclasses.replace(stream.privacy, totals=totals)
            yield _at_stream(policy, place, dataclasses.replace(stream, privacy=privacy))


def _without_percentiles(policy: Policy) -> Iterator[Policy]:
    """Percentiles and what they cost go together."""
    for place, stream in enumerate(policy.streams):
        if isinstance(stream.privacy, modes.ScalarPrivacy) and stream.privacy.percentiles:
            privacy = dataclasses.replace(stream.privacy, percentiles=(), percentiles_rho=Fraction(0))
            yield _at_stream(policy, place, dataclasses.replace(stream, privacy=privacy))


def _at_stream(policy: Policy, place: int, stream: model.Stream) -> Policy:
    streams = list(policy.streams)
    streams[place] = stream
    return dataclasses.replace(policy, streams=tuple(streams))


def valid(policy: Any) -> bool:
    """Does the parser accept it?"""
    try:
        return bool(decompile_policy(compile_policy(policy)) == policy)
    except PolicyError:
        return False


def _within(part: Any) -> Iterator[tuple[str, Iterator[Any]]]:
    """For each field in and below `part`, the name and lazily the versions of `part` with another value in it."""
    for field in dataclasses.fields(part):
        name, value = f"{type(part).__name__}.{field.name}", getattr(part, field.name)
        yield name, (_with(part, field.name, other) for other in _others(part, name, value))
        if dataclasses.is_dataclass(value):
            for inner, versions in _within(value):
                yield inner, (_with(part, field.name, version) for version in versions)
        elif isinstance(value, tuple) and value and dataclasses.is_dataclass(value[0]):
            for place, item in enumerate(value):
                for inner, versions in _within(item):
                    yield inner, _at(part, field.name, place, versions)


def _at(part: Any, field: str, place: int, versions: Iterator[Any]) -> Iterator[Any]:
    for version in versions:
        items = list(getattr(part, field))
        items[place] = version
        yield _with(part, field, tuple(items))


def _with(part: Any, field: str, value: Any) -> Any:
    return dataclasses.replace(part, **{field: value})


def _others(part: Any, name: str, value: Any) -> Iterator[Any]:
    """Values near `value`, of which some are valid in some policies."""
    match value:
        case _ if name in ("Contact.address", "Contact.phone", "Contact.email", "Contact.url"):
            yield f"{value}1" if value else _CHANNELS[name]
        case bool():
            yield not value
        case int():
            yield from (
                value + 1,
                value - 1,
                value * 2,
                value // 2,
                value + 86_400,
                value - 86_400,
                value * 3,
                value * 12,
            )
        case Fraction():
            yield from (
                value + Fraction(1, 1000),
                value - Fraction(1, 1000),
                value / 2,
                value * 2,
                value + 1,
                value - 1,
            )
        case str() if name in _WORDS:
            yield from (word for word in _WORDS[name] if word != value)
        case str():
            yield f"{value}1"
        case tuple() if name == "Stream.bins_s":
            yield (*value, value[-1] + 60) if value else ()
        case tuple() if name == "ScalarPrivacy.percentiles":
            yield from (value[:-1], (*value, 99)) if value else ()
        case tuple() if name in _LISTS:
            yield value[:-1]
            yield from ((*value, word) for word in _LISTS[name] if word not in value)
            yield value[::-1]
        case tuple():  # of parts
            yield value[:-1]
            yield value[::-1]
            yield (*value, dataclasses.replace(value[-1], name="another"))
        case _:
            yield from _other_parts(part, name, value)


_CHANNELS = {
    "Contact.address": "2 Main Street",
    "Contact.phone": "+1 555 0101",
    "Contact.email": "a@springfield.example",
    "Contact.url": "https://springfield.example/a",
}


def _other_parts(part: Any, name: str, value: Any) -> Iterator[Any]:
    """Another mode for a stream; any other part is changed through its own fields."""
    if name == "Stream.privacy":
        match value:
            case modes.CountPrivacy():
                yield modes.ThresholdOnly(value.threshold.k, value.max_count)
            case modes.ScalarPrivacy():
                yield modes.CoarsePrivacy("mean", 2, value.low, value.high, value.step)
            case modes.CoarsePrivacy():
                yield modes.NoPrivacy(value.low, value.high, value.step)
            case modes.NoPrivacy():
                yield modes.CoarsePrivacy("median", 2, value.low, value.high, value.step)
    else:
        yield from (version for _, versions in _within(value) for version in versions)
