"""The key directory of a city: which unit has which signing key, taken from the units files that enough of its signers signed.

    {"v": 1, "city": "springfield", "version": 3, "units": {"springfield/river-bridge/bridge-01": "03a107bf…", …},
     "previous": {"springfield/river-bridge/bridge-01": [{"public_key": "8a88e3dd…", "until": 3}]}}

`previous`, absent without any, has the keys that a later file gave up, oldest first, each with the version from which on it no longer counts.

Invariant: a directory is written only from verified units files; whoever reads one trusts the disk it lies on, as with any key file.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.errors import MessageError, SettingsError
from agent.operations.keyring import MAX_KEYS, Superseded
from agent.operations.log_copy import read_regular
from agent.policy.units import Units

MAX_DIRECTORY_BYTES = 32 << 20
"""MAX_KEYS units at 150 bytes."""

MAX_PREVIOUS = 64
"""Of one unit: a rotation every three months for sixteen years."""


@dataclass(frozen=True, slots=True)
class Directory:
    """By city/site/unit: the key (32 bytes) of `units`, and those before it, oldest first."""

    units: Mapping[str, bytes]
    previous: Mapping[str, tuple[Superseded, ...]] = field(default_factory=dict)


def encode_directory(files: Iterable[Units]) -> bytes:
    """One directory of several units files: a large city has one a district, and a later version of one may name another key for a unit.
    Raises SettingsError when they contradict each other."""
    named: dict[str, dict[int, bytes]] = {}
    owners: dict[bytes, str] = {}
    cities: set[str] = set()
    version = 0
    for file in files:
        cities.add(file.city)
        version = max(version, file.version)
        for unit in file.units:
            name, key = f"{file.city}/{unit.site}/{unit.name}", unit.public_key
            known = named.setdefault(name, {})
            if known.setdefault(file.version, key) != key:
                raise SettingsError(
                    "units",
                    expected="one key a unit",
                    got=f"{name} with two in version {file.version}",
                    remedy="a rotated key belongs in a units file of a higher version",
                )
            if owners.setdefault(key, name) != name:
                raise SettingsError("units", expected="one unit a key", got=f"{name} and {owners[key]} with one")
    if len(cities) != 1:
        raise SettingsError("units", expected="files of one city", got=", ".join(sorted(cities)) or "none")
    units, previous = {}, {}
    for name in sorted(named):
        units[name], given_up = _standing(name, named[name])
        if given_up:
            previous[name] = given_up
    return write_directory(cities.pop(), version, units, previous)


def write_directory(
    city: str, version: int, units: Mapping[str, bytes], previous: Mapping[str, Sequence[Superseded]] | None = None
) -> bytes:
    """A directory of these units: city/site/unit -> public key (32 bytes), and the keys before it, oldest first."""
    item: dict[str, Any] = {"v": 1, "city": city, "version": version}
    item["units"] = {name: key.hex() for name, key in sorted(units.items())}
    if previous:
        item["previous"] = {
            name: [{"public_key": each.public_key.hex(), "until": each.until} for each in keys]
            for name, keys in sorted(previous.items())
        }
    return (json.dumps(item, indent=1) + "\n").encode()


def _standing(name: str, keys: Mapping[int, bytes]) -> tuple[bytes, list[Superseded]]:
    """The key of the highest version, and those before it."""
    present: bytes | None = None
    given_up: list[Superseded] = []
    for version, key in sorted(keys.items()):
        if present is not None and key != present:
            given_up.append(Superseded(present, version))
        if any(each.public_key == key for each in given_up):
            raise SettingsError(
                "units",
                expected="a key that was not given up before",
                got=f"{name} with an old one in version {version}",
            )
        present = key
    assert present is not None, "a unit is named by a file"
    return present, given_up[-MAX_PREVIOUS:]


def decode_directory(data: bytes, where: str) -> Directory:
    """Read one; raises MessageError."""
    try:
        item = json.loads(data)
        if item["v"] != 1 or set(item) - {"previous"} != {"v", "city", "version", "units"}:
            raise ValueError("another version")
        units = {str(name): bytes.fromhex(key) for name, key in item["units"].items()}
        previous = {str(name): tuple(map(_superseded, keys)) for name, keys in item.get("previous", {}).items()}
        if len(units) > MAX_KEYS or any(len(key) != 32 or name.count("/") != 2 for name, key in units.items()):
            raise ValueError("too many units, or a key or name of another form")
        for name, keys in previous.items():
            if not 0 < len(keys) <= MAX_PREVIOUS or units[name] in {each.public_key for each in keys}:
                raise ValueError("previous keys of a unit without a present one, or the present one among them")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as bad:
        raise MessageError(
            where, expected="a key directory of `dtpr-agent fleet keys`", got=f"{type(bad).__name__}: {bad}"[:100]
        ) from None
    return Directory(units, previous)


def _superseded(item: Any) -> Superseded:
    key, until = bytes.fromhex(item["public_key"]), item["until"]
    if set(item) != {"public_key", "until"} or len(key) != 32 or type(until) is not int:
        raise ValueError("a previous key of another form")
    return Superseded(key, until)


def load_directory(path: Path) -> Directory:
    """The directory at `path`; raises MessageError, LogDamaged, StorageUnavailable."""
    if path.is_dir():
        raise MessageError(
            str(path), expected="a key directory of `dtpr-agent fleet keys`, which is one file", got="a folder"
        )
    return decode_directory(read_regular(path, MAX_DIRECTORY_BYTES), str(path))


def find_keys(directory: Directory, origin: str, where: str = "key directory") -> tuple[bytes, ...]:
    """The key of a unit, and those before it, newest first; raises SettingsError when nobody vouches for one."""
    if origin not in directory.units:
        raise SettingsError(
            where,
            expected=f"a key for {origin}"[:200],
            got=f"{len(directory.units)} other units",
            remedy="sign it into the units file, and make the directory again",
        )
    return directory.units[origin], *(each.public_key for each in reversed(directory.previous.get(origin, ())))
