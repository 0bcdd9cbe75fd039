"""agent/policy/order and its table: a partial order, complete over the model, that never calls a weaker protection stricter."""

import dataclasses
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.policy import model, vocabulary
from agent.policy.directions import ACCESS_SENSES, CHANNEL_SENSES, STORAGE_SENSES, TABLE, Order
from agent.policy.model import Audience, Contact, Location, Organisation, Policy, Stream, Unit
from agent.policy.modes import (
    CoarsePrivacy,
    CountPrivacy,
    NoPrivacy,
    ScalarPrivacy,
    Threshold,
    ThresholdOnly,
    UniquePrivacy,
)
from agent.policy.order import Comparison, Direction, compare
from tests.policy.changes import CLASSES

COUNT = CountPrivacy(rho=Fraction(1, 8), m=4, c=1, threshold=Threshold(k=5, z=Fraction(2)), max_count=5000)
POLICY = Policy(
    version=1,
    unit=Unit("springfield", "bridge", "bridge-01"),
    title="Counter",
    location=Location("River Bridge", "street"),
    accountable=Organisation("City"),
    vendors=("Maker", "Operator"),
    contact=Contact("1 Main Street", "", "data@city.example", "", ("email",)),
    purposes=("mobility", "planning_decision_making"),
    audiences=(
        Audience("city", "available_to_the_accountable_organization", ("stored_locally",), 730),
        Audience("public", "available_to_download", ("stored_on_3rd_party_cloud",), 365),
    ),
    denied=("not_available_to_vendor",),
    licence="CC-BY-4.0",
    community_labels=("tk-attribution",),
    transport="tls",
    issued=1_788_220_800,
    effective=1_788_220_800,
    expires=1_800_000_000,
    notice_s=14 * 86_400,
    period_s=86_400,
    cap_rho=Fraction(1, 2),
    collect_within_s=604_800,
    demo=False,
    streams=(
        Stream("crossings", "a", "count", "radar", ("bike", "foot"), (), "", 900, Fraction(10), ("city", "public"), COUNT),
        Stream("level", "b", "scalar", "sound_level_meter", (), (), "sound_level", 900, Fraction(0), ("city",),
               CoarsePrivacy("mean", 60, Fraction(30), Fraction(100), Fraction(1))),
    ),
)  # fmt: skip


def changed(policy: Policy, path: str, value: Any) -> Policy:
    """`policy` with the field at `path` replaced; a stream or audience is named by its number."""
    return _changed(policy, path.split("."), value)  # type: ignore[no-any-return]


def _changed(part: Any, path: list[str], value: Any) -> Any:
    head, *rest = path
    if isinstance(part, tuple):
        new = [*part]
        new[int(head)] = _changed(part[int(head)], rest, value) if rest else value
        return tuple(new)
    return dataclasses.replace(part, **{head: _changed(getattr(part, head), rest, value) if rest else value})


def test_every_field_of_the_model_has_a_row_and_every_row_a_field() -> None:
    """Nobody can add a field without saying which way it protects."""
    fields = {f"{item.__name__}.{field.name}" for item in CLASSES for field in dataclasses.fields(item)}
    assert len(fields) > 50
    assert fields == set(TABLE)


def test_every_row_gives_a_reason_in_one_sentence() -> None:
    for name, row in TABLE.items():
        assert len(row.reason.split()) >= 2, name
        assert row.noun, name
        assert "." not in row.reason.rstrip("."), name
        assert (row.order is Order.RANK) == bool(row.ranks), name


def test_every_word_that_has_a_sense_of_its_own_has_one() -> None:
    """All access, storage and channel words of the vocabulary, and no others."""
    assert set(ACCESS_SENSES) == {*vocabulary.GIVEN, *vocabulary.DENIED}
    assert set(STORAGE_SENSES) == set(vocabulary.STORAGE)
    assert set(CHANNEL_SENSES) == set(model.CHANNELS)
    assert TABLE["Location.precision"].ranks == vocabulary.PRECISIONS
    assert set(TABLE["Policy.transport"].ranks) == set(vocabulary.TRANSPORTS)


