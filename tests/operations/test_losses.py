"""OP-32: a log that follows one which lost its end is a loss, not a fraud; what hides behind one is found."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from agent.anonymizer.ledger import Ledger
from agent.anonymizer.loss import continuation, origin_after
from agent.cli.main import main
from agent.contracts.gate_log import Change, GateChanges
from agent.contracts.log import Entry, Gap, LogLost, Release, newest_instant
from agent.contracts.public import Reason
from agent.errors import LogDamaged
from agent.operations.audit import audit
from agent.operations.audit_inputs import Inputs
from agent.operations.findings import Kind
from agent.operations.mirror import Mirror
from agent.operations.verdict import Verdict
from agent.wire.tlog import Checkpoint, TreeHead, decode_checkpoint, sign_checkpoint
from tests.anonymizer.stage import KEY, ORIGIN
from tests.operations.stories import PUBLIC, note_of, received, renumbered, story, write_copy
from tests.signing import trust_root

ENTRIES = story()
LOST = [i for i, entry in enumerate(ENTRIES) if isinstance(entry, Release)][7]
"""Entries that the lost log had: all of the first policy's time."""
LEFT = LOST - 3


def head_of(entries: Sequence[Entry]) -> TreeHead:
    head = TreeHead()
    for entry in entries:
        head.append(entry.encode())
    return head


def lost_note(size: int = LOST) -> bytes:
    """As the unit kept it outside the log's folder."""
    lost, until = ENTRIES[:size], max(map(newest_instant, ENTRIES[:size]))
    return sign_checkpoint(
        Checkpoint(ORIGIN, size, head_of(lost).root(), ("bytes 1", "decisions 2", f"until {until}")), ORIGIN, KEY
    )


def followed(size: int = LOST) -> tuple[str, list[Entry]]:
    """The log that follows: its origin, and its entries up to the windows after the loss."""
    note = lost_note(size)
    loss = LogLost(note, LEFT, head_of(ENTRIES[:LEFT]).root())
    entries = list(continuation(loss, ENTRIES[:LEFT]))
    ledger = Ledger(entries)
    one = ledger.adoption.latest
    assert one is not None
    (stream,) = one.policy.streams
    start = ledger.last_logged_end
    first = next(e for e in ENTRIES[LOST:] if isinstance(e, Release))
    count = (first.window_start - start) // stream.window_s
    gap = Gap(stream.name, start, stream.window_s, count, ledger.charge_of(stream, start))
    began = GateChanges(first.window_start, (Change(first.window_start, Reason.OPEN),))
    after = ENTRIES[LOST : LOST + 2]
    return origin_after(ORIGIN, decode_checkpoint(note)), renumbered([*entries, gap, began, *after])


def judged(folder: Path, entries: list[Entry], origin: str, *, lines: str = "", seen: bytes = b"") -> Verdict:
    copy = write_copy(folder, entries, origin=origin)
    (folder / "lines").write_text(lines)
    (folder / "seen").write_bytes(seen)
    return audit(
        Inputs(
            ORIGIN,
            PUBLIC,
            log=copy,
            root=trust_root(),
            received=(folder / "lines",),
            seen=(folder / "seen",) if seen else (),
        )
    )


def test_a_loss_is_no_fraud(tmp_path: Path) -> None:
    """What was received before it, and checkpoints of the lost log, are explained by it; so are three entries more than the unit knew of."""
    origin, entries = followed()
    for size in (LEFT, LEFT + 1, LOST, LOST + 3):
        seen = note_of([entry.encode() for entry in ENTRIES[:size]])
        verdict = judged(
            tmp_path / str(size), entries, origin, lines=received(ENTRIES[:LOST], seen) + received(entries), seen=seen
        )
        assert verdict.findings.kinds == set(), verdict.findings.shown
        assert f"{LOST - LEFT} of {LOST} entries of {ORIGIN} were lost" in verdict.losses[0]
        assert any("before the loss" in each for each in verdict.open)


def test_the_command_says_a_loss(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 0, and it is named; the unit is the one that the log's name begins with."""
    origin, entries = followed()
    copy = write_copy(tmp_path, entries, origin=origin)
    assert main(["audit", "--log", str(copy), "--key", PUBLIC.hex()]) == 0
    assert "A LOSS, no fraud" in capsys.readouterr().out
    assert main(["audit", "--log", str(copy), "--key", PUBLIC.hex(), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["verdict"], said["unit"]) == ("loss", ORIGIN)


def test_what_a_loss_does_not_explain(tmp_path: Path) -> None:
    """Another history before it; more entries than it owns up to; a window of before it, released again."""
    origin, entries = followed()
    other = note_of([b"x", *(entry.encode() for entry in ENTRIES[1:LOST])])
    assert judged(tmp_path / "a", entries, origin, seen=other).findings.kinds == {Kind.FORKED_LOG}
    longer = note_of([entry.encode() for entry in ENTRIES[: LOST + 4]])
    assert judged(tmp_path / "b", entries, origin, seen=longer).findings.kinds == {Kind.ROLLED_BACK}
    again = next(entry for entry in reversed(ENTRIES[:LOST]) if isinstance(entry, Release))
    found = judged(tmp_path / "c", renumbered([*entries, again]), origin, lines=received(ENTRIES[:LOST])).findings.kinds
    assert {Kind.WINDOW_TWICE, Kind.ALTERED} <= found


def test_a_loss_that_is_none(tmp_path: Path) -> None:
    """It must be the first entry, signed by the unit, of the log that the name says, and at least one entry."""
    origin, entries = followed()
    loss = entries[0]
    assert isinstance(loss, LogLost)
    false: dict[str, tuple[str, list[Entry]]] = {
        "named as a loss without one": (origin, list(ENTRIES[:LEFT])),
        "a loss in a log of the first name": (ORIGIN, entries),
        "of another log": (origin, [dataclasses.replace(loss, checkpoint=lost_note(LOST - 1)), *entries[1:]]),
        "nothing lost": (origin, [dataclasses.replace(loss, kept=LOST), *entries[1:]]),
        "not a note": (origin, [dataclasses.replace(loss, checkpoint=b"x"), *entries[1:]]),
    }
    for name, (said, cheat) in false.items():
        assert Kind.FALSE_LOSS in judged(tmp_path / name, cheat, said).findings.kinds, name
    assert Kind.MALFORMED in judged(tmp_path / "later", [*entries, loss], origin).findings.kinds


def test_a_mirror_keeps_each_log_by_itself(tmp_path: Path) -> None:
    """The copy of the lost log stays what it is; a new folder takes the one that follows."""
    origin, entries = followed()
    data = [entry.encode() for entry in entries]
    mirror = Mirror(write_copy(tmp_path, ENTRIES[:LOST]), ORIGIN, PUBLIC)
    with pytest.raises(LogDamaged, match="began another; mirror that into another folder"):
        mirror.take_note(note_of(data, origin=origin))
    fresh = Mirror(tmp_path / "fresh", ORIGIN, PUBLIC)
    fresh.take_note(note_of(data, origin=origin))
    again = Mirror(write_copy(tmp_path / "b", entries, origin=origin), ORIGIN, PUBLIC)
    assert again.checkpoint is not None
    assert again.checkpoint.origin == origin
