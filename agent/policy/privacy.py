"""The privacy table of a stream: which numbers each mode of each kind must state. Pure. None has a default."""

from fractions import Fraction

from agent.policy.modes import (
    CoarsePrivacy,
    CountPrivacy,
    NoPrivacy,
    Privacy,
    ScalarPrivacy,
    Threshold,
    ThresholdOnly,
    UniquePrivacy,
)
from agent.policy.values import MAX_DENOMINATOR, number
from agent.policy.vocabulary import KIND_MODES
from agent.policy.words import exact_words
from agent.wire import toml

_SMALLEST = Fraction(1, MAX_DENOMINATOR)
_LARGEST = Fraction(10)
_FAR = Fraction(1_000_000)

MAX_PERCENTILES = 5
"""All of a stream come from one histogram; more would tell no more than it does, and a resident reads them in one sentence."""

TOTALS = ("none", "period")
"""What `totals` says: no running totals, or totals that begin with each period."""


def privacy_of(table: toml.Table, kind: str, windows: int) -> Privacy:
    """The privacy of a stream of `kind` with `windows` in a period; raises the table's error for a mode that the kind cannot have."""
    mode = table.choice("mode", KIND_MODES[kind])
    privacy: Privacy
    match kind, mode:
        case "scalar", "dp":
            privacy = _scalar(table)
        case "scalar", "coarse":
            privacy = _coarse(table)
        case "scalar", _:
            privacy = NoPrivacy(*_range(table))
        case "unique", _:
            privacy = _unique(table)
        case "count", "dp":
            privacy = _count(table, windows if table.choice("totals", TOTALS) == "period" else 0)
        case _, "dp":
            privacy = _count(table, 0, least_k=1)
        case _:
            privacy = ThresholdOnly(k=_k(table), max_count=_max_count(table))
    table.done()
    return privacy


def _count(table: toml.Table, totals: int, *, least_k: int = 0) -> CountPrivacy:
    return CountPrivacy(
        rho=number(table, "rho", low=_SMALLEST, high=_LARGEST),
        m=table.integer("m", low=1, high=100_000),
        c=table.integer("c", low=1, high=100_000),
        threshold=_threshold(table, least_k=least_k),
        max_count=_max_count(table),
        totals=totals,
    )


def _unique(table: toml.Table) -> UniquePrivacy:
    return UniquePrivacy(
        epsilon=number(table, "epsilon", low=_SMALLEST, high=_LARGEST),
        m=table.integer("m", low=1, high=100_000),
        addresses=table.integer("addresses", low=1, high=1000),
        threshold=_threshold(table, least_k=1),
    )


def _scalar(table: toml.Table) -> ScalarPrivacy:
    rho = number(table, "rho", low=_SMALLEST, high=_LARGEST)
    m = table.integer("m", low=1, high=100_000)
    c = table.integer("c", low=1, high=100_000)
    low, high, step = _range(table)
    samples = table.integer("samples", low=1, high=86_400)
    if not table.has("percentiles"):
        return ScalarPrivacy(rho, m, c, low, high, step, samples)
    part = number(table, "percentiles_rho", low=_SMALLEST, high=_LARGEST)
    return ScalarPrivacy(rho, m, c, low, high, step, samples, _percentiles(table), part)


def _percentiles(table: toml.Table) -> tuple[int, ...]:
    said = f"1 to {MAX_PERCENTILES} whole numbers from 1 to 99, rising, such as [10, 50, 90]"
    found = table.get("percentiles", list, said)
    whole = all(type(item) is int and 1 <= item <= 99 for item in found)
    if not whole or not 1 <= len(found) <= MAX_PERCENTILES or sorted(set(found)) != found:
        table.refuse(
            "percentiles",
            expected=said,
            got=toml.describe(found),
            remedy="10 is what a tenth of the samples do not exceed: the level that acousticians call L90",
        )
    return tuple(found)


def _coarse(table: toml.Table) -> CoarsePrivacy:
    aggregation = table.choice("aggregation", ("mean", "median"))
    min_samples = table.integer("min_samples", low=2, high=86_400)
    return CoarsePrivacy(aggregation, min_samples, *_range(table))


def _range(table: toml.Table) -> tuple[Fraction, Fraction, Fraction]:
    return (
        number(table, "low", low=-_FAR, high=_FAR),
        number(table, "high", low=-_FAR, high=_FAR),
        number(table, "step", low=_SMALLEST, high=_FAR),
    )


def _threshold(table: toml.Table, *, least_k: int) -> Threshold:
    k, z = _k(table, least_k), number(table, "z", low=Fraction(0), high=Fraction(10))
    if k == 0 and z:
        table.refuse("z", expected="0 where nothing is hidden (k = 0)", got=exact_words(z))
    return Threshold(k, z)


def _k(table: toml.Table, least: int = 1) -> int:
    return table.integer("k", low=least, high=1_000_000)


def _max_count(table: toml.Table) -> int:
    return table.integer("max_count", low=1, high=1_000_000_000)
