"""The vectorised keyed hash: the paper's values, any width and number, and nothing left in its buffers."""

import os
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.anonymizer.siphash import CHUNK, KEY_BYTES, MAX_WIDTH, SipHash
from agent.local.randomness import fill_random
from tests.anonymizer.siphash_reference import siphash

KEY = bytes(range(KEY_BYTES))


def keyed(key: bytes = KEY) -> SipHash:
    hasher = SipHash()
    hasher.rekey(lambda buffer: buffer.__setitem__(slice(None), key))
    return hasher


def arrays(hasher: SipHash) -> Iterator[NDArray[np.uint64]]:
    yield from (hasher._key, hasher._words, hasher._even, hasher._odd, hasher._spare)


def test_the_value_of_the_paper() -> None:
    """Aumasson and Bernstein 2012, appendix A: key 00 .. 0f, message 00 .. 0e."""
    message = bytes(range(15))
    assert siphash(KEY, message) == 0xA129CA6149BE45E5
    assert keyed().hashes(np.frombuffer(message, dtype=np.uint8).reshape(1, 15)).tolist() == [0xA129CA6149BE45E5]


@pytest.mark.parametrize("width", range(1, MAX_WIDTH + 1))
def test_against_the_plain_one(width: int) -> None:
    """AN-411: every width, in one buffer that held others before."""
    key = os.urandom(KEY_BYTES)
    hasher = keyed(key)
    for count in (CHUNK, 1, 37):
        packed = os.urandom(width * count)
        hashes = hasher.hashes(np.frombuffer(packed, dtype=np.uint8).reshape(count, width)).tolist()
        for at in range(0, count, max(1, count // 50)):
            assert hashes[at] == siphash(key, packed[width * at : width * (at + 1)])


def test_everything_is_overwritten() -> None:
    """AN-412: after `wipe` nothing but the key is left, after `forget` nothing; before it all was there (the control)."""
    hasher = keyed()
    hasher.hashes(np.frombuffer(os.urandom(16 * CHUNK), dtype=np.uint8).reshape(CHUNK, 16))
    assert all(array.any() for array in arrays(hasher))
    hasher.wipe()
    assert [array.any() for array in arrays(hasher)] == [True, False, False, False, False]
    hasher.hashes(np.frombuffer(os.urandom(6), dtype=np.uint8).reshape(1, 6))
    hasher.forget()
    assert not any(array.any() for array in arrays(hasher))


def test_keys_come_from_the_kernel_in_place() -> None:
    """Two keys differ, every byte of the buffer is written, and a buffer of any length can be filled."""
    one, other = bytearray(1000), bytearray(1000)
    fill_random(memoryview(one))
    fill_random(memoryview(other))
    assert one != other
    assert len(set(one)) > 200
    assert not any(one[at : at + 8] == bytes(8) for at in range(993))
