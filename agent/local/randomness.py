"""Random bytes from the kernel, for noise, keys and tokens. Nothing in this project may use `random` or `numpy.random`."""

import os


def random_bytes(count: int) -> bytes:
    """`count` bytes of getrandom(2)."""
    return os.urandom(count)


def fill_random(buffer: memoryview) -> None:
    """Overwrite `buffer` in place with bytes of the kernel's generator, for keys that must be overwritten later.

    os.urandom would leave a `bytes` object behind, which CPython frees without clearing. Waits until the generator is seeded.
    """
    os.getrandom(1)
    with open("/dev/urandom", "rb", buffering=0) as source:
        at = 0
        while at < len(buffer):
            at += source.readinto(buffer[at:]) or 0
