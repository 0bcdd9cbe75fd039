"""agent/operations/layout: fast reading returns what strict reading returns, or nothing."""

import dataclasses
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.contracts import aggregate
from agent.contracts.aggregate import Cell, Field, NotCollected, Value
from agent.contracts.cells import COUNT, DEVICES, SINCE
from agent.errors import EncodingError
from agent.operations.layout import Layout, pack_of
from tests import packs
from tests.fuzz import mutation

LAYOUTS = {name: Layout(aggregate.encode(pack), pack) for name, pack in packs.ALL.items()}


def values(field: Field, threshold: int) -> st.SearchStrategy[Value]:
    """What the cell may hold in a complete window."""
    suppressed = [st.just(Cell.SUPPRESSED)] if threshold and field.name != SINCE else []
    if not field.unit:
        return st.one_of(st.sampled_from(["to_900s", "a", "z9_"]), *suppressed)
    if field.name == SINCE:
        return st.integers(10**9, 10**10 - 1)
    if field.unit == COUNT and field.name != DEVICES[1]:
        low = 0 if threshold else 1 - 10 ** (field.width - 1)
        return st.one_of(st.integers(low, 10**field.width - 1), *suppressed)
    scaled = st.integers(-99, 999).map(lambda n: Decimal(n).scaleb(-1))
    return st.one_of(scaled.filter(lambda d: d >= 0 or field.unit != COUNT).filter(_plain), *suppressed)


def _plain(value: Decimal) -> bool:
    return not (value.is_zero() and value.is_signed())


@pytest.mark.parametrize("name", packs.ALL)
@given(st.data())
def test_the_same_as_strict_reading(name: str, data: st.DataObject) -> None:
    """Every window that the layout can have, from the layout of one of them."""
    said = packs.ALL[name]
    terms = said.terms
    reason = data.draw(st.one_of(st.none(), st.sampled_from(NotCollected)))
    window_s = terms.window_s
    changed = dataclasses.replace(
        said,
        reason=reason,
        window_start=window_s * data.draw(st.integers(10**9 // window_s + 1, 10**10 // window_s - 1)),
        coverage_percent=5 * data.draw(st.integers(0, 20)),
        log_index=data.draw(st.integers(0, 10**15 - 1)),
        values=tuple(
            Cell.NOT_COLLECTED if reason else data.draw(values(field, terms.threshold)) for field in terms.fields
        ),
    )
    try:
        payload = aggregate.encode(changed)
    except EncodingError:  # a number too wide for this cell
        return
    assert LAYOUTS[name].read(payload) == pack_of(aggregate.decode(payload)) == pack_of(changed)


@pytest.mark.parametrize("name", packs.ALL)
@given(st.data())
def test_what_strict_reading_refuses_is_not_read(name: str, data: st.DataObject) -> None:
    """Positive control: whatever is read at all is a pack, and reads the same."""
    payload = data.draw(mutation.inputs((aggregate.encode(packs.ALL[name]),)))
    found = LAYOUTS[name].read(payload)
    if found is None:
        return
    try:
        strict = aggregate.decode(payload)
    except EncodingError:
        raise AssertionError(f"read {payload!r}") from None
    assert found == pack_of(strict)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("count", b'"v":23  }', b'"v": 23 }'),
        ("count", b'"v":23  }', b'"v":0023}'),
        ("count", b'"v":23  }', b'"v":-23 }'),
        ("count", b'"v":23  }', b'"v":2.30}'),
        ("count", b"0.95", b"0.97"),
        ("count", b"0.95", b"1.05"),
        ("count", b'"complete"             ', b'"complete" "            '),
        ("count", b"1800000000", b"1800000001"),
        ("count", b'"v":17             ', b'"v":017            '),
        ("count", b'"vs":"suppressed"   ', b'"vs":"not_collected"'),
        ("count", b"4.000", b"3.999"),
        ("count", b"bike", b"face"),
        ("every number", b'"v":-3  }', b'"v":-0  }'),
        ("every number", b'"v":-3', b'"vs":"suppressed"'),
        ("totals", b"12.740", b"12.739"),
        ("totals", b'"u":"s","v":1799971200', b'"u":"s","v":0799971200'),
        ("scalar", b'"v":612.5 }', b'"v":0612.5}'),
        ("none", b'"v":-3.5  }', b'"v":-03.5 }'),
        ("unique", b'"vs":"estimate"', b'"vs":"Estimate"'),
        ("unique", b'"v":3.790    ', b'"v":03.790   '),
    ],
)
def test_other_padding_and_impossible_values_are_not_read(name: str, old: bytes, new: bytes) -> None:
    payload = aggregate.encode(packs.ALL[name])
    changed = payload.replace(old, new)
    assert changed != payload
    assert LAYOUTS[name].read(changed) is None
    assert LAYOUTS[name].read(payload) == pack_of(packs.ALL[name])
