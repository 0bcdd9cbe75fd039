"""R9: the anonymizer is killed at each system call between the draw of a window's noise and its publication, and started again.

    python -m tests.privacy.crash --runs 50                 what happened, as JSON; exit 1 when a promise was broken
    python -m tests.privacy.crash --variant "checkpoint before sync"
    python -m tests.privacy.crash --runs 3 --command        `python -m agent.anonymizer` as it is, in real time
    python -m tests.privacy.crash --bundles-of 8            so few entries a bundle that most starts begin at a state (AN-66)

One run is one life of the daemon over a folder that goes on: it starts on what the last crash left, an auditor reads the log, windows
close, and at the n-th call after a draw SIGKILL ends it. What then lies on the disk is what the kill left, or what a power cut at the
same moment could have left (crash_disk). The clock may be set back before the next start. The tracer is the only peer, and gives its
messages when the daemon asks for some, so nothing here waits, and a run takes a tenth of a second. The file of bundles, which is derived, is
absent, old, torn or forged when the next life finds it.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field, fields
from pathlib import Path

from agent.anonymizer.bundle_file import BUNDLES
from agent.anonymizer.known import Known
from agent.anonymizer.ledger import Ledger
from agent.anonymizer.log import ReleaseLog
from agent.contracts.log import Gap
from agent.contracts.log_file import LOGGED, RELEASES, iter_log
from agent.errors import DtprError
from agent.wire.tiles import WIDTH
from tests.anonymizer.small_bundles import bundles_of
from tests.anonymizer.stage import KEY, ORIGIN, Unit
from tests.privacy.crash_audit import Publisher, Violation, audit, whole_entries
from tests.privacy.crash_disk import BEGUN, IMAGES, KILLED, RENAMES, Derived, Disk, Image, Picks, write
from tests.privacy.crash_stage import NS, TURN_NS, VARIANTS, HeldClock, Peers, RunningClock, executed, forked
from tests.privacy.crash_tracer import Call, Tracee

PUBLIC_KEY = KEY.public_key().public_bytes_raw()
CLASSES = 2
WAITS = ("epoll_wait", "epoll_pwait")
OF_MEMORY = ("brk", "madvise", "mmap", "munmap")
"""Made whenever an allocator likes; nobody else sees anything of them."""

LIVES_A_FOLDER = 12
"""Each start reads the whole log, and so does each audit."""

SHARED_MEMORY = "/dev/shm"
START_UTC_NS = 1_790_000_000 * NS


@dataclass(slots=True)
class Report:
    """What happened; `violations` is what the promise forbids."""

    runs: int = 0
    seconds: float = 0.0
    calls: list[str] = field(default_factory=list)
    """Names of the calls from the draw to the end of the daemon's turn, once; "+" is after the one that publishes."""
    killed_at: Counter[int] = field(default_factory=Counter)
    images: Counter[str] = field(default_factory=Counter)
    """What the next life found, by kind."""
    images_recovered: int = 0
    killed_while_starting: int = 0
    clock_set_back: int = 0
    tails_kept: int = 0
    windows_seen: int = 0
    windows_charged_as_lost: int = 0
    derived: Counter[str] = field(default_factory=Counter)
    """What the file of bundles was when a log was opened, by kind."""
    starts_at_a_state: int = 0
    violations: list[str] = field(default_factory=list)


