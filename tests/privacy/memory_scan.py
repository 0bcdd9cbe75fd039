"""Looking through a process's memory for very many short secrets at once, in every form they may have taken."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

PREFIX = 6
"""Every form is at least so long; its first bytes are looked up in a table, all of it is then compared."""

_PIECE = 1 << 22

Forms = dict[bytes, str]
"""What to look for -> under which name."""


def address_forms(address: bytes) -> Iterator[tuple[bytes, str]]:
    """An address as it came, reversed, in hex with and without colons, and as CPython's int (digits of 30 bits)."""
    yield address, "raw"
    yield address[::-1], "reversed"
    for text in (address.hex(), address.hex(":")):
        yield text.encode(), "hex"
        yield text.upper().encode(), "hex"
    for order in (address, address[::-1]):
        number = int.from_bytes(order, "big")
        yield (number & (1 << 30) - 1).to_bytes(4, "little") + (number >> 30).to_bytes(4, "little"), "int"


def hash_forms(hashed: int) -> Iterator[tuple[bytes, str]]:
    """A 64-bit keyed hash in both byte orders, and in hex."""
    for order in ("little", "big"):
        yield hashed.to_bytes(8, order), "hash"
    yield f"{hashed:016x}".encode(), "hash"


def key_forms(key: bytes) -> Iterator[tuple[bytes, str]]:
    """Each half of a key, which is how it is worked with, as it came, reversed and in hex."""
    for half in (key[: len(key) // 2], key[len(key) // 2 :]):
        yield half, "key"
        yield half[::-1], "key"
        yield half.hex().encode(), "key"


class Scanner:
    """Finds any of `forms`."""

    def __init__(self, forms: Iterable[tuple[bytes, str]]) -> None:
        self._forms: Forms = dict(forms)
        heads = np.array([int.from_bytes(form[:PREFIX], "little") for form in self._forms], dtype=np.uint64)
        self._heads = np.unique(heads)
        self._table = np.zeros(1 << 24, dtype=np.bool_)
        self._table[(self._heads & np.uint64(0xFFFFFF)).astype(np.intp)] = True
        self._lengths = sorted({len(form) for form in self._forms})

    def names_in(self, content: bytes) -> list[str]:
        """Under which names something stands in `content`, one item a place."""
        found: list[str] = []
        reach = self._lengths[-1] - 1
        for at in range(0, len(content), _PIECE):
            piece = content[at : at + _PIECE + reach]
            for place in self._candidates(np.frombuffer(piece, dtype=np.uint8)):
                if place < _PIECE:
                    found += [
                        self._forms[piece[place : place + length]]
                        for length in self._lengths
                        if piece[place : place + length] in self._forms
                    ]
        return found

    def _candidates(self, octets: NDArray[np.uint8]) -> list[int]:
        """Places where the first PREFIX bytes are those of a form."""
        if octets.size < PREFIX:
            return []
        last = octets.size - PREFIX + 1
        low = octets[:last].astype(np.int32)
        low |= octets[1 : last + 1].astype(np.int32) << 8
        low |= octets[2 : last + 2].astype(np.int32) << 16
        places = np.flatnonzero(self._table[low])
        head = np.zeros(places.size, dtype=np.uint64)
        for byte in range(PREFIX):
            head |= octets[places + byte].astype(np.uint64) << np.uint64(8 * byte)
        at = np.minimum(np.searchsorted(self._heads, head), self._heads.size - 1)
        return [int(place) for place in places[self._heads[at] == head]]

    def names_in_process(self, pid: int) -> list[str]:
        """The same for all writable memory of a running process."""
        found: list[str] = []
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
            for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
                span = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
                if span is None:
                    continue
                memory.seek(int(span[1], 16))
                found += self.names_in(memory.read(int(span[2], 16) - int(span[1], 16)))
        return found
