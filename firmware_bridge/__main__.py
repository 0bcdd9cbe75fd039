"""python -m firmware_bridge --board NAME --config agent.toml [--exact-counters FD]"""

import sys
from collections.abc import Sequence

from agent.errors import SettingsError
from agent.local import daemon, memory, settings
from firmware_bridge.daemon import Bridge


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the daemon; the exit code."""
    options = daemon.options(
        "firmware_bridge", "a table [boards.NAME] of agent.toml to the inbox", arguments, board=True
    )

    def work() -> None:
        loaded = settings.load(options.config)
        if options.board not in loaded.boards:
            raise SettingsError(
                str(options.config),
                expected=f"a table [boards.{options.board}]",
                got="boards " + (", ".join(loaded.boards) or "none"),
                remedy="name one of them with --board, or add the table",
            )
        Bridge(loaded.boards[options.board], loaded.paths, options.exact_counters, memory.lock_memory()).run()

    return daemon.run(work, holds_readings=True)


if __name__ == "__main__":
    sys.exit(main())
