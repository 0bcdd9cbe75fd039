"""What a Release says of its window, and what a Gap leaves out, held against what the window owes: OP-26 and OP-27 of SPEC.md. Pure."""

import dataclasses
from bisect import bisect_right
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import repeat
from math import log

from agent.contracts.aggregate import Aggregate, Cell, Field, Value
from agent.contracts.cells import COUNT, DEVICES, PERCENTILE, SINCE, TOTAL
from agent.contracts.governed import PackTerms
from agent.contracts.log import Charge, Gap, Release
from agent.operations.account import Account
from agent.operations.dues import NONE, Dues, Span, dues, on_grid
from agent.operations.findings import Findings, Kind
from agent.operations.layout import Pack
from agent.operations.policies import Policies
from agent.policy.cells import bin_names
from agent.policy.model import Stream
from agent.policy.modes import BITMAP_CELLS, CountPrivacy, ThresholdOnly
from agent.wire.senml import media_type

MAX_BUDGET_FINDINGS = 20
"""A log that overspends so often is not looked at more closely: exact spans are the costly part."""

ROUNDING = Fraction(1, 1 << 56)
"""What a charge may be above what is owed: an entry's integers have 64 bits."""

MOST_DEVICES = int(BITMAP_CELLS * log(64) + 0.5)
"""The most that a bitmap of so many cells is taken to say (AN-416)."""

TAILS = 34
"""No draw is so many standard deviations from its centre (PROOF.md, Lemma 7: 2 x 16.66)."""


@dataclass(slots=True)
class _Era:
    """A stream under one policy and one noise. `agreed` and `charge` were found right; `lengths` are those of its first pack of each media type,
    `media_type` is that of its last; `grid` numbers that were."""

    owes: Dues
    lengths: dict[str, int] = dataclasses.field(default_factory=dict)
    media_type: str | None = None
    agreed: PackTerms | None = None
    charge: Charge | None = None
    grid: set[tuple[str, str]] = dataclasses.field(default_factory=set)

    def written(self, stream: Stream, name: str, value: int | Decimal) -> bool:
        """Is a scalar's number on its grid? Those that are, are remembered."""
        known = (name, str(value))
        if known in self.grid:
            return True
        if on_grid(stream, name, value):
            self.grid.add(known)
            return True
        return False


@dataclass(frozen=True, slots=True)
class _Sums:
    """Running totals as a window left them."""

    end: int
    since: int
    totals: tuple[Value, ...]


