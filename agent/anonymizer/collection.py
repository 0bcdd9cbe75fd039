"""The anonymizer without its sockets and files: messages and clock readings in, log entries and state out. Pure.

Invariants: readings are counted only when they were taken and arrived while the gate was open; every window that closes gives one
entry, a Release or its part of a Gap; what the ledger holds is what was committed to the log.

Order of use: `look` at the clock first, then deliver messages for that moment, then `close_due` and `commit` or `lose` the result.
"""

from dataclasses import dataclass, field

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from numpy.typing import NDArray

from agent.anonymizer import batch, gate
from agent.anonymizer.govern import NOTHING, Terms, charge_for, govern, terms_for
from agent.anonymizer.ledger import Ledger
from agent.anonymizer.noise import RandomBytes
from agent.anonymizer.notice import Notice
from agent.anonymizer.seal import seal
from agent.anonymizer.tally import Outcome, Tally
from agent.anonymizer.window import NS, Discard, Moment, Part, StreamWindows, stepped, window_start
from agent.contracts import board as board_contract
from agent.contracts import lease as lease_contract
from agent.contracts.aggregate import END_START, FIRST_START, NotCollected
from agent.contracts.board import Board
from agent.contracts.log import Charge, Entry, Gap
from agent.contracts.public import Reason
from agent.contracts.reading import HEADER, Header, Kind, unpack_header
from agent.errors import MessageError
from agent.policy.model import Policy

ALIVE_LIFETIME_NS = 5 * NS
"""A board says once a second that it is there; five chances before it counts as gone."""

MAX_LOOK_NS = 2 * NS
"""Between two looks further apart than this the process was stopped or starved: that time counts as not running."""

MAX_WINDOW_S = 86_400
"""The window in progress began at most so long ago (contracts/aggregate)."""

MAX_CATCH_UP = 16
"""Windows of a stream that are closed one by one after a standstill; more than that become one Gap."""


@dataclass(frozen=True, slots=True)
class Due:
    """Entries to append together, and the windows they stand for."""

    entries: tuple[Entry, ...]
    outcomes: tuple[Outcome, ...]


@dataclass(slots=True)
class _BoardLink:
    """The board behind one connection to reading.sock; `tables` has one item a stream (agent.anonymizer.batch)."""

    board: Board | None = None
    tables: list[tuple[int, NDArray[np.int64]] | None] = field(default_factory=list)
    alive_until_ns: int = 0
    told: bool = False


