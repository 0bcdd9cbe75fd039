"""SHA-256 (FIPS 180-4) from CPython's own module, as its `random` takes SHA-512, and from hashlib where an interpreter was built without.

hashlib loads libcrypto: 3.6 MiB in every daemon, beside the OpenSSL that `cryptography` brings for signatures.
"""

try:
    from _sha2 import sha256 as _sha256  # type: ignore[import-not-found,unused-ignore]  # from Python 3.12
except ImportError:
    try:
        from _sha256 import sha256 as _sha256  # type: ignore[import-not-found,unused-ignore]  # Python 3.11
    except ImportError:
        from hashlib import sha256 as _sha256

from agent.wire.buffers import Buffer


def sha256(data: Buffer) -> bytes:
    """The digest of `data`, 32 bytes."""
    digest: bytes = _sha256(data).digest()
    return digest
