"""Which key of a unit signed which part of its log (OP-54 to OP-56). Pure.

A log says itself where its key changed: an entry holds what the old key said of the new one. An auditor is given at least one key of the unit; the
others follow from these entries, forwards and backwards, and where that leads beyond what was given it is said.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from agent.contracts.log import KEY_ROTATED, KeyRotated, decode_entry
from agent.contracts.rotation import Rotation, open_rotation
from agent.errors import BadInput, LogDamaged
from agent.operations.findings import Findings, Kind

MAX_ROTATIONS = 100
"""Of a log's signing key, which may each have signed what the next did not: one every month for eight years."""

_NEVER = 2**63


@dataclass(frozen=True, slots=True)
class Course:
    """Of the log named `origin`: `keys` in the order in which they signed, the first one from the first entry on; `starts` has for each where it begins, and `rotations` what was
    said there, by entry."""

    origin: str
    keys: tuple[bytes, ...]
    starts: tuple[int, ...] = (0,)
    rotations: dict[int, Rotation] = field(default_factory=dict)

    def number(self, index: int) -> int:
        """Which of the keys signs entry `index`, and a checkpoint whose newest entry it is."""
        return max(0, bisect_right(self.starts, index) - 1)

    def signer(self, attempt: Callable[[bytes], bool | None], index: int) -> int | None:
        """The number of the key for which `attempt(key)` holds, the one that should be first; None when it holds for none."""
        first = self.number(index)
        others = [number for number in reversed(range(len(self.keys))) if number != first]
        return next((number for number in (first, *others) if attempt(self.keys[number])), None)

    def given_up(self, number: int, index: int) -> bool:
        """Had the key of this `number` been given up at entry `index`?"""
        return number < self.number(index)


def unplaced(keys: Sequence[bytes]) -> Course:
    """Without a log: any of the keys given may have signed anything."""
    return Course("", tuple(reversed(keys)), (0, *(_NEVER for _ in keys[1:])))


def rotation_entries(entries: Iterator[bytes], first: int = 0) -> list[tuple[int, bytes]]:
    """The messages of those that are KeyRotated, each with its index; `first` is that of the first entry."""
    found = []
    for index, data in enumerate(entries, first):
        if data.startswith(KEY_ROTATED):
            try:
                entry = decode_entry(data)
            except BadInput:
                continue  # found as malformed
            if isinstance(entry, KeyRotated):
                found.append((index, entry.message))
                if len(found) > MAX_ROTATIONS:
                    most = f"at most {MAX_ROTATIONS} changes of a unit's signing key"
                    raise LogDamaged(f"entry {index}", expected=most, got="more")
    return found


def course_of(
    origin: str,
    unit: str,
    given: Sequence[bytes],
    found: Sequence[tuple[int, bytes]],
    signed: Callable[[bytes], bool],
    findings: Findings,
    begin: int = 0,
) -> tuple[Course, list[str]]:
    """The keys of the log named `origin` of `unit` in which these rotations were `found`, and what cannot be judged of them, in words. `given` are the unit's keys as the city says,
    the present one first; `signed(key)`: did it sign the log's own checkpoint? Where the log is
    known from entry `begin` on, keys older than the first one there signed before, nobody knows how far."""
    chain = list(_linked(unit, found, findings))
    if not chain:
        key = next((key for key in given if signed(key)), given[0])
        words = [f"the log is signed with {_short(key)}, which the city has given up: not rotated yet?"]
        return _since(begin, given, Course(origin, (key,))), words if key != given[0] else []
    keys = (chain[0][1].old, *(rotation.new for _, rotation in chain))
    known = [number for number, key in enumerate(keys) if key in given]
    if not known:
        _find(findings, chain[0][0], "none of its keys is one that was given for this unit")
        return Course(origin, (given[0],)), []
    course = _since(begin, given, Course(origin, keys, (0, *(index for index, _ in chain)), dict(chain)))
    if known[-1] == len(chain):
        told = f"the log is signed with {_short(keys[-1])}, which the city has given up: not rotated yet?"
        return course, [] if given[0] in keys else [told]
    index, last = chain[-1][0], _short(keys[-1])
    if given[0] not in keys:
        _find(findings, index, f"it leads to {last}, and the city's key for this unit is {_short(given[0])}")
        return course, []
    return course, [f"entry {index}: from there on {last} signs, for which the old key vouches and none that was given"]


def _since(begin: int, given: Sequence[bytes], course: Course) -> Course:
    """With those of the keys `given`, the present one first, that are older than the first one of a course known from entry `begin` on."""
    first = course.keys[0]
    older = [*reversed(given[given.index(first) + 1 :])] if begin and first in given else []
    if not older:
        return course
    starts = (0, *(begin for _ in older), *course.starts[1:])
    return Course(course.origin, (*older, *course.keys), starts, course.rotations)


def _linked(unit: str, found: Sequence[tuple[int, bytes]], findings: Findings) -> Iterator[tuple[int, Rotation]]:
    """Those that each follow the one before; the others are findings."""
    used: list[bytes] = []
    for index, message in found:
        try:
            rotation = open_rotation(message)
        except BadInput as bad:
            _find(findings, index, str(bad)[:200])
            continue
        if rotation.unit != unit:
            _find(findings, index, f"it is about {rotation.unit}"[:200])
        elif used and rotation.old != used[-1]:
            _find(findings, index, f"it gives up {_short(rotation.old)}, and {_short(used[-1])} signed before it")
        elif rotation.new in used:
            _find(findings, index, f"it goes back to {_short(rotation.new)}, which was given up")
        else:
            used += [rotation.new] if used else [rotation.old, rotation.new]
            yield index, rotation


def _find(findings: Findings, index: int, words: str) -> None:
    findings.add(Kind.KEY_ROTATION, f"entry {index}", words)


def _short(key: bytes) -> str:
    return f"key {key[:8].hex()}…"
