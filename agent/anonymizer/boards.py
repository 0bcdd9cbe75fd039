"""The sensor boards behind the connections to reading.sock: who said hello, who is alive. Pure."""

from dataclasses import dataclass

from agent.anonymizer.window import NS
from agent.contracts.board import Board

ALIVE_LIFETIME_NS = 5 * NS
"""A board says once a second that it is there; five chances before it counts as gone."""


@dataclass(slots=True)
class _Link:
    board: Board | None = None
    alive_until_ns: int = 0
    told: bool = False


class Boards:
    """One link a connection; a link without a board is one whose board has gone or has not said hello."""

    def __init__(self) -> None:
        self._links: dict[int, _Link] = {}

    def hello(self, connection: int, board: Board | None, boot_ns: int) -> None:
        """The board behind `connection` said hello, or (None) is gone."""
        self._links[connection] = _Link(board, boot_ns + ALIVE_LIFETIME_NS if board is not None else 0)

    def alive(self, connection: int, boot_ns: int) -> None:
        """The board behind `connection` says that it is there; nothing without a hello."""
        link = self._links.get(connection)
        if link is not None and link.board is not None:
            link.alive_until_ns = boot_ns + ALIVE_LIFETIME_NS

    def end(self, connection: int) -> None:
        """The connection ended."""
        self._links.pop(connection, None)

    def board(self, connection: int) -> Board | None:
        """The board behind `connection`."""
        link = self._links.get(connection)
        return link.board if link is not None else None

    def all(self) -> dict[int, Board]:
        """Every board, by its connection."""
        return {number: link.board for number, link in self._links.items() if link.board is not None}

    def alive_until_ns(self, offset_ns: int) -> dict[int, int]:
        """Until when each board counts as alive, boot time plus `offset_ns`."""
        return {n: link.alive_until_ns + offset_ns for n, link in self._links.items() if link.board is not None}

    def tell_once(self, connection: int) -> bool:
        """True the first time it is asked after a hello or after `tell_again`."""
        link = self._links.get(connection)
        if link is None or link.board is None or link.told:
            return False
        link.told = True
        return True

    def tell_again(self) -> None:
        """What a board measures has another meaning now."""
        for link in self._links.values():
            link.told = False
