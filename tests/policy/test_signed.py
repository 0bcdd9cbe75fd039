"""agent/policy/signed: what a `verify_…` returns was signed by enough signers of the root, for that purpose, and nothing else passes."""

import contextlib
import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import PolicyError, SignatureError
from agent.policy.compile import compile_policy
from agent.policy.governance import TrustRoot, compile_governance
from agent.policy.parse import parse_policy
from agent.policy.signed import (
    MAX_SIGNED_BYTES,
    Kind,
    read_signed,
    read_standing,
    verify_first_governance,
    verify_governance,
    verify_policy,
    verify_stop,
    verify_units,
)
from agent.policy.stop import StopOrder, compile_stop, stop_order
from agent.policy.units import compile_units, parse_units
from agent.wire import cbor, cose, cose_sign
from agent.wire.cose import public_bytes
from tests.policy.roots import KEYS, NOW_S, STRANGER, root

POLICY = parse_policy((Path(__file__).parents[2] / "config/policy.toml").read_bytes(), "policy.toml")
COMPILED = compile_policy(POLICY)
UNITS = parse_units(
    f'schema = 1\nversion = 3\ncity = "springfield"\n[[unit]]\nsite = "bridge"\nname = "u1"\npublic_key = "{public_bytes(STRANGER).hex()}"\n',
    "units.toml",
)
STOP = stop_order("springfield", "bridge-01", "It was not as announced", NOW_S)
ROOT = root()
DAY_S = 86_400

PAYLOADS = {
    Kind.POLICY: COMPILED,
    Kind.GOVERNANCE: compile_governance(ROOT),
    Kind.UNITS: compile_units(UNITS),
    Kind.STOP: compile_stop(STOP),
}
VERIFY: dict[Kind, Callable[[bytes], Any]] = {
    Kind.POLICY: lambda message: verify_policy(message, ROOT, NOW_S),
    Kind.GOVERNANCE: verify_first_governance,
    Kind.UNITS: lambda message: verify_units(message, ROOT, NOW_S),
    Kind.STOP: lambda message: verify_stop(message, ROOT, NOW_S),
}


def signed(who: str, kind: Kind = Kind.POLICY, payload: bytes | None = None, *, content_type: str = "") -> bytes:
    """`payload` signed as a `kind` by the named signers; "?" is somebody unknown."""
    keys = [STRANGER if name == "?" else KEYS[name] for name in who.split()]
    return cose_sign.sign(
        PAYLOADS[kind] if payload is None else payload, keys, content_type=content_type or kind.content_type
    )


def test_a_policy_signed_by_enough() -> None:
    """Two of three with one of each role: the policy, its bytes, their digest and who signed, in the root's order."""
    found = verify_policy(signed("cy ana"), ROOT, NOW_S)
    assert (found.policy, found.compiled) == (POLICY, COMPILED)
    assert found.digest == hashlib.sha256(COMPILED).digest()
    assert found.signers == ("steward/ana", "community/cy")


@pytest.mark.parametrize(
    ("who", "got"),
    [
        ("ana", r"got 1 \(steward/ana\), nobody of community"),
        ("ana bo", r"got 2 \(steward/ana, steward/bo\), nobody of community"),
        ("cy", r"got 1 \(community/cy\), nobody of steward"),
        ("cy dee eve ?", r"got 1 \(community/cy\), nobody of steward"),
        ("?", r"got none, nobody of steward, nobody of community"),
    ],
)
@pytest.mark.parametrize("kind", [Kind.POLICY, Kind.UNITS, Kind.GOVERNANCE])
def test_below_the_threshold(who: str, got: str, kind: Kind) -> None:
    """Refused, saying who signed, how many it takes and which role is missing."""
    with pytest.raises(SignatureError, match=rf"expected 2 of the 3 signers, at least one of each role .*{got}"):
        VERIFY[kind](signed(who, kind))


def test_one_signer_many_times_is_one() -> None:
    """SG-4: Copies of a signature do not reach a threshold."""
    message = cbor.decode(signed("ana"))
    message.value[3] *= 5
    with pytest.raises(SignatureError, match=r"got 1 \(steward/ana\)"):
        verify_policy(cbor.encode(message), ROOT, NOW_S)


def test_strangers_beside_enough_do_not_matter() -> None:
    """SG-4: A unit of another root's signers may carry both roots' signatures."""
    assert verify_policy(signed("? ana dee cy"), ROOT, NOW_S).signers == ("steward/ana", "community/cy")


