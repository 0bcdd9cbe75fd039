"""OP-59: a loss hides no charge. What a log that follows one says of the windows before it is held against what was received, and a copy of the lost log."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.anonymizer.loss import continuation, origin_after, with_states
from agent.contracts.log import (
    Charge,
    Decision,
    Entry,
    Gap,
    KeyRotated,
    LogLost,
    PolicyTaken,
    Release,
    StopTaken,
    newest_instant,
)
from agent.errors import LogDamaged
from agent.operations import repeated
from agent.operations.audit import audit
from agent.operations.audit_inputs import Inputs
from agent.operations.findings import Kind
from agent.operations.verdict import Verdict
from agent.policy.model import Policy
from agent.wire.tiles import WIDTH, Tile
from agent.wire.tlog import Checkpoint, TreeHead, decode_checkpoint, sign_checkpoint
from tests.anonymizer.stage import KEY, ORIGIN, make_policy
from tests.anonymizer.worlds import World
from tests.operations.stories import KINDS, PUBLIC, Street, received, resealed, write_copy
from tests.operations.test_honest import EVENTS, live
from tests.operations.test_late import FIRST as FIRST_OF_ALL
from tests.operations.test_late import KNOWN
from tests.operations.test_rotations import NEW, NEW_PUBLIC, restart_with_another_key, rotated
from tests.operations.test_together import lost_story
from tests.signing import trust_root
from tests.wire.test_tlog import OTHER_KEY

Log = tuple[str, tuple[Entry, ...]]
"""Its origin and its entries."""

Cheat = Callable[[list[Entry]], list[Entry]]
"""What a dishonest unit makes of the first entries of the log that follows."""

FIRST = make_policy(notice="2 seconds")
FREE = Charge(Fraction(0))


def honest(entries: list[Entry]) -> list[Entry]:
    return entries


@cache
def lost_log() -> Log:
    """Windows with numbers, a restart, windows without a board, a stricter policy: some that cost nothing, some that cost less than others."""
    world = World(FIRST)
    world.run(12)
    world.boot_ns += 5 * 10**9
    world.restart()
    world.look()
    world.run(6)
    world.board = False
    world.unplug()
    world.run(6)
    world.board = True
    world.run(4)
    world.offer(make_policy(version=2, notice="2 seconds", rho="0.0625", cap="2"))
    world.run(12)
    return ORIGIN, tuple(world.entries)


def root_of(entries: Sequence[Entry]) -> bytes:
    head = TreeHead()
    for entry in entries:
        head.append(entry.encode())
    return head.root()


def follow(
    log: Log,
    policy: Policy,
    cheat: Cheat = honest,
    *,
    lost: int = 3,
    later: int = 10,
    early: int = 0,
    rotation: KeyRotated | None = None,
) -> Log:
    """The log that follows when the last `lost` entries of `log` are gone, `later` seconds later, with some windows of its own. `early`: the unit says that
    the lost log reached so many seconds less far than it did."""
    entries, origin = beginning(log, cheat, lost, early=early, rotation=rotation)
    world = World(policy, entries=entries)
    world.key = KEY if rotation is None else NEW
    world.boot_ns += (max(map(newest_instant, log[1])) - early - world.utc_s + later) * 10**9
    world.restart()
    world.look()
    world.run(8)
    return origin, tuple(world.entries)


def beginning(
    log: Log, cheat: Cheat, lost: int, *, early: int = 0, rotation: KeyRotated | None = None
) -> tuple[list[Entry], str]:
    """Its first entries, and its origin."""
    origin, entries = log
    until = max(map(newest_instant, entries)) - early
    key = NEW if rotation is not None else KEY
    decided = sum(isinstance(entry, Decision) for entry in entries)
    lines = ("bytes 1", f"decisions {decided}", f"until {until}")
    note = sign_checkpoint(Checkpoint(origin, len(entries), root_of(entries), lines), origin, key)
    left = entries[: len(entries) - lost]
    loss = LogLost(note, len(left), root_of(left))
    repeated = continuation(loss, left, rotation.message if rotation is not None else None)
    return list(with_states(cheat(list(repeated)))), origin_after(origin, decode_checkpoint(note))


def judged(folder: Path, log: Log, lines: str = "", earlier: Sequence[Path] = (), key: bytes = PUBLIC) -> Verdict:
    folder.mkdir(exist_ok=True)
    (folder / "lines").write_text(lines)
    copy = write_copy(folder / "new", log[1], origin=log[0], key=KEY if key == PUBLIC else NEW)
    inputs = Inputs(ORIGIN, key, log=copy, received=(folder / "lines",), root=trust_root(), earlier=tuple(earlier))
    return audit(inputs)


def gaps(entries: Sequence[Entry]) -> list[int]:
    return [i for i, entry in enumerate(entries) if isinstance(entry, Gap) and entry.charge != FREE]


def free(entries: list[Entry]) -> list[Entry]:
    """Each charge is dropped."""
    return [replace(entry, charge=FREE) if isinstance(entry, Gap) else entry for entry in entries]


def free_where_charged(entries: list[Entry]) -> list[Entry]:
    """The same, but for modes without a guarantee."""
    return [replace(e, charge=FREE) if isinstance(e, Gap) and e.charge is not None else e for e in entries]


def cheaper(entries: list[Entry]) -> list[Entry]:
    """One charge is halved."""
    at = gaps(entries)[0]
    gap = entries[at]
    assert isinstance(gap, Gap)
    assert gap.charge is not None
    return [*entries[:at], replace(gap, charge=Charge(gap.charge.rho / 2)), *entries[at + 1 :]]


def one_window(entries: list[Entry]) -> list[Entry]:
    """One window in the middle of others is told as one without numbers."""
    at = gaps(entries)[0]
    gap = entries[at]
    assert isinstance(gap, Gap)
    assert gap.count > 3
    parts = [
        replace(gap, count=1),
        replace(gap, first_start=gap.first_start + gap.window_s, count=1, charge=FREE),
        replace(gap, first_start=gap.first_start + 2 * gap.window_s, count=gap.count - 2),
    ]
    return [*entries[:at], *parts, *entries[at + 1 :]]


def begun_later(entries: list[Entry]) -> list[Entry]:
    """Gaps are left out, and the policy is said to have begun after them."""
    at = gaps(entries)[0]
    gap = entries[at]
    assert isinstance(gap, Gap)
    end = gap.first_start + gap.count * gap.window_s
    return [
        replace(entry, at=end, effective=end) if isinstance(entry, PolicyTaken) and entry.effective < end else entry
        for i, entry in enumerate(entries)
        if i != at
    ]


def swapped(entries: list[Entry]) -> list[Entry]:
    """As many charges as there were, of other windows: the free ones are charged, and those that cost are free."""
    full = next(entry.charge for entry in entries if isinstance(entry, Gap) and entry.charge != FREE)
    return [
        replace(entry, charge=full if entry.charge == FREE else FREE) if isinstance(entry, Gap) else entry
        for entry in entries
    ]


CHEATS: dict[str, tuple[Cheat, set[Kind]]] = {
    "free": (free, set()),
    "cheaper": (cheaper, set()),
    "one window": (one_window, set()),
    "begun later": (begun_later, {Kind.WRONG_BEGINNING, Kind.CLOCK_BACK, Kind.IMPOSSIBLE_NOTICE}),
    "swapped": (swapped, set()),
}
"""With what else is found of each, without anything of before."""


def test_honest_losses_hide_nothing(tmp_path: Path) -> None:
    """However much was lost; with what was received, raw or not, and each copy of the lost log."""
    log = lost_log()
    whole = write_copy(tmp_path / "whole", log[1])
    for lost in (1, 3, 5, 8):
        after = follow(log, FIRST, lost=lost)
        left = write_copy(tmp_path / f"left{lost}", log[1][: len(log[1]) - lost])
        for number, raw in enumerate((True, False)):
            lines = received(log[1], raw=raw) + received(after[1], raw=raw)
            verdict = judged(tmp_path / f"{lost}{number}", after, lines, [whole, left])
            assert verdict.findings.kinds == set(), (lost, verdict.findings.shown)
            assert verdict.losses


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    st.lists(st.sampled_from([event for event in EVENTS if event != "step"]), max_size=8), st.integers(1, 2), st.data()
)
def test_whatever_an_honest_unit_lost_it_hides_nothing(events: list[str], losses: int, data: st.DataObject) -> None:
    """Negative control of every fraud here: lives as in test_honest, losses without a decision, up to three entries that were not known. Without
    steps of the clock: one back between two decisions is `clock-back`, loss or none."""
    world, version = World(FIRST), 1
    origin, lines = ORIGIN, ""
    with TemporaryDirectory() as folder:
        copies: list[Path] = []
        for number in range(losses):
            for event in (*events, "time"):
                version = live(world, event, data, version)
                world.tick()
            log = tuple(world.entries)
            decided = max(i for i, entry in enumerate(log) if isinstance(entry, Decision))
            size = max(decided + 2, len(log) - data.draw(st.integers(0, 3)))
            lost = min(data.draw(st.integers(1, 12)), size - decided - 1)
            if size > len(log) or lost < 1:
                return
            lines += received(log)
            copies.append(write_copy(Path(folder) / f"old{number}", log, origin=origin))
            unknown_s = max(map(newest_instant, log)) - max(map(newest_instant, log[:size]))
            later = unknown_s + data.draw(st.sampled_from([1, 3, 30]))
            origin, following = follow((origin, log[:size]), FIRST, lost=lost, later=later)
            world = World(FIRST, entries=list(following))
            world.boot_ns += (max(map(newest_instant, following)) - world.utc_s + 1) * 10**9
            world.restart()
            world.look()
        world.run(3)
        after = origin, tuple(world.entries)
        verdict = judged(Path(folder) / "judged", after, lines + received(after[1]), copies)
    assert verdict.findings.kinds == set(), verdict.findings.shown


@pytest.mark.parametrize("name", CHEATS)
@pytest.mark.parametrize("evidence", ["raw", "plain", "copy", "early copy", "none"])
def test_a_hidden_charge_is_found(tmp_path: Path, name: str, evidence: str) -> None:
    """By each kind of evidence alone; without any there is nothing to hold it against."""
    log = lost_log()
    cheat, besides = CHEATS[name]
    after = follow(log, FIRST, cheat)
    lines, earlier = "", []
    if evidence in ("raw", "plain"):
        lines = received(log[1], raw=evidence == "raw")
    elif evidence != "none":
        few = log[1][:30] if evidence == "early copy" else log[1]
        earlier = [write_copy(tmp_path / "old", few)]
    verdict = judged(tmp_path, after, lines, earlier)
    assert verdict.findings.kinds - besides == (set() if evidence == "none" else {Kind.HIDDEN_BY_LOSS})


def test_the_words_say_stream_window_and_both_charges(tmp_path: Path) -> None:
    log = lost_log()
    first = next(entry for entry in log[1] if isinstance(entry, Release) and entry.charge != FREE)
    assert first.charge is not None
    after = follow(log, FIRST, free)
    copy = write_copy(tmp_path / "old", log[1])
    verdict = judged(tmp_path, after, received([first]), [copy])
    copied, line = (
        next(each for each in verdict.findings.shown if each.where.startswith(start))
        for start in (str(copy), str(tmp_path / "lines"))
    )
    index = next(i for i, entry in enumerate(after[1]) if isinstance(entry, Gap))
    words = f"crossings at {first.window_start}: charged {first.charge.rho} before the loss, and 0 in entry {index}"
    assert (copied.words, copied.where) == (words, f"{copy} entry {log[1].index(first)}")
    assert (line.words, line.where) == (words, f"{tmp_path / 'lines'}:1")


def test_a_null_charge_is_less_than_any(tmp_path: Path) -> None:
    log = lost_log()
    after = follow(log, FIRST)
    place = gaps(after[1])[0]
    gap = after[1][place]
    assert isinstance(gap, Gap)
    null = after[0], (*after[1][:place], replace(gap, charge=None), *after[1][place + 1 :])
    verdict = judged(tmp_path, null, received(log[1]))
    assert verdict.findings.kinds - {Kind.CARRIED_STATE} == {Kind.NULL_CHARGE, Kind.HIDDEN_BY_LOSS}


def test_what_was_lost_is_charged_in_full_whatever_it_cost(tmp_path: Path) -> None:
    """AN-32: entries that are gone were perhaps without numbers; that one received had some shows where the unit says so of it."""
    log = lost_log()
    lost = 4

    def as_if_left(entries: list[Entry]) -> list[Entry]:
        release = log[1][-lost]
        assert isinstance(release, Release)
        return [*entries, Gap(release.stream, release.window_start, release.window_s, 1, FREE)]

    after = follow(log, FIRST, as_if_left, lost=lost)
    assert judged(tmp_path / "a", after).findings.kinds == set()
    assert judged(tmp_path / "b", after, received(log[1])).findings.kinds == {Kind.HIDDEN_BY_LOSS}


def test_a_window_of_before_is_not_released_again(tmp_path: Path) -> None:
    """I5, OP-24: what the lost log's copy has, no log that follows releases."""
    log = lost_log()
    again = follow(log, FIRST, early=5, later=1)
    assert judged(tmp_path / "a", again).findings.kinds == set()
    seen = judged(tmp_path / "b", again, "", [write_copy(tmp_path / "old", log[1])])
    assert seen.findings.kinds == {Kind.WINDOW_TWICE}


