"""Random lives of a unit on a disk: windows, policies, gate and boards, kills in mid-append, keys rotated, files put back from backups or spoiled, full
disks and bent clocks, in bundles of eight entries. More of them: `python -m tests.anonymizer.test_disk_life FIRST LAST`."""

import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.anonymizer.board_history import MAX_A_DAY
from agent.anonymizer.bundle_file import BUNDLES
from agent.anonymizer.rotation import Rotated
from agent.anonymizer.window import NS
from agent.contracts.log import Release
from agent.contracts.log_file import RELEASES, decisions, iter_log
from agent.contracts.reading import Kind
from agent.contracts.rotation import read_rotation, seal_rotation
from agent.errors import PolicyError
from agent.operations import audit, carried
from agent.wire import cose
from agent.wire.tlog import decode_checkpoint
from tests.anonymizer.disk_life import TWO, DiskUnit, key_hint, notes_of, two_streams
from tests.anonymizer.small_bundles import bundles_of
from tests.anonymizer.stage import ORIGIN, message

WIDTH = 8


class Life(DiskUnit):
    """What happens to it."""

    def act(self) -> None:
        """Something happens."""
        rng = self.rng
        event = rng.choice(EVENTS)
        self.story.append(event)
        getattr(self, "do_" + event)()

    def do_run(self) -> None:
        for _ in range(self.rng.randint(1, 25)):
            self.tick(1)
            if self.board:
                self.count([0, 1] * self.rng.randint(0, 20))

    def do_gate(self) -> None:
        for _ in range(self.rng.choice([1, 2, 5, 90])):
            self.on_air = not self.on_air
            self.collection.lease_end(1)
            self.tick(self.rng.choice([0.1, 0.5]))
        self.on_air = True
        self.tick(1)

    def do_hello(self) -> None:
        for _ in range(self.rng.choice([1, 2, MAX_A_DAY + 2])):
            self.firmware += 1
            board = replace(TWO, firmware=f"1.{self.firmware}", board_id=self.rng.choice(["sim", "other"]))
            self.deliver(message(Kind.BOARD, board.encode()))
            self.tick(1)

    def do_policy(self) -> None:
        try:
            self.offer(two_streams(self.version + 1, self.rng))
        except PolicyError:
            return
        self.version += 1
        for _ in range(self.rng.randint(0, 15)):
            self.tick(1)

    def do_stop_order(self) -> None:
        if self.rng.random() < 0.4 and self.storage:
            try:
                self.stop(f"order {self.rng.random()}")
            except PolicyError:
                return
            self.do_policy()

    def do_restart(self) -> None:
        self.stop_process()
        self._keep("good")
        if self.rng.random() < 0.5:
            self.shown.unlink(missing_ok=True)
        self.again()

    def do_kill(self) -> None:
        self.kill()
        self._keep("good")
        self.again()

    def do_torn(self) -> None:
        """Power goes in the middle of the append that this tick makes."""
        for _ in range(12):
            size = len(self.entries)
            self.tick(1)
            if len(self.entries) > size:
                break
        else:
            return
        before, copy = self.before_append
        self.kill()
        after = (self.log_folder / RELEASES).read_bytes()
        self._keep("good")
        begin = max(record.end for record in iter_log(before))
        end = max(record.end for record in iter_log(after))
        if end <= begin or len(before) != len(after):
            return self.again()
        # this append is the one that did not end: nobody has read anything of it
        for entry in self.entries[size:]:
            if isinstance(entry, Release):
                for start in range(entry.window_start, entry.window_start + entry.window_s):
                    self.seen.pop((entry.stream, start), None)
            self.bodies.discard(entry.encode())
        cut = self.rng.randint(begin, end)
        (self.log_folder / RELEASES).write_bytes(after[:cut].ljust(len(after), b"\0"))
        if copy is not None:
            self.copy.write_bytes(copy)
        self.shown.unlink(missing_ok=True)
        if self.rng.random() < 0.3:
            (self.log_folder / BUNDLES).unlink(missing_ok=True)
        self.again()

    def do_backup(self) -> None:
        self.kill()
        name = f"backup-{len(self.backups)}"
        self.backups.append(self._keep(name))
        self._keep("good")
        self.again()

    def do_put_back(self) -> None:
        """The log's folder comes back from a backup, the power stays or goes."""
        if not self.backups:
            return
        self.kill()
        self._keep("good")
        kept = self.rng.choice(self.backups[-3:])
        theirs, mine = (decode_checkpoint(notes_of(each / "log" / RELEASES)[-1]) for each in (kept, self.unit))
        what = self.rng.choice(["log", "releases", "log", "both", "copy"])
        self.story.append(f"put back {what}")
        if what == "both" and (decisions(theirs) != decisions(mine) or theirs.origin != mine.origin):
            what = "log"
        if self.key_of(kept) not in (self.key_of(self.unit), *(key_hint(theirs.origin, key) for key in self.keys[-2:])):
            return self.again()  # two rotations ago: refused
        if theirs.origin != mine.origin:
            return self.again()
        if what in ("log", "both"):
            shutil.rmtree(self.log_folder)
            shutil.copytree(kept / "log", self.log_folder)
        if what == "releases":
            shutil.copy(kept / "log" / RELEASES, self.log_folder / RELEASES)
        if what in ("copy", "both"):
            self.copy.unlink(missing_ok=True)
            if (kept / "checkpoint").exists():
                shutil.copy(kept / "checkpoint", self.copy)
        if what == "both" or self.rng.random() < 0.5:
            self.shown.unlink(missing_ok=True)
        self.again()

    def key_of(self, unit: Path) -> bytes:
        note = notes_of(unit / "log" / RELEASES)[-1]
        return note.rsplit(b" ", 1)[-1][:5]

    def do_bundles(self) -> None:
        self.stop_process()
        self._keep("good")
        path = self.log_folder / BUNDLES
        data = path.read_bytes() if path.exists() else b""
        match self.rng.choice(["gone", "bit", "cut", "another", "tail"]):
            case "gone":
                path.unlink(missing_ok=True)
            case "bit" if data:
                spoiled = bytearray(data)
                spoiled[self.rng.randrange(len(data))] ^= 1 << self.rng.randrange(8)
                path.write_bytes(spoiled)
            case "cut":
                path.write_bytes(data[: self.rng.randint(0, len(data))])
            case "tail":
                path.write_bytes(data + self.rng.randbytes(self.rng.choice([3, 40, 80])))
            case _:
                others = [each / "log" / BUNDLES for each in self.backups if (each / "log" / BUNDLES).exists()]
                if others:
                    shutil.copy(self.rng.choice(others), path)
        self.again()

    def _end_process(self, in_order: float) -> None:
        """With this probability by a stop, else by a kill."""
        if self.rng.random() < in_order:
            self.stop_process()
        else:
            self.kill()

    def do_lose(self) -> None:
        """The end of the log is gone: its last few appends."""
        if not self.recent:
            return
        if self.rng.random() < 0.5:
            self.do_run()
        self._end_process(in_order=0.3)
        self._keep("good")
        data, now = self.rng.choice(self.recent), (self.log_folder / RELEASES).read_bytes()
        size = len(now)
        if not now.startswith(data.rstrip(b"\0")) or self.rng.random() < 0.2:
            data = now  # damage instead, of so many records at the end
            records = list(iter_log(now))
            at = self.rng.choice(records[-6:])
            spoiled = bytearray(now)
            spoiled[self.rng.randrange(at.start, at.end)] ^= 1
            data = bytes(spoiled)
            self.damaged = True  # a decision may be among what is lost, known from behind it
        (self.log_folder / RELEASES).write_bytes(data.ljust(size, b"\0"))
        if self.rng.random() < 0.5:
            self.shown.unlink(missing_ok=True)
        self.again()

    def do_rotate(self) -> None:
        if not self.may_rotate:
            return
        self._end_process(in_order=0.5)
        new = Ed25519PrivateKey.from_private_bytes(self.rng.randbytes(32))
        said = seal_rotation(ORIGIN, self.key, cose.public_bytes(new), self.utc_s)
        self.rotated = Rotated(said, read_rotation(said))
        self.key = new
        self.keys.append(new)
        if self.rng.random() < 0.5:
            self.shown.unlink(missing_ok=True)
        self._keep("good")
        if self.rng.random() < 0.3 and self.backups:
            kept = self.backups[-1]
            theirs, mine = (decode_checkpoint(notes_of(each / "log" / RELEASES)[-1]) for each in (kept, self.unit))
            if theirs.origin == mine.origin and self.key_of(kept) == self.key_of(self.unit):
                self.story.append("put back a log as well")
                shutil.copy(kept / "log" / RELEASES, self.log_folder / RELEASES)
        self.again()

    def do_log_full(self) -> None:
        self.log_full = True
        for _ in range(self.rng.randint(1, 8)):
            self.tick(1)
        self.log_full = False

    def do_copy_full(self) -> None:
        self.copy_full = True
        for _ in range(self.rng.randint(1, 8)):
            self.tick(1)
        if self.rng.random() < 0.5:
            self.kill()
            self._keep("good")
            self.copy_full = False
            self.again()
        self.copy_full = False

    def do_absent(self) -> None:
        self.boot_ns += self.rng.choice([2, 30, 500, 2000]) * NS

    def do_clock(self) -> None:
        if self.rng.random() < 0.5:
            self.offset_ns += self.rng.randint(-8, 30) * NS
        else:
            self.clock_trusted = False
            self.run(self.rng.randint(1, 6), step=1)
            self.clock_trusted = True
        self.tick(1)


