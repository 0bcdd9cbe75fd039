"""Frauds in streams of every kind and mode (OP-26, OP-27), planted by the unit, which signs whatever it writes."""

import dataclasses
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from agent.contracts import aggregate
from agent.contracts.aggregate import Aggregate, Cell, Field, NotCollected
from agent.contracts.guarantee import ConcentratedGuarantee, NoGuarantee, PureGuarantee
from agent.contracts.log import Charge, Entry, Gap, Release
from agent.operations.audit import audit
from agent.operations.audit_inputs import Inputs
from agent.operations.findings import Findings, Kind
from agent.operations.history import History
from agent.operations.rotations import Course
from agent.policy.parse import parse_policy
from agent.wire import cose
from agent.wire.detached import signed_type
from agent.wire.senml import SENML_CBOR, SENML_JSON, media_type
from tests.anonymizer.stage import KEY, ORIGIN
from tests.anonymizer.test_kinds import Life, text
from tests.operations.stories import KINDS, PUBLIC, Street, received, resealed, street, write_copy
from tests.signing import trust_root

Cheat = Callable[[list[Entry]], list[Entry]]


def found(entries: list[Entry]) -> set[Kind]:
    """What the fold of these entries finds."""
    findings = Findings()
    history = History(ORIGIN, Course(ORIGIN, (PUBLIC,)), trust_root(), findings)
    for entry in entries:
        history.add(entry.encode())
    return findings.kinds


def said(entry: Entry) -> Aggregate:
    assert isinstance(entry, Release)
    return aggregate.decode(entry.payload)


def last(entries: list[Entry], stream: str, *, complete: bool = True) -> int:
    """The place of the last Release of a stream with numbers, or without."""
    return [
        index
        for index, entry in enumerate(entries)
        if isinstance(entry, Release) and entry.stream == stream and (said(entry).reason is None) == complete
    ][-1]


def replaced(entries: list[Entry], index: int, entry: Entry) -> list[Entry]:
    return [*entries[:index], entry, *entries[index + 1 :]]


def says(stream: str, **changes: Any) -> Cheat:
    """The stream's last Release with numbers says something else. `values` maps cells to values."""

    def cheat(entries: list[Entry]) -> list[Entry]:
        index = last(entries, stream)
        release = entries[index]
        assert isinstance(release, Release)
        given = dict(changes)
        if "values" in given:
            values = {**dict(said(release).cells), **given["values"]}
            given["values"] = tuple(values.values())
        return replaced(entries, index, resealed(release, **given))

    return cheat


def charged(stream: str, charge: Charge | None) -> Cheat:
    def cheat(entries: list[Entry]) -> list[Entry]:
        index = last(entries, stream)
        release = entries[index]
        assert isinstance(release, Release)
        return replaced(entries, index, dataclasses.replace(release, charge=charge))

    return cheat


def gap_charged(stream: str, charge: Charge | None) -> Cheat:
    def cheat(entries: list[Entry]) -> list[Entry]:
        index, gap = next((i, e) for i, e in enumerate(entries) if isinstance(e, Gap) and e.stream == stream)
        return replaced(entries, index, dataclasses.replace(gap, charge=charge))

    return cheat


def unlabelled(stream: str) -> Cheat:
    """A stream with a guarantee is released as one without, and so for nothing."""

    def cheat(entries: list[Entry]) -> list[Entry]:
        index = last(entries, stream)
        release = entries[index]
        assert isinstance(release, Release)
        bare = resealed(release, guarantee=NoGuarantee("threshold-only"), noise_sd=Decimal(0))
        return replaced(entries, index, dataclasses.replace(bare, charge=None))

    return cheat


def total(more: int) -> Cheat:
    """A running total that its numbers do not explain: one window told a second time, without noise of its own."""

    def cheat(entries: list[Entry]) -> list[Entry]:
        values = dict(said(entries[last(entries, "passing")]).cells)
        assert isinstance(values["foot/total"], int)
        return says("passing", values={"foot/total": values["foot/total"] + more})(entries)

    return cheat