@pytest.mark.parametrize("lost", [1, 9, 30])
def test_streams_of_every_kind(tmp_path: Path, lost: int) -> None:
    """Modes without a guarantee are charged null before and after, and hide nothing; each of the others is found."""
    for name, cheat in (("honest", honest), ("free", free_where_charged)):
        life = Street(*KINDS)
        life.busy(80)
        life.boot_ns += 45 * 10**9
        life.restart()
        life.on(5)
        life.busy(60)
        log = ORIGIN, tuple(life.entries)
        life.entries[:], origin = beginning(log, cheat, lost)
        life.boot_ns += 5 * 10**9
        life.restart()
        life.on(5)
        life.busy(40)
        after = origin, tuple(life.entries)
        for number, evidence in enumerate(((received(log[1]), []), ("", [write_copy(tmp_path / name, log[1])]))):
            found = judged(tmp_path / f"{name}{number}", after, *evidence).findings
            hidden = {each.words.split()[0] for each in found.shown}
            charged = {e.stream for e in log[1] if isinstance(e, Release) and e.charge not in (None, FREE)}
            assert found.kinds == (set() if cheat is honest else {Kind.HIDDEN_BY_LOSS}), found.shown
            assert hidden == (set() if cheat is honest else charged)


def test_no_decision_is_lost(tmp_path: Path) -> None:
    """AN-64: a stop order that a loss should hide, left out or with another decision in its place."""
    world = World(FIRST)
    world.run(20)
    world.stop("a pipe burst")
    world.run(8)
    log = ORIGIN, tuple(world.entries)

    def without(entries: list[Entry]) -> list[Entry]:
        return [entry for entry in entries if not isinstance(entry, StopTaken)]

    def other(entries: list[Entry]) -> list[Entry]:
        return [replace(entry, by=("steward/eve",)) if isinstance(entry, StopTaken) else entry for entry in entries]

    copy = write_copy(tmp_path, log[1])
    assert judged(tmp_path / "a", follow(log, FIRST), "", [copy]).findings.kinds == set()
    assert judged(tmp_path / "b", follow(log, FIRST, without)).findings.kinds == {Kind.HIDDEN_BY_LOSS}
    assert Kind.HIDDEN_BY_LOSS in judged(tmp_path / "c", follow(log, FIRST, other), "", [copy]).findings.kinds


