"""contracts/reading: the fixed header of reading.sock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.contracts.reading import HEADER, Header, Kind, unpack_header
from agent.errors import MessageError

HEAD = Header(Kind.READINGS, 3, 7, 1000, 10**12, 5)


@pytest.mark.parametrize("kind", list(Kind))
def test_round_trip(kind: Kind) -> None:
    """Every kind comes back, from every kind of buffer."""
    head = Header(kind, 3, 2**32 - 1, 2**63, 2**64 - 1, 5)
    message = head.pack() + b"body+"
    assert HEADER.size == 26
    for buffer in (message, bytearray(message), memoryview(message)):
        assert unpack_header(buffer) == head


@pytest.mark.parametrize(
    "message",
    [
        b"",
        HEAD.pack()[:-1],
        HEAD.pack(),
        HEAD.pack() + b"body",
        b"\x00" + HEAD.pack()[1:] + b"body+",
        b"\x05" + HEAD.pack()[1:] + b"body+",
        HEAD.pack()[:1] + b"\x02" + HEAD.pack()[2:] + b"body+",
    ],
)
def test_what_is_no_message(message: bytes) -> None:
    """Too short, another kind, another version, a body that is not there."""
    with pytest.raises(MessageError):
        unpack_header(message)


@given(st.binary(max_size=60))
def test_only_the_documented_error_escapes(message: bytes) -> None:
    """Whatever the bytes: a header whose body is inside, or MessageError."""
    try:
        head = unpack_header(message)
    except MessageError:
        return
    assert HEADER.size + head.body_length <= len(message)
