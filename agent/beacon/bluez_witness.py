"""A second adapter that listens whether the first is heard (SPEC.md, BE-41). No input or output: object paths, properties and instants in.

Invariant: `hears` is True only for a name that this adapter reported within HEARD_LASTS_S. Nothing is kept of devices with other names.
"""

from collections.abc import Mapping
from typing import Any

from dbus_fast import Variant

from agent.beacon.advertisement import SERVICE
from agent.beacon.bluez_readers import DEVICE

HEARD_LASTS_S = 10.0
"""Thirty advertising intervals: a scanner that shares its radio with Wi-Fi misses most of them, not all."""


class Witness:
    """What the adapter at `adapter`, an object path, has heard of `name`; `now` is a monotonic clock's reading in seconds."""

    def __init__(self, adapter: str) -> None:
        self.adapter = adapter
        self._name = ""
        self._path = ""
        self._heard_at = float("-inf")

    def expect(self, name: str) -> None:
        """From now on this name counts, and it has not been heard."""
        if name != self._name:
            self._name, self._path, self._heard_at = name, "", float("-inf")

    def know(self, path: str, interfaces: Mapping[str, Mapping[str, Any]]) -> None:
        """A device that BlueZ remembers: which of them has the name, not that it was heard."""
        name = interfaces.get(DEVICE, {}).get("Name")
        if name is not None:
            self.change(path, {"Name": name}, float("-inf"))

    def see(self, path: str, interfaces: Mapping[str, Mapping[str, Any]], now: float) -> bool:
        """An object as InterfacesAdded tells of it; True when the name was heard."""
        return DEVICE in interfaces and self.change(path, interfaces[DEVICE], now)

    def change(self, path: str, properties: Mapping[str, Any], now: float) -> bool:
        """Properties of a Device1 changed; True when the name was heard. BlueZ tells of each report by its RSSI."""
        if not path.startswith(f"{self.adapter}/dev_"):
            return False
        name = properties.get("Name")
        if name is not None:
            if name.value == self._name:
                self._path = path
            elif path == self._path:
                self._path = ""
        if path != self._path or "RSSI" not in properties:
            return False
        self._heard_at = now
        return True

    def hears(self, now: float) -> bool:
        """Was it heard just now?"""
        return now - self._heard_at <= HEARD_LASTS_S


def discovery_filter() -> dict[str, Variant]:
    """Only our service, and each report (doc/adapter-api.txt of BlueZ 5.66)."""
    return {
        "UUIDs": Variant("as", [str(SERVICE)]),
        "Transport": Variant("s", "le"),
        "DuplicateData": Variant("b", True),
    }
