"""What came in so far, and how fast: counts of records, and streams that have fallen silent. Pure; instants are a monotonic clock's."""

from collections import OrderedDict
from dataclasses import dataclass, field

from agent.operations.announcements import Record

Stream = tuple[str, str, str, str]
"""City, site, unit, stream."""

SILENT_WINDOWS = 2
"""A stream is silent when so many windows, and GRACE_S, have gone by without a Release."""

GRACE_S = 30.0
MAX_STREAMS = 200_000
"""Streams remembered; two of each unit of the largest city."""


@dataclass(slots=True)
class Silence:
    """Which streams have stopped. One that was silent and speaks again is silent no more."""

    _heard: OrderedDict[Stream, tuple[float, int, int]] = field(default_factory=OrderedDict)
    _silent: set[Stream] = field(default_factory=set)

    def take(self, record: Record, at_s: float) -> None:
        """Note a release; other records say nothing."""
        if record["type"] != "release" or record["verified"] is False:
            return
        stream = (record["city"], record["site"], record["unit"], record["stream"])
        self._silent.discard(stream)
        newest = self._heard[stream][2] if stream in self._heard else 0  # late ones are older
        self._heard[stream] = (at_s, record["window_s"], max(newest, record["window_start"]))
        self._heard.move_to_end(stream)
        if len(self._heard) > MAX_STREAMS:
            self._silent.discard(self._heard.popitem(last=False)[0])

    def overdue(self, at_s: float) -> list[Record]:
        """A record `silent` for each stream that has become so."""
        found: list[Record] = []
        for stream, (heard_s, window_s, newest) in self._heard.items():
            if at_s - heard_s <= GRACE_S:
                break  # all others were heard later
            if stream in self._silent or at_s - heard_s <= SILENT_WINDOWS * window_s + GRACE_S:
                continue
            self._silent.add(stream)
            city, site, unit, name = stream
            found.append(
                {
                    "type": "silent",
                    "city": city,
                    "site": site,
                    "unit": unit,
                    "stream": name,
                    "window_s": window_s,
                    "newest_window_start": newest,
                    "silent_s": round(at_s - heard_s),
                }
            )
        return found

    @property
    def count(self) -> int:
        """Streams that are silent now."""
        return len(self._silent)


@dataclass(slots=True)
class Tally:
    """Counts since `began_s`, and since the line before."""

    began_s: float
    releases: int = 0
    unverified: int = 0
    repeats: int = 0
    conflicts: int = 0
    missing: int = 0
    faults: int = 0
    _told_s: float = field(init=False)
    _told: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._told_s = self.began_s

    def take(self, record: Record) -> None:
        """Count one record."""
        if record["type"] == "fault":
            self.faults += 1
        if record["type"] == "gap":
            self.missing += record["windows"]
        if record["type"] != "release":
            return
        self.releases += 1
        self.unverified += record["verified"] is not True
        self.repeats += record["retry"]
        self.conflicts += record["conflict"]
        if not record["awaited"]:  # what is awaited comes late, or is told as a gap
            self.missing += record["missing_before"] or 0

    def line(self, at_s: float, silent: int) -> str:
        """One line for people."""
        now = (self.releases - self._told) / max(at_s - self._told_s, 1e-3)
        sustained = self.releases / max(at_s - self.began_s, 1e-3)
        self._told, self._told_s = self.releases, at_s
        return (
            f"{now:.1f} releases/s now, {sustained:.1f}/s since the beginning; {self.releases} releases, {self.unverified} not verified, "
            f"{self.repeats} repeats, {self.conflicts} conflicts, {self.missing} windows missing, {silent} streams silent, {self.faults} faults"
        )
