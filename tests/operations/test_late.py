"""OP-34, OP-35, OP-36: an audit of a copy whose oldest bundles are gone says from where on it proves what, and finds every fraud that lies there."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.anonymizer.ledger import Ledger
from agent.cli.main import main
from agent.contracts.aggregate import Cell
from agent.contracts.carried import Held, LastWindow, Run, Spent
from agent.contracts.log import Carried, Decision, Entry, PolicyOffered, PolicyTaken, Release
from agent.contracts.public import Envelope, seal_envelope
from agent.disclosure.datachain import compile_disclosure
from agent.errors import LogDamaged
from agent.operations.audit import audit
from agent.operations.audit_inputs import Inputs
from agent.operations.carried import possible
from agent.operations.copies import Copies
from agent.operations.findings import Findings, Kind
from agent.operations.history import History
from agent.operations.rotations import Course
from agent.operations.verdict import Verdict
from agent.policy.compile import compile_policy
from agent.policy.file import PolicyFile, load_policy_file
from agent.wire.tiles import WIDTH, Tile
from tests.anonymizer import test_carried
from tests.anonymizer.stage import KEY, ORIGIN, make_policy, policy_text
from tests.anonymizer.worlds import World
from tests.operations import test_audit_kinds
from tests.operations.stories import (
    PUBLIC,
    live_through_it,
    note_of,
    received,
    renumbered,
    resealed,
    street,
    write_copy,
)
from tests.operations.test_audit import FRAUDS, at, changed
from tests.signing import signed_policy, trust_root
from tests.wire.test_tlog import OTHER_KEY

FIRST = replace(make_policy(notice="2 seconds"), expires=make_policy().expires - 86_400)
"""Ends a day before those after it, which therefore wait out their notice."""


@cache
def long_story() -> tuple[Entry, ...]:
    """A bundle under a first policy, and then all that happens in `stories.story`, under later ones."""
    world = World(FIRST)
    while len(world.entries) < WIDTH + 4:
        world.run(1)
    world.offer(make_policy(version=2, notice="2 seconds"))
    live_through_it(world, 3)
    return tuple(world.entries)


def late_copy(folder: Path, entries: list[Entry], *, bundles: int = 1, tiles: bool = False) -> Path:
    """A copy without its first bundles; with `tiles` without their hash tiles too, as C2SP prunes."""
    copy = write_copy(folder, entries)
    for number in range(bundles):
        (copy / Tile(None, number).path).unlink()
        if tiles:
            (copy / Tile(0, number).path).unlink()
    return copy


KNOWN = (PolicyFile(FIRST, compile_policy(FIRST), signed_policy(FIRST)),)
"""The policy of before, as its signers keep it."""


def judged(copy: Path, **inputs: Any) -> Verdict:
    given: dict[str, Any] = {"root": trust_root(), "policies": KNOWN, **inputs}
    return audit(Inputs(ORIGIN, PUBLIC, log=copy, **given))


def altered(entries: Sequence[Entry], **changes: Any) -> list[Entry]:
    """The state that the copy begins with says something else."""
    carried = entries[WIDTH]
    assert isinstance(carried, Carried)
    assert carried.state is not None
    return [*entries[:WIDTH], Carried(replace(carried.state, **changes)), *entries[WIDTH + 1 :]]


@pytest.mark.parametrize("tiles", [False, True])
def test_an_honest_log_is_clean_from_where_the_copy_begins(tmp_path: Path, tiles: bool) -> None:
    """All that happens after; also without the hash tiles that C2SP lets go. The decisions of before are the very entries of the log."""
    verdict = judged(late_copy(tmp_path, list(long_story()), tiles=tiles))
    begin = verdict.beginning
    assert verdict.findings.kinds == set(), verdict.findings.shown
    assert begin is not None
    assert (begin.held, begin.entry, begin.tiles_whole) == (WIDTH, WIDTH, not tiles)
    expected = ((0, 2), 49, 1_800_000_259 + 86_400) if tiles else ((), 0, 0)  # a day after the second policy
    assert (begin.absent, verdict.unjudged, verdict.settled) == expected
    assert verdict.facts["entries"] == len(long_story()) - WIDTH


@pytest.mark.parametrize("bundles", [1, 2])
def test_any_number_of_bundles_may_be_gone(tmp_path: Path, bundles: int) -> None:
    verdict = judged(late_copy(tmp_path, list(test_carried.story()), bundles=bundles), policies=())
    assert verdict.findings.kinds == set(), verdict.findings.shown
    assert verdict.beginning is not None
    assert verdict.beginning.entry == bundles * WIDTH


@pytest.mark.parametrize("name", FRAUDS)
def test_each_fraud_after_the_beginning_is_found_by_name(tmp_path: Path, name: str) -> None:
    """As in test_audit, with the first bundle gone: what stands before it is hidden from the cheat, too."""
    cheat, kind = FRAUDS[name]
    story = list(long_story())
    hidden: list[Entry] = [Carried(None)] * (WIDTH + 1)
    cheated = cheat([*hidden, *story[WIDTH + 1 :]])
    assert cheated[: WIDTH + 1] == hidden
    verdict = judged(late_copy(tmp_path, [*story[: WIDTH + 1], *cheated[WIDTH + 1 :]]))
    assert kind in verdict.findings.kinds


@pytest.mark.parametrize("name", test_audit_kinds.FRAUDS)
def test_each_fraud_of_a_kind_is_found_from_a_state_on(name: str) -> None:
    """As in test_audit_kinds, from the state in the middle of what is honest."""
    cheat, kind = test_audit_kinds.FRAUDS[name]
    honest = list(street())
    cheated = cheat(list(honest))
    first = next(index for index, (one, other) in enumerate(zip(honest, cheated, strict=False)) if one != other)
    taken = next(index for index, entry in enumerate(honest) if isinstance(entry, PolicyTaken))
    assert kind in found_from(max(taken + 1, first // 2), cheated)


def found_from(size: int, entries: Sequence[Entry], *, known: bool = True) -> set[Kind]:
    """What the fold finds that goes on from what the first `size` entries come to; with the decisions that these hold, or without."""
    state, findings = Ledger(entries[:size]).state, Findings()
    assert possible(state, size) is None
    history = History(ORIGIN, Course(ORIGIN, (PUBLIC,)), trust_root(), findings)
    decisions = {index: entry for index in state.decisions if isinstance(entry := entries[index], Decision)}
    history.resume(size, state, decisions if known else {})
    for entry in entries[size:]:
        history.add(entry.encode())
    return findings.kinds


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.booleans(), st.booleans())
def test_an_honest_log_is_clean_from_every_entry_on(place: int, known: bool, kinds: bool) -> None:
    """Whatever is known of what governance decided before."""
    entries = street() if kinds else test_carried.story()
    assert found_from(place % len(entries), entries, known=known) == set()


def test_without_the_policies_only_place_order_and_signatures_are_judged(tmp_path: Path) -> None:
    """Said so, with the entries that are absent; what needs no policy is found all the same."""
    story = list(long_story())
    verdict = judged(late_copy(tmp_path / "a", story), policies=())
    assert verdict.findings.kinds == set()
    assert verdict.beginning is not None
    assert verdict.beginning.absent == (0, 2)
    assert verdict.settled > story_end()
    assert verdict.unjudged == sum(verdict.windows.values()) > 40
    other = replace(FIRST, version=7, issued=1_799_999_000)
    wrong = PolicyFile(other, compile_policy(other), signed_policy(other))
    assert judged(late_copy(tmp_path / "b", story), policies=(wrong,)).beginning == verdict.beginning
    index = at([*[Carried(None)] * (WIDTH + 1), *story[WIDTH + 1 :]])
    for name, cheat, kind in (
        ("twice", [*story[: index + 1], *renumbered(story)[index:]], Kind.OUT_OF_PLACE),
        ("gone", renumbered([*story[:index], *story[index + 1 :]]), Kind.GAP_HIDDEN),
        ("key", changed(story, index, key=OTHER_KEY), Kind.RELEASE_SIGNATURE),
    ):
        assert kind in judged(late_copy(tmp_path / name, cheat), policies=()).findings.kinds, name


def story_end() -> int:
    return max(entry.window_start for entry in long_story() if isinstance(entry, Release))


def test_a_policy_is_found_again_from_a_disclosure(tmp_path: Path) -> None:
    """What the unit showed over the air, or on the broker: its digest and policy, of which the log's tiles prove the entry; who signed is not in it."""
    shown = compile_disclosure(FIRST)
    (tmp_path / "air").write_bytes(seal_envelope(Envelope(shown.cbor, 1_800_000_000), KEY))
    verdict = judged(late_copy(tmp_path, list(long_story())), policies=(), air=(tmp_path / "air",))
    assert verdict.findings.kinds == set()
    assert verdict.beginning is not None
    assert verdict.beginning.absent == (0,)
    assert verdict.unjudged == 49  # a whole day after the first policy that is known
    assert verdict.settled == 1_800_000_002 + 86_400


