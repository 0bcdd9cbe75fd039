"""What a start takes from the release log: its ledger, and the newest figures. Pure.

Invariant: whether it was folded from the first entry or from a state that the log carries, it is the same (I4, AN-66).
"""

from agent.anonymizer.ledger import Ledger
from agent.anonymizer.newest import Newest
from agent.anonymizer.resumption import Resumption
from agent.contracts.log import Entry


class Known:
    """`resume` once, or not at all; then `fold` each entry in order."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.newest = Newest()

    def resume(self, found: Resumption) -> None:
        """What the entries come to that are not read; raises LogDamaged or PolicyError, and then knows nothing."""
        ledger = Ledger.restored(found.size, found.state, [found.named[index] for index in found.state.decisions])
        self.ledger = ledger
        for _, entry in sorted(found.named.items()):
            self.newest.see(entry)

    def fold(self, entry: Entry) -> None:
        """One more entry; raises LogDamaged for one that cannot follow those before it."""
        self.ledger.fold(entry)
        self.newest.see(entry)
