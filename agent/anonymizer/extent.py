"""How far a release log goes: what its checkpoint says, and what each whole bundle of 256 entries comes to. Pure."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from agent.contracts.carried import State
from agent.contracts.log import Decision, Entry, newest_instant
from agent.contracts.log_file import extensions
from agent.errors import LogDamaged
from agent.wire.tiles import WIDTH
from agent.wire.tlog import Checkpoint, TreeHead

_ROW = struct.Struct("<Q32s")
BUNDLE_BYTES = _ROW.size


@dataclass(frozen=True, slots=True)
class Bundle:
    """A whole bundle: the byte of `releases` where its last entry ends, and the root (32 bytes) of its entries."""

    end: int
    root: bytes

    def encode(self) -> bytes:
        """40 bytes: `end` u64 little endian, `root`."""
        return _ROW.pack(self.end, self.root)


def decode_bundles(data: bytes, where: str) -> tuple[Bundle, ...]:
    """The bundles of a log from the first on, as the file `bundles` has them. A row that is not whole at the end is left out: a write that was
    cut short. Raises LogDamaged for places that are not in order; that they are this log's is for `resumption` to see."""
    rows = tuple(Bundle(*row) for row in _ROW.iter_unpack(data[: len(data) // _ROW.size * _ROW.size]))
    end = 0
    for number, bundle in enumerate(rows):
        if bundle.end <= end:
            raise LogDamaged(f"{where} row {number}", expected=f"a place behind byte {end}", got=f"byte {bundle.end}")
        end = bundle.end
    return rows


class Extent:
    """Entries so far: `end` is the byte where the last one ends, `decided` how many are governance's, `until` the newest instant (Unix seconds)
    that one speaks of."""

    def __init__(self) -> None:
        self.head = TreeHead()
        self.decided = 0
        self.until = 0
        self.end = 0
        self._bundle = TreeHead()

    @classmethod
    def resumed(cls, bundles: Sequence[Bundle], state: State) -> "Extent":
        """That of the entries in `bundles`, which came to `state`."""
        extent = cls()
        extent.head = TreeHead.over([bundle.root for bundle in bundles], WIDTH)
        extent.decided = len(state.decisions)
        extent.until = max([state.lost_until, state.newest_at, *(each.end for each in state.last)])
        extent.end = bundles[-1].end if bundles else 0
        return extent

    @property
    def size(self) -> int:
        """How many entries."""
        return self.head.size

    def copy(self) -> "Extent":
        """The same, to be added to independently."""
        same = Extent()
        same.decided, same.until, same.end = self.decided, self.until, self.end
        same.head, same._bundle = self.head.copy(), self._bundle.copy()
        return same

    def add(self, entry: Entry, body: bytes, end: int) -> Bundle | None:
        """One more entry, encoded as `body`, whose record ends at byte `end`; the bundle that it completes. Raises LogDamaged."""
        until = newest_instant(entry)
        self.head.append(body)
        self._bundle.append(body)
        self.decided += isinstance(entry, Decision)
        self.until = max(self.until, until)
        self.end = end
        if self._bundle.size < WIDTH:
            return None
        whole = Bundle(end, self._bundle.root())
        self._bundle = TreeHead()
        return whole

    def checkpoint(self, origin: str, end: int) -> Checkpoint:
        """What is signed of it; `end` is where the checkpoint's own record begins, which is where the last entry's ends."""
        return Checkpoint(origin, self.head.size, self.head.root(), extensions(end, self.decided, self.until))
