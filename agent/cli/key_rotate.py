"""`dtpr-agent key rotate`: another signing key for this unit, and the old one's word that it follows (AN-125).

    unit-key.next       the new key, made and not yet in its place
    unit-key.rotation   what the old key said: public, kept until the next rotation
    unit-key            the key

Invariant: the key is replaced by one rename, after the old one's message about the new one is on the disk; before it the unit goes on with the old key,
after it with the new one, whatever else was cut short.
"""

import argparse
import contextlib
import fcntl
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from agent.contracts.log_end import read_last_head
from agent.contracts.log_file import RELEASES, unit_path
from agent.contracts.rotation import MAX_ROTATION_BYTES, Rotation, open_rotation, seal_rotation
from agent.errors import BadInput, SettingsError, StorageUnavailable
from agent.local import settings
from agent.local.clock import OPERATOR, Clock
from agent.local.credentials import load_signing_key, rotation_file
from agent.local.files import read_capped, sync_folder, write_atomic
from agent.wire import tlog
from agent.wire.cose import public_bytes

NEXT = ".next"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`--config` and `--prepare`."""
    parser.add_argument(
        "--config",
        type=Path,
        default=settings.DEFAULT_PATH,
        metavar="F",
        help=f"agent.toml (default: {settings.DEFAULT_PATH})",
    )
    parser.add_argument(
        "--prepare",
        action="store_true",
        help="only make the new key, for the units file; the unit goes on with the old one",
    )


def run(args: argparse.Namespace) -> int:
    """Print the new public key, and on standard error what to do next. Raises SettingsError, LogDamaged, StorageUnavailable; then the unit has the
    key that it had."""
    paths = settings.load(args.config).paths
    try:
        with _alone(paths.signing_key):
            if args.prepare:
                public_key, words = prepare(paths.signing_key), _PREPARED
            else:
                public_key, words = rotate(paths.signing_key, paths.log, Clock(OPERATOR).utc_ns() // 10**9), _ROTATED
    except OSError as bad:
        raise StorageUnavailable(
            str(bad.filename or paths.signing_key),
            why=bad.strerror or "an error",
            remedy="nothing is changed: run it as root, with room on that file system",
        ) from None
    print(public_key.hex(), flush=True)
    print(words.format(key=paths.signing_key), file=sys.stderr)
    return 0


_PREPARED = """{key}.next is made; the unit goes on with the old key. Next:
1. let the city's signers put the key above into the next units file, and sign it
2. `dtpr-agent key rotate` on the unit, then restart dtpr-anonymizer
3. make the key directory and the page anew with that units file, and print the sign again"""

_ROTATED = """{key} is the new key; the old one is gone. Next:
1. restart dtpr-anonymizer: its log then says who signs from here on (journal: signing key rotated)
2. if it is not done yet, let the city's signers put the key above into the next units file; until then nobody can verify what the unit signs
3. make the key directory (`fleet keys OLD NEW`) and the page anew with that units file, and print the sign again"""


def prepare(signing_key: Path) -> bytes:
    """Make the next key, or find the one that is made; returns its public half."""
    present = load_signing_key(signing_key)
    following = signing_key.with_name(signing_key.name + NEXT)
    if not os.path.lexists(following):
        _write_key(following, new_pem(), _own(signing_key))
    _own(following)
    public_key = public_bytes(load_signing_key(following))
    if public_key == public_bytes(present):
        raise SettingsError(str(following), expected="another key", got="the present one", remedy=f"delete {following}")
    return public_key


def rotate(signing_key: Path, log: Path, now_s: int) -> bytes:
    """Put the next key in its place (`now_s` is Unix seconds); returns its public half."""
    _own(signing_key)
    present = load_signing_key(signing_key)
    unit = _unit(log / RELEASES, public_bytes(present), rotation_file(signing_key))
    public_key = prepare(signing_key)
    if unit is not None:
        message = seal_rotation(unit, present, public_key, now_s)
        write_atomic(rotation_file(signing_key), message, durable=True)
    os.rename(signing_key.with_name(signing_key.name + NEXT), signing_key)
    try:
        sync_folder(signing_key.parent)
    except OSError as bad:
        raise StorageUnavailable(
            str(signing_key),
            why=bad.strerror or "an error",
            remedy="after a power cut it may be the old key or the new one: `dtpr-agent key show` says which; the unit starts with either",
        ) from None
    return public_key


def new_pem() -> bytes:
    """A fresh key, PKCS #8 in PEM."""
    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _unit(releases: Path, present: bytes, rotation: Path) -> str | None:
    """Whose log it is, None while there is none: the present key must be the one that signs it."""
    try:
        fd = os.open(releases, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        head = read_last_head(lambda at, length: os.pread(fd, length, at), str(releases))
    finally:
        os.close(fd)
    if head is None:
        return None
    checkpoint, signatures = tlog.split_note(head.note)
    if tlog.signed_by(checkpoint, signatures, checkpoint.origin, present):
        return unit_path(checkpoint.origin)
    before = _rotation(rotation)
    old = before.old if before is not None and before.new == present else None
    if old is not None and tlog.signed_by(checkpoint, signatures, checkpoint.origin, old):
        raise SettingsError(
            str(releases),
            expected="a log that the present key has signed",
            got="one that has not seen the last rotation yet",
            remedy="restart dtpr-anonymizer first; a key is rotated once between two starts",
        )
    raise SettingsError(
        str(releases),
        expected="a log that the present key signs",
        got="one of another key",
        remedy="put back the unit's own key: a log goes on under another one only where the old one says so",
    )


def _rotation(path: Path) -> Rotation | None:
    try:
        return open_rotation(read_capped(path, MAX_ROTATION_BYTES) or b"")
    except BadInput:
        return None


def _own(path: Path) -> os.stat_result:
    """The file's status; a link would stay where it is, and the key behind it."""
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise SettingsError(
            str(path), expected="a file", got="a link or something else", remedy="name the file itself in agent.toml"
        )
    return status


@contextlib.contextmanager
def _alone(signing_key: Path) -> Iterator[None]:
    """One rotation at a time."""
    folder = os.open(signing_key.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SettingsError(
                str(signing_key), expected="one rotation at a time", got="another at work", remedy="wait for it"
            ) from None
        yield
    finally:
        os.close(folder)


def _write_key(path: Path, pem: bytes, like: os.stat_result) -> None:
    """A new file with the owner and mode of another key, there only when it is whole and on the disk; raises OSError."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try:
            view = memoryview(pem)
            while view:
                view = view[os.write(fd, view) :]
            if (like.st_uid, like.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(fd, like.st_uid, like.st_gid)
            os.fchmod(fd, stat.S_IMODE(like.st_mode))
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