class Attack:
    """Lives of one unit, one after another. `command` starts the real command, which then runs in real time."""

    def __init__(
        self, folder: Path, seed: int, variant: str | None = None, *, command: bool = False, longest: bool = False
    ) -> None:
        self.report = Report()
        self._root = folder
        self._picks = Picks(seed)
        self._variant = variant
        self._command = command
        self._longest = longest
        self._begin()

    def run(self, runs: int, *, until_caught: bool = False) -> Report:
        """That many kills between draw and publication, at each call in turn."""
        began = time.monotonic()
        while self.report.runs < runs and not (until_caught and self.report.violations):
            try:
                if self._lives == LIVES_A_FOLDER:
                    self._last_life()
                self.report.runs += self._life()
                self._crash()
            except Violation as violation:
                self.report.violations.append(f"after {self.report.runs} runs: {violation}")
                self.report.runs += 1
                self._begin()
        if self._lives and not until_caught:
            try:
                self._last_life()
            except Violation as violation:
                self.report.violations.append(f"at the end: {violation}")
        self.report.seconds = round(time.monotonic() - began, 1)
        return self.report

    def _begin(self) -> None:
        """A unit with an empty log."""
        folder = self._root / "unit"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        self._lives = 0
        self._unit = Unit(folder)
        self._clock = RunningClock() if self._command else HeldClock(START_UTC_NS)
        shown = folder / "public" / LOGGED
        self._publisher = Publisher(self._unit.log, shown)
        self._whole: list[bytes] = []
        self._disk = Disk(self._unit.log / RELEASES, folder / "checkpoint", shown)
        self._derived = Derived(self._unit.log / BUNDLES)

    # --- lives --------------------------------------------------------------------------------------------------------

    def _start(self) -> Tracee:
        err = self._unit.folder / "err"
        if isinstance(self._clock, RunningClock):
            return Tracee(executed(self._unit.settings, err))
        return Tracee(forked(self._unit.settings, self._clock, self._variant, err))

    def _life(self) -> bool:
        """Start, be audited, and be killed at a call after a draw; False when it was killed while starting instead."""
        self._lives += 1
        stretch = _Stretch((1, 2, 2, 2, 3)[self._picks.below(5)], self._position())
        start_call = self._picks.below(400) if self._lives > 2 and self._picks.below(5) == 0 else None
        tracee = self._start()
        peers = Peers(self._unit, self._clock)
        stops = 0
        try:
            while (call := tracee.next()) is not None:
                stops += 1
                if not self._command:
                    self._disk.see(tracee, call)
                if peers.turns == 0 and stops == start_call:
                    self.report.killed_while_starting += 1
                    return False
                if peers.turns and call.name in RENAMES and not call.entering and self._publisher.look():
                    stretch.published()
                if call.entering and call.name in WAITS and not stretch.begun:
                    if peers.turns == 0:
                        self._audit()
                    peers.speak()
                elif peers.turns and stretch.ends_at(call):
                    if not self.report.calls or (self._longest and len(stretch.calls) > len(self.report.calls)):
                        self.report.calls = stretch.calls
                    self.report.killed_at[len(stretch.calls) - 1] += 1
                    return True
        finally:
            tracee.kill()
            peers.close()
        raise Violation(f"the daemon ended by itself: {self._unit.errors()[-300:]}")

    def _position(self) -> int | None:
        """Where to kill now; at the end of the stretch the first time, which tells how long it is. Once each call had its turn, every third time
        between the write and its sync, where a whole entry may be on the disk without its checkpoint."""
        calls, runs = self.report.calls, self.report.runs
        if runs > len(calls) and runs % 3 == 0 and "fdatasync" in calls:
            return calls.index("fdatasync")
        return runs % len(calls) if calls else None

    def _last_life(self) -> None:
        """It starts, releases two more windows, and ends when asked to."""
        tracee = self._start()
        peers = Peers(self._unit, self._clock)
        seen = len(self._publisher.seen)
        asked = False
        try:
            while (call := tracee.next()) is not None:
                if call.entering and call.name in WAITS and not asked:
                    if peers.turns == 0:
                        self._audit()
                    peers.speak()
                    self._publisher.look()
                    if asked := len(self._publisher.seen) >= seen + 2:
                        tracee.terminate()
        finally:
            tracee.kill()
            peers.close()
        if tracee.code != 0:
            raise Violation(f"the daemon did not go on: {self._unit.errors()[-300:]}")
        entries = audit(self._unit.log, ORIGIN, PUBLIC_KEY, self._publisher.seen)
        self.report.windows_seen += len(self._publisher.seen)
        lost = (entry for entry in entries if isinstance(entry, Gap) and entry.charge is not None and entry.charge.rho)
        self.report.windows_charged_as_lost += sum(gap.count for gap in lost)
        self._begin()

    # --- between two lives --------------------------------------------------------------------------------------------

    def _crash(self) -> None:
        """The daemon is dead. Every image of the disk must recover; one of them is what the next life finds."""
        images = self._disk.images(self._picks.below)
        self._derived.look()
        names = (KILLED,) if self._command else IMAGES
        for name in names:
            self._recover(name, images[name])
        chosen = names[self._picks.below(len(names))]
        if chosen != KILLED and BEGUN in names and _ends_in_an_entry(images[BEGUN][self._disk.releases] or b""):
            chosen = BEGUN
        self.report.images[chosen] += 1
        self._whole = whole_entries(images[chosen][self._disk.releases] or b"")
        self._disk.become(images[chosen])
        if not self._command:
            write({self._derived.path: self._derived.form(self._picks.below)[1]})
        if isinstance(self._clock, HeldClock) and self._picks.below(3) == 0:
            self.report.clock_set_back += 1
            back = (1 + self._picks.below(24)) * TURN_NS
            self._clock.set(self._clock.boot_ns(), self._clock.utc_ns() - back)

    def _recover(self, name: str, image: Image) -> None:
        """The daemon's own recovery over a copy of the image, and the auditor over that."""
        scratch = self._root / "scratch"
        kind, derived = self._derived.form(self._picks.below)
        image = image | {self._derived.path: derived}
        write({scratch / path.relative_to(self._unit.folder): content for path, content in image.items()})
        known = Known()
        try:
            opened = ReleaseLog(
                scratch / "log",
                ORIGIN,
                KEY,
                known.fold,
                copy=scratch / "checkpoint",
                shown=scratch / "public" / LOGGED,
                resume=known.resume,
            )
            said = Ledger(opened.entries()).state
            opened.close()
        except DtprError as bad:
            raise Violation(f"{name}: the log does not open: {bad}") from bad
        if said != known.ledger.state:
            raise Violation(f"{name}, bundles {kind}: a start knows something else than the log says")
        self.report.derived[kind] += 1
        self.report.starts_at_a_state += opened.unread > 0
        self.report.tails_kept += "entries kept" in (opened.recovered or "")
        self.report.images_recovered += 1
        audit(scratch / "log", ORIGIN, PUBLIC_KEY, self._publisher.seen)

    def _audit(self) -> None:
        """After a start, before anything else: all that was ever visible is there, and all that was whole on the disk."""
        self._publisher.reopen()
        self._publisher.look()
        entries = audit(self._unit.log, ORIGIN, PUBLIC_KEY, self._publisher.seen)
        if [entry.encode() for entry in entries[: len(self._whole)]] != self._whole:
            raise Violation("an entry that was whole on the disk is no longer in the log")


