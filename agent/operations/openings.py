"""When the gate was open, by the log, and what of it a window can have measured: OP-50 and OP-51 of SPEC.md. Pure.

Written from the specification, not from the unit's code. A window's coverage is measured by one process, so only the run of the history that is
under way counts for the Releases that follow it. Memory is bounded: of a run at most MAX_SPANS spans are known, before them all counts as open.
"""

from bisect import bisect_left, bisect_right
from collections import Counter, deque
from dataclasses import dataclass
from itertools import pairwise

from agent.contracts.aggregate import NotCollected
from agent.contracts.gate_log import Change, GateChanges
from agent.contracts.log import Release
from agent.contracts.public import Reason
from agent.operations.findings import Findings, Kind
from agent.operations.layout import Pack

TOLERANCE_S = 1
"""UTC that moves by no more than this at once is steered, not stepped (AN-4): a span counts from so long before to so long after."""

UNTOLD_RELEASES = 64
"""Of a bundle's first Releases so many may come before the gate's history is told anew (AN-121): one batch of a unit that catches up."""

MAX_SPANS = 100_000

RESTART = "restart"
"""The gate was open when its history ended and another began: a closing without a reason of its own."""

NEWEST = 100
"""Changes that are kept to be shown."""


@dataclass(frozen=True, slots=True)
class GateFacts:
    """Of all that is told: seconds it is about, seconds open in them, changes (and how the gate stood at each start), closings by reason, and the
    newest of the changes."""

    told_s: int
    open_s: int
    changes: int
    closings: dict[str, int]
    newest: tuple[Change, ...]