def test_an_earlier_copy_lends_what_the_copy_no_longer_has(tmp_path: Path) -> None:
    """Whole bundles make it reach further back; a partial one still has its decisions."""
    story = list(long_story())
    earlier, small = write_copy(tmp_path / "a", story), write_copy(tmp_path / "b", story[:100])
    copy = late_copy(tmp_path, story)
    whole = judged(copy, policies=(), earlier=(earlier,))
    assert (whole.findings.kinds, whole.beginning) == (set(), None)
    lent = judged(copy, policies=(), earlier=(small,))
    assert lent.findings.kinds == set()
    assert lent.beginning is not None
    assert (lent.beginning.absent, lent.unjudged, lent.beginning.agreeing) == ((), 0, 1)


def test_an_earlier_copy_of_another_history_is_found_and_lends_nothing(tmp_path: Path) -> None:
    story = list(long_story())
    other = write_copy(tmp_path / "a", changed(story, 17, values=(4711, Cell.SUPPRESSED))[:200])
    verdict = judged(late_copy(tmp_path, story), earlier=(other,))
    assert verdict.findings.kinds == {Kind.FORKED_LOG}
    bundle = late_copy(tmp_path / "c", story)
    other = write_copy(tmp_path / "b", [story[0], story[1], story[1], *story[3:200]])
    (other / "checkpoint").unlink()
    with pytest.raises(LogDamaged, match="expected entry 2 as the hash tiles have it"):
        judged(bundle, policies=(), earlier=(other,))


