"""A World whose log is the real one on a disk, started as the daemon starts it, and what must hold at every start whatever came before: the same is
known from the newest bundle on as from the first entry, no window has two payloads, no charge is lost, an audit finds nothing."""

import contextlib
import errno
import os
import random  # noqa: TID251  # which life it is, not noise
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.anonymizer.bundle_file import BUNDLES
from agent.anonymizer.checkpoint import KeptCheckpoint, logged_origin
from agent.anonymizer.closing import Due
from agent.anonymizer.collection import Collection
from agent.anonymizer.known import Known
from agent.anonymizer.log import ReleaseLog
from agent.anonymizer.rotation import Rotated, append_rotation
from agent.anonymizer.segment import Segment
from agent.anonymizer.successor import begin_successor
from agent.anonymizer.window import NS
from agent.contracts.board import Board, Channel
from agent.contracts.log import Charge, Entry, Gap, LogLost, Release, decode_entry
from agent.contracts.log_file import LOGGED, RELEASES, decisions, iter_log
from agent.errors import LogDamaged, LogShortened, StorageUnavailable
from agent.local.randomness import fill_random, random_bytes
from agent.operations.audit import audit
from agent.operations.audit_inputs import Inputs
from agent.operations.log_copy import export
from agent.policy.model import Policy
from agent.policy.parse import parse_policy
from agent.wire import cose
from agent.wire.tlog import Checkpoint, decode_checkpoint, sign_checkpoint
from tests.anonymizer.stage import BOARD, KEY, ORIGIN, policy_text
from tests.anonymizer.worlds import World, _digest
from tests.signing import trust_root

SECOND = """
[[stream]]
name = "walkers"
channel = "{channel}"
kind = "count"
technology = "passive_infrared_sensor"
classes = ["foot"]
window = "{window} seconds"
grace = "0.2 seconds"
receivers = ["city"]
[stream.privacy]
mode = "{mode}"
"""
DP = 'rho = {rho}\nm = 4\nc = 1\nk = 5\nz = 2\nmax_count = 5000\ntotals = "none"\n'
THRESHOLD = "k = 5\nmax_count = 5000\n"


def key_hint(origin: str, key: Ed25519PrivateKey) -> bytes:
    """As a note's signature line has it."""
    note = sign_checkpoint(Checkpoint(origin, 0, bytes(32)), origin, key)
    return note.rsplit(b" ", 1)[-1][:5]


def two_streams(version: int, rng: random.Random) -> Policy:
    """One stream of counts with a guarantee, and another with one or without."""
    rho = rng.choice(["0.125", "0.0625"])
    words = policy_text(
        version=version, notice=f"{rng.choice([1, 3, 20])} seconds", window=rng.choice([1, 2, 5]), rho=rho, cap="0.25"
    )
    if rng.random() < 0.7:
        dp = rng.random() < 0.6
        words += SECOND.format(
            channel="crossings" if dp else "walkers",
            window=rng.choice([2, 5, 10]),
            mode="dp" if dp else "threshold-only",
        )
        words += DP.format(rho=rho) if dp else THRESHOLD
    return parse_policy(words, "policy.toml")


TWO = replace(BOARD, channels=(*BOARD.channels, Channel("walkers", "count", ("foot",))))


def notes_of(path: Path) -> list[bytes]:
    return [record.body.rstrip(b"\0") for record in iter_log(path.read_bytes()) if record.is_checkpoint]


