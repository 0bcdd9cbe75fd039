"""contracts/board: a hello is taken whole or refused with the field that is wrong."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.contracts import board
from agent.contracts.board import Board, Channel
from agent.errors import BoardError
from agent.wire import cbor

BOARD = Board(
    "0011223344",
    "street 1.0",
    bytes(32),
    bytes(range(32)),
    (Channel("crossings", "count", ("bike", "foot")), Channel("sound", "scalar", ())),
)


def edited(*path: int, to: Any) -> bytes:
    item = cbor.decode(BOARD.encode())
    inner = item
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = to
    return cbor.encode(item)


def test_round_trip() -> None:
    """Decoding gives the board back."""
    assert board.decode(BOARD.encode()) == BOARD


def test_the_largest_board() -> None:
    """Sixteen channels are taken, seventeen are not."""
    channels = tuple(Channel(f"c{i}", "count", ("a",)) for i in range(17))
    assert board.decode(replace(BOARD, channels=channels[:16]).encode())
    with pytest.raises(BoardError, match="1 to 16"):
        board.decode(replace(BOARD, channels=channels).encode())


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "deterministic CBOR"),
        (b"\x80", "the keys 0 to 5"),
        (b"\xa0", "the keys 0 to 5"),
        (b"\x00" * 5000, "deterministic CBOR"),
        (edited(0, to=2), "update the board's firmware or this agent"),
        (edited(0, to=True), "the one encoding of its values"),
        (edited(1, to=""), "board id"),
        (edited(1, to="x" * 65), "board id"),
        (edited(1, to="a\nb"), "board id"),
        (edited(2, to=1), "firmware"),
        (edited(3, to=b"short"), "firmware hash"),
        (edited(4, to="x" * 32), "schema hash"),
        (edited(5, to=[]), "channels"),
        (edited(5, to={}), "channels"),
        (edited(5, 0, to=7), "channel 0"),
        (edited(5, 0, 0, to="Crossings"), "channel 0 name"),
        (edited(5, 0, 0, to=["x"]), "channel 0 name"),
        (edited(5, 0, 1, to="counts"), "channel 0 kind"),
        (edited(5, 0, 1, to=["count"]), "channel 0 kind"),
        (edited(5, 0, 2, to=["Bike"]), "channel 0 classes"),
        (edited(5, 0, 2, to=["a"] * 65), "channel 0 classes"),
        (edited(5, 0, 2, to="bike"), "channel 0 classes"),
        (edited(5, 1, 0, to="crossings"), "distinct names"),
    ],
)
def test_what_is_no_hello(body: bytes, said: str) -> None:
    """Each field that is wrong is named."""
    with pytest.raises(BoardError) as caught:
        board.decode(body)
    assert said in str(caught.value)


@given(st.binary(max_size=100))
def test_only_the_documented_error_escapes(body: bytes) -> None:
    """Whatever the bytes."""
    with pytest.raises(BoardError):
        board.decode(body)


@given(
    st.sampled_from([(i,) for i in range(6)] + [(5, 0), (5, 0, 0), (5, 0, 1), (5, 0, 2)]),
    st.sampled_from([None, True, -1, 2**40, "", "x", b"", b"x" * 32, [], [[]], {}, {0: 1}]),
)
def test_only_the_documented_error_escapes_near_a_hello(path: tuple[int, ...], value: Any) -> None:
    """One field exchanged: a board or a BoardError."""
    try:
        found = board.decode(edited(*path, to=value))
    except BoardError:
        return
    assert isinstance(found, Board)


@pytest.mark.parametrize(
    "tree", [{0: 1, "a": 2}, {0: 1, b"x": 2}, {"a": 1, b"x": 2}, {0: 1, "a": {1: {"b": 3, 4: 5}}}], ids=repr
)
def test_a_map_with_keys_of_several_types_is_refused_like_any_other(tree: dict[Any, Any]) -> None:
    """One such hello, from anybody on the line, once ended the daemon: keys of several types cannot be sorted."""
    with pytest.raises(BoardError, match="keys 0 to 5"):
        board.decode(cbor.encode(tree))
    with pytest.raises(BoardError):
        board.decode(edited(5, 0, to=tree))