def test_a_decision_that_cannot_be_read_is_found(tmp_path: Path) -> None:
    """In an older copy, which proves that it is the log's."""
    story = list(long_story())
    offered = story[0]
    assert isinstance(offered, PolicyOffered)
    story[0] = replace(offered, message=b"x")
    earlier = write_copy(tmp_path / "a", story[:100])
    verdict = judged(late_copy(tmp_path, story), policies=(), earlier=(earlier,))
    assert [(each.kind, each.where) for each in verdict.findings.shown] == [
        (Kind.MALFORMED, "entry 0"),
        (Kind.NOT_OFFERED, "entry 2"),
    ]


STATES = st.fixed_dictionaries(
    {},
    optional={
        "releases": st.integers(-5, WIDTH + 5),
        "last": st.lists(
            st.builds(LastWindow, st.sampled_from(["crossings", "x"]), st.integers(-1, 2**33), st.integers(-2, WIDTH)),
            max_size=2,
        ).map(tuple),
        "lost_until": st.integers(-1, 2**33),
        "decisions": st.lists(st.integers(-1, WIDTH), max_size=4).map(tuple),
        "served": st.integers(-1, 2**33),
        "newest_at": st.integers(-1, 2**33),
        "spent": st.builds(
            Spent,
            st.integers(-1, 2**33),
            st.just(Fraction(0)),
            st.lists(
                st.builds(
                    Run,
                    st.sampled_from(["crossings", "x"]),
                    st.integers(-1, 2**33),
                    st.integers(-1, 86_400),
                    st.integers(-1, 2**40),
                    st.fractions(0, 2),
                ),
                max_size=3,
            ).map(tuple),
            st.lists(
                st.builds(Held, st.integers(), st.sampled_from(["crossings", "x"]), st.integers(), st.fractions(0, 2)),
                max_size=2,
            ).map(tuple),
        ),
    },
)


@settings(max_examples=60, deadline=None)
@given(STATES, st.booleans())
def test_no_state_ends_the_audit(changes: dict[str, Any], known: bool) -> None:
    """I8: whatever the unit wrote where the copy begins, it is a finding or it is gone on from."""
    carried = long_story()[WIDTH]
    assert isinstance(carried, Carried)
    assert carried.state is not None
    state = replace(carried.state, **changes)
    if possible(state, WIDTH) is not None:
        return
    history = History(ORIGIN, Course(ORIGIN, (PUBLIC,)), trust_root(), Findings())
    decisions = {
        index: entry for index in state.decisions if isinstance(entry := long_story()[index], Decision) and known
    }
    history.resume(WIDTH, state, decisions)
    for entry in long_story()[WIDTH:]:
        history.add(entry.encode())
    assert history.size == len(long_story())


