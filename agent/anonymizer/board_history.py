"""Which boards said hello, and with what firmware, as far as the log does not tell it yet (AN-123, AN-124). Pure.

Invariant: however often a board says something else, at most MAX_A_DAY entries a day come of it, and memory is bounded.
"""

from dataclasses import replace

from agent.contracts.board import Board
from agent.contracts.board_seen import BoardSeen, seen
from agent.contracts.log import Entry

MAX_A_DAY = 8
"""A unit has one board or two, and new firmware now and then; an afternoon of exchanging boards is told in full."""

DAY_NS = 86_400 * 1_000_000_000

MAX_BOARDS = 16
"""Remembered; a board that says another id each time makes the oldest be forgotten."""


class BoardHistory:
    """Fed with every hello; gives the entries for the next batch."""

    def __init__(self) -> None:
        self._told: dict[bytes, BoardSeen] = {}
        self._untold: dict[bytes, BoardSeen] = {}
        self._unsaid = False
        self._logged_boot_ns: list[int] = []

    def meet(self, board: Board, at: int | None) -> None:
        """A board said hello at `at` (Unix seconds), None while the clock is not trusted."""
        one = seen(board, at if at is not None else 0)
        before = self._untold.pop(one.board, None)
        if before is not None and before.said == one.said:
            self._untold[one.board] = before
            return
        self._unsaid |= before is not None
        told = self._told.get(one.board)
        if told is None or told.said != one.said:
            self._untold[one.board] = one
            if len(self._untold) > MAX_BOARDS:
                del self._untold[next(iter(self._untold))]
                self._unsaid = True

    def entries(self, boot_ns: int, utc_s: int) -> tuple[BoardSeen, ...]:
        """What may be logged now (boot time, Unix seconds): the longest known first."""
        self._logged_boot_ns = [each for each in self._logged_boot_ns if boot_ns - each < DAY_NS]
        ready = list(self._untold.values())[: MAX_A_DAY - len(self._logged_boot_ns)]
        return tuple(
            replace(each, at=min(each.at or utc_s, utc_s), unsaid=self._unsaid and number == 0)
            for number, each in enumerate(ready)
        )

    def logged(self, entry: Entry, boot_ns: int) -> None:
        """It is in the log."""
        if not isinstance(entry, BoardSeen):
            return
        self._logged_boot_ns.append(boot_ns)
        self._unsaid = False
        untold = self._untold.get(entry.board)
        if untold is not None and untold.said == entry.said:
            del self._untold[entry.board]
        self._told.pop(entry.board, None)
        self._told[entry.board] = entry
        if len(self._told) > MAX_BOARDS:
            del self._told[next(iter(self._told))]