S, L, I = Direction.STRICTER, Direction.LAXER, Direction.INCOMPARABLE  # noqa: E741  three letters make the table below readable
NOISIER = dataclasses.replace(COUNT, rho=Fraction(1, 32))
UNIQUE = UniquePrivacy(Fraction(1), 4, 2, Threshold(5, Fraction(2)))
SCALAR = ScalarPrivacy(Fraction(1, 8), 60, 60, Fraction(30), Fraction(100), Fraction(1), 900)
LEVELS = dataclasses.replace(SCALAR, percentiles=(10, 50, 90), percentiles_rho=Fraction(1, 16))
AS_MEASURED = NoPrivacy(Fraction(30), Fraction(100), Fraction(1))
CASES: list[tuple[str, Any, Any, Direction]] = [
    ("title", "Counter", "Other counter", I),
    ("location.text", "River Bridge", "River quarter", I),
    ("location.precision", "street", "neighbourhood", S),
    ("accountable.name", "City", "County", I),
    ("vendors", ("Maker", "Operator"), ("Maker",), S),
    ("vendors", ("Maker",), ("Maker", "Operator"), L),
    ("vendors", ("Maker", "Operator"), ("Operator", "Maker"), I),
    ("contact.phone", "", "+1 555 0100", S),
    ("contact.phone", "+1 555 0100", "+1 555 0101", I),
    ("contact.feedback", ("email",), ("email", "address"), S),
    ("purposes", ("mobility", "safety_security"), ("mobility",), S),
    ("purposes", ("mobility",), ("mobility", "enforcement"), L),
    ("audiences.0.access", "available_to_the_accountable_organization", "available_to_vendor", I),
    ("audiences.0.storage", ("stored_locally",), ("stored_locally", "backed_up_internationally"), L),
    ("audiences.0.storage", ("stored_locally", "stored_on_3rd_party_cloud"), ("stored_on_3rd_party_cloud",), I),
    ("audiences.0.retention_days", 730, 365, S),
    ("denied", ("not_available_to_vendor",), (), L),
    ("denied", (), ("not_available_to_vendor",), S),
    ("denied", (), ("not_available_to_me",), I),
    ("licence", "CC-BY-4.0", "CC0-1.0", I),
    ("community_labels", (), ("tk-attribution",), I),
    ("transport", "any", "tls", S),
    ("effective", 1_788_220_800, 1_790_000_000, S),
    ("expires", 1_800_000_000, 1_799_000_000, S),
    ("notice_s", 86_400, 172_800, S),
    ("period_s", 86_400, 43_200, I),
    ("cap_rho", Fraction(1, 2), Fraction(1, 4), S),
    ("collect_within_s", 604_800, 86_400, S),
    ("demo", True, False, S),
    ("unit.name", "bridge-01", "bridge-02", I),
    ("streams.0.channel", "a", "b", I),
    ("streams.0.kind", "count", "duration", I),
    ("streams.0.technology", "radar", "li_dar", I),
    ("streams.0.technology", "radar", "identifiable_video", I),
    ("streams.0.classes", ("bike", "foot"), ("bike",), S),
    ("streams.0.bins_s", (60, 600), (600,), I),
    ("streams.1.quantity", "sound_level", "air_temperature", I),
    ("streams.0.window_s", 900, 300, L),
    ("streams.0.grace_s", Fraction(10), Fraction(20), I),
    ("streams.0.receivers", ("city", "public"), ("public",), S),
    ("streams.0.receivers", ("public",), ("public", "city"), L),
    ("streams.0.privacy.rho", Fraction(1, 8), Fraction(1, 16), S),
    ("streams.0.privacy.m", 4, 8, S),
    ("streams.0.privacy.c", 1, 2, S),
    ("streams.0.privacy.max_count", 5000, 4000, S),
    ("streams.0.privacy.totals", 0, 96, I),
    ("streams.0.privacy.totals", 96, 24, I),
    ("streams.0.privacy.threshold.k", 5, 10, S),
    ("streams.0.privacy.threshold.z", Fraction(2), Fraction(3), S),
    ("streams.0.privacy", COUNT, ThresholdOnly(5, 5000), L),
    ("streams.0.privacy", ThresholdOnly(5, 5000), ThresholdOnly(11, 5000), S),
    ("streams.0.privacy", ThresholdOnly(5, 5000), ThresholdOnly(5, 6000), L),
    ("streams.0.privacy", ThresholdOnly(5, 5000), COUNT, I),
    ("streams.0.privacy", UNIQUE, dataclasses.replace(UNIQUE, epsilon=Fraction(1, 2)), S),
    ("streams.0.privacy", UNIQUE, dataclasses.replace(UNIQUE, addresses=3), S),
    ("streams.0.privacy", UNIQUE, dataclasses.replace(UNIQUE, m=5), S),
    ("streams.1.privacy", AS_MEASURED, SCALAR, S),
    ("streams.1.privacy", AS_MEASURED, dataclasses.replace(SCALAR, high=Fraction(120)), I),
    ("streams.1.privacy", AS_MEASURED, CoarsePrivacy("median", 60, Fraction(30), Fraction(100), Fraction(1)), I),
    ("streams.1.privacy", SCALAR, AS_MEASURED, L),
    ("streams.1.privacy", SCALAR, dataclasses.replace(SCALAR, high=Fraction(120)), I),
    ("streams.1.privacy", SCALAR, dataclasses.replace(SCALAR, samples=1800), L),
    ("streams.1.privacy", SCALAR, dataclasses.replace(SCALAR, step=Fraction(2)), S),
    ("streams.1.privacy", LEVELS, dataclasses.replace(LEVELS, percentiles=(10, 90)), S),
    ("streams.1.privacy", LEVELS, dataclasses.replace(LEVELS, percentiles_rho=Fraction(1, 32)), I),
    ("streams.1.privacy", LEVELS, dataclasses.replace(LEVELS, rho=Fraction(7, 64)), S),
    ("streams.1.privacy.step", Fraction(1), Fraction(5, 2), I),
    ("streams.1.privacy.step", Fraction(1), Fraction(1, 2), L),
    ("streams.1.privacy.min_samples", 60, 100, S),
    ("streams.1.privacy.low", Fraction(30), Fraction(40), S),
    ("streams.1.privacy.aggregation", "mean", "median", I),
    ("streams", POLICY.streams, POLICY.streams[:1], S),
    ("streams", POLICY.streams[:1], POLICY.streams, L),
    ("audiences", POLICY.audiences, POLICY.audiences[1:], S),
    ("audiences", POLICY.audiences[:1], POLICY.audiences, L),
]  # fmt: skip
OPPOSITE = {S: L, L: S, I: I}


