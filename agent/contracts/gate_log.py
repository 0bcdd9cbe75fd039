"""What the gate did, as one entry of the release log tells it (AN-120 to AN-122). Pure.

{0: 10, 1: began, 2: [[instant, reason], …], 3: [changes, seconds open, until, reason]}; 3 only where there were more changes than 2 can list.
Instants are Unix seconds. The first of 2 is how the gate stood before: at `began` for the first entry of a process, else as the entry before
it ended, so that a missing one shows. Each holds until the next, the last until the next entry's first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agent.contracts.public import Reason
from agent.errors import EncodingError
from agent.wire import cbor

MAX_CHANGES = 64
"""Listed in one entry; a gate that flaps more often between two closings of windows is told in sum. Then an entry is under 2 KiB."""

MAX_INSTANT = 1 << 40
"""Beyond any instant of a window."""


@dataclass(frozen=True, slots=True)
class Change:
    """From `at` on the gate was open, or closed for this reason."""

    at: int
    reason: Reason


@dataclass(frozen=True, slots=True)
class Further:
    """`count` more changes, up to `until`, from when on `reason` held: between the last change listed and then it was open for `open_s` seconds."""

    count: int
    open_s: int
    until: int
    reason: Reason


def last_change(changes: Sequence[Change], further: Further | None) -> Change:
    """How these left the gate, and since when."""
    return Change(further.until, further.reason) if further is not None else changes[-1]


@dataclass(frozen=True, slots=True)
class GateChanges:
    """An entry. `began`: when this history began, with a process or a clock that was set before any window."""

    began: int
    changes: tuple[Change, ...]
    further: Further | None = None

    @property
    def last(self) -> Change:
        """How it left the gate, and since when."""
        return last_change(self.changes, self.further)

    @property
    def at(self) -> int:
        """The newest instant that it speaks of."""
        return max(self.began, self.last.at, *(change.at for change in self.changes))

    def encode(self) -> bytes:
        """The entry, deterministic CBOR."""
        item: dict[int, Any] = {
            0: 10,
            1: self.began,
            2: [[change.at, change.reason.value] for change in self.changes],
        }
        if self.further is not None:
            more = self.further
            item[3] = [more.count, more.open_s, more.until, more.reason.value]
        return cbor.encode(item)


def decode_gate_changes(item: dict[Any, Any]) -> GateChanges:
    """The inverse of `encode`, of the decoded map; raises EncodingError."""
    try:
        changes = tuple(_change(each) for each in item[2])
        if not 1 <= len(changes) <= MAX_CHANGES or len(item) != (4 if 3 in item else 3):
            raise ValueError
        further = None
        if 3 in item:
            count, open_s, until, reason = item[3]
            further = Further(_whole(count), _whole(open_s), _whole(until), Reason(reason))
        return GateChanges(_whole(item[1]), changes, further)
    except (KeyError, TypeError, ValueError):
        raise EncodingError(
            "changes of the gate",
            expected=f"an instant and 1 to {MAX_CHANGES} pairs of instant and reason",
            got="another shape",
        ) from None


def _change(item: Any) -> Change:
    at, reason = item
    return Change(_whole(at), Reason(reason))


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise TypeError
    if not 0 <= value < MAX_INSTANT:
        raise ValueError
    return value
