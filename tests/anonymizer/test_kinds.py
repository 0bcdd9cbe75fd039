"""Every kind of reading through the whole anonymizer without sockets and files: what is published, charged, discarded and forgotten."""

import dataclasses
import os
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from agent.anonymizer import scalar, strength
from agent.anonymizer.budget import Budget, Presence, terms_of, worst_case
from agent.anonymizer.distinct import CELLS
from agent.anonymizer.kinds import encodable, terms_for
from agent.contracts import aggregate
from agent.contracts.aggregate import Aggregate, Cell, NotCollected
from agent.contracts.board import Board, Channel
from agent.contracts.log import Charge, Gap, Release, decode_entry
from agent.contracts.reading import TAG_UINT8, TAG_UINT16_LE, TAG_UINT32_LE, Body, Header, Kind, unpack_header
from agent.errors import PolicyError
from agent.operations import dues
from agent.policy.model import Policy, Stream
from agent.policy.modes import CountPrivacy, ScalarPrivacy, UniquePrivacy
from agent.policy.parse import parse_policy
from agent.wire import cbor
from tests.anonymizer.stage import policy_text
from tests.anonymizer.worlds import World

STREAM = """
[[stream]]
name = "{name}"
channel = "{name}"
kind = "{kind}"
technology = "{technology}"
{more}
window = "10 seconds"
grace = "0.2 seconds"
receivers = ["city"]
[stream.privacy]
mode = "{mode}"
{privacy}
"""

NOISY = "rho = 0.125\nm = 4\nc = 1\nk = 5\nz = 2\nmax_count = 5000"
BAYS = 'classes = ["bay", "kerb"]\nbins = ["5 minutes", "1 hour"]'
LEVEL = "low = 30\nhigh = 100\nstep = 0.1"
TEXTS = {
    "stays": ("duration", "induction_loop", BAYS, "dp", NOISY),
    "open_stays": ("duration", "radar", BAYS, "threshold-only", "k = 3\nmax_count = 5000"),
    "cars": ("count", "radar", 'classes = ["car"]', "threshold-only", "k = 3\nmax_count = 5000"),
    "visitors": ("unique", "identifiable_wifi_sensor", "", "dp", "epsilon = 0.5\nm = 2\naddresses = 1\nk = 5\nz = 2"),
    "noise": ("scalar", "sound_level_meter", 'quantity = "sound_level"', "dp", f"rho = 0.125\nm = 5\nc = 5\n{LEVEL}\nsamples = 10"),
    "levels": ("scalar", "sound_level_meter", 'quantity = "sound_level"', "dp", "rho = 2\nm = 1\nc = 1\nlow = 30\nhigh = 100\nstep = 1\nsamples = 40\npercentiles = [10, 50, 90]\npercentiles_rho = 1"),
    "leq": ("scalar", "sound_level_meter", 'quantity = "sound_level"', "coarse", 'aggregation = "mean"\nmin_samples = 3\nlow = 30\nhigh = 100\nstep = 5'),
    "dust": ("scalar", "air_quality", 'quantity = "pm2_5"', "none", "low = 0\nhigh = 1000\nstep = 1"),
    "passing": ("count", "radar", 'classes = ["bike", "foot"]', "dp", NOISY + '\ntotals = "period"'),
}  # fmt: skip
CLASSES = {"stays": ("kerb", "bay"), "open_stays": ("kerb", "bay"), "cars": ("dog", "car"), "passing": ("foot", "bike")}
START = 1_800_000_000


def text(*names: str, version: int = 1, **changed: str) -> str:
    """A policy with these streams only; `changed` replaces in the text of a stream's privacy, "old -> new"."""
    head = policy_text(version=version, window=10, cap="5", notice="5 seconds").partition("[[stream]]")[0]
    streams = ""
    for name in names:
        kind, technology, more, mode, privacy = TEXTS[name]
        if name in changed:
            old, new = changed[name].split(" -> ")
            privacy = privacy.replace(old, new)
        stated = STREAM.format(name=name, kind=kind, technology=technology, more=more, mode=mode, privacy=privacy)
        streams += stated.replace('"10 seconds"', '"40 seconds"') if name == "levels" else stated
    return head + streams


