"""The anonymizer daemon in a child process: a fork of this one, with the hands of its clock in the test's, or the real command.

`VARIANTS` are daemons broken on purpose, which the attack must catch. They are made in the child only.
"""

import mmap
import os
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

from agent.anonymizer import daemon as daemon_module
from agent.anonymizer.budget import Budget
from agent.anonymizer.ledger import Ledger
from agent.anonymizer.log import ReleaseLog
from agent.anonymizer.regime import Regime
from agent.anonymizer.segment import Segment
from agent.contracts.carried import Spent
from agent.contracts.lease import Lease, OnAir
from agent.contracts.log import Charge, Entry
from agent.contracts.log_file import Record
from agent.contracts.reading import Kind
from agent.local import memory, settings
from agent.local.clock import boot_ns
from agent.local.sockets import connect_inbox
from tests.anonymizer.stage import BIKE, BOARD, FOOT, Unit, message, readings
from tests.privacy.crash_audit import Violation

NS = 1_000_000_000
TURN_NS = NS // 10
"""How much time passes each time that the daemon waits for messages."""

MAX_TURNS = 300
"""Ten times what a life needs, with the clock set back."""

_HANDS = struct.Struct("<qq")


class HeldClock:
    """agent.local.clock.Clock whose time passes only when the other process says so; reading it makes no system call."""

    def __init__(self, utc_ns: int) -> None:
        self._hands = mmap.mmap(-1, _HANDS.size)
        self.set(10**12, utc_ns)

    def set(self, boot: int, utc: int) -> None:
        """Both clocks, nanoseconds."""
        _HANDS.pack_into(self._hands, 0, boot, utc)

    def boot_ns(self) -> int:
        """As CLOCK_BOOTTIME."""
        return int(_HANDS.unpack_from(self._hands)[0])

    def utc_ns(self) -> int:
        """As CLOCK_REALTIME."""
        return int(_HANDS.unpack_from(self._hands)[1])

    def trusted(self) -> bool:
        """Always."""
        return True

    def advance(self, ns: int) -> None:
        """Time passes."""
        self.set(self.boot_ns() + ns, self.utc_ns() + ns)


class RunningClock:
    """The machine's own, for the real command."""

    def boot_ns(self) -> int:
        """CLOCK_BOOTTIME."""
        return boot_ns()


class Peers:
    """A beacon with a lease, and a board that is alive and has readings: they speak when the daemon waits for messages.

    `clock` passes a tenth of a second then; the machine's own clock decides itself how often that is.
    """

    def __init__(self, unit: Unit, clock: HeldClock | RunningClock) -> None:
        self.turns = 0
        self._unit = unit
        self._clock = clock
        self._digest = unit.digest
        self._spoke_at = 0

    def speak(self) -> None:
        """Time passes, and the peers speak; raise Violation when the daemon only goes on waiting."""
        if self.turns == 0:
            self._lease = connect_inbox(self._unit.folder / "l")
            self._reading = connect_inbox(self._unit.folder / "r")
            self._reading.send(message(Kind.BOARD, BOARD.encode()))
        if isinstance(self._clock, HeldClock):
            self._clock.advance(TURN_NS)
        now = self._clock.boot_ns()
        if now - self._spoke_at < TURN_NS:
            return
        self._spoke_at = now
        self.turns += 1
        if self.turns > MAX_TURNS:
            raise Violation("no window is drawn any more")
        self._lease.send(Lease(self._digest, OnAir.ADVERTISING, now).encode())
        self._reading.send(message(Kind.ALIVE))
        self._reading.send(readings([BIKE] * 20 + [FOOT], now))

    def close(self) -> None:
        """They go away."""
        if self.turns:
            self._lease.close()
            self._reading.close()


