"""SipHash-2-4 (Aumasson and Bernstein 2012) of many short identifiers at once, in buffers that are overwritten. Pure.

Invariant: neither the key nor an identifier nor a hash is ever in a Python object: key, messages, working state and hashes lie in arrays
that are allocated once, every operation writes into one of them, and `wipe` overwrites all. CPython frees `bytes`, `int` and hashlib's
objects without clearing them, so hashlib.blake2b(identifier, key=key) leaves all three behind: as its arguments, inside its state, and
in the digest.

SipHash is a keyed pseudorandom function: to anyone without the 128-bit key its values are as good as independent and uniform, whatever
identifiers they chose, which is what linear counting needs. Tabulation or multiply-shift hashing are faster, but only 3- or 2-independent:
addresses of one maker, which form grids, would collide in bunches, and the counter's error would depend on who walks by.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Fill = Callable[[memoryview], None]
"""Overwrites a buffer with uniform random bytes, without making an object of them."""

MAX_WIDTH = 16
"""Bytes of the longest identifier (contracts/reading)."""

CHUNK = 1024
"""Identifiers hashed at once: each working array is 8 KiB, and all of them stay in the fastest cache."""

KEY_BYTES = 16

_BLOCKS = MAX_WIDTH // 8 + 1
_START = (
    np.array([[0x736F6D6570736575], [0x6C7967656E657261]], dtype=np.uint64),
    np.array([[0x646F72616E646F6D], [0x7465646279746573]], dtype=np.uint64),
)
_LAST = np.uint64(0xFF)

Words = NDArray[np.uint64]


def _shifts(first: int, second: int) -> tuple[Words, Words]:
    left = np.array([[first], [second]], dtype=np.uint64)
    return left, np.uint64(64) - left


_FIRST, _SECOND = _shifts(13, 16), _shifts(17, 21)
_HALF = (np.array([32], dtype=np.uint64), np.array([32], dtype=np.uint64))
"""Rotations of v1 and v3 in both halves of a round, and of v0 and v2."""


class SipHash:
    """One key and the working memory for CHUNK identifiers."""

    def __init__(self) -> None:
        self._key = np.zeros((2, 1), dtype=np.uint64)
        self._words = np.zeros((_BLOCKS, CHUNK), dtype=np.uint64)
        self._even = np.zeros((2, CHUNK), dtype=np.uint64)
        self._odd = np.zeros((2, CHUNK), dtype=np.uint64)
        self._spare = np.zeros((2, CHUNK), dtype=np.uint64)
        self._used = 0

    def rekey(self, fill: Fill) -> None:
        """Take a new key from `fill`."""
        fill(self._key.data.cast("B"))

    def forget(self) -> None:
        """Overwrite the key and all that was derived from it."""
        self._key.fill(0)
        self.wipe()

    def wipe(self) -> None:
        """Overwrite identifiers, working state and hashes; the key stays."""
        for array in (self._words, self._even, self._odd, self._spare):
            array[:, : self._used] = 0
        self._used = 0

    def hashes(self, identifiers: NDArray[np.uint8]) -> Words:
        """The 64-bit hashes of `identifiers`, shape (n, width), n <= CHUNK, width <= MAX_WIDTH, in a view that holds until `wipe`.

        The paper's v0 and v2 are the rows of `even`, v1 and v3 those of `odd`.
        """
        count, width = identifiers.shape
        self._used = max(self._used, count)
        self._load(identifiers)
        even, odd, spare = self._even[:, :count], self._odd[:, :count], self._spare[:, :count]
        np.bitwise_xor(_START[0], self._key[:1], out=even)
        np.bitwise_xor(_START[1], self._key[1:], out=odd)
        for word in self._words[: width // 8 + 1, :count]:
            np.bitwise_xor(odd[1], word, out=odd[1])
            _round(even, odd, spare)
            _round(even, odd, spare)
            np.bitwise_xor(even[0], word, out=even[0])
        np.bitwise_xor(even[1], _LAST, out=even[1])
        for _ in range(4):
            _round(even, odd, spare)
        np.bitwise_xor(even, odd, out=even)
        hashed: Words = even[0]
        np.bitwise_xor(hashed, even[1], out=hashed)
        return hashed

    def _load(self, identifiers: NDArray[np.uint8]) -> None:
        """The message blocks: the identifier's bytes, zeros, and its width in the last byte of the last block."""
        count, width = identifiers.shape
        for block in range(width // 8 + 1):
            octets = self._words[block].view(np.uint8).reshape(CHUNK, 8)[:count]
            part = identifiers[:, 8 * block : 8 * block + 8]
            octets[:, : part.shape[1]] = part
            octets[:, part.shape[1] :] = 0
        octets[:, 7] = width


def _round(even: Words, odd: Words, spare: Words) -> None:
    """SipRound of the paper's figure 2.1, in place, both columns of the figure at once."""
    np.add(even, odd, out=even)
    _turn(odd, _FIRST, spare)
    np.bitwise_xor(odd, even, out=odd)
    _turn(even[0], _HALF, spare[0])
    np.add(even, odd[::-1], out=even)
    _turn(odd, _SECOND, spare)
    np.bitwise_xor(odd, even[::-1], out=odd)
    _turn(even[1], _HALF, spare[1])


def _turn(words: Words, shifts: tuple[Words, Words], spare: Words) -> None:
    """Rotate left by shifts[0]; shifts[1] is what is left of 64."""
    np.right_shift(words, shifts[1], out=spare)
    np.left_shift(words, shifts[0], out=words)
    np.bitwise_or(words, spare, out=words)
