"""python -m firmware_bridge --board NAME --config agent.toml [--exact-counters FD]"""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from agent.errors import DtprError, SettingsError
from agent.local import memory, settings
from agent.local.counters import ExactCounters
from firmware_bridge.daemon import DAEMON, Bridge


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the daemon; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m firmware_bridge", description="one sensor board's tty to the inbox"
    )
    parser.add_argument("--board", required=True, metavar="NAME", help="a table [boards.NAME] of agent.toml")
    parser.add_argument("--config", type=Path, default=settings.DEFAULT_PATH, metavar="agent.toml")
    parser.add_argument("--exact-counters", type=int, metavar="FD", help="demo only: exact counters as JSON lines")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    memory.forbid_core_dumps()
    try:
        loaded = settings.load(options.config)
        if options.board not in loaded.boards:
            raise SettingsError(
                str(options.config),
                expected=f"a table [boards.{options.board}]",
                got="boards " + (", ".join(loaded.boards) or "none"),
                remedy="name one of them with --board, or add the table",
            )
        problem = memory.lock_memory()
        if problem is not None:
            logging.getLogger(DAEMON).warning("memory is not locked: %s; set LimitMEMLOCK=infinity", problem)
        Bridge(
            loaded.boards[options.board],
            loaded.paths,
            ExactCounters(options.exact_counters, DAEMON),
            exact_wanted=options.exact_counters is not None,
            memory_problem=problem,
        ).run()
    except DtprError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