def policy(*names: str, version: int = 1, **changed: str) -> Policy:
    """The same, parsed."""
    return parse_policy(text(*names, version=version, **changed), "policy.toml")


def board(*names: str) -> Board:
    """A board that measures them, in this order."""
    channels = tuple(Channel(name, TEXTS[name][0], CLASSES.get(name, ())) for name in names)
    return Board("sim", "1.0", bytes(32), bytes(32), channels)


def brought(
    channel: int,
    received_boot_ns: int,
    classes: list[int] | None = None,
    values: list[int] | None = None,
    identifiers: list[bytes] | None = None,
    ages: list[int] | None = None,
) -> bytes:
    """A READINGS packet."""
    count = len(next(each for each in (classes, values, identifiers) if each is not None))
    columns: dict[int, object] = {
        Body.CHANNEL.value: channel,
        Body.AGES.value: cbor.CBORTag(TAG_UINT16_LE, np.array(ages or [0] * count, dtype="<u2").tobytes()),
        Body.CLASSES.value: cbor.CBORTag(TAG_UINT8, bytes(classes or [0] * count)),
    }
    if values is not None:
        columns[Body.VALUES.value] = cbor.CBORTag(TAG_UINT32_LE, np.array(values, dtype="<u4").tobytes())
    if identifiers:
        columns[Body.IDENTIFIER_LENGTH.value] = len(identifiers[0])
    body = cbor.encode(columns)
    header = Header(Kind.READINGS, count, 0, 0, received_boot_ns, len(body))
    return header.pack() + body + b"".join(identifiers or [])


class Life(World):
    """A unit under a policy with these streams, its gate open, at the beginning of a window."""

    def __init__(self, *names: str) -> None:
        super().__init__(policy(*names), random=zero_noise)
        self.names = names
        self.hardware = board(*names)
        self.on(20)

    def on(self, seconds: float) -> None:
        """Time passes."""
        for _ in range(round(seconds * 2)):
            self.tick(0.5, self.hardware)

    def bring(
        self,
        name: str,
        *,
        classes: list[int] | None = None,
        values: list[int] | None = None,
        identifiers: list[bytes] | None = None,
        ages: list[int] | None = None,
    ) -> None:
        """A batch of readings arrives now."""
        packet = brought(self.names.index(name), self.boot_ns, classes, values, identifiers, ages)
        self.sent += unpack_header(memoryview(packet)).reading_count
        self.deliver(packet)

    def of(self, name: str) -> list[Aggregate]:
        """The packs of a stream."""
        return [pack for pack in self.packs() if pack.terms.stream == name]

    def charges(self, name: str) -> list[Charge | None]:
        """Those of its Releases."""
        return [entry.charge for entry in self.entries if isinstance(entry, Release) and entry.stream == name]