@pytest.mark.parametrize(("path", "before", "after", "direction"), CASES)
def test_one_change(path: str, before: Any, after: Any, direction: Direction) -> None:
    """Each field's direction, with both values in the words; and the way back is the opposite one."""
    old, new = changed(POLICY, path, before), changed(POLICY, path, after)
    there, back = compare(old, new), compare(new, old)
    assert [change.direction for change in there.changes] == [direction], there
    assert there.stricter == (direction is S)
    if TABLE[there.changes[0].field].order in (Order.LESS, Order.MORE, Order.RANK, Order.SET, Order.IDENTITY):
        assert [change.direction for change in back.changes] == [OPPOSITE[direction]]
    assert not (there.stricter and back.stricter)
    assert there.wait_s == (0 if direction is S else max(old.notice_s, new.notice_s))
    change = there.changes[0]
    assert change.words
    assert all(value in change.words for value in (change.before, change.after))


def test_what_the_public_loses_is_no_gain_without_asking() -> None:
    """Taking away the audience, or a stream, that everybody can download is incomparable."""
    assert [c.direction for c in compare(POLICY, changed(POLICY, "audiences", POLICY.audiences[:1])).changes] == [I]
    assert [c.direction for c in compare(POLICY, changed(POLICY, "streams.0.receivers", ("city",))).changes] == [I]


def test_version_and_date_of_issue_are_no_changes() -> None:
    """The same rules under a new version are stricter than themselves: nothing waits."""
    new = dataclasses.replace(POLICY, version=2, issued=POLICY.issued + 1)
    assert compare(POLICY, new) == Comparison(True, (), 0)


