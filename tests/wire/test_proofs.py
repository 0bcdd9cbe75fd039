"""agent/wire/proofs: RFC 9162 2.1.3 and 2.1.4 by the RFC's own recursive definitions, and every proof that is not right refused."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import EncodingError, SignatureError
from agent.wire import proofs
from agent.wire.tiles import Node
from agent.wire.tlog import leaf_hash, node_hash
from tests.wire.test_tlog import grown, naive_root

VECTORS = json.loads((Path(__file__).parent.parent / "vectors/wire/rfc6962_proofs.json").read_text())
LEAVES = [bytes.fromhex(leaf) for leaf in VECTORS["leaves"]]


def entries_of(size: int) -> list[bytes]:
    return [number.to_bytes(2, "big") for number in range(size)]


def node_over(entries: list[bytes]) -> Node:
    """Nodes straight from the entries."""

    def node(height: int, index: int) -> bytes:
        return naive_root(entries[index << height : (index + 1) << height])

    return node


def split(size: int) -> int:
    k = 1
    while k * 2 < size:
        k *= 2
    return k


def naive_path(index: int, entries: list[bytes]) -> list[bytes]:
    """RFC 9162 2.1.3.1, word for word."""
    if len(entries) == 1:
        return []
    k = split(len(entries))
    if index < k:
        return [*naive_path(index, entries[:k]), naive_root(entries[k:])]
    return [*naive_path(index - k, entries[k:]), naive_root(entries[:k])]


def naive_subproof(old: int, entries: list[bytes], complete: bool) -> list[bytes]:
    """RFC 9162 2.1.4.1, word for word."""
    if old == len(entries):
        return [] if complete else [naive_root(entries)]
    k = split(len(entries))
    if old <= k:
        return [*naive_subproof(old, entries[:k], complete), naive_root(entries[k:])]
    return [*naive_subproof(old - k, entries[k:], False), naive_root(entries[:k])]


@pytest.mark.parametrize("vector", VECTORS["inclusion"], ids=str)
def test_published_inclusion_proofs(vector: dict[str, int | list[str]]) -> None:
    """The paths of Certificate Transparency's own Merkle tree test."""
    index, size, path = vector["index"], vector["size"], vector["path"]
    assert isinstance(index, int)
    assert isinstance(size, int)
    assert isinstance(path, list)
    assert [each.hex() for each in proofs.inclusion_proof(node_over(LEAVES[:size]), index, size)] == path


@pytest.mark.parametrize("vector", VECTORS["consistency"], ids=str)
def test_published_consistency_proofs(vector: dict[str, int | list[str]]) -> None:
    old, size, path = vector["old"], vector["size"], vector["path"]
    assert isinstance(old, int)
    assert isinstance(size, int)
    assert isinstance(path, list)
    assert [each.hex() for each in proofs.consistency_proof(node_over(LEAVES[:size]), old, size)] == path


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 8, 9, 16, 21, 33])
def test_every_entry_is_included(size: int) -> None:
    entries = entries_of(size)
    root = grown(entries).root()
    for index in range(size):
        path = proofs.inclusion_proof(node_over(entries), index, size)
        assert list(path) == naive_path(index, entries)
        proofs.verify_inclusion(leaf_hash(entries[index]), index, size, path, root)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 8, 9, 16, 21, 33])
def test_every_older_tree_is_its_beginning(size: int) -> None:
    entries = entries_of(size)
    root = grown(entries).root()
    for old in range(size + 1):
        path = proofs.consistency_proof(node_over(entries), old, size)
        if old not in (0, size):
            assert list(path) == naive_subproof(old, entries, True)
        proofs.verify_consistency(old, size, path, grown(entries[:old]).root(), root)


@given(st.integers(2, 40), st.data())
def test_no_other_inclusion_is_proved(size: int, data: st.DataObject) -> None:
    """Another leaf, index, size, root, order, a hash more or less: none is accepted."""
    entries = entries_of(size)
    root = grown(entries).root()
    index = data.draw(st.integers(0, size - 1))
    path = list(proofs.inclusion_proof(node_over(entries), index, size))
    leaf = leaf_hash(entries[index])
    other = data.draw(st.integers(0, size - 1).filter(lambda i: i != index))
    wrong: list[tuple[bytes, int, int, list[bytes], bytes]] = [
        (leaf_hash(b"another"), index, size, path, root),
        (leaf, other, size, path, root),
        (leaf, index, size, path, node_hash(root, root)),
        (leaf, index, size, [*path, root], root),
        (leaf, index, size, path[:-1], root),
        (leaf, size, size, path, root),
        (leaf, -1, size, path, root),
        (leaf, index, size, [bytes(31), *path[1:]], root),
        (leaf, index, size, [bytes(32)] * 65, root),
    ]
    for attempt in wrong:
        with pytest.raises(SignatureError):
            proofs.verify_inclusion(*attempt)


@given(st.integers(2, 40), st.data())
def test_no_other_history_is_proved(size: int, data: st.DataObject) -> None:
    """A rewritten beginning, another size, a hash more or less: none is accepted."""
    entries = entries_of(size)
    root = grown(entries).root()
    old = data.draw(st.integers(1, size - 1))
    path = list(proofs.consistency_proof(node_over(entries), old, size))
    then = grown(entries[:old]).root()
    rewritten = grown([*entries[: old - 1], b"rewritten"]).root()
    for attempt in (
        (old, size, path, rewritten, root),
        (old, size, path, then, node_hash(root, root)),
        (old, size, [*path, root], then, root),
        (old, size, path[:-1], then, root),
        (size, old, path, root, then),
        (old, size, [], then, root),
        (0, size, path, then, root),
        (size, size, [], then, root),
    ):
        with pytest.raises(SignatureError):
            proofs.verify_consistency(*attempt)


def test_proofs_outside_the_tree_are_refused() -> None:
    node = node_over(entries_of(3))
    for index in (-1, 3):
        with pytest.raises(EncodingError):
            proofs.inclusion_proof(node, index, 3)
    for old in (-1, 4):
        with pytest.raises(EncodingError):
            proofs.consistency_proof(node, old, 3)