def _ends_in_an_entry(releases: bytes) -> bool:
    """Is there an entry that no checkpoint covers?"""
    records = list(iter_log(releases))
    return bool(records) and not records[-1].is_checkpoint


class _Stretch:
    """The calls from the `number`-th draw of a life to the end of that turn; it ends at the `position`-th, or with the turn."""

    def __init__(self, number: int, position: int | None) -> None:
        self.calls: list[str] = []
        self._number = number
        self._position = position
        self._draws = 0

    @property
    def begun(self) -> bool:
        """Was the noise drawn?"""
        return bool(self.calls)

    def published(self) -> None:
        """Something became visible with the last call."""
        if self.calls:
            self.calls[-1] += "+"

    def ends_at(self, call: Call) -> bool:
        """One stop; True at the entry where the daemon shall die."""
        if not call.entering or call.name in OF_MEMORY:
            return False
        if not self.begun:
            drawn = call.name == "getrandom" and call.arguments[1] == 8 * CLASSES
            self._draws += drawn
            if not drawn or self._draws < self._number:
                return False
        self.calls.append(call.name)
        return call.name in WAITS or len(self.calls) - 1 == self._position


def memory_folder() -> str | None:
    """Where files cost no disk: what a power cut leaves is computed here, so that none is needed."""
    return SHARED_MEMORY if os.access(SHARED_MEMORY, os.W_OK) else None


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.privacy.crash", description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--variant", choices=VARIANTS, help="a daemon that is broken on purpose")
    parser.add_argument("--command", action="store_true", help="the real command in real time")
    parser.add_argument("--bundles-of", type=int, default=WIDTH, help="entries a bundle, not with --command")
    options = parser.parse_args()
    few = options.bundles_of != WIDTH
    with tempfile.TemporaryDirectory(dir=memory_folder()) as folder, bundles_of(options.bundles_of):
        attack = Attack(Path(folder), options.seed, options.variant, command=options.command, longest=few)
        report = attack.run(options.runs, until_caught=options.variant is not None)
    print(json.dumps({each.name: getattr(report, each.name) for each in fields(report)}))
    return bool(report.violations)


if __name__ == "__main__":
    sys.exit(main())
