"""The release log (contracts/log, contracts/log_file): append entries and their checkpoint in one write, make it durable, then show it to readers.

Invariants: bytes become visible (the checkpoint by itself covers them) only after fdatasync has returned; nothing that a checkpoint covers
is ever changed or removed; one process writes; what follows the last checkpoint on start is kept when it is whole and zeroed when torn.
A record that is whole, in order and beyond the checkpoint was durable or could have been: it is covered, never drawn again (I5).
An append that fails leaves nothing of itself behind the end.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.anonymizer.bundle_file import BundleFile
from agent.anonymizer.checkpoint import (
    OTHER_KEY,
    RESTORE,
    KeptCheckpoint,
    Past,
    first_record,
    is_signed,
    names_key,
    read_shown,
    require_continues,
    show,
    verified,
)
from agent.anonymizer.extent import Bundle, Extent
from agent.anonymizer.resumption import Resumption, resumption
from agent.anonymizer.segment import STEP_BYTES, Segment
from agent.contracts.log import Entry, KeyRotated, LogLost, decode_entry
from agent.contracts.log_file import LOGGED, MAX_UNKEPT, Record, covered_bytes, notes_in, pack_checkpoint, pack_record
from agent.errors import BadInput, EncodingError, InvariantBroken, LogDamaged, StorageUnavailable
from agent.wire import tlog
from agent.wire.cose import public_bytes
from agent.wire.tlog import MAX_NOTE_BYTES, Checkpoint

RESERVE_BYTES = STEP_BYTES // 2
"""Less than this left and no more to be had closes the gate: hours of windows still fit, saying `not_collected`."""

KEEP_EVERY = MAX_UNKEPT + 1
"""The copy outside the folder follows when it is so many entries behind."""

_UNKEPT_BYTES = 1 << 20
"""Without a copy: so much of the end is written again on start."""


def _any_order(entry: Entry) -> None:
    """For who only keeps entries."""


def _no_matter() -> None:
    """For who does not wait."""


class ReleaseLog:
    """An open log. `recovered` says in words what was done to its tail on opening, or None.

    On opening, `fold` is called with each entry in order and raises LogDamaged for one that cannot follow those before it. With `resume`
    it begins, if it can, behind a bundle's beginning: what the entries before come to goes to `resume`, and `unread` is how many
    they are. Otherwise the whole log is read. `progress` is called for each record read. `copy` is where the checkpoint is kept a second
    time, outside `folder`: a log that is shorter (LogShortened), or another, was put back or exchanged. `shown` is the checkpoint by
    itself, which readers go by; it need not outlive the power. `formerly` are public keys that signed this log before `key` did: a log
    whose last checkpoint is by one of them is opened with `rotation_owed`, and nothing is signed with `key` before a KeyRotated is appended.
    """

    def __init__(
        self,
        folder: Path,
        origin: str,
        key: Ed25519PrivateKey,
        fold: Callable[[Entry], None] = _any_order,
        progress: Callable[[], None] = _no_matter,
        *,
        copy: Path | None = None,
        shown: Path | None = None,
        resume: Callable[[Resumption], None] | None = None,
        formerly: Sequence[bytes] = (),
    ) -> None:
        self.rotation_owed = False
        self._rotated = False
        self._origin = origin
        self._key = key
        self._public = (public_bytes(key), *formerly)
        self._fold = fold
        self._resume = resume
        self._copy = KeptCheckpoint(copy) if copy is not None else None
        self._shown = shown or folder / LOGGED
        self._extent = Extent()
        self._note = b""
        self._shown_note = b""
        self.unread = 0
        self._whole: list[Bundle] = []
        self.recovered: str | None = None
        self._bundles = BundleFile(folder)
        self._segment = Segment(folder, progress)
        self._path = self._segment.path
        try:
            self._recover()
        except BaseException:
            self._segment.close()
            raise

    @property
    def size(self) -> int:
        """Entries in the log."""
        return self._extent.size

    @property
    def end(self) -> int:
        """Where the last entry ends in the file."""
        return self._extent.end

    @property
    def head(self) -> Checkpoint | None:
        """The tree head, once what it covers may be seen: None while a checkpoint is owed."""
        return Checkpoint(self._origin, self.size, self._extent.head.root()) if self.covered else None

    @property
    def room(self) -> int:
        """Bytes allocated and not yet used."""
        return self._segment.room

    @property
    def covered(self) -> bool:
        """Can readers see every entry, and is the copy as new as it must be?"""
        return self._shown_note == self._note and not self._copy_is_due(KEEP_EVERY)

    def close(self) -> None:
        """Bring the copy up to date and give up the file and its lock."""
        try:
            if self._copy_is_due(1):
                with contextlib.suppress(StorageUnavailable):  # the next start does it
                    self._keep()
        finally:
            self._segment.close()

    def entries(self) -> Iterator[Entry]:
        """Every entry from the first, decoded; raise LogDamaged."""
        number = 0
        for record in self._segment.records():
            if not record.is_checkpoint and record.end <= self.end:
                yield decode_entry(record.body, f"{self._path} entry {number}")
                number += 1

    def ready(self) -> bool:
        """Allocate ahead and show what was not yet shown; False when the disk does not allow it now."""
        try:
            if not self.covered:
                self._cover()
            if self.room < RESERVE_BYTES:
                self._segment.allocate(STEP_BYTES)
        except StorageUnavailable:
            return False
        return True

    def append(self, entries: Sequence[Entry]) -> None:
        """Write `entries` and the checkpoint over them in one go, make them durable, then show them.

        Raises StorageUnavailable when they do not fit: then nothing was logged, unless `size` has grown, when only the
        showing is owed (`ready` does it later). Raises InvariantBroken when a sync fails: the process must end.
        """
        if self.rotation_owed and not any(isinstance(entry, KeyRotated) for entry in entries):
            raise InvariantBroken(f"{self._path}: something else than the rotation is signed with the new key first")
        extent, records, whole = self._extent.copy(), b"", []
        for entry in entries:
            body = entry.encode()
            records += pack_record(body)
            bundle = extent.add(entry, body, self._segment.next + len(records))
            whole += [bundle] if bundle is not None else []
        note = self._sign(extent)
        self._segment.append(records + pack_checkpoint(note, extent.end))
        self._extent, self._note = extent, note
        for bundle in whole:
            self._bundles.add(bundle)
        rotated, self.rotation_owed = self.rotation_owed, False
        self._cover(every=1 if rotated else KEEP_EVERY, anew=rotated)

    # --- opening --------------------------------------------------------------------------------------------------

    def _recover(self) -> None:
        kept = self._copy.read(self._public) if self._copy is not None else None
        shown = read_shown(self._shown, self._origin, self._public)
        pasts = [Past(self._shown, shown)]
        follows = kept is not None and kept[1].origin != self._origin
        if self._copy is not None and not follows:
            pasts.insert(0, Past(self._copy.path, kept))
        elif self._copy is not None:
            self._copy.size = -1  # nothing is kept of this log yet, however long the one before it was
        said = self._begin_at(pasts, self._resume) if self._resume is not None and not follows else []
        last = self._read(pasts, kept[1] if kept is not None and follows else None)
        if last is None:
            require_continues((*pasts, *self._overwritten(1)), self._extent.head, self._extent.decided)
            self._begin()
            return
        checkpoint, torn = last
        uncovered = self.size - checkpoint.size
        self.rotation_owed = not (self._rotated or is_signed(self._note, self._origin, self._public[:1]))
        if torn:
            self._segment.zero_tail()
        words = [f"{uncovered} whole entries kept"] * bool(uncovered) + [self._removed] * torn
        if words:
            said.insert(0, f"after the checkpoint: {', '.join(words)}")
        if self._copy is not None and kept is None and checkpoint.size:
            said.append(f"taken as it is: {self._copy.path}, which would tell an older one, was absent")
        if self._bundles.absent and self._whole:
            said.append(f"read as a whole: {self._bundles.path} was absent")
        self.recovered = "; ".join(said) or None
        since = covered_bytes(kept[1]) if kept is not None and not follows else self._segment.next - _UNKEPT_BYTES
        self._segment.write_again(max(0, since))
        if uncovered and not self.rotation_owed:
            self._mark()
        self._bundles.keep(self._whole)
        self._whole = []
        with contextlib.suppress(StorageUnavailable):  # `ready` tells, and tries again
            self._cover(every=1)

    def _begin_at(self, pasts: Sequence[Past], resume: Callable[[Resumption], None]) -> list[str]:
        """Go to the newest state from which the log can be read on; else what is wrong with the file of bundles."""
        known = [past.size for past in pasts if past.size is not None]
        try:
            bundles = self._bundles.read()
            found = resumption(bundles, self._segment.records, self._verify, min(known, default=None))
            if found is None:
                return []
            resume(found)
        except BadInput as bad:
            return [f"read as a whole: {bad}"]
        self._extent, self._whole, self.unread = found.extent, list(found.bundles), found.size
        self._segment.next = found.at
        return []

    def _read(self, pasts: Sequence[Past], before: Checkpoint | None) -> tuple[Checkpoint, bool] | None:
        """Read and fold everything that is unread: the last checkpoint, and whether anything torn follows; None for a log that has not begun.
        `before` is the checkpoint of the log that this one must follow."""
        last: tuple[Record, Checkpoint] | None = None
        disorder: LogDamaged | None = None
        for past in pasts:
            past.see(self._extent.head)
        for record in self._segment.records(self._segment.next):
            if record.start == 0:
                first_record(record, self._path)
            if record.is_checkpoint:
                if disorder is not None:
                    raise disorder
                last = record, self._extent.checkpoint(self._origin, record.start)
                self._rotated = False
                self._segment.next = record.end
                continue
            if disorder is not None:
                continue
            entry = decode_entry(record.body, f"{self._path} entry {self.size}")
            try:
                self._fold(entry)
            except LogDamaged as bad:  # left behind by an append that failed, unless a checkpoint covers it
                disorder = bad
                continue
            if self.size == 0 and before is not None:
                self._require_follows(entry, before)
            self._rotated |= isinstance(entry, KeyRotated) and names_key(entry.message, self._public[0])
            bundle = self._extent.add(entry, record.body, record.end)
            self._whole += [bundle] if bundle is not None else []
            for past in pasts:
                past.see(self._extent.head)
            self._segment.next = record.end
        if last is None:
            return None
        self._note, checkpoint = self._verified(last)
        torn = not self._segment.is_zero(self._segment.next)
        self._removed = "one out of order removed" if disorder is not None else "a torn one removed"
        if before is not None and self.size == 0:
            raise self._damaged(f"a log that follows that of {before.origin}", "an empty one")
        if torn:
            pasts = [*pasts, *self._overwritten(2)]
        require_continues(pasts, self._extent.head, self._extent.decided)
        return checkpoint, torn

    def _verify(self, note: bytes) -> Checkpoint:
        return verified(note, self._origin, self._public)

    def _verified(self, last: tuple[Record, Checkpoint]) -> tuple[bytes, Checkpoint]:
        record, expected = last
        try:
            if self._verify(record.body) != expected:
                raise ValueError("the checkpoint of other bytes")
        except ValueError as bad:
            raise LogDamaged(
                str(self._path),
                expected=f"the checkpoint of {self._origin} over {expected.size} entries",
                got=str(bad),
                remedy=RESTORE if is_signed(record.body, self._origin, self._public) else OTHER_KEY,
            ) from None
        return record.body, expected

    def _overwritten(self, least: int) -> list[Past]:
        """A write that power cut short leaves at most one checkpoint behind the break, its own: two of them were durable, and what is broken
        before them is damage. Before the first record is durable there is none at all."""
        found: dict[int, tuple[bytes, Checkpoint]] = {}
        for block in self._segment.blocks(MAX_NOTE_BYTES):
            for note in notes_in(block, self._origin):
                with contextlib.suppress(ValueError):
                    checkpoint = self._verify(note)
                    if checkpoint.size > self.size:
                        found[checkpoint.size] = note, checkpoint
        return [Past(self._path, found[max(found)])] if len(found) >= least else []

    def _require_follows(self, first: Entry, before: Checkpoint) -> None:
        """The copy may still be of the log that this one follows."""
        with contextlib.suppress(EncodingError):
            if isinstance(first, LogLost):
                lost = tlog.decode_checkpoint(first.checkpoint)
                if lost.origin == before.origin and lost.size >= before.size:
                    return
        raise self._damaged(f"the log of {before.origin}, as its copy says, or one that follows it", self._origin)

    def _damaged(self, expected: str, got: str) -> LogDamaged:
        return LogDamaged(str(self._path), expected=expected, got=got, remedy=RESTORE)

    def _begin(self) -> None:
        """A new log: its first record is the checkpoint of no entries."""
        if not self._segment.is_zero(MAX_NOTE_BYTES):
            raise self._damaged("a log that begins with its checkpoint", "damage")
        self._segment.begin()
        self._mark()
        self._cover(every=1, anew=True)

    def _mark(self) -> None:
        """Append a checkpoint over the entries that are there."""
        self._note = self._sign(self._extent)
        self._segment.append(pack_checkpoint(self._note, self._segment.next))

    def _sign(self, extent: Extent) -> bytes:
        return tlog.sign_checkpoint(extent.checkpoint(self._origin, extent.end), self._origin, self._key)

    def _cover(self, *, every: int = KEEP_EVERY, anew: bool = False) -> None:
        """What is durable may be seen; and the copy follows when it is `every` entries behind."""
        show(self._shown, self._note)
        self._shown_note = self._note
        if anew or self._copy_is_due(every):
            self._keep(anew=anew)

    def _copy_is_due(self, every: int) -> bool:
        return self._copy is not None and (self._copy.size < 0 or self.size - self._copy.size >= every)

    def _keep(self, *, anew: bool = False) -> None:
        if self._copy is not None:
            self._copy.write(self._note, self.size, anew=anew)
