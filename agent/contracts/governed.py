"""A governed window as values: what is the same in every window of a stream, and what a window adds. Pure.

Invariant: `check_terms` and `check` together let only those through that a pack can carry and that its reader will believe.
"""

import enum
import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from agent.contracts.cells import END_START, FIRST_START, MAX_WIDTH, SINCE, Cell, Field, Value, kind_of, plain, unit_of
from agent.contracts.cells import NAME as CELL_NAME
from agent.contracts.guarantee import Guarantee, NoGuarantee, PureGuarantee, read_guarantee
from agent.errors import EncodingError

COVERAGE_STEP_PERCENT = 5
"""Coverage is quantised down to twentieths: finer would tell nothing useful."""

MAX_LOG_INDEX = 10**15

SUMS = "biased low: suppressed numbers are missing"
"""What a pack says of sums of its stream's published numbers, just where a threshold hides some."""

END_NOISE_SD = 10**9
"""A standard deviation of the noise is below it."""

NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,30}[a-z0-9])?")
UNIT = re.compile(r"[A-Za-z0-9%/]{1,9}")


class NotCollected(enum.StrEnum):
    """Why a window has no numbers. None of these depends on a reading's value. The first that holds, in this order, is given."""

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
    SAMPLES = "samples"
    """Too few samples came."""
    BUDGET = "budget"
    """Releasing it would have spent more than the policy's cap in one period."""


@dataclass(frozen=True, slots=True)
class PackTerms:
    """What is the same in every window of one stream under one policy and one noise.

    `noise_sd`: the standard deviation of the noise in each number, in `noise_unit`, rounded up, 0 where there is none; `noise_unit` is the unit of
    all numbers but `total/since`. `threshold`: under it a noisy number is suppressed, 0 where nothing is. `total_noise_sd`: as `noise_sd`, of each
    running total; None when there are none. `cbor_bytes`: None for packs in JSON, else the length of every pack in CBOR, from which the widths of the
    fields cannot be told: all are MAX_WIDTH (contracts/pack_cbor).
    """

    city: str
    site: str
    unit: str
    stream: str
    window_s: int
    noise_sd: Decimal
    noise_unit: str
    threshold: int
    guarantee: Guarantee
    policy_version: int
    disclosure_digest: bytes
    fields: tuple[Field, ...]
    total_noise_sd: Decimal | None = None
    cbor_bytes: int | None = None

    @property
    def sums(self) -> str | None:
        """SUMS where numbers may be hidden, None where sums are right on average."""
        return SUMS if self.threshold else None

    @property
    def kind(self) -> str:
        """count, duration, unique or scalar; raise EncodingError for cells that no kind has."""
        kind = kind_of([field.name for field in self.fields], self.noise_unit, self.guarantee)
        if kind is None:
            raise EncodingError("aggregate cells", expected="those of one kind of stream, in their order", got="others")
        return kind


@dataclass(frozen=True, slots=True)
class Aggregate:
    """A governed window, ready to be sealed. `values` are those of the terms' fields, in their order; `reason` None when it is complete."""

    terms: PackTerms
    window_start: int
    coverage_percent: int
    reason: NotCollected | None
    log_index: int
    values: tuple[Value, ...]

    @property
    def state(self) -> str:
        """ "complete" or "not_collected:<reason>"."""
        return "complete" if self.reason is None else f"not_collected:{self.reason}"

    @property
    def coverage(self) -> Decimal:
        """Part of the window during which gate, board and unit were all there, two decimals."""
        return Decimal(self.coverage_percent).scaleb(-2)

    @property
    def cells(self) -> tuple[tuple[str, Value], ...]:
        """(name, value) of every field."""
        return tuple((field.name, value) for field, value in zip(self.terms.fields, self.values, strict=True))


def check_terms(t: PackTerms) -> None:
    """Raise EncodingError when terms are outside their bounds."""
    names = [field.name for field in t.fields]
    total_sd = t.total_noise_sd
    protected = not isinstance(t.guarantee, NoGuarantee)
    checks = (
        ("names", all(NAME.fullmatch(name) for name in (t.city, t.site, t.unit, t.stream))),
        ("window_s", 1 <= t.window_s <= 86400),
        ("noise_sd", plain(t.noise_sd) and 0 <= t.noise_sd < END_NOISE_SD and (t.noise_sd > 0) == protected),
        ("total_noise_sd", (total_sd is None) == (SINCE not in names)),
        ("total_noise_sd", total_sd is None or (protected and plain(total_sd) and 0 < total_sd < END_NOISE_SD)),
        ("noise_unit", UNIT.fullmatch(t.noise_unit) is not None),
        ("threshold", 0 <= t.threshold < 10**12),
        ("guarantee", read_guarantee(t.guarantee.words()) == t.guarantee),
        ("guarantee", not isinstance(t.guarantee, PureGuarantee) or t.guarantee.window_s == t.window_s),
        ("policy", 1 <= t.policy_version < 10**9),
        ("disclosure", len(t.disclosure_digest) == 32),
        ("fields", 1 <= len(names) == len(set(names))),
        ("field names", all(map(CELL_NAME.fullmatch, names))),
        ("field units", all(unit_of(field.name, t.noise_unit, t.guarantee) == field.unit for field in t.fields)),
        ("field widths", all(field.width <= MAX_WIDTH for field in t.fields)),
        ("field widths in CBOR", t.cbor_bytes is None or all(field.width == MAX_WIDTH for field in t.fields)),
        ("cells", bool(t.kind)),
    )
    _require(checks)


def check(a: Aggregate) -> None:
    """The same of what a window adds to terms that are in order."""
    t = a.terms
    none = all(value is Cell.NOT_COLLECTED for value in a.values)
    _require(
        (
            ("window_start", FIRST_START <= a.window_start < END_START and a.window_start % t.window_s == 0),
            ("coverage", 0 <= a.coverage_percent <= 100 and a.coverage_percent % COVERAGE_STEP_PERCENT == 0),
            ("log_index", 0 <= a.log_index < MAX_LOG_INDEX),
            ("values", len(a.values) == len(t.fields)),
            (
                "cells of a window that was not collected",
                none if a.reason is not None else Cell.NOT_COLLECTED not in a.values,
            ),
        )
    )
    for field, value in zip(t.fields, a.values, strict=True):
        if not field.fits(value, t.threshold):
            _require(((f"cell/{field.name}", False),))


def _require(checks: Iterable[tuple[str, bool]]) -> None:
    for name, holds in checks:
        if not holds:
            raise EncodingError(
                f"aggregate {name}", expected="a value within the bounds of contracts/aggregate", got="another"
            )
