"""python -m agent.publisher --config agent.toml [--exact-counters FD]"""

import os
import sys
from collections.abc import Sequence

from agent.local import daemon, memory, settings
from agent.publisher.daemon import Daemon


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the daemon; the exit code."""
    options = daemon.options("agent.publisher", "the release log to the MQTT broker", arguments)
    os.environ.setdefault("RES_OPTIONS", "timeout:1 attempts:2")  # a dead name server must not hold up a stop

    def work() -> None:
        started = Daemon(settings.load(options.config), options.exact_counters)
        memory.give_back()
        started.run()

    return daemon.run(work, holds_readings=False)


if __name__ == "__main__":
    sys.exit(main())
