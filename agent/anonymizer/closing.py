"""What is to be logged next: windows that close are governed and sealed, and every entry is folded into the ledger as it is made. Pure.

Invariants: the ledger that the next entry is made by holds all entries before it; what the log has is not changed by what is only drafted.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.anonymizer.govern import charge_for, release
from agent.anonymizer.ledger import Ledger
from agent.anonymizer.noise import RandomBytes
from agent.anonymizer.regime import Regime
from agent.anonymizer.seal import seal
from agent.anonymizer.tally import Outcome
from agent.contracts.aggregate import Cell
from agent.contracts.cells import SINCE
from agent.contracts.log import Entry, carrying


@dataclass(frozen=True, slots=True)
class Due:
    """Entries to append together, and the windows they stand for."""

    entries: tuple[Entry, ...]
    outcomes: tuple[Outcome, ...] = ()


class Draft:
    """Entries after those of `logged`, which stays as it is; `ledger` is a copy of it from the first entry on."""

    def __init__(self, logged: Ledger) -> None:
        self.logged = self.ledger = logged
        self._entries: list[Entry] = []
        self._outcomes: list[Outcome] = []

    @property
    def due(self) -> Due:
        """All so far."""
        return Due(tuple(self._entries), tuple(self._outcomes))

    def fold(self, entry: Entry) -> None:
        """Add an entry; raises what Ledger.fold does."""
        self.carry()
        self._add(entry)

    def carry(self) -> None:
        """Where the next entry is the first of a bundle, it is the state."""
        if self.ledger.carries:
            self._add(carrying(self.ledger.state))

    def _add(self, entry: Entry) -> None:
        if not self._entries:
            self.ledger = self.logged.copy()
        self.ledger.fold(entry)
        self._entries.append(entry)

    def fold_gaps(self, closing: Mapping[tuple[int, str], int], now_s: int) -> None:
        """Add what was never closed although its time has passed (Ledger.gaps)."""
        for gap in list(self.ledger.gaps(closing, now_s)):
            self.fold(gap)

    def close(
        self,
        regime: Regime,
        number: int,
        count: int,
        key: Ed25519PrivateKey,
        random_bytes: RandomBytes,
        *,
        cbor: bool = False,
    ) -> int:
        """Close and govern together the next windows of a stream, at most `count`, that are under the same terms; returns how many."""
        windows = regime.windows[number]
        starts = range(
            windows.next_start, windows.next_start + count * windows.stream.window_s, windows.stream.window_s
        )
        terms = regime.terms(number, windows.next_start, self.ledger)
        block = windows.close_block(
            next(
                (place for place, at in enumerate(starts) if regime.terms(number, at, self.ledger) is not terms), count
            )
        )
        numbers = terms.numbers(block.start, block.contents, random_bytes)
        for place in range(len(block)):
            closed = block[place]
            charge, reason = charge_for(closed, terms, self.ledger)
            self.carry()
            governed = release(
                numbers, place, closed.start, closed.coverage_percent, terms, charge, reason, self.ledger.size
            )
            self.fold(seal(governed, charge, key, cbor=cbor))
            published = any(not isinstance(value, Cell) for name, value in governed.cells if name != SINCE)
            accounted = (closed.readings, closed.over_rate) if regime.accounts[number] else (0, 0)
            self._outcomes.append(Outcome(terms.stream.name, *accounted, reason, published))
        return len(block)
