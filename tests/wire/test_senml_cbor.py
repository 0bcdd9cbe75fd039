"""RFC 8428 section 6: the standard's labels and types, exact numbers, strict decoding, only EncodingError escapes."""

from decimal import Decimal

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import EncodingError
from agent.wire import cbor, senml, senml_cbor
from agent.wire.senml import Record
from tests.wire.test_senml import records

RFC_EXAMPLE = bytes.fromhex(
    "87a721781b75726e3a6465763a6f773a3130653230373361303130383030363a22fb41d303a15b00106223614120050067766f6c74616765"
    "01615602fb405e066666666666a3006763757272656e74062402fb3ff3333333333333a3006763757272656e74062302fb3ff4cccccccccccd"
    "a3006763757272656e74062202fb3ff6666666666666a3006763757272656e74062102f93e00a3006763757272656e74062002fb3ff9999999"
    "99999aa3006763757272656e74060002fb3ffb333333333333"
)
"""RFC 8428 section 6, whole."""

RFC_RECORDS = (
    Record(
        bn="urn:dev:ow:10e2073a0108006:",
        bt=Decimal("1276020076.001"),
        bu="A",
        bver=5,
        n="voltage",
        u="V",
        v=Decimal("120.1"),
    ),
    *(
        Record(n="current", t=at - 5, v=Decimal(value))
        for at, value in enumerate(["1.2", "1.3", "1.4", "1.5", "1.6", "1.7"])
    ),
)
"""RFC 8428 section 5.1.3: the same in JSON."""


def test_says_what_the_example_of_the_rfc_says() -> None:
    """To a reader that knows nothing of ours: label by label, the numbers equal once they are floating-point, as section 6 demands."""
    theirs, ours = cbor2.loads(RFC_EXAMPLE), cbor2.loads(senml_cbor.encode(RFC_RECORDS))
    floats = [{label: float(v) if isinstance(v, Decimal) else v for label, v in item.items()} for item in ours]
    assert floats == theirs
    assert senml_cbor.decode(senml_cbor.encode(RFC_RECORDS)) == RFC_RECORDS


def test_floats_and_unsorted_labels_are_outside_the_subset() -> None:
    """Of one value there is one encoding, else a digest of a pack would be no digest of what it says."""
    with pytest.raises(EncodingError, match="without floats"):
        senml_cbor.decode(RFC_EXAMPLE)
    with pytest.raises(EncodingError, match="deterministic"):
        senml_cbor.decode(bytes.fromhex("81a22161610061 62".replace(" ", "")))


def test_every_label_and_type() -> None:
    """Table 4 of section 6."""
    record = Record("a", 1, "m", 2, 3, 10, "n", "s", Decimal("-0.50"), None, None, None, 4, 5, 6)
    assert senml_cbor.encode_record(record).hex() == (
        "ac" "00616e" "016173" "02c4822138" "31" "0504" "0605" "0706" "200a" "216161" "2201" "23616d" "2402" "2503"
    )  # fmt: skip
    for field, text in (({"vs": "x"}, "036178"), ({"vb": True}, "04f5"), ({"vd": "AP8"}, "084200ff")):
        assert senml_cbor.encode_record(Record(n="n", **field)).hex() == f"a200616e{text}"


whole = records.filter(lambda r: r.n is not None and (r.vd is None or _is_whole(r.vd)))


def _is_whole(text: str) -> bool:
    try:
        senml_cbor.encode_record(Record(n="n", vd=text))
    except EncodingError:
        return False
    return True


@given(st.lists(whole, min_size=1, max_size=8))
def test_round_trip(pack: list[Record]) -> None:
    """Records come back, with as many decimals as they had, and are the same in JSON and in CBOR."""
    encoded = senml_cbor.encode(pack)
    decoded = senml_cbor.decode(encoded)
    assert decoded == tuple(pack) == senml.decode(senml.encode(pack))
    assert senml_cbor.encode(decoded) == encoded


NAMED = {0: "a", 2: 1}


@pytest.mark.parametrize(
    "item",
    [
        {},
        [],
        [1],
        [{}],
        [{0: "a"}],
        [{**NAMED, 3: "two values"}],
        [{**NAMED, 9: 1}],
        [{**NAMED, "v": 1}],
        [{**NAMED, -7: 1}],
        [{0: b"a", 2: 1}],
        [{0: "a", 2: "1"}],
        [{0: "a", 2: True}],
        [{0: "a", 2: None}],
        [{0: "a", 2: cbor.CBORTag(4, [0, 1])}],
        [{0: "a", 2: cbor.CBORTag(4, [1, 1])}],
        [{0: "a", 2: cbor.CBORTag(4, [-41, 1])}],
        [{0: "a", 2: cbor.CBORTag(4, [-1, True])}],
        [{0: "a", 2: cbor.CBORTag(4, [-1])}],
        [{0: "a", 2: cbor.CBORTag(4, [-(2**63), 1])}],
        [{0: "a", 2: cbor.CBORTag(5, [-1, 1])}],
        [{0: "a", 8: "AAAA"}],
        [{0: "a", 4: 1}],
        [{0: "a", 2: 1, -1: 11}],
        [{0: "two words", 2: 1}],
        [NAMED] * (senml.MAX_RECORDS + 1),
    ],
)
def test_bad_packs_raise_encoding_error(item: object) -> None:
    encoded = cbor2.dumps(item)
    with pytest.raises(EncodingError):
        senml_cbor.decode(encoded)


@pytest.mark.parametrize("vd", ["A", "AB", "AAA=", "A/"])
def test_data_is_base64url_of_whole_octets(vd: str) -> None:
    with pytest.raises(EncodingError):
        senml_cbor.encode([Record(n="a", vd=vd)])


@pytest.mark.parametrize("value", [1 << 64, Decimal("1E-41"), Decimal("NaN"), 1.5])
def test_numbers_that_no_pack_carries(value: object) -> None:
    with pytest.raises(EncodingError):
        senml_cbor.encode([Record(n="a", v=value)])  # type: ignore[arg-type]  # that is what is refused


@given(st.binary(max_size=200))
def test_only_the_documented_error_escapes(pack: bytes) -> None:
    for one in (pack, b"\x81" + pack, b"\x81\xa2\x00\x61a\x02" + pack):
        try:
            found = senml_cbor.decode(one)
        except EncodingError:
            continue
        assert senml_cbor.encode(found) == one
