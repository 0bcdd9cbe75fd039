"""agent/wire/cose: COSE_Sign, several signers over one payload (RFC 9052 4.1)."""

import contextlib
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import EncodingError, SignatureError
from agent.wire import cbor, cose, cose_sign
from tests.wire.test_cose import BOTH, es256, published, stretched

KEYS = [Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in range(4)]
PUBLIC = {cose.key_id(cose.public_bytes(key)): cose.public_bytes(key) for key in KEYS}
KIDS = list(PUBLIC)
PAYLOAD = b"what was decided"
TYPE = "application/vnd.example+cbor"


def verified(message: bytes, content_type: str = TYPE) -> cose_sign.VerifiedSign:
    return cose_sign.verify_sign(message, PUBLIC, content_type=content_type)


def parts_changed(message: bytes, change: Any) -> bytes:
    """The message after `change(list of [protected, unprotected, signature])`."""
    tag = cbor.decode(message)
    change(tag.value[3])
    return cbor.encode(tag)


def test_published_ed25519_vector_verifies() -> None:
    """COSE working group examples, EdDSA-01: one signer, kid in the unprotected header, content type 0."""
    vector = published("eddsa-01.json")
    public = bytes.fromhex(vector["input"]["sign"]["signers"][0]["key"]["x_hex"])
    message = bytes.fromhex(vector["output"]["cbor"])
    found = cose_sign.verify_sign(message, {b"11": public}, content_type=0, algorithms=BOTH)
    assert found == cose_sign.VerifiedSign(b"This is the content.", frozenset({b"11"}))


@pytest.mark.parametrize("name", ["eddsa-01.json", "eddsa-02.json"])
def test_published_vectors_to_be_signed(name: str) -> None:
    """The Sig_structure that each vector signs is the one that we build (RFC 9052 4.4)."""
    vector = published(name)
    message = cose_sign.decode_sign(bytes.fromhex(vector["output"]["cbor"]))
    wanted = bytes.fromhex(vector["intermediates"]["signers"][0]["ToBeSign_hex"])
    assert cose_sign._to_be_signed_by_one(message, message.signatures[0].protected) == wanted


def test_published_ed448_vector_is_refused_by_name() -> None:
    """EdDSA-02 is Ed448 under EdDSA's number: neither table has it."""
    vector = published("eddsa-02.json")
    public = bytes.fromhex(vector["input"]["sign"]["signers"][0]["key"]["x_hex"])
    message = bytes.fromhex(vector["output"]["cbor"])
    for algorithms in (BOTH, cose.UNIT_ALGORITHMS):
        with pytest.raises(SignatureError, match=r"signature: .*got an Ed448 signature"):
            cose_sign.verify_sign(message, {b"ed448": public}, content_type=None, algorithms=algorithms)


@given(st.binary(max_size=200), st.sets(st.integers(0, 3), min_size=1))
def test_round_trip(payload: bytes, who: set[int]) -> None:
    """Whoever signs is verified, and nobody else; the kid is the key's first eight bytes, in the signed header."""
    message = cose_sign.sign(payload, [KEYS[n] for n in who], content_type=TYPE)
    assert verified(message) == cose_sign.VerifiedSign(payload, frozenset(KIDS[n] for n in who))
    assert all(part.unprotected == {} for part in cose_sign.decode_sign(message).signatures)


def test_signing_later_is_signing_at_once() -> None:
    """A signature added to a signed file leaves what was there, byte for byte the file that both had signed together."""
    message = cose_sign.add_signatures(cose_sign.sign(PAYLOAD, KEYS[:1], content_type=TYPE), KEYS[1:3])
    assert message == cose_sign.sign(PAYLOAD, KEYS[:3], content_type=TYPE)
    assert [part.kid for part in cose_sign.decode_sign(message).signatures] == KIDS[:3]


def test_a_key_signs_once() -> None:
    """Neither at once nor later can one key sign twice."""
    with pytest.raises(SignatureError, match="a second time"):
        cose_sign.sign(PAYLOAD, [KEYS[0], KEYS[0]], content_type=TYPE)
    with pytest.raises(SignatureError, match="a second time"):
        cose_sign.add_signatures(cose_sign.sign(PAYLOAD, KEYS[:1], content_type=TYPE), KEYS[:1])


def test_nobody_signs_nothing() -> None:
    """A COSE_Sign without a signature is none, made or read."""
    with pytest.raises(EncodingError, match="1 to 64 signatures"):
        cose_sign.sign(PAYLOAD, [], content_type=TYPE)


