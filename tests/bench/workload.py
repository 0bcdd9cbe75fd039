"""The same readings in everyone's own bytes: reading.sock messages for us, JSON lines, CBOR maps and CBOR columns for the others.

A fixed pattern without randomness. Readings are evenly spread, `a_window` of them in each window; a chunk is what arrives at once: a
message, a read of lines, an item of CBOR. Times are milliseconds since 1970.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cbor2
import numpy as np
from numpy.typing import NDArray

from agent.anonymizer.window import NS
from agent.contracts.board import Board, Channel
from agent.contracts.reading import TAG_UINT8, TAG_UINT16_LE, Body, Header, Kind
from agent.policy.model import Policy
from agent.policy.parse import parse_policy
from agent.wire import cbor
from tests.anonymizer.stage import policy_text

CLASSES = ("bike", "bus", "car", "foot", "motorcycle", "scooter", "truck", "van")
START = 1_790_000_400
"""A multiple of every window here."""

_MS_NS = NS // 1000


@dataclass(frozen=True, slots=True)
class Workload:
    """`windows` windows of `window_s` seconds with `a_window` readings each, arriving `a_chunk` at a time."""

    name: str
    a_window: int
    a_chunk: int
    window_s: int
    windows: int

    @property
    def readings(self) -> int:
        """All of them."""
        return self.a_window * self.windows

    def columns(self) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """Times (ms since 1970) and places in CLASSES, one item a reading."""
        window, place = np.divmod(np.arange(self.readings, dtype=np.int64), self.a_window)
        times = (START + window * self.window_s) * 1000 + place * self.window_s * 1000 // self.a_window
        return times, ((place * 7 + place // 11 + window) % len(CLASSES)).astype(np.uint8)

    def chunks(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint8]]]:
        """The columns of each chunk."""
        times, classes = self.columns()
        for at in range(0, self.readings, self.a_chunk):
            yield times[at : at + self.a_chunk], classes[at : at + self.a_chunk]

    def counts(self) -> NDArray[np.int64]:
        """The true counts, (windows, classes): what everyone must find."""
        times, classes = self.columns()
        window = (times // 1000 - START) // self.window_s
        flat = np.bincount(window * len(CLASSES) + classes, minlength=self.windows * len(CLASSES))
        return flat.reshape(self.windows, len(CLASSES))

    def messages(self) -> list[memoryview]:
        """READINGS messages of reading.sock; boot time is UTC here."""
        found = []
        for number, (times, classes) in enumerate(self.chunks()):
            ages = (times[-1] - times).astype("<u2")
            body = cbor.encode(
                {
                    Body.CHANNEL.value: 0,
                    Body.AGES.value: cbor.CBORTag(TAG_UINT16_LE, ages.tobytes()),
                    Body.CLASSES.value: cbor.CBORTag(TAG_UINT8, classes.tobytes()),
                }
            )
            header = Header(Kind.READINGS, len(times), number, number, int(times[-1]) * _MS_NS, len(body))
            found.append(memoryview(header.pack() + body))
        return found

    def policy(self) -> Policy:
        """A stream with these classes and windows, sigma = 4."""
        text = policy_text(window=self.window_s).replace('["bike", "foot"]', json.dumps(CLASSES))
        return parse_policy(text, "bench")

    def board(self) -> Board:
        """A board whose class numbers are places in CLASSES."""
        return Board("bench", "1", bytes(32), bytes(32), (Channel("crossings", "count", CLASSES),))

    def write(self, folder: Path) -> None:
        """The others' bytes, and what they need to know: lines.json, maps.cbor, columns.cbor, workload.json."""
        lines, maps, columns = [], [], []
        for times, classes in self.chunks():
            rows = [{"t": t, "class": CLASSES[c]} for t, c in zip(times.tolist(), classes.tolist(), strict=True)]
            lines.append("".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows).encode())
            maps.append(cbor2.dumps(rows))
            columns.append(cbor2.dumps({"t": times.astype("<i8").tobytes(), "class": classes.tobytes()}))
        for name, chunks in (("lines.json", lines), ("maps.cbor", maps), ("columns.cbor", columns)):
            (folder / name).write_bytes(b"".join(len(chunk).to_bytes(4, "little") + chunk for chunk in chunks))
        about = {"classes": CLASSES, "start": START, "window_s": self.window_s, "windows": self.windows}
        (folder / "workload.json").write_text(json.dumps(about))
