"""How fast a backlog is sent, so that a city's units do not all rush at a broker that came back (PB-19). Pure."""


class Pace:
    """At most `per_s` a second over time, at uneven intervals, never two at once."""

    def __init__(self, per_s: int) -> None:
        self._interval_s = 1 / per_s
        self._next_at = 0.0

    def wait_s(self, now: float) -> float:
        """How long until the next may go; 0 when it may go now. `now` is a monotonic clock's."""
        return max(0.0, self._next_at - now)

    def spend(self, now: float, jitter: int) -> None:
        """One went; `jitter` is a random byte: the next follows after half to one and a half intervals."""
        self._next_at = max(now, self._next_at) + self._interval_s * (0.5 + jitter / 255)
