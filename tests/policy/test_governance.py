"""agent/policy/governance: the trust root can be satisfied, and what cannot is refused at its line."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import PolicyError
from agent.policy.governance import compile_governance, decompile_governance, parse_governance
from agent.policy.standing import standing, stop_standing
from agent.wire import cbor
from agent.wire.cose import key_id, public_bytes
from tests.policy.replaced import replaced
from tests.policy.roots import KEYS, TWO_OF_THREE, root, with_keys

CONFIG = Path(__file__).parents[2] / "config/governance.toml"
KIDS = {name: key_id(public_bytes(key)) for name, key in KEYS.items()}


def test_the_example_is_a_root() -> None:
    """config/governance.toml parses as it stands."""
    example = parse_governance(CONFIG.read_bytes(), str(CONFIG))
    assert (example.threshold, example.each_role, example.stop_threshold) == (2, True, 1)
    assert [role.name for role in example.roles] == ["steward", "community"]


def test_the_examples_keys_look_like_examples() -> None:
    """One digit over and over: nobody made these keys, and nobody takes them for real ones."""
    example = parse_governance(CONFIG.read_bytes(), str(CONFIG))
    for role in example.roles:
        for signer in role.signers:
            assert len(set(signer.public_key[:31])) == 1


def test_values() -> None:
    """Every field of the text arrives; instants are Unix seconds of the day's beginning in UTC."""
    found = root()
    assert (found.version, found.city, found.issued, found.expires) == (1, "springfield", 1788220800, 1882915200)
    assert found.signer_names() == {KIDS["ana"]: "steward/ana", KIDS["bo"]: "steward/bo", KIDS["cy"]: "community/cy"}
    assert set(found.public_keys().values()) == {public_bytes(KEYS[name]) for name in ("ana", "bo", "cy")}
    assert found.stop_roles == ("steward", "community")


