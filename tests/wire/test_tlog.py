"""agent/wire/tlog: RFC 6962 roots in logarithmic memory; checkpoints as C2SP signed notes."""

import base64
import hashlib
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import EncodingError, SignatureError
from agent.wire import cose, tlog
from agent.wire.tlog import Checkpoint

VECTORS = json.loads((Path(__file__).parent.parent / "vectors/wire/rfc6962_roots.json").read_text())
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = cose.public_bytes(KEY)
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
NAME = "springfield.example/bridge-01"
HEAD = Checkpoint(NAME, 7, hashlib.sha256(b"root").digest(), ("bytes 4711",))


def naive_root(entries: list[bytes]) -> bytes:
    """RFC 6962 section 2.1, word for word."""
    if not entries:
        return hashlib.sha256(b"").digest()
    if len(entries) == 1:
        return hashlib.sha256(b"\x00" + entries[0]).digest()
    k = 1
    while k * 2 < len(entries):
        k *= 2
    return hashlib.sha256(b"\x01" + naive_root(entries[:k]) + naive_root(entries[k:])).digest()


def grown(entries: list[bytes]) -> tlog.TreeHead:
    head = tlog.TreeHead()
    for entry in entries:
        head.append(entry)
    return head


@pytest.mark.parametrize("size", range(9))
def test_published_roots(size: int) -> None:
    """The roots that Certificate Transparency's own tests publish, size by size."""
    leaves = [bytes.fromhex(leaf) for leaf in VECTORS["leaves"]]
    assert grown(leaves[:size]).root().hex() == VECTORS["roots"][size]
    assert naive_root(leaves[:size]).hex() == VECTORS["roots"][size]


def test_every_size_to_three_hundred() -> None:
    """The running root equals the recursion of the RFC at every size, powers of two and their neighbours included."""
    entries: list[bytes] = []
    head = tlog.TreeHead()
    for number in range(300):
        entries.append(number.to_bytes(2, "big"))
        head.append(entries[-1])
        assert head.size == len(entries)
        if number < 70 or number.bit_count() in (1, number.bit_length()) or number % 37 == 0:
            assert head.root() == naive_root(entries)


@given(st.lists(st.binary(max_size=12), max_size=40))
def test_any_entries(entries: list[bytes]) -> None:
    """The same for arbitrary entries."""
    assert grown(entries).root() == naive_root(entries)


def test_memory_is_logarithmic() -> None:
    """A head keeps one hash for each one-bit of its size."""
    head = grown([b"x"] * 1023)
    assert len(head._peaks) == 10
    head.append(b"x")
    assert len(head._peaks) == 1


def test_leaf_and_node_do_not_collide() -> None:
    """The prefixes keep an entry that looks like two hashes apart from the node above them."""
    left, right = tlog.leaf_hash(b"a"), tlog.leaf_hash(b"b")
    assert tlog.leaf_hash(left + right) != tlog.node_hash(left, right)


def test_signed_note_round_trip() -> None:
    """What is signed opens to the same checkpoint, with and without verification."""
    note = tlog.sign_checkpoint(HEAD, NAME, KEY)
    assert tlog.open_checkpoint(note, NAME, PUBLIC) == HEAD
    assert tlog.decode_checkpoint(note) == HEAD


def test_signed_note_has_the_published_form() -> None:
    """C2SP signed-note: text, blank line, em dash, name, base64 of four bytes of key hash and the signature over the text."""
    note = tlog.sign_checkpoint(HEAD, NAME, KEY).decode()
    text, signatures = note.split("\n\n")
    assert text.split("\n") == [NAME, "7", base64.b64encode(HEAD.root).decode(), "bytes 4711"]
    dash, name, blob = signatures.rstrip("\n").split(" ")
    assert (dash, name) == ("\u2014", NAME)
    raw = base64.b64decode(blob)
    assert raw[:4] == hashlib.sha256(NAME.encode() + b"\n\x01" + PUBLIC).digest()[:4]
    KEY.public_key().verify(raw[4:], (text + "\n").encode())


def test_published_key_hash() -> None:
    """The example key of the signed-note package's documentation: `PeterNeumann`, hash c74f20a3."""
    public = base64.b64decode("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")[1:]
    assert tlog.key_hash("PeterNeumann", public).hex() == "c74f20a3"


def test_a_witness_may_sign_too() -> None:
    """Further signature lines do not disturb ours, before or after it."""
    ours = tlog.sign_checkpoint(HEAD, NAME, KEY)
    witness = tlog.sign_checkpoint(HEAD, "witness.example", OTHER_KEY).split(b"\n\n")[1]
    body, line = ours.split(b"\n\n")
    for note in (body + b"\n\n" + witness + line, body + b"\n\n" + line + witness):
        assert tlog.open_checkpoint(note, NAME, PUBLIC) == HEAD


