"""The pack of an Aggregate: the layout everyone reads, one length for every window (I6), strict both ways, for every kind."""

import dataclasses
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.contracts import aggregate
from agent.contracts.aggregate import END_START, FIRST_START, Aggregate, Cell, Field, NotCollected, PackTerms, Value
from agent.contracts.cells import MAX_WIDTH, SINCE, WORDS
from agent.contracts.guarantee import ConcentratedGuarantee, Guarantee, NoGuarantee, PureGuarantee, read_guarantee
from agent.errors import EncodingError
from agent.wire import senml
from tests import packs
from tests.packs import COUNT, DURATION, SCALAR, TOTALS, UNIQUE, changed

EXAMPLE = changed(
    COUNT,
    city="seattle",
    site="fremont",
    unit="fremont-01",
    window_start=1_790_000_000,
    window_s=5,
    threshold=18,
    guarantee=ConcentratedGuarantee(Fraction(1, 8), 600, 4, 1),
    fields=(Field("bike", "count", 5), Field("person", "count", 5)),
)

EXAMPLE_PACK = (
    b'[{"bn":"seattle/fremont/fremont-01/crossings/","bt":1790000000,"n":"window","u":"s","v":5},'
    b'{"n":"coverage","u":"/","v":0.95},'
    b'{"n":"state","vs":"complete"             },'
    b'{"n":"noise_sd","u":"count","v":4.000},'
    b'{"n":"threshold","u":"count","v":18},'
    b'{"n":"sums","vs":"biased low: suppressed numbers are missing"},'
    b'{"n":"guarantee","vs":"zCDP rho=1/8 per person-period of 600 s, m=4, c=1"},'
    b'{"n":"policy","v":1},'
    b'{"n":"disclosure","vs":"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"},'
    b'{"n":"log_index","v":17             },'
    b'{"n":"cell/bike","u":"count","v":23   },'
    b'{"n":"cell/person","vs":"suppressed"    }]'
)

CELLS = {
    "totals": (
        b'{"n":"total_noise_sd","u":"count","v":12.740},{"n":"cell/bike","u":"count","v":23   },{"n":"cell/foot","vs":"suppressed"    },'
        b'{"n":"cell/bike/total","u":"count","v":1204   },{"n":"cell/foot/total","u":"count","v":87     },'
        b'{"n":"cell/total/since","u":"s","v":1799971200}]'
    ),
    "every number": b'{"n":"cell/bike","u":"count","v":23  },{"n":"cell/foot","u":"count","v":-3  }]',
    "duration": (
        b'{"n":"cell/car/to_900s","u":"count","v":31  },{"n":"cell/car/to_3600s","vs":"suppressed"   },'
        b'{"n":"cell/car/over_3600s","u":"count","v":14  },{"n":"cell/car/p25","vs":"to_900s"      },'
        b'{"n":"cell/car/median","vs":"to_900s"      },{"n":"cell/car/p75","vs":"over_3600s"   }]'
    ),
    "unique": (
        b'{"n":"cell/devices","u":"count","v":412   },{"n":"cell/devices_sd","u":"count","v":3.790    },'
        b'{"n":"cell/devices_is","vs":"estimate"     }]'
    ),
    "scalar": b'{"n":"cell/mean","u":"ppm","v":612.5 }]',
    "coarse": b'{"n":"cell/leq","u":"dB","v":63     }]',
    "none": b'{"n":"cell/mean","u":"Cel","v":-3.5  }]',
}


def test_the_layout_is_the_documented_one() -> None:
    assert aggregate.encode(EXAMPLE) == EXAMPLE_PACK
    assert aggregate.decode(EXAMPLE_PACK) == EXAMPLE


