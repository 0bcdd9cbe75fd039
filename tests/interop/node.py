"""Node.js with what `make interop` (or `make bench`) has put into build/node."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from tests.brokers import free_port

FOLDER = Path(__file__).parents[2] / "build" / "node"
MODULES = FOLDER / "node_modules"
VARIABLES = {"NODE_PATH": str(MODULES), "NO_UPDATE_NOTIFIER": "1"}
NODE = {**os.environ, **VARIABLES}
NODE_RED = (
    'module.exports = { flowFile: "flows.json", uiHost: "127.0.0.1", disableEditor: true, telemetry: { enabled: false },'
    " externalModules: { autoInstall: false }, credentialSecret: false };"
)
"""Its settings: nothing that reaches out, and otherwise the defaults. Passwords stand in flows_cred.json as they are."""


def node(script: str) -> list[str]:
    """The command that runs `tests/node/<script>`."""
    assert MODULES.is_dir(), "build/node is empty: `make interop` fills it"
    return [shutil.which("node") or "node", str(Path(__file__).parents[1] / "node" / script)]


def node_red(folder: Path, flow: list[dict[str, Any]]) -> list[str]:
    """The command that runs Node-RED with this flow, its user directory being `folder`, which is made."""
    assert MODULES.is_dir(), "build/node is empty: `make interop` fills it"
    folder.mkdir()
    (folder / "flows.json").write_text(json.dumps(flow))
    (folder / "settings.js").write_text(NODE_RED)
    command = [str(MODULES / ".bin" / "node-red"), "--userDir", str(folder), "--settings", str(folder / "settings.js")]
    return [*command, "--port", str(free_port())]
