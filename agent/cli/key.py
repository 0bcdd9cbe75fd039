"""`dtpr-agent key new`: a unit's Ed25519 signing key, readable by its owner alone."""

import argparse
import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from agent.errors import SettingsError
from agent.local.credentials import load_signing_key
from agent.wire.cose import public_bytes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`new FILE` and `show FILE`."""
    parser.add_argument("action", choices=("new", "show"), help="make a key, or show the public half of one")
    parser.add_argument("file", type=Path, help="the key file, PKCS #8 PEM")


def run(args: argparse.Namespace) -> int:
    """Print the public key in hex. Raises SettingsError; an existing file is never overwritten."""
    if args.action == "new":
        write_new_key(args.file)
    print(public_bytes(load_signing_key(args.file)).hex())
    return 0


def write_new_key(path: Path) -> None:
    """Create `path` with a fresh key and mode 0600; raise SettingsError when it exists or cannot be written."""
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
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
