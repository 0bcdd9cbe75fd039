"""What a policy's noise does to the numbers and what it costs a person, in figures and in words that a data steward can read. Pure.

Every figure follows from the policy; where a log is given, what was spent so far follows from its entries alone (DESIGN.md I4).
"""

import textwrap
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any, assert_never

from agent.anonymizer.ledger import Ledger
from agent.anonymizer.noise import MAX_SIGMA_SQUARED, DiscreteGaussian, DiscreteLaplace
from agent.disclosure.presence import MONTH_S, presence
from agent.policy.epsilon import DELTA, epsilon
from agent.policy.guarantee import NO_GUARANTEE, measured
from agent.policy.model import (
    CoarsePrivacy,
    CountPrivacy,
    NoPrivacy,
    Policy,
    ScalarPrivacy,
    Stream,
    ThresholdOnly,
    UniquePrivacy,
    ceil_sqrt,
)
from agent.policy.vocabulary import QUANTITIES
from agent.policy.words import day_words, exact_words, time_words

TAIL = Fraction(1, 20)
"""Beyond the interval that is shown lie at most so many of all numbers."""

_REACH = Fraction(196, 100)
"""Standard deviations that hold 95 % of a normal law, rounded up."""


@dataclass(frozen=True, slots=True)
class Cost:
    """zCDP rho, exact, and its epsilon at DELTA, rounded up."""

    rho: Fraction
    epsilon: Fraction

    @classmethod
    def of(cls, rho: Fraction) -> "Cost":
        """The cost that is `rho`."""
        return cls(rho, epsilon(rho))


@dataclass(frozen=True, slots=True)
class Noise:
    """`deviation` (rounded up to thousandths) and the half width of the 95 % interval of a number, in `unit`; `shown_from` its threshold."""

    of: str
    unit: str
    deviation: Fraction
    within: Fraction
    shown_from: int | None


@dataclass(frozen=True, slots=True)
class StreamFigures:
    """One stream: its noises (none for a mode without a guarantee), what a person-period costs and what 30 days do."""

    name: str
    kind: str
    mode: str
    window_s: int
    says: str
    noises: tuple[Noise, ...]
    presence: str
    period: Cost | None
    month: Cost | None


@dataclass(frozen=True, slots=True)
class Spent:
    """By the log: windows released and lost, the ends of the time they cover, and what one who was there all the time was charged."""

    released: int
    lost: int
    begins_at: int
    ends_at: int
    lifetime: Cost
    newest_period: Cost


@dataclass(frozen=True, slots=True)
class Report:
    """The whole: per stream, and what all streams with noise together may cost in one period and in `periods` of them, 30 days.

    `unprotected` are the streams that people cause and that carry no noise: whatever is said of the others does not hold for them.
    """

    unit: str
    version: int
    period_s: int
    periods: int
    cap: Cost
    period: Cost
    month: Cost
    right_in_100: int
    right_in_100_month: int
    unprotected: tuple[str, ...]
    streams: tuple[StreamFigures, ...]
    spent: Spent | None


