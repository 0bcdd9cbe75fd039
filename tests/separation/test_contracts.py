"""The import rules of DESIGN.md section 4 hold, bite, and leave no module out."""

import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import grimp
import pytest

PROJECT = Path(__file__).parents[2]
SHELLS = {
    "agent",
    "agent.anonymizer",
    "agent.anonymizer.__main__",
    "agent.anonymizer.announcement",
    "agent.anonymizer.bundle_file",
    "agent.anonymizer.checkpoint",
    "agent.anonymizer.daemon",
    "agent.anonymizer.inbox",
    "agent.anonymizer.log",
    "agent.anonymizer.offers",
    "agent.anonymizer.rotation",
    "agent.anonymizer.start",
    "agent.anonymizer.segment",
    "agent.anonymizer.successor",
    "agent.beacon",
    "agent.beacon.__main__",
    "agent.beacon.bluez",
    "agent.beacon.bluez_calls",
    "agent.beacon.bluez_causes",
    "agent.beacon.bluez_objects",
    "agent.beacon.bluez_readers",
    "agent.beacon.bluez_witness",
    "agent.beacon.bumble",
    "agent.beacon.cancellation",
    "agent.beacon.daemon",
    "agent.beacon.further_sets",
    "agent.beacon.lease_line",
    "agent.beacon.public_files",
    "agent.beacon.radio",
    "agent.beacon.virtual_controller",
    "agent.beacon.virtual_extended",
    "agent.beacon.virtual_phone",
    "agent.beacon.virtual_radio",
    "agent.operations",
    "agent.operations.broker",
    "agent.operations.client",
    "agent.operations.audit",
    "agent.operations.audit_inputs",
    "agent.operations.beginning",
    "agent.operations.before_loss",
    "agent.operations.copies",
    "agent.operations.heads",
    "agent.operations.keys",
    "agent.operations.log_copy",
    "agent.operations.mirror",
    "agent.operations.verdict",
    "agent.operations.reception",
    "agent.operations.simulation_command",
    "agent.operations.simulation_traffic",
    "agent.operations.subscribe",
    "agent.policy",
    "agent.policy.file",
    "agent.publisher",
    "agent.publisher.__main__",
    "agent.publisher.backlog",
    "agent.publisher.connection",
    "agent.publisher.cursor_file",
    "agent.publisher.daemon",
    "agent.publisher.discovery",
    "agent.publisher.follow",
    "agent.publisher.health",
    "agent.publisher.log_tiles",
    "agent.publisher.offers",
    "agent.publisher.session",
    "agent.publisher.tls",
    "agent.publisher.unit",
    "firmware_bridge",
    "firmware_bridge.__main__",
    "firmware_bridge.daemon",
    "firmware_bridge.inbox",
    "firmware_bridge.port",
    "firmware_bridge.schema",
    "firmware_bridge.simulator",
    "firmware_bridge.simulator.__main__",
    "firmware_bridge.simulator.board",
    "firmware_bridge.simulator.file",
}
"""Modules that may do input and output, besides all of agent.cli and agent.local. Whatever is not here is in the contract `pure`."""

THIRD_PARTY = {
    "bleak": {"agent.cli.central"},
    "bumble": {"agent.beacon"},
    "cbor2": {"agent.wire.cbor"},
    "crc32c": {"agent.wire.crc32c"},
    "cryptography": {
        "agent.anonymizer",
        "agent.disclosure.compact",  # the type of a key; the beacon itself does not load this module
        "agent.cli",
        "agent.contracts",
        "agent.local",
        "agent.operations",
        "agent.wire",
    },
    "dbus_fast": {"agent.beacon"},
    "nacl": {"agent.operations.signatures"},
    "numpy": {"agent.anonymizer", "agent.operations.totals"},
    "paho": {"agent.publisher", "agent.operations"},
    "rich": {"agent.cli"},
    "segno": {"agent.cli"},
    "serial": {"firmware_bridge"},
    "weasyprint": {"agent.cli.sign_pdf"},
}
"""Every package that is not the standard library's, and who may import it."""

STANDARD = sys.stdlib_module_names | {"_sha2", "_sha256"}  # the one from Python 3.12 on, the other until then

