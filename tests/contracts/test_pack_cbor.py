"""Packs in CBOR: what the JSON says, at one length a stream (I6), strict both ways, for every kind."""

import dataclasses

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.contracts import aggregate
from agent.contracts.aggregate import Aggregate, Cell, Field, NotCollected, Template, in_cbor
from agent.contracts.cells import MAX_WIDTH
from agent.contracts.pack_cbor import FILLER, CborFrame
from agent.errors import EncodingError
from agent.wire import senml, senml_cbor
from tests import packs
from tests.contracts.test_aggregate import WRONG, same_terms, windows
from tests.packs import COUNT, SCALAR, changed

EXAMPLE_PACK = bytes.fromhex(
    "8d"
    "a5" "006677696e646f77" "016173" "02190384"
    "21782d737072696e676669656c642f72697665722d6272696467652f6272696467652d30312f63726f7373696e67732f" "221a6b49d200"
    "a3" "0068636f766572616765" "01612f" "02c48221185f"
    "a2" "00657374617465" "0368636f6d706c657465"
    "a3" "00686e6f6973655f7364" "0165636f756e74" "02c48222190fa0"
    "a3" "00697468726573686f6c64" "0165636f756e74" "020d"
    "a2" "006473756d73" "03782a626961736564206c6f773a2073757070726573736564206e756d6265727320617265206d697373696e67"
    "a2" "006967756172616e746565"
    "0378337a4344502072686f3d312f382070657220706572736f6e2d706572696f64206f6620383634303020732c206d3d342c20633d31"
    "a2" "0066706f6c696379" "0201"
    "a2" "006a646973636c6f73757265"
    "03784030303031303230333034303530363037303830393061306230633064306530663130313131323133313431353136313731383139316131623163316431653166"
    "a2" "00696c6f675f696e646578" "0211"
    "a3" "006963656c6c2f62696b65" "0165636f756e74" "0217"
    "a2" "006963656c6c2f666f6f74" "036a73757070726573736564"
    "a2" "006666696c6c6572" "08583a" + "00" * 58
)  # fmt: skip


def test_the_layout_is_the_documented_one() -> None:
    """One short of what the longest window needs is the shortest filler; a plain CBOR reader sees the same cells as in the JSON."""
    window = in_cbor(COUNT)
    assert aggregate.encode(window) == EXAMPLE_PACK
    assert aggregate.decode(EXAMPLE_PACK) == window
    assert cbor2.loads(EXAMPLE_PACK)[-3:-1] == [{0: "cell/bike", 1: "count", 2: 23}, {0: "cell/foot", 3: "suppressed"}]


@given(windows(), st.data())
def test_round_trip_and_one_length(window: Aggregate, data: st.DataObject) -> None:
    """I6: the length follows from the terms, not from the window; it is less than in JSON."""
    shown = in_cbor(window)
    payload = aggregate.encode(shown)
    assert aggregate.decode(payload) == shown
    assert (
        len(payload) == shown.terms.cbor_bytes == aggregate.pack_bytes(shown.terms) < aggregate.pack_bytes(window.terms)
    )
    other = in_cbor(data.draw(same_terms(window)))
    assert other.terms == shown.terms
    assert len(aggregate.encode(other)) == len(payload)
    assert Template(shown.terms).decode(payload) == shown


@given(windows())
def test_the_same_records_as_in_json(window: Aggregate) -> None:
    """What is put together from prepared octets is what the SenML encoder writes, and says what the JSON says."""
    payload = aggregate.encode(in_cbor(window))
    *found, filler = senml_cbor.decode(payload)
    assert tuple(found) == senml.decode(aggregate.encode(window))
    assert filler.n == FILLER
    assert set(filler.vd or "") == {"A"}
    assert senml_cbor.encode([*found, filler]) == payload


@given(windows())
def test_the_length_is_the_least_that_holds_every_window(window: Aggregate) -> None:
    """The filler's octets stay within what one head says, however long or short the rest is; some window needs the shortest."""
    shortest, longest = CborFrame(window.terms).extent()
    length = in_cbor(window).terms.cbor_bytes
    assert length is not None
    assert length - longest == len(b"\xa2\x00\x66filler\x08") + 2 + 24
    without = len(aggregate.encode(in_cbor(window))) - len(cbor2.loads(aggregate.encode(in_cbor(window)))[-1][8]) - 12
    assert shortest <= without <= longest


