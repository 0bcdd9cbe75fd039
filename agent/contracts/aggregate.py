"""What a window says in public: an Aggregate, and its SenML pack, the payload of a Release.

    [{"bn":"<city>/<site>/<unit>/<stream>/","bt":<start>,"n":"window","u":"s","v":5}, coverage, state, noise_sd,
     threshold, guarantee, policy, disclosure, log_index, one cell a class in policy order]

Invariant: for one stream under one policy every pack has the same byte length, whatever the window held (I6). Records that
can vary are padded with blanks to a width that follows from `value_digits`, itself a function of the policy alone.
Times are whole Unix seconds, UTC.
"""

import enum
import re
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from agent.errors import EncodingError
from agent.wire import senml
from agent.wire.senml import Record

MAX_CLASSES = 64
COVERAGE_STEP_PERCENT = 5
"""Coverage is quantised down to twentieths: finer would tell nothing useful."""

FIRST_START, END_START = 10**9, 10**10
"""Bounds of a window's start (Unix seconds): ten digits, 2001 to 2286. A clock beyond them is wrong."""

MAX_LOG_INDEX = 10**15
MAX_VALUE_DIGITS = 15
NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,30}[a-z0-9])?")
CLASS = re.compile(r"[a-z][a-z0-9_]{0,31}")

_GUARANTEE = re.compile(
    r"zCDP rho=([1-9][0-9]{0,17})(?:/([1-9][0-9]{0,17}))? per person-period of ([1-9][0-9]{0,7}) s, m=([1-9][0-9]{0,5}), c=([1-9][0-9]{0,5})"
)


class NotCollected(enum.StrEnum):
    """Why a window has no numbers. None of these depends on a reading. The first that holds, in this order, is given."""

    CLOCK = "clock"
    """UTC was stepped during the window."""
    STOPPED = "stopped"
    """A stop order came before the window had closed."""
    RESTART = "restart"
    """The unit was not running, or did not know the time, for more than half of it."""
    GATE = "gate"
    """The gate was closed for more than half of it; `state` tells why."""
    BOARD = "board"
    """No sensor board was alive while the gate was open, so that less than half of it was measured."""
    BUDGET = "budget"
    """Releasing it would have spent more than the policy's cap in one period."""


class Cell(enum.StrEnum):
    """A cell without a number."""

    SUPPRESSED = "suppressed"
    NOT_COLLECTED = "not_collected"


@dataclass(frozen=True, slots=True)
class Guarantee:
    """zCDP `rho` a person-period of `period_s`, for at most `m` readings in it and `c` in one window."""

    rho: Fraction
    period_s: int
    m: int
    c: int

    def words(self) -> str:
        """As it stands in the pack."""
        return f"zCDP rho={self.rho} per person-period of {self.period_s} s, m={self.m}, c={self.c}"


@dataclass(frozen=True, slots=True)
class Aggregate:
    """A governed window, ready to be sealed.

    `cells` maps every class, in policy order, to a published noisy count >= 0 or a Cell. `value_digits` bounds the digits of
    a published count. `reason` is None when the window is complete. `noise_sd_thousandths` is sigma * 1000 rounded up.
    """

    city: str
    site: str
    unit: str
    stream: str
    window_start: int
    window_s: int
    coverage_percent: int
    reason: NotCollected | None
    noise_sd_thousandths: int
    threshold: int
    guarantee: Guarantee
    policy_version: int
    disclosure_digest: bytes
    log_index: int
    cells: tuple[tuple[str, int | Cell], ...]
    value_digits: int

    @property
    def state(self) -> str:
        """ "complete" or "not_collected:<reason>"."""
        return "complete" if self.reason is None else f"not_collected:{self.reason}"

    @property
    def noise_sd(self) -> Decimal:
        """Standard deviation of the noise in each cell, in counts, rounded up to three decimals."""
        return Decimal(self.noise_sd_thousandths).scaleb(-3)

    @property
    def coverage(self) -> Decimal:
        """Part of the window during which gate, board and unit were all there, two decimals."""
        return Decimal(self.coverage_percent).scaleb(-2)


def encode(aggregate: Aggregate) -> bytes:
    """The pack's bytes; raise EncodingError when a field is outside its bounds."""
    _check(aggregate)
    records, widths = _layout(aggregate)
    return senml.encode(records, widths)


def decode(payload: bytes) -> Aggregate:
    """The strict inverse of `encode`; raise EncodingError for anything that `encode` would not have written."""
    records = senml.decode(payload)
    if len(records) < _HEAD + 1:
        raise EncodingError("aggregate", expected=f"at least {_HEAD + 1} records", got=str(len(records)))
    head = {record.n: record for record in records[:_HEAD]}
    window = records[0]
    names = (window.bn or "").split("/")
    guarantee = _GUARANTEE.fullmatch(_text(head, "guarantee"))
    if len(names) != 5 or names[4] or guarantee is None:
        raise EncodingError(
            "aggregate", expected="base name city/site/unit/stream/ and a zCDP guarantee", got="something else"
        )
    city, site, unit, stream, _ = names
    state = _text(head, "state")
    rho, over, period_s, m, c = guarantee.groups()
    try:
        reason = None if state == "complete" else NotCollected(state.removeprefix("not_collected:"))
        digest = bytes.fromhex(_text(head, "disclosure"))
    except ValueError:
        raise EncodingError(
            "aggregate", expected="a known state and a hex disclosure digest", got="something else"
        ) from None
    aggregate = Aggregate(
        city=city,
        site=site,
        unit=unit,
        stream=stream,
        window_start=_whole(window.bt, "bt"),
        window_s=_whole(window.v, "window"),
        coverage_percent=_scaled(head, "coverage", 2),
        reason=reason,
        noise_sd_thousandths=_scaled(head, "noise_sd", 3),
        threshold=_scaled(head, "threshold", 0),
        guarantee=Guarantee(Fraction(int(rho), int(over or 1)), int(period_s), int(m), int(c)),
        policy_version=_scaled(head, "policy", 0),
        disclosure_digest=digest,
        log_index=_scaled(head, "log_index", 0),
        cells=tuple(_cell(record) for record in records[_HEAD:]),
        value_digits=_value_digits(payload),
    )
    if encode(aggregate) != payload:
        raise EncodingError(
            "aggregate", expected="the one layout of an aggregate", got="another order, field or padding"
        )
    return aggregate


