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


class Gaps:
    """The windows of one stream that are still awaited, in their order."""

    def __init__(self) -> None:
        self._gaps: list[Gap] = []

    def passed(self, gap: Gap) -> list[Gap]:
        """These windows were passed over. Returns what there is no room for."""
        self._gaps.append(gap)
        return self._overflow()

    def came(self, start: int) -> list[Gap]:
        """The window at `start` came after all. Returns what there is no room for."""
        for place, gap in enumerate(self._gaps):
            before, rest = divmod(start - gap.first_start, gap.window_s)
            if rest == 0 and 0 <= before < gap.windows:
                after = gap.windows - before - 1
                parts = Gap(gap.first_start, before, gap.window_s), Gap(start + gap.window_s, after, gap.window_s)
                self._gaps[place : place + 1] = [part for part in parts if part.windows]
                break
        return self._overflow()

    def over(self) -> list[Gap]:
        """No late Release will come: all that is left."""
        lost, self._gaps = self._gaps, []
        return lost

    def _overflow(self) -> list[Gap]:
        lost, self._gaps = self._gaps[:-MAX_GAPS_A_STREAM], self._gaps[-MAX_GAPS_A_STREAM:]
        return lost
