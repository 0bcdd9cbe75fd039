"""The units file: which public key belongs to which unit, vouched for by the city's signers. Text, values and CBOR. Pure.

compiled = {0: 1, 1: version, 2: city, 3: [[site, name, public key], …]}      deterministic CBOR
"""

from dataclasses import dataclass
from typing import Any

from agent.errors import EncodingError, PolicyError
from agent.policy.fields import level, public_key
from agent.wire import cbor, toml

MAX_UNITS = 500
"""What fits a signed file of 64 KiB; a larger city has several, one a district."""

MAX_COMPILED_BYTES = 60 * 1024

_NAME = "compiled units"


@dataclass(frozen=True, slots=True)
class VouchedUnit:
    """One unit and its signing key: 32 bytes, Ed25519."""

    site: str
    name: str
    public_key: bytes


@dataclass(frozen=True, slots=True)
class Units:
    """The units of one city; no unit and no key stands twice."""

    version: int
    city: str
    units: tuple[VouchedUnit, ...]


def parse_units(text: str | bytes, name: str) -> Units:
    """Read and check a units.toml; `name` is what messages call the file. Raises PolicyError with file:line."""
    return _units_of(toml.parse(text, name, PolicyError))


def compile_units(units: Units) -> bytes:
    """The one encoding of `units`."""
    vouched = [[unit.site, unit.name, unit.public_key] for unit in units.units]
    return cbor.encode({0: 1, 1: units.version, 2: units.city, 3: vouched})


def decompile_units(data: bytes) -> Units:
    """The units whose encoding is `data`, by the rules that a text must keep; raises PolicyError for anything else."""
    try:
        item = cbor.decode(data, max_bytes=MAX_COMPILED_BYTES, max_depth=4)
    except EncodingError as bad:
        raise PolicyError(_NAME, expected="deterministic CBOR", got=str(bad)) from None
    units = _units_of(toml.tree(_tree(item), _NAME, PolicyError))
    if compile_units(units) != data:
        raise PolicyError(_NAME, expected="the one encoding of its values", got="another one")
    return units


def _units_of(top: toml.Table) -> Units:
    top.integer("schema", low=1, high=1, expected="1, the version of this file's form")
    version = top.integer("version", low=1, high=2**31 - 1)
    city = level(top, "city")
    units: dict[tuple[str, str], VouchedUnit] = {}
    keys: dict[bytes, str] = {}
    for table in top.tables("unit", high=MAX_UNITS):
        unit = VouchedUnit(level(table, "site"), level(table, "name"), public_key(table, "public_key"))
        table.done()
        if (unit.site, unit.name) in units:
            table.refuse("name", expected="a unit that is not above", got=f"{unit.site}/{unit.name} twice")
        if unit.public_key in keys:
            table.refuse(
                "public_key",
                expected="a key that no other unit has",
                got=f"the key of {keys[unit.public_key]} above",
                remedy="each unit makes an own key with `dtpr-agent key new`",
            )
        units[unit.site, unit.name] = unit
        keys[unit.public_key] = f"{unit.site}/{unit.name}"
    top.done()
    return Units(version, city, tuple(units.values()))


def _tree(item: Any) -> dict[str, Any]:
    """The tables of a units.toml from decoded CBOR; only shapes are checked here, values by the parser."""
    match item:
        case {0: schema, 1: version, 2: city, 3: list() as units} if len(item) == 4:
            return {"schema": schema, "version": version, "city": city, "unit": [_unit_tree(unit) for unit in units]}
    raise PolicyError(_NAME, expected="a map with the keys 0 to 3, of their shapes", got="another shape")


def _unit_tree(item: Any) -> dict[str, Any]:
    match item:
        case [site, name, bytes() as key]:
            return {"site": site, "name": name, "public_key": key.hex()}
    raise PolicyError(_NAME, expected="[site, name, public key]", got="another shape")