def test_many_cells_have_a_filler_of_the_next_class() -> None:
    """Where a window may be more than 231 octets short: from 256 octets on, so that 25 and 258 in all, which no byte string has, are never wanted."""
    names = [f"class{number:02}" for number in range(60)]
    whole = changed(COUNT, fields=tuple(Field(name, "count", 9) for name in names), values=(0,) * 60)
    fillers = set()
    for value in (0, 23, 24, 65_536, 10**9 - 1, Cell.SUPPRESSED):
        for many in range(0, 61, 3):
            payload = aggregate.encode(in_cbor(changed(whole, values=(value,) * many + (13,) * (60 - many))))
            fillers.add(len(cbor2.loads(payload)[-1][8]))
            assert aggregate.decode(payload).values[:many] == (value,) * many
            assert len(payload) == in_cbor(whole).terms.cbor_bytes
    assert min(fillers) >= 256
    assert len(fillers) > 40


@pytest.mark.parametrize("room", range(30))
def test_a_filler_is_never_shorter(room: int) -> None:
    """Positive control: with less room than the terms give, a window does not fit, and is not written some other way."""
    window = in_cbor(COUNT)
    filler = len(cbor2.loads(EXAMPLE_PACK)[-1][8])
    short = dataclasses.replace(window.terms, cbor_bytes=len(EXAMPLE_PACK) - filler - 2 + room)
    other = dataclasses.replace(window, terms=short)
    if room < 26:
        with pytest.raises(EncodingError, match="a window that fits"):
            aggregate.encode(other)
    else:
        assert len(aggregate.encode(other)) == short.cbor_bytes


@settings(max_examples=300)
@given(windows(), st.integers(0, 1 << 16), st.integers(1, 255))
def test_any_changed_byte_is_refused_or_is_another_aggregate(window: Aggregate, at: int, flip: int) -> None:
    """Strict: what decodes re-encodes to the same bytes, also by a template, and nothing but EncodingError escapes."""
    shown = in_cbor(window)
    payload = bytearray(aggregate.encode(shown))
    payload[at % len(payload)] ^= flip
    quick = Template(shown.terms).decode(bytes(payload))
    try:
        decoded = aggregate.decode(bytes(payload))
    except EncodingError:
        assert quick is None
        return
    assert decoded != shown
    assert quick in (None, decoded)
    assert aggregate.encode(decoded) == bytes(payload)


@given(windows(), st.binary(max_size=60), st.integers(0, 1 << 16))
def test_a_template_reads_no_piece_of_a_pack(window: Aggregate, more: bytes, cut: int) -> None:
    shown = in_cbor(window)
    payload = aggregate.encode(shown)
    template = Template(shown.terms)
    for hostile in (payload[: cut % len(payload)], payload[: cut % len(payload)] + more, more):
        assert template.decode(hostile) in (None, shown)


def test_the_other_encoding_is_for_decode() -> None:
    """A template is of one encoding, as it is of one stream."""
    for window in packs.ALL.values():
        shown = in_cbor(window)
        assert Template(window.terms).decode(aggregate.encode(shown)) is None
        assert Template(shown.terms).decode(aggregate.encode(window)) is None


@pytest.mark.parametrize(("window", "change"), WRONG, ids=range(len(WRONG)))
def test_values_outside_their_bounds_do_not_encode(window: Aggregate, change: dict[str, object]) -> None:
    """As in JSON, by the same widths, although a pack in CBOR does not show them."""
    with pytest.raises(EncodingError):
        in_cbor(changed(window, **change))


def test_a_number_beyond_64_bits_is_refused() -> None:
    """And nothing else could carry it without becoming another number."""
    wide = changed(SCALAR, fields=(Field("mean", "ppm", MAX_WIDTH),), values=(10**25,))
    assert b"1" + b"0" * 25 in aggregate.encode(wide)
    with pytest.raises(EncodingError, match="64 bits"):
        aggregate.encode(in_cbor(wide))


def test_terms_of_a_pack_in_cbor_have_no_widths() -> None:
    terms = dataclasses.replace(in_cbor(COUNT).terms, fields=COUNT.terms.fields)
    with pytest.raises(EncodingError, match="field widths in CBOR"):
        Template(terms)


def test_every_reason_and_instant_is_as_long() -> None:
    """Also after 2106, when an instant takes four octets more."""
    nothing = (Cell.NOT_COLLECTED,) * 2
    lengths = {
        len(
            aggregate.encode(
                in_cbor(changed(COUNT, reason=reason, values=nothing, window_start=start, log_index=index))
            )
        )
        for reason in NotCollected
        for start in (1_800_000_000, 4_294_967_400, 9_999_999_900)
        for index in (0, 10**15 - 1)
    }
    assert lengths == {len(EXAMPLE_PACK)}
