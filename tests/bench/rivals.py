"""Two other ways from a board's serial port to a city's broker, as commands for a supervisor: ten lines of paho, and Node-RED 4.

Each is set up as its documentation says and otherwise left at its defaults; only the keep-alive is the same for all, so that all notice
a dead connection at the same time.
"""

import json
import sys
from pathlib import Path
from typing import Any

from agent.cli.demo.processes import Program
from tests.interop import node as interop
from tests.whole_unit import KEEPALIVE_S, Way

SCRIPT = Path(__file__).with_name("bare_paho.py")


def bare_paho(tty: Path, way: Way) -> Program:
    """The script."""
    command = [sys.executable, str(SCRIPT), str(tty), way.host, str(way.port), way.ca, way.password]
    return Program("bare", [*way.at, *command])


def node_red(folder: Path, tty: Path, way: Way) -> Program:
    """Serial in, JSON, MQTT out at QoS 1: three nodes dragged onto the page and wired."""
    broker = {
        "id": "broker",
        "type": "mqtt-broker",
        "broker": way.host,
        "port": str(way.port),
        "clientid": "nodered",
        "autoConnect": True,
        "usetls": bool(way.ca),
        "tls": "tls" if way.ca else "",
        "protocolVersion": "4",
        "keepalive": str(KEEPALIVE_S),
        "cleansession": True,
    }
    port = {
        "id": "port",
        "type": "serial-port",
        "serialport": str(tty),
        "serialbaud": "115200",
        "databits": "8",
        "parity": "none",
        "stopbits": "1",
        "newline": "\\n",
        "bin": "false",
        "out": "char",
    }
    flow: list[dict[str, Any]] = [
        {"id": "page", "type": "tab", "label": "board"},
        broker,
        port,
        {"id": "tls", "type": "tls-config", "cert": "", "key": "", "ca": way.ca, "verifyservercert": True, "servername": ""},
        {"id": "in", "type": "serial in", "z": "page", "serial": "port", "x": 100, "y": 100, "wires": [["json"]]},
        {"id": "json", "type": "json", "z": "page", "property": "payload", "action": "obj", "x": 300, "y": 100,
         "wires": [["out"]]},
        {"id": "out", "type": "mqtt out", "z": "page", "topic": "nodered/windows", "qos": "1", "retain": "false",
         "broker": "broker", "x": 500, "y": 100, "wires": []},
    ]  # fmt: skip
    command = interop.node_red(folder, flow)
    login = {"broker": {"user": "nodered", "password": way.password}} if way.password else {}
    (folder / "flows_cred.json").write_text(json.dumps(login))
    variables = ("/usr/bin/env", *(f"{name}={value}" for name, value in interop.VARIABLES.items()))
    return Program("nodered", [*way.at, *variables, *command])