def test_a_wrong_signature_of_a_known_signer_is_named() -> None:
    """SG-4: Also when the others are enough; the error says whose it is."""
    message = cbor.decode(signed("ana bo cy"))
    message.value[3][1][2] = bytes(64)
    with pytest.raises(SignatureError, match=r"\(steward/bo\): .*does not verify"):
        verify_policy(cbor.encode(message), ROOT, NOW_S)


@pytest.mark.parametrize("made_as", [*Kind])
@pytest.mark.parametrize("taken_as", [*Kind])
def test_nothing_signed_as_one_thing_verifies_as_another(made_as: Kind, taken_as: Kind) -> None:
    """SG-2: By its content type, whatever the payload: a stop order needs one signer and can never become a policy."""
    for payload in PAYLOADS.values():
        if made_as is taken_as and payload == PAYLOADS[made_as]:
            VERIFY[taken_as](signed("ana cy", made_as, payload))
            continue
        with pytest.raises((SignatureError, PolicyError)) as error:
            VERIFY[taken_as](signed("ana cy", made_as, payload))
        assert isinstance(error.value, SignatureError) == (made_as is not taken_as)


@pytest.mark.parametrize("taken_as", [*Kind])
def test_renaming_a_signed_file_breaks_its_signatures(taken_as: Kind) -> None:
    """SG-2: The content type is part of what is signed."""
    for kind in Kind:
        message = cbor.decode(signed("ana cy", kind, PAYLOADS[taken_as]))
        message.value[0] = cbor.encode({3: taken_as.content_type})
        if kind is taken_as:
            VERIFY[taken_as](cbor.encode(message))
        else:
            with pytest.raises(SignatureError, match="does not verify"):
                VERIFY[taken_as](cbor.encode(message))


def test_the_specs_example_is_a_stop_order() -> None:
    """agent/policy/SPEC.md opens with a whole signed file: it is what we write, and it verifies."""
    spec = (Path(__file__).parents[2] / "agent/policy/SPEC.md").read_text()
    example = bytes.fromhex(spec.split("```")[1])
    assert example == signed("cy", Kind.STOP)
    assert verify_stop(example, ROOT, NOW_S).reason == "It was not as announced"
    assert public_bytes(KEYS["cy"]).hex() in spec


def test_content_types() -> None:
    """As written in the files that signers keep: they never change."""
    assert [kind.content_type for kind in Kind] == [
        "application/vnd.dtpr.policy+cbor",
        "application/vnd.dtpr.governance+cbor",
        "application/vnd.dtpr.units+cbor",
        "application/vnd.dtpr.stop+cbor",
    ]


@pytest.mark.parametrize("kind", [Kind.POLICY, Kind.UNITS])
def test_an_expired_root_verifies_nothing_new(kind: Kind) -> None:
    """SG-8: From its last second on, whoever signed; before it was issued too, for then the clock is wrong."""
    verify = verify_policy if kind is Kind.POLICY else verify_units
    message = signed("ana bo cy", kind)
    verify(message, ROOT, ROOT.issued)
    verify(message, ROOT, ROOT.expires - 1)
    with pytest.raises(PolicyError, match=r"version 1: .*has not ended, got one that ended 1 September 2029"):
        verify(message, ROOT, ROOT.expires)
    with pytest.raises(PolicyError, match=r"version 1: .*1 September 2026, got 31 August 2026.*set the clock"):
        verify(message, ROOT, ROOT.issued - 1)


@pytest.mark.parametrize("kind", [Kind.POLICY, Kind.UNITS, Kind.STOP])
def test_another_city_is_refused(kind: Kind) -> None:
    """The same people may sign for two cities; each signature is for one."""
    elsewhere = root(("springfield", "shelbyville"))
    verify: Callable[[bytes, TrustRoot, int], Any] = {
        Kind.POLICY: verify_policy,
        Kind.UNITS: verify_units,
        Kind.STOP: verify_stop,
    }[kind]
    with pytest.raises(PolicyError, match=f"{kind} city: expected shelbyville, .*got springfield"):
        verify(signed("ana cy", kind), elsewhere, NOW_S)


def test_units() -> None:
    """The units come back as they were listed."""
    assert verify_units(signed("bo cy", Kind.UNITS), ROOT, NOW_S) == UNITS


def test_one_may_stop() -> None:
    """SG-11: By its own threshold, with the reason and who ordered it; under an ended root too: collecting on would be the worse error."""
    for now_s in (NOW_S, ROOT.expires + DAY_S):
        found = verify_stop(signed("cy", Kind.STOP), ROOT, now_s)
        assert (found.reason, found.signers, found.unit) == ("It was not as announced", ("community/cy",), "bridge-01")


