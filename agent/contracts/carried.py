"""What the entries of a log before it come to, as the first entry of each bundle of 256 but the first carries it. Pure.

{1: Releases, 2: [[stream, end of its last window, index of its newest Release or -1], …], 3: instant up to which a loss reaches, 4: [index of each
decision of governance], 5: seconds of notice served, 6: newest instant of a decision or notice, 7: start of the newest charged window,
8: odometer of finished periods, 9: [[stream, start, step, count, charge], …], 10: [[period, stream, count, charge], …]}

9 are the charged windows of the last two periods, as runs; 10 those of the periods that the odometer has not finished. A charge is
[numerator, denominator] of zCDP rho; the odometer is too, each as big-endian bytes. Instants and lengths are seconds.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from agent.errors import EncodingError


@dataclass(frozen=True, slots=True)
class LastWindow:
    """Of a stream: where its last logged window ends (Unix seconds), and the index of its newest Release, -1 for none."""

    stream: str
    end: int
    release: int


@dataclass(frozen=True, slots=True)
class Run:
    """`count` windows of a stream from `start` on, one every `step` seconds (0 for a single one), each charged `rho`."""

    stream: str
    start: int
    step: int
    count: int
    rho: Fraction


@dataclass(frozen=True, slots=True)
class Held:
    """`count` windows of a stream charged `rho` that start in UTC period number `period`."""

    period: int
    stream: str
    count: int
    rho: Fraction


@dataclass(frozen=True, slots=True)
class Spent:
    """Of the budget: `newest` is the start of the newest charged window, `finished` the odometer of the periods that are over."""

    newest: int
    finished: Fraction
    recent: tuple[Run, ...]
    periods: tuple[Held, ...]


@dataclass(frozen=True, slots=True)
class State:
    """All of it. `decisions` are indices of entries, which hold the rest: policies, stop orders and trust roots."""

    releases: int
    last: tuple[LastWindow, ...]
    lost_until: int
    decisions: tuple[int, ...]
    served: int
    newest_at: int
    spent: Spent


def encode_state(state: State) -> dict[int, Any]:
    """As a map for CBOR."""
    spent = state.spent
    return {
        1: state.releases,
        2: [[each.stream, each.end, each.release] for each in state.last],
        3: state.lost_until,
        4: list(state.decisions),
        5: state.served,
        6: state.newest_at,
        7: spent.newest,
        8: [_bytes(spent.finished.numerator), _bytes(spent.finished.denominator)],
        9: [[run.stream, run.start, run.step, run.count, _pair(run.rho)] for run in spent.recent],
        10: [[held.period, held.stream, held.count, _pair(held.rho)] for held in spent.periods],
    }


def decode_state(item: Any) -> State:
    """The inverse; raises EncodingError. That the same map comes out again is for the caller to see."""
    try:
        releases, last, lost_until, decisions, served, newest_at, newest, finished, recent, periods = (
            item[key] for key in range(1, 11)
        )
        if len(item) != 10:
            raise ValueError
        numerator, denominator = finished
        return State(
            _whole(releases),
            tuple(LastWindow(_text(stream), _whole(end), _whole(index)) for stream, end, index in last),
            _whole(lost_until),
            tuple(map(_whole, decisions)),
            _whole(served),
            _whole(newest_at),
            Spent(
                _whole(newest),
                Fraction(int.from_bytes(numerator), int.from_bytes(denominator)),
                tuple(Run(_text(s), _whole(at), _whole(step), _whole(n), _rho(rho)) for s, at, step, n, rho in recent),
                tuple(Held(_whole(period), _text(s), _whole(n), _rho(rho)) for period, s, n, rho in periods),
            ),
        )
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        raise EncodingError("state of a log", expected="a map of ten numbers and lists", got="another shape") from None


def _bytes(number: int) -> bytes:
    return number.to_bytes(-(-number.bit_length() // 8))


def _pair(rho: Fraction) -> list[int]:
    return [rho.numerator, rho.denominator]


def _rho(pair: Any) -> Fraction:
    numerator, denominator = pair
    if _whole(numerator) < 0:
        raise ValueError
    return Fraction(_whole(numerator), _whole(denominator))


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise TypeError
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value
