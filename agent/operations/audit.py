"""The audit: what a unit published is held against its log, and its log against its rules (OP-20 to OP-36 of SPEC.md)."""

import contextlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from agent.contracts import aggregate
from agent.contracts.log import Release, decode_entry
from agent.contracts.log_file import MAX_UNKEPT, unit_path
from agent.contracts.public import open_envelope
from agent.errors import BadInput, EncodingError, LogDamaged, MessageError, SignatureError
from agent.operations.audit_inputs import MAX_ENVELOPE_BYTES, Inputs
from agent.operations.before_loss import hold_copy, hold_decisions, may_be_the_units, short_of_received
from agent.operations.beginning import Beginning, Tried
from agent.operations.copies import Copies
from agent.operations.findings import Findings, Kind
from agent.operations.heads import Head, Whose, agree, contain, split
from agent.operations.history import History
from agent.operations.layout import pack_of
from agent.operations.log_copy import is_there, read_regular
from agent.operations.losses import Followers, named_after
from agent.operations.received import Line, Reception, signed_by
from agent.operations.rotations import Course, course_of, rotation_entries, unplaced
from agent.operations.shown import Shown, judge_shown
from agent.operations.verdict import Verdict
from agent.wire.tiles import CHECKPOINT, WIDTH
from agent.wire.tlog import MAX_NOTE_BYTES, Checkpoint
from agent.wire.tlog import signed_by as signed_by_key


def audit(inputs: Inputs) -> Verdict:
    """Do all of it; raises BadInput for an input that is none, StorageUnavailable."""
    verdict = Verdict(inputs.origin)
    findings = verdict.findings
    reception = Reception(findings)
    for where, line in inputs.lines():
        reception.take(line, where)
    if reception.claims:
        verdict.open.append(f"{reception.claims} checkpoints that nobody verified: give `subscribe` the keys, or --raw")
    copies, note, course = None, b"", unplaced(inputs.given)
    if inputs.log is not None:
        where = str(inputs.log / CHECKPOINT)
        note = read_regular(inputs.log / CHECKPOINT, MAX_NOTE_BYTES)
        copies = _copies(inputs.log, split(note, where)[0], inputs.earlier)
        course = _course(inputs, note, copies, verdict)
    events = list[tuple[int, str]]()
    whose = Whose(inputs.origin, course, inputs.witnesses, findings, events, verdict.open)
    heads = [*whose.seen(inputs.seen, inputs.earlier), *whose.received(reception)]
    agree(heads, findings)
    if inputs.log is None or copies is None:
        verdict.open.append("no log copy: inclusion, budget, policies and gaps are not judged")
        verdict.facts = {"received": reception.received, "checkpoints": len(heads)}
        verdict.events = events
        return verdict
    own = whose.read(note, str(inputs.log / CHECKPOINT))
    beginning = Beginning(copies.begin, copies.tiles_whole) if copies.begin else None
    sizes = {_named_size(head.checkpoint, own) for head in heads}
    verdict.beginning = beginning
    history, roots = _replay(inputs, own, sizes, copies, beginning, reception, findings, course)
    if roots[own.size] != own.root:
        findings.add(Kind.ROOT, str(inputs.log), f"{own.size} entries")
    followers = Followers(own, roots, history.loss)
    if history.loss is not None:
        hold_decisions(history.loss, history, findings)
    held = set(_held_before(inputs, heads, own, history, findings))
    for head in heads:
        if head.checkpoint.origin == own.origin:
            same = contain(head, own, partial(_root, roots, copies), whose)
            if beginning is not None and head.checkpoint.size < beginning.held:
                beginning.agreeing += same
        elif history.loss is not None and head.checkpoint.origin == history.loss.lost.origin:
            history.loss.judge(head.checkpoint, head.where, findings)
        elif head.where in held:
            continue
        elif followers.judge(head.checkpoint, head.where, findings):
            verdict.open.append(f"{head.where}: a checkpoint of the log that follows; audit that too")
        else:
            verdict.open.append(f"{head.where}: a checkpoint of another log of this unit, {head.checkpoint.origin}")
    _compared(inputs, own, copies, beginning, history, reception, verdict, course)
    for path in inputs.air:
        _aired(path, course, history, verdict)
    for shown, where in reception.shown.items():
        _disclosed(shown, where, course, history, verdict)
    if inputs.root is None:
        verdict.open.append("no trust root: who signed the policies is not judged")
    verdict.facts = {
        "entries": own.size - copies.begin,
        "received": reception.received,
        "confirmed": reception.confirmed,
        "checkpoints": len(heads) + 1,
    }
    verdict.windows, verdict.events = dict(history.windows), [*history.policies.events, *events]
    verdict.since = history.first_start
    verdict.settled, verdict.unjudged = history.policies.settled, history.unjudged
    verdict.gate = history.openings.facts
    verdict.boards, verdict.board_changes = tuple(history.hardware.newest), history.hardware.changes
    if history.openings.untold:
        verdict.open.append(f"{history.openings.untold} releases before the first word of how the gate stood")
    return verdict


