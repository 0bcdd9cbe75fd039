"""The stop order: who may stop says so, with a reason that everyone can read. Values and CBOR. Pure.

compiled = {0: 1, 1: city, 2: unit, 3: reason, 4: issued}      deterministic CBOR; unit "" means every unit of the city
"""

from dataclasses import dataclass
from typing import Any

from agent.contracts.public import TOPIC_NAME
from agent.errors import EncodingError, PolicyError
from agent.policy.fields import level, moment
from agent.policy.model import Unit
from agent.policy.values import instant, words
from agent.wire import cbor, toml

MAX_COMPILED_BYTES = 1024
MAX_REASON = 120
"""Characters: it is aired with the state."""

MAX_REASON_BYTES = 300
"""In UTF-8: the notice that is aired has room for it and for who signed."""

_NAME = "compiled stop order"


@dataclass(frozen=True, slots=True)
class StopOrder:
    """Stop `unit` ("name" or "site/name"; "" is every unit) of `city`. `signers` ("role/name") are who was verified, none before that.

    `issued` is the signer's clock in Unix seconds. An order is lifted only by a new policy: what is older than that has no effect.
    """

    city: str
    unit: str
    reason: str
    issued: int
    signers: tuple[str, ...]

    def covers(self, unit: Unit) -> bool:
        """Is `unit` told to stop?"""
        return self.city == unit.city and self.unit in ("", unit.name, f"{unit.site}/{unit.name}")


def stop_order(city: str, unit: str, reason: str, issued: int) -> StopOrder:
    """A checked order, not yet signed; raises PolicyError naming the field."""
    values = {"schema": 1, "city": city, "unit": unit, "reason": reason, "issued": moment(issued)}
    return _order_of(toml.tree(values, "stop order", PolicyError))


def compile_stop(order: StopOrder) -> bytes:
    """The one encoding of what the order says; who signed it is not part of it."""
    return cbor.encode({0: 1, 1: order.city, 2: order.unit, 3: order.reason, 4: order.issued})


def decompile_stop(data: bytes) -> StopOrder:
    """The order whose encoding is `data`, without signers; raises PolicyError for anything else."""
    try:
        item = cbor.decode(data, max_bytes=MAX_COMPILED_BYTES, max_depth=2)
    except EncodingError as bad:
        raise PolicyError(_NAME, expected="deterministic CBOR", got=str(bad)) from None
    order = _order_of(toml.tree(_tree(item), _NAME, PolicyError))
    if compile_stop(order) != data:
        raise PolicyError(_NAME, expected="the one encoding of its values", got="another one")
    return order


def _order_of(top: toml.Table) -> StopOrder:
    top.integer("schema", low=1, high=1, expected="1, the version of this form")
    order = StopOrder(
        city=level(top, "city"),
        unit=_unit(top),
        reason=_reason(top),
        issued=instant(top, "issued"),
        signers=(),
    )
    top.done()
    return order


def _reason(top: toml.Table) -> str:
    said = "the reason, as residents will read it"
    reason = words(top, "reason", MAX_REASON, said)
    if len(reason.encode()) > MAX_REASON_BYTES:
        top.refuse(
            "reason", expected=f"{said}, at most {MAX_REASON_BYTES} bytes of UTF-8", got=str(len(reason.encode()))
        )
    return reason


def _unit(top: toml.Table) -> str:
    """A unit's name, alone or behind its site, or "" for all."""
    expected = 'a unit such as "bridge-01" or "river-bridge/bridge-01", or "" for every unit of the city'
    unit: str = top.get("unit", str, expected)
    if unit and (unit.count("/") > 1 or not all(TOPIC_NAME.fullmatch(part) for part in unit.split("/"))):
        top.refuse("unit", expected=expected, got=toml.describe(unit))
    return unit


def _tree(item: Any) -> dict[str, Any]:
    """The fields by name from decoded CBOR; their values are checked by `_order_of`."""
    match item:
        case {0: schema, 1: city, 2: unit, 3: reason, 4: issued} if len(item) == 5:
            return {"schema": schema, "city": city, "unit": unit, "reason": reason, "issued": moment(issued)}
    raise PolicyError(_NAME, expected="a map with the keys 0 to 4", got="another shape")