def test_two_losses_in_a_row(tmp_path: Path) -> None:
    """The second repeats what the first repeated; each of both logs, and what was received of each, is before it, however long it was."""
    first = lost_log()
    second = follow(first, FIRST)
    third = follow(second, FIRST)
    assert len(second[1]) < len(first[1]) - 6
    lines = received(first[1]) + received(second[1]) + received(third[1])
    copies = [write_copy(tmp_path / str(i), log[1], origin=log[0]) for i, log in enumerate((first, second))]
    verdict = judged(tmp_path / "honest", third, lines, copies)
    assert verdict.findings.kinds == set(), verdict.findings.shown
    assert not any("another log" in words for words in verdict.open)
    hiding = follow(second, FIRST, free)
    for number, evidence in enumerate(
        ((received(first[1]), []), (received(second[1]), []), ("", copies[:1]), ("", copies[1:]))
    ):
        verdict = judged(tmp_path / f"cheat{number}", hiding, *evidence)
        assert verdict.findings.kinds == {Kind.HIDDEN_BY_LOSS}, number


def with_rotation() -> Log:
    """Windows under one key, a restart with another, windows under that."""
    world = World(FIRST)
    world.run(40)
    restart_with_another_key(world)
    world.run(12)
    return ORIGIN, tuple(world.entries)


