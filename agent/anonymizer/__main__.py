"""python -m agent.anonymizer --config agent.toml [--exact-counters FD]"""

import sys
from collections.abc import Sequence

from agent.anonymizer.daemon import Daemon
from agent.local import daemon, memory, settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the daemon; the exit code."""
    options = daemon.options("agent.anonymizer", "readings in, governed Releases out", arguments)

    def work() -> None:
        loaded = settings.load(options.config)
        Daemon(loaded, options.exact_counters, memory.lock_memory()).run()

    return daemon.run(work, holds_readings=True)


if __name__ == "__main__":
    sys.exit(main())
