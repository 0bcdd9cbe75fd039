"""The pack of an Aggregate: the layout everyone reads, one length for every window (I6), strict both ways."""

import dataclasses
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.contracts import aggregate
from agent.contracts.aggregate import Aggregate, Cell, Field, NotCollected
from agent.contracts.guarantee import ConcentratedGuarantee
from agent.errors import EncodingError
from tests.packs import COUNT, changed

EXAMPLE = changed(
    COUNT,
    city="seattle",
    site="fremont",
    unit="fremont-01",
    window_start=1_790_000_000,
    window_s=5,
    threshold=18,
    guarantee=ConcentratedGuarantee(Fraction(1, 8), 600, 4, 1),
    fields=(Field("bike", "count", 5), Field("person", "count", 5)),
)

EXAMPLE_PACK = (
    b'[{"bn":"seattle/fremont/fremont-01/crossings/","bt":1790000000,"n":"window","u":"s","v":5},'
    b'{"n":"coverage","u":"/","v":0.95},'
    b'{"n":"state","vs":"complete"             },'
    b'{"n":"noise_sd","u":"count","v":4.000},'
    b'{"n":"threshold","u":"count","v":18},'
    b'{"n":"guarantee","vs":"zCDP rho=1/8 per person-period of 600 s, m=4, c=1"},'
    b'{"n":"policy","v":1},'
    b'{"n":"disclosure","vs":"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"},'
    b'{"n":"log_index","v":17             },'
    b'{"n":"cell/bike","u":"count","v":23   },'
    b'{"n":"cell/person","vs":"suppressed"    }]'
)


def test_the_layout_is_the_documented_one() -> None:
    assert aggregate.encode(EXAMPLE) == EXAMPLE_PACK
    assert aggregate.decode(EXAMPLE_PACK) == EXAMPLE


cells = st.integers(0, 99_999) | st.just(Cell.SUPPRESSED)
complete = st.builds(
    lambda bike, person, coverage, index, start: dataclasses.replace(
        EXAMPLE,
        values=(bike, person),
        coverage_percent=coverage * 5,
        log_index=index,
        window_start=start * 5,
    ),
    cells,
    cells,
    st.integers(0, 20),
    st.integers(0, aggregate.MAX_LOG_INDEX - 1),
    st.integers(10**9 // 5, 10**10 // 5 - 1),
)
not_collected = st.builds(
    lambda whole, reason: dataclasses.replace(whole, reason=reason, values=(Cell.NOT_COLLECTED, Cell.NOT_COLLECTED)),
    complete,
    st.sampled_from(NotCollected),
)


@given(complete | not_collected, st.integers(4, 15))
def test_round_trip_and_one_length(window: Aggregate, digits: int) -> None:
    """I6: the length follows from the policy (here the width of its fields), not from the window."""
    digits = max(5, digits)
    window = changed(window, fields=tuple(Field(field.name, "count", digits) for field in window.terms.fields))
    payload = aggregate.encode(window)
    assert aggregate.decode(payload) == window
    assert len(payload) == len(EXAMPLE_PACK) + 2 * (digits - 5)


@given(complete, st.integers(0, 600), st.integers(1, 255))
def test_any_changed_byte_is_refused_or_is_another_aggregate(window: Aggregate, at: int, flip: int) -> None:
    """Strict: what decodes re-encodes to the same bytes, and nothing but EncodingError escapes."""
    payload = bytearray(aggregate.encode(window))
    payload[at % len(payload)] ^= flip
    try:
        decoded = aggregate.decode(bytes(payload))
    except EncodingError:
        return
    assert decoded != window
    assert aggregate.encode(decoded) == bytes(payload)


@pytest.mark.parametrize(
    "change",
    [
        {"values": (-1, 1)},
        {"values": (100_000, 1)},
        {"values": (Cell.NOT_COLLECTED, 1)},
        {"values": (1,)},
        {"fields": (Field("bike", "count", 5),) * 2},
        {"fields": (), "values": ()},
        {"reason": NotCollected.GATE},
        {"coverage_percent": 51},
        {"coverage_percent": 105},
        {"window_start": 1_790_000_001},
        {"window_start": 5},
        {"disclosure_digest": b"short"},
        {"unit": "Fremont 01"},
        {"fields": (Field("bike", "count", aggregate.MAX_WIDTH + 1), Field("person", "count", 5))},
        {"noise_sd": Decimal(0)},
        {"threshold": -1},
        {"log_index": aggregate.MAX_LOG_INDEX},
    ],
)
def test_values_outside_their_bounds_do_not_encode(change: dict[str, object]) -> None:
    with pytest.raises(EncodingError):
        aggregate.encode(changed(EXAMPLE, **change))
