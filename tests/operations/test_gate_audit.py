"""OP-50 to OP-53: the gate's history is held against what was released, and each planted lie about it is found; so is every honest twin clean."""

import dataclasses
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from agent.cli.main import main
from agent.contracts import aggregate
from agent.contracts.aggregate import Cell, NotCollected
from agent.contracts.board_seen import BoardSeen
from agent.contracts.gate_log import Change, Further, GateChanges
from agent.contracts.log import Carried, Entry, Gap, Release
from agent.contracts.public import Reason
from agent.contracts.reading import Kind as Message
from agent.operations import openings
from agent.operations.audit import audit
from agent.operations.audit_inputs import Inputs
from agent.operations.findings import Findings, Kind
from agent.operations.layout import pack_of
from agent.operations.openings import TOLERANCE_S, UNTOLD_RELEASES, GateFacts, Openings
from agent.operations.verdict import Verdict
from tests.anonymizer import test_carried
from tests.anonymizer.stage import BOARD, ORIGIN, make_policy, message
from tests.anonymizer.worlds import START_S, World
from tests.operations.stories import PUBLIC, renumbered, resealed, write_copy
from tests.signing import trust_root

WINDOW_S = 20
Cheat = Callable[[list[Entry]], list[Entry]]


@cache
def story() -> tuple[Entry, ...]:
    """Windows of 20 s: the beacon falls silent for 110 s, and later for six seconds; a restart with a Gap; new firmware."""
    world = World(make_policy(notice="2 seconds", window=WINDOW_S, rho="0.03125"))
    world.run(62)
    world.on_air = False
    world.run(110)
    world.on_air = True
    world.run(44)
    world.on_air = False
    world.run(16)
    world.on_air = True
    world.run(40)
    world.boot_ns += 50 * 10**9
    world.restart()
    world.look()
    world.run(30)
    world.deliver(message(Message.BOARD, dataclasses.replace(BOARD, firmware="1.1").encode()))
    world.run(60)
    return tuple(world.entries)


def judged(folder: Path, entries: list[Entry] | tuple[Entry, ...]) -> Verdict:
    return audit(Inputs(ORIGIN, PUBLIC, log=write_copy(folder, entries), root=trust_root()))


def histories(entries: list[Entry]) -> list[int]:
    return [index for index, entry in enumerate(entries) if isinstance(entry, GateChanges)]


def first(entries: list[Entry], reason: NotCollected | None, coverage: range = range(101)) -> int:
    """The place of the first Release in this state, of so much coverage."""
    for index, entry in enumerate(entries):
        if isinstance(entry, Release):
            said = aggregate.decode(entry.payload)
            if said.reason is reason and said.coverage_percent in coverage:
                return index
    raise AssertionError("none")


def without(*places: int) -> Cheat:
    return lambda entries: renumbered([entry for index, entry in enumerate(entries) if index not in places])


def replaced(entries: list[Entry], place: int, **changes: Any) -> list[Entry]:
    """An entry of the gate's history says something else."""
    entry = entries[place]
    assert isinstance(entry, GateChanges)
    return [*entries[:place], dataclasses.replace(entry, **changes), *entries[place + 1 :]]


def released(entries: list[Entry], place: int, coverage_percent: int) -> list[Entry]:
    """A window that has no numbers gets some, at its proper charge."""
    model, release = entries[first(entries, None)], entries[place]
    assert isinstance(release, Release)
    assert isinstance(model, Release)
    width = len(aggregate.decode(release.payload).values)
    open_then = resealed(release, reason=None, coverage_percent=coverage_percent, values=(Cell.SUPPRESSED,) * width)
    return [*entries[:place], dataclasses.replace(open_then, charge=model.charge), *entries[place + 1 :]]


def _while_closed(entries: list[Entry]) -> list[Entry]:
    """The log says closed, and a window within has numbers all the same."""
    return released(entries, first(entries, NotCollected.GATE, range(1)), 100)


