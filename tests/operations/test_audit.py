"""`dtpr-agent audit` (OP-20 to OP-29): an honest unit's log is clean, and each planted fraud is found under its name.

Every fraud is made by the unit itself, which has the key: it signs whatever it writes, so that only the rules can give it away.
"""

import dataclasses
import json
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from agent.cli.main import main
from agent.contracts import aggregate
from agent.contracts.aggregate import Cell, Field, NotCollected
from agent.contracts.cells import COUNT
from agent.contracts.guarantee import ConcentratedGuarantee
from agent.contracts.log import Charge, Entry, Gap, NoticeServed, PolicyOffered, PolicyTaken, Release, StopTaken
from agent.contracts.public import Envelope, seal_envelope
from agent.disclosure.datachain import compile_disclosure
from agent.errors import LogDamaged
from agent.operations.audit import audit
from agent.operations.audit_inputs import Inputs
from agent.operations.findings import WORDS, Kind
from agent.operations.verdict import Verdict
from agent.policy.compile import compile_policy
from agent.wire import cose, cosignature, tlog
from tests.anonymizer.stage import KEY, ORIGIN, make_policy
from tests.operations import test_audit_kinds, test_gate_audit
from tests.operations.stories import PUBLIC, note_of, received, renumbered, resealed, story, write_copy
from tests.signing import signed_policy, trust_root
from tests.wire.test_tlog import OTHER_KEY

Cheat = Callable[[list[Entry]], list[Entry]]


def kinds(entries: list[Entry], folder: Path, **inputs: Any) -> set[Kind]:
    """What the audit of a log finds; the trust root is the one that signed."""
    copy = write_copy(folder, entries)
    given: dict[str, Any] = {"root": trust_root(), **inputs}
    return audit(Inputs(ORIGIN, PUBLIC, log=copy, **given)).findings.kinds


