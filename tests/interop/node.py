"""Node.js with what `make interop` has put into build/node."""

import os
import shutil
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "build" / "node"
MODULES = FOLDER / "node_modules"
NODE = {**os.environ, "NODE_PATH": str(MODULES), "NO_UPDATE_NOTIFIER": "1"}


def node(script: str) -> list[str]:
    """The command that runs `tests/node/<script>`."""
    assert MODULES.is_dir(), "build/node is empty: `make interop` fills it"
    return [shutil.which("node") or "node", str(Path(__file__).parents[1] / "node" / script)]
