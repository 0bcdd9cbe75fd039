"""dtpr-anonymizer: readings and leases in, Releases to the log, envelope and state for everyone. One blocking loop (SPEC.md).

Invariant: an append to the log is the release; nothing else that leaves this process depends on a reading, except the exact
counters, which are refused unless the policy is the demo's.
"""

import logging
import selectors
import signal
import time
from collections import Counter
from types import FrameType

from agent.anonymizer.collection import Collection, Due
from agent.anonymizer.inbox import Inbox
from agent.anonymizer.ledger import Ledger
from agent.anonymizer.log import ReleaseLog
from agent.anonymizer.window import NS, Moment
from agent.contracts.public import ENVELOPE, STATE, Envelope, Reason, State, seal_envelope
from agent.contracts.reading import MAX_MESSAGE_BYTES
from agent.contracts.status import STATUS, WRITE_EVERY_S, Status, bucket
from agent.disclosure.datachain import compile_disclosure
from agent.errors import BadInput, PolicyError, StorageUnavailable
from agent.local.clock import Clock
from agent.local.counters import ExactCounters
from agent.local.credentials import load_signing_key
from agent.local.files import ReplacedFile
from agent.local.memory import LOCKED
from agent.local.notify import Watchdog, notify
from agent.local.randomness import random_bytes
from agent.local.settings import Settings
from agent.local.sockets import listening_inbox
from agent.policy.compile import compile_policy
from agent.policy.enforcement import enforceable
from agent.policy.file import load_policy
from agent.wire.cose import public_bytes

DAEMON = "anonymizer"
TICK_S = 0.2
DAY_S = 86_400

ROOM_BYTES, ROOM_BYTES_A_STREAM = 64 * 1024, 16 * 1024
"""With less room than this nothing more is logged until the disk gives room again: an entry of a stream is under 9 KiB."""

_WORDS = {
    Reason.OPEN: "readings are counted",
    Reason.CLOCK_UNTRUSTED: "waiting for the time to be set",
    Reason.CLOCK_BACKWARDS: "the clock is behind the newest logged window; waiting until it has passed that",
    Reason.MEMORY_UNLOCKED: "memory cannot be locked, so readings could reach a swap file; set LimitMEMLOCK=infinity",
    Reason.NOT_EFFECTIVE: "the policy is not effective yet",
    Reason.EXPIRED: "the policy has expired",
    Reason.STORAGE: "the disk under the release log is full; free space on it",
    Reason.NO_LEASE: "the beacon has not said that the disclosure is on air",
    Reason.LEASE_CLOSED: "the beacon went away",
    Reason.LEASE_LAPSED: "the beacon has been silent for 10 s",
    Reason.LEASE_MISMATCH: "the beacon shows another disclosure than the one in force",
    Reason.ON_NOTICE: "the disclosure is on air; its notice period is being served",
}

_log = logging.getLogger(DAEMON)