def _held_before(
    inputs: Inputs, heads: list[Head], own: Checkpoint, history: History, findings: Findings
) -> Iterator[str]:
    """The checkpoints of copies of the log before a loss, which are held against the log."""
    seen = {head.where: head.checkpoint for head in heads if head.before and head.checkpoint.origin != own.origin}
    for folder in inputs.earlier:
        head = seen.get(where := str(folder / CHECKPOINT))
        if head is not None and history.loss is not None and hold_copy(folder, head, history.loss, history, findings):
            yield where


def _course(inputs: Inputs, note: bytes, copies: Copies, verdict: Verdict) -> Course:
    """Whose turn it was to sign, by what the log says of its keys."""
    checkpoint, signatures = split(note, str(copies.folder / CHECKPOINT))
    course, words = course_of(
        checkpoint.origin,
        inputs.origin,
        inputs.given,
        rotation_entries(copies.unproved(), copies.begin),
        lambda key: bool(signed_by_key(checkpoint, signatures, checkpoint.origin, key)),
        verdict.findings,
        copies.begin,
    )
    verdict.open += words
    return course


def _copies(folder: Path, own: Checkpoint, earlier: tuple[Path, ...]) -> Copies:
    """The copy, with what earlier ones of the same log lend; one with another root is a finding elsewhere, and lends nothing."""
    copies = Copies(folder, own.size, ())
    lenders = []
    for each in earlier:
        head = _head_of(each)
        if head is None or (head.size <= own.size and copies.root(head.size) == head.root):
            lenders.append(each)
    return Copies(folder, own.size, tuple(lenders)) if lenders else copies


def _head_of(folder: Path) -> Checkpoint | None:
    path = folder / CHECKPOINT
    return split(read_regular(path, MAX_NOTE_BYTES), str(path))[0] if is_there(path) else None


def _root(roots: dict[int, bytes], copies: Copies, size: int) -> bytes | None:
    """As the entries gave it, or, of before the first, as the hash tiles do."""
    return roots[size] if size in roots else copies.root(size)


def _named_size(checkpoint: Checkpoint, own: Checkpoint) -> int:
    """How many entries of the log audited it speaks of; 0 when of none."""
    named = (checkpoint.size, "") if checkpoint.origin == own.origin else named_after(checkpoint.origin)
    return named[0] if named is not None else 0


def _replay(
    inputs: Inputs,
    own: Checkpoint,
    sizes: set[int],
    copies: Copies,
    beginning: Beginning | None,
    reception: Reception,
    findings: Findings,
    course: Course,
) -> tuple[History, dict[int, bytes]]:
    """Read the whole copy once: judge each entry, confirm what was received, and note the root at every size asked for."""
    history = History(
        own.origin if unit_path(own.origin) == inputs.origin else inputs.origin,
        course,
        inputs.root,
        findings,
    )
    tried: Tried | None = None
    head = copies.head()
    roots = {head.size: head.root()}
    for data in copies.entries():
        index = head.size
        head.append(data)
        if head.size in sizes:
            roots[head.size] = head.root()
        if beginning is not None and beginning.entry is None:
            if index % WIDTH == 0:
                tried = tried or Tried(inputs.policies, inputs.shown())
                beginning.take_up(data, index, copies, history, tried, findings)
            if beginning.entry is None:
                _passed_over(data, index, reception)
                continue
        found = history.add(data, given=beginning is not None and beginning.entry == index)
        if history.beyond is not None:
            raise LogDamaged(str(inputs.log), expected=history.beyond, got="more")
        if found is not None:
            entry, layout, pack = found
            reception.confirm(entry, index, pack, layout.aggregate.terms)
    roots[head.size] = head.root()
    if beginning is not None and beginning.entry is None and not findings.counts:
        raise LogDamaged(
            str(inputs.log),
            expected="a bundle whose first entry carries what those before it come to",
            got=f"none from entry {copies.begin} on",
            remedy="name an older copy with --earlier, which has the bundles before",
        )
    return history, roots