def test_a_renamed_stream_is_gone_and_new() -> None:
    comparison = compare(POLICY, changed(POLICY, "streams.0.name", "passages"))
    assert [(change.path, change.direction) for change in comparison.changes] == [
        ("streams.crossings", S),
        ("streams.passages", L),
    ]


def test_the_order_of_streams_audiences_and_classes_says_nothing() -> None:
    new = dataclasses.replace(POLICY, streams=POLICY.streams[::-1], audiences=POLICY.audiences[::-1])
    assert compare(POLICY, changed(new, "streams.1.classes", ("foot", "bike"))).changes == ()


def test_a_smaller_m_with_the_same_noise_is_a_weaker_claim() -> None:
    """Half the m at half the rho is the same noise, and fewer people covered."""
    less = dataclasses.replace(COUNT, m=2, rho=Fraction(1, 16))
    assert less.sigma_squared == COUNT.sigma_squared
    assert not compare(POLICY, changed(POLICY, "streams.0.privacy", less)).stricter


def test_a_shorter_notice_cannot_shorten_its_own() -> None:
    assert compare(POLICY, changed(POLICY, "notice_s", 86_400)).wait_s == 14 * 86_400


@pytest.mark.parametrize(
    ("window_s", "privacy", "direction"),
    [
        (3600, COUNT, I),  # the hour would be more exact than the sum of its quarters
        (3600, NOISIER, S),  # four times the variance: the noise of that sum
        (3600, dataclasses.replace(COUNT, c=4), S),  # so has c = 4, because 16/4 is 4
        (1350, NOISIER, I),  # not whole old windows
        (300, NOISIER, L),
        (3600, dataclasses.replace(NOISIER, totals=24), I),  # an hour's noise tells on the hours after it
    ],
)
def test_windows(window_s: int, privacy: CountPrivacy, direction: Direction) -> None:
    """A longer window is stricter only together with the noise of the old windows' sum."""
    new = changed(changed(POLICY, "streams.0.window_s", window_s), "streams.0.privacy", privacy)
    assert [c.direction for c in compare(POLICY, new).changes if c.field == "Stream.window_s"] == [direction]


def test_a_window_of_uniques_is_judged_never() -> None:
    old = changed(changed(POLICY, "streams.0.kind", "unique"), "streams.0.privacy", UNIQUE)
    for window_s in (300, 3600):
        assert [c.direction for c in compare(old, changed(old, "streams.0.window_s", window_s)).changes] == [I]


FRACTIONS = st.sampled_from([Fraction(1, 32), Fraction(1, 16), Fraction(1, 8), Fraction(1, 4)])
EDGES = st.sampled_from([Fraction(0), Fraction(20), Fraction(40)])
THRESHOLDS = st.builds(Threshold, st.sampled_from([5, 11]), st.sampled_from([Fraction(1), Fraction(2)]))
HIGHS = st.sampled_from([Fraction(80), Fraction(100), Fraction(120)])
STEPS = st.sampled_from([Fraction(1, 2), Fraction(1), Fraction(2), Fraction(5, 2)])
PRIVACIES = st.one_of(
    st.builds(CountPrivacy, FRACTIONS, st.sampled_from([2, 4, 8]), st.sampled_from([1, 2]), THRESHOLDS, st.sampled_from([100, 5000]), st.sampled_from([0, 96])),
    st.builds(ThresholdOnly, st.sampled_from([5, 11]), st.sampled_from([100, 5000])),
    st.builds(UniquePrivacy, st.sampled_from([Fraction(1, 2), Fraction(1)]), st.sampled_from([2, 4]), st.sampled_from([1, 2]), THRESHOLDS),
    st.builds(ScalarPrivacy, FRACTIONS, st.sampled_from([30, 60]), st.sampled_from([10, 30]), EDGES, HIGHS, STEPS, st.sampled_from([60, 900])),
    st.builds(ScalarPrivacy, FRACTIONS, st.sampled_from([30, 60]), st.sampled_from([10, 30]), EDGES, HIGHS, STEPS, st.just(900), st.sampled_from([(10, 90), (10, 50, 90)]), st.sampled_from([Fraction(1, 64), Fraction(1, 48)])),
    st.builds(CoarsePrivacy, st.sampled_from(["mean", "median"]), st.sampled_from([2, 60]), EDGES, HIGHS, STEPS),
    st.builds(NoPrivacy, EDGES, HIGHS, STEPS),
)  # fmt: skip


