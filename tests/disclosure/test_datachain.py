"""agent/disclosure/datachain: the compact form and the JSON say the same, fit the air, and decode only when they agree with themselves."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.contracts.public import MAX_ENVELOPE_BYTES, Envelope, seal_envelope
from agent.disclosure.datachain import (
    ENVELOPE_OVERHEAD_BYTES,
    MAX_DISCLOSURE_BYTES,
    compile_disclosure,
    decode_disclosure,
    to_datachain,
)
from agent.errors import DisclosureError, PolicyError
from agent.policy.compile import compile_policy, policy_digest
from agent.policy.file import load_policy
from agent.policy.parse import parse_policy
from agent.wire import cbor
from tests.policy.policies import policies
from tests.policy.test_parse import DEMO, EXAMPLES, GOOD, changed

POLICY = parse_policy(GOOD, "p")
DISCLOSURE = compile_disclosure(POLICY)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
FAR = 2**62


def edited(**fields: Any) -> bytes:
    """The compact form with fields `k0` to `k3` replaced."""
    item = cbor.decode(DISCLOSURE.cbor)
    return cbor.encode({**item, **{int(name[1:]): value for name, value in fields.items()}})


@pytest.mark.parametrize("text", [GOOD, DEMO])
def test_round_trip(text: str) -> None:
    """Decoding gives the same disclosure, and its JSON is the same as the compiler's."""
    disclosure = compile_disclosure(parse_policy(text, "p"))
    again = decode_disclosure(disclosure.cbor)
    assert again == disclosure
    assert to_datachain(again) == to_datachain(disclosure)


@given(policies())
@settings(max_examples=60)
def test_round_trip_of_any_policy(text: str) -> None:
    """The same for every policy."""
    disclosure = compile_disclosure(parse_policy(text, "p"))
    assert decode_disclosure(disclosure.cbor) == disclosure


def test_facts() -> None:
    """Digest, unit, version, colour and policy digest are those of the policy."""
    assert hashlib.sha256(DISCLOSURE.cbor).digest() == DISCLOSURE.digest
    assert (DISCLOSURE.unit, DISCLOSURE.policy_version, DISCLOSURE.colour) == ("bridge-01", 3, "white")
    assert DISCLOSURE.policy_digest == policy_digest(POLICY)


def test_known_digest() -> None:
    """The encoding does not change between versions of this code: a sign that is printed stays right."""
    assert DISCLOSURE.digest.hex() == "0250274255f742ca50618caae19e591ca27008ed3ede7390179ba647d8d84737"


def test_json_survives_json() -> None:
    """What is published can be compared after a trip through JSON."""
    document = to_datachain(DISCLOSURE)
    assert json.loads(json.dumps(document)) == document


def test_created_at_is_the_policys_date() -> None:
    """No clock: the instance was created when its policy was issued."""
    assert to_datachain(DISCLOSURE)["instance"]["created_at"] == "2026-09-01T00:00:00Z"


def test_no_imported_text_in_the_digest() -> None:
    """The compact form holds ids, our policy's texts and numbers; none of the words that the JSON adds."""
    for words in (b"Accountable", b"Retention", b"Why is it here", b"dtpr.io"):
        assert words not in DISCLOSURE.cbor


def test_priorities_count_from_zero_in_each_category() -> None:
    """0, 1, 2 … within a category, most important first."""
    seen: dict[str, list[int]] = {}
    for element in to_datachain(DISCLOSURE)["instance"]["elements"]:
        seen.setdefault(element["category_id"], []).append(element["priority"])
    assert all(priorities == list(range(len(priorities))) for priorities in seen.values())
    assert seen["device__purpose"] == [0, 1]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_fit_half_of_the_air(path: Path) -> None:
    """Each example, with all its audiences and channels, takes a phone four GATT reads of 500 bytes at most."""
    assert len(compile_disclosure(load_policy(path)).cbor) + ENVELOPE_OVERHEAD_BYTES <= 2000


def padded(length: int) -> str:
    """A policy of eight streams whose disclosure is about `length` bytes longer than the shortest of its kind."""
    stream = GOOD[GOOD.index("[[stream]]") :]
    text = GOOD[: GOOD.index("[[stream]]")].replace("cap_rho = 0.125", "cap_rho = 1")
    for number in range(8):
        names = [f"c{i}" for i in range(2)]
        while length > 0 and len(names) < 60:
            size = min(length, 30)
            names.append("x" * max(1, size - 4) + f"{len(names):02d}")
            length -= len(names[-1]) + 2
        text += stream.replace('"crossings"', f'"s{number}"').replace('["bike", "foot"]', str(names))
    return text


