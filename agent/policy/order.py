"""Which of two policies is stricter for the people near the unit: a partial order over the table in agent/policy/directions. Pure.

Invariant: `compare(old, new).stricter` holds only when every single difference is stricter, so that whoever could accept the old policy can accept
the new one without having been asked again. It is reflexive and transitive, and two policies that are stricter than each other enforce and
promise the same. What cannot be compared is never stricter.
"""

import dataclasses
import enum
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, assert_never

from agent.policy.directions import ACCESS_SENSES, TABLE, Order, Row, Sense
from agent.policy.model import Policy, Stream
from agent.policy.modes import (
    CoarsePrivacy,
    CountPrivacy,
    Guaranteed,
    NoPrivacy,
    Privacy,
    ScalarPrivacy,
    UniquePrivacy,
    worst_presence,
)


class Direction(enum.StrEnum):
    """Which way one change goes."""

    STRICTER = "stricter"
    LAXER = "laxer"
    INCOMPARABLE = "incomparable"


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. `path` names the field in the model's words, a stream by its name; `words` has both values.

    `field` is its row in the table of directions; `before` and `after` are the values as people read them, "" where there is none.
    """

    path: str
    direction: Direction
    words: str
    field: str = ""
    before: str = ""
    after: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """All differences between two policies; `stricter` when each of them is (also when there is none).

    `wait_s` is the notice that the new policy owes before it may act: none when it is stricter, else the longer of the two policies' notices, since a
    policy that shortens the notice cannot shorten its own.
    """

    stricter: bool
    changes: tuple[Change, ...]
    wait_s: int = 0


def compare(old: Policy, new: Policy) -> Comparison:
    """Every change from `old` to `new`, in the order of the model's fields."""
    changes = tuple(_taken_from_residents(change, old) for change in _part(old, new, ""))
    stricter = all(change.direction is Direction.STRICTER for change in changes)
    return Comparison(stricter, changes, 0 if stricter else max(old.notice_s, new.notice_s))


def _part(old: Any, new: Any, path: str) -> Iterator[Change]:
    """The changes between two parts of one class."""
    for field in dataclasses.fields(old):
        name = f"{type(old).__name__}.{field.name}"
        before, after = getattr(old, field.name), getattr(new, field.name)
        if before == after:
            continue
        place = f"{path}.{field.name}" if path else field.name
        if TABLE[name].order is Order.WINDOW:
            yield _changed(TABLE[name], name, place, before, after, _window(old, new))
        else:
            yield from _field(TABLE[name], name, place, before, after)


def _field(row: Row, name: str, path: str, before: Any, after: Any) -> Iterator[Change]:
    """The changes of one field whose values differ."""
    match row.order:
        case Order.BOOKKEEPING:
            return
        case Order.LESS:
            yield _changed(row, name, path, before, after, _if(after < before))
        case Order.MORE:
            yield _changed(row, name, path, before, after, _if(after > before))
        case Order.RANK:
            yield _changed(row, name, path, before, after, _if(row.ranks.index(after) > row.ranks.index(before)))
        case Order.OTHER | Order.IDENTITY:
            yield _changed(row, name, path, before, after, Direction.INCOMPARABLE)
        case Order.SET | Order.RANKED_SET | Order.SENSES:
            yield from _members(row, name, path, before, after)
        case Order.STEP:
            yield _changed(row, name, path, before, after, _step(before, after))
        case Order.OFFERED:
            way = Direction.INCOMPARABLE if before and after else _if(bool(after))
            yield _changed(row, name, path, before, after, way)
        case Order.MODE if type(before) is not type(after):
            yield _changed(row, name, path, before, after, _mode(before, after))
        case Order.PART | Order.MODE:
            yield from _part(before, after, path)
        case Order.NAMED:
            yield from _named(row, name, path, before, after)
        case Order.WINDOW:
            raise AssertionError("judged by _part")
        case _ as never:
            assert_never(never)


def _members(row: Row, name: str, path: str, before: tuple[Any, ...], after: tuple[Any, ...]) -> Iterator[Change]:
    """One change for each member gone or new, and one when those that stay are in another order that matters."""
    for member in before:
        if member not in after:
            direction = _leaving(row.senses[member]) if row.senses else Direction.STRICTER
            yield Change(path, direction, f"{_place(path, row.noun)}: no longer {member}", name, before=str(member))
    for member in after:
        if member not in before:
            direction = _joining(row.senses[member]) if row.senses else Direction.LAXER
            yield Change(path, direction, f"{_place(path, row.noun)}: newly {member}", name, after=str(member))
    stay, then = ([member for member in one if member in other] for one, other in ((before, after), (after, before)))
    if row.order is Order.RANKED_SET and stay != then:
        yield _changed(row, name, path, stay, then, Direction.INCOMPARABLE)


