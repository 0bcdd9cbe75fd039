"""What a policy's noise does to the numbers and what it costs a person, in figures. Pure.

Every figure follows from the policy; where a log is given, what was spent so far follows from its entries alone (DESIGN.md I4).
"""

from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any, assert_never

from agent.anonymizer.ledger import Ledger
from agent.anonymizer.noise import MAX_SIGMA_SQUARED, DiscreteGaussian, DiscreteLaplace
from agent.cli.privacy_day import by_file, columns, on_the_street
from agent.cli.privacy_lost import Lost, by_hour
from agent.disclosure.presence import MONTH_S, presence
from agent.errors import SettingsError
from agent.policy.epsilon import DELTA, epsilon
from agent.policy.guarantee import measured
from agent.policy.model import Policy, Stream
from agent.policy.modes import (
    CoarsePrivacy,
    CountPrivacy,
    NoPrivacy,
    Privacy,
    ScalarPrivacy,
    ThresholdOnly,
    UniquePrivacy,
    ceil_sqrt,
)
from agent.policy.vocabulary import QUANTITIES
from agent.policy.words import exact_words, time_words
from firmware_bridge.simulator.replay import Replay

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
    """`deviation` (rounded up to thousandths) and the half width of the 95 % interval of a number, in `unit`."""

    of: str
    unit: str
    deviation: Fraction
    within: Fraction


@dataclass(frozen=True, slots=True)
class StreamFigures:
    """One stream: its noises (none for a mode without a guarantee), what a person-period costs and what 30 days do; `shown_from` is
    its threshold, 0 where nothing is hidden, and `lost` what that takes of the true counts that `lost_on` names."""

    name: str
    kind: str
    mode: str
    window_s: int
    says: str
    noises: tuple[Noise, ...]
    presence: str
    period: Cost | None
    month: Cost | None
    shown_from: int
    lost_on: str
    lost: tuple[Lost, ...]


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


def report(policy: Policy, spent: Spent | None = None, counts: Replay | None = None) -> Report:
    """The figures of a policy; true `counts` are a file's, else the demo's street's. Raises SettingsError when they fit no window or no stream."""
    hiding = [stream for stream in policy.streams if stream.kind == "count" and _shown_from(stream.privacy)]
    if counts is not None and not hiding:
        raise SettingsError(
            "--counts",
            expected="a policy that counts by class and hides small numbers",
            got="none such stream",
            remedy="leave --counts out",
        )
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
        streams=tuple(_stream(policy, stream, periods, counts) for stream in policy.streams),
        spent=spent,
    )


def _stream(policy: Policy, stream: Stream, periods: int, counts: Replay | None) -> StreamFigures:
    privacy = stream.privacy
    period = time_words(policy.period_s)
    noises: tuple[Noise, ...] = ()
    rho = Fraction(0)
    match privacy:
        case CountPrivacy():
            rho = privacy.rho
            what = "each class and length" if stream.kind == "duration" else "each class"
            noises = (_gaussian(f"the number of {what}", privacy.sigma_squared),)
            if privacy.totals:
                noises += (_gaussian("each running total", privacy.total_sigma_squared),)
            presence = f"at most {_times(privacy.m, 'reading')} in {period}, {privacy.c} in a window"
        case UniquePrivacy():
            rho = privacy.rho
            within = DiscreteLaplace(privacy.address_epsilon).half_width(TAIL)
            noises = (Noise("the number", "devices", _root(privacy.sigma_squared), Fraction(within)),)
            presence = (
                f"in at most {_times(privacy.m, 'window')} in {period}, with at most "
                f"{_times(privacy.addresses, 'address', 'addresses')} in each"
            )
        case ScalarPrivacy():
            rho = privacy.rho
            unit = QUANTITIES[stream.quantity].unit
            squared = privacy.mean_sigma_squared
            noises = (Noise("the mean", unit, _root(squared), _root(_REACH**2 * squared)),)
            if privacy.percentiles:
                noises += (
                    _gaussian("the number of samples in each cell behind the percentiles", privacy.cell_sigma_squared),
                )
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
        shown_from=_shown_from(privacy),
        **_lost(stream, counts),
    )


def _shown_from(privacy: Privacy) -> int:
    if isinstance(privacy, ThresholdOnly):
        return privacy.k
    return privacy.tau if isinstance(privacy, CountPrivacy | UniquePrivacy) and privacy.threshold.hides else 0


def _lost(stream: Stream, counts: Replay | None) -> dict[str, Any]:
    """What the threshold takes, of a stream's true numbers on the street or in a file, which only counts by class have."""
    if stream.kind == "scalar":
        return {"lost_on": "", "lost": ()}
    if counts is None or stream.kind != "count":
        on, true = "on a working day of the demo's street", on_the_street(stream)
    else:
        named = zip(stream.classes, columns(stream, counts), strict=True)
        pairs = ", ".join(f"{name} is {counts.classes[column]}" for name, column in named)
        on, true = f"by {counts.name} ({pairs})", by_file(stream, counts)
    lost = by_hour(stream, true)
    return {"lost_on": on if lost else "", "lost": lost}


def _gaussian(of: str, sigma_squared: Fraction) -> Noise:
    """Noise of a whole number; the interval is exact where the law's table is small."""
    if 1 <= sigma_squared <= MAX_SIGMA_SQUARED:
        within = DiscreteGaussian(sigma_squared).half_width(TAIL)
    else:
        within = ceil_sqrt(_REACH**2 * sigma_squared)
    return Noise(of, "", _root(sigma_squared), Fraction(within))


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