def earlier(entries: list[Entry]) -> list[Entry]:
    """Totals that reach back over a restart, which the counter cannot."""
    since = dict(said(entries[last(entries, "passing")]).cells)["total/since"]
    assert isinstance(since, int)
    return says("passing", values={"total/since": since - 60})(entries)


NOTHING = Charge(Fraction(0))
FRAUDS: dict[str, tuple[Cheat, Kind]] = {
    "totals: no sum": (total(1), Kind.WRONG_TOTAL),
    "totals: since before a restart": (earlier, Kind.WRONG_TOTAL),
    "totals: charged less": (charged("passing", Charge(Fraction(1, 33))), Kind.CHARGE_TOO_SMALL),
    "totals: less noise stated": (says("passing", noise_sd=Decimal("11.9")), Kind.WRONG_NOISE),
    "totals: less noise of totals stated": (says("passing", total_noise_sd=Decimal("15.1")), Kind.WRONG_NOISE),
    "totals: more noise stated": (says("passing", noise_sd=Decimal("13")), Kind.WRONG_NOISE),
    "totals: a lower threshold": (says("passing", threshold=29), Kind.WRONG_THRESHOLD),
    "totals: under the threshold": (says("passing", values={"bike": 3}), Kind.BELOW_THRESHOLD),
    "duration: no charge": (charged("stays", None), Kind.NULL_CHARGE),
    "duration: nothing charged": (charged("stays", NOTHING), Kind.CHARGE_TOO_SMALL),
    "duration: a Gap without a charge": (gap_charged("stays", None), Kind.NULL_CHARGE),
    "duration: a Gap for nothing": (gap_charged("stays", NOTHING), Kind.CHARGE_TOO_SMALL),
    "duration: a bin that is none": (says("stays", values={"bay/median": "to_1s"}), Kind.IMPOSSIBLE_NUMBER),
    "duration: more than can be": (says("stays", values={"bay/to_300s": 9999}), Kind.IMPOSSIBLE_NUMBER),
    "duration: released as unprotected": (unlabelled("stays"), Kind.NULL_CHARGE),
    "duration: labelled as unprotected": (unlabelled("stays"), Kind.WRONG_GUARANTEE),
    "devices: charged less": (charged("visitors", Charge(Fraction(1, 9))), Kind.CHARGE_TOO_SMALL),
    "devices: a Gap without a charge": (gap_charged("visitors", None), Kind.NULL_CHARGE),
    "devices: a better guarantee": (
        says("visitors", guarantee=PureGuarantee(Fraction(1, 4), 2, 1, 10, 600)),
        Kind.WRONG_GUARANTEE,
    ),
    "devices: less noise stated": (says("visitors", noise_sd=Decimal("1.5")), Kind.WRONG_NOISE),
    "devices: no deviation": (says("visitors", values={"devices_sd": Decimal("0.500")}), Kind.IMPOSSIBLE_NUMBER),
    "devices: at least, but few": (says("visitors", values={"devices_is": "at_least"}), Kind.IMPOSSIBLE_NUMBER),
    "devices: under the threshold": (says("visitors", values={"devices": 2}), Kind.BELOW_THRESHOLD),
    "scalar: charged more": (charged("noise", Charge(Fraction(1, 100))), Kind.WRONG_CHARGE),
    "scalar: no charge": (charged("noise", None), Kind.NULL_CHARGE),
    "scalar: less noise stated": (says("noise", noise_sd=Decimal("7.0001")), Kind.WRONG_NOISE),
    "scalar: another presence claimed": (
        says("noise", guarantee=ConcentratedGuarantee(Fraction(1, 8), 600, 50, 5)),
        Kind.WRONG_GUARANTEE,
    ),
    "scalar: beyond its bounds": (says("noise", values={"mean": Decimal("29.99")}), Kind.IMPOSSIBLE_NUMBER),
    "threshold only: a charge": (charged("cars", Charge(Fraction(1, 32))), Kind.WRONG_CHARGE),
    "threshold only: a charge of nothing": (charged("cars", NOTHING), Kind.WRONG_CHARGE),
    "threshold only: a Gap with a charge": (gap_charged("cars", NOTHING), Kind.WRONG_CHARGE),
    "threshold only: under the threshold": (says("cars", values={"car": 2}), Kind.BELOW_THRESHOLD),
    "threshold only: shows less": (says("cars", threshold=2), Kind.WRONG_THRESHOLD),
    "threshold only: labelled as coarse": (says("cars", guarantee=NoGuarantee("coarse")), Kind.WRONG_GUARANTEE),
    "coarse: beyond its bounds": (says("leq", values={"leq": 25}), Kind.IMPOSSIBLE_NUMBER),
    "none: another quantity": (says("dust", noise_unit="ug/L", fields=(Field("mean", "ug/L", 4),)), Kind.WRONG_SHAPE),
    "none: hardly measured": (says("dust", coverage_percent=40), Kind.COVERAGE),
}


