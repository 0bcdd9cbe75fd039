"""`dtpr-agent audit mirror DIR`: a witness's copy of a unit's log, collected from the broker (OP-40 to OP-43)."""

import argparse
import contextlib
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from agent.errors import BadInput, SettingsError, StorageUnavailable
from agent.operations.broker import add_broker_arguments
from agent.operations.log_copy import read_regular
from agent.operations.mirror import Mirror
from agent.operations.subscribe import arrivals, given_keys
from agent.operations.table import printable
from agent.publisher.topics import VERSION
from agent.wire.tiles import CHECKPOINT, WIDTH
from agent.wire.tlog import MAX_NOTE_BYTES, decode_checkpoint


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The folder, the unit, the broker."""
    parser.add_argument("mirror", type=Path, metavar="DIR", help="the copy; may be one made by `dtpr-agent log export`")
    parser.add_argument("--unit", required=True, metavar="CITY/SITE/UNIT", help="whose log")
    whose = parser.add_mutually_exclusive_group(required=True)
    whose.add_argument("--key", metavar="KEY", help="the unit's public key: 64 hex digits, or a file of them or in PEM")
    whose.add_argument("--keys", type=Path, metavar="F", help="a key directory, made by `dtpr-agent fleet keys`")
    parser.add_argument("--checkpoint", type=Path, action="append", default=[], metavar="F", help="a checkpoint from elsewhere, perhaps cosigned")  # fmt: skip
    parser.add_argument("--seconds", type=float, help="stop after so long")
    add_broker_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Collect until told to stop; 0, or 1 when something arrived that is not what the unit signed. Raises BadInput, BrokerUnavailable."""
    if args.unit.count("/") != 2 or {"+", "#"} & {*args.unit}:
        raise SettingsError("--unit", expected="CITY/SITE/UNIT", got=ascii(args.unit)[:80])
    keys = given_keys(args.key, args.keys, args.unit)
    there = next(path for path in (args.mirror.absolute(), *args.mirror.absolute().parents) if path.exists())
    if not os.access(there, os.W_OK | os.X_OK):  # else it would show with the first whole bundle, days later
        raise StorageUnavailable(str(there), why="no right to write in it", remedy="choose another folder")
    mirror = Mirror(args.mirror, args.unit, *keys)
    for path in args.checkpoint:
        mirror.take_note(read_regular(path, MAX_NOTE_BYTES))
    ends_at = None if args.seconds is None else time.monotonic() + args.seconds
    with contextlib.suppress(ValueError):  # not the main thread: whoever runs us stops us
        signal.signal(signal.SIGTERM, _interrupt)
    refused, told = 0, False
    messages = arrivals(args, f"{args.unit}/checkpoint", f"{args.unit}/log/#")
    with contextlib.suppress(KeyboardInterrupt), contextlib.closing(messages):
        for message in messages:
            if ends_at is not None and time.monotonic() >= ends_at:
                break
            if message is not None and message.topic is not None:
                _, _, rest = message.topic.partition(f"/{VERSION}/{args.unit}/")
                taken = _take(mirror, rest, message.payload)
                refused += taken
                if not told and not taken and rest == CHECKPOINT:
                    told = True
                    size, held = decode_checkpoint(message.payload).size, mirror.checkpoint
                    print(
                        f"the unit's log has {size} entries, the copy {0 if held is None else held.size}; "
                        f"it grows by whole bundles of {WIDTH}",
                        file=sys.stderr,
                        flush=True,
                    )
    return 1 if refused else 0


def _take(mirror: Mirror, rest: str, payload: bytes) -> int:
    try:
        missing = mirror.missing
        grown = mirror.take(rest, payload)
    except BadInput as bad:
        print(printable(f"not taken: {rest}: {bad}"), file=sys.stderr, flush=True)
        return 1
    if grown is not None:
        print(f"{grown.checkpoint.size} entries, {grown.checkpoint.size - grown.before} new", flush=True)
    if mirror.missing is not None and missing is None:
        print(f"bundle {mirror.missing} was published before: begin with a copy made by `dtpr-agent log export`", file=sys.stderr, flush=True)  # fmt: skip
    return 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