def _passed_over(data: bytes, index: int, reception: Reception) -> None:
    """An entry that is held, and before the first state: what was received must be it all the same."""
    with contextlib.suppress(BadInput):
        entry = decode_entry(data)
        if isinstance(entry, Release):
            said = aggregate.decode(entry.payload)
            reception.confirm(entry, index, pack_of(said), said.terms)


def _compared(
    inputs: Inputs,
    own: Checkpoint,
    copies: Copies,
    beginning: Beginning | None,
    history: History,
    reception: Reception,
    verdict: Verdict,
    course: Course,
) -> None:
    """What was received and is not confirmed: newer, of a lost log, of before the copy begins, or a finding."""
    loss = history.loss
    begin = 0 if beginning is None else beginning.held
    ends = beginning.ends if beginning is not None else None
    lost = loss.places if loss is not None else 0
    if beginning is not None and (named := named_after(own.origin)) is not None:
        lost = named[0] + MAX_UNKEPT
        verdict.open.append(
            f"by its name it follows a log of {named[0]} entries; what was lost of that, its first entry says"
        )
    rest = reception.rest(
        own.size,
        history.newest_start,
        lost,
        begin=begin,
        ends=ends,
        own=history.first_released,
        until=history.lost_until,
    )
    if loss is not None:
        verdict.losses.append(loss.words())
    if rest.before:
        verdict.open.append(
            f"{len(rest.before)} releases are of the log before the loss; audit what is left of it, if it is kept"
        )
    size = loss.lost.size if loss is not None else lost - MAX_UNKEPT
    hidden = short_of_received(rest.before, size, history, ends or {})
    if reception.suspects or rest.earlier or hidden:
        for where, line in inputs.lines():
            window = line.release[0] if line.release is not None else None
            if window in reception.suspects:
                _suspect(line, where, course, verdict.findings)
            if window in hidden and may_be_the_units(line, course.keys):
                verdict.findings.add(Kind.HIDDEN_BY_LOSS, where, hidden.pop(window))
            if beginning is not None and window in rest.earlier:
                beginning.prove(line, rest.earlier.pop(window), copies, history)
    if rest.newer:
        verdict.open.append(f"{rest.newer} releases are newer than the log copy")


def _suspect(line: Line, where: str, course: Course, findings: Findings) -> None:
    """Of what the log does not confirm: did the unit sign it, or somebody else?"""
    if line.release is None:
        return
    index = line.release[1].log_index
    judged = {key: signed_by(line, key) for key in course.keys}
    if None in judged.values():
        return  # not kept with it
    number = course.signer(judged.__getitem__, index)
    if number is None:
        findings.add(Kind.FORGED, where, "the unit's signature does not cover it")
    elif course.given_up(number, index):
        findings.add(Kind.KEY_ROTATION, where, f"signed as entry {index} with a key that was given up before it")


# --- what was received and read --------------------------------------------------------------------------------------


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
    _disclosed(Shown(envelope.digest, envelope.issued_at, message), str(path), course, history, verdict)


def _disclosed(shown: Shown, where: str, course: Course, history: History, verdict: Verdict) -> None:
    absent = verdict.beginning is not None and bool(verdict.beginning.absent)
    if words := judge_shown(shown, where, course.keys, history, verdict.findings, absent=absent):
        verdict.open.append(words)