def test_the_street_is_clean() -> None:
    """Control: a stream of each kind and mode, with numbers, totals and a Gap."""
    entries = list(street())
    assert found(entries) == set()
    assert len({entry.stream for entry in entries if isinstance(entry, Gap) and entry.charge is None}) == 4
    for name in ("stays", "visitors", "passing"):
        assert Cell.SUPPRESSED not in said(entries[last(entries, name)]).values[:1], name


@pytest.mark.parametrize("name", FRAUDS)
def test_each_fraud_is_found_by_name(name: str) -> None:
    cheat, kind = FRAUDS[name]
    assert kind in found(cheat(list(street())))


def test_the_street_in_cbor_is_clean() -> None:
    """The same windows, every stream at one length, signed as what they are; also where the setting changes at a restart, either way."""
    entries = list(street(cbor=True))
    assert found(entries) == set()
    releases = [entry for entry in entries if isinstance(entry, Release)]
    assert {cose.decode_sign1(release.signature).content_type for release in releases} == {SENML_CBOR}
    for name in KINDS:
        payloads = [release.payload for release in releases if release.stream == name]
        assert {media_type(payload) for payload in payloads} == {SENML_CBOR}
        assert len(set(map(len, payloads))) == 1
        assert any(said(entry).reason is None for entry in releases if entry.stream == name)
    for before in (False, True):
        both = list(street(cbor=before, cbor_after=not before))
        assert {media_type(entry.payload) for entry in both if isinstance(entry, Release)} == {SENML_JSON, SENML_CBOR}
        assert found(both) == set()


@pytest.mark.parametrize("name", FRAUDS)
def test_each_fraud_is_found_by_name_in_cbor(name: str) -> None:
    cheat, kind = FRAUDS[name]
    assert kind in found(cheat(list(street(cbor=True))))


@pytest.mark.parametrize("cbor", [False, True])
def test_an_encoding_that_changes_without_a_break_is_found(cbor: bool) -> None:
    """OP-26: else which of the two a window has could say something of it (I6)."""
    entries = list(street(cbor=cbor))
    other = next(entry for entry in street(cbor=not cbor) if isinstance(entry, Release) and entry.stream == "leq")
    index = last(entries, "leq")
    release = entries[index]
    assert isinstance(release, Release)
    whole = said(release)
    assert whole.coverage_percent == 100
    terms = dataclasses.replace(said(other).terms, disclosure_digest=whole.terms.disclosure_digest)
    payload = aggregate.encode(dataclasses.replace(whole, terms=terms))
    signature = cose.sign1(payload, KEY, detached=True, content_type=signed_type(payload))
    changed = dataclasses.replace(release, payload=payload, signature=signature)
    assert found(replaced(entries, index, changed)) == {Kind.WRONG_SHAPE}


