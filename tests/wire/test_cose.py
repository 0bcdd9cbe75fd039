"""agent/wire/cose: COSE_Sign1 with Ed25519 (RFC 9052 4.2); what does not verify is refused, what is unknown is not negotiated."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import BadInput, EncodingError, SignatureError
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


def test_published_ed448_vector_is_refused_by_name() -> None:
    """EdDSA-sig-02 is Ed448: the same algorithm number, another curve; an Ed25519 verifier never accepts it."""
    vector = published("eddsa-sig-02.json")
    public = bytes.fromhex(vector["input"]["sign0"]["key"]["x_hex"])
    with pytest.raises(SignatureError, match=r"signature: .*got an Ed448 signature"):
        cose.verify1(bytes.fromhex(vector["output"]["cbor"]), public)


def test_fully_specified_ed448_is_refused_by_name() -> None:
    """RFC 9864's number for Ed448 is outside the table."""
    with pytest.raises(SignatureError, match=r"got Ed448 \(-53\)"):
        cose.verify1(resigned({1: -53}), PUBLIC)


def es256(public_key: bytes, signature: bytes, signed: bytes) -> bool:
    """ECDSA with SHA-256 on P-256 (RFC 9053 section 2.1), for the published vectors; no daemon has it."""
    if len(signature) != 64:
        return False
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public_key)
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    try:
        key.verify(encode_dss_signature(r, s), signed, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


BOTH: Mapping[int, cose.Verifier] = {**cose.UNIT_ALGORITHMS, -7: es256}
"""What a reader of the whole collection of vectors accepts."""


def verified_as_published(name: str, algorithms: Mapping[int, cose.Verifier]) -> bytes:
    """Verify a COSE_Sign1 vector with everything its file says: key, external data, untagged, alg in the unprotected header."""
    vector = published(name)
    key = vector["input"]["sign0"]["key"]
    point = b"".join(base64.urlsafe_b64decode(key[axis] + "=") for axis in "xy")
    failures = vector["input"].get("failures", {})
    return cose.verify1(
        bytes.fromhex(vector["output"]["cbor"]),
        b"\x04" + point,
        external_aad=bytes.fromhex(vector["input"]["sign0"].get("external", "")),
        algorithms=algorithms,
        untagged="RemoveCBORTag" in failures,
        unsigned_algorithm="ChangeProtected" in failures,
    )


PASS = ["sign-pass-01.json", "sign-pass-02.json", "sign-pass-03.json"]
FAIL: Mapping[str, tuple[type[BadInput], str]] = {
    "sign-fail-01.json": (EncodingError, "expected tag 18 .*, got tag 998"),
    "sign-fail-02.json": (SignatureError, "COSE_Sign1 signature: .* does not verify"),
    "sign-fail-03.json": (SignatureError, "COSE_Sign1 algorithm: .*, got -999"),
    "sign-fail-04.json": (SignatureError, "COSE_Sign1 algorithm: .*, got 'unknown'"),
    "sign-fail-06.json": (SignatureError, "COSE_Sign1 signature: .* does not verify"),
    "sign-fail-07.json": (SignatureError, "COSE_Sign1 signature: .* does not verify"),
}
"""Vector -> the layer that refuses it: the tag, the algorithm, the signature."""


@pytest.mark.parametrize("name", PASS)
def test_published_passing_vectors_pass(name: str) -> None:
    """With ES256 in the caller's table the vectors that must pass do, and their payload comes out."""
    assert verified_as_published(name, BOTH) == PAYLOAD


@pytest.mark.parametrize("name", FAIL)
def test_published_failing_vectors_fail_where_they_say(name: str) -> None:
    """Each vector that must fail is refused by the layer that it damages."""
    assert published(name)["fail"]
    error, words = FAIL[name]
    with pytest.raises(error, match=words):
        verified_as_published(name, BOTH)


def test_every_published_vector_is_tested() -> None:
    """No vector of the folder is left out."""
    published("eddsa-01.json")
    assert {path.name for path in SHARED.iterdir()} == {
        *PASS,
        *FAIL,
        *(f"eddsa-{n}.json" for n in ("01", "02", "sig-01", "sig-02")),
    }


@pytest.mark.parametrize("name", PASS)
def test_the_units_table_refuses_es256_by_name(name: str) -> None:
    """The daemons' table has no ES256: a sound signature is refused, and the error says what it was."""
    with pytest.raises(SignatureError, match=r"expected one of EdDSA \(-8\), Ed25519 \(-19\), got ES256 \(-7\)"):
        verified_as_published(name, cose.UNIT_ALGORITHMS)


@pytest.mark.parametrize(
    ("name", "words"), [("sign-pass-01.json", "algorithm: .*got None"), ("sign-pass-03.json", "tag 18")]
)
def test_what_the_standard_allows_and_we_never_send_is_refused_by_default(name: str, words: str) -> None:
    """An algorithm outside the signed header, and a message without its tag, need the caller's word."""
    with pytest.raises((EncodingError, SignatureError), match=words):
        cose.verify1(bytes.fromhex(published(name)["output"]["cbor"]), PUBLIC, algorithms=BOTH)


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


ORDER = 2**252 + 27742317777372353535851937790883648493


def stretched(signature: bytes) -> bytes:
    """The same Ed25519 signature with S + L for S: it satisfies the equation, and RFC 8032 section 5.1.7 forbids it."""
    return signature[:32] + (int.from_bytes(signature[32:], "little") + ORDER).to_bytes(32, "little")


def test_malleable_signatures_are_refused() -> None:
    """Whoever has one signature cannot make a second one of it."""
    tag = cbor.decode(cose.sign1(PAYLOAD, KEY))
    tag.value[3] = stretched(tag.value[3])
    with pytest.raises(SignatureError, match="does not verify"):
        cose.verify1(cbor.encode(tag), PUBLIC)


def test_a_label_in_both_headers_is_refused() -> None:
    """RFC 9052 section 3: a label occurs in one of the two maps."""
    tag = cbor.decode(cose.sign1(PAYLOAD, KEY))
    tag.value[1] = {4: b"another"}
    with pytest.raises(EncodingError, match="each label in one of the two, got 4 in both"):
        cose.verify1(cbor.encode(tag), PUBLIC)


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