WRONG = [
    ("layers", "agent/publisher/topics.py", "import agent.beacon.gatt"),
    ("layers", "agent/anonymizer/seal.py", "import agent.publisher.topics"),
    ("layers", "agent/beacon/gatt.py", "import agent.anonymizer.seal"),
    ("layers", "agent/policy/model.py", "import agent.disclosure.datachain"),
    ("layers", "agent/wire/cbor.py", "import agent.contracts.lease"),
    ("layers", "agent/unplaced/__init__.py", "import agent.errors"),
    ("bridge", "firmware_bridge/frame.py", "import agent.policy.model"),
    ("bridge-from-cli", "agent/operations/table.py", "import firmware_bridge.frame"),
    ("readings", "agent/publisher/message.py", "from agent.contracts.reading import Body"),
    ("mqtt", "agent/beacon/daemon.py", "import paho.mqtt.client"),
    ("radio", "agent/publisher/daemon.py", "import dbus_fast"),
    ("bleak", "agent/cli/sign.py", "import bleak"),
    ("libsodium", "agent/publisher/daemon.py", "import nacl.bindings"),
    ("pdf", "agent/cli/sign.py", "import weasyprint"),
    ("serial", "agent/anonymizer/log.py", "import serial"),
    ("numpy", "firmware_bridge/daemon.py", "import numpy"),
    ("by-name", "agent/publisher/daemon.py", "import importlib"),
    ("pure", "agent/anonymizer/window.py", "import time"),
    ("pure", "agent/contracts/lease.py", "import agent.local.clock"),
    ("pure", "agent/publisher/topics.py", "import agent.publisher.follow"),
]


def test_the_import_rules_hold() -> None:
    ran = _lint(PROJECT)
    assert ran.returncode == 0, ran.stdout


@pytest.fixture(scope="module", name="scratch")
def _scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scratch")
    shutil.copy(PROJECT / "pyproject.toml", folder)
    for package in ("agent", "firmware_bridge"):
        shutil.copytree(PROJECT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.mark.parametrize(("contract", "path", "line"), WRONG, ids=lambda value: value.removeprefix("import "))
def test_a_forbidden_import_breaks_its_rule(scratch: Path, contract: str, path: str, line: str) -> None:
    """Negative control, for every contract: one wrong import in a copy of the tree, and the rule names its module."""
    target = scratch / path
    before = target.read_text() if target.exists() else None
    target.parent.mkdir(exist_ok=True)
    target.write_text((before or "") + "\n" + line + "\n")
    try:
        ran = _lint(scratch, "--contract", contract)
        assert ran.returncode == 1, ran.stdout + ran.stderr
        assert "0 kept, 1 broken" in ran.stdout
        module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        assert module.rpartition(".")[2] in ran.stdout
    finally:
        if before is None:
            shutil.rmtree(target.parent)
        else:
            target.write_text(before)


def test_every_contract_is_seen_to_bite() -> None:
    assert {contract["id"] for contract in _contracts()} == {contract for contract, _, _ in WRONG}


def test_every_module_is_pure_or_named_as_a_shell() -> None:
    """A new module must be placed: in the contract `pure`, or in SHELLS."""
    pure = next(set(contract["source_modules"]) for contract in _contracts() if contract["id"] == "pure")
    modules = {module for module in _graph().modules if module.partition(".")[0] in ("agent", "firmware_bridge")}
    unplaced = {
        module
        for module in modules - SHELLS
        if not any(_within(module, package) for package in (*pure, "agent.cli", "agent.local"))
    }
    assert unplaced == set()
    assert modules >= SHELLS, f"no longer there: {SHELLS - modules}"
    assert not pure & SHELLS


def test_every_third_party_package_has_its_place() -> None:
    graph = _graph()
    found = {
        package: set(graph.find_modules_that_directly_import(package))
        for package in graph.modules
        if graph.is_module_squashed(package) and package not in STANDARD
    }
    assert found.keys() <= THIRD_PARTY.keys()
    for package, importers in found.items():
        strangers = {who for who in importers if not any(_within(who, place) for place in THIRD_PARTY[package])}
        assert strangers == set(), package


def test_every_runtime_dependency_is_imported() -> None:
    """Nothing is installed on a unit that no code uses (ETSI EN 303 645 5.6-6)."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    names = {"paho-mqtt": "paho", "dbus-fast": "dbus_fast", "pynacl": "nacl", "pyserial": "serial"}
    stated = {names.get(name, name) for line in project["dependencies"] for name in [line.partition(">")[0]]}
    used = {package for package in THIRD_PARTY if package in _graph().modules}
    assert stated == used - {"bumble", "rich", "weasyprint"}  # the extras'


def _within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def _lint(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-logo", "--no-cache", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


def _contracts() -> Iterator[dict[str, Any]]:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    yield from project["tool"]["importlinter"]["contracts"]


@cache
def _graph() -> grimp.ImportGraph:
    return grimp.build_graph("agent", "firmware_bridge", include_external_packages=True, cache_dir=None)