def test_a_signature_of_another_content_type_is_found() -> None:
    """A pack in CBOR that is signed as none."""
    entries = list(street(cbor=True))
    index = last(entries, "leq")
    release = entries[index]
    assert isinstance(release, Release)
    bare = dataclasses.replace(release, signature=cose.sign1(release.payload, KEY, detached=True))
    assert found(replaced(entries, index, bare)) == {Kind.RELEASE_SIGNATURE}


@cache
def bare() -> tuple[Entry, ...]:
    """Stays with noise, then a policy that shows them bare: for one period it may not."""
    life = Street("stays")
    life.busy(20)
    life.offer(parse_policy(text("open_stays", version=2).replace('"open_stays"', '"stays"'), "policy.toml"))
    life.busy(30)
    return tuple(life.entries)


def test_what_an_older_policy_promised_is_withheld(tmp_path: Path) -> None:
    """AN-34: numbers without a guarantee, within a period of numbers with one."""
    entries = list(bare())
    assert found(entries) == set()
    index = last(entries, "stays", complete=False)
    release = entries[index]
    assert isinstance(release, Release)
    assert said(release).reason is NotCollected.BUDGET
    shown = resealed(release, reason=None, values=(Cell.SUPPRESSED,) * len(said(release).values))
    assert found(replaced(entries, index, shown)) == {Kind.WITHHELD}


def test_for_a_period_the_older_noise_is_owed() -> None:
    """AN-34: a window of a laxer policy that draws its own, smaller noise at once, and says and charges so."""
    life = Life("passing")
    life.on(10)
    life.offer(parse_policy(text("passing", version=2, passing="rho = 0.125 -> rho = 0.25"), "policy.toml"))
    life.on(40)
    entries = list(life.entries)
    assert found(entries) == set()
    index = last(entries, "passing")
    release = entries[index]
    assert isinstance(release, Release)
    assert said(release).terms.policy_version == 2
    life.on(610)
    after = life.entries[last(life.entries, "passing")]
    assert isinstance(after, Release)
    terms = said(after).terms
    small = resealed(release, noise_sd=terms.noise_sd, total_noise_sd=terms.total_noise_sd, threshold=terms.threshold)
    cheaper = dataclasses.replace(small, charge=after.charge)
    assert found(replaced(entries, index, cheaper)) >= {Kind.WRONG_NOISE, Kind.WRONG_THRESHOLD, Kind.WRONG_CHARGE}


@pytest.mark.parametrize("raw", [True, False])
def test_every_kind_that_was_received_is_confirmed(tmp_path: Path, raw: bool) -> None:
    """OP-23, to the byte and by what the subscriber's lines say."""
    entries = list(street())
    lines = tmp_path / "lines"
    lines.write_text(received(entries, raw=raw))
    copy = write_copy(tmp_path, entries)
    verdict = audit(Inputs(ORIGIN, PUBLIC, log=copy, root=trust_root(), received=(lines,)))
    assert verdict.findings.kinds == set()
    assert verdict.facts["confirmed"] == verdict.facts["received"] == sum(isinstance(e, Release) for e in entries)


@cache
def levels() -> tuple[Entry, ...]:
    """Windows with percentiles, by a unit with zero noise."""
    life = Life("levels")
    life.on(20)
    for _ in range(2):
        life.bring("levels", values=[50] * 20 + [70] * 20)
        life.on(40)
    life.on(1)
    return tuple(life.entries)


@pytest.mark.parametrize(
    ("cheat", "kinds"),
    [
        (list, set()),
        (charged("levels", Charge(Fraction(1))), {Kind.CHARGE_TOO_SMALL}),
        (says("levels", values={"p10": Decimal("71.5")}), {Kind.IMPOSSIBLE_NUMBER}),
        (says("levels", values={"p90": Decimal("100.5")}), {Kind.IMPOSSIBLE_NUMBER}),
    ],
    ids=["honest", "the mean alone charged", "falling", "beyond its bounds"],
)
def test_percentiles(cheat: Cheat, kinds: set[Kind]) -> None:
    """AN-441, AN-443: one charge for mean and percentiles, which rise; the control is an honest log."""
    assert found(cheat(list(levels()))) == kinds
