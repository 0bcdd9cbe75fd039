"""What an attacker keeps of everything that was ever published, from any number of lives of a unit."""

from collections import defaultdict
from fractions import Fraction

from agent.contracts import aggregate
from agent.contracts.log import Release


class Published:
    """Payloads by stream and window, and what each cost."""

    def __init__(self) -> None:
        self.payloads: dict[tuple[str, int], dict[bytes, Fraction]] = defaultdict(dict)
        self.seen = 0

    def copy(self) -> "Published":
        """The same so far."""
        other = Published()
        other.payloads.update({window: dict(payloads) for window, payloads in self.payloads.items()})
        other.seen = self.seen
        return other

    def see(self, release: Release) -> None:
        """One more Release, perhaps again."""
        self.seen += 1
        rho = release.charge.rho if release.charge is not None else Fraction(0)
        self.payloads[release.stream, release.window_start][release.payload] = rho

    @property
    def most(self) -> int:
        """The most different payloads that any window has."""
        return max((len(each) for each in self.payloads.values()), default=0)

    def values(self, cell: str) -> dict[int, list[int]]:
        """The numbers published for a cell, by window."""
        found: dict[int, list[int]] = {}
        for (_, start), payloads in self.payloads.items():
            values = [dict(aggregate.decode(payload).cells)[cell] for payload in payloads]
            numbers = [value for value in values if isinstance(value, int)]
            if numbers:
                found[start] = numbers
        return found

    def dearest_period(self, period_s: int, m: int) -> Fraction:
        """What one who was in any `m` windows of a period could have been charged for all that was published of them, at the most."""
        costs = sorted((start, sum(payloads.values(), Fraction(0))) for (_, start), payloads in self.payloads.items())
        worst = Fraction(0)
        for at, (begin, _) in enumerate(costs):
            inside = sorted((cost for start, cost in costs[at:] if start < begin + period_s), reverse=True)
            worst = max(worst, sum(inside[:m], Fraction(0)))
        return worst
