"""Frauds that keep every signature, root and number in order (OP-23 to OP-29, OP-46 to OP-48), and honest things that look like one."""

import dataclasses
import json
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from agent.contracts.guarantee import ConcentratedGuarantee
from agent.contracts.log import Charge, Entry, Gap, NoticeServed, PolicyOffered, PolicyTaken, Release, StopTaken
from agent.contracts.public import Envelope, seal_envelope
from agent.disclosure.datachain import compile_disclosure
from agent.operations.audit import audit
from agent.operations.audit_inputs import Inputs
from agent.operations.findings import Kind
from agent.operations.subscribe import _json
from agent.operations.verification import Received, Verification
from agent.publisher.message import disclosure_message
from agent.publisher.topics import Topics
from agent.wire import cbor, tlog
from agent.wire.tlog import Checkpoint, TreeHead
from tests.anonymizer.stage import KEY, ORIGIN, make_policy
from tests.operations.stories import PUBLIC, note_of, received, renumbered, story, street, write_copy
from tests.operations.test_audit import Cheat, at, changed, judged, kinds, place
from tests.operations.test_audit_kinds import found, levels, says
from tests.signing import trust_root
from tests.wire.test_tlog import OTHER_KEY

RHO = Charge(Fraction(1, 32))


# --- what hides in a form that is otherwise right ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cheat", "kinds"),
    [
        (says("leq", values={"leq": Decimal("61.37")}), {Kind.IMPOSSIBLE_NUMBER}),
        (says("leq", values={"leq": 61}), {Kind.IMPOSSIBLE_NUMBER}),
        (says("dust", values={"mean": Decimal("12.5")}), {Kind.IMPOSSIBLE_NUMBER}),
        (says("noise", values={"mean": Decimal("61.373")}), {Kind.IMPOSSIBLE_NUMBER}),
        (says("noise", values={"mean": 61}), {Kind.IMPOSSIBLE_NUMBER}),
        (says("stays", values={"bay/p25": "over_3600s", "bay/median": "to_300s"}), {Kind.IMPOSSIBLE_NUMBER}),
    ],
    ids=[
        "coarse, to a hundredth",
        "coarse, to one",
        "none, finer",
        "dp, finer",
        "dp, other decimals",
        "quantiles fall",
    ],
)
@pytest.mark.parametrize("in_cbor", [False, True])
def test_a_number_finer_than_the_policy_is_found(cheat: Cheat, kinds: set[Kind], in_cbor: bool) -> None:
    """OP-46: in `coarse` the step is all the protection there is."""
    assert found(cheat(list(street(cbor=in_cbor)))) == kinds


@pytest.mark.parametrize("value", ["49.5", "52.0", "70.0"])
def test_a_percentile_between_the_ends_of_its_cells_is_found(value: str) -> None:
    """OP-46, AN-443: of a grid of 71 steps in parts of three, 50, 53 … 71 and so on are ends; the exact percentile mostly is not."""
    entries = list(levels())
    assert found(says("levels", values={"p50": Decimal(value), "p10": Decimal("50.0")})(entries)) >= {
        Kind.IMPOSSIBLE_NUMBER
    }
    assert found(says("levels", values={"p50": Decimal("53.0")})(entries)) == set()


def test_a_signature_that_carries_more_is_found() -> None:
    """OP-46: readings in a header that nobody signs, in an entry and in the property `sig`."""
    entries = list(story())
    index = at(entries)
    release = entries[index]
    assert isinstance(release, Release)
    protected, _, payload, signature = cbor.decode(release.signature, max_bytes=1000).value
    more = cbor.encode(cbor.CBORTag(18, [protected, {99: b"reading " * 500}, payload, signature]))
    entries[index] = dataclasses.replace(release, signature=more)
    assert found(entries) == {Kind.RELEASE_SIGNATURE}


# --- governance --------------------------------------------------------------------------------------------------------


def test_a_stop_order_under_other_names_is_found() -> None:
    """OP-47: the log says that somebody stopped the unit who did not sign."""
    entries = list(story())
    index = place(entries, StopTaken)
    stop = entries[index]
    assert isinstance(stop, StopTaken)
    entries[index] = dataclasses.replace(stop, by=("council/olga",))
    assert found(entries) == {Kind.UNSIGNED}


def disguised(entries: list[Entry], old: bytes, digest: bytes) -> list[Entry]:
    """What was disclosed under one digest goes under another, consistently."""
    out: list[Entry] = []
    for index, entry in enumerate(entries):
        match entry:
            case Release(disclosure_digest=found) if found == old:
                out.append(changed(entries, index, disclosure_digest=digest)[index])
            case PolicyOffered() | PolicyTaken() | NoticeServed() if entry.disclosure_digest == old:
                out.append(dataclasses.replace(entry, disclosure_digest=digest))
            case _:
                out.append(entry)
    return out


def digests(entries: list[Entry]) -> list[bytes]:
    return [entry.disclosure_digest for entry in entries if isinstance(entry, PolicyOffered)]