_HEAD = 9
_LONGEST_STATE = max(len(f"not_collected:{reason}") for reason in NotCollected)
_CELL_BLANK = len('{"n":"cell/","vs":"not_collected"}')
_CELL_NUMBER = len('{"n":"cell/","u":"count","v":}')
MIN_VALUE_DIGITS = _CELL_BLANK - _CELL_NUMBER
"""Fewer digits than leave room for the words would not shorten a cell."""


def _layout(a: Aggregate) -> tuple[list[Record], list[int]]:
    records = [
        Record(bn=f"{a.city}/{a.site}/{a.unit}/{a.stream}/", bt=a.window_start, n="window", u="s", v=a.window_s),
        Record(n="coverage", u="/", v=a.coverage),
        Record(n="state", vs=a.state),
        Record(n="noise_sd", u="count", v=a.noise_sd),
        Record(n="threshold", u="count", v=a.threshold),
        Record(n="guarantee", vs=a.guarantee.words()),
        Record(n="policy", v=a.policy_version),
        Record(n="disclosure", vs=a.disclosure_digest.hex()),
        Record(n="log_index", v=a.log_index),
    ]
    widths = [0] * _HEAD
    widths[2] = len('{"n":"state","vs":""}') + _LONGEST_STATE
    widths[8] = len('{"n":"log_index","v":}') + len(str(MAX_LOG_INDEX - 1))
    for name, value in a.cells:
        if isinstance(value, Cell):
            records.append(Record(n=f"cell/{name}", vs=value.value))
        else:
            records.append(Record(n=f"cell/{name}", u="count", v=value))
        widths.append(len(name) + _CELL_NUMBER + a.value_digits)
    return records, widths


def _value_digits(payload: bytes) -> int:
    """Recover `value_digits` from the padded width of the last record."""
    start = payload.rfind(b'{"n":"cell/')
    name = payload[start + len(b'{"n":"cell/') : payload.find(b'"', start + len(b'{"n":"cell/'))]
    return len(payload) - 1 - start - len(name) - _CELL_NUMBER


def _check(a: Aggregate) -> None:
    whole = (not isinstance(value, Cell) for _, value in a.cells)
    numbers = [value for _, value in a.cells if not isinstance(value, Cell)]
    checks = (
        ("names", all(NAME.fullmatch(name) for name in (a.city, a.site, a.unit, a.stream))),
        ("window_start", FIRST_START <= a.window_start < END_START),
        ("window_s", 1 <= a.window_s <= 86400 and a.window_start % a.window_s == 0),
        ("coverage", 0 <= a.coverage_percent <= 100 and a.coverage_percent % COVERAGE_STEP_PERCENT == 0),
        ("noise_sd", 0 < a.noise_sd_thousandths < 10**12),
        ("threshold", 0 <= a.threshold < 10**12),
        ("guarantee", _GUARANTEE.fullmatch(a.guarantee.words()) is not None),
        ("policy", 1 <= a.policy_version < 10**9),
        ("disclosure", len(a.disclosure_digest) == 32),
        ("log_index", 0 <= a.log_index < MAX_LOG_INDEX),
        ("cells", 1 <= len(a.cells) <= MAX_CLASSES and len({name for name, _ in a.cells}) == len(a.cells)),
        ("class names", all(CLASS.fullmatch(name) for name, _ in a.cells)),
        ("value_digits", MIN_VALUE_DIGITS <= a.value_digits <= MAX_VALUE_DIGITS),
        ("values", all(0 <= value < 10**a.value_digits for value in numbers)),
        (
            "cells of a window that was not collected",
            not any(whole) and all(value is Cell.NOT_COLLECTED for _, value in a.cells)
            if a.reason is not None
            else all(value is not Cell.NOT_COLLECTED for _, value in a.cells),
        ),
    )
    for name, holds in checks:
        if not holds:
            raise EncodingError(
                f"aggregate {name}", expected="a value within the bounds of contracts/aggregate", got="another"
            )


def _text(head: dict[str | None, Record], name: str) -> str:
    record = head.get(name)
    if record is None or record.vs is None:
        raise EncodingError(f"aggregate {name}", expected="text", got="nothing")
    return record.vs


def _whole(value: object, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise EncodingError(f"aggregate {name}", expected="a whole number", got=type(value).__name__)
    return value


def _scaled(head: dict[str | None, Record], name: str, places: int) -> int:
    record = head.get(name)
    if record is None or record.v is None:
        raise EncodingError(f"aggregate {name}", expected="a number", got="nothing")
    scaled = Decimal(record.v).scaleb(places)
    if scaled != scaled.to_integral_value():
        raise EncodingError(f"aggregate {name}", expected=f"at most {places} decimals", got="more")
    return int(scaled)


def _cell(record: Record) -> tuple[str, int | Cell]:
    name = (record.n or "").removeprefix("cell/")
    if record.vs is not None:
        if record.vs not in Cell._value2member_map_:
            raise EncodingError("aggregate cell", expected="suppressed or not_collected", got="other words")
        return name, Cell(record.vs)
    return name, _whole(record.v, "cell")
