"""The privacy budget of a log, computed again for the audit, from PRIVACY.md 1.2 and AN-30 to AN-34 and not from the unit's code. Pure.

A person who gives at most m readings in a period and at most c in one window costs, in windows charged r1 >= r2 >= …, at most
c^2 (r1 + … + r_k) + (m mod c)^2 r_{k+1} with k = floor(m / c); streams add up. No span of one period may cost more than the cap. Within one
period of a change the smaller cap, the longer period and the larger m and c hold; where a stream's name then stands for something else, the sum
of both m.
"""

from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

from agent.operations.dues import presence
from agent.operations.runs import Run, Runs
from agent.policy.model import Policy
from agent.policy.values import DAY_S

MAX_CHARGED = 2 * DAY_S * 8
"""Runs of windows in two periods: one a second of as many streams as a policy has."""

MAX_RHOS = 4096
"""Different charges in a log; a stream has one for each noise."""

LOOKED_BEFORE, LOOKED_EACH = 1_000_000, 500
"""Runs and spans that may be looked at before the first charge, and for each: some thirty are, where every window's span has to be worked out."""


class Presence(NamedTuple):
    """At most m readings of a person in a period and c in a window, of what is `measured`: (kind, quantity, channel, class) of each class."""

    m: int
    c: int
    measured: frozenset[tuple[str, str, str, str]] = frozenset()

    def beside(self, other: "Presence") -> "Presence":
        """What bounds a person who is within each while it holds."""
        same = self.measured <= other.measured or other.measured <= self.measured
        m = max(self.m, other.m) if same else self.m + other.m
        return Presence(m, max(self.c, other.c), self.measured | other.measured)


class Rules(NamedTuple):
    """What the budget is at an instant. `presence` is stream -> (m, c) of those with a guarantee."""

    period_s: int
    cap: Fraction
    presence: dict[str, Presence]


@dataclass(slots=True)
class _Spent:
    """The charged windows of a stream in the last two periods, by the number of their charge; how many have each charge, and how many of those that start
    after `low`, and at `high` or before, have."""

    windows: Runs[int] = field(default_factory=Runs)
    held: Counter[int] = field(default_factory=Counter)
    last_cost: tuple[tuple[object, ...], Fraction] = ((), Fraction(0))
    low: int = 0
    high: int = 0
    inside: Counter[int] = field(default_factory=Counter)
    looked: int = 0

    def add(self, run: Run[int], sign: int) -> None:
        """These windows come, or with `sign` -1 go."""
        for counts, number in ((self.held, run.number), (self.inside, run.inside(self.low, self.high))):
            counts[run.value] += sign * number
            if not counts[run.value]:
                del counts[run.value]

    def span(self, low: int, high: int) -> Counter[int]:
        """How many windows that start after `low`, and at `high` or before, have each charge. Only what differs from the span asked for before is looked at."""
        for sign, begin, end in (
            (1, self.high, high),
            (-1, high, self.high),
            (-1, self.low, low),
            (1, low, self.low),
        ):
            for run, number in self.windows.between(begin, end) if begin < end else ():
                self.inside[run.value] += sign * number
                self.looked += 1
        self.low, self.high = low, high
        self.looked += 1 + len(self.inside)
        return self.inside


