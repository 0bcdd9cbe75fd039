"""Bundles of few entries, so that a short life has many of them."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from agent.anonymizer import extent, ledger, resumption

OF_THE_LOG = (extent, ledger, resumption)
"""Where the width of a bundle counts in the anonymizer."""


@contextmanager
def bundles_of(width: int) -> Iterator[None]:
    """`width` entries a bundle, a power of two, in this process and in what it forks."""
    with pytest.MonkeyPatch.context() as patch:
        for module in OF_THE_LOG:
            patch.setattr(module, "WIDTH", width)
        yield
