"""RFC 8428 packs: exact numbers, strict decoding, only EncodingError escapes."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import EncodingError
from agent.wire import senml
from agent.wire.senml import Record

RFC_EXAMPLE = b"""[
  {"bn":"urn:dev:ow:10e2073a0108006:","bt":1.276020076001e+09,"bu":"A","bver":5,"n":"voltage","u":"V","v":120.1},
  {"n":"current","t":-5,"v":1.2},
  {"n":"current","t":-4,"v":1.3}
]"""
"""RFC 8428 section 5.1.3, shortened."""

numbers = st.one_of(
    st.integers(-(10**18), 10**18),
    st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**9), max_value=10**9),
)
names = st.from_regex(senml.NAME, fullmatch=True).filter(lambda name: len(name) <= 100)
texts = st.text(st.characters(codec="utf-8"), max_size=50)
records = st.one_of(
    st.builds(Record, n=names, u=st.none() | texts, v=numbers, t=st.none() | numbers),
    st.builds(Record, n=names, vs=texts),
    st.builds(Record, n=names, vb=st.booleans()),
    st.builds(Record, n=names, vd=st.from_regex(r"[A-Za-z0-9_-]{0,20}", fullmatch=True)),
)


def test_reads_the_example_of_the_rfc_with_exact_numbers() -> None:
    first, second, _ = senml.decode(RFC_EXAMPLE)
    assert (first.bn, first.bt, first.bver, first.v) == (
        "urn:dev:ow:10e2073a0108006:",
        Decimal("1276020076.001"),
        5,
        Decimal("120.1"),
    )
    assert (second.t, second.v) == (-5, Decimal("1.2"))


@given(st.lists(records.filter(lambda r: r.n is not None), min_size=1, max_size=8))
def test_round_trip(pack: list[Record]) -> None:
    """Every pack that encodes decodes to itself, and is JSON for everyone else."""
    encoded = senml.encode(pack)
    json.loads(encoded)
    assert senml.decode(encoded) == tuple(pack)
    assert senml.encode(senml.decode(encoded)) == encoded


@given(st.lists(records.filter(lambda r: r.n is not None), min_size=1, max_size=4), st.integers(700, 800))
def test_padding_changes_bytes_not_meaning(pack: list[Record], width: int) -> None:
    padded = senml.encode(pack, [width] * len(pack))
    assert len(padded) == len(pack) * (width + 1) + 1
    assert senml.decode(padded) == tuple(pack)


def test_a_record_longer_than_its_width_is_refused() -> None:
    with pytest.raises(EncodingError, match="at most 10 characters"):
        senml.encode([Record(n="name", v=1)], [10])


@pytest.mark.parametrize(
    "pack",
    [
        b"",
        b"{}",
        b"[]",
        b"[1]",
        b'[{"n":"a","v":NaN}]',
        b'[{"n":"a","v":Infinity}]',
        b'[{"n":"a","v":-Infinity}]',
        b'[{"n":"a","v":1e999999999}]',
        b'[{"n":"a","v":' + b"9" * 5000 + b"}]",
        b'[{"n":"a","v":0.' + b"9" * 5000 + b"}]",
        b'[{"n":"a","v":true}]',
        b'[{"n":"a","v":"1"}]',
        b'[{"n":"a","vb":1}]',
        b'[{"n":"a","v":null}]',
        b'[{"n":"a","v":1,"v":2}]',
        b'[{"n":"a","v":1,"vs":"x"}]',
        b'[{"n":"a"}]',
        b'[{"v":1}]',
        b'[{"n":"-a","v":1}]',
        b'[{"n":"a b","v":1}]',
        b'[{"n":"\xc3\xa9","v":1}]',
        b'[{"n":"a","vs":"\\ud800"}]',
        b'[{"n":"a","vd":"a+b="}]',
        b'[{"n":"a","v":1,"extra_":2}]',
        b'[{"n":"a","v":1,"extra":2}]',
        b'[{"n":"a","v":1,"bver":11}]',
        b'[{"n":"a","v":1,"bver":5.0}]',
        b'[{"n":"a","v":1}] x',
        b'[{"n":"a","v":1},]',
        b"\xff",
        b"[" * 50_000,
        b'[{"n":' * 10_000,
        b"[" + b'{"n":"a","v":1},' * senml.MAX_RECORDS + b'{"n":"a","v":1}]',
        b'[{"n":"' + b"a" * 257 + b'","v":1}]',
        b'[{"n":"a","vs":"' + b"a" * 1025 + b'"}]',
        b" " * (senml.MAX_PACK_BYTES + 1),
    ],
)
def test_bad_packs_raise_encoding_error(pack: bytes) -> None:
    """I8."""
    with pytest.raises(EncodingError):
        senml.decode(pack)


@pytest.mark.parametrize(
    "value", [1.5, float("nan"), Decimal("NaN"), Decimal("Infinity"), Decimal("1e100"), 10**50, True, "1"]
)
def test_inexact_or_endless_numbers_do_not_encode(value: object) -> None:
    with pytest.raises(EncodingError):
        senml.encode([Record(n="a", v=value)])  # type: ignore[arg-type]  # that is what is refused


@given(st.binary(max_size=300) | st.text(max_size=200).map(lambda text: f'[{{"n":{text}}}]'.encode("utf-8", "replace")))
def test_only_the_documented_error_escapes(pack: bytes) -> None:
    try:
        senml.decode(pack)
    except EncodingError:
        return
