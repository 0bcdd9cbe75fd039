"""The table of DESIGN.md section 2, read from the unit files: who runs as whom, who sees what, and that no unit takes a wall down."""

import re

import pytest

from agent.local import settings
from tests.systemd.unit_files import HARDENING, SERVICES, SYSTEMD, Unit, read_file, read_unit

USERS = {
    "dtpr-firmware-bridge@.service": "dtpr-bridge",
    "dtpr-anonymizer.service": "dtpr-anonymizer",
    "dtpr-publisher.service": "dtpr-publisher",
    "dtpr-beacon.service": "dtpr-beacon",
}
GROUPS = {
    "dtpr-firmware-bridge@.service": {"dtpr-inbox"},
    "dtpr-anonymizer.service": set(),
    "dtpr-publisher.service": {"dtpr-log"},
    "dtpr-beacon.service": {"dtpr-inbox", "bluetooth"},
}
MAY_WRITE = {
    "dtpr-firmware-bridge@.service": {"/run/dtpr-status/firmware-bridge"},
    "dtpr-anonymizer.service": {
        "/var/lib/dtpr",
        "/var/lib/dtpr-offer",
        "/run/dtpr-public",
        "/run/dtpr-status/anonymizer",
    },
    "dtpr-publisher.service": {"/var/lib/dtpr-publisher", "/var/lib/dtpr-offer", "/run/dtpr-status/publisher"},
    "dtpr-beacon.service": {"/run/dtpr-status/beacon"},
}
MODULES = {
    "dtpr-firmware-bridge@.service": "firmware_bridge",
    "dtpr-anonymizer.service": "agent.anonymizer",
    "dtpr-publisher.service": "agent.publisher",
    "dtpr-beacon.service": "agent.beacon",
}
PUBLISHER = "dtpr-publisher.service"
BRIDGE = "dtpr-firmware-bridge@.service"
ANONYMIZER = "dtpr-anonymizer.service"

LOOSENING = re.compile(
    r"CapabilityBoundingSet=.+|AmbientCapabilities=.+|\w+=(no|false|off|0)|DevicePolicy=(auto|strict)|ExecStart\w*=[+!:-].*|"
    r"PermissionsStartOnly=.*|RootDirectoryStartOnly=.*|Environment(File)?=.*(PYTHON|LD_).*|PassEnvironment=.*|"
    r"SystemCallFilter=$|RestrictAddressFamilies=$|InaccessiblePaths=$|ReadOnlyPaths=$|UMask=00[0-4].|Delegate=.+"
)
FINE = {"MemorySwapMax=0", "LimitCORE=0", "CapabilityBoundingSet=", "AmbientCapabilities=", "UMask=0027"}

services = pytest.mark.parametrize(
    "service", [read_unit(name) for name in sorted(SERVICES)], ids=lambda unit: unit.name
)


def test_there_are_exactly_four_services_two_sockets_and_a_target() -> None:
    assert {path.name for path in SYSTEMD.glob("*.service")} == SERVICES
    assert {path.name for path in SYSTEMD.glob("*.socket")} == {"dtpr-reading.socket", "dtpr-lease.socket"}
    assert {path.name for path in SYSTEMD.glob("*.target")} == {"dtpr.target"}


@services
def test_each_service_has_its_own_user(service: Unit) -> None:
    assert service.value("Service", "User") == service.value("Service", "Group") == USERS[service.name]
    assert set(service.words("Service", "SupplementaryGroups")) == GROUPS[service.name]


@services
def test_each_service_runs_its_module_from_the_one_place(service: Unit) -> None:
    """Absolute interpreter, isolated (-I: no PYTHON variables, no current folder), one settings file."""
    board = ["--board", "%i"] if service.name == BRIDGE else []
    start = ["/usr/lib/dtpr/bin/python", "-I", "-m", MODULES[service.name], "--config", "/etc/dtpr/agent.toml", *board]
    assert service.words("Service", "ExecStart") == start
    assert {key for key in service.keys("Service") if key.startswith("Exec")} == {"ExecStart", "ExecPaths"}