def test_a_false_state_needs_the_older_bundles(tmp_path: Path) -> None:
    """A unit that forgets what it spent, where the copy begins: not seen (OP-34 says so), but with an earlier copy it is."""
    story = list(long_story())
    carried = story[WIDTH]
    assert isinstance(carried, Carried)
    assert carried.state is not None
    lie = altered(story, spent=replace(carried.state.spent, recent=(), newest=0, periods=()))
    earlier = write_copy(tmp_path / "a", lie[:WIDTH])
    copy = late_copy(tmp_path, lie)
    assert judged(copy).findings.kinds == set()
    assert judged(copy, earlier=(earlier,)).findings.kinds == {Kind.CARRIED_STATE}


def test_a_state_that_contradicts_what_follows_is_found(tmp_path: Path) -> None:
    story = list(long_story())
    for name, end, kind in (("late", 10, Kind.WINDOW_TWICE), ("early", -10, Kind.GAP_HIDDEN)):
        carried = story[WIDTH]
        assert isinstance(carried, Carried)
        assert carried.state is not None
        last = tuple(replace(each, end=each.end + end) for each in carried.state.last)
        spent = replace(carried.state.spent, recent=(), newest=0)
        copy = late_copy(tmp_path / name, altered(story, last=last, spent=spent))
        assert kind in judged(copy).findings.kinds, name


def test_a_state_that_can_be_nobodys_is_found(tmp_path: Path) -> None:
    carried = long_story()[WIDTH]
    assert isinstance(carried, Carried)
    assert carried.state is not None
    state, spent = carried.state, carried.state.spent
    run = spent.recent[0]
    false: dict[str, dict[str, Any]] = {
        "releases": {"releases": WIDTH + 1},
        "negative": {"releases": -1},
        "release": {"last": tuple(replace(last, release=WIDTH) for last in state.last)},
        "twice": {"last": (*state.last, *state.last)},
        "decisions": {"decisions": (2, 0)},
        "later": {"decisions": (0, 2, WIDTH)},
        "instant": {"newest_at": 2**62},
        "many": {"spent": replace(spent, recent=(replace(run, count=2**62),))},
        "none": {"spent": replace(spent, recent=(replace(run, count=0),))},
        "old": {"spent": replace(spent, recent=(replace(run, start=run.start - 10**6, count=1), run))},
        "newest": {"spent": replace(spent, newest=spent.newest - 1)},
        "free": {"spent": replace(spent, recent=(replace(run, rho=Fraction(0)),))},
        "nowhere": {"spent": replace(spent, recent=(replace(run, stream="x"),))},
        "standing": {"spent": replace(spent, recent=(replace(run, step=0),))},
    }
    for name, each in false.items():
        found = judged(late_copy(tmp_path / name, altered(long_story(), **each))).findings
        assert found.kinds == {Kind.CARRIED_STATE}, name
        assert "no entries come to this" in found.shown[0].words


def test_a_bundle_that_carries_nothing_is_passed_over(tmp_path: Path) -> None:
    """One whose state was too long says so; one that should have had one is found; where none has one, nothing can be judged."""
    story = list(test_carried.story())
    silent = [*story[:WIDTH], Carried(None), *story[WIDTH + 1 :]]
    verdict = judged(late_copy(tmp_path / "a", silent), policies=())
    assert verdict.findings.kinds == set()
    assert verdict.beginning is not None
    assert (verdict.beginning.held, verdict.beginning.entry) == (WIDTH, 2 * WIDTH)
    verdict = judged(late_copy(tmp_path / "b", [*story[:WIDTH], story[1], *story[WIDTH + 1 :]]), policies=())
    assert verdict.findings.kinds == {Kind.CARRIED_STATE}
    with pytest.raises(LogDamaged, match="a bundle whose first entry carries what those before it come to"):
        judged(late_copy(tmp_path / "c", silent[: WIDTH + 9]))


# --- what was received and known of before -----------------------------------------------------------------------------


@pytest.mark.parametrize("raw", [True, False])
def test_releases_received_of_before_are_proven_by_their_leaf(tmp_path: Path, raw: bool) -> None:
    """All but the charge comes with a Release, and its stream was charged one of few: with the payload, the entry is made again and hashed."""
    story = list(long_story())
    (tmp_path / "lines").write_text(received(story, raw=raw))
    verdict = judged(late_copy(tmp_path, story), received=(tmp_path / "lines",))
    before = sum(isinstance(entry, Release) for entry in story[:WIDTH])
    assert verdict.findings.kinds == set()
    assert verdict.beginning is not None
    assert verdict.beginning.included == (before if raw else 0)
    assert len(verdict.beginning.unproven) == (0 if raw else before)
    assert verdict.facts["confirmed"] + before == verdict.facts["received"]


