"""What a window of each kind and mode owes: noise, threshold, label, names of its cells, and its charge. From PRIVACY.md 1, PROOF.md and the rules
AN-30 to AN-34 and AN-434; of the unit's code only the policy as values is shared. Pure.

Noise is compared between policies by its strength: sigma^2 of counts and durations (with running totals that of the counter), 1 / rate of devices,
sigma^2 of a scalar's sum in its unit squared, 0 without noise. Where the unit's figure is a bound of its own, a `Span` says between what it must lie.
"""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import exp, isqrt, log
from typing import NamedTuple

from agent.contracts.cells import COUNT, PERCENTILE
from agent.contracts.cells import written as as_written
from agent.contracts.guarantee import ConcentratedGuarantee, Guarantee, NoGuarantee, PureGuarantee
from agent.operations import totals
from agent.policy.cells import cell_names
from agent.policy.model import Policy, Stream
from agent.policy.modes import CoarsePrivacy, CountPrivacy, NoPrivacy, ScalarPrivacy, ThresholdOnly, UniquePrivacy
from agent.policy.vocabulary import QUANTITIES

WIDEST = 1 << 20
"""sigma^2 of the widest noise that a unit draws (AN-10)."""

WIDEST_SUM = 1 << 40
"""The same of a scalar's sum."""

END_DEVIATION = 10**9
"""No pack states a deviation as large."""

FEWEST = Fraction(19, 20)
"""Of a scalar's samples under dp that must have come (AN-435)."""

TAIL = 1 / 200
"""Three stated deviations of devices are exceeded so often, at most (AN-417)."""


class Span(NamedTuple):
    """A closed interval."""

    low: Fraction
    high: Fraction

    def holds(self, value: Fraction | Decimal | int) -> bool:
        """Is it in it?"""
        return self.low <= value <= self.high


NONE = Span(Fraction(0), Fraction(0))


@dataclass(frozen=True, slots=True)
class Dues:
    """`charge` is None where nothing is guaranteed; `withheld`: a window may have no numbers, and then costs nothing. Deviations are in `unit`."""

    charge: Span | None
    withheld: bool
    noise_sd: Span
    total_noise_sd: Span | None
    threshold: Span
    guarantee: Guarantee
    unit: str
    names: tuple[str, ...]


def strength(stream: Stream) -> Span:
    """Of the noise that the stream's own policy asks for (PRIVACY.md 1.2, 1.5, 1.6)."""
    match stream.privacy:
        case CountPrivacy(totals=0) as privacy:
            return _exactly(spread(privacy.m, privacy.c) / (2 * privacy.rho))
        case CountPrivacy() as privacy:
            return _about(totals.scale_squared(float(privacy.rho), privacy.totals, privacy.m, privacy.c))
        case UniquePrivacy() as privacy:
            return _exactly(privacy.addresses / privacy.epsilon)
        case ScalarPrivacy() as privacy:
            mean_rho = privacy.rho - privacy.percentiles_rho
            return _exactly(spread(privacy.m, privacy.c) * (privacy.high - privacy.low) ** 2 / (2 * mean_rho))
        case _:
            return NONE


def owed(stream: Stream, older: Stream) -> Span | None:
    """The strength with which `stream` draws no less noise than `older` did (AN-34); None when it cannot."""
    match stream.privacy, older.privacy:
        case _, ThresholdOnly() | CoarsePrivacy() | NoPrivacy():
            return NONE
        case CountPrivacy(totals=steps), CountPrivacy(totals=before):
            return strength(older) if steps == before else variance(older.privacy, strength(older))
        case UniquePrivacy(), UniquePrivacy():
            return strength(older)
        case ScalarPrivacy() as privacy, ScalarPrivacy() as before:
            if stream.quantity != older.quantity:
                return NONE
            least = strength(older).low
            if privacy.percentiles and before.percentiles:
                least = max(least, strength(stream).low * _cell_variance(before) / _cell_variance(privacy))
            return _exactly(least)
        case CountPrivacy() | UniquePrivacy() | ScalarPrivacy(), _:
            return NONE
        case _:
            return None


def variance(privacy: CountPrivacy, drawn: Span) -> Span:
    """Of the noise in each number; with running totals in the worst of all windows."""
    return _widened(drawn, totals.gains(privacy.totals).window, privacy.totals) if privacy.totals else drawn


