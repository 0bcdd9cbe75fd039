"""The state that the first entry of each bundle but the first carries (contracts/carried), worked out again for the audit: OP-33, OP-34. Pure.

From the entries alone, and not by the unit's code. Of the odometer nothing is judged: `dtpr-agent privacy report` adds it up.
"""

import contextlib
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from itertools import zip_longest

from agent.contracts.aggregate import END_START
from agent.contracts.carried import Run as SaidRun
from agent.contracts.carried import State
from agent.contracts.log import Carried, Charge, Decision, Entry, Gap, LogLost, Release, newest_instant
from agent.errors import LogDamaged
from agent.operations.account import MAX_CHARGED, Account
from agent.operations.findings import Findings, Kind
from agent.operations.policies import NEVER, Policies
from agent.operations.runs import Run, Runs, canonical
from agent.policy.values import DAY_S
from agent.wire.tiles import WIDTH


class CarriedStates:
    """Sees every entry that can be read, and judges those that carry a state; `policies` and `account` are folded by the caller."""

    def __init__(self, policies: Policies, account: Account, findings: Findings) -> None:
        self._policies = policies
        self._account = account
        self._findings = findings
        self._releases = 0
        self._decisions: list[int] = []
        self._last: dict[str, int] = {}
        self._newest_release: dict[str, int] = {}
        self._lost_until = 0
        self._charged: dict[str, Runs[Fraction]] = {}
        self._newest_charged = 0

    def resume(self, state: State) -> None:
        """Go on from a state that is `possible`."""
        self._releases, self._decisions = state.releases, list(state.decisions)
        self._last = {each.stream: each.end for each in state.last}
        self._newest_release = {each.stream: each.release for each in state.last if each.release >= 0}
        self._lost_until, self._newest_charged = state.lost_until, state.spent.newest
        for run in state.spent.recent:
            self._charged.setdefault(run.stream, Runs()).add(_run(run))

    def due(self, entry: Entry | None, index: int) -> None:
        """Is this the kind of entry that stands here? None for one that cannot be read."""
        if (index > 0 and index % WIDTH == 0) is not isinstance(entry, Carried):
            words = "a state inside a bundle" if isinstance(entry, Carried) else "a bundle that begins with no state"
            self._findings.add(Kind.CARRIED_STATE, f"entry {index}", words)
        elif isinstance(entry, Carried) and entry.state is not None:
            for words in self._wrong(entry.state):
                self._findings.add(Kind.CARRIED_STATE, f"entry {index}", words)

    def see(self, entry: Entry, index: int) -> None:
        """One more entry, already folded into policies and account."""
        match entry:
            case Release():
                self._releases += 1
                self._newest_release[entry.stream] = index
                self._window(entry.stream, entry.window_start, entry.window_s, 1, entry.charge)
            case Gap():
                self._window(entry.stream, entry.first_start, entry.window_s, entry.count, entry.charge)
            case LogLost():
                with contextlib.suppress(LogDamaged):  # found as another fault
                    self._lost_until = newest_instant(entry)
            case _ if isinstance(entry, Decision):
                self._decisions.append(index)
            case _:
                pass

    def _window(self, stream: str, start: int, window_s: int, count: int, charge: Charge | None) -> None:
        if window_s < 1 or count < 1:
            return  # found as malformed
        last = start + (count - 1) * window_s
        self._last[stream] = last + window_s
        if charge is None or not charge.rho:
            return
        self._newest_charged = max(self._newest_charged, last)
        settled = self._policies.settled <= self._newest_charged
        oldest = self._newest_charged - 2 * (self._account.period_s(start) if settled else DAY_S)
        kept = Run(start, window_s, count, charge.rho).after(oldest)
        if kept is not None and sum(runs.size for runs in self._charged.values()) < MAX_CHARGED:
            self._charged.setdefault(stream, Runs()).add(kept)  # with more the account is overfull
        for runs in self._charged.values():
            for _ in runs.drop(oldest):
                pass

    def _wrong(self, state: State) -> Iterator[str]:
        last = {each.stream: each.end for each in state.last}
        newest = {each.stream: each.release for each in state.last if each.release >= 0}
        served = self._policies.served_s
        for what, said, found in (
            ("Releases", state.releases, self._releases),
            ("ends of windows", last, self._last),
            ("newest Releases", newest, self._newest_release),
            ("an earlier loss", state.lost_until, self._lost_until),
            ("decisions", list(state.decisions), self._decisions),
            ("notice served", state.served, served),
            ("the newest instant", state.newest_at, self._policies.newest_at),
            ("the newest charge", state.spent.newest, self._newest_charged),
        ):
            if said != found:
                yield f"{what}: it says {said}, the entries before it {found}"[:200]
        if not self._charges_as_said(state):
            yield "the charges of the last two periods are not those of the entries before it"

    def _charges_as_said(self, state: State) -> bool:
        counts = Counter[str]()
        for run in state.spent.recent:
            counts[run.stream] += max(0, run.count)
        found = +Counter({stream: len(windows) for stream, windows in self._charged.items()})
        settled = self._policies.settled <= self._newest_charged
        if not (+counts == found if settled else +counts <= found):
            return False
        said: dict[str, list[Run[Fraction]]] = {}
        for each in state.spent.recent:
            if each.count < 1:
                return False
            said.setdefault(each.stream, []).append(_run(each))
        oldest = min(
            (run.start for runs in said.values() for run in runs), default=NEVER
        )  # what a period was is not known
        for stream in {*said, *found}:
            kept = (run if settled else run.after(oldest - 1) for run in self._charged.get(stream, ()))
            for one, other in zip_longest(canonical(filter(None, kept)), canonical(said.get(stream, ()))):
                if one != other:
                    return False
        return True


def possible(state: State, index: int) -> str | None:
    """Can this be what `index` entries come to, as far as that can be told without them? In words what cannot; None when all can."""
    spent, ends = state.spent, {each.stream: each.end for each in state.last}
    horizon = spent.newest - 2 * DAY_S
    charged = sum(run.count for run in spent.recent if run.count > 0)
    newest = [run.start + (run.count - 1) * run.step for run in spent.recent]
    for right, words in (
        (0 <= state.releases <= index, "a number of Releases"),
        (len(ends) == len(state.last) and all(0 <= end < END_START for end in ends.values()), "ends of windows"),
        (all(-1 <= each.release < index for each in state.last), "newest Releases"),
        (sorted({*state.decisions}) == list(state.decisions), "places of decisions"),
        (all(0 <= place < index for place in state.decisions), "places of decisions"),
        (0 <= state.served < END_START and 0 <= state.newest_at < END_START, "notice and its instant"),
        (0 <= state.lost_until < END_START, "an earlier loss"),
        (charged <= MAX_CHARGED, "more charges than two periods have windows"),
        (all(run.count > 0 and run.rho > 0 and (run.step > 0 or run.count == 1) for run in spent.recent), "charges"),
        (all(horizon < run.start for run in spent.recent), "charges of more than two periods"),
        (max(newest, default=spent.newest) == spent.newest, "the newest charge"),
        (
            all(last < ends.get(run.stream, 0) for run, last in zip(spent.recent, newest, strict=True)),
            "charges after the last window",
        ),
    ):
        if not right:
            return f"no entries come to this: {words}"
    return None


def _run(said: SaidRun) -> Run[Fraction]:
    return Run(said.start, said.step, said.count, said.rho)