class Daemon:
    """The process. Everything that can be wrong at start raises here: PolicyError, SettingsError, DemoOnly, LogDamaged, …"""

    def __init__(self, settings: Settings, exact_counters_fd: int | None, memory: str) -> None:
        paths = settings.paths
        policy = load_policy(paths.policy)
        enforceable(policy)
        self._counters = ExactCounters(exact_counters_fd, DAEMON)
        self._counters.allow(demo=policy.demo)
        compiled = compile_policy(policy)
        self._disclosure = compile_disclosure(policy)
        self._key = load_signing_key(paths.signing_key)
        self._clock = Clock(settings.clock_trusted_when)
        self._memory = memory
        self._envelope_file = ReplacedFile(paths.public / ENVELOPE)
        self._state_file = ReplacedFile(paths.public / STATE)
        self._status_file = ReplacedFile(paths.status / DAEMON / STATUS)
        self._watchdog = Watchdog()
        origin = f"{policy.unit.city}/{policy.unit.site}/{policy.unit.name}"
        ledger = Ledger()
        self._release_log = ReleaseLog(
            paths.log, origin, self._key, ledger.fold, self._watchdog.feed_start, copy=paths.checkpoint_copy
        )
        if self._release_log.recovered:
            _log.warning("release log %s", self._release_log.recovered)
        if ledger.policy is not None and policy.version < ledger.policy.version:
            raise PolicyError(
                str(paths.policy),
                expected=f"version {ledger.policy.version} or higher, as was in force before",
                got=f"version {policy.version}",
                remedy="raise version; a unit never goes back",
            )
        self._collection = Collection(
            policy,
            compiled,
            self._disclosure.digest,
            ledger=ledger,
            key=self._key,
            random_bytes=random_bytes,
            memory_locked=memory == LOCKED,
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
        self._day_base: Counter[str] = Counter()
        self._storage_ready = self._release_log.ready()
        self._stopping = False
        self._envelope_trusted: bool | None = None
        self._shown: State | None = None
        self._shown_code: str | None = None
        self._logged_reason: Reason | None = None
        self._status_at = float("-inf")
        self._day_at = time.monotonic()

    def run(self) -> None:
        """Until SIGTERM or SIGINT."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        self._look()
        self._tell()
        notify("READY=1")
        while not self._stopping:
            ready = [key.data for key, _ in self._selector.select(self._wait_s())]
            self._look()
            for inbox, number in sorted(
                ready, key=lambda item: item[0] is not self._lease_inbox
            ):  # a lease's end first
                inbox.serve(number)
            self._close_windows()
            self._tell()
        notify("STOPPING=1")
        self._lease_inbox.close()
        self._reading_inbox.close()
        self._state_file.replace(self._state(stopped=True).encode())
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
        closing = self._collection.next_closing_utc_ns()
        if closing is not None and closing <= self._clock.utc_ns():
            self._storage_ready = self._release_log.ready()
            self._look()
        if not self._storage_ready and self._release_log.room < ROOM_BYTES * (1 + len(self._collection.policy.streams)):
            self._collection.give_up_due()
            return
        due = self._collection.close_due()
        if due.entries:
            self._append(due)

    def _append(self, due: Due) -> None:
        size = self._release_log.size
        try:
            self._release_log.append(due.entries)
        except StorageUnavailable as full:
            self._storage_ready = False
            _log.warning("%s", full)
            if self._release_log.size == size:
                self._collection.lose(due)
                return
        self._collection.commit(due)

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

    def _tell(self) -> None:
        now_s = time.monotonic()
        self._watchdog.feed()
        if self._envelope_trusted is not self._collection.clock_trusted:
            self._write_envelope()
        state = self._state()
        if state.reason is not self._logged_reason:
            self._logged_reason = state.reason
            _log.info("gate %s: %s", state.gate, _WORDS[state.reason])
        if state != self._shown and self._state_file.replace(state.encode()):
            self._shown = state
        if state.reason != self._shown_code or now_s - self._status_at >= WRITE_EVERY_S:
            self._write_status(state, now_s)
        if self._counters.due:
            self._count(state)

    def _state(self, *, stopped: bool = False) -> State:
        collection = self._collection
        policy = collection.policy
        reason = Reason.NO_LEASE if stopped and collection.reason is Reason.OPEN else collection.reason
        return State(
            city=policy.unit.city,
            site=policy.unit.site,
            unit=policy.unit.name,
            gate="open" if reason is Reason.OPEN else "closed",
            reason=reason,
            since=collection.since if reason is collection.reason else self._clock.utc_ns() // NS,
            policy_version=policy.version,
            disclosure=self._disclosure.digest.hex(),
            notice_remaining_s=coarse(collection.notice.remaining_s),
            expires=policy.expires,
            clock_trusted=collection.clock_trusted,
            demo=policy.demo,
            public_key=public_bytes(self._key).hex(),
            collect_within_s=policy.collect_within_s,
        )

    def _write_envelope(self) -> None:
        trusted = self._collection.clock_trusted
        envelope = Envelope(self._disclosure.cbor, self._clock.utc_ns() // NS)
        if self._envelope_file.replace(seal_envelope(envelope, self._key)):
            self._envelope_trusted = trusted

    def _write_status(self, state: State, now_s: float) -> None:
        self._status_at = now_s
        self._shown_code = state.reason
        if now_s - self._day_at >= DAY_S:
            self._day_at = now_s
            self._day_base = Counter(self._collection.tally.discarded)
        today = self._collection.tally.discarded - self._day_base
        counters = {f"discarded_{reason}": bucket(count) for reason, count in sorted(today.items())}
        counters["memory"] = self._memory
        counters["bad_messages"] = bucket(self._bad_messages.total())
        ok = state.reason is Reason.OPEN
        status = Status(DAEMON, ok, "ok" if ok else state.reason.value, _WORDS[state.reason], counters)
        self._status_file.replace(status.encode())

    def _count(self, state: State) -> None:
        tally = self._collection.tally
        self._counters.write(
            {
                "counted": tally.counted,
                "discarded": dict(tally.discarded),
                "pending": self._collection.pending,
                "windows": {
                    stream: {
                        "closed": windows.closed,
                        "published": windows.published,
                        "suppressed": windows.suppressed,
                        "not_collected": windows.not_collected,
                    }
                    for stream, windows in tally.windows.items()
                },
                "gate": state.gate,
                "reason": state.reason.value,
                "gate_closed_s": round(tally.gate_closed_ns / NS, 3),
                "entries": self._release_log.size,
                "releases": self._collection.ledger.releases,
            }
        )


def coarse(remaining_s: int) -> int:
    """Notice still owed, rounded up to minutes beyond ten minutes, so that `state` does not change every second for days."""
    return remaining_s if remaining_s <= 600 else -(-remaining_s // 60) * 60