def zero_noise(count: int) -> bytes:
    """Random bytes that make every draw 0: the middle of the unit interval."""
    return (2**63).to_bytes(8, "little") * (count // 8)


def stream(of: Policy, name: str) -> Stream:
    """A stream by its name."""
    return next(each for each in of.streams if each.name == name)


def test_durations() -> None:
    """AN-420 to AN-425: a stay is one reading of one cell; charged like a count; unknown classes and batches without lengths are discarded."""
    life = Life("stays")
    life.bring("stays", classes=[1] * 20 + [0] * 30, values=[60_000] * 20 + [7_200_000] * 30)
    life.bring("stays", classes=[9, 9], values=[1, 1])
    life.bring("stays", classes=[1])
    life.on(11)
    last = dict(life.of("stays")[-1].cells)
    assert last["bay/to_300s"] == 20
    assert last["kerb/over_3600s"] == 30
    assert last["bay/to_3600s"] is Cell.SUPPRESSED
    assert (last["bay/median"], last["kerb/p25"]) == ("to_300s", "over_3600s")
    assert life.charges("stays")[-1] == Charge(Fraction(1, 32))
    assert life.collection.tally.discarded == {"unknown_class": 2, "malformed": 1}
    assert life.sent == life.accounted


@pytest.mark.parametrize("name", ["cars", "open_stays"])
def test_a_mode_without_a_guarantee_says_so_in_every_release(name: str) -> None:
    """I1, AN-427: no noise, no charge (null), and the label in every pack."""
    life = Life(name)
    values = [1000] * 6 if name == "open_stays" else None
    life.bring(name, classes=[1, 1, 1, 1, 0, 0], values=values)
    life.on(11)
    pack = life.of(name)[-1]
    cells = dict(pack.cells)
    assert cells["car" if name == "cars" else "bay/to_300s"] == 4
    if name == "open_stays":
        assert cells["kerb/to_300s"] is Cell.SUPPRESSED
    assert {pack.terms.guarantee.words() for pack in life.of(name)} == {"threshold-only: not a privacy guarantee"}
    assert pack.terms.noise_sd == 0
    assert pack.terms.threshold == 3
    assert set(life.charges(name)) == {None}
    assert life.collection.ledger.budget.lifetime == 0
    assert life.sent == life.accounted


def test_quantiles_without_a_guarantee_tell_no_suppressed_cell() -> None:
    """AN-427: one stay in each of three bins is a class with k stays and no cell of k; nothing of it is shown."""
    life = Life("open_stays")
    life.bring("open_stays", classes=[1, 1, 1], values=[1000, 400_000, 7_200_000])
    life.on(11)
    assert set(life.of("open_stays")[-1].values) == {Cell.SUPPRESSED}


def test_unique_visitors() -> None:
    """AN-410 to AN-417: repeated sightings are one device, a wrong length is malformed, and a window costs epsilon^2 / 2."""
    life = Life("visitors")
    some = [bytes((2, 0, 0, 0, 0, number)) for number in range(40)]
    life.bring("visitors", identifiers=some)
    life.bring("visitors", identifiers=some[:25])
    life.bring("visitors", identifiers=[bytes(5)] * 3)
    life.bring("visitors", classes=[0, 0])
    life.on(11)
    devices, error, kind = life.of("visitors")[-1].values
    assert 39 <= int(str(devices)) <= 40  # two may share a cell
    assert kind == "estimate"
    assert float(str(error)) > 2
    assert life.charges("visitors")[-1] == Charge(Fraction(1, 8))
    assert life.collection.tally.discarded == {"malformed": 5}
    assert life.sent == life.accounted
    life.bring("visitors", identifiers=some[:2])
    life.on(10)
    assert set(life.of("visitors")[-1].values) == {Cell.SUPPRESSED}


def test_keys_are_overwritten_however_a_window_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """AN-412: closed, without a number, given up after a standstill, and when the process ends."""
    from agent.anonymizer import distinct

    opened: list[distinct.Sightings] = []
    made = distinct.Sightings.__init__

    def note(self: distinct.Sightings, widths: frozenset[int], fill: object) -> None:
        made(self, widths, fill)  # type: ignore[arg-type]  # handed on
        opened.append(self)

    monkeypatch.setattr(distinct.Sightings, "__init__", note)

    def forgotten(sightings: distinct.Sightings) -> bool:
        return not sightings._open and not sightings._cells.any()

    life = Life("visitors")
    one = [bytes((2, 0, 0, 0, 0, 7))]

    def fresh() -> distinct.Sightings:
        life.on(10)
        life.bring("visitors", identifiers=one)
        assert not forgotten(opened[-1])
        return opened[-1]

    closed = fresh()
    life.on(11)
    assert forgotten(closed)
    uncollected = fresh()
    life.on_air = False
    life.on(21)
    assert life.of("visitors")[-1].reason is NotCollected.GATE
    assert forgotten(uncollected)
    life.on_air = True
    skipped = fresh()
    life.tick(1000, life.hardware)
    assert forgotten(skipped)
    life.on(30)
    ended = fresh()
    life.collection.abandon()
    assert forgotten(ended)
    assert all(forgotten(each) for each in opened)
    assert life.sent == life.accounted


def test_a_mean_with_noise_needs_its_samples() -> None:
    """AN-432 to AN-436: 10 samples are the policy's; more are over_rate; fewer than 19/20 are `not_collected:samples`, and free."""
    life = Life("noise")
    life.bring("noise", values=[60] * 15)
    life.on(11)
    pack = life.of("noise")[-1]
    assert [str(value) for value in pack.values] == ["60.00"]
    assert pack.terms.noise_unit == "dB"
    said = stream(life.policy, "noise").privacy
    assert isinstance(said, ScalarPrivacy)
    assert life.charges("noise")[-1] == Charge(said.charge)
    life.bring("noise", values=[60] * 9)
    life.on(10)
    assert life.of("noise")[-1].reason is NotCollected.SAMPLES
    assert life.charges("noise")[-1] == Charge(Fraction(0))
    assert life.collection.tally.discarded == {"over_rate": 5, "samples": 9}
    assert life.sent == life.accounted


def test_percentiles_beside_the_mean() -> None:
    """AN-440: in cells of their own, rising, for one charge; without samples they are not collected like the mean."""
    life = Life("levels")
    life.on(20)  # to the beginning of a window
    life.bring("levels", values=[50] * 20 + [70] * 20)
    life.on(41)
    pack = life.of("levels")[-1]
    assert [field.name for field in pack.terms.fields] == ["mean", "p10", "p50", "p90"]
    assert [str(value) for value in pack.values] == ["60.0", "50.0", "50.0", "71.0"]
    said = stream(life.policy, "levels").privacy
    assert isinstance(said, ScalarPrivacy)
    assert life.charges("levels")[-1] == Charge(said.charge) == Charge(Fraction(2))
    life.on(41)
    assert life.of("levels")[-1].values == (Cell.NOT_COLLECTED,) * 4
    assert life.charges("levels")[-1] == Charge(Fraction(0))


@pytest.mark.parametrize(
    "changed",
    [
        {"rho": Fraction(3, 2)},
        {"percentiles": (), "percentiles_rho": Fraction(0)},
        {"percentiles": (50,), "percentiles_rho": Fraction(1, 2)},
        {"percentiles": (50,), "percentiles_rho": Fraction(3, 2), "step": Fraction(2)},
    ],
)
def test_neither_mean_nor_histogram_has_less_noise_after_a_change(changed: dict[str, Any]) -> None:
    """AN-34, AN-442: the older of two policies may have had more noise in either; the audit finds the same."""
    of = policy("levels")
    (older,) = of.streams
    other = dataclasses.replace(older, privacy=dataclasses.replace(older.privacy, **changed))
    for one, two in ((older, other), (other, older)):
        least = strength.owed(two, one)
        assert least is not None
        drawn = max(least, strength.own(two))
        assert isinstance(one.privacy, ScalarPrivacy)
        assert isinstance(two.privacy, ScalarPrivacy)
        noise = scalar.widened(two.privacy, drawn)
        assert noise.sigma_squared * noise.step**2 >= one.privacy.sigma_squared * one.privacy.step**2
        if one.privacy.percentiles and two.privacy.percentiles:
            assert noise.cell_sigma_squared >= one.privacy.cell_sigma_squared
        assert dues.owed(two, one) == dues.Span(least, least)
        found = strength.charge(two, drawn, 1, 1)
        wanted = dues.dues(of, two, dues.Span(drawn, drawn), 1, 1).charge
        assert found is not None
        assert wanted is not None
        assert wanted.low == wanted.high == found.rho


def test_means_without_a_guarantee() -> None:
    """AN-437, AN-439: Leq of at least three samples in steps of 5 dB; the plain mean of what no person causes."""
    life = Life("leq", "dust")
    life.bring("leq", values=[50, 50, 80])
    life.bring("dust", values=[10, 13])
    life.on(11)
    assert [str(value) for value in life.of("leq")[-1].values] == ["75"]
    assert [str(value) for value in life.of("dust")[-1].values] == ["12"]
    assert life.of("leq")[-1].terms.guarantee.words() == "coarse: not a privacy guarantee"
    assert life.of("dust")[-1].terms.guarantee.words() == "none: not a privacy guarantee"
    assert set(life.charges("leq") + life.charges("dust")) == {None}
    life.bring("leq", values=[50, 50])
    life.on(10)
    assert life.of("leq")[-1].reason is NotCollected.SAMPLES
    assert life.of("dust")[-1].reason is NotCollected.SAMPLES


def test_running_totals() -> None:
    """AN-300, AN-306, AN-310: totals add up what is published; a restart begins them anew; a lost window's counts never enter them."""
    life = Life("passing")
    life.random = os.urandom
    life.restart()
    life.on(20)
    for _ in range(3):
        life.bring("passing", classes=[1] * 400 + [0] * 300)
        life.on(10)
    life.on(1)
    three = life.of("passing")[-3:]
    cells = [dict(pack.cells) for pack in three]
    for now, then in zip(cells[1:], cells, strict=False):
        for name in ("bike", "foot"):
            assert int(str(now[f"{name}/total"])) - int(str(then[f"{name}/total"])) == now[name]
        assert now["total/since"] == then["total/since"]
    said = stream(life.policy, "passing").privacy
    assert isinstance(said, CountPrivacy)
    assert life.charges("passing")[-1] == strength.charge(stream(life.policy, "passing"), said.scale_squared, 4, 1)
    assert life.collection.ledger.budget.lifetime <= said.rho
    life.restart()
    life.on(30)
    again = dict(life.of("passing")[-1].cells)
    assert int(str(again["total/since"])) > int(str(cells[-1]["total/since"]))


def test_a_window_without_numbers_does_not_break_totals() -> None:
    """AN-310: it is stepped with zeros, costs nothing, and totals go on."""
    life = Life("passing")
    life.bring("passing", classes=[1] * 100)
    life.on(10)
    life.on_air = False
    life.bring("passing", classes=[1] * 50)
    life.on(20)
    life.on_air = True
    life.on(20)
    reasons = [pack.reason for pack in life.of("passing")]
    assert NotCollected.GATE in reasons[-4:]
    since = {dict(pack.cells)["total/since"] for pack in life.of("passing")[1:] if pack.reason is None}
    assert len(since) == 1
    for pack, charge in zip(life.of("passing"), life.charges("passing"), strict=True):
        assert (charge == Charge(Fraction(0))) == (pack.reason is not None)


def test_a_window_that_was_not_logged_is_in_no_total() -> None:
    """AN-311: its readings are discarded for `storage`; totals begin anew after it and add up what is published, no more."""
    life = Life("passing")
    life.random = os.urandom
    life.restart()
    life.on(20)
    while life.utc_s % 10 != 5:
        life.on(0.5)
    life.bring("passing", classes=[1] * 500)
    life.on(10)
    before = dict(life.of("passing")[-1].cells)
    assert int(str(before["bike/total"])) > 450
    life.bring("passing", classes=[1] * 700)
    life.fail_to_log(room=True)
    lost = life.utc_s // 10 * 10 - 10
    assert life.collection.tally.discarded == {"storage": 700}
    for _ in range(2):
        life.bring("passing", classes=[1] * 200)
        life.on(10)
    later = [dict(pack.cells) for pack in life.of("passing")[-2:]]
    assert [pack.window_start for pack in life.of("passing")[-2:]] == [lost + 10, lost + 20]
    assert {cells["total/since"] for cells in later} == {lost + 10}
    assert int(str(before["total/since"])) < lost
    assert later[0]["bike/total"] == later[0]["bike"]
    assert later[1]["bike/total"] == int(str(later[0]["bike"])) + int(str(later[1]["bike"]))
    assert life.sent == life.accounted


def test_one_length_whatever_happens() -> None:
    """I6 for all kinds at once: a full window, an empty one, one that was not collected."""
    names = tuple(name for name in TEXTS if name not in ("dust", "leq", "levels"))
    life = Life(*names)
    life.random = os.urandom
    for name in names:
        kind = TEXTS[name][0]
        life.bring(
            name,
            classes=[1] * 50 if kind in ("count", "duration") else None,
            values=[60] * 50 if kind != "count" else None,
            identifiers=[os.urandom(6) for _ in range(50)] if kind == "unique" else None,
        )
    life.on(21)
    life.on_air = False
    life.on(21)
    for name in names:
        lengths = {len(e.payload) for e in life.entries if isinstance(e, Release) and e.stream == name}
        assert len(lengths) == 1, name
        assert {pack.reason is None for pack in life.of(name)} == {True, False}, name
    assert life.sent == life.accounted


def test_what_a_person_costs() -> None:
    """AN-30: presence of every kind with a guarantee; none of the others."""
    terms = terms_of(policy("stays", "visitors", "noise", "cars", "passing"))
    assert {name: (each.m, each.c) for name, each in terms.presence.items()} == {
        "stays": (4, 1),
        "visitors": (2, 1),
        "noise": (5, 5),
        "passing": (4, 1),
    }
    assert terms.presence["noise"].of == {("scalar", "sound_level", "noise", "")}
    assert terms.presence["passing"].of == {("count", "", "passing", "bike"), ("count", "", "passing", "foot")}


@pytest.mark.parametrize(("noisy", "bare"), [("stays", "open_stays"), ("noise", "leq")])
@pytest.mark.parametrize("order", [1, -1])
def test_nothing_bare_beside_a_guarantee(noisy: str, bare: str, order: int) -> None:
    """I7: what has noise in one stream is not told without it in another of the same channel."""
    names = (noisy, bare)[::order]
    assert len(policy(*names).streams) == 2, "the control: each has its channel"
    same = text(*names).replace(f'channel = "{bare}"', f'channel = "{noisy}"')
    with pytest.raises(PolicyError, match=f"expected dp, as {noisy} promises a guarantee for channel {noisy}"):
        parse_policy(same, "policy.toml")


def test_a_threshold_beyond_the_bitmap() -> None:
    """AN-410: the bound is the bitmap's size."""
    assert policy("visitors", visitors=f"k = 5 -> k = {CELLS - 20}").streams
    with pytest.raises(PolicyError, match=f"a threshold of at most {CELLS:,}"):
        policy("visitors", visitors=f"k = 5 -> k = {CELLS + 1}")


def wide(version: int = 1, samples: int = 1, rho: str = "0.000001") -> Policy:
    """A scalar whose noise is wide: two numbers a million apart, at sigma^2 = 5 / rho."""
    more = "low = 0\nhigh = 1000000\nstep = 1000000"
    said = text("noise", version=version).replace(LEVEL, more).replace("m = 5\nc = 5", "m = 10\nc = 1")
    said = said.replace("samples = 10", f"samples = {samples}").replace("rho = 0.125", f"rho = {rho}")
    return parse_policy(said, "policy.toml")


def test_a_policy_of_which_no_window_could_be_written() -> None:
    """AN-71, I8: it is refused when it is offered; logged, it would end the process at its first closing, and after each start."""
    with pytest.raises(PolicyError, match=r"stream noise: expected numbers and noise that fit into a pack.*noise_sd"):
        World(wide())
    encodable(wide(samples=10))
    for name in TEXTS:
        encodable(policy(name))


def test_noise_too_wide_for_a_pack_is_withheld_for_one_period() -> None:
    """AN-34: the older policy's noise over ten samples fits into a pack, over one it does not; the windows say so, without numbers."""
    world = World(wide(samples=10))
    hardware = board("noise")
    for _ in range(40):
        world.tick(0.5, hardware)
    world.offer(wide(version=2, rho="1"))
    for _ in range(120):
        world.tick(0.5, hardware)
        world.deliver(brought(0, world.boot_ns, values=[60]))
    last = world.packs()[-1]
    assert (last.terms.policy_version, last.reason) == (2, NotCollected.BUDGET)
    assert strength.charge(wide(rho="1").streams[0], strength.own(wide(samples=10).streams[0]), 10, 1) is None


def test_gaps_of_every_kind_are_charged_as_their_windows() -> None:
    """AN-32: a restart's lost windows at the rate that they would have had; null without a guarantee."""
    life = Life("stays", "visitors", "cars", "passing")
    life.on(10)
    before = {
        name: max((c for c in life.charges(name) if c is not None), key=lambda c: c.rho, default=None)
        for name in life.names
    }
    life.boot_ns += 400 * 10**9
    life.restart()
    life.on(5)
    gaps = {entry.stream: entry for entry in life.entries if isinstance(entry, Gap)}
    assert set(gaps) == set(life.names)
    for name, gap in gaps.items():
        assert gap.charge == before[name]


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("stays", "rho = 0.125 -> rho = 0.5"),
        ("visitors", "epsilon = 0.5 -> epsilon = 1"),
        ("noise", "rho = 0.125 -> rho = 0.5"),
        ("passing", "rho = 0.125 -> rho = 0.25"),
    ],
)
def test_for_one_period_the_older_noise_holds(name: str, changed: str) -> None:
    """AN-34 for every kind with noise: after a laxer policy the windows of one period draw what was drawn before, at its charge."""
    life = Life(name)
    life.on(10)
    before, charge = life.of(name)[-1].terms.noise_sd, life.charges(name)[-1]
    life.offer(policy(name, version=2, **{name: changed}))
    life.on(40)
    assert life.of(name)[-1].terms.policy_version == 2
    assert (life.of(name)[-1].terms.noise_sd, life.charges(name)[-1]) == (before, charge)
    life.on(610)
    assert life.of(name)[-1].terms.noise_sd < before


