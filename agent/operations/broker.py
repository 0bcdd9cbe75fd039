"""Which broker, and how to be let in: the options that every command of the city's side shares."""

import argparse
import re
from collections.abc import Iterable
from pathlib import Path
from ssl import SSLContext

from agent.errors import SettingsError
from agent.local import settings as agent_settings
from agent.local.files import read_given
from agent.local.settings import Mqtt
from agent.publisher.connection import Login
from agent.publisher.tls import tls_context

MAX_SECRET_BYTES = 16 * 1024

_HOST = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.?|[0-9A-Fa-f]*:[0-9A-Fa-f:.]+(?:%[A-Za-z0-9._-]+)?")
_ROOT = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_MAX_PORT = 65535


def add_broker_arguments(parser: argparse.ArgumentParser) -> None:
    """`--host`, `--port`, TLS, login and root."""
    parser.add_argument("--config", type=Path, help="take the broker, TLS and login from this agent.toml")
    parser.add_argument("--host", help="broker (default localhost)")
    parser.add_argument("--port", type=int, help="its port (default 8883, or 1883 on loopback)")
    line = parser.add_mutually_exclusive_group()
    line.add_argument("--tls", action="store_true", help="use TLS on loopback too")
    line.add_argument("--plain", action="store_true", help="no TLS although the broker is not on loopback")
    parser.add_argument("--ca-file", type=Path, help="authorities for the broker's certificate (default the system's)")
    parser.add_argument(
        "--pin-sha256",
        action="append",
        metavar="HEX",
        help="a fingerprint of the broker's certificate, which then needs no authority; may be repeated",
    )
    parser.add_argument("--client-certificate", type=Path, help="PEM; with --client-key")
    parser.add_argument("--client-key", type=Path, help="PEM; with --client-certificate")
    parser.add_argument("--username", help="for the broker")
    parser.add_argument("--password-file", type=Path, help="holds the password")
    parser.add_argument("--root", help="first topic level (default dtpr)")


def broker_of(args: argparse.Namespace) -> Mqtt:
    """The broker that the options name, or the file that `--config` names; raise SettingsError."""
    if args.config is not None:
        if given := [option for option, value in _let_in(args) if value]:
            raise SettingsError(
                "--config",
                expected="a file that says alone how the broker lets in; beside it --host, --port and --root",
                got=", ".join(given),
                remedy="give all of it as options, or all of it in the file",
            )
        mqtt = agent_settings.load(args.config).mqtt
        host, tls = args.host or mqtt.host, mqtt.tls
        ca_file, certificate, key = mqtt.ca_file, mqtt.client_certificate, mqtt.client_key
        pins = mqtt.pin_sha256
        username, password_file, root, port = mqtt.username, mqtt.password_file, mqtt.root, args.port or mqtt.port
    else:
        host = "localhost" if args.host is None else args.host
        tls = args.tls or not (agent_settings.is_loopback(host) or args.plain)
        ca_file, certificate, key = args.ca_file, args.client_certificate, args.client_key
        pins = _pins(args.pin_sha256 or ())
        username, password_file, root = args.username, args.password_file, "dtpr"
        port = args.port or (8883 if tls else 1883)
        if not tls and (unused := [option for option, value in _let_in(args)[2:6] if value]):
            got = "--plain" if args.plain else f"none to {host}, which is this machine"
            raise SettingsError(unused[0], expected="a connection with TLS", got=got, remedy="add --tls")
    if (certificate is None) != (key is None):
        raise SettingsError(
            "--client-certificate", expected="--client-certificate and --client-key together", got="one of the two"
        )
    for option, right, expected, got in (
        ("--host", len(host) < 254 and _HOST.fullmatch(host), "a host name or address", host),
        ("--port", 1 <= port <= _MAX_PORT, f"1 to {_MAX_PORT}", str(port)),
        ("--root", _ROOT.fullmatch(args.root or root), "the first topic level, lower case", args.root or root),
    ):
        if not right:
            raise SettingsError(option, expected=expected, got=ascii(got)[:80])
    return Mqtt(
        host=host,
        port=port,
        root=args.root or root,
        tls=tls,
        ca_file=ca_file,
        client_certificate=certificate,
        client_key=key,
        username=username,
        password_file=password_file,
        keepalive_s=30,
        pin_sha256=pins,
    )


def _let_in(args: argparse.Namespace) -> list[tuple[str, object]]:
    """The options that say how the broker lets in, by name; the third to the sixth are of TLS alone."""
    names = ("tls", "plain", "ca-file", "pin-sha256", "client-certificate", "client-key", "username", "password-file")
    return [(f"--{name}", getattr(args, name.replace("-", "_"))) for name in names]


def _pins(texts: Iterable[str]) -> tuple[bytes, ...]:
    for text in texts:
        if not re.fullmatch(agent_settings.FINGERPRINT, text):
            raise SettingsError("--pin-sha256", expected=agent_settings.FINGERPRINT_WORDS, got=repr(text)[:80])
    return tuple(bytes.fromhex(text.replace(":", "")) for text in texts)


def context_for(mqtt: Mqtt) -> SSLContext | None:
    """None without TLS; raise SettingsError for files that cannot be loaded."""
    if not mqtt.tls:
        return None
    try:
        return tls_context(mqtt)
    except OSError as bad:
        named = [path for path in (mqtt.ca_file, mqtt.client_certificate, mqtt.client_key) if path is not None]
        where = next((path for path in named if not path.is_file()), None)
        raise SettingsError(
            ", ".join(map(str, [where] if where else named)) or "TLS",
            expected="an authority, a certificate and a key in PEM that can be loaded",
            got=bad.strerror or str(bad),
        ) from None


def login_for(mqtt: Mqtt) -> Login:
    """User and password; raise SettingsError for a file that cannot be read."""
    if mqtt.password_file is None:
        return Login(mqtt.username, None)
    return Login(
        mqtt.username,
        read_given(mqtt.password_file, MAX_SECRET_BYTES, "a password file", SettingsError)
        .decode(errors="replace")
        .rstrip("\r\n"),
    )
