"""A World whose log is the real release log on a disk, so that clocks and files can be bent; the attacker keeps every published byte."""

import shutil
from pathlib import Path

from agent.anonymizer.checkpoint import logged_origin
from agent.anonymizer.closing import Due
from agent.anonymizer.ledger import Ledger
from agent.anonymizer.log import ReleaseLog
from agent.anonymizer.successor import begin_successor
from agent.contracts.log import Release, decode_entry
from agent.contracts.log_file import LOGGED, RELEASES, iter_records
from agent.errors import DtprError, LogShortened
from agent.policy.model import Policy
from agent.wire import tlog
from tests.anonymizer.stage import BIKE, KEY, ORIGIN
from tests.anonymizer.worlds import World
from tests.privacy.published import Published

PUBLIC = KEY.public_key().public_bytes_raw()


class DiskWorld(World):
    """`folder` holds `log/`, and the copy of its checkpoint unless `copied` is False."""

    def __init__(self, policy: Policy, folder: Path, published: Published, *, copied: bool = True) -> None:
        self.folder = folder
        self.log_folder = folder / "log"
        self.copy = folder / "checkpoint" if copied else None
        self.published = published
        self.followed = 0
        self._release_log: ReleaseLog | None = None
        super().__init__(policy)

    def restart(self) -> None:
        """A new process on the files as they are now; raises what a start raises."""
        self.end()
        self._release_log = self._open(logged_origin(self.log_folder, self.copy) or ORIGIN)
        self.entries = list(self._release_log.entries())
        super().restart()

    def _open(self, origin: str) -> ReleaseLog:
        """As the daemon does."""
        try:
            return ReleaseLog(self.log_folder, origin, KEY, Ledger().fold, copy=self.copy)
        except LogShortened as short:
            self.followed += 1
            return self._open(begin_successor(self.log_folder, origin, KEY, short, lambda: None)[0])

    def _log(self, due: Due) -> Due:
        """On the disk; the attacker reads what the checkpoint covers."""
        assert self._release_log is not None
        self._release_log.ready()
        self._release_log.append(due.entries)
        super()._log(due)
        self.read()
        return due

    def read(self) -> None:
        """What a reader of the folder gets."""
        checkpoint = tlog.decode_checkpoint((self.log_folder / LOGGED).read_bytes())
        tlog.open_checkpoint((self.log_folder / LOGGED).read_bytes(), checkpoint.origin, PUBLIC)
        covered = int(checkpoint.extensions[0].removeprefix("bytes "))
        data = (self.log_folder / RELEASES).read_bytes()[:covered]
        for _, record in iter_records(data):
            entry = decode_entry(record)
            if isinstance(entry, Release):
                self.published.see(entry)

    def live(self, seconds: int) -> None:
        """Some crowded seconds."""
        for _ in range(seconds):
            self.tick(1)
            self.count([BIKE] * 1000)

    def end(self) -> None:
        """The process is gone."""
        if self._release_log is not None:
            self._release_log.close()
            self._release_log = None

    def backup(self, name: str) -> Path:
        """A copy of everything."""
        self.end()
        kept = self.folder.with_name(name)
        shutil.copytree(self.folder, kept)
        return kept

    def put_back(self, kept: Path, *, copy_too: bool) -> None:
        """The log's folder from a backup, with or without the copy of the checkpoint."""
        self.end()
        shutil.rmtree(self.log_folder, ignore_errors=True)
        if (kept / "log").exists():
            shutil.copytree(kept / "log", self.log_folder)
        if copy_too:
            (self.folder / "checkpoint").unlink(missing_ok=True)
            if (kept / "checkpoint").exists():
                shutil.copy(kept / "checkpoint", self.folder / "checkpoint")

    def starts(self) -> bool:
        """Does a process start on these files? On an empty log it is offered its policy again."""
        try:
            self.restart()
        except DtprError:
            return False
        if not self.entries:
            self.look()
            self.offer(self.policy)
        return True