def _half_closed(entries: list[Entry]) -> list[Entry]:
    """A window in which the gate was closed at first says that half of it was measured."""
    places = [
        index
        for index, entry in enumerate(entries)
        if isinstance(entry, Release) and 0 < aggregate.decode(entry.payload).coverage_percent < 50
    ]
    return released(entries, places[0], 100)


def _whole_coverage(entries: list[Entry]) -> list[Entry]:
    """A window during which the gate was shut for six seconds says that all of it was measured."""
    place = first(entries, None, range(50, 80))
    release = entries[place]
    assert isinstance(release, Release)
    return [*entries[:place], resealed(release, coverage_percent=100), *entries[place + 1 :]]


def _coverage_of_nothing(entries: list[Entry]) -> list[Entry]:
    """Without numbers, a window of a shut gate says that it was measured in part."""
    place = first(entries, NotCollected.GATE, range(1))
    release = entries[place]
    assert isinstance(release, Release)
    return [*entries[:place], resealed(release, coverage_percent=45), *entries[place + 1 :]]


def _all_removed(entries: list[Entry]) -> list[Entry]:
    return without(*histories(entries))(entries)


def _one_removed(entries: list[Entry]) -> list[Entry]:
    """The one that tells the closing."""
    return without(histories(entries)[1])(entries)


def _beginning_removed(entries: list[Entry]) -> list[Entry]:
    return without(histories(entries)[0])(entries)


def _removed_after_a_restart(entries: list[Entry]) -> list[Entry]:
    gap = next(index for index, entry in enumerate(entries) if isinstance(entry, Gap))
    return without(*(index for index in histories(entries) if index > gap))(entries)


def _back(entries: list[Entry]) -> list[Entry]:
    """A closing dated before the one that precedes it."""
    place = histories(entries)[0]
    entry = entries[place]
    assert isinstance(entry, GateChanges)
    started, early, *rest = entry.changes
    return replaced(entries, place, changes=(started, Change(early.at + 1, early.reason), *rest))


def _more_open_than_time(entries: list[Entry]) -> list[Entry]:
    """Changes in sum, open for longer than they took."""
    place = histories(entries)[1]
    last = entries[place]
    assert isinstance(last, GateChanges)
    return replaced(entries, place, further=Further(2, 5000, last.last.at, last.last.reason))


def _began_anew(entries: list[Entry]) -> list[Entry]:
    """A history that begins with an open gate some time after it began."""
    place = histories(entries)[1]
    return replaced(entries, place, began=START_S + 1)


FRAUDS: dict[str, tuple[Cheat, Kind]] = {
    "gate: closed while releases go on": (_while_closed, Kind.WHILE_CLOSED),
    "gate: closed for most of a window with numbers": (_half_closed, Kind.WHILE_CLOSED),
    "gate: coverage larger than the open time": (_whole_coverage, Kind.WHILE_CLOSED),
    "gate: coverage while closed, without numbers": (_coverage_of_nothing, Kind.WHILE_CLOSED),
    "gate: history removed": (_all_removed, Kind.GATE_UNTOLD),
    "gate: a closing removed": (_one_removed, Kind.GATE_UNTOLD),
    "gate: the beginning removed": (_beginning_removed, Kind.GATE_UNTOLD),
    "gate: history removed after a restart": (_removed_after_a_restart, Kind.GATE_UNTOLD),
    "gate: history begun anew without its beginning": (_began_anew, Kind.GATE_UNTOLD),
    "gate: instants out of order": (_back, Kind.GATE_BACK),
    "gate: more open time than time": (_more_open_than_time, Kind.GATE_BACK),
}


def test_the_honest_twin_is_clean(tmp_path: Path) -> None:
    """Control: closings, a window of which a part was measured, a restart with a Gap."""
    entries = list(story())
    verdict = judged(tmp_path, entries)
    assert verdict.findings.kinds == set(), verdict.findings.shown
    assert {NotCollected.GATE, None} <= {aggregate.decode(e.payload).reason for e in entries if isinstance(e, Release)}
    assert len(histories(entries)) >= 4


