"""local/credentials: the unit's key in PEM, whoever wrote it, and nothing else."""

import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

from agent.errors import SettingsError
from agent.local.credentials import load_signing_key

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))

LIGHT = """
import sys
from pathlib import Path
from agent.local.credentials import load_signing_key
load_signing_key(Path(sys.argv[1]))
print("cryptography.hazmat.primitives.serialization" in sys.modules)
"""


def written(folder: Path, data: bytes) -> Path:
    path = folder / "unit-key"
    path.write_bytes(data)
    path.chmod(0o600)
    return path


def pem(encryption: KeySerializationEncryption) -> bytes:
    return KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


PLAIN = pem(NoEncryption())


@pytest.mark.parametrize("data", [PLAIN, PLAIN.replace(b"\n", b"\r\n"), PLAIN.rstrip(), b"# of this unit\n" + PLAIN])
def test_the_key(tmp_path: Path, data: bytes) -> None:
    found = load_signing_key(written(tmp_path, data))
    assert found.private_bytes_raw() == KEY.private_bytes_raw()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        PLAIN[:-30],
        PLAIN.replace(b"MC4CAQAwBQYDK2Vw", b"MC4CAQAwBQYDK2Vu"),  # X25519 by its number: another kind of key
        PLAIN.replace(b"PRIVATE", b"PUBLIC"),
        pem(BestAvailableEncryption(b"word")),
        generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    ],
)
def test_anything_else_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(SettingsError, match="an Ed25519 private key in PEM"):
        load_signing_key(written(tmp_path, data))


@pytest.mark.parametrize(("data", "loaded"), [(PLAIN, "False\n"), (b"# of this unit\n" + PLAIN, "True\n")])
def test_a_usual_key_needs_no_library_of_formats(tmp_path: Path, data: bytes, loaded: str) -> None:
    """2 MiB of every anonymizer; the other key is the control."""
    argv = [sys.executable, "-c", LIGHT, str(written(tmp_path, data))]
    assert subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout == loaded
