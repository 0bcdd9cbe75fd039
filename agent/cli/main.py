"""`dtpr-agent`: the one command. Errors are one line on standard error and the exit status of their class."""

import argparse
import errno
import importlib
import os
import sys
from collections.abc import Sequence

from agent import __version__
from agent.errors import DtprError, StorageUnavailable

COMMANDS = {
    "demo": ("agent.cli.demo.command", "see a whole unit at work on this machine: board, radio, broker, daemons"),
    "subscribe": ("agent.operations.subscribe", "print and verify the releases below a topic root"),
    "log": ("agent.cli.log", "copy the release log as tiles (C2SP tlog-tiles) that anyone can audit"),
    "audit": ("agent.cli.audit", "hold what a unit published against its log, and its log against its rules"),
    "fleet": ("agent.cli.fleet", "a city's units together: who has which key; simulate them at a real broker"),
    "policy": ("agent.cli.policy", "check, explain, compare, compile, sign and verify policies; see where they stand"),
    "disclosure": ("agent.cli.disclosure", "show what residents read, in their language; read a unit nearby by radio"),
    "reader": ("agent.cli.reader", "write the resident's page, with the keys that a city vouches for"),
    "sign": ("agent.cli.sign", "make the printed sign for a unit's pole"),
    "taxonomy": ("agent.cli.taxonomy", "take over DTPR's official texts and icons, and see how they fit"),
    "key": ("agent.cli.key", "a unit's signing key: make it, show its public half, rotate it"),
    "privacy": ("agent.cli.privacy", "what the noise of a policy does to its numbers, and what it costs a person"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; returns the exit status."""
    try:
        status = _run(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
        return status
    except DtprError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:  # `| head` has seen enough
        _silence()
        return 0
    except OSError as bad:
        if bad.filename is not None:  # a file that somebody named, and no command spoke of
            print(f"error: {bad.filename}: {bad.strerror}; check the path, its owner and mode", file=sys.stderr)
            return StorageUnavailable.exit_code
        if bad.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        _silence()
        print(f"error: standard output: {bad.strerror}; make room", file=sys.stderr)
        return StorageUnavailable.exit_code


def _silence() -> None:
    """The last flush has somewhere to go."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="dtpr-agent",
        description="A sensor unit that tells everyone nearby what it does, does only that, and can prove it.",
    )
    parser.add_argument("--version", action="version", version=f"dtpr-agent {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, (module, words) in COMMANDS.items():
        command = commands.add_parser(name, help=words, description=_sentence(words))
        if arguments[:1] == [name]:
            loaded = importlib.import_module(module)
            loaded.add_arguments(command)
            _describe(command)
            command.set_defaults(run=loaded.run)
    args = parser.parse_args(arguments)
    return int(args.run(args))


def _describe(command: argparse.ArgumentParser) -> None:
    """The `--help` of each action begins with what the list of actions says of it: argparse keeps the two apart."""
    for actions in command._actions:
        if isinstance(actions, argparse._SubParsersAction):
            for listed in actions._choices_actions:
                actions.choices[listed.dest].description = _sentence(listed.help or "")


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}" + ("" if words.endswith("?") else ".")


if __name__ == "__main__":
    sys.exit(main())
