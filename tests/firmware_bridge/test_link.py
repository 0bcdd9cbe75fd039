"""FB-9 to FB-13, FB-15: the link's states, without a tty and without a clock."""

import pytest

from agent.contracts.board import Board, Channel
from firmware_bridge.frame import Frame, Type
from firmware_bridge.link import Condition, Link, Verdict
from firmware_bridge.schema import SCHEMA_HASH


def hello(sequence: int = 10, board_id: str = "board-1", schema_hash: bytes = SCHEMA_HASH) -> Frame:
    body = Board(board_id, "fw 1", bytes(32), schema_hash, (Channel("street", "count", ("bike",)),)).encode()
    return Frame(Type.HELLO, sequence, 500, 0, body, b"")


def readings(sequence: int) -> Frame:
    return Frame(Type.READINGS, sequence, 1000, 3, b"\xa0", b"")


def heartbeat(sequence: int) -> Frame:
    return Frame(Type.HEARTBEAT, sequence, 1000, 0, b"", b"")


def link_up(board_id: str | None = None) -> Link:
    link = Link(SCHEMA_HASH, board_id)
    link.opened()
    assert link.hear(hello(), 0.0) is Verdict.HELLO
    return link


def test_hello_is_asked_for_at_once_and_each_second_until_it_comes() -> None:
    """FB-10."""
    link = Link(SCHEMA_HASH, None)
    assert not link.tick(0.0).ask_hello
    link.opened()
    asked = [now / 10 for now in range(35) if link.tick(now / 10).ask_hello]
    assert asked == [0.0, 1.0, 2.0, 3.0]
    link.hear(hello(), 3.5)
    assert link.condition is Condition.UP
    assert not any(link.tick(3.5 + now).ask_hello for now in range(4))


def test_readings_before_the_hello_are_dropped_by_name() -> None:
    """FB-10."""
    link = Link(SCHEMA_HASH, None)
    link.opened()
    assert link.hear(readings(1), 0.0) is Verdict.NO_HELLO
    link.hear(hello(2), 0.0)
    assert link.hear(readings(3), 0.0) is Verdict.FORWARD


@pytest.mark.parametrize(
    ("greeting", "words"),
    [
        (hello(schema_hash=bytes(range(32))), ["0001020304050607", SCHEMA_HASH.hex()[:16], "schema"]),
        (hello(board_id="board-9"), ["'board-9'", "'board-1'"]),
        (Frame(Type.HELLO, 1, 1, 0, b"\xff", b""), ["deterministic CBOR"]),
    ],
)
def test_refusal_names_both_sides_and_the_board_may_come_back(greeting: Frame, words: list[str]) -> None:
    """FB-12: refused by name, asked again every 3 s, accepted once it is right."""
    link = Link(SCHEMA_HASH, "board-1")
    link.opened()
    assert link.hear(greeting, 0.0) is Verdict.NOTHING
    assert link.condition is Condition.BOARD_REFUSED
    assert all(word in str(link.refusal) for word in words)
    assert link.hear(readings(11), 0.0) is Verdict.REFUSED
    link.hear(heartbeat(12), 3.0)
    assert [now for now in range(7) if link.tick(float(now)).ask_hello] == [0, 3, 6]
    assert link.hear(hello(), 6.5) is Verdict.HELLO
    assert link.refusal is None


def test_a_hello_that_is_refused_ends_what_was_up() -> None:
    """FB-12."""
    link = link_up()
    link.hear(hello(schema_hash=bytes(32)), 1.0)
    assert link.condition.value == "board_refused"
    assert link.hello is None


def test_silence_ends_the_board_after_five_seconds() -> None:
    """FB-13."""
    link = link_up()
    link.tick(4.9)
    assert link.condition is Condition.UP
    assert link.tick(5.0).ask_hello
    assert [link.condition, link.hello] == [Condition.BOARD_SILENT, None]


def test_alive_once_a_second_while_heard() -> None:
    """FB-15: nothing is measured for a board that has stopped."""
    link = link_up()
    link.hear(heartbeat(11), 1.0)
    assert [now / 4 for now in range(40) if link.tick(now / 4).alive] == [0.0, 1.0, 2.0, 3.0]


@pytest.mark.parametrize("beats", [(), (1.0, 2.0), (1.0, 6.5, 7.0)])
def test_readings_are_no_sign_of_life(beats: tuple[float, ...]) -> None:
    """FB-13, FB-15 (I6): the same heartbeats give the same ALIVEs and the same silence, busy street or empty."""

    def alive_at(*, busy: bool) -> list[tuple[float, bool, Condition]]:
        link = link_up()
        seen = []
        for step in range(1, 100):
            now_s = step / 10
            if now_s in beats:
                link.hear(heartbeat(10 + 2 * step), now_s)
            if busy:
                link.hear(readings(11 + 2 * step), now_s)
            seen.append((now_s, link.tick(now_s).alive, link.condition))
        return seen

    assert alive_at(busy=True) == alive_at(busy=False)


def test_duplicates_are_dropped_and_a_step_back_asks_again() -> None:
    """FB-9."""
    link = link_up()
    assert link.hear(readings(11), 0.1) is Verdict.FORWARD
    assert link.hear(readings(11), 0.2) is Verdict.DUPLICATE
    assert link.hear(readings(14), 0.3) is Verdict.FORWARD
    assert link.sequence.missing == 2
    assert link.hear(readings(3), 0.4) is Verdict.BACKWARDS
    assert link.tick(0.5).ask_hello
    assert link.hear(readings(4), 0.6) is Verdict.NO_HELLO
    link.hear(hello(5), 0.7)
    assert link.hear(readings(6), 0.8) is Verdict.FORWARD


def test_our_own_bytes_are_no_sign_of_life() -> None:
    """FB-4: a looped line."""
    link = link_up()
    assert link.hear(Frame(Type.HELLO_REQUEST, 0, 0, 0, b"", b""), 4.0) is Verdict.ECHO
    link.tick(5.0)
    assert link.condition is Condition.BOARD_SILENT


def test_a_closed_tty_forgets_the_board() -> None:
    """FB-13."""
    link = link_up()
    link.closed()
    assert (link.condition, link.hello) == (Condition.PORT_ABSENT, None)
    due = link.tick(0.5)
    assert not due.alive
    assert not due.ask_hello