@services
def test_each_service_is_supervised(service: Unit) -> None:
    """It says when it is ready, a watchdog asks for progress, and it always comes back, however often it falls."""
    assert service.value("Service", "Type") == "notify"
    assert service.value("Service", "NotifyAccess") == "main"
    assert service.value("Service", "Restart") == "always"
    assert int(service.value("Service", "WatchdogSec") or 0) > 0
    assert service.value("Unit", "StartLimitIntervalSec") == "0"
    assert service.value("Unit", "PartOf") == "dtpr.target"
    assert service.value("Install", "WantedBy") == "dtpr.target"
    assert service.value("Service", "MemoryMax") is not None


@services
def test_a_service_only_adds_to_the_shared_hardening(service: Unit) -> None:
    """A unit repeats no key of the drop-in, except lists that close more; so it can take nothing away."""
    shared = {key for _, key, _ in read_file(HARDENING)}
    own = {key for _, key, _ in read_file(SYSTEMD / service.name)}
    assert shared & own <= {"InaccessiblePaths"}


@pytest.mark.parametrize("name", ["dtpr-.service.d/hardening.conf", *sorted(SERVICES)])
def test_no_option_loosens(name: str) -> None:
    for section, key, value in read_file(SYSTEMD / name):
        line = f"{key}={value}"
        if section == "Service" and line not in FINE:
            assert not LOOSENING.fullmatch(line), line


@pytest.mark.parametrize("line", ["ProtectHome=no", "ExecStart=+/bin/sh", "DevicePolicy=auto", "SystemCallFilter="])
def test_the_loosening_rule_would_find_one(line: str) -> None:
    """Negative control for the rule above."""
    assert LOOSENING.fullmatch(line)


@services
def test_only_the_publisher_has_a_network(service: Unit) -> None:
    """The other three: own empty network, Unix sockets only, no packet in or out, no port."""
    families = set(service.words("Service", "RestrictAddressFamilies"))
    if service.name == PUBLISHER:
        assert families == {"AF_UNIX", "AF_INET", "AF_INET6"}
        assert service.value("Service", "PrivateNetwork") is None
        return
    assert families == {"AF_UNIX"}
    assert service.value("Service", "PrivateNetwork") == "yes"
    assert service.value("Service", "IPAddressDeny") == "any"
    assert service.value("Service", "SocketBindDeny") == "any"


@services
def test_only_the_bridge_has_devices_and_by_a_closed_list(service: Unit) -> None:
    assert service.value("Service", "DevicePolicy") == "closed"
    allowed = service.values("Service", "DeviceAllow")
    if service.name == BRIDGE:
        assert allowed == [f"char-tty{kind} rw" for kind in ("ACM", "USB", "AMA", "S")]
        assert service.value("Service", "PrivateDevices") is None
    else:
        assert allowed == []
        assert service.value("Service", "PrivateDevices") == "yes"


@services
def test_only_the_anonymizer_is_handed_the_signing_key(service: Unit) -> None:
    handed = service.values("Service", "LoadCredential")
    assert handed == (["unit-key:/etc/dtpr/unit-key"] if service.name == ANONYMIZER else [])
    assert {"-/etc/dtpr/unit-key", "-/etc/dtpr/unit-key.next"} <= {*service.words("Service", "InaccessiblePaths")}
    assert not {key for key in service.keys("Service") if "Credential" in key} - {"LoadCredential"}


@services
def test_each_folder_has_one_kind_of_writer(service: Unit) -> None:
    assert service.value("Service", "ProtectSystem") == "strict"
    assert set(service.words("Service", "ReadWritePaths")) == MAY_WRITE[service.name]


