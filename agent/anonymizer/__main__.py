"""python -m agent.anonymizer --config agent.toml [--exact-counters FD]"""

import sys
from collections.abc import Sequence

from agent.anonymizer.daemon import Daemon
from agent.local import daemon, memory, settings
from agent.local.commits import tell_of_commits


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the daemon; the exit code."""
    options = daemon.options("agent.anonymizer", "readings in, governed Releases out", arguments)

    def work() -> None:
        loaded = settings.load(options.config)
        tell_of_commits(loaded.paths.log)
        started = Daemon(loaded, options.exact_counters, memory.lock_memory())
        memory.give_back()
        started.run()

    return daemon.run(work, holds_readings=True)


if __name__ == "__main__":
    sys.exit(main())
