"""What is to be sent, what is in flight and what is acknowledged, in log order (PB-8 to PB-11).

    log ──ready──▶ in flight ──PUBACK──▶ acknowledged, contiguous ──▶ cursor file

Invariant: the cursor passes an entry only when every message of it and of all entries before it has been acknowledged.
"""

import logging
import time
from collections import deque
from pathlib import Path

from agent.contracts.log import Release
from agent.contracts.log_end import Head
from agent.errors import LogDamaged, MessageError, StorageUnavailable
from agent.local.files import read_capped, write_atomic
from agent.publisher import cursor as cursors
from agent.publisher.cursor import MAX_CURSOR_BYTES, START, Cursor
from agent.publisher.faults import Code
from agent.publisher.follow import Follower, Logged

WRITE_EVERY_S = 0.2
READ_AHEAD = 32
"""Entries decoded ahead: one chunk of the log serves a whole window of messages."""

LOOK_AGAIN_S = 1.0
"""After damage, how long until the log is looked at again."""

SHOWN_S = 60.0
"""A repaired fault stays in the status at least so long."""

_log = logging.getLogger(__name__)


class _Flight:
    """One entry on its way: its cursor, and how many of its messages are not yet acknowledged."""

    __slots__ = ("cursor", "owed", "release")

    def __init__(self, cursor: Cursor, owed: int, *, release: bool) -> None:
        self.cursor = cursor
        self.owed = owed
        self.release = release


