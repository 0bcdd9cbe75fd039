"""The arguments and the course of `dtpr-agent fleet simulate`; `agent.cli.fleet` hangs it in."""

import argparse
import hashlib
import json
import os
import resource
import sys
from dataclasses import asdict, replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.errors import SettingsError
from agent.local.clock import OPERATOR, Clock
from agent.local.files import read_given, write_atomic
from agent.local.randomness import random_bytes
from agent.operations.broker import MAX_SECRET_BYTES, add_broker_arguments, broker_of, context_for, login_for
from agent.operations.keys import write_directory
from agent.operations.simulation import Crowd
from agent.operations.simulation_traffic import Progress, Traffic
from agent.policy.file import load_policy

MAX_UNITS = 50_000
"""One process and one address have about 64,000 ports."""

SECRET_BYTES = 32


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the subcommand."""
    parser.add_argument(
        "--policy", type=Path, required=True, help="what the units do: a policy, such as config/policy.toml"
    )
    parser.add_argument("--units", type=int, default=1000, help="so many, each with its own key and connection")
    parser.add_argument("--first", type=int, default=0, help="number of the first: several processes make one crowd")
    parser.add_argument(
        "--rate",
        type=float,
        help="releases a second of all together (default as many as the policy's windows give; 0: no limit)",
    )
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="how long; 0 writes the keys and connects to nothing"
    )
    parser.add_argument(
        "--secret",
        type=Path,
        metavar="F",
        help="what the units' keys are made from, written when absent: the same units again",
    )
    parser.add_argument(
        "--keys-out", type=Path, metavar="F", help="write the key directory here, for `subscribe --keys`"
    )
    parser.add_argument(
        "--encoding", choices=("json", "cbor"), default="json", help="of the releases, as in agent.toml (default json)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object at the end, and nothing else")
    add_broker_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Simulate; returns 0. Raises PolicyError, SettingsError and BrokerUnavailable."""
    if not 1 <= args.units <= MAX_UNITS or args.first < 0 or args.first + args.units > 10**6:
        raise SettingsError("--units", expected=f"1 to {MAX_UNITS}, numbered below a million", got=str(args.units))
    if args.seconds < 0 or (args.rate is not None and args.rate < 0):
        raise SettingsError("--seconds, --rate", expected="no negative numbers", got=f"{args.seconds}, {args.rate}")
    mqtt = broker_of(args)
    policy = load_policy(args.policy)
    if not mqtt.tls:
        policy = replace(policy, transport="any")  # a unit with transport = "tls" would publish nothing here (PB-17)
    crowd = Crowd(policy, mqtt.root, Clock(OPERATOR).utc_ns() // 10**9, cbor=args.encoding == "cbor")
    secret = random_bytes(SECRET_BYTES) if args.secret is None else _secret(args.secret)
    units = [crowd.unit(number, unit_key(secret, number)) for number in range(args.first, args.first + args.units)]
    if args.keys_out is not None:
        unit = crowd.policy.unit
        keys = {each.path: each.public_key for each in units}
        write_atomic(args.keys_out, write_directory(unit.city, crowd.policy.version, keys))
    if not args.seconds:
        return 0
    rate = args.rate
    if rate is None:
        rate = len(units) * sum(1 / stream.window_s for stream in crowd.policy.streams)
    traffic = Traffic(mqtt, context_for(mqtt), login_for(mqtt), units)
    try:
        traffic.open()
        if not args.json:
            print(
                f"{len(units)} units are connected and announced; {rate or 'as many as go'} releases a second",
                flush=True,
            )
        for progress in traffic.run(rate, args.seconds):
            if not args.json:
                print(_line(progress), flush=True)
    finally:
        traffic.close()
    if args.json:
        json.dump({**asdict(traffic.progress), **traffic.progress.rates(), "peak_memory_kib": _peak_kib()}, sys.stdout)
        print()
    return 0


def unit_key(secret: bytes, number: int) -> Ed25519PrivateKey:
    """The key of one unit: SHA-256 of what it is for, the secret and the unit's number."""
    seed = hashlib.sha256(b"dtpr-agent fleet simulate\0" + secret + number.to_bytes(8, "big")).digest()
    return Ed25519PrivateKey.from_private_bytes(seed)


def _secret(path: Path) -> bytes:
    """What `path` holds, or new random bytes in it."""
    try:
        if not path.exists():
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(random_bytes(SECRET_BYTES))
        content = read_given(path, MAX_SECRET_BYTES, "a secret of 32 bytes", SettingsError)
    except OSError as bad:
        raise SettingsError(
            f"--secret {path}", expected="a file to write or read", got=bad.strerror or "an error"
        ) from None
    if len(content) != SECRET_BYTES:
        raise SettingsError(f"--secret {path}", expected=f"{SECRET_BYTES} bytes", got=str(len(content)))
    return content


def _line(progress: Progress) -> str:
    rates = progress.rates()
    late = f", {progress.late_s:.1f} s behind" if progress.late_s > 1 else ""
    return (
        f"{progress.seconds:6.1f} s  {progress.releases} releases, {rates['releases_per_s']:.1f}/s; {rates['messages_per_s']:.1f} messages/s "
        f"acknowledged, {rates['messages_per_cpu_s']:.0f} a second of this processor{late}"
    )


def _peak_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
