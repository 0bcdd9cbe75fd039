"""Hostile bytes: valid examples, spoilt a little, and inputs made to cost much. The dictionary holds what parsers stumble over."""

from typing import Any

from hypothesis import strategies as st

TOKENS = (
    *(
        b"\x00",
        b"\xff" * 8,
        b"\x9f",
        b"\xbf",
        b"\x5f",
        b"\xfb\x7f\xf0" + bytes(6),
        b"\xc2\x41\x00",
        b"\xd8\x62",
        b"\xd2",
    ),
    *(
        b"\x1b" + b"\xff" * 8,
        b"\x3b" + b"\xff" * 8,
        b"\x9b" + b"\xff" * 8,
        b"\x5b" + b"\x7f" + b"\xff" * 7,
        b"\xf4",
        b"\xf5",
    ),
    *(b"[", b"]", b"{", b"}", b'"', b"'", b'"""', b"[[", b"=", b".", b",", b"#", b"\n", b"\r\n", b"\\u0000", b"\\"),
    *(
        b"-0",
        b"1e999",
        b"NaN",
        b"nan",
        b"inf",
        b"0x7f",
        b"1_0",
        b"99999999999999999999",
        b"0.1",
        b"true",
        b"null",
        b"9999-12-31",
    ),
    *("\u202e".encode(), "\U0001f600".encode(), b"\xed\xa0\x80", b"\xef\xbb\xbf", "é".encode(), "١".encode()),
)


@st.composite
def _edited(draw: Any, seeds: tuple[bytes, ...]) -> bytes:
    """A seed with up to five edits: a byte changed, a piece cut, doubled, moved in from another seed, or a token put in."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 5))):
        at = draw(st.integers(0, len(data)))
        length = draw(st.integers(1, 40))
        match draw(st.integers(0, 5)):
            case 0 if at < len(data):
                data[at] = draw(st.integers(0, 255))
            case 1:
                del data[at : at + length]
            case 2:
                data[at:at] = data[at : at + length]
            case 3:
                other = draw(st.sampled_from(seeds))
                start = draw(st.integers(0, len(other)))
                data[at : at + length] = other[start : start + length]
            case 4:
                del data[at:]
            case _:
                data[at:at] = draw(st.sampled_from(TOKENS))
    return bytes(data)


def inputs(seeds: tuple[bytes, ...]) -> st.SearchStrategy[bytes]:
    """Mostly spoilt seeds, some arbitrary bytes."""
    return st.one_of(_edited(seeds), _edited(seeds), _edited(seeds), st.binary(max_size=400))


BOMBS = {
    "brackets": b"[" * 100_000,
    "closed brackets": b"[" * 50_000 + b"]" * 50_000,
    "braces": b'{"a":' * 20_000,
    "toml tables": b"a = " + b"{b = " * 20_000,
    "dotted": b"a." * 50_000 + b"a = 1",
    "many tables": b"[[a]]\n" * 20_000,
    "many keys": b"".join(b"k%d = 1\n" % i for i in range(20_000)),
    "headers": b"[a.b.c]\n" * 20_000,
    "quotes": b'"' * 100_000,
    "triple quotes": b'a = """' + b'"\\' * 50_000,
    "digits": b"a = " + b"9" * 100_000,
    "json digits": b"[" + b"9" * 60_000 + b"]",
    "exponent": b'[{"n":"a","v":1e99999999}]',
    "lines": b"\n" * 200_000,
    "csv columns": b"time," + b"a," * 100_000,
    "csv quotes": b'time,a\n"' + b'""' * 100_000,
    "cbor arrays": b"\x81" * 60_000,
    "cbor maps": b"\xa1\x00" * 30_000,
    "cbor tags": b"\xc0" * 60_000,
    "cbor huge array": b"\x9b\x00\x00\x00\x00\xff\xff\xff\xff",
    "cbor huge map": b"\xbb" + b"\xff" * 8,
    "cbor huge text": b"\x7b\x7f" + b"\xff" * 7,
    "cbor wide array": b"\x99\xff\xff" + b"\x00" * 65_535,
    "cbor wide map": b"\xb9\x3f\xff" + b"".join(b"\x19" + i.to_bytes(2, "big") + b"\x00" for i in range(16_383)),
    "svg depth": b'<svg xmlns="http://www.w3.org/2000/svg">' + b"<g>" * 15_000,
    "entities": b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><svg>&b;</svg>',
    "record lengths": b"\xff" * 60_000,
    "zeros": bytes(200_000),
    "cobs codes": b"\xff" * 100_000 + b"\0",
    "10 MB": b"# " + b"x" * 10_000_000,
    "10 MB of zeros": bytes(10_000_000),
}
"""What costs much if a parser is careless: deep, wide, long, or claiming to be."""
