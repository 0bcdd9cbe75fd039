"""`dtpr-agent subscribe`: the releases below a topic root as a table, or as NDJSON; verified by the keys given (OP-9 to OP-11)."""

import argparse
import base64
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from ssl import SSLContext
from types import FrameType

from agent.contracts.public import TOPIC_NAME
from agent.errors import SettingsError
from agent.local import settings as agent_settings
from agent.local.settings import Mqtt
from agent.operations.reception import receive
from agent.operations.table import Table
from agent.operations.verification import Received, Record, Verification
from agent.publisher.connection import Login, tls_context
from agent.publisher.topics import VERSION

MAX_SECRET_BYTES = 16 * 1024


def records(
    mqtt: Mqtt,
    *,
    filters: tuple[str, ...],
    keys: Sequence[bytes] = (),
    context: SSLContext | None = None,
    login: Login | None = None,
) -> Generator[tuple[Record, Received] | None, None, None]:
    """Every verified record and the message it is about, and None from time to time; raises BrokerUnavailable."""
    verification = Verification(keys)
    for message in receive(mqtt, filters, context, login or Login(None, None)):
        if message is None:
            yield from verification.overdue(time.monotonic())
            yield None
        else:
            yield from verification.take(message)


def arrivals(args: argparse.Namespace, *below: str) -> Generator[Received | None, None, None]:
    """What arrives on these filters below `<root>/v1/`, and None from time to time; `args` are those of `add_broker_arguments`."""
    mqtt = _mqtt(args)
    filters = tuple(f"{mqtt.root}/{VERSION}/{each}" for each in below)
    return receive(mqtt, filters, _context(mqtt), _login(mqtt))


