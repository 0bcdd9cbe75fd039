"""Bridge and anonymizer as the real processes, between a board on a pty and a beacon; started by R16, with a fault on demand.

The fault decodes identifiers with cbor2, in both: what a protocol would do that had them in the body, as an array of byte strings. What the fault
itself makes of them is overwritten, so that what is found are the decoder's objects.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from agent.contracts.board import Channel
from agent.contracts.reading import TAG_UINT8, TAG_UINT16_LE, Body
from agent.wire import cbor
from firmware_bridge.schema import SCHEMA_HASH
from firmware_bridge.simulator.board import Board
from tests.anonymizer.stage import Unit
from tests.anonymizer.test_kinds import text

WAIT_S = 60.0
"""Five times what any step takes on two busy cores."""

LEASE_EVERY_S = 0.25
A_FRAME = 256
BOARD_ID = "sniffer-of-addresses"

# Unless the tests are run by root, only a process that may be dumped can be looked into by its parent.
LOOKABLE = "" if os.geteuid() == 0 else "memory.forbid_core_dumps = lambda: None\n"
FAULT = """
import sys
import cbor2
def decode(identifiers):
    array = bytearray(b"\\x99" + (len(identifiers) // 6).to_bytes(2, "big"))
    for at in range(0, len(identifiers), 6):
        array += b"\\x46"
        array += identifiers[at : at + 6]
    cbor2.loads(array)
    array[:] = bytes(len(array))
"""
BRIDGE = f"""
{FAULT}
from agent.local import memory
from firmware_bridge import __main__ as process, daemon
{LOOKABLE}
def take(self, frame, received_ns, now_s, whole=daemon.Bridge._take):
    decode(frame.identifiers)
    whole(self, frame, received_ns, now_s)
if sys.argv.pop(1) == "cbor2":
    daemon.Bridge._take = take
sys.exit(process.main())
"""
ANONYMIZER = f"""
{FAULT}
from agent.anonymizer import __main__ as process
from agent.anonymizer.collection import Collection
from agent.contracts.reading import HEADER, unpack_header
from agent.local import memory
{LOOKABLE}
def take(self, number, message, whole=Collection.reading_message):
    with message[HEADER.size + unpack_header(message).body_length :] as identifiers:
        decode(identifiers)
    whole(self, number, message)
if sys.argv.pop(1) == "cbor2":
    Collection.reading_message = take
sys.exit(process.main())
"""


class LiveUnit:
    """A unit that counts devices in windows of 2 s; its gate is open and its board is heard when it is entered."""

    def __init__(self, folder: Path, fault: str) -> None:
        self.unit = Unit(folder, text("visitors").replace("10 seconds", "2 seconds"))
        tty = folder / "tty"
        self.unit.settings.write_text(self.unit.settings.read_text().replace("/dev/null", str(tty)))
        self._board = Board(
            tty, board_id=BOARD_ID, channels=(Channel("visitors", "unique", ()),), schema_hash=SCHEMA_HASH
        )
        self._folder = folder
        self._fault = fault
        self._lease_at_s = 0.0

    def __enter__(self) -> Self:
        self.unit.start(program=("-c", ANONYMIZER, self._fault))
        argv = [sys.executable, "-c", BRIDGE, self._fault, "--board", "one", "--config", str(self.unit.settings)]
        with (self._folder / "bridge.err").open("ab") as err:
            self._bridge = subprocess.Popen(argv, stderr=err)
        self._beacon = self.unit.beacon()
        self.until(lambda: any(b"complete" in release.payload for release in self.unit.releases()))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bridge.kill()
        self._bridge.wait()
        self.unit.end()
        self._board.close()

    @property
    def pids(self) -> dict[str, int]:
        """Of both processes."""
        assert self.unit.process is not None
        return {"bridge": self._bridge.pid, "anonymizer": self.unit.process.pid}

    def until(self, holds: Callable[[], object]) -> None:
        """Board and beacon go on until something holds."""
        until_s = time.monotonic() + WAIT_S
        while not holds():
            said = f"{self.unit.errors()}{(self._folder / 'bridge.err').read_text()}"
            assert time.monotonic() < until_s, f"it did not happen; the daemons said: {said}"
            self._board.serve(0.02)
            if time.monotonic() >= self._lease_at_s:
                self._lease_at_s = time.monotonic() + LEASE_EVERY_S
                self._beacon.lease(self.unit.digest)

    def wait(self, seconds: float) -> None:
        """Board and beacon go on for so long."""
        until_s = time.monotonic() + seconds
        self.until(lambda: time.monotonic() >= until_s)

    def sight(self, addresses: list[bytes]) -> int:
        """The board sights these; when their windows have closed, how many were counted."""
        before = self._accounted()
        for at in range(0, len(addresses), A_FRAME):
            part = addresses[at : at + A_FRAME]
            body = cbor.encode(
                {
                    Body.CHANNEL.value: 0,
                    Body.AGES.value: cbor.CBORTag(TAG_UINT16_LE, bytes(2 * len(part))),
                    Body.CLASSES.value: cbor.CBORTag(TAG_UINT8, bytes(len(part))),
                    Body.IDENTIFIER_LENGTH.value: 6,
                }
            )
            self.until(lambda: self._board.ready)
            self._board.send(len(part), body, b"".join(part))
        self.until(lambda: self._accounted() == before + len(addresses))
        return int(self.unit.counters()["counted"])

    def _accounted(self) -> int:
        counters = self.unit.counters()
        if not counters or counters["pending"]:
            return -1
        return int(counters["counted"]) + sum(map(int, counters["discarded"].values()))
