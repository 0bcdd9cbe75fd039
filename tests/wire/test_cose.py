"""agent/wire/cose: COSE_Sign1 with Ed25519 (RFC 9052 4.2); what does not verify is refused, what is unknown is not negotiated."""

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import EncodingError, SignatureError
from agent.wire import cbor, cose
from tests.conftest import MISSING_SHARED

SHARED = Path(__file__).parents[3] / "shared/vectors/cose"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = cose.public_bytes(KEY)
OTHER = cose.public_bytes(Ed25519PrivateKey.from_private_bytes(bytes(32)))
PAYLOAD = b"This is the content."


def published(name: str) -> dict[str, Any]:
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"{MISSING_SHARED}: vectors/cose/{name}")
    vector: dict[str, Any] = json.loads(path.read_text())
    return vector


def test_published_ed25519_vector_verifies() -> None:
    """COSE working group examples, EdDSA-sig-01: signed with Ed25519, attached."""
    vector = published("eddsa-sig-01.json")
    public = bytes.fromhex(vector["input"]["sign0"]["key"]["x_hex"])
    message = bytes.fromhex(vector["output"]["cbor"])
    assert cose.verify1(message, public) == vector["input"]["plaintext"].encode()
    assert cose.decode_sign1(message).kid == b"11"


def test_published_ed25519_vector_to_be_signed() -> None:
    """The Sig_structure that the vector signs is the one that we build (RFC 9052 4.4)."""
    vector = published("eddsa-sig-01.json")
    protected = cose.decode_sign1(bytes.fromhex(vector["output"]["cbor"])).protected
    wanted = bytes.fromhex(vector["intermediates"]["ToBeSign_hex"])
    assert cose._to_be_signed(protected, b"", vector["input"]["plaintext"].encode()) == wanted


def test_published_ed448_vector_is_refused() -> None:
    """EdDSA-sig-02 is Ed448: the same algorithm number, another curve; an Ed25519 verifier never accepts it."""
    vector = published("eddsa-sig-02.json")
    with pytest.raises(SignatureError, match="signature"):
        cose.verify1(bytes.fromhex(vector["output"]["cbor"]), PUBLIC)


@pytest.mark.parametrize(
    "name",
    [
        f"sign-{case}.json"
        for case in ["fail-01", "fail-02", "fail-03", "fail-04", "fail-06", "fail-07", "pass-01", "pass-02", "pass-03"]
    ],
)
def test_published_ecdsa_vectors_are_refused(name: str) -> None:
    """ES256 is outside our table, whether or not the vector itself is sound: one of the two errors, never acceptance."""
    message = bytes.fromhex(published(name)["output"]["cbor"])
    with pytest.raises((EncodingError, SignatureError)):
        cose.verify1(message, PUBLIC)


def test_several_signers_are_not_one() -> None:
    """COSE_Sign (tag 98) is not COSE_Sign1."""
    with pytest.raises(EncodingError, match="tag 18"):
        cose.decode_sign1(bytes.fromhex(published("eddsa-01.json")["output"]["cbor"]))


@pytest.mark.parametrize("detached", [False, True])
@pytest.mark.parametrize("external_aad", [b"", b"context"])
def test_round_trip(detached: bool, external_aad: bytes) -> None:
    """What is signed verifies, attached or detached, with the same external data only."""
    message = cose.sign1(PAYLOAD, KEY, detached=detached, external_aad=external_aad)
    given_payload = PAYLOAD if detached else None
    assert cose.verify1(message, PUBLIC, detached_payload=given_payload, external_aad=external_aad) == PAYLOAD
    assert cose.decode_sign1(message).kid == PUBLIC[:8]
    with pytest.raises(SignatureError):
        cose.verify1(message, PUBLIC, detached_payload=given_payload, external_aad=external_aad + b"!")


def test_detached_and_attached_do_not_mix() -> None:
    """A payload is given in one place, never in none and never in two."""
    with pytest.raises(EncodingError, match="both"):
        cose.verify1(cose.sign1(PAYLOAD, KEY), PUBLIC, detached_payload=PAYLOAD)
    with pytest.raises(EncodingError, match="neither"):
        cose.verify1(cose.sign1(PAYLOAD, KEY, detached=True), PUBLIC)