def test_who_may_not_stop_does_not() -> None:
    """Only the roles that the root names count."""
    only = root(('["steward", "community"]', '["community"]'))
    with pytest.raises(SignatureError, match=r"expected 1 of the 1 signers, .*got none"):
        verify_stop(signed("ana bo", Kind.STOP), only, NOW_S)


def test_a_stop_order_from_the_future_is_refused() -> None:
    """SG-11: Else one wrong clock would outlive every policy until then; a day of difference is forgiven."""
    verify_stop(signed("cy", Kind.STOP), ROOT, NOW_S - DAY_S)
    with pytest.raises(PolicyError, match="set the clock of the machine that signs"):
        verify_stop(signed("cy", Kind.STOP), ROOT, NOW_S - DAY_S - 1)


NEXT = (("version = 1\n", "version = 2\n"), ('"CY"', '"DEE"'), ('"cy"', '"dee"'))


def rotated(who: str, *changes: tuple[str, str]) -> bytes:
    return signed(who, Kind.GOVERNANCE, compile_governance(root(*NEXT, *changes)))


def test_rotation_by_both_thresholds() -> None:
    """SG-7: TUF 5.3: the next version, signed by the old threshold (ana, cy) and by the new one (ana, dee)."""
    assert verify_governance(rotated("ana cy dee"), ROOT, NOW_S) == root(*NEXT)


@pytest.mark.parametrize(
    ("who", "words"),
    [
        ("ana dee", r"governance version 1, got 1 \(steward/ana\), nobody of community"),
        ("ana cy", r"governance version 2, got 1 \(steward/ana\), nobody of community"),
        ("dee", "governance version 1, got none"),
        ("bo ana dee", r"governance version 1, got 2 .*nobody of community"),
    ],
)
def test_rotation_needs_the_old_and_the_new_signers(who: str, words: str) -> None:
    """SG-7: Neither may the new ones take over, nor the old ones appoint somebody who did not agree."""
    with pytest.raises(SignatureError, match=words):
        verify_governance(rotated(who), ROOT, NOW_S)


@pytest.mark.parametrize(
    ("version", "words"),
    [(1, "expected 2, .*got 1; a root never goes back"), (3, "expected 2, .*got 3; offer each version in between")],
)
def test_rotation_is_by_one_version(version: int, words: str) -> None:
    """SG-7: Exactly the next: neither a replay nor a leap."""
    with pytest.raises(PolicyError, match=words):
        verify_governance(rotated("ana cy dee", ("version = 2\n", f"version = {version}\n")), ROOT, NOW_S)


def test_rotation_under_an_ended_root_goes_on() -> None:
    """SG-7: A unit that slept through several versions follows one by one; none of the ended ones verifies a policy."""
    late = ROOT.expires + 400 * DAY_S
    second = verify_governance(rotated("ana cy dee"), ROOT, late)
    third_text = (
        ("version = 2\n", "version = 3\n"),
        ("2026-09-01", "2029-09-01"),
        ("2029-09-01\nexpires = 2029-09-01", "2029-09-01\nexpires = 2032-09-01"),
    )
    third = verify_governance(rotated("bo dee", *third_text), second, late)
    assert third.version == 3
    with pytest.raises(PolicyError, match="has not ended"):
        verify_policy(signed("ana dee"), second, late)
    assert verify_policy(signed("ana dee"), third, late).signers == ("steward/ana", "community/dee")


def test_a_root_of_the_future_or_of_another_city_is_refused() -> None:
    """SG-7: Enough signatures do not make it this city's, nor tomorrow's today's."""
    with pytest.raises(PolicyError, match="governance city"):
        verify_governance(rotated("ana cy dee", ("springfield", "shelbyville")), ROOT, NOW_S)
    with pytest.raises(PolicyError, match="expected a root issued by"):
        verify_governance(rotated("ana cy dee"), ROOT, ROOT.issued - 2 * DAY_S)


def test_the_first_root_is_signed_by_its_own() -> None:
    """SG-9: Nothing older vouches for it, but its own signers have agreed to it."""
    assert verify_first_governance(signed("bo cy", Kind.GOVERNANCE)) == ROOT
    with pytest.raises(SignatureError, match="nobody of community"):
        verify_first_governance(signed("ana bo", Kind.GOVERNANCE))