def report(policy: Policy, spent: Spent | None = None) -> Report:
    """The figures of a policy."""
    periods = -(-MONTH_S // policy.period_s)
    told = presence(policy)
    unit = policy.unit
    return Report(
        unit=f"{unit.city}/{unit.site}/{unit.name}",
        version=policy.version,
        period_s=policy.period_s,
        periods=periods,
        cap=Cost.of(policy.cap_rho),
        period=Cost.of(policy.spent_rho),
        month=Cost.of(policy.spent_rho * periods),
        right_in_100=told.period,
        right_in_100_month=told.month,
        unprotected=told.open,
        streams=tuple(_stream(policy, stream, periods) for stream in policy.streams),
        spent=spent,
    )


def _stream(policy: Policy, stream: Stream, periods: int) -> StreamFigures:
    privacy = stream.privacy
    period = time_words(policy.period_s)
    noises: tuple[Noise, ...] = ()
    rho = Fraction(0)
    match privacy:
        case CountPrivacy():
            rho = privacy.rho
            what = "each class and length" if stream.kind == "duration" else "each class"
            noises = (_gaussian(f"the number of {what}", privacy.sigma_squared, privacy.tau),)
            if privacy.totals:
                noises += (_gaussian("each running total", privacy.total_sigma_squared, None),)
            presence = f"at most {_times(privacy.m, 'reading')} in {period}, {privacy.c} in a window"
        case UniquePrivacy():
            rho = privacy.rho
            within = DiscreteLaplace(privacy.address_epsilon).half_width(TAIL)
            noises = (Noise("the number", "devices", _root(privacy.sigma_squared), Fraction(within), privacy.tau),)
            presence = (
                f"in at most {_times(privacy.m, 'window')} in {period}, with at most "
                f"{_times(privacy.addresses, 'address', 'addresses')} in each"
            )
        case ScalarPrivacy():
            rho = privacy.rho
            unit = QUANTITIES[stream.quantity].unit
            squared = privacy.mean_sigma_squared
            noises = (Noise("the mean", unit, _root(squared), _root(_REACH**2 * squared), None),)
            presence = f"in at most {_times(privacy.m, 'sample')} in {period}, {privacy.c} in a window"
        case CoarsePrivacy() | ThresholdOnly() | NoPrivacy():
            presence = ""
        case _:
            assert_never(privacy)
    return StreamFigures(
        name=stream.name,
        kind=stream.kind,
        mode=privacy.mode,
        window_s=stream.window_s,
        says=measured(stream).removeprefix(f"{stream.name}: "),
        noises=noises,
        presence=presence,
        period=Cost.of(rho) if noises else None,
        month=Cost.of(rho * periods) if noises else None,
    )


def _gaussian(of: str, sigma_squared: Fraction, shown_from: int | None) -> Noise:
    """Noise of a whole number; the interval is exact where the law's table is small."""
    if 1 <= sigma_squared <= MAX_SIGMA_SQUARED:
        within = DiscreteGaussian(sigma_squared).half_width(TAIL)
    else:
        within = ceil_sqrt(_REACH**2 * sigma_squared)
    return Noise(of, "", _root(sigma_squared), Fraction(within), shown_from)


def _root(squared: Fraction) -> Fraction:
    return Fraction(ceil_sqrt(squared * 1_000_000), 1000)


def _times(count: int, one: str, more: str = "") -> str:
    return f"{count} {one}" if count == 1 else f"{count} {more or one + 's'}"


def spent(ledger: Ledger, begins_at: int, lost: int) -> Spent:
    """What a ledger says so far; `lost` windows of Gaps, the first window from `begins_at` on."""
    ends_at = ledger.last_logged_end
    newest = ledger.budget.spent(ends_at) if ledger.adoption.taken else Fraction(0)
    return Spent(
        released=ledger.releases,
        lost=lost,
        begins_at=begins_at,
        ends_at=ends_at,
        lifetime=Cost.of(ledger.budget.lifetime),
        newest_period=Cost.of(newest),
    )


def text(found: Report, name: str, log: str = "") -> str:
    """The report in words; `name` is what the policy's file is called, `log` the log's folder."""
    return "\n".join(_lines(found, name, log)) + "\n"


def _lines(found: Report, name: str, log: str) -> Iterator[str]:
    period = time_words(found.period_s)
    month = time_words(found.period_s * found.periods)
    yield f"{name}: {found.unit}, version {found.version}"
    yield ""
    yield "One person, over all streams with noise together"
    if found.period.rho:
        yield from _row(f"in {period}", f"{_cost(found.period)}; the policy's cap is rho {exact_words(found.cap.rho)}")
        yield from _row(f"in {month}", f"{_cost(found.month)}, for one who is there every time")
        yield from _row(
            "which means",
            f"whoever guesses from their numbers whether a person was there is right at most {found.right_in_100} times in 100 "
            f"for {period}, {found.right_in_100_month} for {month}; 50 is guessing",
        )
    else:
        yield from _row(f"in {period}", "no stream has noise: nothing is promised about any person")
    if found.unprotected:
        yield from _row("not protected", f"{', '.join(found.unprotected)}: people cause them and they carry no noise")
    for stream in found.streams:
        yield ""
        yield f"{stream.name}: {stream.kind}, {stream.says}; every {time_words(stream.window_s)}"
        for noise in stream.noises:
            yield from _row("noise", _noise(noise))
            if noise.shown_from is not None:
                yield from _row("shown", f"from {noise.shown_from}; under it the word `suppressed` stands instead")
        if stream.period is None or stream.month is None:
            yield from _row("noise", f"none: {_bare(stream)}")
            continue
        yield from _row("one person", f"{stream.presence}: {_cost(stream.period)}")
        yield from _row(f"in {month}", _cost(stream.month))
    yield ""
    if found.spent is not None:
        yield from _spent(found.spent, period, log)
        yield ""
    yield from textwrap.wrap(
        f"epsilon is what the same protection is called in (epsilon, delta) differential privacy at delta = 1/{DELTA.denominator:,}, rounded up; "
        "rho (zCDP) is what the unit counts in. Smaller is safer. Twice the rho is 0.7 times the deviation.",
        width=100,
    )


def _row(head: str, words: str) -> Iterator[str]:
    """One fact, its words wrapped beside its head."""
    first, *more = textwrap.wrap(words, width=96)
    yield f"    {head:<16} {first}"
    yield from (f"    {'':<16} {line}" for line in more)


def _noise(noise: Noise) -> str:
    unit = f" {noise.unit}" if noise.unit else ""
    return (
        f"standard deviation {exact_words(noise.deviation)}{unit}; at least 95 of 100 times {noise.of} is within "
        f"{exact_words(noise.within)}{unit} of the true one"
    )


def _bare(stream: StreamFigures) -> str:
    if stream.mode == "none":
        return "as measured, for what no person causes"
    return f"{stream.mode}, {NO_GUARANTEE}"


def _cost(cost: Cost) -> str:
    return f"rho {exact_words(cost.rho)}, epsilon {exact_words(cost.epsilon)}"


def _spent(spent: Spent, period: str, log: str) -> Iterator[str]:
    yield f"So far, by the log {log}"
    if not spent.ends_at:
        yield from _row("windows", "none yet")
        return
    yield from _row(
        "windows",
        f"{spent.released} released and {spent.lost} lost (charged as if released), from {day_words(spent.begins_at)} to {day_words(spent.ends_at)}",
    )
    yield from _row(f"newest {period}", _cost(spent.newest_period))
    yield from _row("lifetime", f"{_cost(spent.lifetime)}, for one who was there in every {period} so far")


def as_json(found: Report) -> dict[str, Any]:
    """The same figures; exact numbers as text, so that nothing is rounded."""
    exact: dict[str, Any] = _exact(asdict(found))
    return {"delta": str(DELTA), **exact}


def _exact(item: Any) -> Any:
    if isinstance(item, Fraction):
        return exact_words(item)
    if isinstance(item, dict):
        return {key: _exact(value) for key, value in item.items()}
    if isinstance(item, list | tuple):
        return [_exact(value) for value in item]
    return item