def test_a_charge_that_bounds_a_counter_can_be_logged() -> None:
    """AN-34, I4: what follows running totals owes their bound, a fraction of more than 64 bits; the entry has the next one above."""
    life = Life("passing")
    life.offer(policy("passing", version=2, passing='totals = "period" -> totals = "none"'))
    life.on(40)
    charge = [charge for charge in life.charges("passing") if charge is not None and charge.rho][-1]
    exact = 1 / (2 * life.collection.ledger.standing(life.collection.ledger.adoption.taken[-1].policy.streams[0], life.utc_s).strength)  # fmt: skip
    assert exact.denominator >> 64
    assert exact <= charge.rho < exact + Fraction(1, 1 << 55)
    for entry in life.entries:
        assert decode_entry(entry.encode()) == entry


def test_for_one_period_nothing_without_a_guarantee_follows_one() -> None:
    """I7: where counts had noise, bare ones wait until the period is over."""
    life = Life("stays")
    TEXTS["stays"], kept = TEXTS["open_stays"], TEXTS["stays"]
    try:
        bare = policy("stays", version=2)
    finally:
        TEXTS["stays"] = kept
    life.offer(bare)
    life.on(40)
    assert life.of("stays")[-1].terms.policy_version == 2
    assert life.of("stays")[-1].reason is NotCollected.BUDGET
    life.on(610)
    assert life.of("stays")[-1].reason is None