def at(entries: list[Entry], *, complete: bool = True, last: bool = False) -> int:
    """The place of a Release in the middle of the story: one with numbers, or the last one for the budget without."""
    reason = None if complete else NotCollected.BUDGET
    found = [
        i
        for i, entry in enumerate(entries)
        if isinstance(entry, Release) and aggregate.decode(entry.payload).reason is reason
    ]
    return found[-1] if last else found[len(found) // 2]


def place(entries: list[Entry], kind: type[Entry], nth: int = 0) -> int:
    return [i for i, entry in enumerate(entries) if isinstance(entry, kind)][nth]


def replaced(entries: list[Entry], index: int, **changes: Any) -> list[Entry]:
    """One entry has other fields."""
    return [*entries[:index], dataclasses.replace(entries[index], **changes), *entries[index + 1 :]]


def changed(entries: list[Entry], index: int, **changes: Any) -> list[Entry]:
    """One Release says something else."""
    release = entries[index]
    assert isinstance(release, Release)
    return [*entries[:index], resealed(release, **changes), *entries[index + 1 :]]


def charged(entries: list[Entry], charge: Charge | None) -> list[Entry]:
    return replaced(entries, at(entries), charge=charge)


def numbers(entries: list[Entry], index: int) -> list[Entry]:
    """A window that had no numbers gets some, at its proper charge."""
    release = entries[index]
    assert isinstance(release, Release)
    said = aggregate.decode(release.payload)
    honest = resealed(release, reason=None, coverage_percent=100, values=(Cell.SUPPRESSED,) * len(said.values))
    sigma_squared = Fraction(said.terms.noise_sd) ** 2  # a whole number or its root's third decimal
    charge = Charge(1 / (2 * Fraction(round(sigma_squared))))
    return [*entries[:index], dataclasses.replace(honest, charge=charge), *entries[index + 1 :]]


def _removed(entries: list[Entry]) -> list[Entry]:
    index = at(entries)
    return renumbered([*entries[:index], *entries[index + 1 :]])


def _extra(entries: list[Entry]) -> list[Entry]:
    index = at(entries)
    return [*entries[: index + 1], entries[index], *entries[index + 1 :]]


def _twice(entries: list[Entry]) -> list[Entry]:
    """The same window drawn again, with other numbers, in good numbering."""
    index = at(entries)
    again = changed(entries, index, values=(4711, 4000))[index]
    return renumbered([*entries[: index + 1], again, *entries[index + 1 :]])


def _reordered(entries: list[Entry]) -> list[Entry]:
    index = next(
        index
        for index in range(place(entries, Release, 3), len(entries))
        if isinstance(entries[index], Release) and isinstance(entries[index + 1], Release)
    )
    return renumbered([*entries[:index], entries[index + 1], entries[index], *entries[index + 2 :]])


def _without_notice(entries: list[Entry]) -> list[Entry]:
    index = place(entries, NoticeServed)
    return renumbered([*entries[:index], *entries[index + 1 :]])


def _impossible_notice(entries: list[Entry]) -> list[Entry]:
    index = place(entries, NoticeServed)
    served = entries[index]
    assert isinstance(served, NoticeServed)
    return replaced(entries, index, seconds=served.seconds + 3600)


def _not_offered(entries: list[Entry]) -> list[Entry]:
    other = compile_policy(make_policy(notice="2 seconds", rho="0.1"))
    return replaced(entries, place(entries, PolicyTaken), policy=other)


def _unsigned(entries: list[Entry]) -> list[Entry]:
    """A policy that ana alone signed."""
    message = signed_policy(make_policy(notice="2 seconds"), "ana")
    return replaced(entries, place(entries, PolicyOffered), message=message)


def _version_back(entries: list[Entry]) -> list[Entry]:
    """Version 1 offered once more when version 2 is in force."""
    again = entries[place(entries, PolicyOffered)]
    last = entries[-1]
    assert isinstance(again, PolicyOffered)
    assert isinstance(last, Release)
    return [*entries, dataclasses.replace(again, at=last.window_start + last.window_s)]


def _begins_early(entries: list[Entry]) -> list[Entry]:
    """A policy that acts before it was taken."""
    index = place(entries, PolicyTaken, 2)
    taken = entries[index]
    assert isinstance(taken, PolicyTaken)
    return replaced(entries, index, effective=taken.effective - 4)


def _after_stop(entries: list[Entry]) -> list[Entry]:
    """The log says stopped, and numbers go on."""
    return numbers(entries, place(entries, Release, -1))


def _stop_removed(entries: list[Entry]) -> list[Entry]:
    """Releases name `stopped`, but nobody stopped: what the log lost shows in the numbering."""
    index = place(entries, StopTaken)
    return [*entries[:index], *entries[index + 1 :]]


def _cheap_gap(entries: list[Entry]) -> list[Entry]:
    return replaced(entries, place(entries, Gap), charge=Charge(Fraction(1, 1000)))


def _shorter_gap(entries: list[Entry]) -> list[Entry]:
    index = place(entries, Gap)
    gap = entries[index]
    assert isinstance(gap, Gap)
    return replaced(entries, index, count=gap.count - 2)


def _signed_by_another(entries: list[Entry]) -> list[Entry]:
    return changed(entries, at(entries), key=OTHER_KEY)


def _entry_disagrees(entries: list[Entry]) -> list[Entry]:
    return replaced(entries, at(entries), disclosure_digest=bytes(32))


def _old_clock(entries: list[Entry]) -> list[Entry]:
    index = place(entries, StopTaken)
    stop = entries[index]
    assert isinstance(stop, StopTaken)
    return replaced(entries, index, at=stop.at - 60)


def _old_policy(entries: list[Entry]) -> list[Entry]:
    """After the next version began, a window is released under the one before."""
    early = entries[at(entries)]
    assert isinstance(early, Release)
    version = aggregate.decode(early.payload).terms.policy_version
    late = next(
        i
        for i, e in enumerate(entries)
        if isinstance(e, Release) and aggregate.decode(e.payload).terms.policy_version > version
    )
    release = entries[late]
    assert isinstance(release, Release)
    said = aggregate.decode(release.payload)
    return [
        *entries[:late],
        resealed(early, window_start=said.window_start, log_index=late),
        *entries[late + 1 :],
    ]


def _after_expiry(entries: list[Entry]) -> list[Entry]:
    """The policy ended, and nobody noticed."""
    release = entries[at(entries)]
    assert isinstance(release, Release)
    before = entries[: place(entries, PolicyOffered, 2)]
    late = resealed(release, window_start=make_policy().expires, log_index=len(before), policy_version=2)
    return [*before, late]


def _generous(entries: list[Entry]) -> list[Entry]:
    """A better guarantee is claimed than is kept."""
    return changed(entries, at(entries), guarantee=ConcentratedGuarantee(Fraction(1, 100), 600, 4, 1))


FRAUDS: dict[str, tuple[Cheat, Kind]] = {
    "a release removed": (_removed, Kind.GAP_HIDDEN),
    "a release entered twice": (_extra, Kind.OUT_OF_PLACE),
    "a window drawn twice": (_twice, Kind.WINDOW_TWICE),
    "two windows re-ordered": (_reordered, Kind.OUT_OF_ORDER),
    "a gap made shorter": (_shorter_gap, Kind.GAP_HIDDEN),
    "a gap charged too little": (_cheap_gap, Kind.CHARGE_TOO_SMALL),
    "no charge": (lambda e: charged(e, None), Kind.NULL_CHARGE),
    "a charge of nothing": (lambda e: charged(e, Charge(Fraction(0))), Kind.CHARGE_TOO_SMALL),
    "a charge too small": (lambda e: charged(e, Charge(Fraction(1, 33))), Kind.CHARGE_TOO_SMALL),
    "a charge too large": (lambda e: charged(e, Charge(Fraction(1, 31))), Kind.WRONG_CHARGE),
    "budget exceeded": (lambda e: numbers(e, at(e, complete=False)), Kind.BUDGET_EXCEEDED),
    "released while stopped": (_after_stop, Kind.AFTER_STOP),
    "the stop order removed": (_stop_removed, Kind.OUT_OF_PLACE),
    "under a policy not in force": (_old_policy, Kind.POLICY_NOT_IN_FORCE),
    "a policy taken without notice": (_without_notice, Kind.WITHOUT_NOTICE),
    "notice that cannot have been": (_impossible_notice, Kind.IMPOSSIBLE_NOTICE),
    "a policy that was not offered": (_not_offered, Kind.NOT_OFFERED),
    "a policy not signed by enough": (_unsigned, Kind.UNSIGNED),
    "an older policy again": (_version_back, Kind.VERSION_BACK),
    "a policy that begins too early": (_begins_early, Kind.WRONG_BEGINNING),
    "a clock set back": (_old_clock, Kind.CLOCK_BACK),
    "the wrong digest": (lambda e: changed(e, at(e), disclosure_digest=bytes(32)), Kind.WRONG_DIGEST),
    "entry and payload disagree": (_entry_disagrees, Kind.WRONG_DIGEST),
    "less noise stated": (lambda e: changed(e, at(e), noise_sd=Decimal("3.999")), Kind.WRONG_NOISE),
    "a lower threshold": (lambda e: changed(e, at(e), threshold=1), Kind.WRONG_THRESHOLD),
    "a number below the threshold": (
        lambda e: changed(e, at(e), values=(2, Cell.SUPPRESSED)),
        Kind.BELOW_THRESHOLD,
    ),
    "another class": (
        lambda e: changed(e, at(e), fields=(Field("face", COUNT, 4), Field("foot", COUNT, 4))),
        Kind.WRONG_SHAPE,
    ),
    "longer than the others": (
        lambda e: changed(e, at(e), fields=(Field("bike", COUNT, 9), Field("foot", COUNT, 4))),
        Kind.WRONG_SHAPE,
    ),
    "released after its policy ended": (_after_expiry, Kind.AFTER_EXPIRY),
    "another guarantee": (_generous, Kind.WRONG_GUARANTEE),
    "hardly measured": (lambda e: changed(e, at(e), coverage_percent=45), Kind.COVERAGE),
    "another unit's release": (lambda e: changed(e, at(e), unit="bridge-02"), Kind.OTHER_UNIT),
    "another key's release": (_signed_by_another, Kind.RELEASE_SIGNATURE),
}


def test_an_honest_log_is_clean(tmp_path: Path) -> None:
    """Control: a restart, two changes of policy, windows without budget and a stop order, written by the anonymizer's own code."""
    assert {type(entry) for entry in story()} >= {Release, Gap, PolicyOffered, NoticeServed, PolicyTaken, StopTaken}
    assert kinds(list(story()), tmp_path) == set()


@pytest.mark.parametrize("name", FRAUDS)
def test_each_fraud_is_found_by_name(tmp_path: Path, name: str) -> None:
    """The log is signed and hashed as if nothing were wrong."""
    cheat, kind = FRAUDS[name]
    assert kind in kinds(cheat(list(story())), tmp_path)


def test_there_are_more_than_twenty_and_every_finding_has_words() -> None:
    assert len(FRAUDS) > 20
    assert set(WORDS) == set(Kind)
    planted = {kind for _, kind in (FRAUDS | test_audit_kinds.FRAUDS | test_gate_audit.FRAUDS).values()}
    elsewhere = {
        Kind.CHECKPOINT_SIGNATURE,
        Kind.ROOT,
        Kind.FORKED_LOG,
        Kind.ROLLED_BACK,
        Kind.FALSE_LOSS,
        Kind.CARRIED_STATE,
        Kind.HIDDEN_BY_LOSS,
        Kind.BUDGET_UNPROVEN,
        Kind.MALFORMED,
        Kind.TWO_PAYLOADS,
        Kind.WITHHELD,
        Kind.OTHER_DISCLOSURE,
    }
    elsewhere |= {
        Kind.ALTERED,
        Kind.NOT_IN_LOG,
        Kind.FORGED,
        Kind.AIR_SIGNATURE,
        Kind.AIR_NOT_IN_LOG,
        Kind.KEY_ROTATION,
    }
    assert planted | elsewhere == set(Kind)  # the latter have a test each below


def test_the_specification_names_every_finding() -> None:
    text = (Path(__file__).parents[2] / "agent/operations/SPEC.md").read_text()
    assert {kind for kind in Kind if f"`{kind}`" not in text} == set()


# --- what was received, checkpoints, the air ---------------------------------------------------------------------------


def judged(tmp_path: Path, entries: list[Entry], **files: str | bytes) -> Verdict:
    """The honest log against what else is known."""
    copy = write_copy(tmp_path, entries)
    paths: dict[str, Any] = {}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        paths[name] = (tmp_path / name,)
    return audit(Inputs(ORIGIN, PUBLIC, log=copy, root=trust_root(), **paths))


@pytest.mark.parametrize("raw", [True, False])
def test_everything_received_is_in_the_log(tmp_path: Path, raw: bool) -> None:
    entries = list(story())
    verdict = judged(tmp_path, entries, received=received(entries, raw=raw))
    assert verdict.findings.kinds == set()
    assert verdict.facts["confirmed"] == verdict.facts["received"] == 38


@pytest.mark.parametrize("raw", [True, False])
def test_a_renoised_release_is_found(tmp_path: Path, raw: bool) -> None:
    """Sent with other numbers than logged: one more look at the same window."""
    entries = list(story())
    sent = changed(entries, at(entries), values=(4711, Cell.SUPPRESSED))
    verdict = judged(tmp_path, entries, received=received(sent, raw=raw))
    assert verdict.findings.kinds == {Kind.ALTERED}


@pytest.mark.parametrize("raw", [True, False])
def test_a_release_outside_the_log_is_found(tmp_path: Path, raw: bool) -> None:
    """Published but not logged, and gone from the log after it was published."""
    entries = list(story())
    index = at(entries)
    verdict = judged(
        tmp_path, renumbered(entries[:index] + entries[index + 1 :]), received=received(entries[: index + 1], raw=raw)
    )
    assert Kind.NOT_IN_LOG in verdict.findings.kinds


def test_two_payloads_for_a_window_are_found(tmp_path: Path) -> None:
    entries = list(story())
    again = changed(entries, at(entries), values=(4711, Cell.SUPPRESSED))
    assert Kind.TWO_PAYLOADS in judged(tmp_path, entries, received=received([*entries, *again])).findings.kinds


def test_a_forgery_is_not_held_against_the_unit(tmp_path: Path) -> None:
    """Somebody else's message: the subscriber saw no valid signature."""
    entries = list(story())
    verdict = judged(tmp_path, entries, received=received(_signed_by_another(entries)))
    assert verdict.findings.kinds == {Kind.FORGED}


def test_what_is_newer_than_the_copy_is_not_judged(tmp_path: Path) -> None:
    entries = list(story())
    verdict = judged(tmp_path, entries[:20], received=received(entries, note_of([e.encode() for e in entries])))
    assert verdict.findings.kinds == set()
    assert any("newer than the log copy" in words for words in verdict.open)


def test_a_forked_log_is_found(tmp_path: Path) -> None:
    """A checkpoint of the same size, or of an earlier one, over other entries."""
    entries = list(story())
    other = [entry.encode() for entry in changed(entries, at(entries), values=(4711, 4000))]
    assert judged(tmp_path / "a", entries, seen=note_of(other)).findings.kinds == {Kind.FORKED_LOG}
    assert judged(tmp_path / "b", entries, seen=note_of(other[:40])).findings.kinds == {Kind.FORKED_LOG}
    assert judged(tmp_path / "c", entries, seen=note_of([e.encode() for e in entries[:17]])).findings.kinds == set()


def test_two_checkpoints_that_differ_need_no_log(tmp_path: Path) -> None:
    entries = [entry.encode() for entry in story()]
    (tmp_path / "r").write_text(received([], note_of(entries)) + received([], note_of([*entries[:-1], b"x"])))
    verdict = audit(Inputs(ORIGIN, PUBLIC, received=(tmp_path / "r",)))
    assert verdict.findings.kinds == {Kind.FORKED_LOG}
    assert verdict.open


def test_a_rolled_back_log_is_found(tmp_path: Path) -> None:
    """Shorter than what was seen before the copy was made; or shorter than what the broker had before."""
    entries = list(story())
    whole = [entry.encode() for entry in entries]
    assert judged(tmp_path / "a", entries[:30], seen=note_of(whole)).findings.kinds == {Kind.ROLLED_BACK}
    both = received([], note_of(whole)) + received([], note_of(whole[:30]))
    assert judged(tmp_path / "b", entries, received=both).findings.kinds == {Kind.ROLLED_BACK}


def test_a_checkpoint_by_another_key_is_found(tmp_path: Path) -> None:
    entries = list(story())
    copy = write_copy(tmp_path, entries, key=OTHER_KEY)
    assert audit(Inputs(ORIGIN, PUBLIC, log=copy)).findings.kinds == {Kind.CHECKPOINT_SIGNATURE}


def test_another_units_log_is_found(tmp_path: Path) -> None:
    copy = write_copy(tmp_path, story(), origin="springfield/bridge/bridge-02")
    found = audit(Inputs(ORIGIN, PUBLIC, log=copy)).findings.kinds
    assert found == {Kind.OTHER_UNIT, Kind.CHECKPOINT_SIGNATURE}


def test_a_changed_root_is_found(tmp_path: Path) -> None:
    """The files agree with each other but not with what the unit signed."""
    copy = write_copy(tmp_path, story())
    note = tlog.sign_checkpoint(tlog.Checkpoint(ORIGIN, len(story()), bytes(32)), ORIGIN, KEY)
    (copy / "checkpoint").write_bytes(note)
    assert audit(Inputs(ORIGIN, PUBLIC, log=copy)).findings.kinds == {Kind.ROOT}


def test_an_entry_that_is_none_is_found(tmp_path: Path) -> None:
    copy = write_copy(tmp_path, [*story(), b"\xa0"])
    assert audit(Inputs(ORIGIN, PUBLIC, log=copy)).findings.kinds == {Kind.MALFORMED}


def test_what_was_on_air_must_be_in_the_log(tmp_path: Path) -> None:
    shown = compile_disclosure(make_policy(notice="2 seconds"))
    other = compile_disclosure(make_policy(notice="2 seconds", rho="0.1"))
    entries = list(story())
    for name, message, found in (
        ("same", seal_envelope(Envelope(shown.cbor, 1_800_000_000), KEY), set()),
        ("other", seal_envelope(Envelope(other.cbor, 1_800_000_000), KEY), {Kind.AIR_NOT_IN_LOG}),
        ("forged", seal_envelope(Envelope(shown.cbor, 1_800_000_000), OTHER_KEY), {Kind.AIR_SIGNATURE}),
    ):
        assert judged(tmp_path / name, entries, air=message).findings.kinds == found


def test_a_witness_is_heard(tmp_path: Path) -> None:
    """A cosignature is shown with its time; one that does not verify is a finding; a missing one is said."""
    copy = write_copy(tmp_path, story())
    note = (copy / "checkpoint").read_bytes()
    witness = cosignature.Witness("witness.example/w1", cose.public_bytes(OTHER_KEY))
    inputs = Inputs(ORIGIN, PUBLIC, log=copy, root=trust_root(), witnesses=(witness,))
    assert any("not cosigned" in words for words in audit(inputs).open)
    (copy / "checkpoint").write_bytes(cosignature.cosign(note, witness.name, OTHER_KEY, 1_800_000_100))
    assert any("witness.example/w1 witnessed" in event for _, event in audit(inputs).events)
    line = cosignature.cosign(note_of([]), witness.name, OTHER_KEY, 1).split(b"\n")[-2]
    (copy / "checkpoint").write_bytes(note + line + b"\n")
    assert audit(inputs).findings.kinds == {Kind.CHECKPOINT_SIGNATURE}


# --- command ----------------------------------------------------------------------------------------------------------


def test_the_command_says_clean_or_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 0 and 1, in words and as JSON."""
    entries = list(story())
    clean, dirty = write_copy(tmp_path / "a", entries), write_copy(tmp_path / "b", _twice(entries))
    assert main(["audit", "--log", str(clean), "--key", PUBLIC.hex()]) == 0
    said = capsys.readouterr().out
    assert said.endswith("CLEAN: nothing was found in what could be judged\n")
    assert "no trust root" in said
    assert "stopped by steward/ana: a pipe burst" in said
    assert main(["audit", "--log", str(dirty), "--key", PUBLIC.hex()]) == 1
    assert f"window-twice: {WORDS[Kind.WINDOW_TWICE]} (1)" in capsys.readouterr().out
    assert main(["audit", "--log", str(dirty), "--key", PUBLIC.hex(), "--json"]) == 1
    item = json.loads(capsys.readouterr().out)
    assert (item["verdict"], item["unit"], item["counts"]["window-twice"]) == ("findings", ORIGIN, 1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--log or --received"),
        (["--received", "{folder}/none", "--unit", ORIGIN], "No such file"),
        (["--received", "{folder}/lines", "--unit", ORIGIN], "lines:2: expected a line of"),
        (["--received", "{folder}/lines"], "expected --unit"),
        (["--log", "{folder}/none"], "No such file"),
        (["--log", "{copy}", "--checkpoint", "{folder}/lines"], "lines: expected a checkpoint"),
        (["--log", "{copy}", "--air", "{folder}/lines"], "lines: expected an envelope"),
        (["--log", "{copy}", "--witness", "x"], "expected name"),
        (["--log", "{copy}", "--governance", "{folder}/none"], "the trust root"),
    ],
)
def test_what_cannot_be_read_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    """Exit 2 or 3, one line that names it."""
    (tmp_path / "lines").write_bytes(received(story()[:6]).encode() + b"{}\n")
    copy = write_copy(tmp_path, story())
    given = [each.format(folder=tmp_path, copy=copy) for each in arguments]
    assert main(["audit", "--key", PUBLIC.hex(), *given]) in (2, 3)
    assert words in capsys.readouterr().err


def test_nothing_hostile_reaches_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A stop order's signer and a stream's name are whatever the log says."""
    entries = replaced(list(story()), place(list(story()), StopTaken), by=("\x1b[2J\u202e",))
    gap = Gap("\x1b]0;x\x07", 1_800_000_100, 1, 1, None)
    copy = write_copy(tmp_path, [*entries, gap])
    assert main(["audit", "--log", str(copy), "--key", PUBLIC.hex()]) == 1
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "\u202e" not in said
    assert "policy-not-in-force" in said


def test_a_log_of_endless_policies_is_refused(tmp_path: Path) -> None:
    """Each window would be held against each of them."""
    entries = list(story())
    taken = entries[place(entries, PolicyTaken)]
    with pytest.raises(LogDamaged, match="at most 32 policies within a period"):
        kinds([*entries, *[taken] * 1000], tmp_path)
