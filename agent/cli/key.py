"""`dtpr-agent key`: a unit's Ed25519 signing key, readable by its owner alone: made, shown, rotated."""

import argparse
import os
from pathlib import Path

from agent.cli import key_rotate
from agent.errors import SettingsError
from agent.local.credentials import load_signing_key
from agent.wire.cose import public_bytes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`new FILE`, `show FILE` and `rotate`."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    for name, act, words in (
        ("new", _new, "make a key, and print its public half"),
        ("show", _show, "print the public half of a key"),
    ):
        action = actions.add_parser(name, help=words)
        action.add_argument("file", type=Path, help="the key file, PKCS #8 PEM")
        action.set_defaults(act=act)
    rotate = actions.add_parser(
        "rotate", help="put another key in the place of this unit's, and let the old one say so"
    )
    key_rotate.add_arguments(rotate)
    rotate.set_defaults(act=key_rotate.run)


def run(args: argparse.Namespace) -> int:
    """Run the action; raises SettingsError, StorageUnavailable, LogDamaged."""
    return int(args.act(args))


def _new(args: argparse.Namespace) -> int:
    """An existing file is never overwritten."""
    write_new_key(args.file)
    return _show(args)


def _show(args: argparse.Namespace) -> int:
    print(public_bytes(load_signing_key(args.file)).hex())
    return 0


def write_new_key(path: Path) -> None:
    """Create `path` with a fresh key and mode 0600; raise SettingsError when it exists or cannot be written."""
    pem = key_rotate.new_pem()
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise SettingsError(
            str(path),
            expected="a path that does not exist yet",
            got="an existing file",
            remedy="choose another, or keep using that key",
        ) from None
    except OSError as bad:
        raise SettingsError(str(path), expected="a folder to write a key in", got=bad.strerror or "an error") from None
    with os.fdopen(fd, "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
