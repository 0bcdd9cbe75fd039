"""Where a copy that begins late, a rotated key, a log that follows a lost one and the gate's history meet: each honest twin beside the fraud."""

import tracemalloc
from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from agent.anonymizer.loss import continuation, origin_after, with_states
from agent.cli.main import main
from agent.contracts import aggregate
from agent.contracts.gate_log import GateChanges
from agent.contracts.log import Carried, Charge, Entry, Gap, LogLost, Release, newest_instant
from agent.contracts.public import Envelope, seal_envelope
from agent.disclosure.datachain import compile_disclosure
from agent.operations import account, carried
from agent.operations.audit import audit
from agent.operations.audit_inputs import Inputs
from agent.operations.findings import Findings, Kind
from agent.operations.history import History
from agent.operations.mirror import Mirror
from agent.operations.rotations import Course
from agent.operations.verdict import Verdict
from agent.wire.tiles import WIDTH, Tile, encode_bundle
from agent.wire.tlog import Checkpoint, TreeHead, decode_checkpoint, sign_checkpoint
from tests.anonymizer.stage import KEY, ORIGIN
from tests.anonymizer.worlds import World
from tests.operations.stories import PUBLIC, note_of, received, renumbered, resealed, write_copy
from tests.operations.test_late import FIRST, KNOWN
from tests.operations.test_rotations import NEW, NEW_PUBLIC, OLD_PUBLIC, THIRD, THIRD_PUBLIC, rotated
from tests.signing import trust_root


def pruned(copy: Path) -> Path:
    (copy / Tile(None, 0).path).unlink()
    return copy


def judged(copy: Path, key: bytes = PUBLIC, **inputs: Any) -> Verdict:
    return audit(Inputs(ORIGIN, key, log=copy, root=trust_root(), policies=KNOWN, **inputs))


# a key that was rotated before the copy begins

ROTATED_AT = 100


@cache
def rotated_story() -> tuple[Entry, ...]:
    world = World(FIRST)
    while len(world.entries) < ROTATED_AT:
        world.run(1)
    del world.entries[ROTATED_AT:]
    world.entries.append(rotated())
    world.key = NEW
    world.boot_ns += 5 * 10**9
    world.restart()
    world.look()
    while len(world.entries) < WIDTH + 40:
        world.run(1)
    return tuple(world.entries)


def test_what_the_old_key_signed_before_a_late_copy_is_the_units(tmp_path: Path) -> None:
    """OP-34, OP-56: the rotation is gone with the first bundle; the directory still has the key that it gave up."""
    story = rotated_story()
    note = note_of([entry.encode() for entry in story[:ROTATED_AT]])
    (tmp_path / "note").write_bytes(note)
    (tmp_path / "air").write_bytes(seal_envelope(Envelope(compile_disclosure(FIRST).cbor, 1_800_000_000), KEY))
    (tmp_path / "lines").write_text(received(story[:ROTATED_AT], note))
    earlier = write_copy(tmp_path / "earlier", story[:90])
    copy = pruned(write_copy(tmp_path, story, key=NEW))
    for given in (
        {"seen": (tmp_path / "note",)},
        {"air": (tmp_path / "air",)},
        {"received": (tmp_path / "lines",)},
        {"earlier": (earlier,)},
    ):
        verdict = judged(copy, NEW_PUBLIC, previous=(OLD_PUBLIC,), **given)
        assert verdict.findings.kinds == set(), (given, verdict.findings.shown)
    assert judged(copy, NEW_PUBLIC, seen=(tmp_path / "note",)).findings.kinds == {Kind.CHECKPOINT_SIGNATURE}


def test_the_old_key_signs_nothing_of_a_late_copy(tmp_path: Path) -> None:
    """OP-56: neither its Releases, nor a checkpoint over one, nor what it passes off as one of them."""
    story = rotated_story()
    place = next(i for i in range(WIDTH + 5, len(story)) if isinstance(story[i], Release))
    release = story[place]
    assert isinstance(release, Release)
    old = resealed(release, key=KEY)
    given = {"previous": (OLD_PUBLIC,)}
    inside = [*story[:place], old, *story[place + 1 :]]
    verdict = judged(pruned(write_copy(tmp_path / "a", inside, key=NEW)), NEW_PUBLIC, **given)
    assert verdict.findings.kinds == {Kind.KEY_ROTATION}
    (tmp_path / "note").write_bytes(note_of([entry.encode() for entry in story[: WIDTH + 1]]))
    copy = pruned(write_copy(tmp_path / "b", story, key=NEW))
    verdict = judged(copy, NEW_PUBLIC, seen=(tmp_path / "note",), **given)
    assert verdict.findings.kinds == {Kind.KEY_ROTATION}
    (tmp_path / "lines").write_text(received([resealed(old, key=KEY, coverage_percent=55)]))
    verdict = judged(copy, NEW_PUBLIC, received=(tmp_path / "lines",), **given)
    assert verdict.findings.kinds == {Kind.ALTERED, Kind.KEY_ROTATION}


# a late copy


