"""The key directory of a city: which unit has which signing key, taken from the units files that enough of its signers signed.

    {"v": 1, "city": "springfield", "version": 3, "units": {"springfield/river-bridge/bridge-01": "03a107bf…", …}}

Invariant: a directory is written only from verified units files; whoever reads one trusts the disk it lies on, as with any key file.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from agent.errors import MessageError, SettingsError
from agent.operations.keyring import MAX_KEYS
from agent.operations.log_copy import read_regular
from agent.policy.units import Units

MAX_DIRECTORY_BYTES = 32 << 20
"""MAX_KEYS units at 150 bytes."""


def encode_directory(files: Iterable[Units]) -> bytes:
    """One directory of several units files (a large city has one a district); raises SettingsError when they contradict each other."""
    units: dict[str, bytes] = {}
    owners: dict[bytes, str] = {}
    cities: set[str] = set()
    version = 0
    for file in files:
        cities.add(file.city)
        version = max(version, file.version)
        for unit in file.units:
            name, key = f"{file.city}/{unit.site}/{unit.name}", unit.public_key
            if units.setdefault(name, key) != key or owners.setdefault(key, name) != name:
                raise SettingsError("units", expected="one key a unit and one unit a key", got=f"{name} twice")
    if len(cities) != 1:
        raise SettingsError("units", expected="files of one city", got=", ".join(sorted(cities)) or "none")
    return write_directory(cities.pop(), version, units)


def write_directory(city: str, version: int, units: Mapping[str, bytes]) -> bytes:
    """A directory of these units: city/site/unit -> public key (32 bytes)."""
    keys = {name: key.hex() for name, key in sorted(units.items())}
    return (json.dumps({"v": 1, "city": city, "version": version, "units": keys}, indent=1) + "\n").encode()


def decode_directory(data: bytes, where: str) -> dict[str, bytes]:
    """city/site/unit -> public key (32 bytes); raises MessageError."""
    try:
        item = json.loads(data)
        if item["v"] != 1 or set(item) != {"v", "city", "version", "units"}:
            raise ValueError("another version")
        units = {str(name): bytes.fromhex(key) for name, key in item["units"].items()}
        if len(units) > MAX_KEYS or any(len(key) != 32 or name.count("/") != 2 for name, key in units.items()):
            raise ValueError("too many units, or a key or name of another form")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as bad:
        raise MessageError(
            where, expected="a key directory of `dtpr-agent fleet keys`", got=f"{type(bad).__name__}: {bad}"[:100]
        ) from None
    return units


def load_directory(path: Path) -> dict[str, bytes]:
    """The directory at `path`; raises MessageError, LogDamaged, StorageUnavailable."""
    return decode_directory(read_regular(path, MAX_DIRECTORY_BYTES), str(path))


def find_key(units: Mapping[str, bytes], origin: str) -> bytes:
    """The key of a unit; raises SettingsError when nobody vouches for one."""
    if origin not in units:
        raise SettingsError(
            "key directory",
            expected=f"a key for {origin}"[:200],
            got=f"{len(units)} other units",
            remedy="sign it into the units file, and make the directory again",
        )
    return units[origin]
