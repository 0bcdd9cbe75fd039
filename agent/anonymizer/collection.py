"""The anonymizer without its sockets and files: messages and clock readings in, log entries and state out. Pure.

Invariants: readings are counted only when they were taken and arrived while the gate was open; every window that closes gives one
entry, a Release or its part of a Gap; what the ledger holds is what was committed to the log; which policy holds when is the ledger's
alone to say.

Order of use: `look` at the clock first, then deliver messages for that moment, then `close_due` and `commit` or `lose` the result.
"""

from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.anonymizer import batch, gate
from agent.anonymizer.board_history import BoardHistory
from agent.anonymizer.boards import Boards
from agent.anonymizer.closing import Draft, Due
from agent.anonymizer.course import Course
from agent.anonymizer.discard import Discard
from agent.anonymizer.gate_history import GateHistory, Telling
from agent.anonymizer.ledger import Ledger
from agent.anonymizer.noise import RandomBytes
from agent.anonymizer.notice import Notice
from agent.anonymizer.regime import Regime, Regimes
from agent.anonymizer.siphash import Fill
from agent.anonymizer.tally import Tally
from agent.anonymizer.window import NS, Moment, stepped
from agent.contracts import board as board_contract
from agent.contracts import lease as lease_contract
from agent.contracts.aggregate import END_START, FIRST_START, NotCollected
from agent.contracts.board import Board
from agent.contracts.lease import LEASE_LIFETIME_S
from agent.contracts.log import Entry, PolicyOffered, StopTaken
from agent.contracts.public import Reason
from agent.contracts.reading import HEADER, Header, Kind, unpack_header
from agent.errors import MessageError
from agent.policy.adopt import Taken, Upcoming
from agent.policy.model import Policy

MAX_LOOK_NS = 2 * NS
"""Between two looks further apart than this the process was stopped or starved: that time counts as not running."""

MAX_WINDOW_S = 86_400
"""The window in progress began at most so long ago (contracts/aggregate)."""