def test_the_largest_disclosure_fits_the_envelope() -> None:
    """Whatever the compiler accepts, the unit can seal for the air; the first that it refuses is named with its longest texts."""
    accepted = refused = 0
    for length in range(1500, 2600, 7):
        policy = parse_policy(padded(length), "p")
        try:
            disclosure = compile_disclosure(policy)
        except PolicyError as bad:
            refused += 1
            assert "shorten the longest: stream s0 classes" in str(bad)  # noqa: PT017  # one loop walks over the edge
            continue
        assert not refused
        accepted += 1
        assert len(seal_envelope(Envelope(disclosure.cbor, FAR), KEY)) <= MAX_ENVELOPE_BYTES
        assert decode_disclosure(disclosure.cbor) == disclosure
    assert accepted
    assert refused


def test_the_overhead_is_exact() -> None:
    """`ENVELOPE_OVERHEAD_BYTES` is what sealing adds, at the largest size and the latest time."""
    full = seal_envelope(Envelope(bytes(MAX_DISCLOSURE_BYTES), FAR), KEY)
    assert len(full) == MAX_ENVELOPE_BYTES


def test_the_longest_text_is_named() -> None:
    """A policy that is too long names its three longest texts in bytes, not in characters."""
    long = "Ж" * 79
    policy = parse_policy(changed("Bike and foot counter, River Bridge", long, padded(2600)), "p")
    with pytest.raises(PolicyError, match=r"at most \d+ bytes, so that phones can read it by radio"):
        compile_disclosure(policy)
    with pytest.raises(PolicyError, match=r"unit\.title \(158 bytes\)|stream s0 classes"):
        compile_disclosure(policy)


ELEMENTS = cbor.decode(DISCLOSURE.cbor)[3]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "deterministic CBOR"),
        (b"\x80", "a map with the keys 0 to 4"),
        (DISCLOSURE.cbor + b"\x00", "deterministic CBOR"),
        (DISCLOSURE.cbor[:-1], "deterministic CBOR"),
        (bytes(MAX_DISCLOSURE_BYTES + 1), "deterministic CBOR"),
        (edited(k0=2), "update the reader"),
        (edited(k0=True), "disclosure form"),
        (edited(k5=1), "a map with the keys 0 to 4"),
        (edited(k1="x"), "a map with the keys 0 to 4"),
        (edited(k1=b""), "a valid compiled policy"),
        (edited(k1=compile_policy(POLICY)[:-1]), "a valid compiled policy"),
        (edited(k1=compile_policy(parse_policy(DEMO, "d"))), "exactly those that its policy gives"),
        (edited(k2=1), "exactly those that its policy gives"),
        (edited(k2="white"), "exactly those that its policy gives"),
        (edited(k3=[]), "exactly those that its policy gives"),
        (edited(k3=ELEMENTS[1:]), "exactly those that its policy gives"),
        (edited(k3=ELEMENTS[::-1]), "exactly those that its policy gives"),
        (edited(k3=[*ELEMENTS, [4, "k_anonymity", 1]]), "exactly those that its policy gives"),
        (edited(k3=[*ELEMENTS[:-1], [7, "no_data_retained", 1]]), "exactly those that its policy gives"),
        (edited(k3=[[*e[:2], 1, *e[3:]] for e in ELEMENTS]), "exactly those that its policy gives"),
        (edited(k4=["https://elsewhere.example"]), "exactly those that its policy gives"),
        (edited(k4=[]), "exactly those that its policy gives"),
        (edited(k4=1), "a map with the keys 0 to 4"),
        (edited(k3={}), "a map with the keys 0 to 4"),
    ],
)
def test_what_does_not_agree_with_itself(data: bytes, said: str) -> None:
    """A form that claims more, less or otherwise than its policy gives is refused, signed or not."""
    with pytest.raises(DisclosureError) as caught:
        decode_disclosure(data)
    assert said in str(caught.value)


@given(st.integers(0, len(DISCLOSURE.cbor) - 1), st.integers(0, 255))
def test_one_changed_byte(at: int, byte: int) -> None:
    """A changed byte is refused or is another whole disclosure with another digest."""
    data = bytearray(DISCLOSURE.cbor)
    data[at] = byte
    try:
        found = decode_disclosure(bytes(data))
    except DisclosureError:
        return
    assert (found == DISCLOSURE) == (bytes(data) == DISCLOSURE.cbor)


@given(st.binary(max_size=80))
def test_only_the_documented_error_escapes(data: bytes) -> None:
    """Whatever the bytes."""
    with pytest.raises(DisclosureError):
        decode_disclosure(data)


def test_pure() -> None:
    """The same policy gives the same bytes, however its value was made."""
    copy = dataclasses.replace(POLICY, streams=tuple(list(POLICY.streams)))
    assert compile_disclosure(copy).cbor == DISCLOSURE.cbor
