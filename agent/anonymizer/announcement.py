"""What everyone may know: the envelopes for the air and what is read beside them, `state` and the daemon's status, written when they change.

Invariant: nothing here depends on a reading, except what is released (AN-75) and buckets of a day in the status (I1).
"""

import functools
import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.anonymizer.collection import Collection
from agent.anonymizer.newest import Newest
from agent.anonymizer.window import NS
from agent.contracts.latest import seal_latest
from agent.contracts.public import (
    CHECKPOINT,
    COMPACT,
    ENVELOPE,
    HEAD_EVERY_S,
    HEAD_TIME,
    LATEST,
    STATE,
    STOP,
    UPCOMING,
    Envelope,
    Reason,
    State,
    StopNotice,
    refusal_words,
    seal_envelope,
    seal_stop,
    signer_words,
)
from agent.contracts.status import STATUS, WRITE_EVERY_S, Status, bucket
from agent.disclosure.compact import compact_of, seal_compact
from agent.disclosure.datachain import Disclosure, compile_disclosure
from agent.errors import DisclosureError
from agent.local.clock import Clock
from agent.local.files import ReplacedFile
from agent.local.settings import Paths
from agent.policy.adopt import Stop, Taken, Upcoming, earliest_start
from agent.policy.model import Policy
from agent.wire import tlog
from agent.wire.cose import public_bytes
from agent.wire.tlog import Checkpoint

DAEMON = "anonymizer"
FILES = (ENVELOPE, UPCOMING, STOP, COMPACT, CHECKPOINT, LATEST, STATE)
DAY_S = 86_400
SOON_S = 600
"""From here on what remains of a notice is told to the second."""

_WORDS = {
    Reason.OPEN: "readings are counted",
    Reason.STOPPED: "a stop order holds; only a new policy lifts it",
    Reason.CLOCK_UNTRUSTED: "waiting for the time to be set; look at the network and timedatectl, or at trusted_when in agent.toml",
    Reason.CLOCK_BACKWARDS: "the clock is behind the newest logged window; set it right, or wait until it has passed that",
    Reason.MEMORY_UNLOCKED: "memory cannot be locked, so readings could reach a swap file; set LimitMEMLOCK=infinity",
    Reason.NO_POLICY: "no policy yet; drop a signed one into the offer folder",
    Reason.NOT_EFFECTIVE: "the policy's first day has not come yet",
    Reason.EXPIRED: "the policy has expired; drop a newer one into the offer folder",
    Reason.STORAGE: "the disk under the release log is full; free space on it",
    Reason.NO_LEASE: "the beacon has not said that the disclosure is on air; look at its status",
    Reason.LEASE_CLOSED: "the beacon went away; look at its status and journal",
    Reason.LEASE_LAPSED: "the beacon has been silent for 10 s; look at its status and journal",
    Reason.LEASE_MISMATCH: "the beacon shows another disclosure than the one in force; if that lasts, look at its status",
    Reason.ON_NOTICE: "the disclosure is on air; its notice period is being served",
}

_log = logging.getLogger(DAEMON)


@functools.lru_cache(maxsize=8)
def disclosure_of(policy: Policy) -> Disclosure:
    """The disclosure compiled from a policy; raises PolicyError when it would not fit the air."""
    return compile_disclosure(policy)