def forked(config: Path, clock: HeldClock, variant: str | None, err: Path) -> Callable[[], None]:
    """What a forked child runs: `main` of agent.anonymizer without its command line, and with `clock`."""

    def work() -> None:
        _say_to(err)
        if variant is not None:
            VARIANTS[variant]()
        _replace(daemon_module, "Clock", lambda trusted_when: clock)
        try:
            daemon_module.Daemon(settings.load(config), None, memory.LOCKED).run()
        except Exception as bad:
            os.write(2, f"{type(bad).__name__}: {bad}\n".encode())
            raise

    return work


def executed(config: Path, err: Path) -> Callable[[], None]:
    """What a child becomes: the command that systemd starts."""

    def work() -> None:
        _say_to(err)
        os.execv(sys.executable, [sys.executable, "-m", "agent.anonymizer", "--config", str(config)])  # noqa: S606  # a list

    return work


def _replace(owner: object, name: str, value: object) -> None:
    """In this child only: the process ends with it."""
    setattr(owner, name, value)


def _say_to(err: Path) -> None:
    fd = os.open(err, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(fd, 1)
    os.dup2(fd, 2)
    os.close(fd)


# --- broken on purpose ----------------------------------------------------------------------------------------------------


def _shown_before_sync() -> None:
    """The order of the two is exchanged: readers see what a power cut may still take."""
    sync, cover = Segment.sync, ReleaseLog._cover
    append = ReleaseLog.append

    def appending(log: ReleaseLog, entries: Sequence[Entry]) -> None:
        _replace(Segment, "sync", lambda segment: None)

        def covering(log: ReleaseLog, **how: bool) -> None:
            cover(log, **how)
            sync(log._segment)

        _replace(ReleaseLog, "_cover", covering)
        append(log, entries)
        _replace(Segment, "sync", sync)
        _replace(ReleaseLog, "_cover", cover)

    _replace(ReleaseLog, "append", appending)


def _draws_again_after_restart() -> None:
    """After a clock set back the ledger does not hold against it which windows are logged: one is released a second time."""
    begin: Callable[..., None] = Regime.__init__
    first_free = Ledger.first_free

    def begin_by_clock(regime: Regime, *given: object) -> None:
        _replace(Ledger, "first_free", lambda ledger, one, stream: one.effective)
        begin(regime, *given)
        _replace(Ledger, "first_free", first_free)

    def window(ledger: Ledger, stream: str, start: int, window_s: int, charge: Charge | None, count: int) -> None:
        if charge is not None and charge.rho:
            ledger.budget.charge(stream, start, window_s, charge.rho, count)
        ledger._last_end[stream] = start + count * window_s

    _replace(Ledger, "_window", window)
    _replace(Ledger, "require_unreleased", lambda ledger, stream, start: None)
    _replace(Regime, "__init__", begin_by_clock)


def _drops_the_tail() -> None:
    """What is whole on the disk and not yet covered is thrown away on start, so that its window could be drawn again."""
    records = Segment.records

    def covered(segment: Segment, start: int = 0) -> Iterator[Record]:
        batch: list[Record] = []
        for record in records(segment, start):
            batch.append(record)
            if record.is_checkpoint:
                yield from batch
                batch = []

    _replace(Segment, "records", covered)


def _forgets_lost_windows() -> None:
    """No Gap for what was drawn, or could have been, and never logged."""
    _replace(Ledger, "gaps", lambda ledger, until, now_s: iter(()))


def _forgets_what_was_spent() -> None:
    """A start at a state does not take over the charges that it carries."""
    restored = Budget.restored
    nothing = Spent(0, Fraction(0), (), ())
    _replace(Budget, "restored", lambda terms, spent: restored(terms, nothing))


VARIANTS: dict[str, Callable[[], None]] = {
    "checkpoint before sync": _shown_before_sync,
    "window drawn again after restart": _draws_again_after_restart,
    "whole record behind the checkpoint dropped": _drops_the_tail,
    "no charge for a lost window": _forgets_lost_windows,
    "charges in a state forgotten": _forgets_what_was_spent,
}