def subsets(*items: str) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(items), unique=True, max_size=len(items)).map(tuple)


FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "title": st.sampled_from(["Counter", "Other"]),
    "location.precision": st.sampled_from(vocabulary.PRECISIONS),
    "vendors": subsets("Maker", "Operator", "Host"),
    "contact.phone": st.sampled_from(["", "+1 555 0100", "+1 555 0101"]),
    "contact.feedback": subsets(*model.CHANNELS),
    "purposes": subsets("mobility", "enforcement", "health"),
    "denied": subsets(*vocabulary.DENIED),
    "transport": st.sampled_from(["tls", "any"]),
    "effective": st.integers(1_788_220_800, 1_788_220_803),
    "expires": st.integers(1_800_000_000, 1_800_000_003),
    "notice_s": st.sampled_from([86_400, 172_800]),
    "cap_rho": FRACTIONS,
    "demo": st.booleans(),
    "licence": st.sampled_from(["CC0-1.0", "CC-BY-4.0"]),
    "audiences.0.storage": subsets(*vocabulary.STORAGE),
    "audiences.0.retention_days": st.integers(1, 3),
    "audiences.1.retention_days": st.integers(1, 3),
    "streams": st.sampled_from([POLICY.streams, POLICY.streams[:1], (POLICY.streams[0], dataclasses.replace(POLICY.streams[1], name="other"))]),
    "streams.0.classes": subsets("bike", "foot", "car"),
    "streams.0.receivers": subsets("city", "public"),
    "streams.0.window_s": st.sampled_from([300, 900, 1800, 3600]),
    "streams.0.privacy": PRIVACIES,
}  # fmt: skip


@st.composite
def neighbours(draw: Any, policy: Policy) -> Policy:
    """`policy` with up to three fields drawn again; often stricter, often not."""
    for path in draw(st.lists(st.sampled_from(sorted(FIELDS)), max_size=3, unique=True)):
        policy = changed(policy, path, draw(FIELDS[path]))
    return policy


@st.composite
def policies(draw: Any) -> Policy:
    policy = POLICY
    for path in ("streams", "streams.0.privacy", "streams.0.window_s", "purposes", "transport", "streams.0.classes"):
        policy = changed(policy, path, draw(FIELDS[path]))
    return draw(neighbours(policy))  # type: ignore[no-any-return]


def what_is_done(policy: Policy) -> Any:
    """A policy without what says nothing: version, date of issue, the order of streams, audiences and classes."""

    def sort(parts: Any) -> Any:
        return tuple(sorted(parts, key=lambda part: part.name))

    streams = tuple(
        dataclasses.replace(s, classes=tuple(sorted(s.classes)), receivers=tuple(sorted(s.receivers)))
        for s in policy.streams
    )
    audiences = tuple(dataclasses.replace(a, storage=tuple(sorted(a.storage))) for a in policy.audiences)
    contact = dataclasses.replace(policy.contact, feedback=tuple(sorted(policy.contact.feedback)))
    return dataclasses.replace(
        policy, version=0, issued=0, streams=sort(streams), audiences=sort(audiences), contact=contact, denied=tuple(sorted(policy.denied))
    )  # fmt: skip


def weaker(old: Policy, new: Policy) -> list[str]:
    """Independent of the table: every enforced parameter that protects less under `new`, by numbers that the mechanisms use."""
    found = [
        words
        for words, is_weaker in (
            ("cap", new.cap_rho > old.cap_rho),
            ("notice", new.notice_s < old.notice_s),
            ("days", not old.effective <= new.effective <= new.expires <= old.expires),
            ("demo", new.demo and not old.demo),
            ("plain text", old.transport == "tls" and new.transport != "tls"),
            ("expiry in the broker", new.collect_within_s > old.collect_within_s),
            ("unit", new.unit != old.unit),
        )
        if is_weaker
    ]
    before = {stream.name: stream for stream in old.streams}
    for stream in new.streams:
        if stream.name not in before:
            found.append("a stream")
            continue
        found += [f"{stream.name}: {words}" for words in _weaker_stream(before[stream.name], stream)]
    return found


