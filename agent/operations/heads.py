"""Checkpoints for the audit: read, held against each other and against the log (OP-28 of SPEC.md)."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.contracts.log_file import unit_path
from agent.errors import EncodingError, LogDamaged, SignatureError
from agent.operations.findings import Findings, Kind
from agent.operations.log_copy import is_there, read_regular
from agent.operations.received import Reception
from agent.operations.rotations import Course
from agent.wire.cosignature import Witness, verify_cosignatures
from agent.wire.tiles import CHECKPOINT
from agent.wire.tlog import MAX_NOTE_BYTES, Checkpoint, signed_by, split_note


@dataclass(frozen=True, slots=True)
class Head:
    """`before`: seen before the log copy was made, so that the log may not be shorter."""

    where: str
    checkpoint: Checkpoint
    before: bool


@dataclass(frozen=True, slots=True)
class Whose:
    """The unit, the course of its keys, and who should have cosigned; what is found goes to `findings`, `events` (Unix seconds, words) and `unjudged`."""

    origin: str
    course: Course
    witnesses: tuple[Witness, ...]
    findings: Findings
    events: list[tuple[int, str]]
    unjudged: list[str]

    def read(self, note: bytes, where: str) -> Checkpoint:
        """The checkpoint of the copy itself, with what its witnesses say; raises LogDamaged when it is none."""
        checkpoint = self._opened(note, where)
        self._cosigned(note, where)
        return checkpoint

    def seen(self, paths: Iterable[Path], earlier: Iterable[Path]) -> Iterator[Head]:
        """Those from before the copy was made: single ones, and those of `earlier` copies that have one."""
        kept = (folder / CHECKPOINT for folder in earlier)
        for path in (*paths, *(path for path in kept if is_there(path))):
            note = read_regular(path, MAX_NOTE_BYTES)
            counted = sum(self.findings.counts.values())
            checkpoint = self._opened(note, str(path))
            if sum(self.findings.counts.values()) == counted:  # what the unit did not sign proves nothing against it
                self._cosigned(note, str(path))
                yield Head(str(path), checkpoint, before=True)

    def received(self, reception: Reception) -> Iterator[Head]:
        """Those that came from the broker. Within one file they come in the order in which the unit signed them; what a broker kept it may show again."""
        newest: dict[tuple[str, str], int] = {}
        for where, origin, size, root, note, retained in reception.heads:
            if note is not None:
                counted = sum(self.findings.counts.values())
                checkpoint = self._opened(note, where)
                if sum(self.findings.counts.values()) > counted:
                    continue
            else:
                checkpoint = Checkpoint(origin, size, root)
            run = (where.rpartition(":")[0], checkpoint.origin)
            largest = newest.get(run, 0)
            if checkpoint.size < largest and not retained:
                self.findings.add(Kind.ROLLED_BACK, where, f"{checkpoint.size} entries, after {largest}")
            newest[run] = max(largest, checkpoint.size)
            yield Head(where, checkpoint, before=False)

    def _opened(self, note: bytes, where: str) -> Checkpoint:
        """The checkpoint, read even when its signature or origin is a finding; raises LogDamaged when it is no checkpoint."""
        checkpoint, signatures = split(note, where)
        own = unit_path(checkpoint.origin) == self.origin
        if not own:
            self.findings.add(Kind.OTHER_UNIT, where, f"a checkpoint of {checkpoint.origin}"[:200])
        name = checkpoint.origin if own else self.origin
        newest = checkpoint.size - 1
        number = self.course.signer(lambda key: bool(signed_by(checkpoint, signatures, name, key)), newest)
        if number is None:
            self.findings.add(Kind.CHECKPOINT_SIGNATURE, where, f"no signature by {name} with the unit's key"[:200])
        elif self.course.origin == checkpoint.origin and self.course.given_up(number, newest):
            self.findings.add(
                Kind.KEY_ROTATION, where, f"{checkpoint.size} entries are signed with a key that one of them gave up"
            )
        return checkpoint

    def _cosigned(self, note: bytes, where: str) -> None:
        try:
            seen = verify_cosignatures(note, self.witnesses)
        except SignatureError as bad:
            self.findings.add(Kind.CHECKPOINT_SIGNATURE, where, str(bad)[:200])
            return
        self.events.extend((time_s, f"{name} witnessed {where}") for name, time_s in seen.items())
        missing = [witness.name for witness in self.witnesses if witness.name not in seen]
        self.unjudged.extend(f"{where}: not cosigned by {name}" for name in missing)


def split(note: bytes, where: str) -> tuple[Checkpoint, list[tuple[str, bytes]]]:
    """A checkpoint and its signatures, not verified; raises LogDamaged naming `where` when it is none."""
    try:
        return split_note(note)
    except EncodingError as bad:
        raise LogDamaged(where, expected="a checkpoint", got=bad.got) from None


def agree(heads: Iterable[Head], findings: Findings) -> None:
    """Any two checkpoints of one size have one root."""
    known: dict[tuple[str, int], Head] = {}
    for head in heads:
        other = known.setdefault((head.checkpoint.origin, head.checkpoint.size), head)
        if other.checkpoint.root != head.checkpoint.root:
            findings.add(
                Kind.FORKED_LOG, head.where, f"another root for {head.checkpoint.size} entries than {other.where}"
            )


def contain(head: Head, own: Checkpoint, root: Callable[[int], bytes | None], whose: Whose) -> bool:
    """A checkpoint must cover a beginning of the log, whose first entries have the `root` of so many, None where that cannot be told. Does it?"""
    checkpoint = head.checkpoint
    if checkpoint.size <= own.size:
        known = root(checkpoint.size)
        if known is None:
            whose.unjudged.append(f"{head.where}: a checkpoint of {checkpoint.size} entries, whose hash tiles are gone")
        elif known != checkpoint.root:
            whose.findings.add(
                Kind.FORKED_LOG, head.where, f"the log's first {checkpoint.size} entries have another root"
            )
        return known == checkpoint.root
    if head.before:
        whose.findings.add(Kind.ROLLED_BACK, head.where, f"it covers {checkpoint.size} entries, the log has {own.size}")
    else:
        whose.unjudged.append(f"{head.where}: a checkpoint of {checkpoint.size} entries is newer than the log copy")
    return False
