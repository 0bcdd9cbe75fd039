"""A log that follows one of which a part was lost (AN-64): is the loss owned up to, and what does it explain? OP-32 of SPEC.md. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent.contracts.log import LogLost
from agent.contracts.log_file import AFTER, MAX_UNKEPT, decisions, logged_until, unit_path
from agent.errors import EncodingError, SignatureError
from agent.operations.findings import Findings, Kind
from agent.wire.tlog import Checkpoint, signed_by, split_note

_ANY = 2**63


@dataclass(frozen=True, slots=True)
class Loss:
    """The checkpoint known of the lost log, how many entries of it were left and their root, the instant (Unix seconds) it reached, and how many decisions
    of governance it had."""

    lost: Checkpoint
    kept: int
    root: bytes
    until: int
    decided: int

    @property
    def most(self) -> int:
        """Entries that the lost log can have had."""
        return self.lost.size + MAX_UNKEPT

    @property
    def places(self) -> int:
        """Entries that it, or one that it follows itself, can have had: how long those were, nothing here says."""
        return _ANY if AFTER in self.lost.origin else self.most

    def words(self) -> str:
        """For people."""
        return f"{self.lost.size - self.kept} of {self.lost.size} entries of {self.lost.origin} were lost; nothing up to {self.until} is released again"

    def judge(self, head: Checkpoint, where: str, findings: Findings) -> None:
        """Hold a checkpoint of the lost log against what is said of it."""
        known = {self.lost.size: self.lost.root, self.kept: self.root}
        if known.get(head.size, head.root) != head.root:
            findings.add(
                Kind.FORKED_LOG, where, f"another root for {head.size} entries than the loss in the log's first entry"
            )
        elif head.size > self.most:
            findings.add(
                Kind.ROLLED_BACK, where, f"it covers {head.size} entries, the loss owns up to {self.lost.size}"
            )


def named_after(origin: str) -> tuple[int, str] | None:
    """Size and root (the first 16 bytes, hex) of the lost log's checkpoint that a log of this name follows; None for a first log."""
    size, dash, root = origin.partition(AFTER)[2].partition("-")
    if not (dash and size.isascii() and size.isdigit() and len(size) < 19):
        return None
    return int(size), root


class Followers:
    """Checkpoints of logs that follow the one audited, or the one that it follows itself: it ended where they begin, and there is one of them."""

    def __init__(self, own: Checkpoint, roots: Mapping[int, bytes], loss: Loss | None) -> None:
        self._own = own
        self._roots = roots
        self._loss = loss
        self._first = ""

    def judge(self, head: Checkpoint, where: str, findings: Findings) -> bool:
        """Does it belong to one that follows? What contradicts is a finding."""
        named = named_after(head.origin)
        if named is None:
            return False
        loss = self._loss
        if loss is not None and named == (loss.kept, loss.root[:16].hex()):
            findings.add(
                Kind.FORKED_LOG, where, f"another log that follows {loss.lost.origin}, after {loss.kept} entries"[:200]
            )
            return True
        if self._roots.get(named[0], b"")[:16].hex() != named[1]:
            return False
        if self._own.size > named[0] + MAX_UNKEPT:
            findings.add(
                Kind.FORKED_LOG,
                where,
                f"a log that follows after {named[0]} entries; this one has gone on to {self._own.size}",
            )
        elif self._first not in ("", head.origin):
            findings.add(Kind.FORKED_LOG, where, f"a second log that follows this one, besides {self._first}"[:200])
        self._first = self._first or head.origin
        return True


def loss_of(first: LogLost | None, origin: str, keys: Sequence[bytes], findings: Findings) -> Loss | None:
    """What the first entry of the log named `origin` says, by a note that one of the unit's `keys` signed; None where it names none, or (a finding) none that can be."""
    if first is None:
        if AFTER in origin:
            findings.add(Kind.FALSE_LOSS, "entry 0", f"no loss in a log named {origin}"[:200])
        return None
    try:
        lost, signatures = split_note(first.checkpoint)
        if not any(signed_by(lost, signatures, lost.origin, key) for key in keys):
            raise SignatureError("checkpoint", expected=f"a signature by {lost.origin}", got="none by the unit's key")
        until, decided = logged_until(lost), decisions(lost)
    except (EncodingError, SignatureError) as bad:
        findings.add(Kind.FALSE_LOSS, "entry 0", str(bad)[:200])
        return None
    named = f"{unit_path(lost.origin)}{AFTER}{lost.size}-{lost.root[:16].hex()}"
    if origin != named or not 0 <= first.kept < lost.size or len(first.root) != 32:
        findings.add(Kind.FALSE_LOSS, "entry 0", f"a log named {origin}, whose loss would name it {named}"[:200])
        return None
    return Loss(lost, first.kept, first.root, until, decided)