def test_another_kind_under_the_same_name() -> None:
    """AN-34, AN-31: its own noise, since the older hides another thing; for one period a person is within both, so m adds up."""
    count = stream(policy("stays"), "stays")
    unique = dataclasses.replace(stream(policy("visitors"), "visitors"), name="stays", channel="stays")
    assert strength.owed(unique, count) == 0
    life = Life("stays")
    ledger = life.collection.ledger
    merged = dataclasses.replace(life.policy, streams=(unique,))
    ledger.budget.change_terms(life.utc_s, terms_of(merged))
    both = ledger.budget.presence("stays", life.utc_s + 10)
    after = ledger.budget.presence("stays", life.utc_s + 700)
    assert both is not None
    assert after is not None
    assert (both.m, both.c, after.m, after.c) == (6, 1, 2, 1)


@pytest.mark.parametrize(
    ("old", "new", "adds"),
    [
        ({}, {"kind": "duration", "bins_s": (300,)}, True),
        ({}, {"channel": "other"}, True),
        ({}, {"classes": ("car",)}, True),
        ({}, {"classes": ("bike",)}, False),
        ({"classes": ("bike",)}, {}, False),
        ({}, {}, False),
    ],
)
def test_a_name_that_stands_for_something_else(old: dict[str, Any], new: dict[str, Any], adds: bool) -> None:
    """AN-31, I7: whoever is within m of what was measured before and within m of what is measured after costs no more than the cap."""
    counted = policy("passing", passing='totals = "period" -> totals = "none"')
    first, then = (
        dataclasses.replace(
            counted, cap_rho=Fraction(1, 8), streams=(dataclasses.replace(counted.streams[0], **changed),)
        )
        for changed in (old, new)
    )
    budget = Budget()
    budget.change_terms(0, terms_of(first))
    rho = strength.charge(first.streams[0], strength.own(first.streams[0]), 4, 1)
    assert rho is not None
    for start in range(600, 640, 10):
        assert budget.affordable("passing", start, rho.rho)
        budget.charge("passing", start, 10, rho.rho)
    before = worst_case({rho.rho: 4}, Presence(4, 1))
    assert before == Fraction(1, 8)
    budget.change_terms(640, terms_of(then))
    assert budget.affordable("passing", 640, rho.rho) is not adds
    merged = budget.presence("passing", 640)
    assert merged is not None
    assert (merged.m, merged.c) == ((8, 1) if adds else (4, 1))


