"""Merkle tree heads and signed notes: RFC 6962 section 2.1, C2SP tlog-checkpoint and signed-note (Ed25519, type 1).

What a growing log and its readers need: the running root, and signing and opening a checkpoint. Tiles are in wire/tiles, proofs in
wire/proofs, cosignatures of witnesses in wire/cosignature.
"""

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.errors import EncodingError, SignatureError
from agent.wire.cose import Verifier, public_bytes, verify_ed25519
from agent.wire.sha256 import sha256

if TYPE_CHECKING:  # as in wire/cose: reading a checkpoint loads no cryptography
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

MAX_NOTE_BYTES = 4096
EMPTY_ROOT = sha256(b"")


def leaf_hash(entry: bytes) -> bytes:
    """RFC 6962: SHA-256(0x00 || entry)."""
    return sha256(b"\x00" + entry)


def node_hash(left: bytes, right: bytes) -> bytes:
    """RFC 6962: SHA-256(0x01 || left || right)."""
    return sha256(b"\x01" + left + right)


class TreeHead:
    """The root of a growing log in logarithmic memory: one hash for each one-bit of its size, widest first."""

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[bytes] = []

    @classmethod
    def over(cls, roots: Iterable[bytes], width: int) -> "TreeHead":
        """The tree whose entries, `width` (a power of two) at a time, have these roots."""
        head = cls()
        for root in roots:
            head._add(root, width)
        return head

    @classmethod
    def continued(cls, size: int, peaks: Sequence[bytes]) -> "TreeHead":
        """The tree of `size` entries by its `peaks`: the roots of its whole subtrees, widest first. Raises EncodingError for another number of them."""
        if len(peaks) != size.bit_count() or any(len(peak) != 32 for peak in peaks):
            raise EncodingError("peaks", expected=f"{size.bit_count()} hashes of 32 bytes", got="others")
        head = cls()
        head.size, head._peaks = size, list(peaks)
        return head

    def append(self, entry: bytes) -> None:
        """Add one entry."""
        self._add(leaf_hash(entry), 1)

    def _add(self, node: bytes, width: int) -> None:
        beside = self.size // width
        while beside & 1:
            node = node_hash(self._peaks.pop(), node)
            beside >>= 1
        self._peaks.append(node)
        self.size += width

    def copy(self) -> "TreeHead":
        """The same tree, to be added to independently."""
        same = TreeHead()
        same.size, same._peaks = self.size, self._peaks.copy()
        return same

    def root(self) -> bytes:
        """RFC 6962 Merkle Tree Hash of everything appended (32 bytes)."""
        if not self._peaks:
            return EMPTY_ROOT
        root = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            root = node_hash(peak, root)
        return root


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A tree head as published: `origin` names the log, `extensions` are further lines without newline."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def body(self) -> str:
        """The note text that is signed."""
        lines = [self.origin, str(self.size), base64.b64encode(self.root).decode(), *self.extensions]
        return "\n".join(lines) + "\n"


def key_hash(name: str, public_key: bytes) -> bytes:
    """signed-note: first four bytes of SHA-256(name || 0x0A || 0x01 || public key)."""
    return sha256(name.encode() + b"\n\x01" + public_key)[:4]


def sign_checkpoint(checkpoint: Checkpoint, name: str, key: "Ed25519PrivateKey") -> bytes:
    """The signed note, ready to be written as `checkpoint`."""
    body = checkpoint.body()
    return _note(body, name, key_hash(name, public_bytes(key)) + key.sign(body.encode()))


def note_bytes(checkpoint: Checkpoint, name: str) -> int:
    """The length of the signed note."""
    return len(_note(checkpoint.body(), name, bytes(4 + 64)))


def _note(body: str, name: str, blob: bytes) -> bytes:
    """`blob`: key hash and signature."""
    return f"{body}\n\u2014 {name} {base64.b64encode(blob).decode()}\n".encode()


def decode_checkpoint(note: bytes) -> Checkpoint:
    """Read a signed note without verifying it (a reader on the same unit); raise EncodingError."""
    return split_note(note)[0]


def open_checkpoint(note: bytes, name: str, public_key: bytes) -> Checkpoint:
    """Verify and read a signed note; raise EncodingError or SignatureError."""
    checkpoint, signatures = split_note(note)
    signed = signed_by(checkpoint, signatures, name, public_key)
    if not signed:
        got = "none by that key" if signed is None else "one that does not verify"
        raise SignatureError("checkpoint", expected=f"a signature by {name}", got=got)
    return checkpoint


def signed_by(
    checkpoint: Checkpoint,
    signatures: list[tuple[str, bytes]],
    name: str,
    public_key: bytes,
    verifier: Verifier = verify_ed25519,
) -> bool | None:
    """Does the first signature under this name and key verify? None when there is none."""
    for signer, blob in signatures:
        if signer == name and blob[:4] == key_hash(name, public_key):
            return verifier(public_key, blob[4:], checkpoint.body().encode())
    return None


def split_note(note: bytes) -> tuple[Checkpoint, list[tuple[str, bytes]]]:
    """The checkpoint and every signature line as (name, key hash and signature), nothing verified; raise EncodingError."""
    if len(note) > MAX_NOTE_BYTES:
        raise EncodingError("checkpoint", expected=f"at most {MAX_NOTE_BYTES} bytes", got=str(len(note)))
    try:
        text = note.decode("utf-8")
        body, _, tail = text.partition("\n\n")
        origin, size, root, *extensions = body.split("\n")
        if (
            not tail.endswith("\n")
            or not size.isascii()
            or not size.isdigit()
            or (size != "0" and size.startswith("0"))
            or not origin
        ):
            raise ValueError
        checkpoint = Checkpoint(origin, int(size), _exactly(root), tuple(extensions))
        signatures = []
        for line in tail[:-1].split("\n"):
            dash, name, blob = line.split(" ")
            if dash != "\u2014":
                raise ValueError
            signatures.append((name, _exactly(blob)))
    except (ValueError, UnicodeDecodeError):
        raise EncodingError(
            "checkpoint", expected="a C2SP signed note holding a checkpoint", got="something else"
        ) from None
    if len(checkpoint.root) != 32:
        raise EncodingError("checkpoint root", expected="32 bytes", got=str(len(checkpoint.root)))
    return checkpoint, signatures


def _exactly(text: str) -> bytes:
    """Base64 in its one encoding (RFC 4648 section 3.5): other trailing bits would be another note with the same signature."""
    octets = base64.b64decode(text, validate=True)
    if base64.b64encode(octets).decode() != text:
        raise ValueError
    return octets
