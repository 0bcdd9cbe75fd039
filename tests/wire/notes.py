"""What other programs want to know of a signed note's signer."""

import base64

from agent.wire.tlog import key_hash


def verifier_key(name: str, public_key: bytes) -> str:
    """C2SP signed-note's text form of an Ed25519 key: `name+hash+base64(0x01 || key)`."""
    key = base64.b64encode(b"\x01" + public_key).decode()
    return f"{name}+{key_hash(name, public_key).hex()}+{key}"
