"""What is to be sent, what is in flight and what is acknowledged, in two lanes (PB-8 to PB-11, PB-19).

    log ─┬─ live: what is logged while a connection stands ──▶ in flight ──PUBACK──▶ acknowledged ─┬─▶ cursor file
         └─ late: the backlog, in log order ─────────────────▶ in flight ──PUBACK──▶ acknowledged ─┘

Invariant: the cursor holds nothing for acknowledged that lane.py does not, and at no moment is a Release in neither lane.
"""

import logging
import time
from dataclasses import dataclass
from pathlib import Path

from agent.contracts.log import Release
from agent.contracts.log_end import Head
from agent.errors import LogDamaged, StorageUnavailable
from agent.publisher import cursor as cursors
from agent.publisher.cursor import BEGIN, Cursor, Progress
from agent.publisher.cursor_file import CursorFile
from agent.publisher.faults import Code
from agent.publisher.follow import Follower
from agent.publisher.lane import Lane

WRITE_EVERY_S = 0.2
READ_AHEAD = 32
"""Entries decoded ahead: one chunk of the log serves a whole window of messages."""

LOOK_AGAIN_S = 1.0
"""After damage, how long until the log is looked at again."""

SHOWN_S = 60.0
"""A repaired fault stays in the status at least so long."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Due:
    """A Release to be sent, its index in the log, and whether it is late: of the backlog."""

    index: int
    release: Release
    late: bool


class Backlog:
    """The log from the cursor on. `due`, `sent`, `acknowledge`; `rewind` when a connection begins or ends; `store` often.

    What is in the log when the lanes open is the backlog; what is logged later is live.
    """

    def __init__(self, log: Path, shown: Path, cursor_file: Path) -> None:
        self.head: Head | None = None
        self.published = 0
        self.acknowledged = 0
        self._follower = Follower(log, shown)
        self._file = CursorFile(cursor_file)
        damage = self._file.damage
        self._stored = self._file.known[0] if damage is None else None
        self._progress = self._file.known[0]
        self._late: Lane | None = None
        self._live: Lane | None = None
        self._live_from = 0
        self._written_at = 0.0
        self._look_at = 0.0
        self._fault: tuple[Code, str] | None = None
        self._notice: tuple[Code, str, float] | None = None
        self._write_fault: str | None = None
        if damage is not None:
            self._tell(Code.CURSOR_DAMAGED, damage)

    @property
    def progress(self) -> Progress:
        """Acknowledged so far."""
        return self._progress

    @property
    def length(self) -> int:
        """Entries in the log that are not yet acknowledged."""
        return max(0, self.head.entries - self._progress.acknowledged) if self.head else 0

    @property
    def behind(self) -> bool:
        """Is there a backlog: may a Release older than one that was sent still come?"""
        return self._late is not None or (self._live is None and self.length > 0)

    @property
    def caught_up(self) -> bool:
        """Is everything up to the checkpoint at least on its way?"""
        if self.head is None or self._live is None or self._live.position.offset != self.head.offset:
            return False
        if not self._live.hungry:
            return False
        return self._late is None or (self._late.position.entries == self._live_from and self._late.hungry)

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
            if self._replaced(before):
                self.rewind()  # should the log not be readable now, the next look still knows
            if self.head is not None and self._live is None:
                self._locate(self.head)
            self._read_ahead()
            self._fault = None
        except (LogDamaged, StorageUnavailable) as bad:
            if self._fault is None or self._fault[1] != str(bad):
                _log.warning("%s", bad)
            self._fault = Code.LOG_DAMAGED, str(bad)
            self._look_at = now + LOOK_AGAIN_S

    def due(self) -> Due | None:
        """The next Release, a live one before all late ones; other entries are settled here."""
        for lane in (self._live, self._late):
            if lane is not None and (found := lane.ready()) is not None:
                return Due(*found, late=lane is self._late)
        self._settle()
        return None

    def sent(self, due: Due, mids: list[int]) -> None:
        """This Release is on its way under these message identifiers; without any it is passed over."""
        lane = self._late if due.late else self._live
        assert lane is not None
        lane.sent(mids)
        self.published += bool(mids)
        self._settle()

    def acknowledge(self, mid: int) -> None:
        """The broker took this message; others' identifiers are ignored."""
        for lane in (self._live, self._late):
            if lane is not None:
                before = lane.delivered
                lane.acknowledge(mid)
                self.acknowledged += lane.delivered - before
        self._settle()

    def rewind(self) -> None:
        """A connection began or ended: what is not acknowledged by now is the backlog, from the cursor on."""
        self._late = self._live = None

    def store(self, *, at_once: bool = False) -> None:
        """Write the cursor, durably, when it moved: at most every WRITE_EVERY_S, or when nothing is in flight."""
        now = time.monotonic()
        if self._progress == self._stored:
            return
        due = self._idle() or now - self._written_at >= WRITE_EVERY_S
        if self._write_fault is not None:
            due = now - self._written_at >= LOOK_AGAIN_S
        if not (due or at_once):
            return
        self._written_at = now
        try:
            self._file.write(self._progress)
        except StorageUnavailable as bad:
            if self._write_fault is None:
                _log.warning("%s", bad)
            self._write_fault = str(bad)
            return
        self._write_fault = None
        self._stored = self._progress

    def _idle(self) -> bool:
        return all(lane is None or lane.idle for lane in (self._live, self._late))

    def _settle(self) -> None:
        """Take over what the lanes have acknowledged. A backlog that has reached the live lane's beginning is over."""
        if self._live is None:
            return
        if self._late is not None:
            reached = self._late.acknowledged
            if reached.entries < self._live_from:
                moved = self._live.acknowledged.entries > self._live_from
                live = self._live.acknowledged if moved else None
                self._progress = Progress(reached, self._live_from, live) if live else cursors.at(reached)
                return
            if self._live.acknowledged.entries == self._live_from:
                self._live.acknowledged = reached  # the same position, with its proof
            self._late = None
        self._progress = cursors.at(self._live.acknowledged)

    def _replaced(self, before: Head | None) -> bool:
        """Did the checkpoint change, and is it of another log, or before what was already read? The records of a log that follows another may end
        where that one's did."""
        if self.head is None or self._live is None or self.head is before:
            return False
        return self.head.offset < self._live.position.offset or (
            before is not None and before.origin != self.head.origin
        )

    def _locate(self, head: Head) -> None:
        """Set where to read on: the newest position that this log proves. Saying so unless it is the one we were at."""
        candidates = dict.fromkeys((self._progress, *self._file.known, BEGIN))
        found = next(p for p in candidates if self._follower.proves(p.backlog) and self._follower.proves(p.live))
        if found != self._progress:
            self._tell(
                Code.LOG_DAMAGED,
                LogDamaged(
                    "release log",
                    expected=f"the log of which {self._progress.acknowledged} entries were acknowledged",
                    got="another or a shorter one",
                    remedy=f"run `dtpr-agent audit`; sending again from entry {found.backlog.entries}",
                ),
            )
        self._progress = found
        if (
            found.live.offset >= head.offset
        ):  # everything is acknowledged but, perhaps, a backlog: live goes on from there
            self._live_from, self._live = found.live_from, Lane(found.live)
        else:
            self._live_from, self._live = head.entries, Lane(Cursor(head.entries, head.offset, 0, b""))
            self._progress = cursors.at(found.backlog)
        self._late = Lane(found.backlog) if found.backlog.entries < self._live_from else None

    def _read_ahead(self) -> None:
        if self.head is None or self._live is None:
            return
        if self.head.offset < self._live.position.offset:
            raise LogDamaged(
                "checkpoint",
                expected=f"one that reaches byte {self._live.position.offset}, as an earlier one did",
                got=f"byte {self.head.offset}",
                remedy="is the anonymizer running? else run `dtpr-agent audit`",
            )
        live, late = self._live, self._late
        try:
            self._fill(live, READ_AHEAD)
        finally:
            if late is not None:
                self._fill(late, min(READ_AHEAD, self._live_from - late.position.entries))

    def _fill(self, lane: Lane, limit: int) -> None:
        if not lane.hungry:
            return
        try:
            for logged in self._follower.entries(lane.position, limit):
                lane.take(logged.index, logged.entry, logged.cursor)
        except LogDamaged:
            if not self._follower.proves(lane.position):
                self.rewind()  # another log: locate ourselves in it
            raise

    def _tell(self, code: Code, bad: LogDamaged) -> None:
        _log.warning("%s", bad)
        self._notice = code, str(bad), time.monotonic() + SHOWN_S
