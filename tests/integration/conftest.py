"""A short path for a demo's folder: Unix sockets lie below it."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def folder() -> Iterator[Path]:
    """Gone with the test."""
    with tempfile.TemporaryDirectory(prefix="dtpr-") as name:
        yield Path(name)
