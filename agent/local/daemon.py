"""What the four daemons do alike as processes: command line, journal, exit code.

Invariant: nothing is imported here that one of them may not load.
"""

import logging
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.errors import DtprError, InvariantBroken
from agent.local import memory, settings


@dataclass(frozen=True, slots=True)
class Options:
    """What a daemon's command line says; `board` is the bridge's alone."""

    config: Path
    exact_counters: int | None
    board: str


def options(module: str, purpose: str, arguments: Sequence[str] | None, *, board: bool = False) -> Options:
    """The options of `python -m module`, each with a value; with `board` that one must be there. Ends the process after --help, and with
    status 2 when there is anything else: argparse, which does more than this, takes 0.6 MiB of each daemon for good."""
    needed = " --board NAME" if board else ""
    usage = f"usage: python -m {module}{needed} [--config agent.toml] [--exact-counters FD]\n"
    known = {"--config", "--exact-counters", *(["--board"] if board else [])}
    given = [part for argument in (sys.argv[1:] if arguments is None else arguments) for part in _parts(argument)]
    if {"-h", "--help"} & set(given):
        sys.stdout.write(f"{usage}\n{purpose}; --exact-counters is the demo's: JSON lines\n")
        raise SystemExit(0)
    found = dict(zip(given[::2], given[1::2], strict=False))
    descriptor = found.get("--exact-counters")
    if 2 * len(found) != len(given) or found.keys() - known or (board and "--board" not in found):
        sys.stderr.write(f"{usage}error: expected these options, each once with its value, got {given}\n")
        raise SystemExit(2)
    if descriptor is not None and not (descriptor.isascii() and descriptor.isdecimal()):
        sys.stderr.write(f"{usage}error: --exact-counters: expected the number of a descriptor, got {descriptor!r}\n")
        raise SystemExit(2)
    config = Path(found["--config"]) if "--config" in found else settings.DEFAULT_PATH
    return Options(config, None if descriptor is None else int(descriptor), found.get("--board", ""))


def _parts(argument: str) -> list[str]:
    """`--name=value` is `--name value`."""
    return argument.split("=", 1) if argument.startswith("--") else [argument]


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
