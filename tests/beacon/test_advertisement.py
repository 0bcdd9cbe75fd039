"""The advertisement's bytes (SPEC.md, BE-1 to BE-4)."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.beacon import advertisement as adv
from agent.errors import DisclosureError

DIGEST = hashlib.sha256(b"a disclosure").digest()


def test_advertisement_is_the_specs_example() -> None:
    """BE-1: flags, then the complete list of one 128-bit UUID in little-endian order: 21 of 31 bytes."""
    assert adv.advertisement().hex() == "020106" + "1107" + "9ef6e24fba0b5e950a49848b00003157"
    assert len(adv.advertisement()) == 21


def test_scan_response_is_the_complete_name() -> None:
    """BE-2, BE-3: printed name, blank, colour letter, ten base32 characters of the digest."""
    name = adv.local_name("fremont-01", "blue", DIGEST)
    assert name == "fremont-01 B" + adv.code(DIGEST)
    assert adv.scan_response(name) == bytes([1 + len(name), 0x09]) + name.encode()


def test_code_is_the_first_fifty_bits() -> None:
    """BE-2: RFC 4648 base32 over the digest's first bytes, computed here by hand."""
    number = int.from_bytes(DIGEST, "big") >> (256 - 50)
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
    assert adv.code(DIGEST) == "".join(letters[number >> 5 * (9 - i) & 31] for i in range(10))


@pytest.mark.parametrize(
    ("unit", "fits"), [("a" * 17, True), ("a" * 18, False), ("", False), ("two words", False), ("é", False)]
)
def test_unit_name_budget(unit: str, fits: bool) -> None:
    """BE-3: 17 characters fit exactly into 31 bytes; more is an error that names the unit's name."""
    if fits:
        assert len(adv.scan_response(adv.local_name(unit, "white", DIGEST))) == adv.MAX_BYTES
        return
    with pytest.raises(DisclosureError, match="unit name") as refused:
        adv.local_name(unit, "white", DIGEST)
    assert refused.value.remedy


def test_other_colours_digests_and_long_names_are_refused() -> None:
    """BE-2: only DTPR's three colours, only a SHA-256."""
    with pytest.raises(DisclosureError, match="colour"):
        adv.local_name("a", "green", DIGEST)
    with pytest.raises(DisclosureError, match="digest"):
        adv.local_name("a", "blue", DIGEST[:31])
    with pytest.raises(DisclosureError, match="local name"):
        adv.scan_response("n" * 30)


def test_a_reader_knows_its_own() -> None:
    """BE-4: our service is recognised, another's and a damaged advertisement are not."""
    assert adv.offers_disclosure(adv.advertisement())
    assert not adv.offers_disclosure(adv.advertisement()[:-1])
    assert not adv.offers_disclosure(adv.advertisement()[:-1] + b"\x58")
    assert adv.heard_name(adv.scan_response("bridge B234567AB")) == "bridge B234567AB"


@given(st.binary(max_size=40))
def test_strange_advertisements_give_only_the_named_error(data: bytes) -> None:
    """BE-4, I8: the air is full of strangers."""
    adv.offers_disclosure(data)
    try:
        adv.heard_name(data)
    except DisclosureError:
        return