@cache
def plain_story() -> tuple[Entry, ...]:
    world = World(FIRST)
    while len(world.entries) < 2 * WIDTH + 90:
        world.run(1)
    return tuple(world.entries)


def test_a_late_copy_that_never_tells_of_its_gate_is_found(tmp_path: Path) -> None:
    """OP-51: its first bundle owes that as every other does."""
    honest = plain_story()
    silent = renumbered(
        list(with_states(e for i, e in enumerate(honest) if not isinstance(e, Carried | GateChanges) or i < 9))
    )
    assert judged(pruned(write_copy(tmp_path / "a", honest))).findings.kinds == set()
    verdict = judged(pruned(write_copy(tmp_path / "b", silent)))
    assert verdict.findings.kinds == {Kind.GATE_UNTOLD}


def test_received_releases_are_held_against_bundles_that_carry_no_state(tmp_path: Path) -> None:
    """OP-23, OP-34: a bundle passed over for its state is held all the same."""
    story = list(plain_story())
    story[WIDTH] = Carried(None)
    place = next(i for i in range(WIDTH + 20, 2 * WIDTH) if isinstance(story[i], Release))
    release = story[place]
    assert isinstance(release, Release)
    copy = pruned(write_copy(tmp_path, story))
    cases: dict[str, tuple[list[Entry], set[Kind]]] = {
        "honest": (story[WIDTH:], set()),
        "altered": ([resealed(release, coverage_percent=55)], {Kind.ALTERED}),
        "none": ([resealed(release, window_start=release.window_start - 200)], {Kind.NOT_IN_LOG}),
    }
    for name, (entries, kinds) in cases.items():
        (tmp_path / name).write_text(received(entries))
        verdict = judged(copy, received=(tmp_path / name,))
        assert verdict.findings.kinds == kinds, name
        assert verdict.beginning is not None
        assert (verdict.beginning.entry, verdict.beginning.unproven) == (2 * WIDTH, [])


# a log that follows a lost one


def head_of(entries: Iterable[Entry]) -> TreeHead:
    head = TreeHead()
    for entry in entries:
        head.append(entry.encode())
    return head


@cache
def lost_story() -> tuple[Entry, ...]:
    """Windows with numbers and without in turn: each a Gap of its own where they are repeated."""
    world = World(FIRST)
    for second in range(440):
        world.board = second % 2 == 0
        if second % 2:
            world.unplug()
        world.run(1)
    last = [i for i, entry in enumerate(world.entries) if isinstance(entry, Release)][-5]
    return tuple(world.entries[: last + 1])


@cache
def following() -> tuple[str, tuple[Entry, ...]]:
    """The log that follows: its origin and its entries."""
    lost = lost_story()
    left, until = lost[:-3], max(map(newest_instant, lost))
    checkpoint = Checkpoint(ORIGIN, len(lost), head_of(lost).root(), ("bytes 1", "decisions 2", f"until {until}"))
    note = sign_checkpoint(checkpoint, ORIGIN, KEY)
    entries = list(with_states(continuation(LogLost(note, len(left), head_of(left).root()), left)))
    assert len(entries) > WIDTH + 50
    world = World(FIRST, entries=entries)
    world.boot_ns += 460 * 10**9
    world.restart()
    world.look()
    world.run(40)
    return origin_after(ORIGIN, decode_checkpoint(note)), tuple(world.entries)


@pytest.mark.parametrize("late", [False, True])
def test_a_log_that_follows_is_clean_also_from_its_middle_on(tmp_path: Path, late: bool) -> None:
    """OP-32, OP-34: Gaps that repeat windows without numbers, and what was received before the loss."""
    origin, entries = following()
    copy = write_copy(tmp_path, entries, origin=origin)
    (tmp_path / "lines").write_text(received(lost_story()) + received(entries))
    for lines in ((), (tmp_path / "lines",)):
        verdict = judged(pruned(copy) if late and not lines else copy, received=lines)
        assert verdict.findings.kinds == set(), verdict.findings.shown
        assert (verdict.beginning is not None) is late
        assert bool(verdict.losses) is not late
        assert any("follows a log of" in words for words in verdict.open) is late


def test_a_loss_does_not_explain_what_came_after_it(tmp_path: Path) -> None:
    """OP-32: a Release of a window after the first one released here is not of the log before, though its place could be."""
    origin, entries = following()
    releases = [
        entry for entry in entries if isinstance(entry, Release) and aggregate.decode(entry.payload).reason is None
    ]
    hidden = releases[-1]
    copy = write_copy(tmp_path, entries[: entries.index(hidden)], origin=origin)
    newer = Release(**{name: getattr(hidden, name) for name in Release.__slots__})
    (tmp_path / "lines").write_text(received([resealed(newer, window_start=releases[3].window_start, log_index=9)]))
    assert judged(copy, received=(tmp_path / "lines",)).findings.kinds == {Kind.ALTERED}
    gone = releases[5]
    gap = Gap(gone.stream, gone.window_start, gone.window_s, 1, gone.charge)
    cheated = renumbered([gap if entry == gone else entry for entry in entries])
    (tmp_path / "lines").write_text(received([resealed(gone, log_index=9)]))
    verdict = judged(write_copy(tmp_path / "b", cheated, origin=origin), received=(tmp_path / "lines",))
    assert Kind.NOT_IN_LOG in verdict.findings.kinds


