"""A Collection with clocks and a log in memory that the test moves: no sockets, no files."""

import functools

from agent.anonymizer.closing import Due
from agent.anonymizer.collection import Collection
from agent.anonymizer.kinds import encodable
from agent.anonymizer.ledger import Ledger
from agent.anonymizer.noise import RandomBytes
from agent.anonymizer.window import NS, Moment
from agent.contracts import aggregate
from agent.contracts.aggregate import Aggregate
from agent.contracts.board import Board
from agent.contracts.lease import Lease, OnAir
from agent.contracts.log import Entry, Release
from agent.contracts.public import Reason
from agent.contracts.reading import Kind
from agent.disclosure.datachain import compile_disclosure
from agent.local.randomness import fill_random, random_bytes
from agent.policy.model import Policy
from agent.policy.offer import judge
from tests.anonymizer.stage import BOARD, KEY, message, readings
from tests.signing import signed_policy, signed_stop, trust_root

START_S = 1_800_000_000
"""A multiple of every window in use; 2027, while the policies of the tests are in force."""


class World:
    """One unit, offered `policy` at its beginning. `now` moves by `tick`; leases and ALIVE are sent while `on_air` and `board` hold."""

    cbor = False
    """agent.toml's `encoding`, as the next process finds it."""
    key = KEY
    """As the next process finds it too."""

    def __init__(
        self, policy: Policy, *, random: RandomBytes = random_bytes, entries: list[Entry] | None = None
    ) -> None:
        self.policy = policy
        self.root = trust_root()
        self.entries: list[Entry] = entries if entries is not None else []
        self.random = random
        self.boot_ns = 1000 * NS
        self.offset_ns = START_S * NS - self.boot_ns
        self.on_air = self.upcoming_on_air = self.board = self.clock_trusted = self.storage = True
        self.sent = 0
        self.restart()
        if not self.entries:
            self.look()
            self.offer(policy)

    def restart(self) -> None:
        """A new process on the same log."""
        self.collection = Collection(
            ledger=Ledger(self.entries),
            key=self.key,
            random_bytes=self.random,
            fill_random=fill_random,
            memory_locked=True,
            disclose=_digest,
            cbor=self.cbor,
        )
        self.sent = 0
        self._said_hello = False

    @property
    def digest(self) -> bytes:
        """The disclosure on air."""
        shown = self.collection.disclosed
        return shown.disclosure_digest if shown is not None else bytes(32)

    def offer(self, policy: Policy, *by: str) -> bool:
        """A policy is signed (by enough, unless told otherwise) and dropped."""
        return self.drop(signed_policy(policy, *by))

    def stop(self, reason: str, issued: int | None = None) -> bool:
        """A stop order is signed and dropped."""
        return self.drop(signed_stop(reason, self.utc_s if issued is None else issued))

    def drop(self, message: bytes) -> bool:
        """A signed file is judged, and logged when it is right; False when it is known already. Raises what refuses it."""
        adoption = self.collection.ledger.adoption
        entry = judge(
            message,
            adoption,
            installed=self.root,
            unit=adoption.unit,
            now_s=self.utc_s,
            disclose=_digest,
            encodable=encodable,
        )
        if entry is not None:
            self._log(self.collection.adopt(entry))
        return entry is not None

    @property
    def now(self) -> Moment:
        """Both clocks."""
        return Moment(self.boot_ns, self.boot_ns + self.offset_ns)

    @property
    def utc_s(self) -> int:
        """UTC, whole seconds."""
        return self.now.utc_ns // NS

    def reason(self) -> Reason:
        """The gate's reason at this moment."""
        return self.collection.reason

    def look(self) -> None:
        """Let the collection see the clocks."""
        self.collection.look(self.now, clock_trusted=self.clock_trusted, storage_ready=self.storage)

    def tick(self, seconds: float = 0.5, board: Board = BOARD) -> None:
        """Time passes; beacon and board say that they are there; windows close."""
        self.boot_ns += round(seconds * NS)
        self.look()
        if self.on_air:
            beside = self.collection.upcoming
            upcoming = beside.disclosure_digest if beside is not None and self.upcoming_on_air else None
            self.collection.lease_message(1, Lease(self.digest, OnAir.ADVERTISING, self.boot_ns, upcoming).encode())
        if self.board:
            if not self._said_hello:
                self.deliver(message(Kind.BOARD, board.encode()))
                self._said_hello = True
            self.deliver(message(Kind.ALIVE))
        self.close()

    def run(self, seconds: float, step: float = 0.5) -> None:
        """Many ticks."""
        for _ in range(round(seconds / step)):
            self.tick(step)

    def close(self) -> Due:
        """Close what is due and log it, when there is anything, as the daemon does."""
        due = self.collection.close_due()
        return self._log(due) if due.entries else due

    def _log(self, due: Due) -> Due:
        self.entries.extend(due.entries)
        self.collection.commit(due)
        return due

    def fail_to_log(self, *, room: bool) -> None:
        """Six seconds later what is due cannot be logged: the append fails, or there was no room to try."""
        self.boot_ns += 6 * NS
        self.look()
        if room:
            self.collection.lose(self.collection.close_due())
        else:
            self.collection.give_up_due()

    def deliver(self, packet: bytes) -> None:
        """One packet of reading.sock."""
        self.collection.reading_message(1, memoryview(packet))

    def unplug(self) -> None:
        """The board is gone; it says hello again when it is back."""
        self.deliver(message(Kind.BOARD_GONE))
        self._said_hello = False

    def count(self, classes: list[int], ages: list[int] | None = None) -> None:
        """Readings arrive now."""
        self.sent += len(classes)
        self.deliver(readings(classes, self.boot_ns, ages=ages))

    @property
    def accounted(self) -> int:
        """The right side of conservation."""
        tally = self.collection.tally
        return tally.counted + sum(tally.discarded.values()) + self.collection.pending

    def packs(self) -> list[Aggregate]:
        """Every Release so far."""
        return [aggregate.decode(entry.payload) for entry in self.entries if isinstance(entry, Release)]

    def released_values(self, classes: list[int], windows: int) -> list[int]:
        """The numbers shown in some windows that each hold these readings."""
        window_s = self.policy.streams[0].window_s
        self.run(self.policy.notice_s + 2 * window_s)
        before = len(self.packs())
        for _ in range(windows):
            self.count(classes)
            self.run(window_s)
        return [value for pack in self.packs()[before:] for _, value in pack.cells if isinstance(value, int)]


@functools.lru_cache(maxsize=64)
def _digest(policy: Policy) -> bytes:
    return compile_disclosure(policy).digest