def test_unknown_signers_are_ignored() -> None:
    """A signature by somebody else, sound or not, neither helps nor hurts."""
    stranger = Ed25519PrivateKey.from_private_bytes(b"\x77" * 32)
    message = cose_sign.sign(PAYLOAD, [stranger, KEYS[0]], content_type=TYPE)
    assert verified(message).verified_kids == {KIDS[0]}
    damaged = parts_changed(message, lambda parts: parts[0].__setitem__(2, b"nothing"))
    assert verified(damaged).verified_kids == {KIDS[0]}


def test_an_unknown_signer_may_use_any_algorithm() -> None:
    """An algorithm is judged only where a known key is said to have used it."""
    other = [cbor.encode({1: -7, 4: b"somebody"}), {}, b"x" * 64]
    message = parts_changed(cose_sign.sign(PAYLOAD, KEYS[:1], content_type=TYPE), lambda parts: parts.append(other))
    assert verified(message).verified_kids == {KIDS[0]}


def test_duplicates_count_once() -> None:
    """The same signature many times is one signer."""
    message = parts_changed(
        cose_sign.sign(PAYLOAD, KEYS[:1], content_type=TYPE), lambda parts: parts.extend([parts[0]] * 9)
    )
    assert verified(message).verified_kids == {KIDS[0]}


def test_a_wrong_signature_by_a_known_key_is_an_error() -> None:
    """Also beside enough sound ones: somebody tampered, and that is said."""
    message = cose_sign.sign(PAYLOAD, KEYS, content_type=TYPE)
    damaged = parts_changed(message, lambda parts: parts[2].__setitem__(2, parts[1][2]))
    with pytest.raises(SignatureError, match=f"by key {KIDS[2].hex()}: signature: .*does not verify"):
        verified(damaged)


def test_swapped_signatures_are_refused() -> None:
    """A signature is its signer's alone."""

    def swap(parts: Any) -> None:
        parts[0][2], parts[1][2] = parts[1][2], parts[0][2]

    with pytest.raises(SignatureError, match="does not verify"):
        verified(parts_changed(cose_sign.sign(PAYLOAD, KEYS[:2], content_type=TYPE), swap))


def test_signatures_move_to_no_other_message() -> None:
    """Signatures over one payload, or under one content type, are wrong over and under another."""
    other_payload = cbor.decode(cose_sign.sign(PAYLOAD, KEYS[:2], content_type=TYPE))
    other_payload.value[2] = PAYLOAD + b"!"
    with pytest.raises(SignatureError, match="does not verify"):
        verified(cbor.encode(other_payload))
    other_type = cbor.decode(cose_sign.sign(PAYLOAD, KEYS[:2], content_type=TYPE))
    other_type.value[0] = cbor.encode({3: "application/other"})
    with pytest.raises(SignatureError, match="does not verify"):
        verified(cbor.encode(other_type), "application/other")


def test_another_content_type_is_refused() -> None:
    """What was signed as one thing is not taken for another, however sound its signatures."""
    with pytest.raises(SignatureError, match=r"content type: expected application/other, got application/vnd\.example"):
        verified(cose_sign.sign(PAYLOAD, KEYS, content_type=TYPE), "application/other")


def test_content_type_in_the_unprotected_header_does_not_count() -> None:
    """What nobody signed says nothing."""
    tag = cbor.decode(cose_sign.sign(PAYLOAD, KEYS[:1], content_type=TYPE))
    tag.value[0], tag.value[1] = b"", {3: TYPE}
    with pytest.raises(SignatureError, match=r"content type: .*got None"):
        verified(cbor.encode(tag))


def test_a_number_is_not_its_text() -> None:
    """Content types are compared as what they are: true is not 1, "0" is not 0."""
    message = cose_sign.sign(PAYLOAD, KEYS[:1], content_type="0")
    with pytest.raises(SignatureError, match="content type"):
        cose_sign.verify_sign(message, PUBLIC, content_type=0)


def test_malleable_signatures_are_refused() -> None:
    """SG-5: S + L for S (RFC 8032 section 5.1.7)."""
    message = cose_sign.sign(PAYLOAD, KEYS[:1], content_type=TYPE)
    with pytest.raises(SignatureError, match="does not verify"):
        verified(parts_changed(message, lambda parts: parts[0].__setitem__(2, stretched(parts[0][2]))))


def test_a_signature_of_one_signer_is_none_of_several() -> None:
    """The context text in front (RFC 9052 4.4) keeps COSE_Sign1 and COSE_Sign apart."""
    header = cbor.encode({1: -8, 4: KIDS[0]})
    signature = KEYS[0].sign(cbor.encode(["Signature1", header, b"", PAYLOAD]))
    message = parts_changed(
        cose_sign.sign(PAYLOAD, KEYS[:1], content_type=TYPE), lambda parts: parts[0].__setitem__(2, signature)
    )
    with pytest.raises(SignatureError, match="does not verify"):
        verified(message)
    with pytest.raises(EncodingError, match="tag 98"):
        cose_sign.decode_sign(cose.sign1(PAYLOAD, KEYS[0]))