class Announcement:
    """Writes the public folder and the status. `city` is the trust root's: all that a unit without a policy knows of itself."""

    def __init__(self, paths: Paths, key: Ed25519PrivateKey, clock: Clock, *, city: str, memory: str) -> None:
        self._key = key
        self._clock = clock
        self._city = city
        self._memory = memory
        self._files = {name: ReplacedFile(paths.public / name) for name in FILES}
        self._status_file = ReplacedFile(paths.status / DAEMON / STATUS)
        self._written: dict[str, object] = {}
        self._logged_reason: Reason | None = None
        self._shown_code: str | None = None
        self._status_at = float("-inf")
        self._day_base: Counter[str] = Counter()
        self._day_at = time.monotonic()

    def tell(
        self,
        collection: Collection,
        head: Checkpoint | None,
        newest: Newest,
        *,
        refused: str,
        bad_messages: int,
        stopping: bool = False,
    ) -> State:
        """Write what has changed; returns the state. The air first: `state` must not name what nobody can read yet.

        `head` is that of the release log, None when there is none to be shown; `newest` are the figures that are in it.
        """
        self._write_envelopes(collection)
        self._write_published(collection, head, newest)
        state = self._state(collection, refused, stopping=stopping)
        self._write(STATE, state, state.encode())
        if state.reason is not self._logged_reason:
            self._logged_reason = state.reason
            _log.info("gate %s: %s", state.gate, _WORDS[state.reason])
        now_s = time.monotonic()
        if state.reason != self._shown_code or now_s - self._status_at >= WRITE_EVERY_S:
            self._status_at, self._shown_code = now_s, state.reason
            self._write_status(collection, state, bad_messages, now_s)
        return state

    def _write_envelopes(self, collection: Collection) -> None:
        now_s = self._clock.utc_ns() // NS
        shown, beside = collection.disclosed, collection.upcoming
        if shown is not None:
            token = (shown.disclosure_digest, collection.clock_trusted)
            if self._written.get(ENVELOPE) != token:
                self._seal(ENVELOPE, token, Envelope(disclosure_of(shown.policy).cbor, now_s))
            if self._written.get(ENVELOPE) != token:
                return  # what is upcoming stays where it is until it can be shown in the other's place
            self._write_compact(shown.policy, shown.disclosure_digest)
        if beside is None:
            self._remove(UPCOMING)
        else:
            self._write_upcoming(collection, beside, now_s)
        stop = collection.ledger.adoption.stopped(collection.holds_s)
        if stop is None:
            self._remove(STOP)
        else:
            self._write(STOP, stop, lambda: seal_stop(StopNotice(stop.reason, stop.by, stop.at), self._key))

    def _write_published(self, collection: Collection, head: Checkpoint | None, newest: Newest) -> None:
        """AN-75: the tree head, signed anew while the time is known, and the figures of the streams that are shown."""
        now_s = self._clock.utc_ns() // NS
        if head is None or not collection.clock_trusted:
            self._remove(CHECKPOINT)
        else:
            timed = replace(head, extensions=(f"{HEAD_TIME}{now_s}",))
            self._write(
                CHECKPOINT,
                (head.size, now_s // HEAD_EVERY_S),
                lambda: tlog.sign_checkpoint(timed, head.origin, self._key),
            )
        shown, unit = collection.disclosed, collection.ledger.adoption.unit
        figures = newest.of(stream.name for stream in shown.policy.streams) if shown is not None else ()
        if unit is None or not figures:
            self._remove(LATEST)
        else:
            self._write(LATEST, figures, lambda: seal_latest(unit.path, figures, self._key))

    def _write_compact(self, policy: Policy, digest: bytes) -> None:
        """AN-75: what no compact form can say is not said in one; the envelope says it."""
        try:
            self._write(COMPACT, digest, lambda: seal_compact(compact_of(disclosure_of(policy)), self._key))
        except DisclosureError as bad:
            _log.warning("not in one advertisement: %s", bad)
            self._remove(COMPACT)
            self._written[COMPACT] = digest

    def _write_upcoming(self, collection: Collection, beside: Upcoming | Taken, now_s: int) -> None:
        """Sealed again only when what it says of its beginning is no longer nearly true."""
        begins = begins_at(collection, beside, now_s)
        known = self._written.get(UPCOMING)
        if isinstance(known, tuple) and known[0] == beside.disclosure_digest:
            near_s = 0 if isinstance(beside, Taken) else 5 if begins - now_s <= SOON_S else 60
            if abs(known[1] - begins) <= near_s:
                return
        token = (beside.disclosure_digest, begins)
        self._seal(UPCOMING, token, Envelope(disclosure_of(beside.policy).cbor, now_s, begins))

    def _seal(self, name: str, token: object, envelope: Envelope) -> None:
        self._write(name, token, lambda: seal_envelope(envelope, self._key))

    def _write(self, name: str, token: object, data: bytes | Callable[[], bytes]) -> None:
        if self._written.get(name) != token and self._files[name].replace(data if isinstance(data, bytes) else data()):
            self._written[name] = token

    def _remove(self, name: str) -> None:
        if (name not in self._written or self._written[name] is not None) and self._files[name].remove():
            self._written[name] = None

    def _state(self, collection: Collection, refused: str, *, stopping: bool) -> State:
        now_s = self._clock.utc_ns() // NS
        shown, beside = collection.disclosed, collection.upcoming
        reason = Reason.NO_LEASE if stopping and collection.reason is Reason.OPEN else collection.reason
        policy = shown.policy if shown is not None else None
        stop: Stop | None = collection.ledger.adoption.stopped(collection.holds_s)
        unit = collection.ledger.adoption.unit
        notice = collection.notice if isinstance(shown, Upcoming) else None
        return State(
            city=unit.city if unit else self._city,
            site=unit.site if unit else "",
            unit=unit.name if unit else "",
            gate="open" if reason is Reason.OPEN else "closed",
            reason=reason,
            since=collection.since if reason is collection.reason else now_s,
            policy_version=policy.version if policy else 0,
            disclosure=shown.disclosure_digest.hex() if shown else "",
            notice_remaining_s=coarse(notice.remaining_s) if notice else 0,
            expires=policy.expires if policy else 0,
            clock_trusted=collection.clock_trusted,
            demo=policy.demo if policy else False,
            public_key=public_bytes(self._key).hex(),
            collect_within_s=policy.collect_within_s if policy else 0,
            upcoming_version=beside.policy.version if beside else 0,
            upcoming_disclosure=beside.disclosure_digest.hex() if beside else "",
            upcoming_remaining_s=coarse(begins_at(collection, beside, now_s) - now_s) if beside else 0,
            offer_refused=refusal_words(refused),
            stop_reason=stop.reason if stop else "",
            stop_by=signer_words(stop.by) if stop else "",
        )

    def _write_status(self, collection: Collection, state: State, bad_messages: int, now_s: float) -> None:
        if now_s - self._day_at >= DAY_S:
            self._day_at = now_s
            self._day_base = Counter(collection.tally.discarded)
        today = collection.tally.discarded - self._day_base
        counters = {f"discarded_{reason}": bucket(count) for reason, count in sorted(today.items())}
        counters["memory"] = self._memory
        counters["bad_messages"] = bucket(bad_messages)
        ok = state.reason is Reason.OPEN
        status = Status(DAEMON, ok, "ok" if ok else state.reason.value, _WORDS[state.reason], counters)
        self._status_file.replace(status.encode())


def begins_at(collection: Collection, beside: Upcoming | Taken, now_s: int) -> int:
    """When an upcoming policy is in force, for one on notice at the earliest (Unix seconds)."""
    if isinstance(beside, Taken):
        return beside.effective
    return earliest_start(collection.ledger.adoption, collection.notice.served_s if collection.notice else 0, now_s)


def coarse(remaining_s: int) -> int:
    """Notice still owed, rounded up to minutes beyond ten minutes, so that `state` does not change every second for days."""
    remaining_s = max(0, remaining_s)
    return remaining_s if remaining_s <= SOON_S else -(-remaining_s // 60) * 60
