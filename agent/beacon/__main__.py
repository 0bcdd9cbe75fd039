"""`python -m agent.beacon --config agent.toml`: the beacon daemon."""

import argparse
import asyncio
import logging
import sys
from pathlib import Path

from agent.beacon.daemon import serve
from agent.errors import DtprError
from agent.local import settings


def main() -> int:
    """Parse the command line, run, and turn an error of ours into one line and its exit code."""
    parser = argparse.ArgumentParser(prog="python -m agent.beacon", description="show the unit's disclosure by radio")
    parser.add_argument("--config", type=Path, default=settings.DEFAULT_PATH, help="agent.toml")
    parser.add_argument("--exact-counters", type=int, metavar="FD", help="the demo only: where exact counters go")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    try:
        asyncio.run(serve(settings.load(options.config), options.exact_counters))
    except DtprError as bad:
        print(f"error: {bad}", file=sys.stderr)
        return bad.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
