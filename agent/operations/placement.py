"""Where a Release stands among those of its stream: new, repeat, conflict, late, and what is missing (OP-4, OP-5). Pure."""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import TypeVar

from agent.operations.gaps import Gap, Gaps

MAX_REMEMBERED = 100_000
"""Windows, units and digests remembered, each: more units than a city has, a month of a small town's windows."""

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")
_Stream = tuple[Hashable, str]


def remember(memory: OrderedDict[_Key, _Value], key: _Key, value: _Value, cap: int = MAX_REMEMBERED) -> None:
    """Set, as the newest; the oldest goes when there are more than `cap`."""
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > cap:
        memory.popitem(last=False)


@dataclass(frozen=True, slots=True)
class Place:
    """`retry`: the same bytes again; `conflict`: other bytes for its window; `missing_before`: windows between the newest so far and this;
    None to one who gets only a part of the Releases.

    `awaited`: the unit says that late Releases are still to come, so those may be among them. `lost` are gaps that nobody waits for any
    more because there is no room to remember them.
    """

    retry: bool
    conflict: bool
    missing_before: int | None
    awaited: bool
    lost: tuple[Gap, ...]


class Placement:
    """All streams of all units; a unit is any key. Not `whole`: others get a part of the Releases (OP-14), and what is missing here is no gap."""

    def __init__(self, *, whole: bool = True) -> None:
        self._whole = whole
        self._windows: OrderedDict[tuple[Hashable, str, int], bytes] = OrderedDict()
        self._reached: OrderedDict[_Stream, int] = OrderedDict()
        self._behind: OrderedDict[Hashable, bool] = OrderedDict()
        self._gaps: OrderedDict[_Stream, Gaps] = OrderedDict()

    def place(
        self, unit: Hashable, stream: str, start: int, window_s: int, fingerprint: bytes, *, believed: bool
    ) -> Place:
        """A Release came. What failed verification is not remembered: a forger must not make a true Release a conflict."""
        window = (unit, stream, start)
        known = self._windows.get(window)
        if known is not None or not believed:
            return Place(known == fingerprint, known not in (None, fingerprint), 0 if self._whole else None, False, ())
        remember(self._windows, window, fingerprint)
        if not self._whole:
            return Place(False, False, None, False, ())
        reached = self._reached.get((unit, stream))
        remember(self._reached, (unit, stream), max(start + window_s, reached or 0))
        behind = self._behind.get(unit, False)
        gaps = self._gaps.get((unit, stream))
        if reached is not None and start > reached:  # under a new policy windows may have another length
            gap = Gap.between(reached, start, window_s)
            if behind and gaps is None:
                gaps = Gaps()
                remember(self._gaps, (unit, stream), gaps)
            lost = gaps.passed(reached, start, window_s) if behind and gaps is not None else []
            return Place(False, False, gap.windows, behind, tuple(lost))
        return Place(False, False, 0, False, tuple(gaps.came(start, window_s)) if gaps is not None else ())

    def says(self, unit: Hashable, *, backlog: bool) -> list[tuple[str, Gap]]:
        """The unit says whether late Releases are still to come. Returns what is lost when none are: streams and gaps."""
        remember(self._behind, unit, backlog)
        if backlog:
            return []
        streams = [stream for stream in self._gaps if stream[0] == unit]
        return [(stream[1], gap) for stream in streams for gap in self._gaps.pop(stream).over()]
