"""FB-10 to FB-18: the daemon as a process, between a real pty and a real inbox."""

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.contracts import board as hello_contract
from agent.contracts.public import Reason, State
from agent.contracts.reading import Kind
from firmware_bridge.simulator.board import Board
from tests.firmware_bridge.stage import Bridge, Peer, make_board, until, write_config

IDENTIFIER = bytes.fromhex("f1e2d3c4b5a6")
Start = Callable[..., Bridge]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start bridges that end with the test."""
    bridges: list[Bridge] = []

    def one(*options: str, board_id: str | None = None, **more: Any) -> Bridge:
        bridges.append(Bridge(write_config(tmp_path, board_id), *options, **more))
        return bridges[-1]

    yield one
    for bridge in bridges:
        bridge.end()


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[Peer]:
    opened = Peer(tmp_path / "reading.sock")
    yield opened
    opened.close()


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    made = make_board(tmp_path)
    yield made
    made.close()


def send(board: Board, count: int, *, peer: Peer | None = None, first: int = 0) -> list[tuple[bytes, bytes]]:
    """`count` batches of two readings; (body, identifiers) of each, distinct."""
    batches = [(b"\xa1\x00" + bytes([0x18, 24 + (first + i) % 200]), IDENTIFIER + os.urandom(6)) for i in range(count)]
    for body, identifiers in batches:
        until(lambda: board.ready, board, peer)
        board.send(2, body, identifiers)
    until(lambda: board.idle, board, peer)
    return batches


def test_everything_is_forwarded_unopened_after_the_board_is_named(start: Start, board: Board, peer: Peer) -> None:
    """FB-14, FB-15, FB-17."""
    bridge = start()
    until(lambda: board.ready, board, peer)
    sent = send(board, 60, peer=peer)
    until(lambda: len(peer.of(Kind.READINGS)) >= 60, board, peer)
    forwarded = peer.of(Kind.READINGS)
    assert [(body, identifiers) for _, body, identifiers in forwarded] == sent
    assert all(header.reading_count == 2 for header, _, _ in forwarded)
    stamps = [(header.sequence, header.board_ms, header.received_boot_ns) for header, _, _ in forwarded]
    assert stamps == sorted(stamps)
    assert abs(time.clock_gettime_ns(time.CLOCK_BOOTTIME) - stamps[-1][2]) < 60e9
    kinds = peer.kinds()
    assert Kind.BOARD in kinds[: kinds.index(Kind.READINGS)]
    assert hello_contract.decode(peer.of(Kind.BOARD)[0][1]).board_id == "board-1"
    until(lambda: len(peer.of(Kind.ALIVE)) >= 3, board, peer)
    until(lambda: bridge.code() == "up", board, peer)
    assert bridge.status()["ok"] is True
    assert bridge.stop() == 0
    until(lambda: peer.kinds()[-1] is Kind.BOARD_GONE, peer)


def test_the_board_vanishes_and_returns(start: Start, peer: Peer, tmp_path: Path) -> None:
    """FB-13: back within 5 s each time, nothing leaks, readings go on."""
    bridge = start()
    until(lambda: bridge.code() == "port_absent", peer)
    fds: list[int] = []
    for turn in range(4):
        board = make_board(tmp_path)
        boards = len(peer.of(Kind.BOARD))
        began_s = time.monotonic()
        until(lambda boards=boards: len(peer.of(Kind.BOARD)) > boards, board, peer)  # type: ignore[misc]  # mypy cannot infer a lambda's default
        assert time.monotonic() - began_s < 5
        sent = send(board, 3, peer=peer, first=3 * turn)
        until(lambda turn=turn: len(peer.of(Kind.READINGS)) == 3 * (turn + 1), board, peer)  # type: ignore[misc]  # as above
        assert [message[1:] for message in peer.of(Kind.READINGS)[-3:]] == sent
        fds.append(bridge.open_fds())
        board.close()
        gone = len(peer.of(Kind.BOARD_GONE))
        until(lambda gone=gone: len(peer.of(Kind.BOARD_GONE)) > gone or peer.kinds()[-1] is Kind.BOARD_GONE, peer)  # type: ignore[misc]  # as above
        until(lambda: bridge.code() == "port_absent", peer)
    assert len(set(fds)) == 1
    assert bridge.process.poll() is None
    assert peer.accepted == 1


def test_the_anonymizer_is_absent_and_returns(start: Start, board: Board, tmp_path: Path) -> None:
    """FB-10, FB-15, FB-17: no board is asked before somebody takes readings; later they are dropped by name; BOARD comes first."""
    bridge = start()
    until(lambda: bridge.code() == "inbox_absent", board)
    board.serve(0.3)
    assert not board.ready
    for turn in range(3):
        peer = Peer(tmp_path / "reading.sock")
        until(lambda peer=peer: peer.of(Kind.BOARD), board, peer)  # type: ignore[misc]  # mypy cannot infer a lambda's default
        sent = send(board, 2, peer=peer, first=10 * turn)
        until(lambda peer=peer: len(peer.of(Kind.READINGS)) == 2, board, peer)  # type: ignore[misc]  # as above
        assert next(kind for kind in peer.kinds() if kind is not Kind.BOARD_GONE) is Kind.BOARD
        assert [message[1:] for message in peer.of(Kind.READINGS)] == sent
        peer.close()
        until(lambda: bridge.code() == "inbox_absent", board)
        send(board, 2)
    until(lambda: bridge.status()["counters"].get("dropped_inbox_absent") == "10+", board)


def test_an_inbox_that_is_not_read_costs_readings_and_nothing_else(start: Start, board: Board, peer: Peer) -> None:
    """FB-17: full inbox: dropped and counted, memory bounded, and on again once there is room."""
    bridge = start()
    until(lambda: peer.of(Kind.BOARD), board, peer)
    body = b"\xa1\x00" + b"\x19\x01\x00" + b"x" * 5000
    for _ in range(150):
        until(lambda: board.ready, board)  # the peer does not read
        board.send(1, body, b"")
    until(lambda: bridge.status()["counters"].get("dropped_inbox_full"), board)
    taken = len(peer.of(Kind.READINGS))
    peer.pump()
    assert taken < len(peer.of(Kind.READINGS)) < 150
    until(lambda: board.ready, board, peer)
    sent = send(board, 1, peer=peer)
    until(lambda: peer.of(Kind.READINGS)[-1][1] == sent[0][0], board, peer)
    assert bridge.stop() == 0


def test_a_board_of_another_schema_is_refused_by_name_until_the_right_one_comes(
    start: Start, peer: Peer, tmp_path: Path
) -> None:
    """FB-6, FB-12."""
    wrong = make_board(tmp_path, board_id="old-board", schema_hash=bytes(range(32)))
    bridge = start()
    until(lambda: bridge.code() == "board_refused", wrong, peer)
    words = bridge.status()["words"]
    assert "old-board" in words
    assert "0001020304050607" in words
    send(wrong, 3, peer=peer)
    until(lambda: bridge.process.poll() is None and wrong.idle, wrong, peer)
    wrong.close()
    right = make_board(tmp_path)
    until(lambda: peer.of(Kind.BOARD), right, peer)
    until(lambda: bridge.code() == "up", right, peer)
    assert not peer.of(Kind.READINGS)
    right.close()


def test_another_board_than_the_one_expected_is_refused_by_name(start: Start, board: Board, peer: Peer) -> None:
    """FB-12."""
    bridge = start(board_id="board-7")
    until(lambda: bridge.code() == "board_refused", board, peer)
    assert "'board-7'" in bridge.status()["words"]
    assert "'board-1'" in bridge.status()["words"]
    send(board, 2, peer=peer)
    until(lambda: "board_refused" in bridge.output(), board, peer)
    assert not peer.of(Kind.BOARD)
    assert not peer.of(Kind.READINGS)


def test_a_silent_board_is_gone_after_five_seconds_and_back_with_its_hello(
    start: Start, board: Board, peer: Peer
) -> None:
    """FB-13, FB-15."""
    bridge = start()
    until(lambda: peer.of(Kind.ALIVE), board, peer)
    peer.messages.clear()
    began_s = time.monotonic()
    until(lambda: peer.of(Kind.BOARD_GONE), peer)  # the board hangs: its tty stays, nothing comes
    assert 3 < time.monotonic() - began_s < 15
    assert len(peer.of(Kind.ALIVE)) <= 4
    until(lambda: bridge.code() == "board_silent", peer)
    until(lambda: peer.of(Kind.BOARD), board, peer)
    until(lambda: bridge.code() == "up", board, peer)


def test_noise_is_counted_by_kind_and_costs_no_frame(start: Start, board: Board, peer: Peer) -> None:
    """FB-8, FB-18: and neither log nor status shows more than buckets."""
    bridge = start()
    until(lambda: board.ready, board, peer)
    sent: list[tuple[bytes, bytes]] = []
    for turn in range(12):
        until(lambda: board.ready, board, peer)
        os.write(board._fd, b"\x09abc\0" + b"\x05\x01\x01\x01\x01\0" + bytes(range(1, 200)) + b"\0")
        sent += send(board, 1, peer=peer, first=turn)
    until(lambda: len(peer.of(Kind.READINGS)) == 12, board, peer)
    assert [message[1:] for message in peer.of(Kind.READINGS)] == sent
    damaged = {
        "damaged_cobs": "10+",
        "damaged_length": "10+",
    }  # in two writes of the status where the first falls between them
    until(lambda: damaged.items() <= bridge.status()["counters"].items(), board, peer)
    counters = bridge.status()["counters"]
    assert set(counters.values()) - {"0", "1+", "10+", "100+"} == {counters["memory"]}


def test_nothing_of_a_reading_in_status_or_log(start: Start, board: Board, peer: Peer, tmp_path: Path) -> None:
    """I1, FB-18."""
    bridge = start()
    until(lambda: board.ready, board, peer)
    sent = send(board, 37, peer=peer)
    until(lambda: len(peer.of(Kind.READINGS)) == 37, board, peer)
    board.close()
    until(lambda: bridge.code() == "port_absent" and "readings" in bridge.status()["counters"], peer)
    written = bridge.written()
    for needle in [IDENTIFIER, *(identifiers[6:] for _, identifiers in sent)]:
        assert needle not in written
        assert needle.hex().encode() not in written.lower()
    assert set(bridge.status()["counters"].values()) <= {"0", "1+", "10+", "100+", memory_words(bridge)}
    assert not re.search(r"[0-9]", bridge.output().replace(str(tmp_path), ""))  # no count in the log
    assert str(tmp_path) in bridge.output()  # positive control: the log was read


def memory_words(bridge: Bridge) -> str:
    """Whether memory is locked, or why not: the one counter that is not a bucket."""
    return str(bridge.status()["counters"]["memory"])


def state(*, demo: bool) -> bytes:
    return State(
        "city", "site", "unit", "open", Reason.OPEN, 1, 1, "00" * 32, 0, 2, True, demo, "00" * 32, 604800
    ).encode()


def lines(fd: int) -> list[dict[str, Any]]:
    try:
        return [json.loads(line) for line in os.read(fd, 1 << 16).splitlines()]
    except BlockingIOError:
        return []


def test_exact_counters_wait_for_the_demo_policy(start: Start, board: Board, peer: Peer, tmp_path: Path) -> None:
    """I1, FB-18: quiet until the state says demo, then exact."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    bridge = start("--exact-counters", str(writer), fds=[writer])
    os.close(writer)
    until(lambda: board.ready, board, peer)
    send(board, 4, peer=peer)
    until(lambda: len(peer.of(Kind.READINGS)) == 4 and bridge.code() == "up", board, peer)
    assert lines(reader) == []
    (tmp_path / "public").mkdir()
    (tmp_path / "public" / "state").write_bytes(state(demo=True))
    seen: list[dict[str, Any]] = []
    until(lambda: seen.extend(lines(reader)) or len(seen) >= 2, board, peer)  # type: ignore[func-returns-value]  # extend, then look
    assert seen[-1]["readings"] == 8
    assert seen[-1]["link"] == "up"
    assert seen[-1]["dropped"] == {}
    assert seen[-1]["damaged"] == 0
    assert 1000 < seen[-1]["pss_kib"] < 200_000
    os.close(reader)
    until(lambda: len(peer.of(Kind.ALIVE)) > 4, board, peer)
    assert bridge.stop() == 0  # a reader that went away is no reason to end