@pytest.mark.parametrize("name", FRAUDS)
def test_each_fraud_is_found_by_name(tmp_path: Path, name: str) -> None:
    """The unit hashes and signs it all as if nothing were wrong, and nothing else gives it away."""
    cheat, kind = FRAUDS[name]
    assert judged(tmp_path, cheat(list(story()))).findings.kinds == {kind}


def test_as_much_as_the_gate_allows_is_clean(tmp_path: Path) -> None:
    """The tolerance: at a closing whole seconds and one of steering, so of this window two seconds; not a twentieth more."""
    entries = list(story())
    place = first(entries, None, range(50, 80))
    release = entries[place]
    assert isinstance(release, Release)
    honest = aggregate.decode(release.payload).coverage_percent
    assert honest == 60
    most = honest + 100 * (1 + TOLERANCE_S) // WINDOW_S
    for coverage, found in ((most, set()), (most + 5, {Kind.WHILE_CLOSED})):
        said = [*entries[:place], resealed(release, coverage_percent=coverage), *entries[place + 1 :]]
        assert judged(tmp_path / str(coverage), said).findings.kinds == found


def test_every_bundle_tells_how_the_gate_stands(tmp_path: Path) -> None:
    """OP-51: a gate that never changes is told 256 entries later at the latest, and a unit that leaves it out is found."""
    entries = list(test_carried.story())
    assert judged(tmp_path / "a", entries).findings.kinds == set()
    findings, pack = Findings(), None
    untold = Openings(findings)
    for index, entry in enumerate(entries):
        if isinstance(entry, GateChanges) and index < 256:
            untold.fold(entry, f"entry {index}")
        elif isinstance(entry, Carried):
            untold.bundle()
        elif isinstance(entry, Release):
            pack = pack_of(aggregate.decode(entry.payload))
            untold.release(entry, pack, f"entry {index}")
            if index <= 256 + UNTOLD_RELEASES:
                assert Kind.GATE_UNTOLD not in findings.kinds
    assert pack is not None
    assert Kind.GATE_UNTOLD in findings.kinds


def test_a_log_read_from_its_middle_on() -> None:
    """OP-51: what came before the first word of the gate is nobody's fault; from then on it is judged."""
    entries = list(story())
    middle = histories(entries)[1]
    findings = Findings()
    late = Openings(findings, whole=False)
    before = [e for e in entries[:middle] if isinstance(e, Release)]
    for release in before:
        late.release(release, pack_of(aggregate.decode(release.payload)), "before")
    assert late.untold == len([e for e in before if aggregate.decode(e.payload).coverage_percent])
    assert late.facts is None
    for index, each in enumerate(_while_closed(entries)[middle:], middle):
        if isinstance(each, GateChanges):
            late.fold(each, f"entry {index}")
        elif isinstance(each, Release):
            late.release(each, pack_of(aggregate.decode(each.payload)), f"entry {index}")
    assert findings.kinds == {Kind.WHILE_CLOSED}
    assert len(findings.shown) == 1


def test_two_processes_that_began_in_one_second() -> None:
    """OP-51: one that died at once, or a clock that was set back: the second history is a new one, not a hole in the first."""
    for reasons in (
        (Reason.CLOCK_BACKWARDS, Reason.OPEN),
        (Reason.NO_LEASE,),
        (Reason.OPEN,),
    ):
        findings = Findings()
        gate = Openings(findings)
        gate.fold(GateChanges(START_S, (Change(START_S, Reason.NO_LEASE), Change(START_S + 4, Reason.OPEN))), "one")
        changes = tuple(Change(START_S + 6 * number, reason) for number, reason in enumerate(reasons))
        gate.fold(GateChanges(START_S, changes), "two")
        assert findings.kinds == set()
        assert gate.facts is not None
        assert gate.facts.closings["restart"] == 1
    gate.fold(GateChanges(START_S, (Change(START_S + 1, Reason.OPEN),)), "three")
    assert findings.kinds == {Kind.GATE_UNTOLD}


