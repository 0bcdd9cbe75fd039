"""`agent.toml`: where things are on this unit. Nothing in it can weaken the policy.

Every daemon reads the same file and takes its own part. Paths default to those that systemd makes.
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.errors import SettingsError
from agent.wire import toml

_BOARD_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?")
"""It is part of a service's name and of a path."""

FINGERPRINT = r"(?:[0-9A-Fa-f]{2}:){31}[0-9A-Fa-f]{2}|[0-9A-Fa-f]{64}"
FINGERPRINT_WORDS = "SHA-256 fingerprints: 64 hexadecimal digits, or 32 pairs with colons between"
MAX_PINS = 8
"""The certificate in use and the next one, for every broker behind one name."""

DEFAULT_PATH = Path("/etc/dtpr/agent.toml")


@dataclass(frozen=True, slots=True)
class Paths:
    """Files, folders and sockets; the meaning of each is in DESIGN.md section 2."""

    governance: Path
    policy: Path
    offer: Path
    signing_key: Path
    log: Path
    checkpoint_copy: Path
    public: Path
    status: Path
    cursor: Path
    reading_socket: Path
    lease_socket: Path


@dataclass(frozen=True, slots=True)
class Mqtt:
    """The broker. `ca_file` None means the system's authorities; `tls` False is for loopback or an explicit exception.

    `pin_sha256` are SHA-256 fingerprints (32 bytes) of its certificate: with any, it must be one of them, and without `ca_file` that is enough.
    """

    host: str
    port: int
    root: str
    tls: bool
    ca_file: Path | None
    client_certificate: Path | None
    client_key: Path | None
    username: str | None
    password_file: Path | None
    keepalive_s: int
    backlog_per_s: int = 10
    """How many late Releases a second, at most."""
    pin_sha256: tuple[bytes, ...] = ()
    home_assistant: str | None = None
    """Below which discovery prefix Home Assistant is told of the unit's streams; None for not at all."""


@dataclass(frozen=True, slots=True)
class Radio:
    """`backend` is "bluez" (with `adapter`) or "bumble" (with `transport`, a Bumble transport name).

    `witness`, "" for none, is a second adapter of BlueZ's: on air is then only what that one hears.
    """

    backend: str
    adapter: str
    transport: str
    witness: str = ""


@dataclass(frozen=True, slots=True)
class BoardPort:
    """One sensor board: a stable device path and its line speed; `board_id` None accepts any board with our schema."""

    name: str
    port: Path
    baud: int
    board_id: str | None


@dataclass(frozen=True, slots=True)
class Settings:
    """A whole, checked agent.toml."""

    paths: Paths
    clock_trusted_when: str
    mqtt: Mqtt
    radio: Radio
    boards: Mapping[str, BoardPort]
    release_cbor: bool = False
    """Does the anonymizer make packs in CBOR, not JSON?"""
    policy_subscribe: bool = False
    """Does the publisher take policy offers by MQTT?"""


def load(path: Path) -> Settings:
    """Read and check `path`; raise SettingsError naming file, line, what was expected and what was found."""
    try:
        text = path.read_bytes()
    except OSError as bad:
        raise SettingsError(
            str(path), expected="a readable agent.toml", got=bad.strerror or "an error", remedy="see config/agent.toml"
        ) from None
    return parse(text, str(path))


def parse(text: str | bytes, name: str) -> Settings:
    """Check the text of an agent.toml; raise SettingsError."""
    top = toml.parse(text, name, SettingsError)
    top.integer("schema", low=1, high=1, expected="1, the version of this file's form")
    release_cbor = _release_cbor(top.table("release", optional=True))
    settings = Settings(
        paths=_paths(top.table("paths", optional=True)),
        clock_trusted_when=_clock(top.table("clock")),
        mqtt=_mqtt(top.table("mqtt"), release_cbor),
        radio=_radio(top.table("radio")),
        boards=_boards(top.table("boards", optional=True)),
        release_cbor=release_cbor,
        policy_subscribe=_policy_subscribe(top.table("policy", optional=True)),
    )
    top.done()
    return settings


def _path(table: toml.Table, key: str, default: str | None = ...) -> Path | None:  # type: ignore[assignment]
    text = table.text(key, default, pattern=r"/[^\x00]+", max_length=4096, expected="an absolute path")
    return Path(text) if text is not None else None


def _required_path(table: toml.Table, key: str, default: str) -> Path:
    path = _path(table, key, default)
    assert path is not None
    return path


def _paths(table: toml.Table) -> Paths:
    log = _required_path(table, "log", "/var/lib/dtpr/log")
    copy = _required_path(table, "checkpoint_copy", str(log.parent / "checkpoint"))
    if log in (copy, *copy.parents):
        table.refuse("checkpoint_copy", expected="a file outside the log's folder", got=str(copy)[:80])
    paths = Paths(
        governance=_required_path(table, "governance", "/etc/dtpr/governance.toml"),
        policy=_required_path(table, "policy", "/etc/dtpr/policy.cose"),
        offer=_required_path(table, "offer", "/var/lib/dtpr-offer"),
        signing_key=_required_path(table, "signing_key", "/etc/dtpr/unit-key"),
        log=log,
        checkpoint_copy=copy,
        public=_required_path(table, "public", "/run/dtpr-public"),
        status=_required_path(table, "status", "/run/dtpr-status"),
        cursor=_required_path(table, "cursor", "/var/lib/dtpr-publisher/cursor"),
        reading_socket=_required_path(table, "reading_socket", "/run/dtpr/reading.sock"),
        lease_socket=_required_path(table, "lease_socket", "/run/dtpr/lease.sock"),
    )
    table.done()
    return paths


