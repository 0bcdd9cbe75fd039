"""A charge is null only where a pack says that nothing is guaranteed (DESIGN.md I4), whatever the kind."""

from fractions import Fraction

import pytest

from agent.contracts import aggregate
from agent.contracts.aggregate import Aggregate, Cell, NotCollected
from agent.contracts.guarantee import NoGuarantee
from agent.contracts.log import Charge, Release, decode_entry
from agent.contracts.release import charged, governed
from agent.errors import LogDamaged
from agent.wire import senml_cbor
from agent.wire.senml import Record
from tests import packs
from tests.packs import COUNT, changed

SPENT = Charge(Fraction(1, 32))
PROTECTED = [window for window in packs.ALL.values() if not isinstance(window.terms.guarantee, NoGuarantee)]
UNPROTECTED = [window for window in packs.ALL.values() if isinstance(window.terms.guarantee, NoGuarantee)]


def logged(window: Aggregate, charge: Charge | None, **changes: object) -> Release:
    fields: dict[str, object] = {
        "stream": window.terms.stream,
        "window_start": window.window_start,
        "window_s": window.terms.window_s,
        "payload": aggregate.encode(window),
        "signature": b"",
        "charge": charge,
        "disclosure_digest": window.terms.disclosure_digest,
    }
    return Release(**(fields | changes))  # type: ignore[arg-type]  # the tests name real fields


@pytest.mark.parametrize("window", PROTECTED)
def test_a_guarantee_is_charged(window: Aggregate) -> None:
    """I4: null is refused, and so is a charge of nothing for numbers."""
    assert governed(logged(window, SPENT)) == window
    for charge in (None, Charge(Fraction(0))):
        assert not charged(window, charge)
        with pytest.raises(LogDamaged, match="charge"):
            governed(logged(window, charge))


@pytest.mark.parametrize("window", [*packs.ALL.values(), *map(aggregate.in_cbor, packs.ALL.values())])
def test_an_entry_with_a_null_charge_is_read_only_without_a_guarantee(window: Aggregate) -> None:
    """I4: by everyone who reads a log: the ledger on a start, the publisher, an audit. The words must stand in the guarantee itself."""
    entry = logged(window, None).encode()
    if isinstance(window.terms.guarantee, NoGuarantee):
        assert decode_entry(entry) == logged(window, None)
    else:
        with pytest.raises(LogDamaged, match="charge"):
            decode_entry(entry)
    words = "none: not a privacy guarantee"
    for elsewhere in (
        b'[{"n":"state","vs":"none: not a privacy guarantee"}]',
        senml_cbor.encode([Record(n="state", vs=words)]),
        senml_cbor.encode([Record(n="guarantee", vs="none " * 5), Record(n="state", vs=words)]),
        b"\xa2\x00\x69guarantee\x03\x78",
        b"",
    ):
        with pytest.raises(LogDamaged, match="charge"):
            decode_entry(logged(window, None, payload=elsewhere).encode())


def test_what_has_no_numbers_costs_nothing_but_is_not_free_of_a_charge() -> None:
    """I4."""
    nothing = changed(COUNT, reason=NotCollected.BUDGET, values=(Cell.NOT_COLLECTED,) * 2)
    assert charged(nothing, Charge(Fraction(0)))
    assert not charged(nothing, None)


@pytest.mark.parametrize("window", UNPROTECTED)
def test_without_a_guarantee_there_is_nothing_to_charge(window: Aggregate) -> None:
    """I4."""
    assert governed(logged(window, None)) == window


@pytest.mark.parametrize(
    "change",
    [
        {"stream": "other"},
        {"window_start": COUNT.window_start + 900},
        {"window_s": 300},
        {"disclosure_digest": bytes(32)},
        {"payload": b"[]"},
    ],
)
def test_an_entry_around_another_pack_is_damage(change: dict[str, object]) -> None:
    with pytest.raises(LogDamaged):
        governed(logged(COUNT, SPENT, **change))