def test_changes_in_sum_allow_the_time_open_in_them() -> None:
    """OP-50: of a gate that flapped more often than an entry lists, what the sum allows and no more."""
    entries = list(story())
    release = entries[first(entries, None)]
    assert isinstance(release, Release)
    pack = pack_of(aggregate.decode(release.payload))
    start = release.window_start
    for open_s, found in ((20, set()), (3, {Kind.WHILE_CLOSED})):
        findings = Findings()
        gate = Openings(findings)
        changes = (Change(start - 100, Reason.NO_LEASE),)
        gate.fold(GateChanges(start - 100, changes, Further(2, open_s, start + 30, Reason.LEASE_CLOSED)), "entry 0")
        gate.release(release, pack, "entry 1")
        assert findings.kinds == found, open_s


def test_what_an_audit_remembers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """OP-50: of a gate that flaps without end the oldest spans are forgotten, and count as open: no unit is accused for them."""
    monkeypatch.setattr(openings, "MAX_SPANS", 100)
    entries = list(story())
    release = entries[first(entries, None)]
    assert isinstance(release, Release)
    pack = pack_of(aggregate.decode(release.payload))
    findings = Findings()
    gate = Openings(findings)
    began, at = release.window_start - 1000, release.window_start - 1000
    before = Change(at, Reason.NO_LEASE)
    for _ in range(400):
        at += 7
        after = Change(at, Reason.OPEN if before.reason is not Reason.OPEN else Reason.LEASE_CLOSED)
        gate.fold(GateChanges(began, (before, after)), "entry 0")
        before = after
    gate.release(release, pack, "old")
    assert findings.kinds == set()
    recent = dataclasses.replace(release, window_start=at // WINDOW_S * WINDOW_S - WINDOW_S)
    gate.release(recent, pack, "recent")
    assert findings.kinds == {Kind.WHILE_CLOSED}
    assert len(gate._spans._starts) <= 100


def test_the_verdict_tells_gate_and_boards(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """OP-53: how long it was open, why it closed how often, which firmware ran since when; in words and as JSON."""
    entries = list(story())
    verdict = judged(tmp_path, entries)
    gate = verdict.gate
    assert gate is not None
    assert gate.closings == {"lease_lapsed": 2, "restart": 1}
    reached = max(e.window_start + e.window_s for e in entries if isinstance(e, Release))
    assert reached - START_S - 50 - WINDOW_S <= gate.told_s <= reached - START_S
    assert gate.told_s - gate.open_s == 2 + 100 + 6
    assert [(each.firmware, each.unsaid) for each in verdict.boards] == [("1.0", False), ("1.1", False)]
    assert main(["audit", "--log", str(tmp_path / "copy"), "--key", PUBLIC.hex()]) == 0
    said = capsys.readouterr().out
    assert "closed for 2 lease_lapsed, 1 restart" in said
    assert "gate closed: lease_lapsed" in said
    assert "has firmware 1.1 (0000000000000000…)" in said
    assert main(["audit", "--log", str(tmp_path / "copy"), "--key", PUBLIC.hex(), "--json"]) == 0
    item = json.loads(capsys.readouterr().out)
    assert item["gate"]["closings"] == gate.closings
    assert item["gate"]["newest"][-1]["reason"] == "open"
    assert [each["firmware"] for each in item["boards"]["newest"]] == ["1.0", "1.1"]


def test_a_log_that_tells_nothing_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing was measured, so nothing is missing."""
    copy = write_copy(tmp_path, story()[:3])
    assert main(["audit", "--log", str(copy), "--key", PUBLIC.hex()]) == 0
    assert "nothing tells what it did" in capsys.readouterr().out
    assert Openings(Findings()).facts is None
    assert isinstance(judged(tmp_path / "b", story()).gate, GateFacts)
    assert any(isinstance(entry, BoardSeen) for entry in story())