def _clock(table: toml.Table) -> str:
    trusted_when = table.text(
        "trusted_when",
        pattern=r"operator|/[^\x00]+",
        max_length=4096,
        expected='"operator" or the path of the marker that says the clock is set',
    )
    table.done()
    return trusted_when


def _mqtt(table: toml.Table, release_cbor: bool) -> Mqtt:
    host = table.text("host", pattern=r"[A-Za-z0-9.:_-]+", expected="a host name or address")
    tls = table.boolean("tls", True)
    exception = table.text("plain_text_exception", None, expected="the reason why TLS is off, for the log")
    if not tls and not is_loopback(host) and exception is None:
        table.refuse(
            "tls",
            expected=f"true for {host}",
            got="false",
            remedy="plain MQTT is for loopback; to allow it here, give the reason in plain_text_exception",
        )
    pins = table.texts("pin_sha256", (), pattern=FINGERPRINT, high=MAX_PINS, expected=FINGERPRINT_WORDS)
    mqtt = Mqtt(
        host=host,
        port=table.integer("port", 8883 if tls else 1883, low=1, high=65535),
        root=table.text(
            "root", "dtpr", pattern=r"[a-z0-9][a-z0-9_-]{0,31}", expected="the first topic level, lower case"
        ),
        tls=tls,
        ca_file=_path(table, "ca_file", None),
        client_certificate=_path(table, "client_certificate", None),
        client_key=_path(table, "client_key", None),
        username=table.text("username", None, max_length=100, expected="a user name"),
        password_file=_path(table, "password_file", None),
        keepalive_s=table.integer("keepalive_s", 30, low=5, high=600),
        backlog_per_s=table.integer("backlog_per_s", 10, low=1, high=1000),
        pin_sha256=tuple(bytes.fromhex(text.replace(":", "")) for text in pins),
        home_assistant=table.text(
            "home_assistant",
            None,
            pattern=r"[A-Za-z0-9_-]+(?:/[A-Za-z0-9_-]+)*",
            max_length=64,
            expected="Home Assistant's discovery prefix, such as homeassistant",
        ),
    )
    if mqtt.home_assistant is not None and mqtt.home_assistant.split("/")[0] == mqtt.root:
        table.refuse(
            "home_assistant", expected=f"a prefix outside our own topics {mqtt.root}/…", got=mqtt.home_assistant
        )
    if mqtt.home_assistant is not None and release_cbor:
        table.refuse(
            "home_assistant",
            expected='encoding = "json" in [release]',
            got='encoding = "cbor"',
            remedy="Home Assistant's templates read JSON alone: choose one of the two",
        )
    if (mqtt.client_certificate is None) != (mqtt.client_key is None):
        table.refuse("client_certificate", expected="client_certificate and client_key together", got="one of the two")
    if not tls and (mqtt.ca_file or mqtt.client_certificate or mqtt.pin_sha256):
        table.refuse("tls", expected="true when certificates are given or pinned", got="false")
    table.done()
    return mqtt


def _radio(table: toml.Table) -> Radio:
    backend = table.choice("backend", ("bluez", "bumble"))
    witness = table.text("witness", None, pattern=r"hci[0-9]{1,2}", expected="a second adapter such as hci1")
    radio = Radio(
        backend=backend,
        adapter=table.text("adapter", "hci0", pattern=r"hci[0-9]{1,2}", expected="an adapter such as hci0"),
        transport=table.text("transport", max_length=300, expected="a Bumble transport such as usb:0")
        if backend == "bumble"
        else "",
        witness=witness or "",
    )
    if radio.witness and (backend != "bluez" or radio.witness == radio.adapter):
        table.refuse(
            "witness", expected="another adapter than the one that advertises, with backend bluez", got=radio.witness
        )
    table.done()
    return radio


def _release_cbor(table: toml.Table) -> bool:
    encoding = table.choice("encoding", ("json", "cbor"), "json")
    table.done()
    return encoding == "cbor"


def _policy_subscribe(table: toml.Table) -> bool:
    subscribe = table.boolean("subscribe", False)
    table.done()
    return subscribe


def _boards(table: toml.Table) -> Mapping[str, BoardPort]:
    boards = {}
    for name in table.names():
        board = table.table(name)
        if not _BOARD_NAME.fullmatch(name):
            board.refuse(None, expected="a board's name of lower-case letters, digits and dashes", got=repr(name)[:40])
        port = _path(board, "port")
        assert port is not None
        boards[name] = BoardPort(
            name=name,
            port=port,
            baud=board.integer("baud", 115200, low=1200, high=4_000_000),
            board_id=board.text("board_id", None, max_length=64, expected="the board's id from its hello"),
        )
        board.done()
    return boards


def is_loopback(host: str) -> bool:
    """Does this name or address stay on this machine?"""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