def announced(message: bytes, *, raw: bool) -> str:
    """What a subscriber writes when this envelope is announced."""
    topics = Topics("dtpr", *ORIGIN.split("/"))
    sent = disclosure_message(topics, message)
    ((record, taken),) = Verification([PUBLIC]).take(Received(sent.topic, sent.payload, (), True, 0.0))
    return _json(record, taken, raw=raw) + "\n"


@pytest.mark.parametrize("seen", ["air", "received"])
def test_a_disclosure_of_another_policy_is_found(tmp_path: Path, seen: str) -> None:
    """OP-47, I2: residents read a gentler policy than the unit runs; digests agree everywhere."""
    gentle = compile_disclosure(make_policy(notice="2 seconds", rho="0.001"))
    entries = disguised(list(story()), digests(list(story()))[0], gentle.digest)
    message = seal_envelope(Envelope(gentle.cbor, 1_800_000_000), KEY)
    assert kinds(entries, tmp_path / "silent") == set()  # without what people saw nobody can know
    files: dict[str, Any] = {seen: message if seen == "air" else announced(message, raw=True)}
    assert judged(tmp_path / "told", entries, **files).findings.kinds == {Kind.OTHER_DISCLOSURE}


def test_one_digest_for_two_policies_is_found() -> None:
    """OP-47: a disclosure holds its policy, so it has no other."""
    entries = list(story())
    first, second, *_ = digests(entries)
    assert found(disguised(entries, second, first)) == {Kind.OTHER_DISCLOSURE}


@pytest.mark.parametrize("raw", [True, False])
def test_an_announced_disclosure_is_held_against_the_log(tmp_path: Path, raw: bool) -> None:
    """OP-47: one that the log never names; not one that is newer than the copy, and not one that another signed."""
    own = compile_disclosure(make_policy(notice="2 seconds"))
    other = compile_disclosure(make_policy(notice="2 seconds", rho="0.1"))
    entries = list(story())
    cases = {
        "own": (announced(seal_envelope(Envelope(own.cbor, 1_800_000_001), KEY), raw=raw), set()),
        "other": (announced(seal_envelope(Envelope(other.cbor, 1_800_000_001), KEY), raw=raw), {Kind.AIR_NOT_IN_LOG}),
        "newer": (announced(seal_envelope(Envelope(other.cbor, 1_900_000_001), KEY), raw=raw), set()),
        "forged": (announced(seal_envelope(Envelope(other.cbor, 1_800_000_001), OTHER_KEY), raw=raw), set()),
    }
    for name, (lines, expected) in cases.items():
        assert judged(tmp_path / name, entries, received=lines).findings.kinds == expected, name
    newer = seal_envelope(Envelope(other.cbor, 1_900_000_001), KEY)
    assert judged(tmp_path / "air", entries, air=newer).findings.kinds == set()


# --- what was received -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize(
    "changes",
    [
        {"guarantee": ConcentratedGuarantee(Fraction(1, 100), 600, 4, 1)},
        {"noise_sd": Decimal("9.000")},
        {"policy_version": 2},
        {"disclosure_digest": bytes(32)},
    ],
    ids=["guarantee", "noise", "policy", "disclosure"],
)
def test_the_same_numbers_under_a_better_promise_are_found(tmp_path: Path, raw: bool, changes: dict[str, Any]) -> None:
    """OP-23: sent with another label than logged; also where the lines have no payload."""
    entries = list(story())
    sent = changed(entries, at(entries), **changes)
    assert judged(tmp_path, entries, received=received(sent, raw=raw)).findings.kinds == {Kind.ALTERED}


def test_the_same_window_in_the_other_encoding_is_found(tmp_path: Path) -> None:
    """OP-23: logged in JSON, sent in CBOR too; both signed."""
    entries, other = list(street()), list(street(cbor=True))
    index = next(i for i, e in enumerate(entries) if isinstance(e, Release))
    twin = next(
        e
        for e in other
        if isinstance(e, Release) and (e.stream, e.window_start) == (entries[index].stream, entries[index].window_start)  # type: ignore[union-attr]  # a Release
    )
    lines = received([entries[index], twin])
    copy = write_copy(tmp_path, entries)
    (tmp_path / "lines").write_text(lines)
    verdict = audit(Inputs(ORIGIN, PUBLIC, log=copy, root=trust_root(), received=(tmp_path / "lines",)))
    assert verdict.findings.kinds == {Kind.TWO_PAYLOADS}


# --- checkpoints -------------------------------------------------------------------------------------------------------


