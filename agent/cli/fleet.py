"""`dtpr-agent fleet`: a city's units together. `keys` makes their key directory from its signed units files; `simulate` invents a city."""

import argparse
import sys
from pathlib import Path

from agent.errors import BadInput, PolicyError
from agent.local.clock import OPERATOR, Clock
from agent.local.files import write_atomic
from agent.operations import simulation_command
from agent.operations.keys import decode_directory, encode_directory
from agent.operations.log_copy import read_regular
from agent.policy.file import load_governance
from agent.policy.signed import MAX_SIGNED_BYTES, verify_units


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`keys UNITS…` and `simulate`."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    keys = actions.add_parser(
        "keys", help="which unit has which key, from units files signed by enough of the city's signers"
    )
    keys.add_argument("units", type=Path, nargs="+", metavar="UNITS", help="a signed units file, .cose")
    keys.add_argument(
        "--governance", type=Path, required=True, metavar="ROOT", help="the trust root: .toml, compiled or .cose"
    )
    keys.add_argument("--out", type=Path, metavar="F", help="where to write (default: print it)")
    keys.set_defaults(act=_keys)
    simulate = actions.add_parser("simulate", help="real signed traffic from simulated units at a real broker")
    simulation_command.add_arguments(simulate)
    simulate.set_defaults(act=simulation_command.run)


def run(args: argparse.Namespace) -> int:
    """Do what was asked; returns the exit status."""
    return int(args.act(args))


def _keys(args: argparse.Namespace) -> int:
    """Verify every file, then write the directory; raises BadInput, and nothing is written."""
    root = load_governance(args.governance)
    now_s = Clock(OPERATOR).utc_ns() // 10**9
    files = []
    for path in args.units:
        try:
            files.append(verify_units(read_regular(path, MAX_SIGNED_BYTES), root, now_s))
        except BadInput as bad:
            if bad.where.startswith(str(path)):
                raise
            raise PolicyError(f"{path}: {bad.where}", expected=bad.expected, got=bad.got, remedy=bad.remedy) from None
    directory = encode_directory(files)
    if args.out is None:
        sys.stdout.write(directory.decode())
        return 0
    write_atomic(args.out, directory)
    made = decode_directory(directory, str(args.out))
    rotated = f", {len(made.previous)} of them with another key than before" if made.previous else ""
    print(
        f"{args.out}: {len(made.units)} units of {root.city}{rotated}, vouched for under governance version {root.version}"
    )
    return 0
