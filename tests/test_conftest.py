"""A skip fails CI unless its reason is missing hardware or a missing ../shared."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CASES = """
import pytest

def test_runs(): pass

def test_skips(): pytest.skip({reason!r})
"""
WHOLE_FILE = """
import pytest
pytest.skip({reason!r}, allow_module_level=True)
"""


@pytest.mark.parametrize("source", [CASES, WHOLE_FILE], ids=["test", "file"])
@pytest.mark.parametrize(
    ("ci", "reason", "passes"),
    [
        ("true", "no mosquitto here", False),
        ("true", "missing hardware: no Bluetooth adapter", True),
        ("true", "missing ../shared: no counts to replay", True),
        ("false", "no mosquitto here", True),
    ],
)
def test_a_skip_fails_ci_unless_its_reason_is_accepted(
    tmp_path: Path, source: str, ci: str, reason: str, passes: bool
) -> None:
    conftest = Path(__file__).with_name("conftest.py").read_text()
    (tmp_path / "conftest.py").write_text(conftest)
    (tmp_path / "test_some.py").write_text(source.format(reason=reason))
    (tmp_path / "test_other.py").write_text("def test_runs(): pass\n")
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "CI": ci},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (ran.returncode == 0) is passes, ran.stdout + ran.stderr
    assert ("skipped in CI: " + reason in ran.stdout) is not passes
