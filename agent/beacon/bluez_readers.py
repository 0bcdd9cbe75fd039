"""Who is connected to our adapter, so that a reader who stays is let go (SPEC.md, BE-16). No input or output: object paths and instants in, paths out.

Invariant: a path is kept no longer than the connection, and is told to nobody: it holds an address (BE-8).
"""

from collections.abc import Mapping
from typing import Any

from agent.beacon.radio import READER_LIMIT_S

DEVICE = "org.bluez.Device1"


class Readers:
    """The connected devices of the adapter at `adapter`, an object path; `now` is a monotonic clock's reading in seconds."""

    def __init__(self, adapter: str) -> None:
        self._below = f"{adapter}/dev_"
        self._until: dict[str, float] = {}

    def see(self, path: str, interfaces: Mapping[str, Mapping[str, Any]], now: float) -> None:
        """An object as GetManagedObjects or InterfacesAdded tells of it."""
        if DEVICE in interfaces:
            self.change(path, interfaces[DEVICE], now)

    def change(self, path: str, properties: Mapping[str, Any], now: float) -> None:
        """Properties of a Device1 changed."""
        connected = properties.get("Connected")
        if connected is None or not path.startswith(self._below):
            return
        if connected.value is True:
            self._until.setdefault(path, now + READER_LIMIT_S)
        else:
            self.forget(path)

    def forget(self, path: str) -> None:
        """It is gone."""
        self._until.pop(path, None)

    def overdue(self, now: float) -> tuple[str, ...]:
        """Whose time is over; each is told once more after another READER_LIMIT_S."""
        found = tuple(path for path, until in self._until.items() if now >= until)
        for path in found:
            self._until[path] = now + READER_LIMIT_S
        return found

    def next_s(self, now: float) -> float:
        """Seconds until the next one is overdue."""
        return max(0.0, min(self._until.values(), default=float("inf")) - now)


def is_stranger(properties: Mapping[str, Any]) -> bool:
    """Is this device neither paired nor trusted? Whoever paired one with this computer wants it connected."""
    return not any(name in properties and properties[name].value is True for name in ("Paired", "Trusted", "Bonded"))