def test_files_of_several_subscribers_are_no_rollback(tmp_path: Path) -> None:
    """OP-28: the members of a group, or two cities, each have the unit's checkpoints in order, and began at different times."""
    entries = list(story())
    data = [entry.encode() for entry in entries]
    lines = [received([], note_of(data[:size])) for size in (10, 20, 30, 40)]
    (tmp_path / "a").write_text(lines[1] + lines[3])
    (tmp_path / "b").write_text(lines[0] + lines[2])
    copy = write_copy(tmp_path, entries)
    both = (tmp_path / "a", tmp_path / "b")
    assert audit(Inputs(ORIGIN, PUBLIC, log=copy, root=trust_root(), received=both)).findings.kinds == set()
    (tmp_path / "c").write_text(lines[1] + lines[0])
    assert audit(Inputs(ORIGIN, PUBLIC, received=(tmp_path / "c",))).findings.kinds == {Kind.ROLLED_BACK}
    retained = json.dumps({**json.loads(lines[0]), "retained": True})  # a broker that was restored from a backup
    (tmp_path / "c").write_text(lines[1] + retained + "\n")
    assert audit(Inputs(ORIGIN, PUBLIC, received=(tmp_path / "c",))).findings.kinds == set()


def test_a_checkpoint_that_nobody_verified_accuses_nobody(tmp_path: Path) -> None:
    """OP-28: without keys and without --raw it is whoever's word."""
    entries = list(story())
    forged = note_of([b"x"] * len(entries), key=OTHER_KEY)
    ((record, message),) = Verification().take(Received(f"dtpr/v1/{ORIGIN}/checkpoint", forged, (), False, 0.0))
    assert record["verified"] is None
    verdict = judged(tmp_path, entries, received=_json(record, message, raw=False) + "\n")
    assert verdict.findings.kinds == set()
    assert any("nobody verified" in words for words in verdict.open)


def test_two_successors_and_one_that_is_followed_too_early(tmp_path: Path) -> None:
    """OP-48: the log lost its end, as one successor's name says; and goes on all the same, or has a second one."""
    entries = list(story())
    data = [entry.encode() for entry in entries]

    def follower(size: int, root: bytes | None = None) -> bytes:
        head = TreeHead()
        for entry in data[:size]:
            head.append(entry)
        origin = f"{ORIGIN}/after/{size}-{(root or head.root())[:16].hex()}"
        return tlog.sign_checkpoint(Checkpoint(origin, 3, bytes(32), ("bytes 1",)), origin, KEY)

    size = len(entries)
    assert judged(tmp_path / "a", entries, seen=follower(size)).findings.kinds == set()
    assert judged(tmp_path / "b", entries, seen=follower(size - 2)).findings.kinds == set()
    assert judged(tmp_path / "c", entries, seen=follower(size - 20)).findings.kinds == {Kind.FORKED_LOG}
    assert judged(tmp_path / "d", entries, seen=follower(size + 5)).findings.kinds == set()
    assert (
        judged(tmp_path / "e", entries, seen=follower(10, bytes(32))).findings.kinds == set()
    )  # of another of its logs
    both = follower(size), follower(size - 1)
    for number, note in enumerate(both):
        (tmp_path / str(number)).write_bytes(note)
    seen = tuple(tmp_path / str(number) for number in range(2))
    copy = write_copy(tmp_path / "f", entries)
    verdict = audit(Inputs(ORIGIN, PUBLIC, log=copy, root=trust_root(), seen=seen))
    assert verdict.findings.kinds == {Kind.FORKED_LOG}


def test_a_tree_head_from_the_air_of_the_same_size(tmp_path: Path) -> None:
    """OP-28: what a phone read beside the pole against what the broker had."""
    entries = list(story())
    data = [entry.encode() for entry in entries]
    aired = note_of([*data[:-1], b"other"])
    verdict = judged(tmp_path, entries, seen=aired, received=received([], note_of(data)))
    assert verdict.findings.kinds == {Kind.FORKED_LOG}


# --- entries that cannot be --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("window_s", "count"), [(0, 1), (0, 0), (-5, 1 << 62), (1, 1 << 62), (86_400, 10**9)])
def test_absurd_gaps_end_nothing(window_s: int, count: int) -> None:
    """I8: a division by nothing, and windows without end."""
    entries = list(story())
    last = entries[-1]
    assert isinstance(last, Release)
    gap = Gap(last.stream, last.window_start + last.window_s, window_s, count, RHO)
    assert found([*entries, gap]) & {Kind.MALFORMED, Kind.WRONG_SHAPE}


@pytest.mark.parametrize("window_s", [0, -1])
def test_absurd_windows_end_nothing(window_s: int) -> None:
    entries = list(story())
    index = at(entries)
    release = entries[index]
    assert isinstance(release, Release)
    entries[index] = dataclasses.replace(release, window_s=window_s)
    assert Kind.WRONG_SHAPE in found(entries)


def test_a_policy_taken_twice_and_windows_that_overlap_are_found() -> None:
    entries = list(story())
    index = place(entries, PolicyTaken, 1)
    assert Kind.NOT_OFFERED in found(renumbered([*entries[: index + 1], *entries[index:]]))
    index = at(entries)
    release = entries[index]
    assert isinstance(release, Release)
    shifted = changed(entries, index, window_start=release.window_start + 1)
    assert found(shifted) & {Kind.WRONG_SHAPE, Kind.GAP_HIDDEN, Kind.WINDOW_TWICE}