def dues(policy: Policy, stream: Stream, drawn: Span | None, m: int, c: int) -> Dues:
    """What a window owes at this strength (None: it can have no numbers), when a person is within (m, c) for the ledger."""
    privacy = stream.privacy
    charge = _charge(stream, drawn, m, c) if drawn is not None else None
    withheld = drawn is None or (isinstance(privacy, GUARANTEED) and charge is None)
    at = strength(stream) if withheld or drawn is None else drawn
    noise_sd, total_sd, threshold = _deviation(stream, at), None, NONE
    match privacy:
        case CountPrivacy():
            each = variance(privacy, at)
            if privacy.totals:
                total_sd = _rounded(_widened(at, totals.gains(privacy.totals).total, privacy.totals), 3)
            threshold = _threshold(privacy.threshold.k, privacy.threshold.z, each)
        case UniquePrivacy():
            squared = Span(2 * at.low**2, 2 * at.high**2)
            threshold = _threshold(privacy.threshold.k, privacy.threshold.z, squared)
        case ThresholdOnly():
            threshold = _exactly(Fraction(privacy.k))
        case _:
            pass
    return Dues(
        charge=(NONE if withheld else charge) if isinstance(privacy, GUARANTEED) else None,
        withheld=withheld,
        noise_sd=noise_sd,
        total_noise_sd=total_sd,
        threshold=threshold,
        guarantee=_guarantee(policy, stream),
        unit=QUANTITIES[stream.quantity].unit if stream.kind == "scalar" else COUNT,
        names=cell_names(stream),
    )


GUARANTEED = (CountPrivacy, UniquePrivacy, ScalarPrivacy)


def presence(stream: Stream) -> tuple[int, int] | None:
    """(m, c) of what is charged: readings, samples, or addresses in windows; None without a guarantee."""
    match stream.privacy:
        case CountPrivacy() | ScalarPrivacy() as privacy:
            return privacy.m, privacy.c
        case UniquePrivacy() as privacy:
            return privacy.m * privacy.addresses, privacy.addresses
        case _:
            return None


