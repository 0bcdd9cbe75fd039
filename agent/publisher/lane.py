"""One lane of the log: what is read ahead, what is in flight, and how far it is acknowledged without a hole (PB-9). Pure.

    position ──take──▶ ready ──sent──▶ in flight ──acknowledge──▶ acknowledged

Invariant: `acknowledged` passes an entry only when every message of it and of all entries before it in this lane has been acknowledged.
"""

from collections import deque

from agent.contracts.log import Entry, Release
from agent.publisher.cursor import Cursor


class _Flight:
    """One entry on its way: the cursor after it, and how many of its messages are not yet acknowledged."""

    __slots__ = ("cursor", "owed", "release")

    def __init__(self, cursor: Cursor, owed: int, *, release: bool) -> None:
        self.cursor = cursor
        self.owed = owed
        self.release = release


class Lane:
    """Entries from `start` on, in log order."""

    def __init__(self, start: Cursor) -> None:
        self.acknowledged = start
        self.position = start
        """The cursor after the last entry that was taken up."""
        self.delivered = 0
        """Releases of which every message was acknowledged."""
        self._ready: deque[tuple[int, Entry, Cursor]] = deque()
        self._flights: deque[_Flight] = deque()
        self._by_mid: dict[int, _Flight] = {}

    @property
    def hungry(self) -> bool:
        """Is nothing left that was read ahead?"""
        return not self._ready

    @property
    def idle(self) -> bool:
        """Is nothing in flight?"""
        return not self._flights

    def take(self, index: int, entry: Entry, cursor: Cursor) -> None:
        """The next entry of the log, its index and the cursor after it."""
        self._ready.append((index, entry, cursor))
        self.position = cursor

    def ready(self) -> tuple[int, Release] | None:
        """The next Release to send and its index in the log, if there is one; other entries are settled here."""
        while self._ready:
            index, entry, _ = self._ready[0]
            if isinstance(entry, Release):
                return index, entry
            self._depart(0, release=False)
        return None

    def sent(self, mids: list[int]) -> None:
        """The Release that `ready` gave is on its way under these message identifiers; without any it is passed over."""
        self._by_mid.update(dict.fromkeys(mids, self._depart(len(mids), release=bool(mids))))

    def acknowledge(self, mid: int) -> None:
        """The broker took this message; others' identifiers are ignored."""
        flight = self._by_mid.pop(mid, None)
        if flight is not None:
            flight.owed -= 1
            self.delivered += flight.release and flight.owed == 0
            self._settle()

    def _depart(self, owed: int, *, release: bool) -> _Flight:
        flight = _Flight(self._ready.popleft()[2], owed, release=release)
        self._flights.append(flight)
        self._settle()
        return flight

    def _settle(self) -> None:
        while self._flights and self._flights[0].owed == 0:
            self.acknowledged = self._flights.popleft().cursor