def _named(row: Row, name: str, path: str, before: tuple[Any, ...], after: tuple[Any, ...]) -> Iterator[Change]:
    """Parts matched by name; their order says nothing."""
    now = {part.name: part for part in after}
    for part in before:
        if part.name not in now:
            direction = _leaving(row.senses[part.access]) if row.senses else Direction.STRICTER
            yield Change(f"{path}.{part.name}", direction, f"{row.noun} {part.name} is gone", name, before=part.name)
        else:
            yield from _part(part, now[part.name], f"{path}.{part.name}")
    known = {part.name for part in before}
    for part in after:
        if part.name not in known:
            direction = _joining(row.senses[part.access]) if row.senses else Direction.LAXER
            yield Change(f"{path}.{part.name}", direction, f"{row.noun} {part.name} is new", name, after=part.name)


def _window(old: Stream, new: Stream) -> Direction:
    """A longer window of k whole old ones is stricter when one contribution to it costs at most 1/k of what it cost.

    Then, for contributions v_1 … v_k of anybody in those k windows, (v_1 + … + v_k)^2 / k <= v_1^2 + … + v_k^2: the new window costs no more
    than the old ones together, however often that person passes (zCDP of a Gaussian, PRIVACY.md 1.2). Windows begin at
    multiples of their length since the epoch, so k old ones make up a new one exactly. Values published as measured can only lose
    by being averaged for longer. A window of uniques is judged never: a longer one is fewer numbers, and identifiers followed for longer; nor is
    one of a count with running totals, where this sum does not hold.
    """
    if isinstance(old.privacy, UniquePrivacy):
        return Direction.INCOMPARABLE
    if new.window_s < old.window_s:
        return Direction.LAXER
    times, rest = divmod(new.window_s, old.window_s)
    match old.privacy, new.privacy:
        case (CountPrivacy(totals=one), CountPrivacy(totals=other)) if one or other:
            less = False  # with running totals a contribution tells on all later windows
        case (ScalarPrivacy() as one, ScalarPrivacy() as other):
            parts = ((one.mean_rho, other.mean_rho), (one.percentiles_rho, other.percentiles_rho))
            here, there = worst_presence(one.m, one.c), worst_presence(other.m, other.c)
            less = all(times * after / there <= before / here for before, after in parts)
        case (CountPrivacy() | ScalarPrivacy() as one, CountPrivacy() | ScalarPrivacy() as other):
            less = times * other.charge <= one.charge
        case (NoPrivacy(), NoPrivacy() | ScalarPrivacy() | CoarsePrivacy(aggregation="mean")):
            less = True
        case _:
            less = False
    return Direction.STRICTER if less and not rest else Direction.INCOMPARABLE


def _mode(old: Privacy, new: Privacy) -> Direction:
    """Another mode of protection: stricter when it only adds to what was published as measured, laxer when it gives up a guarantee."""
    if isinstance(old, Guaranteed) and not isinstance(new, Guaranteed):
        return Direction.LAXER
    match old, new:
        case (NoPrivacy(), ScalarPrivacy() | CoarsePrivacy(aggregation="mean")):
            within = old.low <= new.low and new.high <= old.high
            fine = within and (new.step == old.step or _step(old.step, new.step) is Direction.STRICTER)
            return Direction.STRICTER if fine else Direction.INCOMPARABLE
        case (CoarsePrivacy(), NoPrivacy()):
            return Direction.LAXER
        case _:
            return Direction.INCOMPARABLE


def _step(before: Fraction, after: Fraction) -> Direction:
    if after < before:
        return Direction.LAXER
    return Direction.STRICTER if (after / before).denominator == 1 else Direction.INCOMPARABLE


def _taken_from_residents(change: Change, old: Policy) -> Change:
    """A stream that the public no longer receives is no gain that nobody need be asked about (Sense.OPENS)."""
    if change.field == "Stream.receivers" and change.direction is Direction.STRICTER:
        access = {audience.name: audience.access for audience in old.audiences}.get(change.before, "")
        if ACCESS_SENSES.get(access) is Sense.OPENS:
            return dataclasses.replace(change, direction=Direction.INCOMPARABLE)
    return change


def _if(stricter: bool) -> Direction:
    return Direction.STRICTER if stricter else Direction.LAXER


def _joining(sense: Sense) -> Direction:
    match sense:
        case Sense.PERMITS | Sense.OPENS:
            return Direction.LAXER
        case Sense.PROTECTS:
            return Direction.STRICTER
        case Sense.UNCLEAR:
            return Direction.INCOMPARABLE
        case _ as never:
            assert_never(never)


def _leaving(sense: Sense) -> Direction:
    match sense:
        case Sense.PERMITS:
            return Direction.STRICTER
        case Sense.PROTECTS:
            return Direction.LAXER
        case Sense.OPENS | Sense.UNCLEAR:
            return Direction.INCOMPARABLE
        case _ as never:
            assert_never(never)


def _changed(row: Row, name: str, path: str, before: Any, after: Any, direction: Direction) -> Change:
    old, new = row.show(before), row.show(after)
    return Change(path, direction, f"{_place(path, row.noun)}: from {old} to {new}", name, old, new)


def _place(path: str, noun: str) -> str:
    """Where a change is, in words: with the name of the stream or audience it is in."""
    head, *rest = path.split(".")
    return f"{head[:-1]} {rest[0]}, {noun}" if head in ("streams", "audiences") else noun
