"""What the four daemons do alike as processes: command line, journal, exit code.

Invariant: nothing is imported here that one of them may not load.
"""

import argparse
import logging
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from agent.errors import DtprError, InvariantBroken
from agent.local import memory, settings


class _Help(argparse.HelpFormatter):
    """Of a fixed width: to ask the terminal for its own, argparse loads shutil with its archive formats, half a MiB, at the first option."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=100)


def command_line(module: str, purpose: str) -> argparse.ArgumentParser:
    """The options that every daemon has; a daemon may add its own."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=purpose, formatter_class=_Help)
    parser.add_argument("--config", type=Path, default=settings.DEFAULT_PATH, metavar="agent.toml")
    parser.add_argument("--exact-counters", type=int, metavar="FD", help="demo only: exact counters as JSON lines")
    return parser


def run(work: Callable[[], None], *, holds_readings: bool) -> int:
    """Do `work` with the journal on standard error; an error of ours becomes one line. Returns the exit code.

    A process that holds readings dumps no core, and of a bug in it only the place is told: the words could hold a reading (I1).
    """
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    if holds_readings:
        memory.forbid_core_dumps()
    try:
        work()
    except DtprError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    except Exception as bug:
        if not holds_readings:
            raise
        sys.stderr.write("".join(traceback.format_tb(bug.__traceback__)) + f"error: {type(bug).__name__}\n")
        return InvariantBroken.exit_code
    return 0
