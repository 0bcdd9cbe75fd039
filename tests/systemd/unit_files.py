"""Reads unit files the way systemd does, as far as ours need it: drop-ins after the unit, lists that add up, an empty value that resets."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SYSTEMD = Path(__file__).parents[2] / "systemd"
HARDENING = SYSTEMD / "dtpr-.service.d" / "hardening.conf"
SERVICES = {
    "dtpr-firmware-bridge@.service",
    "dtpr-anonymizer.service",
    "dtpr-publisher.service",
    "dtpr-beacon.service",
}


@dataclass(frozen=True, slots=True)
class Unit:
    """Assignments in order: (section, key, value)."""

    name: str
    assignments: tuple[tuple[str, str, str], ...]

    def values(self, section: str, key: str) -> list[str]:
        """Every value of a key that is a list, after resets by an empty value."""
        values: list[str] = []
        for in_section, name, value in self.assignments:
            if (in_section, name) == (section, key):
                values = [*values, value] if value else []
        return values

    def words(self, section: str, key: str) -> list[str]:
        """The blank-separated words of a list."""
        return " ".join(self.values(section, key)).split()

    def value(self, section: str, key: str) -> str | None:
        """The value in force of a key that has one: the last."""
        values = self.values(section, key)
        return values[-1] if values else None

    def keys(self, section: str) -> set[str]:
        """Keys assigned in a section."""
        return {key for in_section, key, _ in self.assignments if in_section == section}


def read_unit(name: str) -> Unit:
    """One of our units; a service with the shared drop-in after it, as systemd merges them."""
    paths = [SYSTEMD / name, *([HARDENING] if name.endswith(".service") else [])]
    return Unit(name, tuple(assignment for path in paths for assignment in read_file(path)))


def read_file(path: Path) -> Iterator[tuple[str, str, str]]:
    """The assignments of one file."""
    section = ""
    for line in path.read_text().splitlines():
        if not line or line.startswith(("#", ";")):
            continue
        if line.startswith("["):
            section = line.strip("[]")
            continue
        key, equals, value = line.partition("=")
        assert equals, f"{path}: {line}"
        assert not value.endswith("\\"), "this reader knows no continued lines"
        yield section, key, value