def test_a_key_that_was_rotated_before_the_loss(tmp_path: Path) -> None:
    """AN-127: the places of a rotation in both logs differ; which key signed what before the loss is for the lost log's own audit."""
    log, rotation = with_rotation(), rotated()
    copy = write_copy(tmp_path / "old", log[1], key=NEW)
    lines = received(log[1]).replace('"verified": false', '"verified": null')  # whoever received them had the old key
    after = follow(log, FIRST, rotation=rotation)
    verdict = judged(tmp_path / "honest", after, lines, [copy], NEW_PUBLIC)
    assert verdict.findings.kinds == set(), verdict.findings.shown
    hiding = follow(log, FIRST, free, rotation=rotation)
    for number, evidence in enumerate(((lines, []), ("", [copy]))):
        assert judged(tmp_path / str(number), hiding, *evidence, NEW_PUBLIC).findings.kinds == {Kind.HIDDEN_BY_LOSS}


def test_what_the_unit_did_not_sign_hides_nothing(tmp_path: Path) -> None:
    """OP-23: a line without its signature is believed, one with another's is not held against the unit."""
    log = lost_log()
    hiding = follow(log, FIRST, free)
    honest_line = next(line for line in received(log[1]).splitlines() if '"state": "complete"' in line)
    unverified = honest_line.replace('"verified": true', '"verified": null')
    forged = received([resealed(next(e for e in log[1] if isinstance(e, Release)), key=OTHER_KEY)])
    assert '"verified": false' in forged
    for name, line, kinds in (
        ("kept", unverified, {Kind.HIDDEN_BY_LOSS}),
        ("another's", forged.replace('"verified": false', '"verified": null'), set()),
    ):
        assert judged(tmp_path / name, hiding, line).findings.kinds == kinds, name


