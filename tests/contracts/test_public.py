"""contracts/public: the state and the envelope are read whole or refused; an envelope is signed and fits the air."""

import json
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from agent.contracts.public import (
    MAX_ENVELOPE_BYTES,
    MAX_REFUSAL_BYTES,
    MAX_SIGNERS_BYTES,
    MAX_STOP_BYTES,
    MAX_UPCOMING_BYTES,
    TOPIC_NAME,
    Envelope,
    Reason,
    State,
    StopNotice,
    decode_state,
    open_envelope,
    open_stop,
    read_envelope,
    read_stop,
    refusal_words,
    seal_envelope,
    seal_stop,
    signer_words,
)
from agent.errors import EncodingError, MessageError, SignatureError
from agent.policy.stop import MAX_REASON, MAX_REASON_BYTES
from agent.wire import cbor, cose

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = cose.public_bytes(KEY)
STATE = State(
    city="springfield",
    site="river-bridge",
    unit="bridge-01",
    gate="closed",
    reason=Reason.ON_NOTICE,
    since=1788220800,
    policy_version=3,
    disclosure="ab" * 32,
    notice_remaining_s=60,
    expires=1852588800,
    clock_trusted=True,
    demo=False,
    public_key=PUBLIC.hex(),
    collect_within_s=604800,
)
ENVELOPE = Envelope(b"disclosure", 1788220800)


@pytest.mark.parametrize("reason", list(Reason))
def test_state_round_trip(reason: Reason) -> None:
    """Every reason survives; the text is ASCII and one line."""
    state = replace(STATE, reason=reason)
    text = state.encode()
    assert decode_state(text) == state
    assert text.isascii()
    assert text.count(b"\n") == 1


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2},
        {"reason": "because"},
        {"reason": 1},
        {"demo": 0},
        {"since": True},
        {"since": 1.5},
        {"since": "1788220800"},
        {"expires": None},
        {"gate": 1},
        {"extra": 1},
        {"city": ["springfield"]},
        {"reason": ["open"]},
        {"v": True},
        {"v": 1.0},
        {"city": "a/b"},
        {"site": "+"},
        {"unit": ""},
        {"unit": "bridge-01\n"},
        {"city": "\ud800"},
        {"reason": "\ud800"},
        {"gate": "ajar"},
        {"gate": "open\n"},
        {"disclosure": "ab" * 31},
        {"disclosure": "AB" * 32},
        {"public_key": "xy" * 32},
        {"public_key": ""},
        {"since": -1},
        {"since": 10**10},
        {"policy_version": 0},
        {"policy_version": 10**9},
        {"notice_remaining_s": -1},
        {"expires": -1},
        {"expires": 10**10},
        {"collect_within_s": 0},
        {"collect_within_s": 366 * 86_400 + 1},
    ],
)
def test_states_that_are_none(change: dict[str, Any]) -> None:
    """Another version, another type, a key too many, a value that no reader could use; and the refusal can be printed."""
    with pytest.raises(MessageError) as caught:
        decode_state(json.dumps({**json.loads(STATE.encode()), **change}).encode())
    str(caught.value).encode()


@pytest.mark.parametrize("key", sorted(json.loads(STATE.encode())))
def test_state_needs_every_key(key: str) -> None:
    """A key missing is an error, not a default."""
    item = json.loads(STATE.encode())
    del item[key]
    with pytest.raises(MessageError):
        decode_state(json.dumps(item).encode())


@pytest.mark.parametrize(
    "text", [b"", b"null", b"[]", b'"x"', b"{", b"\xff", b"{}" + b" " * 5000, b"[" * 4000, b'{"v":1e999}', b'{"v":NaN}']
)
def test_texts_that_are_no_state(text: bytes) -> None:
    """Other JSON, no JSON, too long, too deep."""
    with pytest.raises(MessageError):
        decode_state(text)


@given(st.binary(max_size=80))
def test_only_the_documented_error_escapes(text: bytes) -> None:
    """Whatever the bytes."""
    with pytest.raises(MessageError):
        decode_state(text)


def test_envelope_round_trip() -> None:
    """Sealed, opened with the key, and read without it."""
    message = seal_envelope(ENVELOPE, KEY)
    assert open_envelope(message, PUBLIC) == read_envelope(message) == ENVELOPE


def test_the_digest_is_of_the_disclosure_alone() -> None:
    """Two envelopes of one disclosure, sealed at different times, name the same digest."""
    assert ENVELOPE.digest == replace(ENVELOPE, issued_at=0).digest
    assert ENVELOPE.digest != replace(ENVELOPE, disclosure=b"Disclosure").digest


def test_an_upcoming_envelope_says_from_when() -> None:
    """The same disclosure with `not_before`; whatever fits the air as the one in force fits as the upcoming one too."""
    upcoming = replace(ENVELOPE, not_before=1788307200)
    message = seal_envelope(upcoming, KEY)
    assert open_envelope(message, PUBLIC) == read_envelope(message) == upcoming
    assert upcoming.digest == ENVELOPE.digest
    longest = next(
        Envelope(bytes(size), 2**32 - 1)
        for size in range(MAX_ENVELOPE_BYTES, 0, -1)
        if len(cose.sign1(cbor.encode({1: bytes(size), 2: 2**32 - 1}), KEY)) <= MAX_ENVELOPE_BYTES
    )
    assert len(seal_envelope(longest, KEY)) == MAX_ENVELOPE_BYTES
    assert len(seal_envelope(replace(longest, not_before=2**32 - 1), KEY)) <= MAX_UPCOMING_BYTES


