"""Ed25519 by libsodium, for who verifies the signatures of a whole city or of a year: about half the time of OpenSSL's.

It refuses what OpenSSL lets through, keys and signatures with a point of small order (wire/ed25519), and accepts nothing else.
"""

from nacl.bindings import crypto_sign_BYTES, crypto_sign_open
from nacl.exceptions import CryptoError


def verify_ed25519(public_key: bytes, signature: bytes, signed: bytes) -> bool:
    """Verify a 64-byte Ed25519 signature (RFC 8032) by a 32-byte public key; False for anything malformed."""
    if len(signature) != crypto_sign_BYTES:
        return False  # one shorter would go on in `signed`
    try:
        crypto_sign_open(signature + signed, public_key)
    except (CryptoError, ValueError):
        return False
    return True