def spread(m: int, c: int) -> Fraction:
    """The largest sum of squares of whole numbers, each at most c, m in all (PROOF.md, Lemma 8)."""
    return Fraction((m // c) * c * c + (m % c) ** 2)


def deviation_places(stream: Stream) -> int:
    """Decimals of a stated deviation: three of counts; of a scalar two more than its mean has, at most six."""
    return min(_places(stream) + 2, 6) if isinstance(stream.privacy, ScalarPrivacy) else 3


def _charge(stream: Stream, drawn: Span, m: int, c: int) -> Span | None:
    """zCDP of one reading, address or sample in one window (AN-30, AN-308); None without a guarantee or when such noise cannot be drawn."""
    match stream.privacy:
        case CountPrivacy(totals=0):
            return _inverse(drawn, Fraction(1, 2)) if drawn.high <= WIDEST else None
        case CountPrivacy(totals=steps):
            if totals.longest(steps) * float(drawn.low) > WIDEST or not totals.bounded(steps, m, c):
                return None
            dearest = totals.cost(float(drawn.low), steps, m, c) / float(spread(m, c))
            least = totals.cost(float(drawn.high), steps, m, c) / float(spread(m, c))
            return Span(_about(least).low, _about(dearest).high)
        case UniquePrivacy():
            squared = Span(drawn.low**2, drawn.high**2)
            return _inverse(squared, Fraction(1, 2)) if 2 * squared.high <= WIDEST else None
        case ScalarPrivacy() as privacy:
            more = drawn.high / strength(stream).low
            cells = _cell_variance(privacy) * more if privacy.percentiles else Fraction(0)
            if max(drawn.high / privacy.step**2, cells) > WIDEST_SUM or _deviation(stream, drawn).low >= END_DEVIATION:
                return None
            mean = (privacy.high - privacy.low) ** 2 / (2 * drawn.low)
            return _exactly(mean + (1 / cells if privacy.percentiles else 0))
        case _:
            return None


def _deviation(stream: Stream, drawn: Span) -> Span:
    match stream.privacy:
        case CountPrivacy() as privacy:
            return _rounded(variance(privacy, drawn), 3)
        case UniquePrivacy():
            return _rounded(Span(_devices(drawn.low), _devices(drawn.high)), 3)
        case ScalarPrivacy() as privacy:
            fewest = -(-FEWEST * privacy.samples // 1)
            tenth = (privacy.step / 10) ** 2 / 12  # the mean is rounded to a tenth of a step
            return _rounded(
                Span(drawn.low / fewest**2 + tenth, drawn.high / fewest**2 + tenth), deviation_places(stream)
            )
        case _:
            return NONE


def _cell_variance(privacy: ScalarPrivacy) -> Fraction:
    """In each cell of the histogram behind percentiles: a replaced sample changes two cells, so twice what a count would need (AN-440)."""
    return spread(privacy.m, privacy.c) / privacy.percentiles_rho


def _devices(inverse_rate: Fraction) -> Fraction:
    """The variance stated for discrete Laplace noise: 2 / rate^2 at least, and three of it hold all draws but TAIL of them.

    P[|X| > w] = 2 q^(w+1) / (1 + q), q = exp(-rate).
    """
    rate = float(1 / inverse_rate)
    width = max(0, int(-(-(log(2 / (TAIL * (1 + exp(-rate)))) / rate - 1 - 1e-12) // 1)))
    return max(2 * inverse_rate**2, Fraction(width, 3) ** 2)


def _guarantee(policy: Policy, stream: Stream) -> Guarantee:
    match stream.privacy:
        case CountPrivacy() | ScalarPrivacy() as privacy:
            return ConcentratedGuarantee(privacy.rho, policy.period_s, privacy.m, privacy.c)
        case UniquePrivacy() as privacy:
            return PureGuarantee(privacy.epsilon, privacy.m, privacy.addresses, stream.window_s, policy.period_s)
        case privacy:
            return NoGuarantee(privacy.mode)


def on_grid(stream: Stream, name: str, value: int | Decimal) -> bool:
    """Is a scalar's number one that is written (AN-436, AN-443): a tenth of a step under dp, else a step from `low`; a percentile the end of one of at
    most 32 equal parts of the grid? Finer ones would say more than the policy."""
    privacy, places = stream.privacy, _places(stream)
    assert isinstance(privacy, ScalarPrivacy | CoarsePrivacy | NoPrivacy)
    mean = isinstance(privacy, ScalarPrivacy) and name == "mean"
    unit = privacy.step / 10 if mean else privacy.step
    number = round((Fraction(value) - privacy.low) / unit)
    written = (privacy.low + unit * number) * 10**places
    decimals = len(as_written(value).partition(".")[2])
    if decimals != places or (written + Fraction(1, 2)) // 1 != Fraction(value) * 10**places:
        return False
    span = int((privacy.high - privacy.low) / privacy.step)
    part = -(-(span + 1) // 32)
    return not PERCENTILE.fullmatch(name) or number == span or (number + 1) % part == 0


def _places(stream: Stream) -> int:
    """Decimals of a mean: those that a step, under dp a tenth of one, needs, at most six."""
    privacy = stream.privacy
    assert isinstance(privacy, ScalarPrivacy | CoarsePrivacy | NoPrivacy)
    parts = (privacy.step / (10 if isinstance(privacy, ScalarPrivacy) else 1), privacy.low)
    return next((n for n in range(6) if all((part * 10**n).denominator == 1 for part in parts)), 6)


def _threshold(k: int, z: Fraction, squared: Span) -> Span:
    """tau = k + ceil(z sigma)."""
    return Span(*(Fraction(k + _ceil_root(z**2 * end)) for end in squared))


def _rounded(squared: Span, places: int) -> Span:
    """The root, rounded up to so many decimals."""
    scale = 10**places
    return Span(*(Fraction(_ceil_root(end * scale**2), scale) for end in squared))


def _widened(drawn: Span, gain: float, steps: int) -> Span:
    exact = Fraction(gain)
    return Span(
        drawn.low * exact * (1 - Fraction(totals.MARGIN)), drawn.high * exact * (1 + Fraction(totals.excess(steps)))
    )


def _inverse(of: Span, over: Fraction) -> Span:
    return Span(over / of.high, over / of.low)


def _exactly(value: Fraction) -> Span:
    return Span(value, value)


def _about(value: float) -> Span:
    margin = Fraction(totals.MARGIN)
    return Span(Fraction(value) * (1 - margin), Fraction(value) * (1 + margin))


def _ceil_root(value: Fraction) -> int:
    ceiling = -(-value.numerator // value.denominator)
    root = isqrt(ceiling)
    return root + (root * root < ceiling)
