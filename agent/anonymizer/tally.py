"""Exact numbers of readings and windows since the process began. Pure. They leave the process in the demo only (I1).

Invariant (conservation): readings handed in = counted + sum(discarded) + those in windows that have not closed.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from agent.anonymizer.discard import Discard
from agent.anonymizer.window import NS
from agent.contracts.aggregate import NotCollected


@dataclass(slots=True)
class WindowTally:
    """How many windows of a stream closed, and how."""

    closed: int = 0
    published: int = 0
    suppressed: int = 0
    not_collected: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one closed window: `readings` in it, those that were too many for a cell, and whether any cell shows a number."""

    stream: str
    readings: int
    over_rate: int
    reason: NotCollected | None
    published: bool


@dataclass(slots=True)
class Tally:
    """The numbers so far."""

    counted: int = 0
    discarded: Counter[str] = field(default_factory=Counter)
    windows: dict[str, WindowTally] = field(default_factory=dict)
    gate_closed_ns: int = 0

    def add(self, streams: Iterable[str]) -> None:
        """These streams are counted from now on, if they were not before."""
        for stream in streams:
            self.windows.setdefault(stream, WindowTally())

    def discard(self, reason: Discard | NotCollected, count: int) -> None:
        """`count` readings were discarded."""
        if count:
            self.discarded[reason.value] += count

    def figures(self) -> dict[str, Any]:
        """All of it, for the demo's counters."""
        return {
            "counted": self.counted,
            "discarded": dict(self.discarded),
            "windows": {stream: asdict(windows) for stream, windows in self.windows.items()},
            "gate_closed_s": round(self.gate_closed_ns / NS, 3),
        }

    def close(self, outcome: Outcome) -> None:
        """A window was logged."""
        self.discard(Discard.OVER_RATE, outcome.over_rate)
        windows = self.windows[outcome.stream]
        windows.closed += 1
        windows.published += outcome.published
        windows.not_collected += outcome.reason is not None
        windows.suppressed += outcome.reason is None and not outcome.published
        if outcome.reason is None:
            self.counted += outcome.readings
        else:
            self.discard(outcome.reason, outcome.readings)
