"""Windows of a stream that were passed over: late ones may still come, and once the unit says that none will they are a loss. Pure.

Invariant: what is remembered is bounded; when there is no room, the oldest gap is told as one before its time, never forgotten silently.
"""

from dataclasses import dataclass

MAX_GAPS_A_STREAM = 64
"""A late Release in the middle of a gap makes two of it; a backlog comes in order, so that a stream has one or two."""


@dataclass(frozen=True, slots=True)
class Gap:
    """`windows` windows of `window_s` seconds, the first at Unix second `first_start`."""

    first_start: int
    windows: int
    window_s: int

    @classmethod
    def between(cls, start: int, end: int, window_s: int) -> "Gap":
        """What was passed over; under a new policy the last window may be a shorter one."""
        return cls(start, -(-(end - start) // window_s), window_s)


class Gaps:
    """The times of one stream that are still awaited, in their order: (start, end, length of the windows that follow)."""

    def __init__(self) -> None:
        self._spans: list[tuple[int, int, int]] = []

    def passed(self, start: int, end: int, window_s: int) -> list[Gap]:
        """This time was passed over. Returns what there is no room for."""
        self._spans.append((start, end, window_s))
        return self._overflow()

    def came(self, start: int, window_s: int) -> list[Gap]:
        """This window came after all. Returns what there is no room for."""
        for place, (first, end, length_s) in enumerate(self._spans):
            if first <= start < end:
                parts = (first, start, length_s), (start + window_s, end, length_s)
                self._spans[place : place + 1] = [part for part in parts if part[0] < part[1]]
                break
        return self._overflow()

    def over(self) -> list[Gap]:
        """No late Release will come: all that is left."""
        lost, self._spans = self._spans, []
        return [Gap.between(*span) for span in lost]

    def _overflow(self) -> list[Gap]:
        lost, self._spans = self._spans[:-MAX_GAPS_A_STREAM], self._spans[-MAX_GAPS_A_STREAM:]
        return [Gap.between(*span) for span in lost]