class Backlog:
    """The log from the cursor on. `ready`, `sent`, `acknowledge`; `rewind` when a connection ends; `store` often."""

    def __init__(self, log: Path, shown: Path, cursor_file: Path) -> None:
        self.head: Head | None = None
        self.published = 0
        self.acknowledged = 0
        self._follower = Follower(log, shown)
        self._file = cursor_file
        self._known, damage = _load(cursor_file)
        self._stored = self._known[0] if damage is None else None
        self._acknowledged = self._known[0]
        self._next: Cursor | None = None
        self._ready: deque[Logged] = deque()
        self._flights: deque[_Flight] = deque()
        self._by_mid: dict[int, _Flight] = {}
        self._written_at = 0.0
        self._look_at = 0.0
        self._fault: tuple[Code, str] | None = None
        self._notice: tuple[Code, str, float] | None = None
        self._write_fault: str | None = None
        if damage is not None:
            self._tell(Code.CURSOR_DAMAGED, damage)

    @property
    def cursor(self) -> Cursor:
        """Acknowledged so far."""
        return self._acknowledged

    @property
    def length(self) -> int:
        """Entries in the log that are not yet acknowledged."""
        return max(0, self.head.entries - self._acknowledged.entries) if self.head else 0

    @property
    def caught_up(self) -> bool:
        """Is everything up to the checkpoint at least on its way?"""
        return self.head is not None and self._next is not None and self._next.offset == self.head.offset

    def condition(self) -> tuple[Code, str]:
        """What is wrong with the log or the cursor, and its words."""
        if self._fault is not None:
            return self._fault
        if self._notice is not None:
            if self.length or time.monotonic() < self._notice[2]:
                return self._notice[0], self._notice[1]
            self._notice = None
        if self._write_fault is not None:
            return Code.CURSOR_UNWRITABLE, self._write_fault
        return (Code.WAITING_FOR_LOG, "no checkpoint yet") if self.head is None else (Code.OK, "")

    def look(self) -> None:
        """Look at the log, and read ahead; a damaged log becomes the condition and is looked at again later."""
        now = time.monotonic()
        if self._fault is not None and now < self._look_at:
            return
        try:
            before = self.head
            self.head = self._follower.head()
            if self.head is not None and (self._next is None or self._behind(before)):
                self._locate()
            self._read_ahead()
            self._fault = None
        except (LogDamaged, StorageUnavailable) as bad:
            if self._fault is None or self._fault[1] != str(bad):
                _log.warning("%s", bad)
            self._fault = Code.LOG_DAMAGED, str(bad)
            self._look_at = now + LOOK_AGAIN_S

    def ready(self) -> tuple[int, Release] | None:
        """The next Release to send and its index in the log, if there is one; other entries are settled here."""
        while self._ready:
            logged = self._ready[0]
            if isinstance(logged.entry, Release):
                return logged.index, logged.entry
            self._flights.append(_Flight(logged.cursor, 0, release=False))
            self._advance()
            self._settle()
        return None

    def sent(self, mids: list[int]) -> None:
        """The entry that `ready` gave is on its way under these message identifiers."""
        flight = _Flight(self._ready[0].cursor, len(mids), release=True)
        self._flights.append(flight)
        self._by_mid.update(dict.fromkeys(mids, flight))
        self.published += 1
        self._advance()

    def acknowledge(self, mid: int) -> None:
        """The broker took this message; others' identifiers are ignored."""
        flight = self._by_mid.pop(mid, None)
        if flight is not None:
            flight.owed -= 1
            self.acknowledged += flight.release and flight.owed == 0
            self._settle()

    def rewind(self) -> None:
        """The connection ended: everything not acknowledged is to be sent again, from the cursor."""
        self._flights.clear()
        self._by_mid.clear()
        self._ready.clear()
        self._next = None

    def store(self, *, at_once: bool = False) -> None:
        """Write the cursor, durably, when it moved: at most every WRITE_EVERY_S, or when nothing is in flight."""
        now = time.monotonic()
        if self._acknowledged == self._stored:
            return
        due = not self._flights or now - self._written_at >= WRITE_EVERY_S
        if self._write_fault is not None:
            due = now - self._written_at >= LOOK_AGAIN_S
        if not (due or at_once):
            return
        self._written_at = now
        previous = self._stored or START
        try:
            data = cursors.encode(self._acknowledged, previous)
            write_atomic(self._file, data, mode=0o600, durable=True)
        except StorageUnavailable as bad:
            if self._write_fault is None:
                _log.warning("%s", bad)
            self._write_fault = str(bad)
            return
        self._write_fault = None
        self._stored = self._acknowledged
        self._known = (self._acknowledged, previous)

    def _advance(self) -> None:
        self._ready.popleft()

    def _settle(self) -> None:
        while self._flights and self._flights[0].owed == 0:
            self._acknowledged = self._flights.popleft().cursor

    def _behind(self, before: Head | None) -> bool:
        """Did the checkpoint change and now lie before what was already read?"""
        if self.head is None or self._next is None:
            return False
        return self.head is not before and self.head.offset < self._next.offset

    def _locate(self) -> None:
        """Set where to read on: the newest position that this log proves. Saying so unless it is the one we were at."""
        candidates = dict.fromkeys((self._acknowledged, *self._known, START))
        found = next(cursor for cursor in candidates if self._follower.proves(cursor))
        if found != self._acknowledged:
            self._tell(
                Code.LOG_DAMAGED,
                LogDamaged(
                    "release log",
                    expected=f"the log of which {self._acknowledged.entries} entries were acknowledged",
                    got="another or a shorter one",
                    remedy=f"run `dtpr-agent audit`; sending again from entry {found.entries}",
                ),
            )
        if found != self._acknowledged or self._next is None or self._next.offset != found.offset:
            self.rewind()
        self._acknowledged = self._next = found

    def _read_ahead(self) -> None:
        if self.head is None or self._next is None:
            return
        if self.head.offset < self._next.offset:
            raise LogDamaged(
                "checkpoint",
                expected=f"one that reaches byte {self._next.offset}, as an earlier one did",
                got=f"byte {self.head.offset}",
                remedy="is the anonymizer running? else run `dtpr-agent audit`",
            )
        if self._ready:
            return
        try:
            for logged in self._follower.entries(self._next, READ_AHEAD):
                self._ready.append(logged)
                self._next = logged.cursor
        except LogDamaged:
            if not self._follower.proves(self._next):
                self._next = None  # another log: locate ourselves in it
            raise

    def _tell(self, code: Code, bad: LogDamaged) -> None:
        _log.warning("%s", bad)
        self._notice = code, str(bad), time.monotonic() + SHOWN_S


def _load(path: Path) -> tuple[tuple[Cursor, ...], LogDamaged | None]:
    try:
        data = read_capped(path, MAX_CURSOR_BYTES)
    except (MessageError, OSError) as bad:
        return (START,), LogDamaged(str(path), expected="a readable cursor", got=str(bad))
    if data is None:
        return (START,), None
    known, damage = cursors.decode(data, str(path))
    return known or (START,), damage
