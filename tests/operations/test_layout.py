"""agent/operations/layout: fast reading returns what strict reading returns, or nothing."""

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from agent.contracts import aggregate
from agent.contracts.aggregate import Cell, NotCollected
from agent.errors import EncodingError
from agent.operations.layout import Layout, pack_of
from tests.fuzz import mutation
from tests.fuzz.seeds import PACK

SAID = aggregate.decode(PACK)
LAYOUT = Layout(PACK, SAID)


@given(st.data())
def test_the_same_as_strict_reading(data: st.DataObject) -> None:
    """Every window that the layout can have, from the layout of one of them."""
    reason = data.draw(st.one_of(st.none(), st.sampled_from(NotCollected)))
    value = (
        st.just(Cell.NOT_COLLECTED)
        if reason is not None
        else st.one_of(st.just(Cell.SUPPRESSED), st.integers(0, 10**SAID.value_digits - 1))
    )
    changed = dataclasses.replace(
        SAID,
        reason=reason,
        window_start=900 * data.draw(st.integers(10**9 // 900 + 1, 10**10 // 900 - 1)),
        coverage_percent=5 * data.draw(st.integers(0, 20)),
        log_index=data.draw(st.integers(0, 10**15 - 1)),
        cells=tuple((name, data.draw(value)) for name, _ in SAID.cells),
    )
    assert LAYOUT.read(aggregate.encode(changed)) == pack_of(changed)


@given(mutation.inputs((PACK,)))
def test_what_strict_reading_refuses_is_not_read(payload: bytes) -> None:
    """Positive control: whatever is read at all is a pack, and reads the same."""
    found = LAYOUT.read(payload)
    if found is None:
        return
    try:
        strict = aggregate.decode(payload)
    except EncodingError:
        raise AssertionError(f"read {payload!r}") from None
    assert found == pack_of(strict)


def test_other_padding_and_impossible_values_are_not_read() -> None:
    for old, new in (
        (b'"v":23  }', b'"v": 23 }'),
        (b'"v":23  }', b'"v":0023}'),
        (b"0.95", b"0.97"),
        (b"0.95", b"1.05"),
        (b'"complete"             ', b'"complete" "            '),
        (b"1790000100", b"1790000101"),
        (b'"v":17             ', b'"v":017            '),
        (b'"vs":"suppressed"   ', b'"vs":"not_collected"'),
        (b"4.000", b"3.999"),
        (b"bike", b"face"),
    ):
        changed = PACK.replace(old, new)
        assert changed != PACK
        assert LAYOUT.read(changed) is None, new
    assert LAYOUT.read(PACK) == pack_of(SAID)
