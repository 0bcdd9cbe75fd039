"""A log that follows one of which a part was lost (AN-64): is the loss owned up to, and what does it explain? OP-32 of SPEC.md. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from agent.contracts.log import AFTER, MAX_UNKEPT, LogLost, logged_until, unit_path
from agent.errors import EncodingError, SignatureError
from agent.operations.findings import Findings, Kind
from agent.wire.tlog import Checkpoint, signed_by, split_note


@dataclass(frozen=True, slots=True)
class Loss:
    """The checkpoint known of the lost log, how many entries of it were left and their root, and the instant (Unix seconds) it reached."""

    lost: Checkpoint
    kept: int
    root: bytes
    until: int

    @property
    def most(self) -> int:
        """Entries that the lost log can have had."""
        return self.lost.size + MAX_UNKEPT

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
        until = logged_until(lost)
    except (EncodingError, SignatureError) as bad:
        findings.add(Kind.FALSE_LOSS, "entry 0", str(bad)[:200])
        return None
    named = f"{unit_path(lost.origin)}{AFTER}{lost.size}-{lost.root[:16].hex()}"
    if origin != named or not 0 <= first.kept < lost.size or len(first.root) != 32:
        findings.add(Kind.FALSE_LOSS, "entry 0", f"a log named {origin}, whose loss would name it {named}"[:200])
        return None
    return Loss(lost, first.kept, first.root, until)
