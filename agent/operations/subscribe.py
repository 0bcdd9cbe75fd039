"""`dtpr-agent subscribe`: the releases below a topic root as a table, NDJSON or CSV; verified by the keys given (OP-9 to OP-16)."""

import argparse
import base64
import contextlib
import json
import os
import re
import signal
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from ssl import SSLContext
from types import FrameType

from agent.contracts.public import TOPIC_NAME
from agent.errors import SettingsError, StorageUnavailable
from agent.local.files import read_given
from agent.local.settings import Mqtt
from agent.operations.announcements import Record
from agent.operations.broker import MAX_SECRET_BYTES, add_broker_arguments, broker_of, context_for, login_for
from agent.operations.keyring import MAX_KEYS, Keyring
from agent.operations.keys import MAX_DIRECTORY_BYTES, decode_directory, find_keys, load_directory
from agent.operations.reception import Output, receive
from agent.operations.rows import HEADER, rows
from agent.operations.table import Table
from agent.operations.tally import Silence, Tally
from agent.operations.verification import Received, Verification
from agent.publisher.connection import Login
from agent.publisher.topics import VERSION

KEY_SUFFIXES = (".pub", ".pem", ".key")

SILENCE_EVERY_S = 1.0
GROUP = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def records(
    mqtt: Mqtt,
    *,
    filters: tuple[str, ...],
    keys: Sequence[bytes] | Keyring = (),
    context: SSLContext | None = None,
    login: Login | None = None,
    shared: bool = False,
    session: str | None = None,
    output: Output | None = None,
) -> Generator[tuple[Record, Received] | None, None, None]:
    """Every verified record and the message it is about, and None whenever nothing waits; raises BrokerUnavailable."""
    verification = Verification(keys, shared=shared)
    for message in receive(mqtt, filters, context, login or Login(None, None), session=session, output=output):
        if message is None:
            yield from verification.overdue(time.monotonic())
            yield None
        else:
            yield from verification.take(message)


def topic_filters(root: str, city: str, site: str, unit: str, group: str | None = None) -> tuple[str, ...]:
    """What is subscribed to. In a group each Release and checkpoint goes to one member (MQTT 5, 4.8.2); what is retained, and signatures that
    come as messages of their own, go to all, because a broker shares no retained messages."""
    base = f"{root}/{VERSION}/{city}/{site}/{unit}"
    if group is None:
        return (f"{base}/#",)
    shared = (f"$share/{group}/{base}/{ending}" for ending in ("agg/+", "checkpoint"))
    everyone = ("state", "disclosure", "disclosure/upcoming", "health", "agg/+/sig")
    return (*(f"{base}/{ending}" for ending in everyone), *shared)


def arrivals(args: argparse.Namespace, *below: str) -> Generator[Received | None, None, None]:
    """What arrives on these filters below `<root>/v1/`, and None from time to time; `args` are those of `add_broker_arguments`."""
    mqtt = broker_of(args)
    filters = tuple(f"{mqtt.root}/{VERSION}/{each}" for each in below)
    return receive(mqtt, filters, context_for(mqtt), login_for(mqtt))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the subcommand."""
    add_broker_arguments(parser)
    for level in ("city", "site", "unit"):
        parser.add_argument(f"--{level}", default="+", help=f"only this {level}")
    parser.add_argument(
        "--key", action="append", default=[], metavar="HEX|FILE", help="a unit's public key; may be repeated"
    )
    parser.add_argument(
        "--keys",
        type=Path,
        metavar="F|DIR",
        help="the units' keys: a key directory as `fleet keys` writes it, or a folder of key files (*.pub, *.pem, *.key)",
    )
    parser.add_argument(
        "--group", metavar="NAME", help="share the load with all others of this group: each release goes to one"
    )
    parser.add_argument(
        "--session",
        metavar="NAME",
        help="a session of this name lives on at the broker: who comes back under it gets what came in between, as far as the broker keeps it",
    )
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--json", action="store_true", help="one JSON object a line")
    shape.add_argument(
        "--csv", action="store_true", help="one row a cell; everything that is no release goes to standard error"
    )
    parser.add_argument("--raw", action="store_true", help="with --json: topic, payload and user properties too")
    parser.add_argument(
        "--rate", type=float, metavar="S", help="every S seconds say on standard error how many came and how fast"
    )
    parser.add_argument("--seconds", type=float, help="stop after so long")
    parser.add_argument("--count", type=int, help="stop after so many releases")


def run(args: argparse.Namespace) -> int:
    """Print until told to stop; returns 0. Raises SettingsError and BrokerUnavailable."""
    mqtt = broker_of(args)
    if args.group is not None and not GROUP.fullmatch(args.group):
        raise SettingsError("--group", expected="letters, digits, - and _", got=repr(args.group)[:40])
    if args.session is not None and not GROUP.fullmatch(args.session):
        raise SettingsError("--session", expected="letters, digits, - and _", got=repr(args.session)[:40])
    if args.raw and not args.json:
        raise SettingsError("--raw", expected="--json beside it", got="another form of output", remedy="add --json")
    if args.rate is not None and not args.rate > 0:
        raise SettingsError("--rate", expected="seconds above 0", got=str(args.rate))
    filters = topic_filters(
        mqtt.root, _level(args.city, "--city"), _level(args.site, "--site"), _level(args.unit, "--unit"), args.group
    )
    shared = args.group is not None
    output = Output()
    stream = records(
        mqtt,
        filters=filters,
        keys=_keyring(args),
        context=context_for(mqtt),
        login=login_for(mqtt),
        shared=shared,
        session=args.session,
        output=output,
    )
    with contextlib.suppress(ValueError):  # not the main thread: whoever runs us stops us
        signal.signal(signal.SIGTERM, _interrupt)
    try:
        with contextlib.closing(stream):
            try:
                _print(stream, args)
            except BaseException:
                output.failed = True
                raise
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:  # `| head`
        _silence()
    except OSError as bad:
        _silence()
        remedy = "make room; with --session NAME the broker keeps meanwhile what comes"
        raise StorageUnavailable("standard output", why=bad.strerror or str(bad), remedy=remedy) from None
    return 0


def _silence() -> None:
    """What is still buffered goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def given_keys(key: str | None, directory: Path, unit: str) -> tuple[bytes, ...]:
    """The keys of `unit`, the present one first: `key` as `load_public_key` reads it, or those that a key directory has; raise SettingsError."""
    return (load_public_key(key),) if key is not None else find_keys(load_directory(directory), unit, str(directory))


