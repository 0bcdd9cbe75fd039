"""agent/wire/ed25519: which 32 bytes are a public key (RFC 8032 section 5.1)."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.wire import cose
from agent.wire.ed25519 import is_public_key

SMALL_ORDER = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
]
NOT_CANONICAL = [
    "0100000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
]


@settings(max_examples=20)
@given(st.binary(min_size=32, max_size=32))
def test_every_key_that_was_made_is_one(seed: bytes) -> None:
    """RFC 8032 5.1.5: a public key is a multiple of the base point, by a factor that its order does not divide."""
    assert is_public_key(cose.public_bytes(Ed25519PrivateKey.from_private_bytes(seed)))


@pytest.mark.parametrize("key", [*SMALL_ORDER, *NOT_CANONICAL])
def test_weak_and_second_encodings_are_none(key: str) -> None:
    """SG-5: The eight points of small order, and encodings that stand for a point that has another."""
    assert not is_public_key(bytes.fromhex(key))


def test_no_second_encoding_is_one() -> None:
    """SG-5: every encoding that is not below p, with either sign: a key has one spelling, so it cannot stand twice in two."""
    above = [(y | sign).to_bytes(32, "little") for y in range(2**255 - 19, 2**255) for sign in (0, 2**255)]
    assert not any(is_public_key(key) for key in above)


def test_a_small_order_key_would_verify_anything() -> None:
    """Why they are refused: the verifier itself takes one signature for any text under the neutral point."""
    neutral = bytes.fromhex(SMALL_ORDER[0])
    signature = neutral + bytes(32)
    assert cose.verify_ed25519(neutral, signature, b"one text")
    assert cose.verify_ed25519(neutral, signature, b"another")


def test_a_slip_is_mostly_found() -> None:
    """SG-5: Of the 64 x 15 keys that differ from one in a single hex digit, about fifteen of sixteen are no keys."""
    key = cose.public_bytes(Ed25519PrivateKey.from_private_bytes(b"\x05" * 32)).hex()
    slips = [
        key[:at] + digit + key[at + 1 :] for at in range(0, 64, 8) for digit in "0123456789abcdef" if digit != key[at]
    ]
    found = sum(not is_public_key(bytes.fromhex(slip)) for slip in slips)
    assert found / len(slips) > 0.85


@given(st.binary(max_size=70))
def test_nothing_escapes(data: bytes) -> None:
    """Any bytes are a key or not."""
    assert is_public_key(data) in (False, True)