@pytest.mark.parametrize("late", [False, True])
def test_repeated_gaps_end_with_the_first_release(tmp_path: Path, late: bool) -> None:
    """OP-26, OP-32: whatever loss is named, a Gap after that is charged in full."""
    origin, entries = following()
    place = max(i for i, entry in enumerate(entries) if isinstance(entry, Release))
    last = entries[place]
    assert isinstance(last, Release)
    free = Gap(last.stream, last.window_start, last.window_s, 1, Charge(Fraction(0)))
    copy = write_copy(tmp_path, [*entries[:place], free], origin=origin)
    assert Kind.CHARGE_TOO_SMALL in judged(pruned(copy) if late else copy).findings.kinds


# what no input may do


@pytest.mark.parametrize("streams", [1, 20])
def test_gaps_without_end_cost_no_memory(streams: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """I8, OP-31: some bytes of an entry, days of windows; of streams that there are not, or of one again and again. What is not counted is found."""
    for module in (account, carried):
        monkeypatch.setattr(module, "MAX_CHARGED", 200)
    findings = Findings()
    history = History(ORIGIN, Course(ORIGIN, (PUBLIC,)), None, findings)
    tracemalloc.start()
    for number in range(2000):
        gap = Gap(f"s{number % streams}", 1_800_000_000 + 5 * number, 1, 3, Charge(Fraction(1, 8)))
        history.add(gap.encode())
        history._account.charge(gap.stream, gap.first_start, Fraction(1, 8), count=gap.count)
    assert history._account.overfull
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20
    assert Kind.MALFORMED in findings.kinds


def test_no_line_or_name_ends_the_audit_with_a_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """I8: exit 2 or 3, and a line that names the file."""
    story = plain_story()[:20]
    copy = write_copy(tmp_path, story)
    command = ["audit", "--log", str(copy), "--key", PUBLIC.hex()]
    release, head = received(story, note_of([e.encode() for e in story]), raw=False).splitlines()[
        :: len(received(story, raw=False).splitlines())
    ]
    for line in (
        release.replace('"coverage": ', '"coverage": 1e999, "c": '),
        head.replace('"size": ', '"size": -1, "s": '),
        head.replace('"size": ', '"size": 99999999999999999999, "s": '),
    ):
        assert line not in (release, head)
        (tmp_path / "lines").write_text(line + "\n")
        assert main([*command, "--received", str(tmp_path / "lines")]) == 2
        assert f"{tmp_path / 'lines'}:1: expected a line" in capsys.readouterr().err
    (tmp_path / "checkpoint").write_bytes(b"x")
    for name, words, status in (("a" * 300, "File name too long", 3), (str(tmp_path), "expected", 2)):
        assert main([*command, "--earlier", name]) == status
        assert f"{name}/checkpoint: {words}" in capsys.readouterr().err


# a mirror


def test_a_mirror_learns_keys_from_bundles_in_any_order(tmp_path: Path) -> None:
    """OP-57: a later rotation may come first; also a write that was cut short is passed over (OP-42)."""
    bundles = [[b"%d %d" % (number, i) for i in range(WIDTH)] for number in range(2)]
    bundles[0][7] = rotated().encode()
    bundles[1][7] = rotated(NEW, THIRD_PUBLIC).encode()
    mirror = Mirror(tmp_path, ORIGIN, OLD_PUBLIC)
    for number in (1, 0):
        mirror.take(f"log/entries/{number:03}", encode_bundle(bundles[number]))
    (tmp_path / "pending" / ".000000000002.77.new").write_bytes(b"cut sh")
    again = Mirror(tmp_path, ORIGIN, OLD_PUBLIC)
    note = note_of([entry for bundle in bundles for entry in bundle], key=THIRD)
    for each in (mirror, again):
        each.take("checkpoint", note)
        assert each.checkpoint is not None
        assert each.checkpoint.size == 2 * WIDTH


def test_what_was_cosigned_stays_cosigned(tmp_path: Path) -> None:
    """OP-43: lines that anybody can add take no witness's place."""
    entries: Sequence[bytes] = [b"%d" % i for i in range(WIDTH)]
    note = note_of(entries)
    witnessed = note + "— witness.example AAAAAAAA\n".encode()
    noisy = note + "".join(f"— x{i} AAAAAAAAAAAAAAAA\n" for i in range(3)).encode()
    mirror = Mirror(tmp_path, ORIGIN, PUBLIC)
    mirror.take_note(witnessed)
    mirror.take_note(noisy)
    mirror.take("log/entries/000", encode_bundle(entries))
    mirror.take_note(noisy.replace(b" x", b" y"))
    assert b"witness.example" in (tmp_path / "checkpoint").read_bytes()
