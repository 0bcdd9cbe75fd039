"""agent/policy/stop: an order names a unit or all, has a reason that can be read aloud, and one encoding."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import PolicyError
from agent.policy.model import Unit
from agent.policy.stop import compile_stop, decompile_stop, stop_order
from agent.wire import cbor
from tests.policy.roots import NOW_S

ORDER = stop_order("springfield", "bridge-01", "It was not as announced", NOW_S)
UNIT = Unit(city="springfield", site="river-bridge", name="bridge-01")


def test_round_trip() -> None:
    """What is said comes back; who signed is not part of it."""
    assert decompile_stop(compile_stop(ORDER)) == ORDER
    assert ORDER.signers == ()


@pytest.mark.parametrize(
    ("city", "unit", "covered"),
    [
        ("springfield", "bridge-01", True),
        ("springfield", "river-bridge/bridge-01", True),
        ("springfield", "", True),
        ("springfield", "bridge-02", False),
        ("springfield", "school/bridge-01", False),
        ("springfield", "river-bridge", False),
        ("shelbyville", "bridge-01", False),
        ("shelbyville", "", False),
    ],
)
def test_whom_an_order_stops(city: str, unit: str, covered: bool) -> None:
    """SG-10: One unit by its name, alone or behind its site, or every unit of its city."""
    assert stop_order(city, unit, "a reason", NOW_S).covers(UNIT) is covered


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"reason": ""}, "reason: expected the reason"),
        ({"reason": "  "}, "reason"),
        ({"reason": "x" * 121}, "reason"),
        ({"reason": "\U0001f6d1" * 76}, "reason: .*at most 300 bytes"),
        ({"reason": "one\ntwo"}, "reason: .*on one line"),
        ({"reason": "left \u202eto right"}, "reason: .*direction character"),
        ({"reason": " blank first"}, "reason: .*blanks"),
        ({"unit": "a/b/c"}, "unit: expected a unit such as"),
        ({"unit": "Bridge"}, "unit"),
        ({"unit": "/"}, "unit"),
        ({"unit": "#"}, "unit"),
        ({"city": ""}, "city"),
        ({"city": "spring/field"}, "city"),
        ({"issued": 0}, "issued: expected a year from 2020"),
        ({"issued": 2**60}, "issued"),
    ],
)
def test_odd_orders_are_refused_by_field(change: dict[str, Any], words: str) -> None:
    """SG-10: Each with the field's name."""
    given_ = {"city": "springfield", "unit": "", "reason": "a reason", "issued": NOW_S, **change}
    with pytest.raises(PolicyError, match=f"stop order: {words}"):
        stop_order(**given_)


def changed(key: int, to: Any) -> bytes:
    item = cbor.decode(compile_stop(ORDER))
    item[key] = to
    return cbor.encode(item)


@pytest.mark.parametrize(
    "data",
    [
        changed(0, 2),
        changed(1, "Springfield"),
        changed(2, None),
        changed(3, ""),
        changed(3, b"bytes"),
        changed(4, "today"),
        changed(4, True),
        changed(4, -5),
        changed(4, 2**63),
        changed(5, 0),
        compile_stop(ORDER)[:-1],
        b"",
        b"x" * 10_000_000,
        b"\x81" * 100_000,
    ],
)
def test_other_bytes_are_refused(data: bytes) -> None:
    """No bytes decompile to an order that could not be given."""
    with pytest.raises(PolicyError):
        decompile_stop(data)


@given(st.binary(max_size=60))
def test_only_the_documented_error_escapes(data: bytes) -> None:
    """Whatever the bytes, a PolicyError."""
    with pytest.raises(PolicyError):
        decompile_stop(data)