@pytest.mark.parametrize("kind", CELLS)
def test_the_cells_of_every_kind(kind: str) -> None:
    payload = aggregate.encode(packs.ALL[kind])
    assert payload.endswith(b"}," + CELLS[kind])
    assert aggregate.decode(payload) == packs.ALL[kind]


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("count", "count", "zCDP rho=1/8 per person-period of 86400 s, m=4, c=1"),
        ("totals", "count", "zCDP rho=1/8 per person-period of 86400 s, m=4, c=1"),
        ("duration", "duration", "zCDP rho=1/8 per person-period of 86400 s, m=4, c=1"),
        ("threshold-only", "duration", "threshold-only: not a privacy guarantee"),
        (
            "unique",
            "unique",
            "pure epsilon=1/2 per person-window of 300 s, m=12 windows per 86400 s, addresses=1",
        ),
        ("scalar", "scalar", "zCDP rho=1/8 per person-period of 86400 s, m=4, c=1"),
        ("coarse", "scalar", "coarse: not a privacy guarantee"),
        ("none", "scalar", "none: not a privacy guarantee"),
    ],
)
def test_what_a_pack_says_of_itself(name: str, kind: str, words: str) -> None:
    """I1: a mode without a guarantee is so labelled in every Release."""
    terms = packs.ALL[name].terms
    assert terms.kind == kind
    assert terms.guarantee.words() == words
    assert f'{{"n":"guarantee","vs":"{words}"}}'.encode() in aggregate.encode(packs.ALL[name])


SUMS_RECORD = b'{"n":"sums","vs":"biased low: suppressed numbers are missing"},'


@pytest.mark.parametrize("name", packs.ALL)
def test_where_numbers_are_hidden_a_pack_says_what_that_does_to_sums(name: str) -> None:
    """AN-59: whenever there is a threshold, in windows without numbers too, and nowhere else; a pack that leaves it out is none."""
    window = packs.ALL[name]
    nothing = dataclasses.replace(window, reason=NotCollected.GATE, values=(Cell.NOT_COLLECTED,) * len(window.values))
    hides = window.terms.threshold > 0
    assert (window.terms.sums is not None) is hides
    assert hides is (name in ("count", "totals", "duration", "threshold-only", "unique"))
    for one in (window, nothing):
        payload = aggregate.encode(one)
        assert payload.count(SUMS_RECORD) == hides
        if hides:
            with pytest.raises(EncodingError, match="aggregate sums"):
                aggregate.decode(payload.replace(SUMS_RECORD, b""))
            with pytest.raises(EncodingError, match="aggregate sums"):
                aggregate.decode(payload.replace(b"biased low:", b"unbiased..:"))
        else:
            with pytest.raises(EncodingError):
                aggregate.decode(payload.replace(b'{"n":"guarantee"', SUMS_RECORD + b'{"n":"guarantee"'))


def values_of(field: Field, terms: PackTerms) -> st.SearchStrategy[Value]:
    """Everything that a cell of a complete window may hold."""
    hidden: st.SearchStrategy[Value] = st.just(Cell.SUPPRESSED) if terms.threshold else st.nothing()
    if field.name == SINCE:
        return st.integers(FIRST_START, END_START - 1)
    if not field.unit:
        words = st.from_regex(WORDS, fullmatch=True)
        return hidden | words.filter(lambda text: len(text) <= field.width and text not in tuple(Cell))
    lowest = 0 if terms.threshold else -(10 ** (field.width - 1)) + 1
    if field.unit == "count" and field.name != "devices_sd":
        return hidden | st.integers(lowest, 10**field.width - 1)
    places = min(field.width - 3, 3)
    highest = 10 ** (field.width - 1 - (lowest < 0)) - 1
    low = 0 if field.name == "devices_sd" else -highest
    return hidden | st.integers(low, highest).map(lambda whole: Decimal(whole).scaleb(-places))


@st.composite
def windows(draw: st.DrawFn) -> Aggregate:
    """A window of any kind, with cells of any widths and in any state."""
    example = draw(st.sampled_from(list(packs.ALL.values())))
    more = draw(st.integers(0, 3))
    fields = tuple(
        field if field.name == SINCE else Field(field.name, field.unit, field.width + more)
        for field in example.terms.fields
    )
    whole = changed(example, fields=fields)
    return draw(same_terms(whole))


