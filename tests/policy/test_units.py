"""agent/policy/units: which key belongs to which unit; nothing stands twice, and the bytes are one encoding."""

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import PolicyError
from agent.policy.units import compile_units, decompile_units, parse_units
from agent.wire import cbor
from agent.wire.cose import public_bytes
from tests.policy.replaced import replaced
from tests.policy.roots import KEYS, with_keys

CONFIG = Path(__file__).parents[2] / "config/units.toml"
TEXT = with_keys(
    """\
schema = 1
version = 7
city = "springfield"
[[unit]]
site = "bridge"
name = "u1"
public_key = "ANA"
[[unit]]
site = "bridge"
name = "u2"
public_key = "BO"
"""
)
UNITS = parse_units(TEXT, "u.toml")


def test_the_example_is_a_list_of_units() -> None:
    """config/units.toml parses as it stands, with a key that looks like an example."""
    example = parse_units(CONFIG.read_bytes(), str(CONFIG))
    assert [len(set(unit.public_key[:31])) for unit in example.units] == [1]


def test_values_and_round_trip() -> None:
    """Every field arrives, and comes back from the bytes."""
    assert [(unit.site, unit.name, unit.public_key) for unit in UNITS.units] == [
        ("bridge", "u1", public_bytes(KEYS["ana"])),
        ("bridge", "u2", public_bytes(KEYS["bo"])),
    ]
    assert decompile_units(compile_units(UNITS)) == UNITS


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"u2"', '"u1"', r"u\.toml:10: .*name: .*got bridge/u1 twice"),
        (
            public_bytes(KEYS["bo"]).hex(),
            public_bytes(KEYS["ana"]).hex(),
            r"u\.toml:11: .*got the key of bridge/u1 above",
        ),
        (public_bytes(KEYS["bo"]).hex(), "00" * 32, r"u\.toml:11: .*no such key"),
        ("version = 7", "version = 0", r"u\.toml:2: version"),
        ('"u2"', '"U2"', r"u\.toml:10: .*lower-case"),
        ("site", "sites", r"u\.toml:4: .*'sites' at u\.toml:5 meant to be 'site'"),
        ("schema = 1\n", "schema = 1\nnote = 1\n", r"u\.toml:2: note"),
    ],
)
def test_impossible_lists_are_refused_at_their_line(old: str, new: str, words: str) -> None:
    """No unit and no key twice; shapes as everywhere."""
    with pytest.raises(PolicyError, match=words):
        parse_units(TEXT.replace(old, new, 1), "u.toml")


def test_the_same_name_at_another_site_is_another_unit() -> None:
    """A unit is its site and its name."""
    text = TEXT.replace('site = "bridge"\nname = "u2"', 'site = "school"\nname = "u1"')
    assert len(parse_units(text, "u.toml").units) == 2


def test_a_city_of_five_hundred_fits() -> None:
    """The largest list stays below what may be signed; one more unit is refused."""
    keys = [Ed25519PrivateKey.from_private_bytes(n.to_bytes(32, "big")) for n in range(1, 502)]
    blocks = [
        f'[[unit]]\nsite = "s{"x" * 28}{n:03}"\nname = "u{"x" * 28}{n:03}"\npublic_key = "{public_bytes(key).hex()}"\n'
        for n, key in enumerate(keys)
    ]
    head = TEXT[: TEXT.index("[[unit]]")]
    compiled = compile_units(parse_units(head + "".join(blocks[:500]), "u.toml"))
    assert len(compiled) < 60 * 1024
    with pytest.raises(PolicyError, match="1 to 500"):
        parse_units(head + "".join(blocks), "u.toml")


def changed(*path: int, to: Any) -> bytes:
    return replaced(cbor.decode(compile_units(UNITS)), *path, to=to)


@pytest.mark.parametrize(
    "data",
    [
        changed(0, to=2),
        changed(1, to=None),
        changed(2, to=""),
        changed(3, to=[]),
        changed(3, to={}),
        changed(3, 0, to=["bridge", "u1"]),
        changed(3, 0, 2, to="text"),
        changed(3, 0, 2, to=b"short"),
        changed(3, 1, 1, to="u1"),
        changed(4, to=0),
        b"",
        b"x" * 10_000_000,
        b"\x81" * 100_000,
    ],
)
def test_other_bytes_are_refused(data: bytes) -> None:
    """No bytes decompile to a list that its text could not be."""
    with pytest.raises(PolicyError):
        decompile_units(data)


@given(st.binary(max_size=100), st.text(max_size=100))
def test_only_the_documented_error_escapes(data: bytes, text: str) -> None:
    """Whatever the bytes or the text, a PolicyError."""
    with pytest.raises(PolicyError):
        decompile_units(data)
    with pytest.raises(PolicyError):
        parse_units(text, "u.toml")
