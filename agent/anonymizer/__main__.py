"""python -m agent.anonymizer --config agent.toml [--exact-counters FD]"""

import argparse
import logging
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from agent.anonymizer.daemon import DAEMON, Daemon
from agent.errors import DtprError, InvariantBroken
from agent.local import memory, settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the daemon; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m agent.anonymizer", description="readings in, governed Releases out"
    )
    parser.add_argument("--config", type=Path, default=settings.DEFAULT_PATH, metavar="agent.toml")
    parser.add_argument("--exact-counters", type=int, metavar="FD", help="demo only: exact counters as JSON lines")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    memory.forbid_core_dumps()
    try:
        loaded = settings.load(options.config)
        problem = memory.lock_memory()
        if problem is not None:
            logging.getLogger(DAEMON).warning("memory is not locked: %s; set LimitMEMLOCK=infinity", problem)
        Daemon(loaded, options.exact_counters, problem).run()
    except DtprError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    except Exception as bug:  # its words could hold a reading (I1), so only where it happened is told
        sys.stderr.write("".join(traceback.format_tb(bug.__traceback__)) + f"error: {type(bug).__name__}\n")
        return InvariantBroken.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
