"""The privacy budget: a zCDP filter over every span of one period, and a lifetime odometer. Pure and exact (Fractions).

Invariant: no span of one period costs a person more than the cap, the sum over streams of the worst case for presence (m, c):
floor(m/c) largest charges times c^2 plus the next times (m mod c)^2 (PRIVACY.md 1.2, PROOF.md Lemma 8). A window belongs to a
span when it starts in it. The result depends on the log's entries alone; a filter may choose by earlier outputs (PRIVACY.md 1.1).
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise

from agent.contracts.carried import Held, Run, Spent
from agent.policy.model import Policy, Stream
from agent.policy.modes import CountPrivacy, ScalarPrivacy, UniquePrivacy

Charges = Mapping[Fraction, int]
"""rho of one reading in a window -> number of windows charged with it."""


@dataclass(frozen=True, slots=True)
class Presence:
    """At most `m` readings of one person in a period and `c` in one window of this stream; for unique visitors an address in a window is one.
    `of` says what is measured: (kind, quantity, channel, class) of each class."""

    m: int
    c: int
    of: frozenset[tuple[str, str, str, str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Terms:
    """What a policy says about the budget."""

    period_s: int
    cap_rho: Fraction
    presence: Mapping[str, Presence]


def terms_of(policy: Policy) -> Terms:
    """The budget's part of a policy."""
    presence = {stream.name: _presence(stream) for stream in policy.streams}
    return Terms(policy.period_s, policy.cap_rho, {name: each for name, each in presence.items() if each is not None})


def _presence(stream: Stream) -> Presence | None:
    of = frozenset((stream.kind, stream.quantity, stream.channel, name) for name in stream.classes or ("",))
    match stream.privacy:
        case CountPrivacy() | ScalarPrivacy() as privacy:
            return Presence(privacy.m, privacy.c, of)
        case UniquePrivacy() as privacy:
            return Presence(privacy.m * privacy.addresses, privacy.addresses, of)
        case _:
            return None


def worst_case(charges: Charges, presence: Presence) -> Fraction:
    """The largest sum of v_t^2 rho_t over whole v_t <= c with sum <= m."""
    full, rest = divmod(presence.m, presence.c)
    cost = Fraction(0)
    for rho in sorted(charges, reverse=True):
        taken = min(full, charges[rho])
        cost += taken * presence.c**2 * rho
        full -= taken
        if charges[rho] > taken:
            return cost + rest**2 * rho
    return cost


