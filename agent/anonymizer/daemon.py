"""dtpr-anonymizer: readings and leases in, Releases to the log, envelopes and state for everyone. One blocking loop (SPEC.md).

Invariant: an append to the log is the release, and the only way in which a policy changes; nothing else that leaves this process depends
on a reading, except the exact counters, which are refused unless the policy is the demo's.
"""

import logging
import selectors
import signal
import time
from collections import Counter
from types import FrameType

from agent.anonymizer.announcement import DAEMON, Announcement, disclosure_of
from agent.anonymizer.checkpoint import discard_empty, logged_origin
from agent.anonymizer.closing import Due
from agent.anonymizer.collection import Collection
from agent.anonymizer.inbox import Inbox
from agent.anonymizer.kinds import encodable
from agent.anonymizer.known import Known
from agent.anonymizer.log import ReleaseLog
from agent.anonymizer.offers import Offer, OfferFolder
from agent.anonymizer.start import start_log
from agent.anonymizer.window import NS, Moment
from agent.contracts.log import GovernanceTaken, PolicyOffered, StopTaken
from agent.contracts.log_file import LOGGED, unit_path
from agent.contracts.public import State
from agent.contracts.reading import MAX_MESSAGE_BYTES
from agent.errors import BadInput, LogDamaged, PolicyError, StorageUnavailable
from agent.local.clock import Clock
from agent.local.counters import ExactCounters
from agent.local.credentials import load_signing_key
from agent.local.memory import LOCKED
from agent.local.notify import Watchdog, notify
from agent.local.randomness import fill_random, random_bytes
from agent.local.settings import Settings
from agent.local.sockets import listening_inbox
from agent.policy.adopt import Adoption, fold
from agent.policy.file import load_governance
from agent.policy.model import Policy, Unit
from agent.policy.offer import judge

TICK_S = 0.2
SCAN_EVERY_S = 0.5
"""How often the offer folder is looked at; a file is judged when two looks find it the same."""

ASK_EVERY_S = 1.0
"""How often a full disk is asked whether it has room again."""

REFUSE_EVERY_S = 10.0
"""Whoever may drop files must not be able to fill the journal."""

RELEASE_AFTER_NS = 18_000_000
"""Windows are logged so long after their closing: fifteen times the most work of closing one, and nothing to a window of seconds (AN-46)."""

ROOM_BYTES = 64 * 1024
"""With less room than this, and as much again a stream, nothing more is logged until the disk gives room again."""

_log = logging.getLogger(DAEMON)


