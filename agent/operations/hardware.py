"""Which sensor boards a unit had, and what ran on them, by the log: OP-52 of SPEC.md. What a board says of itself is no finding. Pure."""

from collections import deque

from agent.contracts.board_seen import BoardSeen

MAX_BOARDS = 1000
NEWEST = 100
"""Changes that are kept to be shown."""


class Hardware:
    """Folds the boards; a unit tells them anew after each start, which is no change."""

    def __init__(self) -> None:
        self.changes = 0
        self.newest: deque[BoardSeen] = deque(maxlen=NEWEST)
        self._boards: dict[bytes, BoardSeen] = {}

    def fold(self, entry: BoardSeen) -> None:
        """One more."""
        before = self._boards.get(entry.board)
        if before is not None and before.said == entry.said:
            return
        self.changes += 1
        self.newest.append(entry)
        if len(self._boards) >= MAX_BOARDS and before is None:
            self._boards.clear()
        self._boards[entry.board] = entry