class Budget:
    """Charges so far, those of the last two periods in detail."""

    def __init__(self) -> None:
        self._terms: list[tuple[int, Terms]] = []
        self._known: dict[str, Presence] = {}
        self._recent: dict[str, dict[int, Fraction]] = defaultdict(dict)
        self._held: dict[str, Counter[Fraction]] = defaultdict(Counter)
        self._newest = 0
        self._finished = Fraction(0)
        self._periods: dict[int, dict[str, Counter[Fraction]]] = {}

    def state(self) -> Spent:
        """Everything but what follows from the terms, so that `restored` is the same budget."""
        held = [
            Held(period, stream, count, rho)
            for period, streams in self._periods.items()
            for stream, charges in streams.items()
            for rho, count in charges.items()
            if count
        ]
        return Spent(
            self._newest,
            self._finished,
            tuple(run for stream in sorted(self._recent) for run in _runs(stream, self._recent[stream])),
            tuple(sorted(held, key=lambda each: (each.period, each.stream, each.rho))),
        )

    @classmethod
    def restored(cls, terms: Iterable[tuple[int, Terms]], spent: Spent) -> "Budget":
        """The budget whose `state` was `spent` after these changes of terms."""
        budget = cls()
        for at, each in terms:
            budget.change_terms(at, each)
        budget._newest, budget._finished = spent.newest, spent.finished
        for run in spent.recent:
            for number in range(run.count):
                budget._recent[run.stream][run.start + number * run.step] = run.rho
            budget._held[run.stream][run.rho] += run.count
        for held in spent.periods:
            budget._periods.setdefault(held.period, defaultdict(Counter))[held.stream][held.rho] += held.count
        return budget

    def copy(self) -> "Budget":
        """The same charges, to be added to independently."""
        return deepcopy(self)

    def change_terms(self, at: int, terms: Terms) -> None:
        """A policy is in force from `at` on (Unix seconds). For one period after it the stricter of both applies, item by item."""
        for period, streams in sorted(self._periods.items()):
            for stream in sorted(streams):
                self._finish(period, stream)
        self._terms.append((at, terms))
        self._known.update(terms.presence)

    def charge(self, stream: str, start: int, window_s: int, rho: Fraction, count: int = 1) -> None:
        """Add `count` windows from `start` on, each at `rho` a reading; windows of a stream come in order, each once."""
        if rho == 0:
            return
        period_s = self._in_force(start).period_s
        last = start + (count - 1) * window_s
        self._newest = max(self._newest, last)
        horizon = self._newest - 2 * period_s
        skipped = max(0, -(-(horizon - start) // window_s))
        for at in range(start + skipped * window_s, last + 1, window_s):
            self._recent[stream][at] = rho
            self._held[stream][rho] += 1
        for name, windows in self._recent.items():
            for at in _expired(windows, horizon):
                self._held[name][windows.pop(at)] -= 1
        self._count(stream, start, window_s, rho, count, period_s)

    def _count(self, stream: str, start: int, window_s: int, rho: Fraction, count: int, period_s: int) -> None:
        """Add the windows to the periods of the odometer. A Gap may have as many periods as a wrong clock likes: those that no other stream's
        charge is in, and that are over at its end, have floor(period / window) of its windows or one more, and are added up without a walk."""
        last = start + (count - 1) * window_s
        first, final = start // period_s, last // period_s
        shared = [period for period in self._periods if first < period < final]
        alone, inside_alone = final - first + 1, count
        for period in sorted({first, max(first, final - 1), final, *shared}):
            low, high = max(start, period * period_s), min(last, (period + 1) * period_s - 1)
            inside = (high - start) // window_s - (low - 1 - start) // window_s
            if inside > 0:
                self._periods.setdefault(period, defaultdict(Counter))[stream][rho] += inside
            alone, inside_alone = alone - 1, inside_alone - inside
        few = period_s // window_s
        fuller = inside_alone - alone * few
        terms = self._in_force(self._newest)
        for periods, inside in ((alone - fuller, few), (fuller, few + 1)):
            self._finished += periods * self._cost({stream: Counter({rho: inside})}, terms)
        for old in [period for period in self._periods if period < final - 1]:
            self._finish(old, stream)

    def affordable(self, stream: str, start: int, rho: Fraction) -> bool:
        """Would one more window of `stream` at `rho` keep every span of one period within the cap?"""
        terms = self._in_force(start)
        held = {name: Counter(charges) for name, charges in self._held.items()}
        held.setdefault(stream, Counter())[rho] += 1
        if self._cost(held, terms) <= terms.cap_rho:
            return True  # the two periods around it together are within the cap, so every span is
        windows = [(at, name, r) for name, recent in self._recent.items() for at, r in recent.items()]
        return all(cost <= terms.cap_rho for cost in self._spans([*windows, (start, stream, rho)], start, terms))

    def presence(self, stream: str, start: int) -> Presence | None:
        """The presence that counts for a window of `stream`; None for one without a guarantee."""
        return self._in_force(start).presence.get(stream)

    def spent(self, now: int) -> Fraction:
        """What a person may have been charged in the period that ends at `now`."""
        terms = self._in_force(now)
        inside: dict[str, Counter[Fraction]] = defaultdict(Counter)
        for name, recent in self._recent.items():
            inside[name].update(rho for at, rho in recent.items() if now - terms.period_s < at <= now)
        return self._cost(inside, terms)

    @property
    def lifetime(self) -> Fraction:
        """The odometer: the worst case of every UTC period so far, added up, for one who was present in all of them."""
        return self._finished + sum((self._period_cost(period) for period in self._periods), start=Fraction(0))

    def _in_force(self, at: int) -> Terms:
        """The terms at `at`, made stricter by those that ended less than a period before."""
        if not self._terms:
            raise AssertionError("a charge before the first policy")
        begun = [item for item in self._terms if item[0] <= at] or self._terms[:1]
        now = begun[-1][1]
        merged = now
        for (_, older), (ended, _) in pairwise(begun):
            if ended > at - max(older.period_s, now.period_s):
                merged = replace(
                    merged,
                    period_s=max(merged.period_s, older.period_s),
                    cap_rho=min(merged.cap_rho, older.cap_rho),
                    presence=_widest(merged.presence, older.presence),
                )
        return merged

    def _spans(self, windows: list[tuple[int, str, Fraction]], start: int, terms: Terms) -> Iterator[Fraction]:
        """The cost of every span that holds `start`; a worst span can be moved to begin with a window."""
        near = sorted(w for w in windows if abs(w[0] - start) < terms.period_s)
        inside: dict[str, Counter[Fraction]] = defaultdict(Counter)
        ahead = 0
        for at, name, rho in near:
            while ahead < len(near) and near[ahead][0] < at + terms.period_s:
                inside[near[ahead][1]][near[ahead][2]] += 1
                ahead += 1
            if at > start:
                return
            yield self._cost(inside, terms)
            inside[name][rho] -= 1

    def _cost(self, charges: Mapping[str, Counter[Fraction]], terms: Terms) -> Fraction:
        """Sum over streams; a stream that a newer policy no longer has keeps the presence it was charged for."""
        return sum(
            (worst_case(+each, terms.presence.get(name, self._known[name])) for name, each in charges.items()),
            start=Fraction(0),
        )

    def _period_cost(self, period: int) -> Fraction:
        return self._cost(self._periods[period], self._in_force(self._newest))

    def _finish(self, period: int, stream: str) -> None:
        """No more charges of this stream come into it; others may, as Gaps of a long absence come one stream after another."""
        streams = self._periods[period]
        self._finished += self._cost({stream: streams.pop(stream, Counter())}, self._in_force(self._newest))
        if not streams:
            del self._periods[period]


def _runs(stream: str, windows: Mapping[int, Fraction]) -> Iterator[Run]:
    """Windows in order, those at one charge and one distance together."""
    run: Run | None = None
    for at, rho in windows.items():
        if run is not None and rho == run.rho and run.step in (0, step := at - run.start - (run.count - 1) * run.step):
            run = Run(stream, run.start, step, run.count + 1, rho)
            continue
        if run is not None:
            yield run
        run = Run(stream, at, 0, 1, rho)
    if run is not None:
        yield run


def _widest(a: Mapping[str, Presence], b: Mapping[str, Presence]) -> dict[str, Presence]:
    return {
        name: _wider(a[name], b[name]) if name in a and name in b else (a.get(name) or b[name]) for name in {**a, **b}
    }


def _wider(a: Presence, b: Presence) -> Presence:
    """What bounds people within both. Where neither measures all that the other does, m is the sum: what is measured before and after are
    different things, and a person may be within m of each."""
    m = max(a.m, b.m) if a.of <= b.of or b.of <= a.of else a.m + b.m
    return Presence(m, max(a.c, b.c), a.of | b.of)


def _expired(windows: Mapping[int, Fraction], horizon: int) -> list[int]:
    """Starts at or before the horizon; windows are in order of time, so this looks only at the oldest."""
    old = []
    for at in windows:
        if at > horizon:
            break
        old.append(at)
    return old
