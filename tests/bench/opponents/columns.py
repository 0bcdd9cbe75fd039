"""CBOR columns of 8-byte times and 1-byte classes: the form that suits the libraries which count arrays."""

from collections.abc import Iterator
from itertools import pairwise

import cbor2
import numpy as np
from numpy.typing import NDArray

from tests.bench.opponents import common


def columns(chunk: bytes) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Times (ms since 1970) and class numbers of a chunk."""
    item = cbor2.loads(chunk)
    return np.frombuffer(item["t"], dtype="<i8"), np.frombuffer(item["class"], dtype=np.uint8)


def windows(chunks: list[bytes], window_ms: int) -> Iterator[NDArray[np.uint8]]:
    """The class numbers of each window, once the next has begun: readings come in order of time."""
    held: list[NDArray[np.uint8]] = []
    current = -1
    for chunk in chunks:
        times, classes = columns(chunk)
        numbers = times // window_ms
        begins = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(numbers)]
        for begin, end in pairwise(begins):
            number = int(numbers[begin])
            if number != current and held:
                yield np.concatenate(held)
                held = []
            current = number
            held.append(classes[begin:end])
    yield np.concatenate(held)


def published(noisy: NDArray[np.float64]) -> list[int | None]:
    """Rounded, and withheld under the threshold."""
    return [value if value >= common.TAU else None for value in np.rint(noisy).astype(np.int64).tolist()]
