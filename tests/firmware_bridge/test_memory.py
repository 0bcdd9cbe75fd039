"""FB-16: a second after an identifier went through a running bridge, its memory does not hold it.

The control runs the same daemon with the overwriting taken out and must find what the test looks for.
"""

import os
import re
import time
from pathlib import Path

import pytest

from agent.contracts.reading import Kind
from tests.firmware_bridge.stage import Bridge, Peer, make_board, until, write_config

# Unless the tests are run by root, only a process that may be dumped can be looked into by its parent.
LOOKABLE = "" if os.geteuid() == 0 else "memory.forbid_core_dumps = lambda: None\n"
PROGRAM = f"""
import sys
from agent.local import memory
from firmware_bridge import __main__ as bridge, frame, port
{LOOKABLE}
if sys.argv[1] == "control":
    frame.Decoder._wipe = lambda *_: None
    port.Port.clear = lambda self: None
sys.exit(bridge.main(sys.argv[2:]))
"""


def memory_holds(pid: int, needles: list[bytes]) -> list[bytes]:
    """Those of `needles` that stand in any writable memory of the process."""
    found = set()
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
            if span is None:
                continue
            memory.seek(int(span[1], 16))
            content = memory.read(int(span[2], 16) - int(span[1], 16))
            found |= {needle for needle in needles if needle in content}
    return sorted(found)


@pytest.mark.parametrize("mode", ["real", "control"])
def test_identifiers_are_not_left_in_memory(mode: str, tmp_path: Path) -> None:
    bridge = Bridge(write_config(tmp_path), program=("-c", PROGRAM, mode))
    board = make_board(tmp_path)
    peer = Peer(tmp_path / "reading.sock")
    needles = [os.urandom(6).replace(b"\0", b"\1") for _ in range(40)]
    try:
        until(lambda: board.ready, board, peer)
        for needle in needles:
            until(lambda: board.ready, board, peer)
            board.send(1, b"\xa1\x00\x00", needle)
        until(lambda: len(peer.of(Kind.READINGS)) == len(needles), board, peer)
        assert [message[2] for message in peer.of(Kind.READINGS)] == needles
        ends_s = time.monotonic() + 1
        until(lambda: time.monotonic() > ends_s, peer)  # the board is quiet: nothing new passes over old memory
        assert memory_holds(bridge.process.pid, [b"street"]) == [b"street"]  # the search reads that process
        held = memory_holds(bridge.process.pid, needles)
        assert held if mode == "control" else not held
    finally:
        bridge.end()
        board.close()
        peer.close()
