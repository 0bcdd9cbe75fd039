"""The figures last published, as phones read them: one encoding, one signature, never more than the packs said."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from agent.contracts import aggregate
from agent.contracts.latest import Figures, Latest, decode_latest, figures_of, open_latest, read_latest, seal_latest
from agent.contracts.log import Charge, Release
from agent.contracts.public import MAX_LATEST_BYTES, Envelope, seal_envelope
from agent.errors import EncodingError, LogDamaged, SignatureError
from agent.wire import cbor, cose
from tests import packs

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC_KEY = cose.public_bytes(KEY)
PATH = "springfield/river-bridge/bridge-01"

VALUES = (
    st.integers(-(10**17) + 1, 10**18 - 1)
    | st.integers(-(10**9), 10**9).map(lambda whole: Decimal(whole).scaleb(-3))
    | st.sampled_from(["suppressed", "not_collected", "at_least"])
)


@given(st.lists(VALUES, max_size=6), st.integers(1, 10**9))
def test_what_goes_in_comes_out(values: list[int | Decimal | str], start: int) -> None:
    """Numbers with as many decimals as they were written with."""
    cells = tuple((f"c{i}", "count", value) for i, value in enumerate(values))
    figures = (Figures("crossings", start, 900, "complete", 1, cells),)
    read = open_latest(seal_latest(PATH, figures, KEY), PUBLIC_KEY)
    assert read == Latest(PATH, figures)
    assert [str(value) for _, _, value in read.figures[0].cells] == [str(value) for value in values]


def test_a_number_too_long_for_phones_is_told_in_digits() -> None:
    """No published number may keep the unit from announcing the others."""
    cells = (("a", "count", 2**64), ("b", "dB", Decimal("1234567890123456789.5")), ("c", "count", 1))
    read = read_latest(seal_latest(PATH, [Figures("s", 1, 900, "complete", 1, cells)], KEY))
    assert [value for _, _, value in read.figures[0].cells] == ["18446744073709551616", "1234567890123456789.5", 1]


@pytest.mark.parametrize("name", sorted(packs.ALL))
def test_every_kind_of_pack_is_told(name: str) -> None:
    """Cells, units and state are the Release's own."""
    window = packs.ALL[name]
    payload = aggregate.encode(window)
    release = Release(
        window.terms.stream,
        window.window_start,
        window.terms.window_s,
        payload,
        b"",
        None,
        window.terms.disclosure_digest,
    )
    try:
        figures = figures_of(release)
    except LogDamaged:  # with a guarantee it needs a charge
        figures = figures_of(replace(release, charge=Charge(Fraction(1, 32))))
    assert figures.state == window.state
    assert [cell[0] for cell in figures.cells] == [field.name for field in window.terms.fields]
    assert [str(cell[2]) for cell in figures.cells] == [str(value) for value in window.values]
    assert read_latest(seal_latest(PATH, [figures], KEY)).figures == (figures,)


def test_what_does_not_fit_is_counted() -> None:
    """Whole streams are left out, from the last."""
    cells = tuple((f"class{i}", "count", i) for i in range(64))
    many = [Figures(f"stream{i}", 1, 900, "complete", 1, cells) for i in range(12)]
    message = seal_latest(PATH, many, KEY)
    assert len(message) <= MAX_LATEST_BYTES
    read = open_latest(message, PUBLIC_KEY)
    assert read.figures == tuple(many[: len(read.figures)])
    assert (len(read.figures) > 0, len(read.figures) + read.left_out) == (True, 12)


@pytest.mark.parametrize(
    "item",
    [
        {0: 1, 1: PATH, 2: [], 3: 0},
        {0: True, 1: PATH, 2: [], 3: 0},
        {0: 2, 1: "Nowhere", 2: [], 3: 0},
        {0: 2, 1: PATH, 2: [], 3: -1},
        {0: 2, 1: PATH, 2: [], 3: False},
        {0: 2, 1: PATH, 2: [], 3: 0, 4: 0},
        {0: 2, 1: PATH, 2: [["s", 1, 900, "complete", 1]], 3: 0},
        {0: 2, 1: PATH, 2: [["s", 1, 0, "complete", 1, []]], 3: 0},
        {0: 2, 1: PATH, 2: [["s", 1, 900, "<b>\n", 1, []]], 3: 0},
        {0: 2, 1: PATH, 2: [["s", 1, 900, "complete", 1, [["c", "count", True]]]], 3: 0},
        {0: 2, 1: PATH, 2: [["s", 1, 900, "complete", 1, [["c", "count", [-7, 1]]]]], 3: 0},
        {0: 2, 1: PATH, 2: [["s", 1, 900, "complete", 1, [["c", "count", [1, 1]]]]], 3: 0},
        {0: 2, 1: PATH, 2: [["s", 1, 900, "complete", 1, [["c", "count", "\u202e"]]]], 3: 0},
    ],
)
def test_other_payloads_are_refused(item: dict[int, object]) -> None:
    """I8."""
    with pytest.raises(EncodingError):
        decode_latest(cbor.encode(item))


def test_no_other_signature_counts() -> None:
    """Another key's, and the unit's own for something else."""
    message = seal_latest(PATH, [], KEY)
    with pytest.raises(SignatureError):
        open_latest(message, bytes(31) + b"\1")
    with pytest.raises(EncodingError):
        open_latest(seal_envelope(Envelope(b"x", 1), KEY), PUBLIC_KEY)