def add_broker_arguments(parser: argparse.ArgumentParser) -> None:
    """Which broker, and how."""
    parser.add_argument("--config", type=Path, help="take the broker from this agent.toml")
    parser.add_argument("--host", help="broker (default localhost)")
    parser.add_argument("--port", type=int, help="its port (default 8883, or 1883 on loopback)")
    parser.add_argument("--tls", action="store_true", help="use TLS on loopback too")
    parser.add_argument("--plain", action="store_true", help="no TLS although the broker is not on loopback")
    parser.add_argument("--ca-file", type=Path, help="authorities for the broker's certificate (default the system's)")
    parser.add_argument("--client-certificate", type=Path, help="PEM; with --client-key")
    parser.add_argument("--client-key", type=Path, help="PEM; with --client-certificate")
    parser.add_argument("--username", help="for the broker")
    parser.add_argument("--password-file", type=Path, help="holds the password")
    parser.add_argument("--root", help="first topic level (default dtpr)")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the subcommand."""
    add_broker_arguments(parser)
    for level in ("city", "site", "unit"):
        parser.add_argument(f"--{level}", default="+", help=f"only this {level}")
    parser.add_argument(
        "--key", action="append", default=[], metavar="HEX|FILE", help="a unit's public key; may be repeated"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--raw", action="store_true", help="with --json: topic, payload and user properties too")
    parser.add_argument("--seconds", type=float, help="stop after so long")
    parser.add_argument("--count", type=int, help="stop after so many releases")


def run(args: argparse.Namespace) -> int:
    """Print until told to stop; returns 0. Raises SettingsError and BrokerUnavailable."""
    mqtt = _mqtt(args)
    keys = [load_public_key(text) for text in args.key]
    filters = (f"{mqtt.root}/{VERSION}/{_level(args.city)}/{_level(args.site)}/{_level(args.unit)}/#",)
    stream = records(mqtt, filters=filters, keys=keys, context=_context(mqtt), login=_login(mqtt))
    with contextlib.suppress(ValueError):  # not the main thread: whoever runs us stops us
        signal.signal(signal.SIGTERM, _interrupt)
    try:
        with contextlib.closing(stream):
            _print(stream, args)
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:  # `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def load_public_key(text: str) -> bytes:
    """32 bytes from hex, or from a file of hex or of a PEM public key; raise SettingsError."""
    with contextlib.suppress(ValueError):
        key = bytes.fromhex(text)
        if len(key) == 32:
            return key
    content = _secret(Path(text), "a public key: 64 hex digits, or a file of them or in PEM")
    with contextlib.suppress(ValueError):
        key = bytes.fromhex(content.decode("ascii").strip())
        if len(key) == 32:
            return key
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    with contextlib.suppress(ValueError, UnsupportedAlgorithm):
        pem = load_pem_public_key(content)
        if isinstance(pem, Ed25519PublicKey):
            return pem.public_bytes_raw()
    raise SettingsError(
        f"--key {text}",
        expected="an Ed25519 public key: 64 hex digits, or a file of them or in PEM",
        got="something else",
        remedy="`dtpr-agent key show FILE` prints it",
    )


def _print(stream: Iterator[tuple[Record, Received] | None], args: argparse.Namespace) -> None:
    ends_at = None if args.seconds is None else time.monotonic() + args.seconds
    table = Table(unicode=_has_check_mark())
    releases = 0
    for item in stream:
        if item is not None:
            record, message = item
            lines = [_json(record, message, raw=args.raw)] if args.json else table.lines(record)
            sys.stdout.write("".join(f"{line}\n" for line in lines))
            sys.stdout.flush()
            releases += record["type"] == "release"
        if (ends_at is not None and time.monotonic() >= ends_at) or (args.count is not None and releases >= args.count):
            return


def _json(record: Record, message: Received, *, raw: bool) -> str:
    if raw:
        record = {
            **record,
            "topic": message.topic,
            "payload_base64": base64.b64encode(message.payload).decode(),
            "user_properties": [list(pair) for pair in message.user_properties],
            "retained": message.retain,
        }
    return json.dumps(record, ensure_ascii=True)


def _has_check_mark() -> bool:
    try:
        "✓✗…".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _mqtt(args: argparse.Namespace) -> Mqtt:
    if args.config is not None:
        mqtt = agent_settings.load(args.config).mqtt
        host, tls = args.host or mqtt.host, mqtt.tls
        ca_file, certificate, key = mqtt.ca_file, mqtt.client_certificate, mqtt.client_key
        username, password_file, root, port = mqtt.username, mqtt.password_file, mqtt.root, args.port or mqtt.port
    else:
        host = args.host or "localhost"
        tls = args.tls or not (agent_settings.is_loopback(host) or args.plain)
        ca_file, certificate, key = args.ca_file, args.client_certificate, args.client_key
        username, password_file, root = args.username, args.password_file, "dtpr"
        port = args.port or (8883 if tls else 1883)
    if (certificate is None) != (key is None):
        raise SettingsError(
            "--client-certificate", expected="--client-certificate and --client-key together", got="one of the two"
        )
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
    )


def _context(mqtt: Mqtt) -> SSLContext | None:
    if not mqtt.tls:
        return None
    try:
        return tls_context(mqtt)
    except OSError as bad:
        raise SettingsError(
            "TLS", expected="an authority, a certificate and a key that can be loaded", got=bad.strerror or str(bad)
        ) from None


def _login(mqtt: Mqtt) -> Login:
    if mqtt.password_file is None:
        return Login(mqtt.username, None)
    return Login(mqtt.username, _secret(mqtt.password_file, "a password file").decode(errors="replace").rstrip("\r\n"))


def _secret(path: Path, what: str) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_SECRET_BYTES + 1)
    except (OSError, ValueError) as bad:
        raise SettingsError(str(path)[:100], expected=what, got=getattr(bad, "strerror", None) or str(bad)) from None
    if len(content) > MAX_SECRET_BYTES:
        raise SettingsError(str(path), expected=f"at most {MAX_SECRET_BYTES} bytes", got="more")
    return content


def _level(text: str) -> str:
    if text != "+" and not TOPIC_NAME.fullmatch(text):
        raise SettingsError("topic level", expected="lower-case letters, digits and dashes", got=repr(text)[:40])
    return text


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