class DiskUnit(World):
    """`seed` decides everything but the noise."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.rng = random.Random(seed)  # noqa: S311  # likewise
        self.story: list[str] = []
        self.folder = folder
        self.unit = folder / "unit"
        self.log_folder, self.copy, self.shown = self.unit / "log", self.unit / "checkpoint", self.unit / LOGGED
        self.key = KEY
        self.keys = [KEY]
        self.rotated: Rotated | None = None
        self.may_rotate = False
        self.version = 1
        self.seen: dict[tuple[str, int], tuple[bytes, Charge | None]] = {}
        self.backups: list[Path] = []
        self.log: ReleaseLog | None = None
        self.log_full = self.copy_full = False
        self.refused = self.losses = self.starts = 0
        self.firmware = 0
        self.bodies: set[bytes] = set()
        self.recent: list[bytes] = []
        self.before_append: tuple[bytes, bytes | None] = b"", None
        super().__init__(two_streams(1, self.rng))

    # --- a process ------------------------------------------------------------------------------------------------

    def restart(self) -> None:
        """As the daemon starts."""
        self.starts += 1
        origin = logged_origin(self.log_folder, self.copy) or ORIGIN
        self.check_either_way(origin)
        self.log, known = self._open(origin)
        self.may_rotate = True
        self.entries = list(self.log.entries())
        self.collection = Collection(
            ledger=known.ledger,
            key=self.key,
            random_bytes=random_bytes,
            fill_random=fill_random,
            memory_locked=True,
            disclose=_digest,
        )
        self.sent = 0
        self._said_hello = False
        self.storage = self.log.ready()
        self.read()

    def _formerly(self, origin: str) -> tuple[bytes, ...]:
        return self.rotated.formerly(origin) if self.rotated is not None else ()

    def _open(self, origin: str) -> tuple[ReleaseLog, Known]:
        known = Known()
        formerly = self._formerly(origin)
        try:
            log = ReleaseLog(
                self.log_folder,
                origin,
                self.key,
                known.fold,
                copy=self.copy,
                shown=self.shown,
                resume=known.resume,
                formerly=formerly,
            )
        except LogShortened as short:
            self.losses += 1
            said = self.rotated.message if self.rotated is not None and formerly else None
            following, closed = begin_successor(self.log_folder, origin, self.key, short, lambda: None, said)
            with contextlib.suppress(LogDamaged):  # a part of it is
                self.audit(self.log_folder / closed, "closed")
            return self._open(following)
        if log.rotation_owed and self.rotated is not None:
            append_rotation(log, known.ledger, self.rotated, known.fold)
        return log, known

    def check_either_way(self, origin: str) -> None:
        """AN-66: from the newest bundle and from the first entry the same is known, or the same is refused."""
        came: list[tuple[object, ...]] = []
        for name, whole in (("quick", False), ("whole", True)):
            folder = self.folder / name
            shutil.rmtree(folder, ignore_errors=True)
            if self.unit.exists():
                shutil.copytree(self.unit, folder)
            known = Known()
            try:
                log = ReleaseLog(
                    folder / "log",
                    origin,
                    self.key,
                    known.fold,
                    copy=folder / "checkpoint",
                    shown=folder / LOGGED,
                    resume=None if whole else known.resume,
                    formerly=self._formerly(origin),
                )
            except LogDamaged as bad:
                came.append((type(bad), str(bad).replace(str(folder), "")))
                continue
            extent = log._extent
            log.close()
            ledger = known.ledger
            came.append(
                (
                    ledger.state,
                    ledger.adoption,
                    ledger.size,
                    ledger.releases,
                    ledger.newest_at,
                    ledger.budget.lifetime,
                    ledger.budget._terms,
                    ledger.budget._known,
                    {k: dict(v) for k, v in ledger.budget._recent.items() if v},
                    {k: +v for k, v in ledger.budget._held.items() if +v},
                    known.newest._releases,
                    log.size,
                    log.end,
                    log.head,
                    log._note,
                    log.rotation_owed,
                    extent.decided,
                    extent.until,
                    extent.end,
                    extent.head.root(),
                    extent._bundle.root(),
                    extent._bundle.size,
                    (folder / "log" / RELEASES).read_bytes(),
                    (folder / "log" / BUNDLES).read_bytes() if (folder / "log" / BUNDLES).is_file() else b"",
                    (folder / LOGGED).read_bytes(),
                )
            )
        one, other = came
        for number, (a, b) in enumerate(zip(one, other, strict=True)):
            assert a == b, (number, a, b)

    def _log(self, due: Due) -> Due:
        """As the daemon appends."""
        assert self.log is not None
        size = self.log.size
        self.before_append = (
            (self.log_folder / RELEASES).read_bytes(),
            self.copy.read_bytes() if self.copy.exists() else None,
        )
        with self._disks():
            try:
                self.log.append(due.entries)
            except StorageUnavailable:
                self.storage = False
                if self.log.size == size:
                    self.collection.lose(due)
                    return due
        super()._log(due)
        self.recent = [*self.recent[-9:], self.before_append[0]]
        self.read()
        return due

    def tick(self, seconds: float = 0.5, board: Board = TWO) -> None:
        super().tick(seconds, board)

    def close(self) -> Due:
        assert self.log is not None
        with self._disks():
            self.storage = self.log.ready()
        self.look()
        return super().close()

    @contextmanager
    def _disks(self) -> Iterator[None]:
        """Those that are full."""
        why = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def full(*_: object, **__: object) -> None:
            raise StorageUnavailable("disk", why="full", remedy="") from why

        with pytest.MonkeyPatch.context() as patch:
            if self.log_full:
                patch.setattr(Segment, "append", full)
            if self.copy_full:
                patch.setattr(KeptCheckpoint, "write", full)
            yield

    def read(self) -> None:
        """I5: what a reader gets, against all that was ever read."""
        note = decode_checkpoint(self.shown.read_bytes())
        covered = int(note.extensions[0].removeprefix("bytes "))
        for record in iter_log((self.log_folder / RELEASES).read_bytes()[:covered]):
            if record.is_checkpoint or record.body in self.bodies:
                continue
            self.bodies.add(record.body)
            entry = decode_entry(record.body)
            if isinstance(entry, Release):
                for start in range(entry.window_start, entry.window_start + entry.window_s):
                    known = self.seen.setdefault((entry.stream, start), (entry.payload, entry.charge))
                    assert known[0] == entry.payload, f"{entry.stream} {start} twice"

    def check_charges(self) -> None:
        """I4: every window that anybody has read is in the log at its charge."""
        assert self.log is not None
        charged: dict[tuple[str, int], Fraction] = {}
        for entry in self.log.entries():
            if isinstance(entry, Release | Gap) and entry.charge is not None:
                start = entry.window_start if isinstance(entry, Release) else entry.first_start
                count = 1 if isinstance(entry, Release) else entry.count
                for each in range(start, start + count * entry.window_s):
                    charged[entry.stream, each] = entry.charge.rho
        for (stream, start), (_, charge) in self.seen.items():
            if charge is not None and charge.rho:
                assert charged.get((stream, start), Fraction(-1)) >= charge.rho, (stream, start)

    def audit(self, log: Path, name: str) -> None:
        copy = self.folder / f"export-{name}"
        shutil.rmtree(copy, ignore_errors=True)
        export(log, copy)
        newest_first = [cose.public_bytes(key) for key in reversed(self.keys)]
        verdict = audit(Inputs(ORIGIN, newest_first[0], log=copy, root=trust_root(), previous=tuple(newest_first[1:])))
        assert verdict.findings.shown == [], (name, verdict.findings.shown)

    # --- how a process ends ---------------------------------------------------------------------------------------

    def stop_process(self) -> None:
        assert self.log is not None
        with self._disks():
            self.log.close()
        self.log = None

    def kill(self) -> None:
        assert self.log is not None
        self.log._segment.close()
        self.log = None

    def again(self) -> None:
        """A new process on these files, some time later; files that are refused, rightly, are exchanged for those before they were spoiled."""
        self.boot_ns += self.rng.choice([0, 1, 3, 40, 700]) * NS
        best = self._best_known()
        log_size, log_decisions = self._left()
        try:
            self.restart()
        except LogDamaged as bad:
            self.refused += 1
            self.story.append(f"refused: {bad}")
            allowed = self.damaged or (best is not None and best.size > log_size and decisions(best) != log_decisions)
            if not allowed:
                raise
            self._restore("good")
            self.restart()
            self.look()
            return
        finally:
            self.damaged = False
        assert self.log is not None
        if best is not None and best.size > log_size and best.origin == self.origin_left:
            assert decisions(best) == log_decisions, "a decision was lost and the log goes on"
            first = self.entries[0]
            assert isinstance(first, LogLost)
            assert decode_checkpoint(first.checkpoint).size >= best.size, "the newest that is known"
        self.look()
        self.tick(1)
        if self.storage and self.collection.clock_right:
            self.tick(1)
            self.check_charges()

    damaged = False
    origin_left = ""

    def _left(self) -> tuple[int, int]:
        notes = notes_of(self.log_folder / RELEASES)
        if not notes:
            return 0, 0
        last = decode_checkpoint(notes[-1])
        self.origin_left = last.origin
        extra = self._after_last()
        return last.size + len(extra), decisions(last) + sum(
            type(e).__name__ in ("PolicyOffered", "PolicyTaken", "StopTaken", "GovernanceTaken") for e in extra
        )

    def _after_last(self) -> list[Entry]:
        out: list[Entry] = []
        for record in iter_log((self.log_folder / RELEASES).read_bytes()):
            if record.is_checkpoint:
                out = []
            else:
                out.append(decode_entry(record.body))
        return out

    def _best_known(self) -> Checkpoint | None:
        found = []
        if self.copy.exists():
            found += [checkpoint for _, checkpoint in KeptCheckpoint(self.copy).slots()]
        if self.shown.exists():
            found.append(decode_checkpoint(self.shown.read_bytes()))
        notes = notes_of(self.log_folder / RELEASES)
        origin = decode_checkpoint(notes[0]).origin if notes else ORIGIN
        return max((each for each in found if each.origin == origin), key=lambda each: each.size, default=None)

    def _keep(self, name: str) -> Path:
        kept = self.folder / name
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(self.unit, kept)
        return kept

    def _restore(self, name: str) -> None:
        shutil.rmtree(self.unit)
        shutil.copytree(self.folder / name, self.unit)