def test_another_key_is_refused() -> None:
    """A sound signature by another key is a SignatureError."""
    with pytest.raises(SignatureError, match="does not verify"):
        cose.verify1(cose.sign1(PAYLOAD, KEY), OTHER)


def test_every_changed_bit_is_refused() -> None:
    """No bit of a message can change without one of the two errors (tag, headers, payload, signature)."""
    message = cose.sign1(PAYLOAD, KEY)
    accepted = []
    for bit in range(len(message) * 8):
        changed = bytearray(message)
        changed[bit // 8] ^= 1 << bit % 8
        try:
            cose.verify1(bytes(changed), PUBLIC)
        except (EncodingError, SignatureError):
            continue
        accepted.append(bit)
    assert accepted == []


def resigned(protected: Any, payload: bytes = PAYLOAD) -> bytes:
    """A message whose signature is right for whatever protected header it has."""
    header = protected if isinstance(protected, bytes) else cbor.encode(protected)
    signature = KEY.sign(cbor.encode(["Signature1", header, b"", payload]))
    return cbor.encode(cbor.CBORTag(18, [header, {}, payload, signature]))


def test_fully_specified_algorithm_is_accepted() -> None:
    """RFC 9864's Ed25519 (-19) means the same signature."""
    assert cose.verify1(resigned({1: cose.ED25519}), PUBLIC) == PAYLOAD


@pytest.mark.parametrize("header", [{1: -7}, {1: -257}, {1: "EdDSA"}, {1: True}, {1: None}, {}, {4: b"x"}, b""])
def test_other_algorithms_are_refused(header: Any) -> None:
    """The table decides; a right signature under a name outside it, or under none, is a SignatureError."""
    with pytest.raises(SignatureError, match="algorithm"):
        cose.verify1(resigned(header), PUBLIC)


def test_the_callers_table_decides() -> None:
    """An empty table accepts nothing."""
    with pytest.raises(SignatureError, match="algorithm"):
        cose.verify1(cose.sign1(PAYLOAD, KEY), PUBLIC, algorithms={})


def test_critical_parameters_are_refused() -> None:
    """RFC 9052 3.1: `crit` names something that must be understood; we understand none."""
    with pytest.raises(SignatureError, match="crit"):
        cose.verify1(resigned({1: -8, 2: [99], 99: 1}), PUBLIC)


@pytest.mark.parametrize("protected", [b"\x80", b"\xa1\x01", b"\xa2\x01\x27\x01\x27", b"\x01", b"\xff"])
def test_protected_header_must_be_a_map(protected: bytes) -> None:
    """A protected header that is not one deterministic map is an EncodingError."""
    with pytest.raises(EncodingError):
        cose.verify1(resigned(protected), PUBLIC)


def test_algorithm_in_the_unprotected_header_does_not_count() -> None:
    """An algorithm that is not signed over is no algorithm."""
    signature = KEY.sign(cbor.encode(["Signature1", b"", b"", PAYLOAD]))
    message = cbor.encode(cbor.CBORTag(18, [b"", {1: -8}, PAYLOAD, signature]))
    with pytest.raises(SignatureError, match="algorithm"):
        cose.verify1(message, PUBLIC)


@pytest.mark.parametrize("key", [b"", b"x" * 31, b"x" * 33, b"\xff" * 32])
def test_odd_public_keys_do_not_verify(key: bytes) -> None:
    """A malformed key never verifies and never raises anything else."""
    with pytest.raises(SignatureError):
        cose.verify1(cose.sign1(PAYLOAD, KEY), key)


@given(st.binary(max_size=200))
def test_only_the_documented_errors_escape(data: bytes) -> None:
    """Whatever the bytes, the only exceptions are the two documented."""
    with pytest.raises((EncodingError, SignatureError)):
        cose.verify1(data, PUBLIC)


@given(st.binary(max_size=60), st.binary(max_size=20), st.binary(max_size=80))
def test_only_the_documented_errors_escape_from_the_right_shape(
    header: bytes, payload: bytes, signature: bytes
) -> None:
    """The same for messages of the right shape."""
    message = cbor.encode(cbor.CBORTag(18, [header, {}, payload, signature]))
    with pytest.raises((EncodingError, SignatureError)):
        cose.verify1(message, PUBLIC)
