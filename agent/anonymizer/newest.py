"""Of each stream the newest figures in the log: what a phone is shown as last published. Pure.

Invariant: only entries that are in the log are seen, so nothing is shown here before it is released (I4).
"""

from collections.abc import Iterable

from agent.contracts.latest import Figures, figures_of
from agent.contracts.log import Entry, Release


class Newest:
    """The newest Release of each stream, decoded only when it is asked for."""

    def __init__(self) -> None:
        self._releases: dict[str, Release] = {}
        self._figures: dict[str, Figures] = {}

    def see(self, entry: Entry) -> None:
        """One more entry is in the log."""
        if isinstance(entry, Release):
            self._releases[entry.stream] = entry
            self._figures.pop(entry.stream, None)

    def of(self, streams: Iterable[str]) -> tuple[Figures, ...]:
        """The figures of those of `streams` that have any; raise LogDamaged."""
        found = []
        for name in streams:
            release = self._releases.get(name)
            if release is not None:
                if name not in self._figures:
                    self._figures[name] = figures_of(release)
                found.append(self._figures[name])
        return tuple(found)
