"""Inclusion and consistency proofs of a Merkle log: RFC 9162 sections 2.1.3 and 2.1.4 (the same proofs as RFC 6962's). Pure.

Invariant: a `verify_…` returns only when the proof leads exactly to the roots given, and raises SignatureError otherwise: what a signed
root does not vouch for was not signed.
"""

from collections.abc import Sequence

from agent.errors import EncodingError, SignatureError
from agent.wire.tiles import Node
from agent.wire.tlog import EMPTY_ROOT, node_hash

MAX_PROOF_HASHES = 64
"""A tree of 2^63 entries is 63 nodes high; a consistency proof has one hash more."""


def root_at(node: Node, size: int) -> bytes:
    """The root of the first `size` entries."""
    return _range(node, 0, size) if size else EMPTY_ROOT


def inclusion_proof(node: Node, index: int, size: int) -> tuple[bytes, ...]:
    """The audit path of entry `index` in the tree of the first `size` (RFC 9162 2.1.3.1); raises EncodingError outside it."""
    if not 0 <= index < size:
        raise EncodingError("inclusion proof", expected=f"an entry below {size}", got=str(index))
    path = []
    low, high = 0, size
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            path.append(_range(node, middle, high))
            high = middle
        else:
            path.append(_range(node, low, middle))
            low = middle
    return tuple(reversed(path))


def consistency_proof(node: Node, old: int, size: int) -> tuple[bytes, ...]:
    """That the first `old` of `size` entries are those of the older tree (RFC 9162 2.1.4.1); raises EncodingError outside 0..size."""
    if not 0 <= old <= size:
        raise EncodingError("consistency proof", expected=f"an older size of at most {size}", got=str(old))
    if old in (0, size):
        return ()
    path = []
    low, high, complete = 0, size, True
    while old - low != high - low:
        middle = low + _split(high - low)
        if old <= middle:
            path.append(_range(node, middle, high))
            high = middle
        else:
            path.append(_range(node, low, middle))
            low, complete = middle, False
    if not complete:
        path.append(_range(node, low, high))
    return tuple(reversed(path))


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """`leaf` (its hash) is entry `index` of the tree of `size` under `root` (RFC 9162 2.1.3.2); raises SignatureError."""
    _check(proof, size)
    if not 0 <= index < size:
        raise SignatureError("inclusion proof", expected=f"an entry below {size}", got=str(index))
    first, last, found = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise _wrong("inclusion", "a shorter one")
        if first & 1 or first == last:
            found = node_hash(sibling, found)
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        first, last = first >> 1, last >> 1
    if last or found != root:
        raise _wrong("inclusion", "another root")


def verify_consistency(old: int, size: int, proof: Sequence[bytes], old_root: bytes, root: bytes) -> None:
    """The tree of `old` under `old_root` is the beginning of that of `size` under `root` (RFC 9162 2.1.4.2); raises SignatureError."""
    _check(proof, size)
    if not 0 <= old <= size:
        raise SignatureError("consistency proof", expected=f"an older size of at most {size}", got=str(old))
    if old in (0, size):
        if proof or old_root != (EMPTY_ROOT if old == 0 else root):
            raise _wrong("consistency", "another root")
        return
    path = list(proof)
    if old & (old - 1) == 0:
        path.insert(0, old_root)
    if not path:
        raise _wrong("consistency", "none")
    first, last = old - 1, size - 1
    while first & 1:
        first, last = first >> 1, last >> 1
    before = after = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise _wrong("consistency", "a shorter one")
        if first & 1 or first == last:
            before, after = node_hash(sibling, before), node_hash(sibling, after)
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            after = node_hash(after, sibling)
        first, last = first >> 1, last >> 1
    if last or before != old_root or after != root:
        raise _wrong("consistency", "another root")


def _range(node: Node, low: int, high: int) -> bytes:
    """The root of entries low..high, a subtree of RFC 6962's shape: `low` is a multiple of the power of two that holds it."""
    parts = []
    while low < high:
        height = (high - low).bit_length() - 1
        parts.append(node(height, low >> height))
        low += 1 << height
    root = parts[-1]
    for part in reversed(parts[:-1]):
        root = node_hash(part, root)
    return root


def _split(size: int) -> int:
    """The largest power of two smaller than `size` (at least 2)."""
    return 1 << ((size - 1).bit_length() - 1)


def _check(proof: Sequence[bytes], size: int) -> None:
    if len(proof) > MAX_PROOF_HASHES or size >= 2**63 or any(len(each) != 32 for each in proof):
        raise SignatureError(
            "proof", expected=f"at most {MAX_PROOF_HASHES} hashes of 32 bytes", got="more, or other lengths"
        )


def _wrong(which: str, got: str) -> SignatureError:
    return SignatureError(f"{which} proof", expected="one that leads to the signed root", got=got)