def signed_with(header: dict[Any, Any], unprotected: dict[Any, Any] | None = None) -> bytes:
    """A COSE_Sign whose one signature is right for whatever header it has."""
    body, protected = cbor.encode({3: TYPE}), cbor.encode(header)
    signature = KEYS[0].sign(cbor.encode(["Signature", body, protected, b"", PAYLOAD]))
    return cbor.encode(cbor.CBORTag(98, [body, {}, PAYLOAD, [[protected, unprotected or {}, signature]]]))


@pytest.mark.parametrize(
    ("algorithm", "name"),
    [(-7, r"ES256 \(-7\)"), (-53, r"Ed448 \(-53\)"), ("EdDSA", "'EdDSA'"), (None, "None"), (True, "True")],
)
def test_other_algorithms_are_refused_by_name(algorithm: Any, name: str) -> None:
    """The daemons' table decides; a right signature under another name is refused, and the name is said."""
    with pytest.raises(SignatureError, match=f"algorithm: .*got {name}"):
        verified(signed_with({1: algorithm, 4: KIDS[0]}))


def test_the_callers_table_decides() -> None:
    """-19 is accepted as -8 is; a table without either accepts neither."""
    for number in (cose.EDDSA, cose.ED25519):
        message = signed_with({1: number, 4: KIDS[0]})
        assert verified(message).verified_kids == {KIDS[0]}
        with pytest.raises(SignatureError, match="algorithm"):
            cose_sign.verify_sign(message, PUBLIC, content_type=TYPE, algorithms={-7: es256})


def test_odd_headers_are_refused() -> None:
    """SG-1: A label in both maps is malformed; a critical parameter is one we do not know."""
    with pytest.raises(EncodingError, match="4 in both"):
        verified(signed_with({1: -8, 4: KIDS[0]}, {4: KIDS[1]}))
    with pytest.raises(SignatureError, match="crit"):
        verified(signed_with({1: -8, 2: [99], 4: KIDS[0], 99: 1}))


@pytest.mark.parametrize("count", [65, 600])
def test_signatures_are_bounded(count: int) -> None:
    """A file cannot ask for more than 64 verifications."""
    message = cose_sign.sign(PAYLOAD, KEYS[:1], content_type=TYPE)
    with pytest.raises(EncodingError, match=r"signatures|bytes"):
        verified(parts_changed(message, lambda parts: parts.extend([parts[0]] * (count - 1))))


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"x" * 10_000_000,
        b"\x81" * 100_000,
        b"\xd8\x62" * 100_000,
        b"\xd8\x62\x84" + b"\x9f" * 9,
        b"\xd8\x62\x84\x40\xa0\xf6\x80",
    ],
    ids=["empty", "10 MB", "nested", "tags", "indefinite", "detached"],
)
def test_hostile_messages_are_refused(message: bytes) -> None:
    """Size and depth are bounded before anything is built."""
    with pytest.raises(EncodingError):
        verified(message)


def test_every_changed_bit_and_every_shortening_is_refused() -> None:
    """No bit of a message signed by one can change, nor its end be lost, and the signer still count."""
    message = cose_sign.sign(PAYLOAD, KEYS[:1], content_type=TYPE)
    changed = [message[:length] for length in range(len(message))]
    for bit in range(len(message) * 8):
        flipped = bytearray(message)
        flipped[bit // 8] ^= 1 << bit % 8
        changed.append(bytes(flipped))
    counted = []
    for number, text in enumerate(changed):
        try:
            found = verified(text)
        except (EncodingError, SignatureError):
            continue
        if found.verified_kids:
            counted.append(number)
    assert counted == []


@given(st.binary(max_size=200))
def test_only_the_documented_errors_escape(data: bytes) -> None:
    """Whatever the bytes, the only exceptions are the two documented."""
    with pytest.raises((EncodingError, SignatureError)):
        verified(data)


_ITEMS = st.recursive(
    st.none() | st.booleans() | st.integers(-50, 50) | st.binary(max_size=20) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.integers(1, 5) | st.text(max_size=2), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(st.binary(max_size=20), _ITEMS, _ITEMS, st.lists(st.tuples(_ITEMS, _ITEMS, _ITEMS) | _ITEMS, max_size=3))
def test_only_the_documented_errors_escape_from_the_right_shape(a: bytes, b: Any, c: Any, d: Any) -> None:
    """The same for messages of the right shape; without a known signer nothing is verified."""
    message = cbor.encode(cbor.CBORTag(98, [a, b, c, d]))
    with contextlib.suppress(EncodingError, SignatureError):
        assert not cose_sign.verify_sign(message, PUBLIC, content_type=None).verified_kids
