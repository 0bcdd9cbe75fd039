"""What the release log says so far: policies and where they stand, last window of each stream, budget, what is owed. Pure.

Invariant: a Ledger is a function of the log's entries alone, in order (DESIGN.md I4); a window that is in it is never released
again (I5).
"""

from collections.abc import Iterable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise

from agent.anonymizer.budget import Budget, terms_of
from agent.anonymizer.strength import charge, own
from agent.anonymizer.transition import changes, strength
from agent.contracts.carried import LastWindow, State
from agent.contracts.log import (
    NOTHING,
    Carried,
    Charge,
    Decision,
    Entry,
    Gap,
    LogLost,
    PolicyTaken,
    Release,
    carrying,
    newest_instant,
)
from agent.errors import LogDamaged, WindowReleased
from agent.policy.adopt import Adoption, Taken, fold
from agent.policy.model import Stream
from agent.policy.modes import Guaranteed
from agent.wire.tiles import WIDTH


@dataclass(frozen=True, slots=True)
class Standing:
    """`strength` of a window's noise (agent.anonymizer.strength), its `charge`, and whether it is `withheld`: after a change of policy a window
    has no numbers where neither noise nor a charge could stand for what was promised before."""

    strength: Fraction
    charge: Charge | None
    withheld: bool


