"""`dtpr-agent privacy report`: what a policy's noise does to its numbers and what it costs a person, and a picture of it."""

import argparse
import json
import os
from pathlib import Path

from agent.anonymizer.ledger import Ledger
from agent.cli import privacy_plot, privacy_report, privacy_text
from agent.cli.policy import load
from agent.cli.privacy_report import Spent
from agent.contracts.log import Gap, Release
from agent.contracts.log_file import RELEASES
from agent.errors import LogDamaged, SettingsError, StorageUnavailable
from agent.local.files import write_atomic
from agent.local.randomness import random_bytes
from agent.policy.model import Unit
from agent.publisher.cursor import START
from agent.publisher.follow import Follower
from firmware_bridge.simulator.file import load_replay

_ENTRIES = 1000
"""Read at a time."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`report`."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    report = actions.add_parser("report", help="the noise of each stream, what a person is exposed to, and a picture")
    report.add_argument(
        "--policy", type=Path, required=True, metavar="FILE", help="a policy.toml, or its compiled or signed form"
    )
    report.add_argument("--log", type=Path, metavar="DIR", help="a unit's release log: what was spent so far")
    report.add_argument(
        "--plot",
        type=Path,
        metavar="FILE.svg",
        help="draw a day of the demo's street, true and as it would be published",
    )
    report.add_argument(
        "--counts",
        type=Path,
        metavar="FILE.csv",
        help="true counts (a time column, then classes), as for `demo --replay`: what the threshold would take of them; "
        "without it the demo's street's",
    )
    report.add_argument("--json", action="store_true", help="the figures as JSON, exact numbers as text")
    report.set_defaults(run=run_report)


def run(args: argparse.Namespace) -> int:
    """Never reached: every action brings its own."""
    raise AssertionError(args)


def run_report(args: argparse.Namespace) -> int:
    """Print the report, write the plot; raises PolicyError, LogDamaged, ReplayError, SettingsError, StorageUnavailable."""
    plot: Path | None = args.plot
    if plot is not None and plot.suffix != ".svg":
        raise SettingsError(
            str(plot),
            expected="a file that ends in .svg",
            got=plot.suffix or "no ending",
            remedy="every browser shows and prints SVG",
        )
    policy = load(args.policy)
    spent = read_log(args.log, policy.unit) if args.log is not None else None
    counts = load_replay(args.counts) if args.counts is not None else None
    found = privacy_report.report(policy, spent, counts)
    if args.json:
        print(json.dumps(privacy_report.as_json(found), ensure_ascii=False, indent=1))
    else:
        print(privacy_text.text(found, str(args.policy), str(args.log or "")), end="")
    if plot is not None:
        if not plot.parent.is_dir():
            raise SettingsError(str(plot.parent), expected="a folder to write in", got="none")
        write_atomic(plot, privacy_plot.svg(policy, random_bytes).encode())
    return 0


def read_log(folder: Path, unit: Unit) -> Spent:
    """Fold the release log of `unit` up to its checkpoint, whose signature is not looked at; raises LogDamaged, SettingsError, StorageUnavailable."""
    if not os.access(folder, os.X_OK) and folder.is_dir():
        raise StorageUnavailable(str(folder), why="Permission denied", remedy="run this as its owner")
    if not (folder / RELEASES).is_file():
        raise SettingsError(
            str(folder),
            expected="the folder of a release log",
            got=f"no {RELEASES} in it",
            remedy="see [paths] log in agent.toml",
        )
    follower, ledger, cursor = Follower(folder), Ledger(), START
    head = follower.head()
    begins_at = lost = 0
    while head is not None and cursor.entries < head.entries:
        before = cursor
        for logged in follower.entries(cursor, _ENTRIES):
            cursor = logged.cursor
            entry = logged.entry
            ledger.fold(entry)
            if isinstance(entry, Gap):
                lost += entry.count
            if isinstance(entry, Gap | Release) and not begins_at:
                begins_at = entry.first_start if isinstance(entry, Gap) else entry.window_start
        if cursor == before:
            raise LogDamaged(
                str(folder), expected=f"the {head.entries} entries of its checkpoint", got=f"{cursor.entries}"
            )
    if (whose := ledger.adoption.unit) is not None and whose != unit:
        raise SettingsError(
            str(folder),
            expected=f"the log of {unit.path}, whose policy it is",
            got=f"that of {whose.path}",
            remedy="name the policy and the log of one unit",
        )
    return privacy_report.spent(ledger, begins_at, lost)
