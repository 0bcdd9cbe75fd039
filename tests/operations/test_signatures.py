"""operations/signatures: libsodium says of a signature what OpenSSL says of it, and refuses weak keys besides."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from agent.operations.signatures import verify_ed25519
from agent.wire import cose
from tests.wire.test_ed25519 import NOT_CANONICAL, SMALL_ORDER

ORDER = 2**252 + 27742317777372353535851937790883648493

RFC8032 = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
]
"""Section 7.1, tests 1 and 2: public key, message, signature."""


@pytest.mark.parametrize(("key", "text", "signature"), RFC8032)
def test_what_the_rfc_signs_verifies(key: str, text: str, signature: str) -> None:
    """OP-1."""
    assert verify_ed25519(bytes.fromhex(key), bytes.fromhex(signature), bytes.fromhex(text))


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=200), st.data())
def test_both_libraries_agree(seed: bytes, text: bytes, data: st.DataObject) -> None:
    """OP-1: a signature, and one with a bit of it, of the key or of the text turned over."""
    key = Ed25519PrivateKey.from_private_bytes(seed)
    parts = [cose.public_bytes(key), key.sign(text), text]
    assert verify_ed25519(*parts)
    which = data.draw(st.sampled_from([0, 1, 2] if text else [0, 1]))
    bit = data.draw(st.integers(0, 8 * len(parts[which]) - 1))
    turned = bytearray(parts[which])
    turned[bit // 8] ^= 1 << bit % 8
    parts[which] = bytes(turned)
    assert verify_ed25519(*parts) is False
    assert cose.verify_ed25519(*parts) is False


@given(st.binary(max_size=70), st.binary(max_size=140), st.binary(max_size=20))
def test_nothing_verifies_that_was_not_signed(key: bytes, signature: bytes, text: bytes) -> None:
    """OP-1: of whatever length it is, nothing is raised."""
    assert verify_ed25519(key, signature, text) is False


def test_a_cut_between_signature_and_text_is_no_signature() -> None:
    """The library takes both in one: what one lacks the other must not lend."""
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    public, signature, text = cose.public_bytes(key), key.sign(b"text"), b"text"
    assert verify_ed25519(public, signature, text)
    assert not verify_ed25519(public, signature[:-1], signature[-1:] + text)
    assert not verify_ed25519(public, signature + text[:1], text[1:])


def test_a_signature_has_one_form() -> None:
    """RFC 8032 5.1.7: S is below the order of the group."""
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    signature = key.sign(b"text")
    above = int.from_bytes(signature[32:], "little") + ORDER
    again = signature[:32] + above.to_bytes(32, "little")
    assert not verify_ed25519(cose.public_bytes(key), again, b"text")


@pytest.mark.parametrize("key", [*SMALL_ORDER, *NOT_CANONICAL])
def test_a_weak_key_verifies_nothing(key: str) -> None:
    """OpenSSL takes one signature for any text under the neutral point (tests/wire/test_ed25519)."""
    neutral = bytes.fromhex(SMALL_ORDER[0])
    assert not verify_ed25519(bytes.fromhex(key), neutral + bytes(32), b"one text")