def test_exact_counters_under_another_policy_are_refused(start: Start, tmp_path: Path) -> None:
    """I1: DemoOnly, exit 4, one line."""
    reader, writer = os.pipe()
    (tmp_path / "public").mkdir()
    (tmp_path / "public" / "state").write_bytes(state(demo=False))
    bridge = start("--exact-counters", str(writer), fds=[writer])
    os.close(writer)
    assert bridge.process.wait(10) == 4
    assert os.read(reader, 100) == b""
    assert "error: firmware-bridge: exact counters" in bridge.output()
    os.close(reader)


def test_a_board_that_the_settings_do_not_name_is_one_line_and_exit_2(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    config.write_text(config.read_text().replace("boards.street", "boards.square"))
    bridge = Bridge(config)
    assert bridge.process.wait(10) == 2
    (line,) = bridge.output().splitlines()
    assert line.startswith("error: ")
    assert "[boards.street]" in line
    assert "square" in line


def test_neither_numpy_nor_cryptography_is_loaded(start: Start, board: Board, peer: Peer) -> None:
    """The bridge forwards typed arrays unopened and holds no key: memory, and nothing to exploit."""
    bridge = start()
    until(lambda: peer.of(Kind.BOARD), board, peer)
    maps = Path(f"/proc/{bridge.process.pid}/maps").read_text()
    assert "cbor2" in maps or "python" in maps  # positive control: the list of mapped files was read
    assert "numpy" not in maps
    assert "cryptography" not in maps
