"""An MQTT 5 broker on a loopback port for the demo: mosquitto where it is installed, else rumqttd from the demo extra."""

import importlib.util
import json
import shutil
import socket
import sys
from pathlib import Path

from agent.errors import BrokerUnavailable

MAX_PAYLOAD_BYTES = 256 * 1024
"""Well above a disclosure with its datachain, our largest message."""


def free_port() -> int:
    """A loopback TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def broker_command(folder: Path, port: int, prefer: str = "") -> tuple[str, list[str]]:
    """(name, argv) of a broker that will listen on 127.0.0.1:`port` with its configuration in `folder`.

    `prefer` is "mosquitto", "iotcore" or "" for the first that is installed. Raises BrokerUnavailable when there is none.
    """
    mosquitto = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    if mosquitto and prefer in ("", "mosquitto"):
        configuration = folder / "mosquitto.conf"
        configuration.write_text(
            f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n", encoding="ascii"
        )
        return "mosquitto", [mosquitto, "-c", str(configuration)]
    if importlib.util.find_spec("iotcore") and prefer in ("", "iotcore"):
        configuration = folder / "rumqttd.toml"
        configuration.write_text(_rumqttd(port), encoding="ascii")
        options = json.dumps({"config_path": str(configuration)})
        # the broker ends by itself when the pipe on its standard input closes
        code = "import sys; from iotcore._serve import main; main()"
        return "rumqttd", [sys.executable, "-I", "-c", code, options]
    raise BrokerUnavailable(
        "MQTT broker",
        why="neither mosquitto nor iotcore is installed",
        remedy="apt install mosquitto, or run `make demo`",
    )


def _rumqttd(port: int) -> str:
    return f"""id = 0

[router]
id = 0
max_connections = 32
max_outgoing_packet_count = 200
max_segment_size = 1048576
max_segment_count = 10

[v5.1]
name = "v5-1"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1

[v5.1.connections]
connection_timeout_ms = 10000
max_payload_size = {MAX_PAYLOAD_BYTES}
max_inflight_count = 100
dynamic_filters = true
"""
