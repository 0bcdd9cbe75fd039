"""R9: the ledger truncated, with a bit flipped, deleted, rolled back, at every place that matters; the unit starts again if it can.

What it published over all its lives must not have cost more than the cap in any period. Crashes at every system call: crash*.py here.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import pytest

from agent.anonymizer.checkpoint import Past
from agent.contracts.log_file import LOGGED, RELEASES
from agent.wire import tlog
from tests.anonymizer.stage import ORIGIN, make_policy
from tests.privacy.disk_world import PUBLIC, DiskWorld
from tests.privacy.published import Published
from tests.privacy.table import Record

POLICY = make_policy(window=5, notice="5 seconds")
PERIOD_S, M = 600, 4
BACK_NS = 40 * 10**9

Damage = Callable[[DiskWorld], None]


def used(world: DiskWorld) -> int:
    """Bytes that the checkpoint covers."""
    note = tlog.open_checkpoint((world.log_folder / LOGGED).read_bytes(), ORIGIN, PUBLIC)
    return int(note.extensions[0].removeprefix("bytes "))


def truncate(name: str, length: int) -> Damage:
    return lambda world: os.truncate(world.log_folder / name, length)


def flip(name: str, at: int) -> Damage:
    def damage(world: DiskWorld) -> None:
        path = world.log_folder / name
        data = bytearray(path.read_bytes())
        data[at % len(data)] ^= 1 << at % 8
        path.write_bytes(data)

    return damage


def delete(*names: str) -> Damage:
    def damage(world: DiskWorld) -> None:
        for name in names:
            path = world.folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return damage


def roll_back(kept: Path) -> Damage:
    return lambda world: world.put_back(kept, copy_too=False)


def damages(whole: DiskWorld, backups: list[Path]) -> Iterator[tuple[str, Damage]]:
    """Every way to spoil the log of `whole`."""
    end = used(whole)
    for at in [*range(0, end, end // 40), end - 1, end, end + 10]:
        yield "truncated", truncate(RELEASES, at)
        yield "flipped", flip(RELEASES, at)
    for at in range(0, (whole.log_folder / LOGGED).stat().st_size, 9):
        yield "truncated", truncate(LOGGED, at)
        yield "flipped", flip(LOGGED, at)
    for names in (
        ("log/releases",),
        ("log/logged",),
        ("log",),
        ("log/releases", "log/logged"),
    ):
        yield "deleted", delete(*names)
    for kept in backups:
        yield "rolled back", roll_back(kept)


class Attack:
    """One unit lives, is spoiled in every way, and lives on where it can, with its clock right and with its clock set back."""

    def __init__(self, folder: Path, *, copied: bool = True) -> None:
        self.published = Published()
        self.world = DiskWorld(POLICY, folder / "unit", self.published, copied=copied)
        backups = []
        for life in range(3):
            self.world.live(20)
            backups.append(self.world.backup(f"backup{life}"))
            self.world.restart()
        self.world.live(10)
        self.newest = self.world.backup("newest")
        self.copied = copied
        self.backups = backups
        self.tried = self.started = 0
        self.worst = Fraction(0)
        self.most = 0

    def run(self, damages: Iterator[tuple[str, Damage]]) -> None:
        """Each of them, twice."""
        boot_ns, offset_ns = self.world.boot_ns, self.world.offset_ns
        for _, damage in damages:
            for back_ns in (0, BACK_NS):
                self.world.put_back(self.newest, copy_too=self.copied)
                damage(self.world)
                self.world.boot_ns, self.world.offset_ns = boot_ns, offset_ns - back_ns
                self.tried += 1
                self.world.published = self.published.copy()
                if self.world.starts():
                    self.started += 1
                    self.world.live(15)
                    self.world.end()
                self.worst = max(self.worst, self.world.published.dearest_period(PERIOD_S, M))
                self.most = max(self.most, self.world.published.most)


def test_no_damage_makes_a_window_cost_twice(tmp_path: Path, record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    """AN-54, AN-58, I4, I5: cap 1/8 over all lives together; a unit that starts goes on behind its last window.
    False alarms: none; a control is missed when each of three windows is drawn the same twice, 1e-7."""
    attack = Attack(tmp_path)
    whole = attack.world
    attack.run(damages(whole, attack.backups))
    assert attack.most == 1
    assert attack.worst <= POLICY.cap_rho
    assert 0 < attack.started < attack.tried

    found = {}
    without_copy = Attack(tmp_path / "uncopied", copied=False)
    without_copy.run(("rolled back", roll_back(kept)) for kept in without_copy.backups)
    found["no copy of the checkpoint"] = without_copy.worst

    monkeypatch.setattr(Past, "require_size", lambda self, head, decided: None)
    monkeypatch.setattr(Past, "require_root", lambda self: None)
    unread = Attack(tmp_path / "unread")
    unread.run(("rolled back", roll_back(kept)) for kept in unread.backups)
    found["a copy that nobody compares"] = unread.worst
    assert all(rho > POLICY.cap_rho for rho in found.values()), found
    record(
        "R9",
        f"ledger truncated, flipped, deleted, rolled back: {attack.tried} ways",
        measured=f"rho {attack.worst} in any period; {attack.started} started, {attack.tried - attack.started} refused",
        claim=f"<= {POLICY.cap_rho}",
        caught=[f"{name} ({rho})" for name, rho in found.items()],
    )