IMPOSSIBLE: dict[str, tuple[tuple[str, str], str]] = {
    "threshold above n": (
        ("signatures = 2", "signatures = 4"),
        r"g\.toml:8: threshold\.signatures: expected at most the number of signers, 3, got 4; nothing could ever be signed",
    ),
    "threshold of none": (("signatures = 2", "signatures = 0"), r"g\.toml:8: threshold\.signatures: expected a whole"),
    "threshold below the roles": (
        ("signatures = 2\n", "signatures = 1\n"),
        r"g\.toml:8: threshold\.signatures: expected at least 2, one for each role, got 1",
    ),
    "no threshold": (("signatures = 2\n", ""), r"g\.toml:7: threshold\.signatures: .*got nothing"),
    "each_role not said": (("each_role = true\n", ""), r"g\.toml:7: threshold\.each_role: .*got nothing"),
    "each_role a text": (("each_role = true", 'each_role = "yes"'), r"g\.toml:9: threshold\.each_role: .*got 'yes'"),
    "same key twice": (('"BO"', '"ANA"'), r"g\.toml:20: .*public_key: .*got the key of steward/ana above"),
    "same key in two roles": (('"CY"', '"BO"'), r"g\.toml:25: .*public_key: .*got the key of steward/bo above"),
    "one person in two roles": (('"cy"', '"ana"'), r"g\.toml:24: .*name: .*got steward/ana above; one person"),
    "same name in a role": (('"bo"', '"ana"'), r"g\.toml:19: .*name: .*got steward/ana above"),
    "role twice": (
        ('name = "community"', 'name = "steward"'),
        r"g\.toml:22: .*expected a role that is not above, got 'steward' twice",
    ),
    "role without a signer": (
        ('[[role]]\nname = "community"', '[[role]]\nname = "elders"\n[[role]]\nname = "community"'),
        r"g\.toml:21: role\.1: expected at least one \[\[role\.signer\]\], got the role 'elders' without a signer",
    ),
    "role with an empty list": (
        ('[[role]]\nname = "community"', '[[role]]\nname = "elders"\nsigner = []\n[[role]]\nname = "community"'),
        r"g\.toml:23: .*got 0 values",
    ),
    "expired before issued": (("2029-09-01", "2026-08-31"), r"g\.toml:6: dates\.expires: expected later than issued"),
    "expired when issued": (("2029-09-01", "2026-09-01"), r"g\.toml:6: dates\.expires: expected later than issued"),
    "nearly for ever": (
        ("2029-09-01", "2099-09-01"),
        r"g\.toml:6: dates\.expires: expected at most 5 years after issued",
    ),
    "a day that is none": (("2029-09-01", "2029-02-30"), r"g\.toml:6.*TOML 1\.0"),
    "stop by nobody": (('["steward", "community"]', "[]"), r"g\.toml:12: stop\.roles: expected 1 to 8"),
    "stop by an unknown role": (
        ('["steward", "community"]', '["stewart"]'),
        r"g\.toml:12: stop\.roles\.0: .*did you mean 'steward'\?",
    ),
    "stop by the same twice": (('["steward", "community"]', '["steward", "steward"]'), r"g\.toml:12: .*twice"),
    "stop threshold above its signers": (
        ('signatures = 1\nroles = ["steward", "community"]', 'signatures = 2\nroles = ["community"]'),
        r"g\.toml:11: stop\.signatures: expected at most the number of signers who may stop, 1, got 2",
    ),
    "stop harder than a policy": (
        ("signatures = 1\n", "signatures = 3\n"),
        r"g\.toml:11: stop\.signatures: expected at most what a policy needs, 2, got 3; stopping is never harder",
    ),
    "key too short": (('"CY"', '"abcd"'), r"g\.toml:25: .*public_key: expected an Ed25519 public key, 64"),
    "key in capitals": (('"CY"', f'"{"A" * 64}"'), r"g\.toml:25: .*lower-case"),
    "key of small order": (('"CY"', f'"{"00" * 32}"'), r"g\.toml:25: .*no such key: a slip, or a private key\?"),
    "version of none": (("version = 1", "version = 0"), r"g\.toml:2: version"),
    "another form": (("schema = 1", "schema = 2"), r"g\.toml:1: schema"),
    "city with a slash": (('"springfield"', '"spring/field"'), r"g\.toml:3: city"),
    "signer with a slash": (('"cy"', '"c/y"'), r"g\.toml:24: .*name"),
    "unknown key": (("each_role", "each_rolle"), r"g\.toml:7: threshold\.each_role: .*'each_rolle' at g\.toml:9"),
    "unknown key beside": (
        ("each_role = true", "each_role = true\nmajority = true"),
        r"g\.toml:10: threshold\.majority",
    ),
    "unknown table": (("[stop]", "[veto]\n[stop]"), r"g\.toml:10: veto"),
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_impossible_combinations_are_refused_at_their_line(name: str) -> None:
    """SG-6: Every combination that could never be satisfied, or that says one thing twice, has its message and its line."""
    (old, new), words = IMPOSSIBLE[name]
    assert old in TWO_OF_THREE
    with pytest.raises(PolicyError, match=words):
        parse_governance(with_keys(TWO_OF_THREE.replace(old, new, 1)), "g.toml")


def test_a_private_key_in_place_of_a_public_one_is_not_repeated() -> None:
    """An error message is copied and sent around: what somebody pasted by mistake is not in it."""
    pasted = "5" * 64
    with pytest.raises(PolicyError) as error:
        parse_governance(TWO_OF_THREE.replace("CY", pasted).replace("ANA", pasted), "g.toml")
    assert pasted[:8] not in str(error.value)


def test_too_many_signers_are_refused() -> None:
    """Thirty-two signers over all roles at most: what a unit must verify stays bounded."""
    signers = "".join(f'[[role.signer]]\nname = "p{n}"\npublic_key = "{_public(n)}"\n' for n in range(30))
    with pytest.raises(PolicyError, match="at most 32 signers over all roles"):
        parse_governance(with_keys(TWO_OF_THREE) + signers, "g.toml")


def _public(number: int) -> str:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return public_bytes(Ed25519PrivateKey.from_private_bytes(bytes([number, 1]) * 16)).hex()


def test_round_trip() -> None:
    """What compiles decompiles to the same root, and the bytes are one encoding."""
    assert decompile_governance(compile_governance(root())) == root()


@settings(max_examples=15)
@given(st.data())
def test_round_trip_of_any_root(data: st.DataObject) -> None:
    """The same for roots drawn at random, with each threshold and set of roles that its rules allow."""
    sizes = data.draw(st.lists(st.integers(1, 2), min_size=1, max_size=3))
    roles = [f"role{n}" for n in range(len(sizes))]
    needed = data.draw(st.integers(1, sum(sizes)))
    stoppers = data.draw(st.lists(st.sampled_from(roles), min_size=1, unique=True))
    may = sum(size for role, size in zip(roles, sizes, strict=True) if role in stoppers)
    text = f"""schema = 1
version = {data.draw(st.integers(1, 2**31 - 1))}
city = "c"
dates = {{issued = 2026-09-{data.draw(st.integers(1, 30)):02d}T00:00:{data.draw(st.integers(0, 59)):02d}Z, expires = 2027-01-01}}
threshold = {{signatures = {needed}, each_role = {str(needed >= len(sizes) and data.draw(st.booleans())).lower()}}}
stop = {{signatures = {data.draw(st.integers(1, min(may, needed)))}, roles = {stoppers}}}
"""
    for number, (role, size) in enumerate(zip(roles, sizes, strict=True)):
        text += f'[[role]]\nname = "{role}"\n'
        for index in range(size):
            text += f'[[role.signer]]\nname = "s{number}-{index}"\npublic_key = "{_public(number * 2 + index)}"\n'
    found = parse_governance(text, "g.toml")
    assert decompile_governance(compile_governance(found)) == found


def changed(*path: int, to: Any) -> bytes:
    """The compiled root with one value replaced."""
    return replaced(cbor.decode(compile_governance(root())), *path, to=to)


@pytest.mark.parametrize(
    "data",
    [
        changed(1, to=0),
        changed(1, to="1"),
        changed(2, to="Springfield"),
        changed(3, to=2**40),
        changed(3, to=-1),
        changed(3, to=True),
        changed(4, to=1788220800),
        changed(5, 0, to=4),
        changed(5, 1, to=1),
        changed(5, to=[2]),
        changed(6, 0, to=3),
        changed(6, 1, to=["nobody"]),
        changed(7, to=[]),
        changed(7, 0, 1, to=[]),
        changed(7, 0, 1, 0, 1, to=bytes(32)),
        changed(7, 0, 1, 0, 1, to="00" * 32),
        changed(7, 0, 1, 0, to=7),
        changed(8, to=1),
        changed(0, to=2),
        compile_governance(root())[:-1],
        compile_governance(root()) + b"\x00",
        b"",
        b"x" * 10_000_000,
        b"\x81" * 100_000,
    ],
)
def test_other_bytes_are_refused(data: bytes) -> None:
    """No bytes decompile to a root that its text could not be."""
    with pytest.raises(PolicyError):
        decompile_governance(data)


@given(st.binary(max_size=100))
def test_only_the_documented_error_escapes_from_bytes(data: bytes) -> None:
    """Whatever the bytes, a PolicyError."""
    with pytest.raises(PolicyError):
        decompile_governance(data)


@given(st.text(max_size=200))
def test_only_the_documented_error_escapes_from_text(text: str) -> None:
    """Whatever the text, a PolicyError."""
    with pytest.raises(PolicyError):
        parse_governance(text, "g.toml")


@pytest.mark.parametrize("text", ["x" * 10_000_000, "a = " + "[" * 100_000, "a" + ".a" * 100_000 + " = 1"])
def test_large_and_deep_texts_are_refused(text: str) -> None:
    """Ten megabytes, and brackets or dots a hundred thousand deep, end in the error with the file's name."""
    with pytest.raises(PolicyError, match=r"g\.toml"):
        parse_governance(text, "g.toml")


@pytest.mark.parametrize(
    ("who", "enough", "words"),
    [
        ("", False, "none, nobody of steward, nobody of community"),
        ("ana", False, "1 (steward/ana), nobody of community"),
        ("ana bo", False, "2 (steward/ana, steward/bo), nobody of community"),
        ("cy", False, "1 (community/cy), nobody of steward"),
        ("cy ana", True, "2 (steward/ana, community/cy)"),
        ("bo cy ana", True, "3 (steward/ana, steward/bo, community/cy)"),
        ("cy dee", False, "1 (community/cy), nobody of steward"),
    ],
)
def test_who_is_enough(who: str, enough: bool, words: str) -> None:
    """Two of three with one of each role: two stewards are not enough, and a stranger never counts."""
    found = standing(root(), [KIDS[name] for name in who.split()])
    assert (found.enough, found.words()) == (enough, words)


def test_without_each_role_the_number_decides() -> None:
    """k of n, whoever they are."""
    assert standing(root(("each_role = true", "each_role = false")), [KIDS["ana"], KIDS["bo"]]).enough


def test_only_the_roles_that_may_stop_count_for_a_stop() -> None:
    """A steward's signature stops nothing where only the community may."""
    found = root(('["steward", "community"]', '["community"]'))
    assert not stop_standing(found, [KIDS["ana"], KIDS["bo"]]).enough
    assert stop_standing(found, [KIDS["cy"]]).enough
    assert stop_standing(root(), [KIDS["ana"]]).enough