EVENTS = (
    "run",
    "run",
    "run",
    "run",
    "gate",
    "hello",
    "policy",
    "stop_order",
    "restart",
    "kill",
    "torn",
    "torn",
    "backup",
    "put_back",
    "lose",
    "lose",
    "bundles",
    "rotate",
    "log_full",
    "copy_full",
    "absent",
    "clock",
)


def live(seed: int, acts: int, folder: Path) -> Life:
    """That life, to its end."""
    with bundles_of(WIDTH), pytest.MonkeyPatch.context() as patch:
        for module in (carried, audit):
            patch.setattr(module, "WIDTH", WIDTH)
        life = Life(folder, seed)
        for _ in range(acts):
            life.act()
        life.stop_process()
        life.audit(life.log_folder, "end")
    return life


@pytest.mark.parametrize("seed", [0, 1])
def test_whatever_happens_no_window_is_released_twice_and_no_charge_is_lost(tmp_path: Path, seed: int) -> None:
    """AN-53, AN-54, AN-58, AN-64, AN-65, AN-66, AN-120, AN-126: I4 and I5 on a disk."""
    life = live(seed, 15, tmp_path)
    assert life.starts > 3


if __name__ == "__main__":
    for number in range(int(sys.argv[1]), int(sys.argv[2])):
        with tempfile.TemporaryDirectory() as name:
            lived = live(number, 40, Path(name))
            print(
                number, len(lived.entries), lived.starts, lived.losses, lived.refused, len(lived.keys), flush=True
            )  # a run by hand
