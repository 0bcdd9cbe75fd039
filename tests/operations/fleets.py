"""`dtpr-agent fleet simulate` as tests and measurements start it."""

import json
import subprocess
import sys
from pathlib import Path

from tests.brokers import Mosquitto

ROOT = Path(__file__).parents[2]
POLICY = ROOT / "config" / "policy.toml"


def simulate(broker: Mosquitto, keys: Path, *options: str, policy: Path = POLICY) -> subprocess.Popen[str]:
    """The command at this broker, begun; it writes the key directory to `keys`, and one JSON object at the end."""
    python = [sys.executable, "-m", "agent.cli.main", "fleet", "simulate"]
    where = ["--host", broker.host, "--port", str(broker.port), "--policy", str(policy), "--keys-out", str(keys)]
    return subprocess.Popen(
        [*python, *where, "--json", *options], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def done(simulation: subprocess.Popen[str], timeout_s: float) -> dict[str, float]:
    """What it said at its end; nothing where it only made keys."""
    output, errors = simulation.communicate(timeout=timeout_s)
    assert simulation.returncode == 0, errors
    return dict(json.loads(output)) if output else {}