def test_a_late_copy_of_the_log_that_follows(tmp_path: Path) -> None:
    """OP-34: of what its first bundle repeated nothing is judged; of what the next one repeats, all."""
    first: Log = (ORIGIN, lost_story())
    for name, cheat, kinds in (("honest", honest, set()), ("free", free, {Kind.HIDDEN_BY_LOSS})):
        after = follow(first, FIRST_OF_ALL, cheat)
        (tmp_path / name).mkdir()
        (tmp_path / name / "lines").write_text(received(first[1]) + received(after[1]))
        copy = write_copy(tmp_path / name, after[1], origin=after[0])
        (copy / Tile(None, 0).path).unlink()
        verdict = audit(Inputs(ORIGIN, PUBLIC, log=copy, received=(tmp_path / name / "lines",), policies=KNOWN))
        assert verdict.beginning is not None
        assert verdict.beginning.entry == WIDTH
        assert verdict.findings.kinds == kinds, verdict.findings.shown


def test_three_entries_that_the_unit_did_not_know_of(tmp_path: Path) -> None:
    """AN-58: nor of a policy among them, which had longer windows."""
    world = World(FIRST)
    world.run(20)
    known = len(world.entries)
    world.offer(make_policy(version=2, notice="2 seconds", window=4, rho="0.0625", cap="2"))
    while not isinstance(world.entries[-1], Release) or world.entries[-1].window_s != 4:
        world.run(1)
    taken = next(e for e in reversed(world.entries) if isinstance(e, PolicyTaken))
    last = world.entries[-1]
    unknown = [*world.entries[:known], taken, last]
    after = follow((ORIGIN, tuple(world.entries[:known])), FIRST, later=40)
    verdict = judged(tmp_path, after, received([resealed(last, log_index=known + 1)]), [write_copy(tmp_path, unknown)])
    assert verdict.findings.kinds == set(), verdict.findings.shown
    assert any("before the loss" in words for words in verdict.open)


