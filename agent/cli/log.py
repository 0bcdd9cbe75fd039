"""`dtpr-agent log export DIR`: the release log as C2SP tlog-tiles files, for anyone's audit, mirror or witness."""

import argparse
from pathlib import Path

from agent.local import settings
from agent.operations.log_copy import export
from agent.operations.table import printable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`export DIR`."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    action = actions.add_parser(
        "export", help="write the log as tiles (C2SP tlog-tiles), or bring such a copy up to date"
    )
    action.add_argument("folder", type=Path, metavar="DIR", help="where the copy is, or shall be")
    source = action.add_mutually_exclusive_group()
    source.add_argument(
        "--log", type=Path, metavar="F", help="the log's folder, or a closed log's file (default: /var/lib/dtpr/log)"
    )
    source.add_argument("--config", type=Path, metavar="F", help="agent.toml, which names the log's folder")
    action.set_defaults(act=run_export)


def run(args: argparse.Namespace) -> int:
    """Run the action; raises LogDamaged, StorageUnavailable, SettingsError."""
    return int(args.act(args))


def run_export(args: argparse.Namespace) -> int:
    """Print what the copy now holds."""
    log = settings.load(args.config).paths.log if args.config is not None else args.log or Path("/var/lib/dtpr/log")
    done = export(log, args.folder)
    origin = printable(done.checkpoint.origin)
    print(f"{args.folder}: {done.checkpoint.size} entries of {origin}, {done.checkpoint.size - done.before} new")
    if done.damage is not None:
        print(f"    damaged    {done.damage}: what is behind it is not copied; the log that follows names this loss")
    print(f"    root       {done.checkpoint.root.hex()}")
    print(f"    check it   dtpr-agent audit --log {args.folder} --key KEY")
    return 0
