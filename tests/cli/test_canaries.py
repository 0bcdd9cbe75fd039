"""The demo's search for planted readings: it must find one in every form, and only then be believed."""

import base64

import pytest

from agent.cli.demo.canaries import Canary, finds_a_planted_one, search

CANARY = Canary(bytes.fromhex("d25f00a1b7c9"), 0x9F3A_77C1)


def test_the_search_finds_a_canary_in_each_of_its_forms() -> None:
    assert finds_a_planted_one(CANARY)


@pytest.mark.parametrize(
    "leak",
    [
        b"\x46" + CANARY.identifier,  # a CBOR byte string
        b"\x1a" + CANARY.value.to_bytes(4, "big"),  # a CBOR integer
        CANARY.value.to_bytes(4, "little"),
        b"D2:5F:00:A1:B7:C9",
        b"d2-5f-00-a1-b7-c9",
        CANARY.identifier.hex().upper().encode(),
        str(CANARY.value).encode(),
        str(int.from_bytes(CANARY.identifier, "little")).encode(),
        base64.b64encode(b"ab" + CANARY.identifier + b"xyz"),
        base64.urlsafe_b64encode(b"abc" + CANARY.value.to_bytes(4, "big") + b"xyz"),
        base64.b64encode(CANARY.identifier[::-1]),
    ],
)
def test_a_leak_is_found_in_the_middle_of_a_file(leak: bytes) -> None:
    assert search([CANARY], {"a": b"nothing here", "b": b'{"v":12,' + leak + b"}"})
    assert not search([CANARY], {"a": b"nothing here", "b": b'{"v":12,}'})


def test_a_search_that_misses_a_form_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.cli.demo.canaries.search", lambda canaries, places: [])
    assert not finds_a_planted_one(CANARY)


def test_a_neighbouring_number_is_not_a_hit() -> None:
    near = Canary(bytes(octet ^ 1 for octet in CANARY.identifier), CANARY.value ^ 0x0101_0101)
    text = b" ".join(pattern for _, pattern in near.forms())
    assert not search([CANARY], {"file": text})