class Numbers:
    """Judges windows in the order of the log. `policies` and `account` are folded by the caller."""

    def __init__(self, policies: Policies, account: Account, findings: Findings) -> None:
        self._policies = policies
        self._account = account
        self._findings = findings
        self._where = ""
        self._changes: dict[tuple[int, str], list[int]] = {}
        self._eras: dict[tuple[int, str, int], _Era] = {}
        self._sums: dict[str, _Sums] = {}
        self._lost_until: dict[str, int] = {}

    def release(self, entry: Release, said: Aggregate, pack: Pack, number: int, where: str) -> None:
        """A window under rule `number`, whose pack's terms are those of `said`; `where` names the entry."""
        self._where = where
        rule = self._policies.rules[number]
        stream = rule.streams[entry.stream]
        era = self._era(number, stream, entry.window_start)
        self._encoded(entry, pack, era)
        if said.terms is not era.agreed and self._agree(entry, said.terms, era):
            era.agreed = said.terms
        what = f"{entry.stream} at {entry.window_start}"
        if pack.reason is not None:
            self._charged(what, entry.charge, None if era.owes.charge is None else NONE)
            return
        known = entry.charge is not None and entry.charge == era.charge
        if not known and self._charged(what, entry.charge, era.owes.charge):
            era.charge = entry.charge
        self._values(what, stream, said.terms, pack, era)
        if pack.coverage_percent < 50:
            self._find(Kind.COVERAGE, f"coverage {pack.coverage_percent} %")
        if self._policies.stopped(number):
            self._find(Kind.AFTER_STOP, f"{what}, under version {rule.policy.version}")
        if entry.window_start >= rule.policy.expires:
            self._find(Kind.AFTER_EXPIRY, f"{what}, expired at {rule.policy.expires}")
        if era.owes.withheld:
            self._find(Kind.WITHHELD, what)
        if isinstance(stream.privacy, CountPrivacy) and stream.privacy.totals:
            self._totals(what, stream, pack, rule.effective, stream.privacy.totals, said.terms.threshold)
        self._spend(entry.stream, entry.window_start, entry.charge, era.owes)
        if era.owes.charge is not None and self._findings.counts[Kind.BUDGET_EXCEEDED] < MAX_BUDGET_FINDINGS:
            spent = self._account.exceeded(entry.window_start)
            if spent is not None:
                cap = self._account.rules(entry.window_start).cap
                self._find(Kind.BUDGET_EXCEEDED, f"{what}: {float(spent):.6g} of {float(cap):.6g} zCDP")
            if self._account.intricate and not self._findings.counts[Kind.BUDGET_UNPROVEN]:
                self._find(Kind.BUDGET_UNPROVEN, f"{what}, and all after it")

    def gap(self, entry: Gap, number: int, where: str, *, repeated: bool = False) -> None:
        """Windows under rule `number` that nobody will see: charged as if released (I4). `repeated`: of the log before a loss, at the charges that
        they had there, which are less where a window had no numbers, and in one entry also over a change of policy."""
        self._where = where
        stream = self._policies.rules[number].streams[entry.stream]
        last = entry.first_start + (entry.count - 1) * entry.window_s
        if self._policies.in_force(last) != number and not repeated:
            self._find(Kind.POLICY_NOT_IN_FORCE, f"a Gap from {entry.first_start} to {last} crosses a change of policy")
        owes = self._era(number, stream, entry.first_start).owes
        what = f"{entry.stream} at {entry.first_start}"
        if repeated and owes.charge is not None and entry.charge is not None and entry.charge.rho < owes.charge.low:
            self._account.charge(
                entry.stream, entry.first_start, entry.charge.rho, window_s=entry.window_s, count=entry.count
            )
            self._lost_until[entry.stream] = last + entry.window_s
            return
        self._charged(what, entry.charge, owes.charge)
        for at in self._policies.changes(number, entry.first_start, last):
            later = self._era(number, stream, at).owes.charge
            if later != owes.charge:
                self._charged(f"{what}, from {at} on", entry.charge, later)
        self._lost_until[entry.stream] = last + entry.window_s
        self._spend(entry.stream, entry.first_start, entry.charge, owes, entry.window_s, entry.count)

    def owed(self, number: int, stream: Stream, start: int) -> Span | None:
        """What a window with numbers is charged under rule `number`; None without a guarantee."""
        return self._era(number, stream, start).owes.charge

    def _era(self, number: int, stream: Stream, start: int) -> _Era:
        changes = self._changes.get((number, stream.name))
        if changes is None:
            changes = self._changes[number, stream.name] = sorted(self._policies.changes(number, 0, 1 << 62))
        key = (number, stream.name, bisect_right(changes, start))
        if key not in self._eras:
            drawn = self._policies.strength(number, stream, start)
            bounds = self._account.presence_of(stream.name, start)
            self._eras[key] = _Era(dues(self._policies.rules[number].policy, stream, drawn, bounds.m, bounds.c))
        return self._eras[key]

    def _encoded(self, entry: Release, pack: Pack, era: _Era) -> None:
        """Packs change between JSON and CBOR only when the unit starts anew, which takes something from a window, or all; else it could say something."""
        found = media_type(entry.payload)
        era.lengths.setdefault(found, len(entry.payload))
        broken = pack.coverage_percent < 100 or self._lost_until.get(entry.stream) == entry.window_start
        if era.media_type not in (None, found) and not broken:
            self._find(
                Kind.WRONG_SHAPE,
                f"{entry.stream} at {entry.window_start}: {found} after {era.media_type}, without a break",
            )
        era.media_type = found

    def _agree(self, entry: Release, terms: PackTerms, era: _Era) -> bool:
        """Noise, threshold, guarantee, cells and length."""
        owes = era.owes
        names = tuple(field.name for field in terms.fields)
        totals = terms.total_noise_sd
        wrong = [
            (kind, f"{found}, not {wanted}")
            for kind, right, found, wanted in (
                (Kind.WRONG_NOISE, owes.noise_sd.holds(terms.noise_sd), terms.noise_sd, float(owes.noise_sd.low)),
                (
                    Kind.WRONG_NOISE,
                    owes.total_noise_sd is None or totals is None or owes.total_noise_sd.holds(totals),
                    totals,
                    owes.total_noise_sd and float(owes.total_noise_sd.low),
                ),
                (Kind.WRONG_THRESHOLD, owes.threshold.holds(terms.threshold), terms.threshold, owes.threshold.low),
                (
                    Kind.WRONG_GUARANTEE,
                    owes.guarantee == terms.guarantee,
                    terms.guarantee.words(),
                    owes.guarantee.words(),
                ),
                (Kind.WRONG_SHAPE, (owes.names, owes.unit) == (names, terms.noise_unit), names, owes.names),
                (
                    Kind.WRONG_SHAPE,
                    era.lengths[media_type(entry.payload)] == len(entry.payload),
                    f"{len(entry.payload)} bytes",
                    f"{era.lengths[media_type(entry.payload)]}",
                ),
            )
            if not right
        ]
        for kind, words in wrong:
            self._find(kind, f"{entry.stream} at {entry.window_start}: {words}"[:200])
        return not wrong

    def _charged(self, what: str, charge: Charge | None, owed: Span | None) -> bool:
        """Is it what is owed?"""
        found = sum(self._findings.counts.values())
        if owed is None:
            if charge is not None:
                self._find(Kind.WRONG_CHARGE, f"{what}: {charge.rho} in a mode without a guarantee")
        elif charge is None:
            self._find(Kind.NULL_CHARGE, what)
        elif not owed.low <= charge.rho <= owed.high + ROUNDING:
            kind = Kind.CHARGE_TOO_SMALL if charge.rho < owed.low else Kind.WRONG_CHARGE
            wanted = owed.low if owed.low == owed.high else float(owed.low)
            self._find(kind, f"{what}: {charge.rho}, not {wanted}"[:200])
        return found == sum(self._findings.counts.values())

    def _spend(
        self, name: str, start: int, charge: Charge | None, owes: Dues, window_s: int = 1, count: int = 1
    ) -> None:
        """What was charged, or what should have been."""
        if owes.charge is None:
            return
        rho = owes.charge.low if charge is None or charge.rho < owes.charge.low else charge.rho
        self._account.charge(name, start, rho, window_s=window_s, count=count)

    def _values(self, what: str, stream: Stream, terms: PackTerms, pack: Pack, era: _Era) -> None:
        """Numbers that can be: from the threshold up, and not beyond what such a stream can say."""
        owes = era.owes
        if terms is not era.agreed and (tuple(f.name for f in terms.fields), terms.noise_unit) != (
            owes.names,
            owes.unit,
        ):
            return  # found as another shape
        numbers = [
            (field, value)
            for field, value in zip(terms.fields, pack.values, strict=True)
            if not isinstance(value, Cell)
        ]
        least = max(terms.threshold, int(owes.threshold.low))
        counted = [value for field, value in numbers if field.unit == COUNT and field.name != DEVICES[1]]
        if least and any(isinstance(value, int) and value < least for value in counted):
            self._find(Kind.BELOW_THRESHOLD, what)
        match stream.kind:
            case "scalar":
                low, high = stream.privacy.low, stream.privacy.high  # type: ignore[union-attr]  # every scalar has them
                possible = all(
                    isinstance(value, str) or (low <= value <= high and era.written(stream, field.name, value))
                    for field, value in numbers
                )
                told = [
                    value for field, value in numbers if PERCENTILE.fullmatch(field.name) and not isinstance(value, str)
                ]
                possible = possible and told == sorted(told)
            case "unique":
                possible = not numbers or _devices(pack.values, terms)
            case _:
                possible = _counts(stream, terms, numbers)
        if not possible:
            self._find(Kind.IMPOSSIBLE_NUMBER, what)

    def _totals(self, what: str, stream: Stream, pack: Pack, effective: int, steps: int, least: int) -> None:
        """AN-300, AN-306: a total is the sum of the numbers since `since`, which is in this period, policy and run."""
        classes = len(stream.classes)
        if len(pack.values) != 2 * classes + 1:
            return  # found as another shape
        start, since = pack.window_start, pack.values[-1]
        ones, sums = pack.values[:classes], pack.values[classes:-1]
        period_s = steps * stream.window_s
        first = max(start // period_s * period_s, effective, self._lost_until.get(stream.name, 0))
        before = self._sums.get(stream.name)
        right = isinstance(since, int) and first <= since <= start and since % stream.window_s == 0
        if since == start:
            right = right and sums == ones
        elif before is not None and before.end == start:
            right = right and before.since == since and all(map(_follows, before.totals, ones, sums, repeat(least)))
        if not right:
            self._find(Kind.WRONG_TOTAL, what)
        if isinstance(since, int):
            self._sums[stream.name] = _Sums(start + stream.window_s, since, sums)

    def _find(self, kind: Kind, words: str) -> None:
        self._findings.add(kind, self._where, words)


def _follows(before: Value, one: Value, total: Value, least: int) -> bool:
    """Is the total the one before and this window's number, as far as they are shown? A number under the threshold is hidden, not unknown."""
    if not isinstance(before, int) or not isinstance(total, int):
        return True
    return total == before + one if isinstance(one, int) else total < before + least


def _devices(values: tuple[Value, ...], terms: PackTerms) -> bool:
    devices, deviation, word = values
    if isinstance(devices, str) or isinstance(deviation, str):
        return False
    return devices <= MOST_DEVICES and deviation >= terms.noise_sd and word in _word_of(devices)


def _word_of(devices: int | Decimal) -> tuple[str, ...]:
    return ("estimate", "at_least") if devices == MOST_DEVICES else ("estimate",)


def _counts(stream: Stream, terms: PackTerms, numbers: list[tuple[Field, Value]]) -> bool:
    privacy = stream.privacy
    assert isinstance(privacy, CountPrivacy | ThresholdOnly)
    most = privacy.max_count + int(TAILS * terms.noise_sd)
    steps = privacy.totals if isinstance(privacy, CountPrivacy) else 0
    bins = bin_names(stream)
    quantiles: dict[str, int] = {}
    for field, value in numbers:
        if isinstance(value, str):
            if value not in bins or bins.index(value) < quantiles.get(name := field.name.partition("/")[0], 0):
                return False
            quantiles[name] = bins.index(value)
        elif isinstance(value, int) and field.name != SINCE:
            windows = steps if field.name.endswith(f"/{TOTAL}") else 1
            if abs(value) > most * windows:
                return False
    return True
