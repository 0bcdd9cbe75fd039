"""Counters of the last day (I1): what grows with readings leaves the process only as a bucket of these."""

SLOT_S = 3600
SLOTS = 24


class Tally:
    """Counts by name: the exact total since start (for the demo only) and the sum of the last 24 hourly slots."""

    def __init__(self) -> None:
        self._totals: dict[str, int] = {}
        self._slots: dict[str, list[int]] = {}
        self._hour = 0

    def add(self, name: str, count: int, now_s: float) -> None:
        """Count `count` more of `name` at monotonic second `now_s`."""
        self._roll(now_s)
        self._totals[name] = self._totals.get(name, 0) + count
        self._slots.setdefault(name, [0] * SLOTS)[self._hour % SLOTS] += count

    def total(self, name: str) -> int:
        """Everything since start."""
        return self._totals.get(name, 0)

    def last_day(self, now_s: float) -> dict[str, int]:
        """By name, what was counted in the last 23 to 24 hours."""
        self._roll(now_s)
        return {name: sum(slots) for name, slots in self._slots.items()}

    def _roll(self, now_s: float) -> None:
        hour = int(now_s // SLOT_S)
        for passed in range(max(self._hour + 1, hour - SLOTS + 1), hour + 1):
            for slots in self._slots.values():
                slots[passed % SLOTS] = 0
        self._hour = max(self._hour, hour)