class Openings:
    """Folds the history of the gate and judges Releases by it. `whole` is False for a log that is read from its middle on: what came before the
    first entry is not known then, and nobody's fault."""

    def __init__(self, findings: Findings, *, whole: bool = True) -> None:
        self.untold = 0
        """Releases that were not judged, for nothing was known."""
        self._findings = findings
        self._whole = whole
        self._began: int | None = None
        self._last: Change | None = None
        self._told = False
        self._bundle: int | None = None
        self._spans = _Spans(0)
        self._reached = 0
        self._told_s = self._open_s = self._changes = 0
        self._closings = Counter[str]()
        self._newest: deque[Change] = deque(maxlen=NEWEST)

    def fold(self, entry: GateChanges, where: str) -> None:
        """The next entry of the history; `where` names it."""
        first, self._told, self._bundle = entry.changes[0], True, None
        again = (
            first.at == entry.began and first != self._last
        )  # in the second of the one before: that process died at once
        if entry.began != self._began or again:
            self._begin(entry, where)
        elif first != self._last:
            self._findings.add(Kind.GATE_UNTOLD, where, "it does not go on where the entry before it ended")
        self._ordered(entry, where)
        for before, after in pairwise(entry.changes):
            self._change(before, after)
            if before.reason is Reason.OPEN:
                self._spans.add(before.at, after.at)
        if entry.further is not None:
            self._further(entry)
        self._last = entry.last

    def gap(self) -> None:
        """Windows without Releases: a process may have begun."""
        self._told = False

    def bundle(self) -> None:
        """A bundle begins."""
        self._bundle = 0

    def release(self, entry: Release, pack: Pack, where: str) -> None:
        """A window, whose pack says how much of it was measured."""
        end = entry.window_start + entry.window_s
        self._reached = max(self._reached, end)
        if self._bundle is not None:
            self._bundle += 1
            if self._bundle == UNTOLD_RELEASES + 1:
                self._findings.add(Kind.GATE_UNTOLD, where, "a bundle that does not say how the gate stands")
        least = 50 if pack.reason is None else 0
        measured_s = max(pack.coverage_percent, least) * entry.window_s / 100
        if not measured_s or pack.reason is NotCollected.CLOCK:
            return
        if not self._told:
            if self._whole or self._last is not None:
                self._findings.add(Kind.GATE_UNTOLD, where, f"{entry.stream} at {entry.window_start}")
            else:
                self.untold += 1
            return
        open_s = self._open_between(entry.window_start, end)
        if measured_s > open_s:
            self._findings.add(
                Kind.WHILE_CLOSED,
                where,
                f"{entry.stream} at {entry.window_start}: {measured_s:g} s measured, the gate was open for {open_s} s at most",
            )

    @property
    def facts(self) -> GateFacts | None:
        """What was told, up to the newest window; None when nothing was."""
        if self._last is None:
            return None
        tail = max(0, self._reached - self._last.at)
        open_tail = tail if self._last.reason is Reason.OPEN else 0
        return GateFacts(
            self._told_s + tail,
            self._open_s + open_tail,
            self._changes,
            dict(self._closings.most_common()),
            tuple(self._newest),
        )

    def _begin(self, entry: GateChanges, where: str) -> None:
        first = entry.changes[0]
        late = not self._whole and self._last is None
        if first.at != entry.began and not late:
            self._findings.add(Kind.GATE_UNTOLD, where, f"what was from {entry.began} on is missing")
        if self._last is not None:
            self._pass(self._last, min(self._reached, first.at))
            if self._last.reason is Reason.OPEN:
                self._closings[RESTART] += 1
        self._began, self._spans = entry.began, _Spans(first.at if late else 0)
        self._changes += 1
        self._newest.append(first)

    def _ordered(self, entry: GateChanges, where: str) -> None:
        instants = [entry.began, *(change.at for change in entry.changes)]
        more = entry.further
        if more is not None:
            instants.append(more.until)
        if instants != sorted(instants):
            self._findings.add(Kind.GATE_BACK, where, "an instant before the one that precedes it")
        elif more is not None and more.open_s > more.until - entry.changes[-1].at:
            self._findings.add(Kind.GATE_BACK, where, f"open for {more.open_s} s of fewer")

    def _change(self, before: Change, after: Change) -> None:
        self._pass(before, after.at)
        self._changes += 1
        self._newest.append(after)
        if before.reason is Reason.OPEN:
            self._closings[after.reason.value] += 1

    def _pass(self, state: Change, until: int) -> None:
        passed = max(0, until - state.at)
        self._told_s += passed
        self._open_s += passed if state.reason is Reason.OPEN else 0

    def _further(self, entry: GateChanges) -> None:
        """Each of the openings that are not listed may have been a second longer than whole seconds tell, and the tolerance."""
        more, before = entry.further, entry.changes[-1]
        assert more is not None
        self._spans.add(before.at, more.until, more.open_s + (more.count + 1) * (2 * TOLERANCE_S + 1))
        self._told_s += max(0, more.until - before.at)
        self._open_s += more.open_s
        self._changes += more.count
        self._newest.append(entry.last)
        if more.reason is not Reason.OPEN:
            self._closings[more.reason.value] += 1

    def _open_between(self, low: int, high: int) -> int:
        """Seconds at most."""
        found = self._spans.between(low, high)
        if self._last is not None and self._last.reason is Reason.OPEN:
            found += max(0, high - max(low, self._last.at - TOLERANCE_S))
        return min(found, high - low)


class _Spans:
    """Spans in their order, each with the seconds of it that count; of what is before `known_from` all seconds count."""

    def __init__(self, known_from: int) -> None:
        self._known_from = known_from
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._before: list[int] = [0]

    def add(self, start: int, end: int, amount: int | None = None) -> None:
        """From the second of `start` through that of `end`; `amount` where not all of it counts."""
        start = max(start - TOLERANCE_S, self._ends[-1] if self._ends else start - TOLERANCE_S)
        end = end + 1 + TOLERANCE_S
        if end <= start:
            return
        length = end - start
        self._starts.append(start)
        self._ends.append(end)
        self._before.append(self._before[-1] + (length if amount is None else min(length, amount)))
        if len(self._starts) > MAX_SPANS:
            half = MAX_SPANS // 2
            self._known_from = self._ends[half - 1]
            del self._starts[:half], self._ends[:half], self._before[:half]

    def between(self, low: int, high: int) -> int:
        """Seconds that count from `low` to `high`."""
        unknown = max(0, min(high, self._known_from) - low)
        first, after = bisect_right(self._ends, low), bisect_left(self._starts, high)
        if first >= after:
            return unknown
        found = self._before[after] - self._before[first]
        for place in {first, after - 1}:  # of those at the rim only what is inside
            inside = min(high, self._ends[place]) - max(low, self._starts[place])
            found -= max(0, self._before[place + 1] - self._before[place] - inside)
        return unknown + found