def test_a_copy_that_is_no_copy_of_the_lost_log(tmp_path: Path) -> None:
    """Another history is one; a file that was changed is refused, with its name; a log that nothing names is not judged."""
    log = lost_log()
    after = follow(log, FIRST)
    other = [*log[1][:20], log[1][-1], *log[1][21:]]
    verdict = judged(tmp_path / "a", after, "", [write_copy(tmp_path / "other", other)])
    assert verdict.findings.kinds == {Kind.FORKED_LOG}
    copy = write_copy(tmp_path / "old", log[1])
    bundle = next((copy / "tile" / "entries").glob("000.p/*"))
    content = bytearray(bundle.read_bytes())
    content[-1] ^= 1
    bundle.write_bytes(content)
    with pytest.raises(LogDamaged, match="old/copy"):
        judged(tmp_path / "b", after, "", [copy])
    stranger = write_copy(tmp_path / "stranger", log[1], origin=f"{ORIGIN}/after/7-{'01' * 16}")
    verdict = judged(tmp_path / "c", after, "", [stranger])
    assert verdict.findings.kinds == set()
    assert any("another log of this unit" in words for words in verdict.open)


@pytest.mark.parametrize("name", ["5-zz", "5-", f"0-{'00' * 16}", f"{10**17}-{'01' * 16}", "x"])
def test_a_lost_log_of_any_name_ends_no_audit(tmp_path: Path, name: str) -> None:
    """I8: the note in the first entry is the unit's, and so is what it calls the log before; nothing of that was left, either."""
    log = f"{ORIGIN}/after/{name}", lost_log()[1]
    after = follow(log, FIRST)
    copy = write_copy(tmp_path / "old", lost_log()[1])
    judged(tmp_path / "a", after, received(log[1]), [copy])
    loss = after[1][0]
    assert isinstance(loss, LogLost)
    nothing_left = replace(loss, kept=0, root=root_of(()))
    verdict = judged(
        tmp_path / "b",
        (after[0], (nothing_left, *after[1][1:])),
        "",
        [write_copy(tmp_path / "c", log[1], origin=log[0])],
    )
    assert Kind.FORKED_LOG not in verdict.findings.kinds


def test_more_gaps_than_are_kept_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OP-31: by name, and not by memory."""
    after = follow(lost_log(), FIRST)
    for name, most in (("MAX_REPEATED", 2), ("MAX_CHARGES", 1)):
        with monkeypatch.context() as patched:
            patched.setattr(repeated, name, most)
            with pytest.raises(LogDamaged, match="before the first Releases"):
                judged(tmp_path / name, after)
