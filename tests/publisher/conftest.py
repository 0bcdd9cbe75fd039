"""What most tests of the publisher begin with."""

from pathlib import Path

import pytest

from tests.publisher.unit_folders import UnitFolder


@pytest.fixture
def unit(tmp_path: Path) -> UnitFolder:
    """A unit's folders, with its state and disclosure in them."""
    folder = UnitFolder(tmp_path / "unit")
    folder.announce()
    return folder