@pytest.mark.parametrize("name", ["other.example", NAME + "x"])
def test_another_name_is_refused(name: str) -> None:
    """A note is opened under the name that signed it only."""
    with pytest.raises(SignatureError, match="none by that key"):
        tlog.open_checkpoint(tlog.sign_checkpoint(HEAD, NAME, KEY), name, PUBLIC)


def test_another_key_is_refused() -> None:
    """A note by another key of the same name is not ours."""
    with pytest.raises(SignatureError):
        tlog.open_checkpoint(tlog.sign_checkpoint(HEAD, NAME, OTHER_KEY), NAME, PUBLIC)


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"\n7\n", b"\n8\n"), (b"4711", b"4712"), (b"bytes 4711\n", b""), (b"springfield.example/", b"x.example/")],
)
def test_a_changed_text_is_refused(old: bytes, new: bytes) -> None:
    """Size, extension lines and origin are all signed."""
    note = tlog.sign_checkpoint(HEAD, NAME, KEY)
    assert note.replace(old, new, 1) != note
    with pytest.raises(SignatureError):
        tlog.open_checkpoint(note.replace(old, new, 1), NAME, PUBLIC)


NOTE = tlog.sign_checkpoint(HEAD, NAME, KEY)


@pytest.mark.parametrize(
    ("why", "note"),
    [
        ("nothing", b""),
        ("no blank line", NOTE.replace(b"\n\n", b"\n")),
        ("no newline at the end", NOTE[:-1]),
        ("a size with a leading zero", NOTE.replace(b"\n7\n", b"\n07\n")),
        ("a negative size", NOTE.replace(b"\n7\n", b"\n-7\n")),
        ("a size in other digits", NOTE.replace(b"\n7\n", "\n\u0667\n".encode())),
        ("a size that is no number", NOTE.replace(b"\n7\n", b"\nseven\n")),
        ("no origin", NOTE.replace(NAME.encode(), b"", 1)),
        ("a hyphen for the dash", NOTE.replace("\u2014".encode(), b"-")),
        ("a root that is not base64", NOTE.replace(base64.b64encode(HEAD.root), b"!!!!")),
        ("a short root", NOTE.replace(base64.b64encode(HEAD.root), base64.b64encode(HEAD.root[:31]))),
        ("a signature that is not base64", NOTE[:-5] + b"***=\n"),
        ("not UTF-8", b"\xff" + NOTE),
        ("beyond the size limit", NOTE.replace(b"4711", b"4" * 5000)),
    ],
)
def test_malformed_notes(why: str, note: bytes) -> None:
    """A note that is no checkpoint is an EncodingError, verified or not."""
    with pytest.raises(EncodingError):
        tlog.decode_checkpoint(note)
    with pytest.raises(EncodingError):
        tlog.open_checkpoint(note, NAME, PUBLIC)


@given(st.binary(max_size=200))
def test_only_the_documented_errors_escape(note: bytes) -> None:
    """Whatever the bytes: EncodingError or SignatureError."""
    with pytest.raises((EncodingError, SignatureError)):
        tlog.open_checkpoint(note, NAME, PUBLIC)


@given(st.integers(0, len(NOTE) - 1), st.integers(0, 255))
def test_one_changed_byte(at: int, byte: int) -> None:
    """A note with one byte changed is refused, or says the same."""
    changed = bytearray(NOTE)
    changed[at] = byte
    try:
        opened = tlog.open_checkpoint(bytes(changed), NAME, PUBLIC)
    except (EncodingError, SignatureError):
        return
    assert opened == HEAD


@pytest.mark.parametrize("size", [2**63, 2**64, 10**4000])
def test_a_huge_size_is_an_error_or_a_number(size: int) -> None:
    """A size beyond any log does not raise anything undocumented."""
    text = b"9" * 3900 if size > 2**64 else str(size).encode()
    note = NOTE.replace(b"\n7\n", b"\n" + text + b"\n")
    with pytest.raises((EncodingError, SignatureError)):
        tlog.open_checkpoint(note, NAME, PUBLIC)


def test_base64_has_one_encoding() -> None:
    """RFC 4648 section 3.5: the last character before `=` holds bits that count for nothing; only zero is taken."""
    root = base64.b64encode(HEAD.root).decode()
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    other = alphabet[alphabet.index(root[-2]) ^ 1]
    changed = root[:-2] + other + "="
    assert base64.b64decode(changed) == HEAD.root
    with pytest.raises(EncodingError):
        tlog.open_checkpoint(NOTE.replace(root.encode(), changed.encode()), NAME, PUBLIC)