class Daemon:
    """The process. Everything that can be wrong at start raises here: PolicyError, SettingsError, DemoOnly, LogDamaged, …"""

    def __init__(self, settings: Settings, exact_counters_fd: int | None, memory: str) -> None:
        paths = settings.paths
        self._paths = paths
        self._governance = load_governance(paths.governance)
        self._counters = ExactCounters(exact_counters_fd, DAEMON)
        self._key = load_signing_key(paths.signing_key)
        self._clock = Clock(settings.clock_trusted_when)
        self._watchdog = Watchdog()
        self._announcement = Announcement(paths, self._key, self._clock, city=self._governance.city, memory=memory)
        self._offers = OfferFolder(paths.offer, paths.policy)
        self._refused = ""
        origin = logged_origin(paths.log, paths.checkpoint_copy)
        self._unit = _unit(origin) if origin is not None else None
        self._release_log: ReleaseLog | None = None
        known = Known()
        if origin is not None:
            self._release_log, known = start_log(paths, origin, self._key, self._watchdog.feed_start)
        self._newest = known.newest
        self._collection = Collection(
            ledger=known.ledger,
            key=self._key,
            random_bytes=random_bytes,
            fill_random=fill_random,
            memory_locked=memory == LOCKED,
            disclose=_digest,
            cbor=settings.release_cbor,
        )
        self._selector = selectors.DefaultSelector()
        buffer = bytearray(MAX_MESSAGE_BYTES)
        self._lease_inbox = Inbox(
            listening_inbox("lease", paths.lease_socket), self._selector, buffer, self._on_lease, self._on_lease_end
        )
        self._reading_inbox = Inbox(
            listening_inbox("reading", paths.reading_socket),
            self._selector,
            buffer,
            self._on_reading,
            self._on_reading_end,
        )
        self._bad_messages: Counter[int] = Counter()
        self._storage_ready = self._release_log is None or self._release_log.ready()
        self._stopping = False
        self._scanned_at = self._asked_at = self._refused_at = float("-inf")

    def run(self) -> None:
        """Until SIGTERM or SIGINT."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        self._look()
        self._scan()
        self._tell()
        notify("READY=1")
        while not self._stopping:
            ready = [key.data for key, _ in self._selector.select(self._wait_s())]
            self._look()
            for inbox, number in sorted(
                ready, key=lambda item: item[0] is not self._lease_inbox
            ):  # a lease's end first
                inbox.serve(number)
            self._scan()
            self._close_windows()
            self._tell()
        notify("STOPPING=1")
        self._collection.abandon()
        self._lease_inbox.close()
        self._reading_inbox.close()
        self._announce(stopping=True)
        if self._release_log is not None:
            self._release_log.close()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True

    # --- time -----------------------------------------------------------------------------------------------------

    def _moment(self) -> Moment:
        return Moment(self._clock.boot_ns(), self._clock.utc_ns())

    def _look(self) -> None:
        self._collection.look(self._moment(), clock_trusted=self._clock.trusted(), storage_ready=self._storage_ready)

    def _wait_s(self) -> float:
        closing = self._collection.next_closing_utc_ns()
        if closing is None:
            return TICK_S
        return min(TICK_S, max(0.0, (closing - self._clock.utc_ns()) / NS))

    def _close_windows(self) -> None:
        """Log every window whose time has come, and what the notice has to say."""
        log = self._release_log
        if log is None:
            return
        closing = self._collection.next_closing_utc_ns()
        closes = closing is not None and closing <= self._clock.utc_ns()
        full = not self._storage_ready and time.monotonic() - self._asked_at >= ASK_EVERY_S
        if closes or full:  # before the first policy no window closes
            self._asked_at = time.monotonic()
            self._storage_ready = log.ready()
            self._look()
        if not self._storage_ready and log.room < ROOM_BYTES * (1 + self._collection.streams):
            self._collection.give_up_due()
            return
        closing = self._collection.next_closing_utc_ns()
        due = self._collection.close_due()
        if due.outcomes and closing is not None:
            time.sleep(wait_for_instant_ns(closing, self._clock.utc_ns()) / NS)
        if due.entries:
            self._append(log, due)

    def _append(self, log: ReleaseLog, due: Due) -> bool:
        """False when nothing was logged."""
        size = log.size
        try:
            log.append(due.entries)
        except StorageUnavailable as full:
            self._storage_ready = False
            _log.warning("%s", full)
            if log.size == size:
                self._collection.lose(due)
                return False
        for entry in due.entries:
            self._newest.see(entry)
        self._collection.commit(due)
        return True

    # --- offers ---------------------------------------------------------------------------------------------------

    def _scan(self) -> None:
        """Judge what was offered, once the time is known: dates are part of the judgement. Nothing is taken that cannot be logged."""
        now_s = time.monotonic()
        if now_s - self._scanned_at < SCAN_EVERY_S or not (self._collection.clock_right and self._storage_ready):
            return
        self._scanned_at = now_s
        self._offer_again()
        for offer in self._offers.scan():
            if self._take(offer):
                self._offers.judged(offer)

    def _offer_again(self) -> None:
        """The policy in force under a program that words its disclosure otherwise."""
        try:
            again = self._collection.offer_again()
        except BadInput as bad:
            self._refuse(f"the policy in force, disclosed anew: {bad}")
            return
        if again is not None and self._release_log is not None:
            self._append(self._release_log, self._collection.adopt(again))

    def _refuse(self, words: str) -> None:
        """State shows the newest refusal; the journal gets each once, and no more than one in REFUSE_EVERY_S."""
        if words == self._refused:
            return
        self._refused = words
        now_s = time.monotonic()
        if now_s - self._refused_at >= REFUSE_EVERY_S:
            self._refused_at = now_s
            _log.warning("offer refused: %s", ascii(words))

    def _take(self, offer: Offer) -> bool:
        """Log what is right, say why the rest is not; False when it must be tried again."""
        try:
            if offer.fault:
                raise PolicyError(offer.name, expected="a signed file", got=offer.fault)
            entry = judge(
                offer.message,
                self._collection.ledger.adoption,
                installed=self._governance,
                unit=self._unit,
                now_s=self._collection.holds_s,  # of the look that found the clock right: it may have been set back since
                disclose=_digest,
                encodable=encodable,
            )
            if self._unit is None and isinstance(entry, GovernanceTaken):
                raise PolicyError(
                    offer.name, expected="a policy first", got="a trust root", remedy="install it as such"
                )
        except BadInput as bad:
            self._refuse(f"{offer.name}: {bad}")
            return True
        if entry is None:
            return True
        if not self._log_decision(entry):
            return False
        self._refused = ""
        _log.info("taken: %s", ascii(offer.name))
        return True

    def _log_decision(self, entry: PolicyOffered | StopTaken | GovernanceTaken) -> bool:
        """False when it could not be logged now. The first one, a policy, begins the log and gives the unit its name."""
        if self._release_log is not None:
            return self._append(self._release_log, self._collection.adopt(entry))
        unit = fold(Adoption(), entry).unit
        assert unit is not None, "a first entry is a policy"
        try:
            discard_empty(self._paths.log, self._paths.checkpoint_copy, self._paths.public / LOGGED)
            log, _ = start_log(self._paths, unit.path, self._key, self._watchdog.feed_start)
        except StorageUnavailable as full:
            self._refuse(str(full))
            return False
        if not self._append(log, self._collection.adopt(entry)):
            log.close()
            self._storage_ready = True  # nobody asks a log that is not there; the next scan tries again
            self._refuse("the disk under the release log is full")
            return False
        self._unit, self._release_log = unit, log
        return True

    # --- messages -------------------------------------------------------------------------------------------------

    def _on_lease(self, connection: int, message: memoryview) -> None:
        try:
            self._collection.lease_message(connection, bytes(message))
        except BadInput as bad:
            self._complain(-connection, bad)

    def _on_lease_end(self, connection: int) -> None:
        self._collection.lease_end(connection)
        self._bad_messages.pop(-connection, None)

    def _on_reading(self, connection: int, message: memoryview) -> None:
        try:
            self._collection.reading_message(connection, message)
        except BadInput as bad:
            self._complain(connection, bad)
            return
        for stream in self._collection.newly_unmeasured(connection):
            _log.warning("the board has no counting channel with all classes of stream %s", stream)

    def _on_reading_end(self, connection: int) -> None:
        self._collection.reading_end(connection)
        self._bad_messages.pop(connection, None)

    def _complain(self, connection: int, bad: BadInput) -> None:
        """Once a connection: a peer that sends garbage must not fill the journal."""
        self._bad_messages[connection] += 1
        if self._bad_messages[connection] == 1:
            _log.warning("%s", bad)

    # --- what everyone may know -----------------------------------------------------------------------------------

    def _announce(self, *, stopping: bool = False) -> State:
        return self._announcement.tell(
            self._collection,
            self._release_log.head if self._release_log is not None else None,
            self._newest,
            refused=self._refused,
            bad_messages=self._bad_messages.total(),
            stopping=stopping,
        )

    def _tell(self) -> None:
        self._watchdog.feed()
        state = self._announce()
        if self._counters.due:
            self._count(state)

    def _count(self, state: State) -> None:
        shown = [each for each in (self._collection.disclosed, self._collection.upcoming) if each is not None]
        if not shown:
            return  # whose policy it will be, is not known yet
        self._counters.allow(demo=all(each.policy.demo for each in shown))
        self._counters.write(
            {
                **self._collection.tally.figures(),
                "pending": self._collection.pending,
                "gate": state.gate,
                "reason": state.reason.value,
                "entries": self._release_log.size if self._release_log is not None else 0,
                "releases": self._collection.ledger.releases,
            }
        )


def wait_for_instant_ns(closing_ns: int, now_ns: int) -> int:
    """How long to wait before windows that closed at `closing_ns` are logged: until the next whole RELEASE_AFTER_NS after it."""
    return RELEASE_AFTER_NS - (now_ns - closing_ns) % RELEASE_AFTER_NS


def _digest(policy: Policy) -> bytes:
    return disclosure_of(policy).digest


def _unit(origin: str) -> Unit:
    levels = unit_path(origin).split("/")
    if len(levels) != 3:
        raise LogDamaged("release log", expected="an origin city/site/unit", got=repr(origin)[:80])
    return Unit(*levels)
