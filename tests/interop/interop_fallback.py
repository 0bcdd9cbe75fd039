"""The page's copy of @noble/ed25519 is, byte for byte, what npm fetches by the lock file, whose integrity npm checks."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from agent.cli.reader import SOURCE


def test_the_copy_is_the_locked_dependency(tmp_path: Path) -> None:
    """To renew it: change the version in agent/reader/npm/package.json, `npm install` there, copy index.js and LICENSE."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("needs npm")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(SOURCE / "npm" / name, tmp_path)
    done = subprocess.run(
        [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    fetched = tmp_path / "node_modules" / "@noble" / "ed25519"
    assert (fetched / "index.js").read_bytes() == (SOURCE / "noble-ed25519.js").read_bytes()
    assert (fetched / "LICENSE").read_bytes() == (SOURCE / "noble-ed25519.LICENSE.txt").read_bytes()
    assert json.loads((fetched / "package.json").read_text())["license"] == "MIT"
