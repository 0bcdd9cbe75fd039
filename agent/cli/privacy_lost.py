"""What a threshold takes from a stream, by hour of the day: expected shares, by the law of its noise. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import erfc, sqrt

from agent.anonymizer.noise import MAX_SIGMA_SQUARED, DiscreteGaussian, DiscreteLaplace
from agent.cli.privacy_day import ByHour
from agent.policy.model import Stream
from agent.policy.modes import CountPrivacy, ThresholdOnly, UniquePrivacy

_THOUSANDTHS = 1000


@dataclass(frozen=True, slots=True)
class Lost:
    """One hour of the day, or all of them (None): the share of a stream's numbers that are suppressed, and of what they would have counted,
    None where nothing was; both to the nearest thousandth."""

    hour: int | None
    numbers: Fraction
    counted: Fraction | None


def by_hour(stream: Stream, true: ByHour) -> tuple[Lost, ...]:
    """For every hour in which a window begins, then for the whole day; () for a stream that hides nothing."""
    hidden = _hidden(stream)
    if hidden is None:
        return ()
    rows: dict[int, list[float]] = {}
    day = [0.0] * 4
    for (hour, number), times in true.items():
        row = rows.setdefault(hour, [0.0] * 4)
        share = hidden(number)
        for place, amount in enumerate((times, times * share, times * number, times * number * share)):
            row[place] += amount
            day[place] += amount
    return (*(_lost(hour, row) for hour, row in sorted(rows.items())), _lost(None, day))


def _lost(hour: int | None, row: list[float]) -> Lost:
    numbers, suppressed, counted, lost = row
    return Lost(hour, _share(suppressed, numbers), _share(lost, counted) if counted else None)


def _hidden(stream: Stream) -> Callable[[int], float] | None:
    """The probability that a true number is suppressed; None where none ever is."""
    privacy = stream.privacy
    match privacy:
        case ThresholdOnly():
            return lambda number: float(number < privacy.k)
        case CountPrivacy() if privacy.threshold.hides:
            below = _gaussian_below(privacy.sigma_squared)
        case UniquePrivacy() if privacy.threshold.hides:
            below = DiscreteLaplace(privacy.address_epsilon).below
        case _:
            return None
    return lru_cache(maxsize=None)(lambda number: below(privacy.tau - number))


def _gaussian_below(sigma_squared: Fraction) -> Callable[[int], float]:
    """P[noise < value]: exact where the law's table is small, else by the normal law."""
    if 1 <= sigma_squared <= MAX_SIGMA_SQUARED:
        return DiscreteGaussian(sigma_squared).below
    scale = sqrt(2 * float(sigma_squared))
    return lambda value: erfc((0.5 - value) / scale) / 2


def _share(part: float, whole: float) -> Fraction:
    return Fraction(round(_THOUSANDTHS * part / whole), _THOUSANDTHS)