def test_a_stop_notice_fits_one_value_and_names_whom_it_can() -> None:
    """The longest reason with many signers: the names that do not fit are counted, none is cut."""
    notice = StopNotice("The microphones turned out to record speech", ("steward/ana", "community/chi"), 1788220800)
    message = seal_stop(notice, KEY)
    assert open_stop(message, PUBLIC) == read_stop(message) == notice
    many = StopNotice("\u1780" * 120, tuple(f"community/{'n' * 30}-{i}" for i in range(30)), 1788220800)
    shown = read_stop(seal_stop(many, KEY))
    assert len(seal_stop(many, KEY)) <= MAX_STOP_BYTES
    assert shown.by[-1] == f"and {30 - len(shown.by) + 1} more"
    assert shown.by[:-1] == many.by[: len(shown.by) - 1]
    with pytest.raises(SignatureError):
        open_stop(message, bytes(32))


@pytest.mark.parametrize(
    "payload", [{}, {1: b"x", 2: [], 3: 1}, {1: "x", 2: "ana", 3: 1}, {1: "x", 2: [1], 3: 1}, {1: "x", 2: [], 3: True}]
)
def test_payloads_that_are_no_stop_notice(payload: Any) -> None:
    """Another shape is an EncodingError; an envelope is no stop notice and the other way round."""
    with pytest.raises(EncodingError):
        read_stop(cose.sign1(cbor.encode(payload), KEY))
    with pytest.raises(EncodingError):
        read_stop(seal_envelope(ENVELOPE, KEY))
    with pytest.raises(EncodingError):
        read_envelope(seal_stop(StopNotice("x", (), 1), KEY))


@given(st.text(max_size=600))
def test_a_refusal_is_one_short_ascii_line(text: str) -> None:
    """Whatever an offered file is called, the state stays within its cap."""
    words = refusal_words(text)
    assert words.isascii()
    assert words.isprintable()
    assert len(words) <= MAX_REFUSAL_BYTES
    assert len(replace(STATE, offer_refused=words).encode()) <= len(STATE.encode()) + MAX_REFUSAL_BYTES


def test_the_longest_stop_fits_state_and_air() -> None:
    """Every signer that a root can have, the longest reasons that an order may give, a refusal beside it."""
    by = tuple(f"{'r' * 32}/{number:032}" for number in range(64))
    assert len(signer_words(by).encode()) <= MAX_SIGNERS_BYTES
    assert signer_words(by[:2]) == ", ".join(by[:2])
    assert signer_words(by).endswith(" more")
    for letter in ("x", "\u1780", "\U0001f6d1"):
        reason = letter * min(MAX_REASON, MAX_REASON_BYTES // len(letter.encode()))
        longest = replace(
            STATE, offer_refused=refusal_words('"\\' * 600), stop_reason=reason, stop_by=signer_words(by), city="c" * 32
        )
        assert decode_state(longest.encode()) == longest
        assert read_stop(seal_stop(StopNotice(reason, by, 10**10 - 1), KEY)).reason == reason


def test_another_unit_or_a_changed_byte() -> None:
    """An envelope by another key, or with any byte changed, does not open."""
    message = seal_envelope(ENVELOPE, KEY)
    with pytest.raises(SignatureError):
        open_envelope(message, bytes(32))
    for at in range(len(message)):
        changed = bytearray(message)
        changed[at] ^= 1
        with pytest.raises((SignatureError, EncodingError)):
            open_envelope(bytes(changed), PUBLIC)


def test_too_long_for_the_air() -> None:
    """Beyond what the air carries, sealing and reading refuse."""
    with pytest.raises(EncodingError, match=f"at most {MAX_ENVELOPE_BYTES} bytes"):
        seal_envelope(Envelope(bytes(MAX_ENVELOPE_BYTES), 0), KEY)
    with pytest.raises(EncodingError):
        read_envelope(cose.sign1(cbor.encode({1: bytes(MAX_ENVELOPE_BYTES), 2: 0}), KEY))


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {1: b"x"},
        {1: "x", 2: 1},
        {1: b"x", 2: b"1"},
        {1: b"x", 2: 1, 3: b"1"},
        {1: b"x", 2: 1, 3: None},
        {1: b"x", 2: 1, 3: True},
        {1: b"x", 2: 1, 4: 1},
        {1: b"x", 2: 1, 3: 1, 4: 1},
        {1: b"x", 2: None},
        {1: b"x", 2: True},
        [b"x", 1],
    ],
)
def test_payloads_that_are_no_envelope(payload: Any) -> None:
    """Signed or not, another shape is an EncodingError."""
    message = cose.sign1(cbor.encode(payload), KEY)
    with pytest.raises(EncodingError):
        open_envelope(message, PUBLIC)
    with pytest.raises(EncodingError):
        read_envelope(message)


def test_a_detached_envelope_is_none() -> None:
    """The disclosure must be inside."""
    with pytest.raises(EncodingError):
        read_envelope(cose.sign1(cbor.encode({1: b"x", 2: 1}), KEY, detached=True))


@pytest.mark.parametrize("name", ["a", "a-b", "0", "a" * 32])
def test_topic_names(name: str) -> None:
    """One level of a topic."""
    assert TOPIC_NAME.fullmatch(name)


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a/b", "a+", "#", "a b", "a" * 33, "ä", "a\n"])
def test_what_is_no_topic_name(name: str) -> None:
    """Nothing that MQTT or a reader would take for something else."""
    assert not TOPIC_NAME.fullmatch(name)
