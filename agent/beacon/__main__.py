"""python -m agent.beacon --config agent.toml [--exact-counters FD]"""

import asyncio
import sys
from collections.abc import Sequence

from agent.beacon.daemon import serve
from agent.local import daemon, settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the daemon; the exit code."""
    options = daemon.options("agent.beacon", "show the unit's disclosure by radio", arguments)

    def work() -> None:
        asyncio.run(serve(settings.load(options.config), options.exact_counters))

    return daemon.run(work, holds_readings=False)


if __name__ == "__main__":
    sys.exit(main())
