"""Header and chunks, both sides (SPEC.md, BE-5 to BE-9)."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.beacon import advertisement, gatt
from agent.beacon.advertisement import SERVICE
from agent.contracts.public import (
    MAX_ENVELOPE_BYTES,
    MAX_LATEST_BYTES,
    MAX_STOP_BYTES,
    MAX_UPCOMING_BYTES,
    open_envelope,
)
from agent.errors import DisclosureError, EncodingError, SignatureError
from agent.wire import cbor
from tests.beacon.stage import PUBLIC_KEY, disclosure, envelope


def parts(sealed: bytes, sequence: int = 1) -> tuple[bytes, list[bytes]]:
    """Header and chunks as a phone reads them."""
    header, *chunks = (attribute.value for attribute in gatt.attributes(sealed, sequence))
    return header, chunks


def test_uuids_count_up_from_the_services() -> None:
    """BE-5: header and chunks differ from the service in the last 16 bits of the first group only, and are fixed."""
    uuids = [gatt.HEADER_UUID, *gatt.CHUNK_UUIDS, gatt.UPCOMING_HEADER_UUID, *gatt.UPCOMING_CHUNK_UUIDS, gatt.STOP_UUID]
    uuids += [gatt.TEXT_UUID, gatt.CHECKPOINT_UUID, gatt.LATEST_HEADER_UUID, *gatt.LATEST_CHUNK_UUIDS]
    assert [str(uuid) for uuid in uuids] == [f"5731{i:04x}{str(SERVICE)[8:]}" for i in range(1, 31)]
    assert len(uuids) == gatt.CHARACTERISTICS
    assert [attribute.uuid for attribute in (*gatt.attributes(b"x", 1), *gatt.beside(b"y", b"z", 1))] == uuids


PART = st.none() | st.binary(min_size=1, max_size=MAX_LATEST_BYTES)


@given(PART, st.none() | st.binary(max_size=MAX_STOP_BYTES), PART, st.text(max_size=120))
@settings(max_examples=40)
def test_what_is_beside_the_disclosure(
    upcoming: bytes | None, stop: bytes | None, latest: bytes | None, text: str
) -> None:
    """BE-5, BE-7: always 21 attributes; empty ones for what there is not, else what went in."""
    beside = gatt.beside(upcoming, stop, 7, text=text, checkpoint=stop, latest=latest)
    values = [attribute.value for attribute in beside]
    assert len(values) == 21
    assert values[9:12] == [stop or b"", text.encode(), stop or b""]
    for (header, *chunks), part in ((values[:9], upcoming), (values[12:], latest)):
        if part is None:
            assert {header, *chunks} == {b""}
        else:
            assert gatt.assemble(header, chunks) == part


@pytest.mark.parametrize("what", ["text", "checkpoint"])
def test_a_value_that_does_not_fit_is_refused(what: str) -> None:
    """BE-7."""
    with pytest.raises(DisclosureError, match="at most 500 bytes"):
        gatt.beside(None, None, 1, **{what: "x" * 501 if what == "text" else bytes(501)})  # type: ignore[arg-type]


def test_an_upcoming_envelope_that_does_not_fit_is_refused() -> None:
    """BE-7."""
    with pytest.raises(DisclosureError, match="envelope"):
        gatt.beside(bytes(MAX_UPCOMING_BYTES + 1), None, 1)


def test_header_is_the_specs_example() -> None:
    """BE-6: deterministic CBOR {0: version, 1: total, 2: count, 3: sequence, 4: SHA-256}."""
    header, chunks = parts(b"\x07" * 914, sequence=3)
    assert (
        header.hex()
        == "a5" + "0001" + "01190392" + "0202" + "0303" + "045820" + hashlib.sha256(b"\x07" * 914).hexdigest()
    )
    assert [len(chunk) for chunk in chunks] == [500, 414, 0, 0, 0, 0, 0, 0]


@given(st.binary(min_size=1, max_size=MAX_ENVELOPE_BYTES), st.integers(0, 2**33))
@settings(max_examples=60)
def test_round_trip_within_the_budgets(sealed: bytes, sequence: int) -> None:
    """BE-6, BE-7: always nine attributes, none over 500 bytes, and they give back what went in."""
    shown = gatt.attributes(sealed, sequence)
    assert len(shown) == 9
    assert all(len(attribute.value) <= gatt.CHUNK_BYTES for attribute in shown)
    assert len(shown[0].value) <= gatt.MAX_HEADER_BYTES
    header, chunks = parts(sealed, sequence)
    assert gatt.assemble(header, chunks) == sealed
    assert gatt.assemble(header, chunks[: gatt.read_header(header).count]) == sealed


@pytest.mark.parametrize("size", [0, MAX_ENVELOPE_BYTES + 1])
def test_envelopes_that_do_not_fit_are_refused(size: int) -> None:
    """BE-7."""
    with pytest.raises(DisclosureError, match="envelope"):
        gatt.attributes(bytes(size), 1)


def test_missing_short_swapped_and_mixed_chunks_are_noticed() -> None:
    """BE-9: each with its own words."""
    old, new = envelope(1), envelope(2)
    assert len(old) == len(new)  # so that only the hash can tell
    header, chunks = parts(old)
    _, others = parts(new, 2)
    used = gatt.read_header(header).count
    chunks, others = chunks[:used], others[:used]
    with pytest.raises(DisclosureError, match=f"chunks: expected {len(chunks)} to 8"):
        gatt.assemble(header, chunks[:-1])
    with pytest.raises(DisclosureError, match="chunk 1"):
        gatt.assemble(header, [chunks[0], chunks[1][:-1], *chunks[2:]])
    with pytest.raises(DisclosureError, match=f"chunk {len(chunks)}: expected 0"):
        gatt.assemble(header, [*chunks, b"more"])
    for mixed in ([chunks[0], *others[1:]], [others[0], *chunks[1:]], others):
        with pytest.raises(DisclosureError, match="hash"):
            gatt.assemble(header, mixed)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({0: 2}, "version"), ({1: 0}, "total"), ({1: MAX_UPCOMING_BYTES + 1}, "total"), ({2: 3}, "count"), ({3: -1}, "sequence"),
        ({3: 2**32}, "sequence"), ({4: b"short"}, "hash"), ({5: 0}, "keys"), ({1: "914"}, "keys"), ({1: True}, "true"),
    ],
)  # fmt: skip
def test_bad_headers_are_refused_by_name(change: dict[int, object], where: str) -> None:
    """BE-6, I8."""
    header, _ = parts(bytes(914))
    item = cbor.decode(header) | change
    with pytest.raises(DisclosureError, match=where):
        gatt.read_header(cbor.encode(item))


def test_only_named_errors_escape_from_mutated_readings() -> None:
    """I8: 300 damaged headers and envelopes; a damage that passes the hash must fail the signature."""
    sealed = envelope()
    header, chunks = parts(sealed)
    whole, refused = bytearray(header + b"".join(chunks)), 0
    for seed in range(300):
        draw = hashlib.sha256(seed.to_bytes(2, "big")).digest()
        place = int.from_bytes(draw[:4], "big") % (len(whole) if seed % 2 else len(header))
        damaged = bytearray(whole)
        match draw[4] % 3:
            case 0:
                damaged[place] ^= 1 << (draw[5] & 7)
            case 1:
                del damaged[place]
            case _:
                damaged[place:place] = draw[5:7]
        head, body = bytes(damaged[: len(header)]), bytes(damaged[len(header) :])
        pieces = [body[i : i + 500] for i in range(0, len(body), 500)]
        try:
            read = gatt.assemble(head, pieces)
        except DisclosureError:
            refused += 1
        else:
            assert read == sealed
        changed = bytes(damaged[len(header) :])
        if changed == sealed:
            continue
        # the same envelope in an honest header, as a forger would send it
        try:
            forged = gatt.assemble(*parts(changed[:MAX_ENVELOPE_BYTES]))
            assert open_envelope(forged, PUBLIC_KEY).disclosure == disclosure().cbor, "a forgery passed"
            raise AssertionError("a changed envelope verified")
        except (EncodingError, SignatureError):
            refused += 1
    assert refused > 300


def test_positive_control_unchanged_verifies() -> None:
    """The test above can tell: the unchanged envelope passes all of it."""
    assert open_envelope(gatt.assemble(*parts(envelope())), PUBLIC_KEY).digest == disclosure().digest


def test_sequence_is_part_of_the_header_only() -> None:
    """BE-6: the same envelope under another sequence differs in the header alone."""
    one, two = gatt.attributes(envelope(), 1), gatt.attributes(envelope(), 2)
    assert one[1:] == two[1:]
    assert replace(gatt.read_header(one[0].value), sequence=2) == gatt.read_header(two[0].value)


def test_vector_is_the_specs_example() -> None:
    """BE-1 to BE-9: the vector, SPEC.md and both sides of the code agree byte for byte."""
    vector = json.loads((Path(__file__).parent / "vectors" / "fremont-01.json").read_text())
    sealed = bytes.fromhex(vector["envelope"])
    shown = gatt.attributes(sealed, vector["sequence"])
    assert [attribute.value.hex() for attribute in shown] == [vector["header"], *vector["chunks"]]
    assert gatt.assemble(shown[0].value, [attribute.value for attribute in shown[1:]]) == sealed
    opened = open_envelope(sealed, bytes.fromhex(vector["public_key"]))
    assert opened.digest.hex() == vector["disclosure_digest"]
    name = advertisement.local_name(vector["unit"], vector["colour"], opened.digest)
    assert name == vector["name"]
    assert advertisement.advertisement().hex() == vector["advertisement"]
    assert advertisement.scan_response(name).hex() == vector["scan_response"]
    spec = "".join((Path(gatt.__file__).parent / "SPEC.md").read_text().split())
    assert vector["scan_response"] in spec
    assert shown[0].value[-32:].hex() in spec
    assert all(value[:16].hex() in spec for value in (shown[1].value, shown[2].value))
    assert vector["advertisement"][6:] in spec
    assert name[-10:] in spec