class Account:
    """Charges as they stand in the log. Charges are numbered, so that equal ones are compared without arithmetic."""

    def __init__(self) -> None:
        self.overfull = False
        """More windows were charged than two periods can have, or more differently; those are not counted."""
        self.intricate = False
        """What a period cost takes longer to work out than an honest log's."""
        self._begun: list[tuple[int, Rules]] = []
        self._latest_rules = (0, 0, Rules(1, Fraction(0), {}))
        self._presence: dict[str, Presence] = {}
        self._spent: dict[str, _Spent] = {}
        self._rhos: list[Fraction] = []
        self._numbers: dict[tuple[int, int], int] = {}
        self._newest = 0
        self._may_look = LOOKED_BEFORE
        self._within: tuple[Rules | None, list[Fraction]] = (None, [])

    def begin(self, effective: int, policy: Policy) -> None:
        """A policy is in force for windows that start at `effective` or later."""
        rules = Rules(policy.period_s, policy.cap_rho, _presence(policy))
        self._begun.append((effective, rules))
        self._presence.update(rules.presence)
        self._latest_rules = (0, 0, rules)

    def charge(self, stream: str, start: int, rho: Fraction, *, window_s: int = 1, count: int = 1) -> None:
        """`count` windows from `start` on are charged `rho` a reading each."""
        if not rho:
            return
        spent = self._spent.setdefault(stream, _Spent())
        number = self._number(rho)
        self._may_look += LOOKED_EACH
        self._newest = max(self._newest, start + (count - 1) * window_s)
        oldest = self._newest - 2 * self.period_s(self._newest)
        if number is None or sum(each.windows.size for each in self._spent.values()) >= MAX_CHARGED:
            self.overfull = True
        elif (run := Run(start, window_s, count, number).after(oldest)) is not None:
            spent.windows.add(run)
            spent.add(run, 1)
        for each in self._spent.values():
            for gone in each.windows.drop(oldest):
                each.add(gone, -1)

    def exceeded(self, start: int) -> Fraction | None:
        """What the dearest span of one period that holds `start` costs, when that is more than the cap; else None."""
        rules = self.rules(start)
        costs = [self._cost(name, spent, rules) for name, spent in self._spent.items()]
        if rules is self._within[0] and costs == self._within[1]:
            return None
        if sum(costs) <= rules.cap:
            self._within = rules, costs
            return None  # even both periods around it together are within the cap
        if self.intricate:
            return None
        dearest = max(self._spans(start, rules), default=Fraction(0))
        return dearest if dearest > rules.cap else None

    def period_s(self, at: int) -> int:
        """The period at an instant; the longest that there is where no policy is known."""
        return self.rules(at).period_s if self._begun else DAY_S

    def rules(self, at: int) -> Rules:
        """The budget's rules at an instant; only with a policy."""
        since, until, rules = self._latest_rules
        if not since <= at < until:
            since, until, rules = self._latest_rules = self._rules(at)
        return rules

    def _rules(self, at: int) -> tuple[int, int, Rules]:
        """The rules at an instant, and from when until when they hold."""
        begun = [each for each in self._begun if each[0] <= at] or self._begun[:1]
        present = rules = begun[-1][1]
        edges = [since for since, _ in self._begun]
        for (_, older), (ended, _) in pairwise(begun):
            edges.append(until := ended + max(older.period_s, present.period_s))
            if at >= until:
                continue
            both = dict(rules.presence)
            for name, before in older.presence.items():
                both[name] = both[name].beside(before) if name in both else before
            rules = Rules(max(rules.period_s, older.period_s), min(rules.cap, older.cap), both)
        since = max((edge for edge in edges if edge <= at), default=-(1 << 62))
        return since, min((edge for edge in edges if edge > at), default=1 << 62), rules

    def _spans(self, start: int, rules: Rules) -> list[Fraction]:
        """The cost of every span of one period that ends with a window and holds `start`: of any other one these have all windows, or more."""
        later, until = [start], start + rules.period_s - 1
        for spent in self._spent.values():
            for run, number in spent.windows.between(start, until):
                spent.looked += number
                if not self._looks():
                    return []
                if (part := run.after(start)) is not None:
                    later += range(part.start, min(part.last, until) + 1, max(1, part.step))
        costs = []
        for last in sorted({*later}):
            if not self._looks():
                break
            spans = ((name, spent.span(last - rules.period_s, last)) for name, spent in self._spent.items())
            costs.append(sum((self._worst(held, self._of(name, rules)) for name, held in spans), Fraction(0)))
        return costs

    def _looks(self) -> bool:
        """Is there no more to look at than an honest log has?"""
        self.intricate = sum(spent.looked for spent in self._spent.values()) > self._may_look
        return not self.intricate

    def presence_of(self, name: str, at: int) -> Presence:
        """The presence that counts for a window of a stream that starts at `at`."""
        return self._of(name, self.rules(at))

    def _of(self, name: str, rules: Rules) -> Presence:
        return rules.presence.get(name, self._presence.get(name, Presence(1, 1)))

    def _cost(self, name: str, spent: _Spent, rules: Rules) -> Fraction:
        present = self._of(name, rules)
        m, c = present.m, present.c
        enough = m // c + 1
        state = (m, c, *((number, min(count, enough)) for number, count in spent.held.items() if count))
        if spent.last_cost[0] != state:
            spent.last_cost = (state, self._worst(spent.held, present))
        return spent.last_cost[1]

    def _worst(self, held: Counter[int], present: Presence) -> Fraction:
        m, c = present.m, present.c
        left, cost = m, Fraction(0)
        for number in sorted(
            (number for number, count in held.items() if count), key=self._rhos.__getitem__, reverse=True
        ):
            whole = min(held[number], left // c)
            cost += whole * c * c * self._rhos[number]
            left -= whole * c
            if held[number] > whole:  # one window more, for what is left of m
                return cost + left * left * self._rhos[number]
        return cost

    def _number(self, rho: Fraction) -> int | None:
        key = (rho.numerator, rho.denominator)
        if key not in self._numbers:
            if len(self._rhos) >= MAX_RHOS:
                return None
            self._numbers[key] = len(self._rhos)
            self._rhos.append(rho)
        return self._numbers[key]


def _presence(policy: Policy) -> dict[str, Presence]:
    found = {}
    for stream in policy.streams:
        bounds = presence(stream)
        if bounds is not None:
            of = (stream.kind, stream.quantity, stream.channel)
            found[stream.name] = Presence(*bounds, frozenset((*of, name) for name in stream.classes or ("",)))
    return found
