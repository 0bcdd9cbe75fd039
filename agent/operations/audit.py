"""The audit: what a unit published is held against its log, and its log against its rules (OP-20 to OP-29 of SPEC.md)."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from agent.contracts.log import unit_path
from agent.contracts.public import open_envelope
from agent.errors import EncodingError, LogDamaged, MessageError, SignatureError, StorageUnavailable
from agent.operations.findings import Findings, Kind
from agent.operations.history import History
from agent.operations.log_copy import LogCopy, read_regular
from agent.operations.losses import Followers, named_after
from agent.operations.received import MAX_LINE_BYTES, Line, Reception, parse_line, signed_by
from agent.operations.shown import Shown, judge_shown
from agent.policy.governance import TrustRoot
from agent.wire.cosignature import Witness, verify_cosignatures
from agent.wire.tlog import EMPTY_ROOT, MAX_NOTE_BYTES, Checkpoint, TreeHead, decode_checkpoint, open_checkpoint

MAX_ENVELOPE_BYTES = 64 * 1024

MAX_POLICIES = 1000
"""One a week for twenty years; each window is held against those around it."""


@dataclass(slots=True)
class Inputs:
    """What is audited. `origin` is city/site/unit: `seen` are checkpoints from before the copy was made, `air` envelopes read over BLE."""

    origin: str
    public_key: bytes
    log: Path | None = None
    received: tuple[Path, ...] = ()
    seen: tuple[Path, ...] = ()
    air: tuple[Path, ...] = ()
    root: TrustRoot | None = None
    witnesses: tuple[Witness, ...] = ()


@dataclass(slots=True)
class Verdict:
    """What came out. `facts` is what was looked at, `events` (Unix seconds, words) the history of policies, `open` what could not be judged,
    `losses` what the unit owns up to have lost: no finding."""

    origin: str
    findings: Findings = field(default_factory=Findings)
    facts: dict[str, int] = field(default_factory=dict)
    windows: dict[str, int] = field(default_factory=dict)
    events: list[tuple[int, str]] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Head:
    where: str
    checkpoint: Checkpoint
    before: bool
    """Seen before the log copy was made: the log may not be shorter."""


def audit(inputs: Inputs) -> Verdict:
    """Do all of it; raises BadInput for an input that is none, StorageUnavailable."""
    verdict = Verdict(inputs.origin)
    findings = verdict.findings
    reception = Reception(findings)
    for where, line in _lines(inputs):
        reception.take(line, where)
    if reception.claims:
        verdict.open.append(f"{reception.claims} checkpoints that nobody verified: give `subscribe` the keys, or --raw")
    heads = [*_seen_heads(inputs, verdict), *_received_heads(inputs, reception, findings)]
    _agree(heads, findings)
    if inputs.log is None:
        verdict.open.append("no log copy: inclusion, budget, policies and gaps are not judged")
        verdict.facts = {"received": reception.received, "checkpoints": len(heads)}
        return verdict
    own, note = _own_head(inputs, findings)
    heads.append(_Head(str(inputs.log / "checkpoint"), own, before=False))
    _cosigned(note, str(inputs.log / "checkpoint"), inputs, verdict)
    history, roots = _replay(
        inputs,
        own,
        {_named_size(head.checkpoint, own) for head in heads},
        reception,
        findings,
    )
    if roots[own.size] != own.root:
        findings.add(Kind.ROOT, str(inputs.log), f"{own.size} entries")
    followers = Followers(own, roots, history.loss)
    for head in heads[:-1]:
        if head.checkpoint.origin == own.origin:
            _contained(head, own, roots, verdict)
        elif history.loss is not None and head.checkpoint.origin == history.loss.lost.origin:
            history.loss.judge(head.checkpoint, head.where, findings)
        elif followers.judge(head.checkpoint, head.where, findings):
            verdict.open.append(f"{head.where}: a checkpoint of the log that follows; audit that too")
        else:
            verdict.open.append(f"{head.where}: a checkpoint of another log of this unit, {head.checkpoint.origin}")
    loss = history.loss
    newer, before = reception.rest(own.size, history.newest_start, loss.most if loss is not None else 0)
    if loss is not None:
        verdict.losses.append(loss.words())
    if before:
        verdict.open.append(
            f"{before} releases are of the log before the loss; audit what is left of it, if it is kept"
        )
    _suspects(inputs, reception, findings)
    for path in inputs.air:
        _aired(path, inputs, history, verdict)
    for shown, where in reception.shown.items():
        _disclosed(shown, where, inputs, history, verdict)
    if newer:
        verdict.open.append(f"{newer} releases are newer than the log copy")
    if inputs.root is None:
        verdict.open.append("no trust root: who signed the policies is not judged")
    verdict.facts = {
        "entries": own.size,
        "received": reception.received,
        "confirmed": reception.confirmed,
        "checkpoints": len(heads),
    }
    verdict.windows, verdict.events = dict(history.windows), [*history.policies.events, *verdict.events]
    return verdict


def _named_size(checkpoint: Checkpoint, own: Checkpoint) -> int:
    """How many entries of the log audited it speaks of; 0 when of none."""
    named = (checkpoint.size, "") if checkpoint.origin == own.origin else named_after(checkpoint.origin)
    return named[0] if named is not None else 0


def _replay(
    inputs: Inputs, own: Checkpoint, sizes: set[int], reception: Reception, findings: Findings
) -> tuple[History, dict[int, bytes]]:
    """Read the whole log once: judge each entry, confirm what was received, and note the root at every size asked for."""
    assert inputs.log is not None
    history = History(
        own.origin if unit_path(own.origin) == inputs.origin else inputs.origin,
        inputs.public_key,
        inputs.root,
        findings,
    )
    head = TreeHead()
    roots = {0: EMPTY_ROOT}
    for data in LogCopy(inputs.log).entries(own.size):
        head.append(data)
        if head.size in sizes:
            roots[head.size] = head.root()
        index = history.size
        found = history.add(data)
        if len(history.policies.rules) > MAX_POLICIES:
            raise LogDamaged(str(inputs.log), expected=f"at most {MAX_POLICIES} policies in a unit's life", got="more")
        if found is not None:
            entry, layout, pack = found
            reception.confirm(entry, index, pack, layout.aggregate.terms)
    return history, roots


# --- checkpoints ------------------------------------------------------------------------------------------------------


def _own_head(inputs: Inputs, findings: Findings) -> tuple[Checkpoint, bytes]:
    assert inputs.log is not None
    note = LogCopy(inputs.log).note()
    return _opened(note, str(inputs.log / "checkpoint"), inputs, findings), note


def _opened(note: bytes, where: str, inputs: Inputs, findings: Findings) -> Checkpoint:
    """The checkpoint, read even when its signature or origin is a finding; raises LogDamaged when it is no checkpoint."""
    try:
        checkpoint = decode_checkpoint(note)
    except EncodingError as bad:
        raise LogDamaged(where, expected="a checkpoint", got=bad.got) from None
    own = unit_path(checkpoint.origin) == inputs.origin
    if not own:
        findings.add(Kind.OTHER_UNIT, where, f"a checkpoint of {checkpoint.origin}"[:200])
    try:
        open_checkpoint(note, checkpoint.origin if own else inputs.origin, inputs.public_key)
    except SignatureError as bad:
        findings.add(Kind.CHECKPOINT_SIGNATURE, where, str(bad)[:200])
    return checkpoint


def _seen_heads(inputs: Inputs, verdict: Verdict) -> Iterator[_Head]:
    for path in inputs.seen:
        note = read_regular(path, MAX_NOTE_BYTES)
        counted = sum(verdict.findings.counts.values())
        checkpoint = _opened(note, str(path), inputs, verdict.findings)
        if sum(verdict.findings.counts.values()) == counted:  # what the unit did not sign proves nothing against it
            _cosigned(note, str(path), inputs, verdict)
            yield _Head(str(path), checkpoint, before=True)


def _received_heads(inputs: Inputs, reception: Reception, findings: Findings) -> Iterator[_Head]:
    """Within one file they come in the order in which the unit signed them; what a broker kept it may show again."""
    newest: dict[tuple[str, str], int] = {}
    for where, origin, size, root, note, retained in reception.heads:
        if note is not None:
            counted = sum(findings.counts.values())
            checkpoint = _opened(note, where, inputs, findings)
            if sum(findings.counts.values()) > counted:
                continue
        else:
            checkpoint = Checkpoint(origin, size, root)
        run = (where.rpartition(":")[0], checkpoint.origin)
        largest = newest.get(run, 0)
        if checkpoint.size < largest and not retained:
            findings.add(Kind.ROLLED_BACK, where, f"{checkpoint.size} entries, after {largest}")
        newest[run] = max(largest, checkpoint.size)
        yield _Head(where, checkpoint, before=False)


def _agree(heads: list[_Head], findings: Findings) -> None:
    """Any two checkpoints of one size have one root."""
    known: dict[tuple[str, int], _Head] = {}
    for head in heads:
        other = known.setdefault((head.checkpoint.origin, head.checkpoint.size), head)
        if other.checkpoint.root != head.checkpoint.root:
            findings.add(
                Kind.FORKED_LOG, head.where, f"another root for {head.checkpoint.size} entries than {other.where}"
            )


def _contained(head: _Head, own: Checkpoint, roots: dict[int, bytes], verdict: Verdict) -> None:
    """A checkpoint must cover a beginning of the log."""
    checkpoint = head.checkpoint
    if checkpoint.size <= own.size:
        if roots[checkpoint.size] != checkpoint.root:
            verdict.findings.add(
                Kind.FORKED_LOG, head.where, f"the log's first {checkpoint.size} entries have another root"
            )
    elif head.before:
        verdict.findings.add(
            Kind.ROLLED_BACK, head.where, f"it covers {checkpoint.size} entries, the log has {own.size}"
        )
    else:
        verdict.open.append(f"{head.where}: a checkpoint of {checkpoint.size} entries is newer than the log copy")


def _cosigned(note: bytes, where: str, inputs: Inputs, verdict: Verdict) -> None:
    try:
        seen = verify_cosignatures(note, inputs.witnesses)
    except SignatureError as bad:
        verdict.findings.add(Kind.CHECKPOINT_SIGNATURE, where, str(bad)[:200])
        return
    verdict.events += [(time_s, f"{name} witnessed {where}") for name, time_s in seen.items()]
    missing = [witness.name for witness in inputs.witnesses if witness.name not in seen]
    verdict.open += [f"{where}: not cosigned by {name}" for name in missing]


# --- what was received and read --------------------------------------------------------------------------------------


def _lines(inputs: Inputs) -> Iterator[tuple[str, Line]]:
    for path in inputs.received:
        try:
            with path.open("rb") as file:
                number = 0
                while line := file.readline(MAX_LINE_BYTES + 1):
                    number += 1
                    where = f"{path}:{number}"
                    yield where, parse_line(line, where, inputs.origin)
        except OSError as bad:
            raise StorageUnavailable(str(path), why=bad.strerror or "an error", remedy="name a file") from None


def _suspects(inputs: Inputs, reception: Reception, findings: Findings) -> None:
    """Of what the log does not confirm: did the unit sign it, or somebody else?"""
    if not reception.suspects:
        return
    for where, line in _lines(inputs):
        if line.release is None or line.release[0] not in reception.suspects:
            continue
        if signed_by(line, inputs.public_key) is False:
            findings.add(Kind.FORGED, where, "the unit's signature does not cover it")


def _disclosed(shown: Shown, where: str, inputs: Inputs, history: History, verdict: Verdict) -> None:
    if newer := judge_shown(shown, where, inputs.public_key, history, verdict.findings):
        verdict.open.append(newer)


def _aired(path: Path, inputs: Inputs, history: History, verdict: Verdict) -> None:
    message = read_regular(path, MAX_ENVELOPE_BYTES)
    try:
        envelope = open_envelope(message, inputs.public_key)
    except SignatureError as bad:
        verdict.findings.add(Kind.AIR_SIGNATURE, str(path), str(bad)[:200])
        return
    except (EncodingError, MessageError) as bad:
        raise MessageError(str(path), expected="an envelope as read over Bluetooth", got=str(bad)[:120]) from None
    _disclosed(Shown(envelope.digest, envelope.issued_at, message), str(path), inputs, history, verdict)
