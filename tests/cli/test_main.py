"""The command itself: errors are one line and a status, and a reader that has seen enough is no error."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
POLICY = ROOT / "config" / "policy.toml"


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = f"set -o pipefail; {sys.executable} -m agent.cli.main policy check {POLICY} | head -n 1"
    done = subprocess.run(["/bin/bash", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("OK")


def test_an_error_is_one_line_and_the_status_of_its_class(tmp_path: Path) -> None:
    missing = tmp_path / "none.toml"
    argv = [sys.executable, "-m", "agent.cli.main", "policy", "check", str(missing)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert str(missing) in done.stderr