class Ledger:
    """The fold of a release log."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self.size = 0
        self.releases = 0
        self.adoption = Adoption()
        self.budget = Budget()
        self._last_end: dict[str, int] = {}
        self._lost_until = 0
        self._newest: dict[str, int] = {}
        self._decisions: tuple[int, ...] = ()
        for entry in entries:
            self.fold(entry)

    @classmethod
    def restored(cls, size: int, state: State, decisions: Iterable[Entry]) -> "Ledger":
        """The ledger of `size` entries that came to `state`; `decisions` are the entries that it names, in order. Raises LogDamaged."""
        ledger = cls()
        for entry in decisions:
            ledger.adoption = fold(ledger.adoption, entry)
        upcoming = ledger.adoption.upcoming
        ledger.adoption = replace(
            ledger.adoption,
            upcoming=replace(upcoming, served_s=state.served) if upcoming is not None else None,
            newest_at=state.newest_at,
        )
        ledger.size, ledger.releases = size, state.releases
        ledger._decisions, ledger._lost_until = state.decisions, state.lost_until
        ledger._last_end = {each.stream: each.end for each in state.last}
        ledger._newest = {each.stream: each.release for each in state.last if each.release >= 0}
        taken = ((one.effective, terms_of(one.policy)) for one in ledger.adoption.taken)
        ledger.budget = Budget.restored(taken, state.spent)
        return ledger

    @property
    def carries(self) -> bool:
        """Must the next entry carry the state? It is the first of a bundle."""
        return self.size > 0 and self.size % WIDTH == 0

    @property
    def state(self) -> State:
        """What the entries come to, for the next bundle's first entry."""
        upcoming = self.adoption.upcoming
        return State(
            self.releases,
            tuple(LastWindow(name, end, self._newest.get(name, -1)) for name, end in sorted(self._last_end.items())),
            self._lost_until,
            self._decisions,
            upcoming.served_s if upcoming is not None else 0,
            self.adoption.newest_at,
            self.budget.state(),
        )

    def copy(self) -> "Ledger":
        """The same state, to be folded on independently; its size does not grow with the log's."""
        same = copy(self)
        same.budget = self.budget.copy()
        same._last_end = dict(self._last_end)
        same._newest = dict(self._newest)
        return same

    @property
    def newest_at(self) -> int:
        """The newest instant (Unix seconds) that anything logged has seen: the clock is wrong before it; 0 for none."""
        return max(self.last_logged_end, self.adoption.newest_at, self._lost_until)

    @property
    def last_logged_end(self) -> int:
        """End (Unix seconds) of the newest window logged for any stream; 0 for none."""
        return max(self._last_end.values(), default=0)

    def first_free(self, one: Taken, stream: Stream) -> int:
        """Start of the first window of a stream of `one` that no logged one reaches into, nor one that may be among what a log lost."""
        return self._first_after(max(self._last_end.get(stream.name, 0), self._lost_until), one, stream)

    @staticmethod
    def _first_after(last: int, one: Taken, stream: Stream) -> int:
        return max(one.effective, -(-last // stream.window_s) * stream.window_s)

    def standing(self, stream: Stream, start: int) -> Standing:
        """How a window of `stream` that starts at `start` stands: the noise that it must have, and what it costs with that."""
        needed = strength(self.adoption.taken, stream, start)
        if not isinstance(stream.privacy, Guaranteed):
            return Standing(own(stream), None, needed is None)
        presence = self.budget.presence(stream.name, start)
        assert needed is not None, "noise can be as strong as any other"
        assert presence is not None, "a guarantee is about a presence"
        cost = charge(stream, needed, presence.m, presence.c)
        return Standing(own(stream), NOTHING, True) if cost is None else Standing(needed, cost, False)

    def charge_of(self, stream: Stream, start: int) -> Charge | None:
        """What a window of `stream` that starts at `start` costs; None for a mode without a guarantee."""
        return self.standing(stream, start).charge

    def require_unreleased(self, stream: str, start: int) -> None:
        """Raise WindowReleased when a window of `stream` from `start` on, or a later one, is already logged."""
        last = self._last_end.get(stream)
        if last is not None and start < last:
            raise WindowReleased(f"stream {stream}: the window from {start} on is released, or its time has passed")

    def gaps(self, until: Mapping[tuple[int, str], int], now_s: int) -> Iterator[Gap]:
        """The windows that are in no entry although their time has passed, in order: charged as if released, never released (I4).

        `until` has for (a policy's effective instant, stream) the start of the window that closes next; a policy that has ended and is
        not in it owes all its windows. A stream's windows under a newer policy wait until those under the older one have closed.
        """
        taken = self.adoption.taken
        unfinished: set[str] = set()
        for one, following in pairwise((*taken, None)):
            assert one is not None
            end = following.effective if following is not None else None
            for stream in one.policy.streams:
                high = until.get((one.effective, stream.name), end if end is not None and end <= now_s else None)
                if high is None or stream.name in unfinished:
                    continue
                if end is not None and high < end:
                    unfinished.add(stream.name)
                yield from self._gaps(one, stream, min(high, end) if end is not None else high)

    def _gaps(self, one: Taken, stream: Stream, high: int) -> Iterator[Gap]:
        low = self._first_after(self._last_end.get(stream.name, 0), one, stream)
        while low < high:
            at = next(iter(changes(self.adoption.taken, low, high)), high)
            count = -(-(at - low) // stream.window_s)
            yield Gap(stream.name, low, stream.window_s, count, self.charge_of(stream, low))
            low += count * stream.window_s

    def fold(self, entry: Entry) -> None:
        """Add the next entry; raise LogDamaged when it cannot follow those before it."""
        if self.carries and entry != carrying(self.state):
            raise LogDamaged(
                f"log entry {self.size}",
                expected="what the entries before it come to, as the first of a bundle",
                got="another state" if isinstance(entry, Carried) else "none",
            )
        self.adoption = fold(self.adoption, entry)
        if isinstance(entry, Decision):
            self._decisions = (*self._decisions, self.size)
        match entry:
            case Carried() if not self.carries:
                raise LogDamaged(f"log entry {self.size}", expected="a state first in a bundle only", got="one inside")
            case PolicyTaken():
                latest = self.adoption.latest
                assert latest is not None
                self.budget.change_terms(latest.effective, terms_of(latest.policy))
            case Release():
                self._window(entry.stream, entry.window_start, entry.window_s, entry.charge, 1)
                self.releases += 1
                self._newest[entry.stream] = self.size
            case Gap():
                self._window(entry.stream, entry.first_start, entry.window_s, entry.charge, entry.count)
            case LogLost() if self.size:
                raise LogDamaged(f"log entry {self.size}", expected="a loss as the first entry only", got="one later")
            case LogLost():
                self._lost_until = newest_instant(entry)
            case _:
                pass
        self.size += 1

    def _window(self, stream: str, start: int, window_s: int, charge: Charge | None, count: int) -> None:
        last = self._last_end.get(stream)
        if window_s < 1 or count < 1 or (last is not None and start < last):
            raise LogDamaged(
                f"log entry {self.size}",
                expected="windows of a stream in order, each once",
                got="one again or out of order",
            )
        if charge is None:
            self._require_unguaranteed(stream, start)
        elif charge.rho:
            if not self.adoption.taken:
                raise LogDamaged(f"log entry {self.size}", expected="a policy before the first charge", got="none")
            self.budget.charge(stream, start, window_s, charge.rho, count)
        self._last_end[stream] = start + count * window_s

    def _require_unguaranteed(self, stream: str, start: int) -> None:
        """Null for a charge is no charge at all: right where the policy guarantees nothing, lost budget anywhere else (I4)."""
        holds = self.adoption.in_force(start)
        known = {one.name: one for one in holds.policy.streams} if holds is not None else {}
        if stream not in known or isinstance(known[stream].privacy, Guaranteed):
            raise LogDamaged(
                f"log entry {self.size}",
                expected=f"a charge for stream {stream[:32]!a}, whose policy guarantees something",
                got="null",
            )