def _weaker_stream(old: Stream, new: Stream) -> Iterator[str]:
    if not set(new.classes) <= set(old.classes):
        yield "classes"
    if new.window_s % old.window_s:
        yield "window"
    if (old.channel, old.kind, old.technology, old.quantity) != (new.channel, new.kind, new.technology, new.quantity):
        yield "sensor"
    times = Fraction(new.window_s, old.window_s)
    one, other = old.privacy, new.privacy
    match one, other:
        case CountPrivacy(), CountPrivacy() if one.totals or other.totals:
            if one.totals != other.totals or times != 1 or other.scale_squared < one.scale_squared:
                yield "noise"
            if other.tau < one.tau or other.max_count > one.max_count:
                yield "values"
        case CountPrivacy(), CountPrivacy():
            for presence in (
                (1,),
                (1, 1),
                (2, 1, 3),
                (5,),
                (1, 1, 1, 1, 1, 1, 1, 1, 1),
            ):  # anybody, also beyond m and c
                apart = sum(Fraction(v**2) / (2 * one.sigma_squared) for v in presence)
                together = Fraction(sum(presence[: int(times)])) ** 2 + sum(v**2 for v in presence[int(times) :])
                if together / (2 * other.sigma_squared) > apart:
                    yield "noise"
            if (other.m < one.m or other.c < one.c) and other.charge == one.charge:
                yield "claim"
            if other.tau < one.tau:
                yield "threshold"
            if other.max_count > one.max_count:
                yield "ceiling"
        case ThresholdOnly(), ThresholdOnly():
            if other.k < one.k or other.max_count > one.max_count or times != 1:
                yield "threshold"
        case UniquePrivacy(), UniquePrivacy():
            if other.address_epsilon > one.address_epsilon or other.tau < one.tau or times != 1:
                yield "noise"
        case ScalarPrivacy(), ScalarPrivacy():
            if other.charge * times > one.charge or other.mean_sigma_squared < one.mean_sigma_squared:
                yield "noise"
            if set(other.percentiles) - set(one.percentiles):
                yield "percentiles"
            if other.percentiles and other.cell_sigma_squared < one.cell_sigma_squared:
                yield "noise of percentiles"
        case CoarsePrivacy(), CoarsePrivacy():
            if (
                other.min_samples < one.min_samples
                or other.step < one.step
                or other.high - other.low > one.high - one.low
            ):
                yield "values"
        case NoPrivacy(), CoarsePrivacy() | NoPrivacy() | ScalarPrivacy():
            if other.step % one.step or other.low < one.low or other.high > one.high:
                yield "values"
        case _:
            yield "mode"


@given(policies())
def test_reflexive(policy: Policy) -> None:
    assert compare(policy, policy) == Comparison(True, ())


@settings(max_examples=300)
@given(st.data())
def test_antisymmetric_transitive_and_never_weaker(data: st.DataObject) -> None:
    """Over chains of small changes: what both ways call stricter is the same; steps add up; and the numbers agree."""
    a = data.draw(policies())
    b = data.draw(neighbours(a))
    c = data.draw(neighbours(b))
    forth = compare(a, b)
    if forth.stricter and compare(b, a).stricter:
        assert what_is_done(a) == what_is_done(b)
    if forth.stricter and compare(b, c).stricter:
        assert compare(a, c).stricter, (compare(a, c), forth)
    for one, other in ((a, b), (b, c), (a, c)):
        if compare(one, other).stricter:
            assert weaker(one, other) == []
    assert (forth.changes == ()) == (what_is_done(a) == what_is_done(b))


@pytest.mark.parametrize("path", sorted(FIELDS))
def test_the_property_tests_reach_stricter_changes_of_every_field(path: str) -> None:
    """Each field that the tests above draw can change the comparison, so that they are not passing for lack of cases."""
    seen: set[Direction] = set()

    @settings(max_examples=40, database=None)
    @given(FIELDS[path], FIELDS[path])
    def draw(one: Any, other: Any) -> None:
        seen.update(
            change.direction for change in compare(changed(POLICY, path, one), changed(POLICY, path, other)).changes
        )

    draw()
    assert seen