def load_public_key(text: str) -> bytes:
    """32 bytes from hex, or from a file of hex or of a PEM public key; raise SettingsError."""
    with contextlib.suppress(ValueError):
        key = bytes.fromhex(text)
        if len(key) == 32:
            return key
    content = read_given(
        Path(text), MAX_SECRET_BYTES, "a public key: 64 hex digits, or a file of them or in PEM", SettingsError
    )
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


def _keyring(args: argparse.Namespace) -> Keyring:
    keys = [load_public_key(text) for text in args.key]
    if args.keys is None:
        return Keyring(keys)
    if args.keys.is_dir():
        try:
            files = sorted(args.keys.iterdir())
        except OSError as bad:
            raise SettingsError(str(args.keys), expected="a folder that can be read", got=str(bad.strerror)) from None
        found = [path for path in files if path.suffix in KEY_SUFFIXES and not path.name.startswith(".")]
        if not found or len(found) > MAX_KEYS:
            raise SettingsError(
                str(args.keys), expected=f"1 to {MAX_KEYS} key files named *.pub, *.pem or *.key", got=str(len(found))
            )
        return Keyring([*keys, *(load_public_key(str(path)) for path in found)])
    content = read_given(args.keys, MAX_DIRECTORY_BYTES, "a key directory or a folder of key files", SettingsError)
    directory = decode_directory(content, str(args.keys))
    return Keyring(keys, directory.units, directory.previous)


def _print(stream: Iterator[tuple[Record, Received] | None], args: argparse.Namespace) -> None:
    began = time.monotonic()
    ends_at = None if args.seconds is None else began + args.seconds
    table = Table(unicode=_has_check_mark())
    tally, silence = Tally(began), Silence()
    told = looked = began
    if args.csv:
        sys.stdout.write(f"{HEADER}\n")
    for item in stream:
        now = time.monotonic()
        if item is None:
            sys.stdout.flush()
        else:
            record, message = item
            tally.take(record)
            silence.take(record, now)
            _show(record, message, table, args)
        if args.group is None and now - looked >= SILENCE_EVERY_S:
            looked = now
            for record in silence.overdue(now):
                _show(record, _NO_MESSAGE, table, args)
        if args.rate is not None and now - told >= args.rate:
            told = now
            print(tally.line(now, silence.count), file=sys.stderr, flush=True)
        if (ends_at is not None and now >= ends_at) or (args.count is not None and tally.releases >= args.count):
            break
    sys.stdout.flush()
    if args.rate is not None:
        print(tally.line(time.monotonic(), silence.count), file=sys.stderr, flush=True)


_NO_MESSAGE = Received(None, b"", (), False, 0.0)


def _show(record: Record, message: Received, table: Table, args: argparse.Namespace) -> None:
    if args.json:
        lines = [_json(record, message, raw=args.raw)]
    elif args.csv and record["type"] == "release":
        lines = rows(record)
    else:
        lines = table.lines(record)
    output = sys.stderr if args.csv and record["type"] != "release" else sys.stdout
    output.write("".join(f"{line}\n" for line in lines))


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


def _level(text: str, option: str) -> str:
    if text != "+" and not TOPIC_NAME.fullmatch(text):
        raise SettingsError(
            option, expected="one topic level: lower-case letters, digits and dashes", got=repr(text)[:40]
        )
    return text


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
