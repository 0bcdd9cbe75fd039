"""The audit: what a unit published is held against its log, and its log against its rules (OP-20 to OP-29 of SPEC.md)."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from agent.contracts.aggregate import Aggregate
from agent.contracts.board_seen import BoardSeen
from agent.contracts.log import unit_path
from agent.contracts.public import open_envelope
from agent.errors import EncodingError, LogDamaged, MessageError, SignatureError, StorageUnavailable
from agent.operations.findings import Findings, Kind
from agent.operations.history import History
from agent.operations.log_copy import LogCopy, read_regular
from agent.operations.openings import GateFacts
from agent.operations.received import MAX_LINE_BYTES, Line, Reception, parse_line, signed_by
from agent.operations.rotations import Course, course_of, rotation_entries, unplaced
from agent.policy.governance import TrustRoot
from agent.wire.cosignature import Witness, verify_cosignatures
from agent.wire.tlog import EMPTY_ROOT, MAX_NOTE_BYTES, Checkpoint, TreeHead, split_note
from agent.wire.tlog import signed_by as signed_by_key

MAX_ENVELOPE_BYTES = 64 * 1024

MAX_POLICIES = 1000
"""One a week for twenty years; each window is held against those around it."""


@dataclass(slots=True)
class Inputs:
    """What is audited. `origin` is city/site/unit, `public_key` its present key and `previous` those before it, newest first: `seen` are checkpoints from before the copy was made, `air` envelopes read over BLE."""

    origin: str
    public_key: bytes
    log: Path | None = None
    received: tuple[Path, ...] = ()
    seen: tuple[Path, ...] = ()
    air: tuple[Path, ...] = ()
    root: TrustRoot | None = None
    witnesses: tuple[Witness, ...] = ()
    previous: tuple[bytes, ...] = ()

    @property
    def given(self) -> tuple[bytes, ...]:
        """Every key of the unit that the auditor was given, the present one first."""
        return (self.public_key, *self.previous)


@dataclass(slots=True)
class Verdict:
    """What came out. `facts` is what was looked at, `events` (Unix seconds, words) the history of policies, `open` what could not be judged,
    `losses` what the unit owns up to have lost: no finding; `gate` what the gate did, None where nothing tells it; `boards` the newest that said
    hello with something new, of `board_changes`."""

    origin: str
    findings: Findings = field(default_factory=Findings)
    facts: dict[str, int] = field(default_factory=dict)
    windows: dict[str, int] = field(default_factory=dict)
    events: list[tuple[int, str]] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)
    gate: GateFacts | None = None
    boards: tuple[BoardSeen, ...] = ()
    board_changes: int = 0


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
    course = _course(inputs, verdict)
    heads = [*_seen_heads(inputs, course, verdict), *_received_heads(inputs, course, reception, findings)]
    _agree(heads, findings)
    if inputs.log is None:
        verdict.open.append("no log copy: inclusion, budget, policies and gaps are not judged")
        verdict.facts = {"received": reception.received, "checkpoints": len(heads)}
        return verdict
    own, note = _own_head(inputs, course, findings)
    heads.append(_Head(str(inputs.log / "checkpoint"), own, before=False))
    _cosigned(note, str(inputs.log / "checkpoint"), inputs, verdict)
    history, roots = _replay(
        inputs,
        own,
        {head.checkpoint.size for head in heads if head.checkpoint.origin == own.origin},
        reception,
        findings,
        course,
    )
    if roots[own.size] != own.root:
        findings.add(Kind.ROOT, str(inputs.log), f"{own.size} entries")
    for head in heads[:-1]:
        if head.checkpoint.origin == own.origin:
            _contained(head, own, roots, verdict)
        elif history.loss is not None and head.checkpoint.origin == history.loss.lost.origin:
            history.loss.judge(head.checkpoint, head.where, findings)
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
    _suspects(inputs, course, reception, findings)
    for path in inputs.air:
        _aired(path, course, history, verdict)
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
    verdict.gate = history.openings.facts
    verdict.boards, verdict.board_changes = tuple(history.hardware.newest), history.hardware.changes
    if history.openings.untold:
        verdict.open.append(f"{history.openings.untold} releases before the first word of how the gate stood")
    return verdict


def _replay(
    inputs: Inputs, own: Checkpoint, sizes: set[int], reception: Reception, findings: Findings, course: Course
) -> tuple[History, dict[int, bytes]]:
    """Read the whole log once: judge each entry, confirm what was received, and note the root at every size asked for."""
    assert inputs.log is not None
    history = History(
        own.origin if unit_path(own.origin) == inputs.origin else inputs.origin,
        course,
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
            reception.confirm(entry, index, pack, _names(layout.aggregate))
    return history, roots


def _names(aggregate: Aggregate) -> tuple[str, ...]:
    return tuple(field.name for field in aggregate.terms.fields)


# --- checkpoints ------------------------------------------------------------------------------------------------------


def _course(inputs: Inputs, verdict: Verdict) -> Course:
    """Whose turn it was to sign, by what the log says of its keys."""
    if inputs.log is None:
        return unplaced(inputs.given)
    copy, where = LogCopy(inputs.log), str(inputs.log / "checkpoint")
    checkpoint, signatures = _split(copy.note(), where)
    course, words = course_of(
        checkpoint.origin,
        inputs.origin,
        inputs.given,
        rotation_entries(copy.unproved(checkpoint.size)),
        lambda key: bool(signed_by_key(checkpoint, signatures, checkpoint.origin, key)),
        verdict.findings,
    )
    verdict.open += words
    return course


def _own_head(inputs: Inputs, course: Course, findings: Findings) -> tuple[Checkpoint, bytes]:
    assert inputs.log is not None
    note = LogCopy(inputs.log).note()
    return _opened(note, str(inputs.log / "checkpoint"), inputs, course, findings), note


def _split(note: bytes, where: str) -> tuple[Checkpoint, list[tuple[str, bytes]]]:
    try:
        return split_note(note)
    except EncodingError as bad:
        raise LogDamaged(where, expected="a checkpoint", got=bad.got) from None


def _opened(note: bytes, where: str, inputs: Inputs, course: Course, findings: Findings) -> Checkpoint:
    """The checkpoint, read even when its signature or origin is a finding; raises LogDamaged when it is no checkpoint."""
    checkpoint, signatures = _split(note, where)
    own = unit_path(checkpoint.origin) == inputs.origin
    if not own:
        findings.add(Kind.OTHER_UNIT, where, f"a checkpoint of {checkpoint.origin}"[:200])
    name = checkpoint.origin if own else inputs.origin
    newest = checkpoint.size - 1
    number = course.signer(lambda key: bool(signed_by_key(checkpoint, signatures, name, key)), newest)
    if number is None:
        findings.add(Kind.CHECKPOINT_SIGNATURE, where, f"no signature by {name} with the unit's key"[:200])
    elif course.origin == checkpoint.origin and course.given_up(number, newest):
        findings.add(
            Kind.KEY_ROTATION, where, f"{checkpoint.size} entries are signed with a key that one of them gave up"
        )
    return checkpoint


def _seen_heads(inputs: Inputs, course: Course, verdict: Verdict) -> Iterator[_Head]:
    for path in inputs.seen:
        note = read_regular(path, MAX_NOTE_BYTES)
        counted = sum(verdict.findings.counts.values())
        checkpoint = _opened(note, str(path), inputs, course, verdict.findings)
        if sum(verdict.findings.counts.values()) == counted:  # what the unit did not sign proves nothing against it
            _cosigned(note, str(path), inputs, verdict)
            yield _Head(str(path), checkpoint, before=True)


def _received_heads(inputs: Inputs, course: Course, reception: Reception, findings: Findings) -> Iterator[_Head]:
    newest: dict[str, int] = {}
    for where, origin, size, root, note in reception.heads:
        if note is not None:
            counted = sum(findings.counts.values())
            checkpoint = _opened(note, where, inputs, course, findings)
            if sum(findings.counts.values()) > counted:
                continue
        else:
            checkpoint = Checkpoint(origin, size, root)
        largest = newest.get(checkpoint.origin, 0)
        if checkpoint.size < largest:
            findings.add(Kind.ROLLED_BACK, where, f"{checkpoint.size} entries, after {largest}")
        newest[checkpoint.origin] = max(largest, checkpoint.size)
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


def _suspects(inputs: Inputs, course: Course, reception: Reception, findings: Findings) -> None:
    """Of what the log does not confirm: did the unit sign it, or somebody else?"""
    if not reception.suspects:
        return
    for where, line in _lines(inputs):
        if line.release is None or line.release[0] not in reception.suspects:
            continue
        index = line.release[1].log_index
        judged = {key: signed_by(line, key) for key in course.keys}
        if None in judged.values():
            continue  # not kept with it
        number = course.signer(judged.__getitem__, index)
        if number is None:
            findings.add(Kind.FORGED, where, "the unit's signature does not cover it")
        elif course.given_up(number, index):
            findings.add(Kind.KEY_ROTATION, where, f"signed as entry {index} with a key that was given up before it")


def _aired(path: Path, course: Course, history: History, verdict: Verdict) -> None:
    message = read_regular(path, MAX_ENVELOPE_BYTES)
    envelope, refusal = None, ""
    for key in reversed(course.keys):
        try:
            envelope = open_envelope(message, key)
            break
        except SignatureError as bad:
            refusal = refusal or str(bad)[:200]
        except (EncodingError, MessageError) as bad:
            raise MessageError(str(path), expected="an envelope as read over Bluetooth", got=str(bad)[:120]) from None
    if envelope is None:
        verdict.findings.add(Kind.AIR_SIGNATURE, str(path), refusal)
        return
    if key != course.keys[-1]:
        verdict.open.append(
            f"{path}: signed with a key that was given up since; whether it was read before that, it does not say"
        )
    if envelope.digest not in history.policies.disclosures:
        verdict.findings.add(Kind.AIR_NOT_IN_LOG, str(path), f"disclosure {envelope.digest.hex()}")