def test_the_copy_of_the_checkpoint_is_the_anonymizers_and_outside_the_log() -> None:
    """Where config/agent.toml puts it, in a folder that tmpfiles gives to the anonymizer alone."""
    paths = settings.load(SYSTEMD.parent / "config" / "agent.toml").paths
    folder = str(paths.checkpoint_copy.parent)
    assert folder in MAY_WRITE[ANONYMIZER]
    assert not any(folder in MAY_WRITE[name] for name in SERVICES - {ANONYMIZER})
    lines = [line.split() for line in (SYSTEMD / "dtpr.tmpfiles.conf").read_text().splitlines()]
    assert ["d", folder, "0711", "dtpr-anonymizer", "dtpr-anonymizer", "-"] in lines
    assert paths.log not in paths.checkpoint_copy.parents


def test_the_publisher_cannot_see_the_inboxes_nor_write_the_log() -> None:
    publisher = read_unit(PUBLISHER)
    assert "/run/dtpr" in publisher.words("Service", "InaccessiblePaths")
    assert "/var/lib/dtpr/log" in publisher.words("Service", "ReadOnlyPaths")


@pytest.mark.parametrize("name", sorted(SERVICES - {ANONYMIZER, PUBLISHER}))
def test_the_bridge_and_the_beacon_cannot_see_the_log(name: str) -> None:
    assert {"/var/lib/dtpr", "/var/lib/dtpr-publisher"} <= set(read_unit(name).words("Service", "InaccessiblePaths"))


@pytest.mark.parametrize("name", [BRIDGE, ANONYMIZER])
def test_who_holds_readings_stays_out_of_swap_and_core_dumps(name: str) -> None:
    service = read_unit(name)
    assert service.value("Service", "LimitMEMLOCK") == "infinity"
    assert service.value("Service", "LimitCORE") == "0"
    assert service.value("Service", "MemorySwapMax") == "0"


@services
def test_peers_can_see_who_a_service_is(service: Unit) -> None:
    """PrivateUsers= would show its peers' users as 65534."""
    assert "PrivateUsers" not in service.keys("Service")


@pytest.mark.parametrize(("inbox", "group"), [("reading", "dtpr-bridge"), ("lease", "dtpr-beacon")])
def test_an_inbox_is_open_to_one_producer(inbox: str, group: str) -> None:
    """Write permission is what connecting takes: root has it, and the producer's group. Messages keep their bounds."""
    unit = read_unit(f"dtpr-{inbox}.socket")
    assert unit.value("Socket", "ListenSequentialPacket") == f"/run/dtpr/{inbox}.sock"
    assert {key for key in unit.keys("Socket") if key.startswith("Listen")} == {"ListenSequentialPacket"}
    assert unit.value("Socket", "FileDescriptorName") == inbox
    assert unit.value("Socket", "Service") == ANONYMIZER
    assert unit.value("Socket", "SocketUser") == "root"
    assert unit.value("Socket", "SocketGroup") == group
    assert unit.value("Socket", "SocketMode") == "0620"
    assert unit.value("Socket", "DirectoryMode") == "0710"
    assert unit.value("Socket", "Accept") is None
    assert group in {USERS[name] for name in (BRIDGE, "dtpr-beacon.service")}


def test_the_anonymizer_gets_both_inboxes() -> None:
    anonymizer = read_unit(ANONYMIZER)
    assert set(anonymizer.words("Service", "Sockets")) == {"dtpr-reading.socket", "dtpr-lease.socket"}
    assert set(anonymizer.words("Unit", "Requires")) == {"dtpr-reading.socket", "dtpr-lease.socket"}


def test_nobody_else_is_in_a_producers_group() -> None:
    """Groups come from the units alone (sysusers makes no member), and no unit asks for another's own group."""
    for name in SERVICES:
        assert not set(read_unit(name).words("Service", "SupplementaryGroups")) & set(USERS.values())
    lines = (SYSTEMD / "dtpr.sysusers.conf").read_text().splitlines()
    assert {line.split()[0] for line in lines if line and not line.startswith("#")} == {"u", "g"}


def test_the_board_is_the_bridges_alone() -> None:
    rules = (SYSTEMD / "70-dtpr-board.rules").read_text()
    assert 'OWNER="root", GROUP="dtpr-bridge", MODE="0660"' in rules