def test_reading_without_verifying_says_what_it_is() -> None:
    """Kind and payload; a content type of nobody's is refused."""
    for kind, payload in PAYLOADS.items():
        assert read_signed(signed("ana", kind)) == (kind, payload)
    with pytest.raises(
        SignatureError, match="content type of a policy, governance, units, stop, got application/other"
    ):
        read_signed(signed("ana", content_type="application/other"))


def test_standing_of_an_unfinished_file() -> None:
    """Who signed so far is known before it is enough."""
    found = read_standing(signed("ana"), ROOT, Kind.POLICY)
    assert (found.signers, found.missing_roles, found.enough) == (("steward/ana",), ("community",), False)


@pytest.mark.parametrize("algorithm", [-7, -53, "EdDSA"])
def test_other_algorithms_are_refused_by_name(algorithm: Any) -> None:
    """SG-3: The units' table has Ed25519 only; a right signature under another name is refused."""
    key: Ed25519PrivateKey = KEYS["ana"]
    body = cbor.encode({3: Kind.POLICY.content_type})
    header = cbor.encode({1: algorithm, 4: cose.key_id(public_bytes(key))})
    signature = key.sign(cbor.encode(["Signature", body, header, b"", COMPILED]))
    message = cbor.encode(cbor.CBORTag(98, [body, {}, COMPILED, [[header, {}, signature]]]))
    name = {-7: "ES256", -53: "Ed448"}.get(algorithm, "'EdDSA'")
    with pytest.raises(SignatureError, match=rf"\(steward/ana\): expected one of EdDSA .*got {name}"):
        verify_policy(message, ROOT, NOW_S)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"x" * 10_000_000,
        b"\x81" * 100_000,
        b"\xd8\x62\x84" * 30_000,
        cose.sign1(COMPILED, KEYS["ana"]),
        COMPILED,
        b"schema = 1\n",
    ],
    ids=["empty", "10 MB", "nested", "nested tags", "one signer", "compiled", "text"],
)
@pytest.mark.parametrize("kind", [*Kind])
def test_other_bytes_are_refused(message: bytes, kind: Kind) -> None:
    """Each with the error that says what a signed file is."""
    with pytest.raises(PolicyError, match=r"sign"):
        VERIFY[kind](message)


def test_a_payload_that_is_no_policy_is_refused_after_its_signatures() -> None:
    """Enough signatures over something that does not decompile: a PolicyError; without them a SignatureError first."""
    with pytest.raises(PolicyError):
        verify_policy(signed("ana cy", payload=COMPILED[:-1]), ROOT, NOW_S)
    with pytest.raises(SignatureError):
        verify_policy(signed("ana", payload=COMPILED[:-1]), ROOT, NOW_S)


def test_a_signed_file_is_bounded() -> None:
    """SG-1: 64 KiB, as what crosses a boundary."""
    with pytest.raises(PolicyError, match=f"at most {MAX_SIGNED_BYTES} bytes"):
        verify_units(signed("ana cy", Kind.UNITS) + bytes(MAX_SIGNED_BYTES), ROOT, NOW_S)


GOOD = {kind: signed("ana cy", kind) for kind in Kind}
_EDITS = st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=3)


@given(st.sampled_from(Kind), _EDITS, st.integers(0, 20), st.booleans())
def test_only_the_documented_errors_escape_from_damaged_files(
    kind: Kind, edits: list[tuple[int, int]], cut: int, swap: bool
) -> None:
    """Truncated, swapped, flipped: refused with one of the two errors, or what was signed comes out, by nobody else."""
    data = bytearray(GOOD[kind])
    for place, value in edits:
        data[place % len(data)] = value
    message = bytes(data[: len(data) - cut])
    if swap:
        half = len(message) // 2
        message = message[half:] + message[:half]
    good = VERIFY[kind](GOOD[kind])
    with contextlib.suppress(SignatureError, PolicyError):
        found = VERIFY[kind](message)
        if isinstance(found, StopOrder):  # with its kid damaged, one of two signers is a stranger: one is enough
            assert set(found.signers) <= set(good.signers)
            found = replace(found, signers=good.signers)
        assert found == good


@given(st.sampled_from(Kind), st.binary(max_size=200))
def test_only_the_documented_errors_escape(kind: Kind, payload: bytes) -> None:
    """Whatever the bytes, alone or signed by enough."""
    for message in (payload, signed("ana cy", kind, payload)):
        with pytest.raises((SignatureError, PolicyError)):
            VERIFY[kind](message)
