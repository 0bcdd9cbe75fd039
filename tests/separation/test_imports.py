"""What each daemon's process has really loaded once it is running: the import rules, seen from inside (I1, DESIGN.md section 4)."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.separation.running import DAEMONS, run_daemon

RUN = """
import json, runpy, sys
told, module, *sys.argv[1:] = sys.argv[1:]
try:
    runpy.run_module(module, run_name="__main__", alter_sys=True)
finally:
    with open(told, "w") as file:
        json.dump(sorted(sys.modules), file)
"""

OTHERS: Mapping[str, set[str]] = {
    "firmware_bridge": {
        "agent.anonymizer",
        "agent.publisher",
        "agent.beacon",
        "agent.disclosure",
        "agent.policy",
        "agent.operations",
        "agent.cli",
        "firmware_bridge.simulator",
        "cryptography",
        "numpy",
        "paho",
        "ssl",
        "dbus_fast",
        "bumble",
        "rich",
    },
    "agent.anonymizer": {
        "agent.publisher",
        "agent.beacon",
        "agent.operations",
        "agent.cli",
        "firmware_bridge",
        "paho",
        "ssl",
        "dbus_fast",
        "bumble",
        "serial",
        "rich",
        "agent.contracts.pack_cbor",  # not where packs are in JSON (AN-110)
        "agent.wire.senml_cbor",
        "shutil",  # half a MiB
    },
    "agent.publisher": {
        "agent.contracts.reading",
        "agent.contracts.lease",
        "agent.anonymizer",
        "agent.beacon",
        "agent.operations",
        "agent.cli",
        "firmware_bridge",
        "cryptography",
        "numpy",
        "dbus_fast",
        "bumble",
        "serial",
        "rich",
    },
    "agent.beacon": {
        "agent.contracts.reading",
        "agent.contracts.log",
        "agent.anonymizer",
        "agent.publisher",
        "agent.operations",
        "agent.cli",
        "firmware_bridge",
        "cryptography",
        "numpy",
        "paho",
        "bumble",  # not with BlueZ
        "serial",
        "rich",
    },
}
"""What must not be in a daemon's process."""

OWN: Mapping[str, set[str]] = {
    "firmware_bridge": {"firmware_bridge.daemon", "agent.contracts.reading", "serial"},
    "agent.anonymizer": {"agent.anonymizer.daemon", "agent.contracts.reading", "agent.contracts.lease", "numpy"},
    "agent.publisher": {"agent.publisher.daemon", "agent.contracts.log", "paho"},
    "agent.beacon": {"agent.beacon.daemon", "agent.contracts.lease", "dbus_fast"},
}
"""What must be there: proof that the list is the running daemon's, and that a name in OTHERS would be found."""


@pytest.mark.parametrize("daemon", DAEMONS)
def test_a_running_daemon_has_loaded_its_own_and_nothing_else(daemon: str, tmp_path: Path) -> None:
    """Runs the real main module to READY=1 and a little on, ends it by SIGTERM, and reads sys.modules."""
    told = tmp_path / "modules"
    run_daemon(daemon, tmp_path, [sys.executable, "-c", RUN, str(told)])
    loaded = set(json.loads(told.read_text()))
    assert OWN[daemon] <= loaded
    assert {name for name in loaded if any(_within(name, other) for other in OTHERS[daemon])} == set()


def _within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")