def test_another_quantity_under_the_same_name() -> None:
    """AN-31: samples of another quantity are other samples, and a person may be within both."""
    life = Life("noise")
    budget = life.collection.ledger.budget
    other = dataclasses.replace(life.policy.streams[0], quantity="temperature")
    budget.change_terms(life.utc_s, terms_of(dataclasses.replace(life.policy, streams=(other,))))
    both = budget.presence("noise", life.utc_s + 10)
    assert both is not None
    assert (both.m, both.c) == (10, 5)


def test_addresses_that_were_announced_hold_for_one_period() -> None:
    """AN-31, I7: whoever shows ten addresses, as the older policy allowed, is charged for ten in the first period of one that allows one."""
    old = policy("visitors", visitors="addresses = 1 -> addresses = 10")
    new = policy("visitors", version=2, visitors="epsilon = 0.5\nm = 2 -> epsilon = 0.05\nm = 60")
    rho = Fraction(1, 2 * 20**2)
    in_two_windows = 2 * 10**2 * rho
    budget = Budget()
    for at, each in ((0, old), (1000, new)):
        budget.change_terms(at, terms_of(each))
        presence, privacy = budget.presence("visitors", at), each.streams[0].privacy
        assert presence is not None
        assert isinstance(privacy, UniquePrivacy)
        assert strength.charge(each.streams[0], Fraction(20), 1, 1) == Charge(rho)
        assert worst_case({rho: 60}, presence) >= in_two_windows
        assert worst_case({privacy.charge: 60}, terms_of(each).presence["visitors"]) == privacy.rho
    assert worst_case({rho: 60}, Presence(60, 1)) < in_two_windows, "the control: the newer policy's addresses alone"


def test_less_noise_than_the_policy_says_is_refused() -> None:
    """AN-42."""
    for name in ("stays", "visitors", "noise", "passing"):
        of = policy(name)
        terms = terms_for(of, of.streams[0], bytes(32))
        with pytest.raises(Exception, match="less noise"):
            dataclasses.replace(terms, strength=terms.strength * Fraction(99, 100))


def test_packs_are_read_back() -> None:
    """Every kind's pack is one that the contract accepts."""
    for name in TEXTS:
        of = policy(name)
        terms = terms_for(of, of.streams[0], bytes(32))
        assert 300 < aggregate.pack_bytes(terms.pack) < 2000
        assert isinstance(of.streams[0].privacy, UniquePrivacy) == (terms.pack.kind == "unique")
