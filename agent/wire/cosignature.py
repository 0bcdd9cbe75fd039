"""Witness cosignatures on checkpoints: C2SP tlog-cosignature v1 (Ed25519, signature type 4) and verifier keys of signed-note. Pure.

A witness signs that, at a time, the log's newest head it had seen was this one:

    cosignature/v1
    time <Unix seconds>
    <the checkpoint's body>

Its line in the note holds key hash (4 bytes), the time (u64 big endian) and the signature (64 bytes).
"""

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.errors import EncodingError, SignatureError
from agent.wire.cose import public_bytes, verify_ed25519
from agent.wire.tlog import Checkpoint, split_note

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

COSIGNATURE_TYPE = 4
MAX_TIME_S = 2**63
MAX_KEY_TEXT = 300

_BLOB_BYTES = 4 + 8 + 64


@dataclass(frozen=True, slots=True)
class Witness:
    """Who cosigns: `name` as in the note's line, `public_key` 32 bytes."""

    name: str
    public_key: bytes


def cosignature_key_hash(witness: Witness) -> bytes:
    """signed-note key hash of type 4: first four bytes of SHA-256(name || 0x0A || 0x04 || public key)."""
    return hashlib.sha256(witness.name.encode() + b"\n\x04" + witness.public_key).digest()[:4]


def parse_witness(text: str) -> Witness:
    """A verifier key of type 4, `name+hash+base64(0x04 || key)`; raises EncodingError."""
    try:
        name, hashed, key = text.split("+", 2) if len(text) <= MAX_KEY_TEXT else ("", "", "")
        blob = base64.b64decode(key, validate=True)
        witness = Witness(name, blob[1:])
        if (
            blob[:1] == bytes([COSIGNATURE_TYPE])
            and len(blob) == 33
            and name
            and not any(c.isspace() for c in name)
            and cosignature_key_hash(witness).hex() == hashed
            and base64.b64encode(blob).decode() == key
        ):
            return witness
    except ValueError:
        pass
    raise EncodingError("witness key", expected="name+hash+key of type 4 (C2SP tlog-cosignature)", got=ascii(text[:80]))


def witness_key(witness: Witness) -> str:
    """The text that `parse_witness` reads."""
    key = base64.b64encode(bytes([COSIGNATURE_TYPE]) + witness.public_key).decode()
    return f"{witness.name}+{cosignature_key_hash(witness).hex()}+{key}"


def cosign(note: bytes, name: str, key: "Ed25519PrivateKey", time_s: int) -> bytes:
    """The note with one cosignature line more; raises EncodingError for what is no checkpoint."""
    checkpoint, _ = split_note(note)
    witness = Witness(name, public_bytes(key))
    signature = key.sign(_signed(checkpoint, time_s))
    blob = cosignature_key_hash(witness) + time_s.to_bytes(8, "big") + signature
    return note + f"\u2014 {name} {base64.b64encode(blob).decode()}\n".encode()


def verify_cosignatures(note: bytes, witnesses: Iterable[Witness]) -> dict[str, int]:
    """Witness name -> when it saw this checkpoint (Unix seconds), for those of `witnesses` that cosigned it.

    Lines of others are left alone. Raises EncodingError for what is no note, SignatureError for a line in a known witness's name and key
    that does not verify.
    """
    checkpoint, lines = split_note(note)
    known = {(witness.name, cosignature_key_hash(witness)): witness for witness in witnesses}
    seen: dict[str, int] = {}
    for name, blob in lines:
        witness = known.get((name, blob[:4]))
        if witness is None:
            continue
        time_s = int.from_bytes(blob[4:12], "big")
        if (
            len(blob) != _BLOB_BYTES
            or time_s >= MAX_TIME_S
            or not verify_ed25519(witness.public_key, blob[12:], _signed(checkpoint, time_s))
        ):
            raise SignatureError(
                "cosignature", expected=f"one by {name} that verifies", got="another length, time or signature"
            )
        seen[name] = max(time_s, seen.get(name, 0))
    return seen


def _signed(checkpoint: Checkpoint, time_s: int) -> bytes:
    return f"cosignature/v1\ntime {time_s}\n{checkpoint.body()}".encode()