class Collection:
    """Everything that the anonymizer knows between two messages. `disclose` gives the disclosure digest of a policy; `cbor` says that packs are made
    in CBOR, not JSON."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        key: Ed25519PrivateKey,
        random_bytes: RandomBytes,
        fill_random: Fill,
        memory_locked: bool,
        disclose: Callable[[Policy], bytes],
        cbor: bool = False,
    ) -> None:
        self._draft = Draft(ledger)
        self.tally = Tally()
        self.clock_trusted = False
        self._key = key
        self._cbor = cbor
        self._random_bytes = random_bytes
        self._memory_locked = memory_locked
        self._course = Course(ledger.adoption, disclose)
        self._regimes = Regimes(fill_random)
        self._boards = Boards()
        self._gate_history = GateHistory()
        self._board_history = BoardHistory()
        self._gate = gate.Gate()
        self._now: Moment | None = None
        self._storage_ready = False
        self._serving = False
        self._not_before_s = 0

    # --- what holds -----------------------------------------------------------------------------------------------

    @property
    def ledger(self) -> Ledger:
        """What the log says, and what is being added to it."""
        return self._draft.ledger

    @property
    def reason(self) -> Reason:
        """Why the gate is closed, or OPEN."""
        return self._gate.reason

    @property
    def since(self) -> int:
        """Unix seconds: since when it stands so."""
        return self._gate.since

    @property
    def disclosed(self) -> Taken | Upcoming | None:
        """What the beacon shows first: the policy in force, before there is one the policy on notice."""
        return self._course.disclosed(self.ledger.adoption, self.holds_s)

    @property
    def upcoming(self) -> Taken | Upcoming | None:
        """What the beacon shows beside it: the policy on notice, or taken and not begun yet."""
        return self._course.beside(self.ledger.adoption, self.holds_s)

    @property
    def holds_s(self) -> int:
        """The instant (Unix seconds) at which is asked what holds: now, or the newest logged one while the clock is behind it."""
        return max(self._utc_s, self.ledger.newest_at)

    @property
    def notice(self) -> Notice | None:
        """The notice being served."""
        return self._course.notice

    @property
    def clock_right(self) -> bool:
        """Is the time known, and not behind what is logged? Only then may an offer be judged."""
        return self.clock_trusted and self._utc_s >= self._not_before()

    @property
    def streams(self) -> int:
        """Streams whose windows are open."""
        return sum(len(regime.windows) for regime in self._regimes)

    @property
    def pending(self) -> int:
        """Readings in windows that have not closed."""
        return self._regimes.pending()

    # --- time -----------------------------------------------------------------------------------------------------

    def look(self, now: Moment, *, clock_trusted: bool, storage_ready: bool) -> None:
        """Time has come to `now`: account for what held since the last look, and decide anew about the gate."""
        before, was_trusted = self._now, self.clock_trusted
        self.clock_trusted = clock_trusted and FIRST_START + MAX_WINDOW_S <= now.utc_ns // NS < END_START
        self._storage_ready = storage_ready
        for at in self._switches(before, now):
            self._look(Moment(at * NS - now.offset_ns, at * NS), was_trusted=was_trusted)
        self._look(now, was_trusted=was_trusted)

    def _switches(self, before: Moment | None, now: Moment) -> list[int]:
        """Instants between two looks at which another policy begins."""
        if before is None or stepped(before, now):
            return []
        begins = (regime.taken.effective for regime in self._regimes)
        return sorted(at for at in begins if max(before.utc_ns, before.boot_ns + now.offset_ns) < at * NS < now.utc_ns)

    def _look(self, now: Moment, *, was_trusted: bool) -> None:
        before, self._now = self._now, now
        if before is not None:
            if self.reason is not Reason.OPEN:
                self.tally.gate_closed_ns += now.boot_ns - before.boot_ns
            if now.boot_ns - before.boot_ns <= MAX_LOOK_NS and was_trusted and self.clock_trusted:
                self._cover(before.boot_ns, now)
            lost = was_trusted and not self.clock_trusted
            if lost or stepped(before, now):
                known = [m.utc_ns for m, trusted in ((before, was_trusted), (now, self.clock_trusted)) if trusted]
                for regime in self._regimes if known else ():
                    self.tally.discard(NotCollected.CLOCK, regime.step(known[0], known[-1]))
            if stepped(before, now):
                begun = self._regimes.begun(before.utc_ns)
                self._not_before_s = max((w.next_start for regime in begun for w in regime.windows), default=0)
        self._begin()
        self._decide()

    def next_closing_utc_ns(self) -> int | None:
        """When the next window closes; None while the time is not known."""
        return self._regimes.next_closing_ns() if self.clock_trusted else None

    # --- lease.sock -----------------------------------------------------------------------------------------------

    def lease_message(self, connection: int, message: bytes) -> None:
        """One message of lease.sock; raise MessageError."""
        lease = lease_contract.decode(message)
        self._gate.leases.receive(connection, lease, self._moment.boot_ns)
        self._decide()

    def lease_end(self, connection: int) -> None:
        """A connection to lease.sock ended: its lease with it, at once."""
        self._gate.leases.end(connection)
        self._decide()

    # --- reading.sock ---------------------------------------------------------------------------------------------

    def reading_message(self, connection: int, message: memoryview) -> None:
        """One message of reading.sock; raise MessageError or BoardError after it is accounted for."""
        header = unpack_header(message)
        match header.kind:
            case Kind.BOARD:
                self._meet(connection, None)
                self._meet(
                    connection,
                    board_contract.decode(bytes(message[HEADER.size : HEADER.size + header.body_length])),
                )
            case Kind.ALIVE:
                self._boards.alive(connection, self._moment.boot_ns)
            case Kind.BOARD_GONE:
                self._meet(connection, None)
            case Kind.READINGS:
                try:
                    self._readings(connection, header, message)
                except MessageError:
                    self.tally.discard(Discard.MALFORMED, header.reading_count)
                    raise

    def reading_end(self, connection: int) -> None:
        """A connection to reading.sock ended: its board is gone."""
        self._meet(connection, None)
        self._boards.end(connection)

    def newly_unmeasured(self, connection: int) -> tuple[str, ...]:
        """Streams that the board behind `connection` does not measure, for want of the channel or a class; told once a hello."""
        shown, board = self.disclosed, self._boards.board(connection)
        if shown is None or board is None or not self._boards.tell_once(connection):
            return ()
        return tuple(s.name for s in shown.policy.streams if batch.class_table(board, s) is None)

    # --- windows and policies -------------------------------------------------------------------------------------

    def close_due(self) -> Due:
        """Close every window whose time has come and turn it into entries, folded into the ledger at once.

        The caller appends them in order and calls `commit`, or `lose` when that failed.
        """
        draft = self._draft = Draft(self.ledger)
        if self.clock_trusted:
            draft.fold_gaps(
                self._regimes.closing(), self._utc_s
            )  # before anything else: a start says first what was lost
        if self.clock_right:
            shown = self._moment.boot_ns < self._noticed_until_ns()
            for entry in self._course.due(self.ledger.adoption, self._utc_s, on_air=shown):
                draft.fold(entry)
        telling = Telling(self._gate_history, self._board_history.entries(self._moment.boot_ns, self._utc_s))
        for regime, number, count in self._each_due():
            while count:
                draft.fold_gaps(self._regimes.closing(), self._utc_s)
                for entry in telling.due(draft.due.entries):
                    draft.fold(entry)
                count -= draft.close(regime, number, count, self._key, self._random_bytes, cbor=self._cbor)
        return draft.due

    def offer_again(self) -> PolicyOffered | None:
        """The policy whose disclosure this program words otherwise than the log names it: it owes its notice again."""
        return self._course.offer_again(self.ledger.adoption, self._utc_s) if self.clock_right else None

    def adopt(self, entry: Entry) -> Due:
        """A decision of governance that was verified (PolicyOffered, StopTaken, GovernanceTaken), folded like what is due."""
        self._draft = Draft(self.ledger)
        self._draft.fold(entry)
        return self._draft.due

    def commit(self, due: Due) -> None:
        """`due` is on the disk."""
        self._gate_history.logged(due.entries)
        for entry in due.entries:
            self._course.logged(entry, self.ledger.adoption)
            self._board_history.logged(entry, self._moment.boot_ns)
            if isinstance(entry, StopTaken):
                for regime in self._regimes:
                    self.tally.discard(NotCollected.STOPPED, regime.stop(self._moment.utc_ns))
        self._begin()
        for outcome in due.outcomes:
            self.tally.close(outcome)
        self.tally.discard(Discard.FUTURE, self._regimes.drop_finished())
        self._decide()

    def lose(self, due: Due) -> None:
        """`due` could not be logged: its windows become part of a Gap, and the ledger is again what the log says."""
        self._draft = Draft(self._draft.logged)
        for outcome in due.outcomes:
            self.tally.discard(Discard.STORAGE, outcome.readings + outcome.over_rate)
        for regime in self._regimes:
            regime.lose({outcome.stream for outcome in due.outcomes})

    def give_up_due(self) -> None:
        """There is no room to log anything: the windows that are due become part of a Gap, ungoverned."""
        for regime, number, count in self._each_due():
            block = regime.windows[number].close_block(count)
            readings = sum(block.readings) + sum(block.over_rate)
            self.tally.discard(Discard.STORAGE, readings if regime.accounts[number] else 0)

    def abandon(self) -> None:
        """The process ends: no window that is open will have numbers, and their keys are overwritten."""
        self.tally.discard(NotCollected.RESTART, self._regimes.abandon())

    # --- inside ---------------------------------------------------------------------------------------------------

    @property
    def _moment(self) -> Moment:
        assert self._now is not None, "look first"
        return self._now

    @property
    def _utc_s(self) -> int:
        return self._moment.utc_ns // NS

    def _begin(self) -> None:
        """Once the time is known: windows for every policy that has not ended."""
        if not self.clock_trusted:
            return
        for regime in self._regimes.begin(self.ledger, self._moment, self._boards.all()):
            self.tally.add(stream.name for stream in regime.streams)
            self._boards.tell_again()

    def _each_due(self) -> list[tuple[Regime, int, int]]:
        if not self.clock_trusted:
            return []
        due, given_up = self._regimes.due(self._moment.utc_ns)
        self.tally.discard(NotCollected.RESTART, given_up)
        return due

    def _noticed_until_ns(self) -> int:
        """When the lease for what is on notice lapses; 0 when nothing is."""
        return self._gate.leases.valid_until_ns(self.notice.digest, beside=True) if self.notice else 0

    def _just_begun(self, shown: Taken | Upcoming | None) -> bool:
        return isinstance(shown, Taken) and 0 <= self._utc_s - shown.effective < LEASE_LIFETIME_S

    def _not_before(self) -> int:
        return max(self.ledger.newest_at, self._not_before_s)

    def _decide(self) -> None:
        shown = self.disclosed
        conditions = gate.Conditions(
            stopped=self.ledger.adoption.stopped(self.holds_s) is not None,
            has_policy=shown is not None,
            clock_trusted=self.clock_trusted,
            utc_s=self._utc_s,
            not_before=self._not_before(),
            effective=shown.policy.effective if shown else 0,
            expires=shown.policy.expires if shown else 0,
            storage_ready=self._storage_ready,
            memory_safe=self._memory_locked or (shown is not None and shown.policy.demo),
            notice_served=isinstance(shown, Taken),
            just_begun=self._just_begun(shown),
        )
        self._serving = self._storage_ready and self.clock_right
        at = self._gate.decide(conditions, shown.disclosure_digest if shown else b"", self._moment)
        self._gate_history.note(at if self.clock_trusted else None, self.reason, measuring=self.streams > 0)

    def _cover(self, before_boot_ns: int, now: Moment) -> None:
        """Credit the time since the last look: to notice, and to each window what held of running, gate and board."""
        if self.notice is not None and self._serving:
            lease_until = min(now.boot_ns, self._noticed_until_ns())
            self.notice.serve(max(0, lease_until - before_boot_ns))
        held = [now.utc_ns]
        shown = self.disclosed
        if self.reason is Reason.OPEN and shown is not None:
            until_ns = self._gate.leases.valid_until_ns(shown.disclosure_digest, beside=self._just_begun(shown))
            held.append(min(now.boot_ns, until_ns) + now.offset_ns)
        alive = self._boards.alive_until_ns(now.offset_ns)
        for regime in self._regimes:
            regime.cover(before_boot_ns + now.offset_ns, tuple(held), alive)

    def _meet(self, connection: int, board: Board | None) -> None:
        self._boards.hello(connection, board, self._moment.boot_ns)
        if board is not None:
            self._board_history.meet(board, self._utc_s if self.clock_trusted else None)
        self._regimes.meet(connection, board)

    def _readings(self, connection: int, header: Header, message: memoryview) -> None:
        now = self._moment
        decoded = batch.decode(header, message)
        if self._boards.board(connection) is None:
            self.tally.discard(Discard.NO_BOARD, header.reading_count)
            return
        if self.reason is not Reason.OPEN:
            self.tally.discard(Discard.GATE, header.reading_count)
            return
        counted = self._regimes.count(connection, decoded, now, self._gate.opened_boot_ns)
        for reason, count in counted.items():
            self.tally.discard(reason, count)
