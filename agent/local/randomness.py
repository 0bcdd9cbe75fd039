"""Random bytes from the kernel, for noise, keys and tokens. Nothing in this project may use `random` or `numpy.random`."""

import os


def random_bytes(count: int) -> bytes:
    """`count` bytes of getrandom(2)."""
    return os.urandom(count)
