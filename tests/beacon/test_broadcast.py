"""What a broadcast holds beside the disclosure: plain text, status, extended advertisement (SPEC.md, BE-34 to BE-36)."""

from dataclasses import replace
from pathlib import Path

import pytest

from agent.beacon import advertisement, gatt
from agent.beacon.advertisement import Flag, Status
from agent.beacon.broadcast import compile_broadcast
from agent.beacon.plain_text import MAX_BYTES, plain_text
from agent.contracts.public import Envelope, seal_envelope
from agent.disclosure.compact import compact_of, open_compact, seal_compact
from agent.disclosure.datachain import compile_disclosure
from agent.errors import BadInput, DisclosureError
from agent.policy.file import load_policy
from tests.beacon.stage import KEY, PUBLIC_KEY, ROOT, compact, disclosure, envelope, stop_notice, upcoming

POLICIES = (ROOT / "config" / "policy.toml", *sorted((ROOT / "config" / "examples").glob("*.toml")))


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.stem)
def test_each_example_fits_and_is_legible(path: Path) -> None:
    """BE-34, BE-36: every example policy's text is whole and its compact disclosure fits one packet or is left out."""
    shown = compile_disclosure(load_policy(path))
    sealed = seal_compact(compact_of(shown), KEY)
    broadcast = compile_broadcast(seal_envelope(Envelope(shown.cbor, 1), KEY), 1, compact=sealed)
    text = next(one.value for one in broadcast.attributes if one.uuid == gatt.TEXT_UUID).decode()
    assert text == plain_text(shown)
    assert len(text.encode()) <= MAX_BYTES
    lines = text.splitlines()
    assert lines[0] == shown.title
    assert f"Responsible: {shown.policy.accountable.name}" in lines
    assert advertisement.code(shown.digest) in lines[-2]
    assert lines[-1].startswith("Not signed.")
    assert any(line.startswith("Promised: ") for line in lines)
    if len(sealed) + 18 <= 229:
        assert open_compact(broadcast.compact, PUBLIC_KEY).digest == shown.digest[:16]
        assert broadcast.extended == advertisement.service_data(sealed)
    else:
        assert (broadcast.extended, broadcast.compact) == (None, b"")


def test_the_bike_counter_is_in_one_packet() -> None:
    """Must-show 1: 193 bytes and 18 around them."""
    bike = compile_disclosure(load_policy(POLICIES[0]))
    sealed = seal_compact(compact_of(bike), KEY)
    broadcast = compile_broadcast(seal_envelope(Envelope(bike.cbor, 1), KEY), 1, compact=sealed)
    assert broadcast.extended is not None
    assert (len(sealed), len(broadcast.extended)) == (193, 211)


def test_the_longest_texts_are_cut_visibly() -> None:
    """BE-34: the lines that must stand do, whatever the policy's texts are."""
    policy = load_policy(POLICIES[0])
    long = replace(policy, title="ក" * 80, accountable=replace(policy.accountable, name="ខ" * 120))
    text = plain_text(compile_disclosure(long), stopped=True)
    assert len(text.encode()) <= MAX_BYTES
    assert text.splitlines()[0].endswith("…")
    assert "STOPPED: nothing is collected." in text
    assert text.splitlines()[-1].startswith("Not signed.")


def test_the_status_says_what_is_upcoming_and_stopped() -> None:
    """BE-35: 31 bytes in all; flags, sequence and digest."""
    plain = compile_broadcast(envelope(), 0x12345)
    both = compile_broadcast(envelope(), 7, upcoming=upcoming(), stop=stop_notice())
    assert len(plain.status) == 31
    assert plain.status[:2] == b"\x1e\x21"
    value = advertisement.heard_service_data(plain.status)
    assert value == b"\x01\x00\x45\x23" + disclosure().digest[:8] + b"\0"
    said = advertisement.read_status(advertisement.heard_service_data(both.status) or b"")
    assert said == Status(Flag.UPCOMING | Flag.STOPPED, 7, disclosure().digest[:8])


def test_personal_data_are_flagged() -> None:
    """BE-35: a colour other than white."""
    flagged = set()
    for path in POLICIES:
        shown = compile_disclosure(load_policy(path))
        broadcast = compile_broadcast(seal_envelope(Envelope(shown.cbor, 1), KEY), 1)
        flags = advertisement.read_status(advertisement.heard_service_data(broadcast.status) or b"").flags
        assert (Flag.PERSONAL in flags) is (shown.colour != "white")
        flagged.add(Flag.PERSONAL in flags)
    assert flagged == {True, False}


@pytest.mark.parametrize("value", [b"", bytes(12), bytes(13), b"\x02" + bytes(12), b"\x01" + bytes(13)])
def test_another_status_is_refused(value: bytes) -> None:
    """BE-35."""
    with pytest.raises(DisclosureError):
        advertisement.read_status(value)


def test_a_compact_disclosure_of_another_is_left_out() -> None:
    """BE-36: while the anonymizer is between two files, and whoever's it is."""
    assert compile_broadcast(envelope(), 1, compact=compact()).extended is not None
    assert compile_broadcast(envelope(), 1, compact=compact(2)).extended is None
    assert compile_broadcast(envelope(), 1, compact=compact(unit="fremont-02")).extended is None
    with pytest.raises(BadInput):
        compile_broadcast(envelope(), 1, compact=envelope()[:600])
