"""Secrets by reference: systemd's credentials folder first, else a file whose mode keeps others out."""

import base64
import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from agent.errors import SettingsError

if TYPE_CHECKING:  # as in wire/cose: a daemon without a signing key loads no cryptography
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

UNIT_KEY = "unit-key"
ROTATION = ".rotation"
"""In the name of the file beside a signing key that says which one it follows."""

MAX_BYTES = 16 * 1024

_MAKE = "`dtpr-agent key new` makes a unit's, `dtpr-agent policy keygen` a signer's"

_PEM = re.compile(rb"-----BEGIN PRIVATE KEY-----\r?\n([A-Za-z0-9+/]{64})\r?\n-----END PRIVATE KEY-----\s*")
_ED25519 = bytes.fromhex("302e020100300506032b657004220420")
"""PKCS #8 of an Ed25519 key up to its 32 bytes (RFC 8410 section 7)."""


def rotation_file(signing_key: Path) -> Path:
    """What the key before it said of `signing_key`, from the making of this until the next rotation: no secret."""
    return signing_key.with_name(signing_key.name + ROTATION)


def load_credential(name: str, path: Path) -> bytes:
    """The credential `name` from $CREDENTIALS_DIRECTORY, else the file `path`; raise SettingsError naming what to do."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    source = Path(folder) / name if folder and (Path(folder) / name).exists() else path
    try:
        mode = source.stat().st_mode
        data = source.read_bytes()
    except OSError as bad:
        raise SettingsError(
            str(source),
            expected=f"a key file (the credential {name})",
            got=bad.strerror or "an error",
            remedy=_MAKE if isinstance(bad, FileNotFoundError) else "run this as its owner, or check the path",
        ) from None
    if source == path and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise SettingsError(
            str(source),
            expected="a file that only its owner can read",
            got=f"mode {stat.S_IMODE(mode):04o}",
            remedy=f"chmod 600 {source}",
        )
    if len(data) > MAX_BYTES:
        raise SettingsError(str(source), expected=f"at most {MAX_BYTES} bytes", got=str(len(data)))
    return data


def load_signing_key(path: Path) -> "Ed25519PrivateKey":
    """The unit's Ed25519 signing key (PKCS #8 PEM); raise SettingsError."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    data = load_credential(UNIT_KEY, path)
    secret = _secret(data)
    key = _other_pem(data) if secret is None else Ed25519PrivateKey.from_private_bytes(secret)
    if not isinstance(key, Ed25519PrivateKey):
        raise SettingsError(
            str(path),
            expected="an Ed25519 private key in PEM",
            got="something else",
            remedy=_MAKE,
        )
    return key


def _secret(data: bytes) -> bytes | None:
    """The key's 32 bytes when `data` is what `dtpr-agent key new` and OpenSSL write."""
    found = _PEM.fullmatch(data)
    der = base64.b64decode(found[1]) if found else b""
    return der[len(_ED25519) :] if der.startswith(_ED25519) else None


def _other_pem(data: bytes) -> object:
    """Any other private key in PEM, None for none. What reads them all takes 2 MiB for good: a daemon with a usual key does not load it."""
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        return load_pem_private_key(data, password=None)
    except (ValueError, TypeError):
        return None