def test_what_was_altered_before_is_not_proven(tmp_path: Path) -> None:
    """Other numbers than logged: it cannot be told from another charge, and is named; a place that the state contradicts is a finding."""
    story = list(long_story())
    (tmp_path / "lines").write_text(received(changed(story, 17, values=(4711, Cell.SUPPRESSED))[:WIDTH]))
    verdict = judged(late_copy(tmp_path / "a", story), received=(tmp_path / "lines",))
    assert verdict.beginning is not None
    assert verdict.beginning.unproven == [17]
    moved = resealed(last_release(story), log_index=9)
    (tmp_path / "lines").write_text(received([moved]))
    verdict = judged(late_copy(tmp_path / "b", story[:-1]), received=(tmp_path / "lines",))
    assert verdict.findings.kinds == {Kind.NOT_IN_LOG}


def last_release(entries: Sequence[Entry]) -> Release:
    return next(entry for entry in reversed(entries) if isinstance(entry, Release))


@pytest.mark.parametrize("tiles", [False, True])
def test_checkpoints_of_before_are_held_against_the_hash_tiles(tmp_path: Path, tiles: bool) -> None:
    """At any size where the tiles are there; where C2SP let them go, at those of whole bundles."""
    story = list(long_story())
    copy = late_copy(tmp_path, story, tiles=tiles)
    other = changed(story, 17, values=(4711, Cell.SUPPRESSED))
    for size, gone in ((100, tiles), (WIDTH, False), (WIDTH + 20, False)):
        for entries, found in ((story, set()), (other, {Kind.FORKED_LOG})):
            (tmp_path / "note").write_bytes(note_of([entry.encode() for entry in entries[:size]]))
            verdict = judged(copy, seen=(tmp_path / "note",))
            assert verdict.findings.kinds == (set() if gone else found), size
            assert any("whose hash tiles are gone" in words for words in verdict.open) == gone


# --- hostile copies ----------------------------------------------------------------------------------------------------


def _without(*paths: str) -> Callable[[Path], None]:
    def remove(copy: Path) -> None:
        for path in paths:
            (copy / path).unlink()

    return remove


def _flipped(path: str) -> Callable[[Path], None]:
    def flip(copy: Path) -> None:
        data = bytearray((copy / path).read_bytes())
        data[-1] ^= 1
        (copy / path).write_bytes(data)

    return flip


def _folder(copy: Path) -> None:
    (copy / "tile/entries/002").unlink()
    (copy / "tile/entries/002").mkdir()


def _linked(copy: Path) -> None:
    path = copy / "tile/entries/001"
    path.rename(copy / "elsewhere")
    path.symlink_to(copy / "elsewhere")


HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a hole": (_without("tile/entries/002"), "none as tile/entries/002;"),
    "holes": (_without("tile/entries/002", "tile/entries/003"), "from tile/entries/001 on, got none as tile/entries/002, tile/entries/003;"),
    "no bundle": (lambda copy: shutil.rmtree(copy / "tile/entries"), "of the log, got none as tile/entries/000, "),
    "no last bundle": (lambda copy: shutil.rmtree(copy / "tile/entries/004.p"), "none as tile/entries/004.p/20;"),
    "an old tile of others": (_flipped("tile/0/000"), "tile/0/000: expected the hashes that the tile above it covers"),
    "an old tile cut short": (lambda copy: shutil.copy(copy / "checkpoint", copy / "tile/0/000"), "tile/0/000: expected 8192 bytes"),
    "an old tile too long": (lambda copy: (copy / "tile/0/000").write_bytes(bytes(9000)), "tile/0/000: expected at most 8192"),
    "no tile above": (_without("tile/1/000.p/4"), "tile/1/000.p/4: expected a file of the log"),
    "another tile above": (_flipped("tile/1/000.p/4"), "tile/1/000.p/4: expected the hashes of the entries below it"),
    "a tile after the beginning": (_without("tile/0/002"), "tile/0/002: expected a file of the log"),
    "another tile after it": (_flipped("tile/0/002"), "tile/0/002: expected the hashes of the entries below it"),
    "another entry": (_flipped("tile/entries/002"), "tile/0/002: expected the hashes of the entries below it"),
    "a bundle cut short": (lambda copy: shutil.copy(copy / "checkpoint", copy / "tile/entries/002"), "tile/entries/002: expected"),
    "a link": (_linked, "tile/entries/001: expected a file of the log"),
    "a folder": (_folder, "tile/entries/002: expected a file"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_malformed_copy_is_refused_with_its_file(tmp_path: Path, name: str) -> None:
    spoil, words = HOSTILE[name]
    copy = write_copy(tmp_path, [b"entry %d" % number for number in range(4 * WIDTH + 20)])
    (copy / "tile/entries/000").unlink()
    assert sum(1 for _ in Copies(copy, 4 * WIDTH + 20).entries()) == 3 * WIDTH + 20
    spoil(copy)
    with pytest.raises(LogDamaged) as refused:
        list(Copies(copy, 4 * WIDTH + 20).entries())
    assert words in str(refused.value)


def test_stray_files_among_the_bundles_are_passed_over(tmp_path: Path) -> None:
    """Names that are no bundle's, a bundle beyond the log, folders without end."""
    copy = late_copy(tmp_path, list(long_story()))
    deep = copy / "tile/entries" / Path(*["x001"] * 200)
    deep.mkdir(parents=True)
    for name in ("x", "0000", "999", ".000.1.new", "x001/000x"):
        (copy / "tile/entries" / name).write_bytes(b"")
    verdict = judged(copy)
    assert verdict.findings.kinds == set()
    assert verdict.beginning is not None


def test_another_root_is_found_though_the_tiles_of_before_agree(tmp_path: Path) -> None:
    """Tiles and bundles from one log, the checkpoint from another."""
    story = list(long_story())
    copy = late_copy(tmp_path, story)
    other = changed(story, 17, values=(4711, Cell.SUPPRESSED))
    (copy / "checkpoint").write_bytes(note_of([entry.encode() for entry in other]))
    assert Kind.ROOT in judged(copy).findings.kinds


# --- command -----------------------------------------------------------------------------------------------------------


def test_the_command_says_from_where_on_it_is_clean(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 0, with what is proven and what is not in words and as JSON; a policy's file as it was signed or written."""
    copy = late_copy(tmp_path, list(long_story()))
    command = ["audit", "--log", str(copy), "--key", PUBLIC.hex()]
    assert main(command) == 0
    said = capsys.readouterr().out
    for words in (
        "begins     with entry 256",
        "judged     from entry 256, windows from 2027-01-15 08:04:13 on: place, order and signatures; charges, budget and policies of no window",
        "before     entries 0 to 255 are of this same log",
        "not proven what entries 0 to 255 say; what was spent and released until then is the unit's word, in entry 256",
        "not proven what governance decided in entries 0, 2 (of 2 decisions)",
        "not proven that 49 windows, those before ",
        "CLEAN FROM ENTRY 256 ON in place, order and signatures; no window could be held against its policy",
    ):
        assert words in said
    (tmp_path / "policy.cose").write_bytes(signed_policy(FIRST))
    assert main([*command, "--policy", str(tmp_path / "policy.cose")]) == 0
    said = capsys.readouterr().out
    assert "governance decided" not in said
    assert "08:04:13 on: place, order, signatures, charges, budget and policies\n" in said
    assert "CLEAN FROM ENTRY 256 ON: nothing was found in what could be judged" in said
    assert main([*command, "--json"]) == 0
    item = json.loads(capsys.readouterr().out)
    assert item["verdict"] == "clean-later"
    assert item["proven"]["from_entry"] == WIDTH
    assert item["proven"]["decisions_absent"] == [0, 2]
    assert (item["proven"]["before"]["entries"], item["proven"]["before"]["same_log"]) == (WIDTH, True)
    (copy / "checkpoint").write_bytes(note_of([b"x"] * len(long_story())))
    assert main(command) == 1
    said = capsys.readouterr().out
    assert "not proven that entries 0 to 255 are of this log" in said
    assert "are of this same log" not in said


def test_a_policy_file_is_read_in_each_form(tmp_path: Path) -> None:
    for name, data in (
        ("text", policy_text(notice="2 seconds").encode()),
        ("signed", signed_policy(make_policy(notice="2 seconds"))),
    ):
        (tmp_path / name).write_bytes(data)
        found = load_policy_file(tmp_path / name)
        assert (found.policy, found.message is None) == (make_policy(notice="2 seconds"), name == "text")
        assert found.compiled == compile_policy(found.policy)