class Collection:
    """Everything that the anonymizer knows between two messages."""

    def __init__(
        self,
        policy: Policy,
        compiled: bytes,
        disclosure_digest: bytes,
        *,
        ledger: Ledger,
        key: Ed25519PrivateKey,
        random_bytes: RandomBytes,
        memory_locked: bool,
    ) -> None:
        self.policy = policy
        self.disclosure_digest = disclosure_digest
        self.ledger = ledger
        self._logged = ledger
        self.notice = Notice(
            disclosure_digest,
            compiled,
            policy.notice_s,
            logged_s=ledger.notice_s(disclosure_digest),
            taken=ledger.disclosure_digest == disclosure_digest,
        )
        self.tally = Tally.of(stream.name for stream in policy.streams)
        self.reason = Reason.CLOCK_UNTRUSTED
        self.since = 0
        self.clock_trusted = False
        self._key = key
        self._random_bytes = random_bytes
        self._memory_safe = memory_locked or policy.demo
        self._terms: list[Terms] = [terms_for(policy, stream, disclosure_digest) for stream in policy.streams]
        first_of_channel = {stream.channel: stream.name for stream in reversed(policy.streams)}
        self._accounting = [first_of_channel[stream.channel] == stream.name for stream in policy.streams]
        self._windows: list[StreamWindows] = []
        self._owed: tuple[Gap, ...] = ()
        self._links: dict[int, _BoardLink] = {}
        self._leases = gate.Leases()
        self._now: Moment | None = None
        self._storage_ready = False
        self._opened_boot_ns = 0
        self._not_before_s = 0

    # --- time -----------------------------------------------------------------------------------------------------

    def look(self, now: Moment, *, clock_trusted: bool, storage_ready: bool) -> None:
        """Time has come to `now`: account for what held since the last look, and decide anew about the gate."""
        before, self._now = self._now, now
        was_trusted = self.clock_trusted
        self.clock_trusted = clock_trusted and FIRST_START + MAX_WINDOW_S <= now.utc_ns // NS < END_START
        self._storage_ready = storage_ready
        if before is not None:
            if self.reason is not Reason.OPEN:
                self.tally.gate_closed_ns += now.boot_ns - before.boot_ns
            if now.boot_ns - before.boot_ns <= MAX_LOOK_NS:
                self._cover(before.boot_ns, now)
            if stepped(before, now):
                known = [m.utc_ns for m, trusted in ((before, was_trusted), (now, self.clock_trusted)) if trusted]
                for windows in self._windows if known else ():
                    windows.step(known[0], known[-1])
                self._not_before_s = max((windows.next_start for windows in self._windows), default=0)
        if self.clock_trusted and not self._windows:
            self._windows = [
                StreamWindows(
                    terms.stream, max(window_start(now.utc_ns, terms.stream.window_s), self._first_free(terms))
                )
                for terms in self._terms
            ]
            self._owed = tuple(self.ledger.lost(now.utc_ns // NS))
        self._decide()

    def next_closing_utc_ns(self) -> int | None:
        """When the next window closes; None while the time is not known."""
        if not self.clock_trusted:
            return None
        return min((windows.closes_at_ns for windows in self._windows), default=None)

    @property
    def pending(self) -> int:
        """Readings in windows that have not closed."""
        return sum(
            windows.pending for windows, accounts in zip(self._windows, self._accounting, strict=False) if accounts
        )

    # --- lease.sock -----------------------------------------------------------------------------------------------

    def lease_message(self, connection: int, message: bytes) -> None:
        """One message of lease.sock; raise MessageError."""
        lease = lease_contract.decode(message)
        self._leases.receive(connection, lease.disclosure_digest, self._moment.boot_ns, lease.sent_boot_ns)
        self._decide()

    def lease_end(self, connection: int) -> None:
        """A connection to lease.sock ended: its lease with it, at once."""
        self._leases.end(connection)
        self._decide()

    # --- reading.sock ---------------------------------------------------------------------------------------------

    def reading_message(self, connection: int, message: memoryview) -> None:
        """One message of reading.sock; raise MessageError or BoardError after it is accounted for."""
        header = unpack_header(message)
        link = self._links.setdefault(connection, _BoardLink())
        match header.kind:
            case Kind.BOARD:
                self._links[connection] = _BoardLink()
                board = board_contract.decode(bytes(message[HEADER.size : HEADER.size + header.body_length]))
                tables = [batch.class_table(board, stream) for stream in self.policy.streams]
                self._links[connection] = _BoardLink(board, tables, self._moment.boot_ns + ALIVE_LIFETIME_NS)
            case Kind.ALIVE:
                if link.board is not None:
                    link.alive_until_ns = self._moment.boot_ns + ALIVE_LIFETIME_NS
            case Kind.BOARD_GONE:
                self._links[connection] = _BoardLink()
            case Kind.READINGS:
                try:
                    self._readings(link, header, message)
                except MessageError:
                    self.tally.discard(Discard.MALFORMED, header.reading_count)
                    raise

    def reading_end(self, connection: int) -> None:
        """A connection to reading.sock ended: its board is gone."""
        self._links.pop(connection, None)

    def newly_unmeasured(self, connection: int) -> tuple[str, ...]:
        """Streams that the board behind `connection` does not measure, for want of the channel or a class; told once a hello."""
        link = self._links.get(connection)
        if link is None or link.told:
            return ()
        link.told = True
        return tuple(s.name for s, table in zip(self.policy.streams, link.tables, strict=False) if table is None)

    # --- windows --------------------------------------------------------------------------------------------------

    def close_due(self) -> Due:
        """Close every window whose time has come and turn it into entries, folded into the ledger at once.

        The caller appends them in order and calls `commit`, or `lose` when that failed.
        """
        now = self._moment
        at = now.utc_ns // NS
        entries: list[Entry] = []
        outcomes: list[Outcome] = []
        self._logged = self.ledger
        may_take = self.reason is Reason.ON_NOTICE
        if self.clock_trusted:
            for owed in self._owed:
                self._fold(entries, owed)
            for entry in self.notice.due(at, may_take=may_take):
                self._fold(entries, entry)
        for number, windows in self._each_due():
            terms = self._terms[number]
            gap = self._gap(terms, windows.next_start)
            if gap is not None:
                self._fold(entries, gap)
            closed = windows.close()
            charge, reason = charge_for(closed, terms, self.ledger)
            governed = govern(closed, terms, charge, reason, self.ledger.size, self._random_bytes)
            self._fold(entries, seal(governed, charge if reason is None else NOTHING, self._key))
            readings = int(closed.counts.sum()) if self._accounting[number] else 0
            published = any(isinstance(value, int) for _, value in governed.cells)
            outcomes.append(Outcome(terms.stream.name, readings, reason, published))
        return Due(tuple(entries), tuple(outcomes))

    def commit(self, due: Due) -> None:
        """`due` is on the disk."""
        if due.entries:
            self._owed = ()
        for entry in due.entries:
            self.notice.logged(entry)
        for outcome in due.outcomes:
            self.tally.close(outcome)
        self._decide()

    def lose(self, due: Due) -> None:
        """`due` could not be logged: its windows become part of a Gap, and the ledger is again what the log says."""
        self.ledger = self._logged
        for outcome in due.outcomes:
            self.tally.discard(Discard.STORAGE, outcome.readings)

    def give_up_due(self) -> None:
        """There is no room to log anything: the windows that are due become part of a Gap, ungoverned."""
        for number, windows in self._each_due():
            readings = int(windows.close().counts.sum())
            self.tally.discard(Discard.STORAGE, readings if self._accounting[number] else 0)

    # --- inside ---------------------------------------------------------------------------------------------------

    @property
    def _moment(self) -> Moment:
        assert self._now is not None, "look first"
        return self._now

    def _each_due(self) -> list[tuple[int, StreamWindows]]:
        """The due windows in order of their closing, policy order within one instant; a long standstill is skipped."""
        now_ns = self._moment.utc_ns
        due: list[tuple[int, int, StreamWindows]] = []
        if not self.clock_trusted:
            return []
        for number, windows in enumerate(self._windows):
            window_ns = windows.stream.window_s * NS
            behind = (now_ns - windows.closes_at_ns) // window_ns + 1
            if behind > MAX_CATCH_UP:
                readings = windows.skip_to(windows.next_start + (behind - 1) * windows.stream.window_s)
                self.tally.discard(NotCollected.RESTART, readings if self._accounting[number] else 0)
                behind = 1
            due += [(windows.closes_at_ns + i * window_ns, number, windows) for i in range(behind)]
        due.sort(key=lambda item: item[:2])
        return [(number, windows) for _, number, windows in due]

    def _fold(self, entries: list[Entry], entry: Entry) -> None:
        if not entries:
            self._logged = self.ledger.copy()
        self.ledger.fold(entry)
        entries.append(entry)

    def _first_free(self, terms: Terms) -> int:
        """Start of the first window of a stream that no logged one reaches into; 0 when none is logged."""
        last = self.ledger.last_end(terms.stream.name) or 0
        return -(-last // terms.stream.window_s) * terms.stream.window_s

    def _gap(self, terms: Terms, next_start: int) -> Gap | None:
        first = self._first_free(terms)
        window_s = terms.stream.window_s
        if first == 0 or first >= next_start:
            return None
        charge: Charge = self.ledger.charge_of(terms.stream.name)
        return Gap(terms.stream.name, first, window_s, (next_start - first) // window_s, charge)

    def _decide(self) -> None:
        now = self._moment
        conditions = gate.Conditions(
            clock_trusted=self.clock_trusted,
            utc_s=now.utc_ns // NS,
            not_before=max(self.ledger.last_logged_end, self._not_before_s),
            effective=self.policy.effective,
            expires=self.policy.expires,
            storage_ready=self._storage_ready,
            memory_safe=self._memory_safe,
            notice_served=self.notice.taken,
        )
        reason = gate.reason(conditions, self._leases, self.disclosure_digest, now.boot_ns)
        if reason is not self.reason or self.since == 0:
            self.since = now.utc_ns // NS
            if reason is Reason.OPEN:
                self._opened_boot_ns = now.boot_ns
            self.reason = reason

    def _cover(self, before_boot_ns: int, now: Moment) -> None:
        """Credit the time since the last look: to notice, and to each window what held of running, gate and board."""
        lease_until = min(now.boot_ns, self._leases.valid_until_ns(self.disclosure_digest))
        if self.reason in (Reason.ON_NOTICE, Reason.NOT_EFFECTIVE):
            self.notice.serve(max(0, lease_until - before_boot_ns))
        for number, windows in enumerate(self._windows):
            held_until = [now.boot_ns]
            if self.reason is Reason.OPEN:
                held_until += [lease_until, min(lease_until, self._alive_until_ns(number))]
            for part, until in zip(Part, held_until, strict=False):
                windows.cover(part, before_boot_ns + now.offset_ns, until + now.offset_ns)

    def _alive_until_ns(self, number: int) -> int:
        return max(
            (link.alive_until_ns for link in self._links.values() if link.tables and link.tables[number] is not None),
            default=0,
        )

    def _readings(self, link: _BoardLink, header: Header, message: memoryview) -> None:
        now = self._moment
        decoded = batch.decode(header, message)
        if link.board is None:
            self.tally.discard(Discard.NO_BOARD, header.reading_count)
            return
        if self.reason is not Reason.OPEN:
            self.tally.discard(Discard.GATE, header.reading_count)
            return
        measured_while_open = decoded.times_boot_ns >= self._opened_boot_ns
        times_utc_ns = decoded.times_boot_ns[measured_while_open] + now.offset_ns
        classes = decoded.classes[measured_while_open]
        accounted = False
        for number, found in enumerate(link.tables):
            if found is None or found[0] != decoded.channel:
                continue
            discarded = self._windows[number].count(times_utc_ns, found[1][classes], now.utc_ns)
            if self._accounting[number]:
                accounted = True
                self.tally.discard(Discard.GATE, int(np.count_nonzero(~measured_while_open)))
                for reason, count in discarded.items():
                    self.tally.discard(reason, count)
        if not accounted:
            self.tally.discard(Discard.UNKNOWN_CHANNEL, header.reading_count)
