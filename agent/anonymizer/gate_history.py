"""What the gate did since the process began, and how much of it the log tells (AN-120 to AN-122). Pure.

Invariants: instants never go back; while windows are open they are those of the clock by which these are released; nothing that is told
depends on a reading, as no reason of the gate does; memory is bounded however often the gate changes.
"""

from collections.abc import Iterable, Iterator, Sequence

from agent.contracts.gate_log import MAX_CHANGES, Change, Further, GateChanges, last_change
from agent.contracts.log import Carried, Entry, Gap
from agent.contracts.public import Reason


class GateHistory:
    """Fed with every decision about the gate; gives the next entry. Nothing may be noted between an entry's making and its commit."""

    def __init__(self) -> None:
        self._began: int | None = None
        self._changes: list[Change] = []
        self._further: Further | None = None
        self._newest = 0
        self._owed = True

    def note(self, at: int | None, reason: Reason, *, measuring: bool) -> None:
        """The gate is so at `at` (Unix seconds), None while the clock is not trusted. `measuring`: windows are open, so that a clock that goes
        back takes effect when it has caught up; before there are any the history begins anew with it."""
        if at is not None and at < self._newest and not measuring:
            self._began, self._further, self._owed = None, None, True
        if self._began is None:
            if at is None:
                return
            self._began = self._newest = at
            self._changes = [Change(at, reason)]
            return
        if at is not None:
            self._newest = max(self._newest, at)
        if reason is not self._last.reason:
            self._add(reason)

    def entry(self, *, anew: bool = False) -> GateChanges | None:
        """What the log does not tell yet, in one entry, `anew` also when there is nothing; None while the time was never known."""
        if self._began is None or not (anew or self._owed or self._further is not None or len(self._changes) > 1):
            return None
        return GateChanges(self._began, tuple(self._changes), self._further)

    def logged(self, entries: Iterable[Entry]) -> None:
        """These are in the log."""
        for entry in entries:
            match entry:
                case GateChanges():
                    self._changes, self._further, self._owed = [entry.last], None, False
                case Gap() | Carried():
                    self._owed = True
                case _:
                    pass

    @property
    def _last(self) -> Change:
        return last_change(self._changes, self._further)

    def _add(self, reason: Reason) -> None:
        before = self._last
        if self._further is None and len(self._changes) < MAX_CHANGES:
            self._changes.append(Change(self._newest, reason))
            return
        more = self._further or Further(0, 0, before.at, before.reason)
        open_s = self._newest - before.at if before.reason is Reason.OPEN else 0
        self._further = Further(more.count + 1, more.open_s + open_s, self._newest, reason)


class Telling:
    """What one batch of entries tells before its Releases: the gate's history, and again how the gate stands after each Gap that follows;
    `others` once beside it, also when the gate did nothing new."""

    def __init__(self, history: GateHistory, others: Sequence[Entry] = ()) -> None:
        self._history = history
        self._others = others
        self._seen = 0
        self._told: GateChanges | None = None

    def due(self, drafted: Sequence[Entry]) -> Iterator[Entry]:
        """The entries that must come before the Release that is made next, after what is `drafted`."""
        gap = any(isinstance(entry, Gap) for entry in drafted[self._seen :])
        self._seen = len(drafted)
        if self._told is None:
            self._told = self._history.entry(anew=gap)
            if self._told is not None:
                yield self._told
        elif gap:
            yield GateChanges(self._told.began, (self._told.last,))
        yield from self._others
        self._others = ()