@st.composite
def same_terms(draw: st.DrawFn, whole: Aggregate) -> Aggregate:
    """Another window of the same stream."""
    terms = whole.terms
    reason = draw(st.none() | st.sampled_from(NotCollected))
    values: tuple[Value, ...] = (Cell.NOT_COLLECTED,) * len(terms.fields)
    if reason is None:
        values = tuple(draw(values_of(field, terms)) for field in terms.fields)
    window_s = terms.window_s
    start = draw(st.integers(-(-FIRST_START // window_s), END_START // window_s - 1)) * window_s
    return dataclasses.replace(
        whole,
        window_start=start,
        coverage_percent=draw(st.integers(0, 20)) * 5,
        reason=reason,
        log_index=draw(st.integers(0, aggregate.MAX_LOG_INDEX - 1)),
        values=values,
    )


@given(windows(), st.data())
def test_round_trip_and_one_length(window: Aggregate, data: st.DataObject) -> None:
    """I6: the length follows from the terms, not from the window."""
    payload = aggregate.encode(window)
    assert aggregate.decode(payload) == window
    assert len(payload) == aggregate.pack_bytes(window.terms)
    assert len(aggregate.encode(data.draw(same_terms(window)))) == len(payload)


@given(windows())
def test_the_bytes_are_senml(window: Aggregate) -> None:
    """What is put together from prepared text is what the SenML encoder writes of the same records."""
    records, widths = aggregate.layout(window)
    assert aggregate.encode(window) == senml.encode(records, widths)


def test_deviations_that_are_equal_are_written_as_they_are() -> None:
    """Prepared text is not mixed up between terms that compare equal."""
    one, other = (changed(COUNT, noise_sd=Decimal(text)) for text in ("4.0", "4.000"))
    assert one == other
    for window, text in ((one, b"4.0"), (other, b"4.000"), (one, b"4.0")):
        assert b'"n":"noise_sd","u":"count","v":' + text + b"}" in aggregate.encode(window)
        assert aggregate.decode(aggregate.encode(window)) == window


def test_lengths_would_differ_without_the_padding() -> None:
    """Control for I6: the same windows, closed up."""
    one, other = (aggregate.encode(changed(COUNT, values=(value, 50))) for value in (5, 5000))
    assert len(one) == len(other)
    assert len(one.replace(b" ", b"")) != len(other.replace(b" ", b""))


@settings(max_examples=200)
@given(windows(), st.integers(0, 1 << 16), st.integers(1, 255))
def test_any_changed_byte_is_refused_or_is_another_aggregate(window: Aggregate, at: int, flip: int) -> None:
    """Strict: what decodes re-encodes to the same bytes, and nothing but EncodingError escapes."""
    payload = bytearray(aggregate.encode(window))
    payload[at % len(payload)] ^= flip
    try:
        decoded = aggregate.decode(bytes(payload))
    except EncodingError:
        return
    assert decoded != window
    assert aggregate.encode(decoded) == bytes(payload)


NOTHING = (Cell.NOT_COLLECTED,)


def cells(*names: str) -> dict[str, object]:
    return {"fields": tuple(Field(name, "count", 5) for name in names), "values": (1,) * len(names)}


WRONG: list[tuple[Aggregate, dict[str, object]]] = [
    (COUNT, {"values": (-1, 1)}),
    (COUNT, {"values": (10_000, 1)}),
    (COUNT, {"values": (Cell.NOT_COLLECTED, 1)}),
    (COUNT, {"values": (Decimal("1.5"), 1)}),
    (COUNT, {"values": (True, 1)}),
    (COUNT, {"values": ("many", 1)}),
    (COUNT, {"values": (1,)}),
    (COUNT, {"fields": (Field("bike", "count", 5),) * 2}),
    (COUNT, {"fields": (), "values": ()}),
    (COUNT, {"reason": NotCollected.GATE}),
    (COUNT, {"reason": NotCollected.GATE, "values": (Cell.NOT_COLLECTED, Cell.SUPPRESSED)}),
    (COUNT, {"coverage_percent": 51}),
    (COUNT, {"coverage_percent": 105}),
    (COUNT, {"window_start": 1_790_000_101}),
    (COUNT, {"window_start": 900}),
    (COUNT, {"window_s": 0, "window_start": 0}),
    (COUNT, {"disclosure_digest": b"short"}),
    (COUNT, {"unit": "Fremont 01"}),
    (COUNT, {"fields": (Field("bike", "count", MAX_WIDTH + 1), Field("foot", "count", 5))}),
    (COUNT, {"fields": (Field("bike", "Cel", 5), Field("foot", "count", 5))}),
    (COUNT, {"fields": (Field("Bike", "count", 5), Field("foot", "count", 5))}),
    (COUNT, {"noise_sd": Decimal(0)}),
    (COUNT, {"noise_sd": Decimal(-1)}),
    (COUNT, {"noise_sd": Decimal("NaN")}),
    (COUNT, {"noise_sd": Decimal("1E+3")}),
    (COUNT, {"noise_unit": 'co"unt'}),
    (COUNT, {"guarantee": NoGuarantee("none")}),
    (COUNT, {"threshold": -1}),
    (COUNT, {"threshold": 0}),
    (COUNT, {"log_index": aggregate.MAX_LOG_INDEX}),
    (COUNT, {"total_noise_sd": Decimal("1.5")}),
    (COUNT, cells("bike", "bike/total")),
    (COUNT, cells("bike", "bike/total", "total/since")),
    (TOTALS, {"total_noise_sd": None}),
    (TOTALS, {"total_noise_sd": Decimal(0)}),
    (TOTALS, {"values": (23, 24, 25, 26, 5)}),
    (TOTALS, {"values": (23, 24, 25, 26, Cell.SUPPRESSED)}),
    (DURATION, {"values": (31, 31, 31, "to_900s", "To 900 s", "to_900s")}),
    (DURATION, {"values": (31, 31, 31, "to_900s", 900, "to_900s")}),
    (DURATION, {"fields": DURATION.terms.fields[::-1], "values": DURATION.values[::-1]}),
    (DURATION, {"fields": DURATION.terms.fields[:3], "values": DURATION.values[:3]}),
    (UNIQUE, {"window_s": 900}),
    (UNIQUE, {"guarantee": COUNT.terms.guarantee}),
    (UNIQUE, {"fields": UNIQUE.terms.fields[:1], "values": (412,)}),
    (SCALAR, {"values": (Cell.SUPPRESSED,)}),
    (SCALAR, {"values": (Decimal("-0.0"),)}),
    (SCALAR, {"values": (Decimal("0.0000001"),)}),
    (SCALAR, {"values": (Decimal("Infinity"),)}),
    (SCALAR, {"fields": SCALAR.terms.fields * 2, "values": (1, 1)}),
]


@pytest.mark.parametrize(("window", "change"), WRONG, ids=range(len(WRONG)))
def test_values_outside_their_bounds_do_not_encode(window: Aggregate, change: dict[str, object]) -> None:
    wrong = changed(window, **change)
    with pytest.raises(EncodingError):
        aggregate.encode(wrong)


guarantees: st.SearchStrategy[Guarantee] = (
    st.builds(
        ConcentratedGuarantee,
        st.fractions(Fraction(1, 10**6), 100, max_denominator=10**6),
        st.integers(1, 10**7),
        st.integers(1, 10**5),
        st.integers(1, 10**5),
    )
    | st.builds(
        PureGuarantee,
        st.fractions(Fraction(1, 10**6), 100, max_denominator=10**6),
        st.integers(1, 10**5),
        st.integers(1, 1000),
        st.integers(1, 86400),
        st.integers(1, 10**7),
    )
    | st.builds(NoGuarantee, st.sampled_from(("none", "coarse", "threshold-only")))
)


@given(guarantees)
def test_guarantees_are_read_as_they_are_written(guarantee: Guarantee) -> None:
    assert read_guarantee(guarantee.words()) == guarantee


@pytest.mark.parametrize(
    "words",
    [
        "",
        "none",
        "dp: not a privacy guarantee",
        "none: a privacy guarantee",
        "none: not a privacy guarantee: not a privacy guarantee",
        "zCDP rho=0 per person-period of 600 s, m=4, c=1",
        "zCDP rho=2/16 per person-period of 600 s, m=4, c=1",
        "zCDP rho=1/8 per person-period of 600 s, m=4, c=1 ",
        "pure epsilon=1/2 per person-window of 300 s, m=12 windows per 86400 s",
    ],
)
def test_no_other_words_are_a_guarantee(words: str) -> None:
    with pytest.raises(EncodingError):
        read_guarantee(words)


def test_a_pack_is_at_most_so_long() -> None:
    """An entry of the release log must hold it: so many cells fit, and more are refused before anything is measured."""

    def stays(classes: int, bins: int) -> PackTerms:
        names = [f"class{number:02}" for number in range(classes)]
        cells = [Field(f"{name}/to_{60 * (at + 1)}s", "count", 6) for name in names for at in range(bins)]
        words = [Field(f"{name}/{part}", "", 10) for name in names for part in ("p25", "median", "p75")]
        return changed(DURATION, fields=(*cells, *words), values=()).terms

    assert aggregate.pack_bytes(stays(24, 32)) <= aggregate.MAX_PACK_BYTES
    assert aggregate.pack_bytes(stays(64, 10)) <= aggregate.MAX_PACK_BYTES
    for classes, bins in ((28, 32), (64, 13), (64, 32)):
        with pytest.raises(EncodingError):
            aggregate.pack_bytes(stays(classes, bins))
