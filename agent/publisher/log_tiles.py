"""The log's entry bundles and hash tiles (C2SP tlog-tiles), each published once, when it is whole (PB-30).

    log ──256 entries──▶ bundle and the tiles that it completes ──PUBACK of all──▶ the file, and on to the next 256

They are derived: the log folder is read, never written. The file holds how far they have been published, and the hashes of each level that
are in no whole tile yet. Without it, or with one that this log does not prove, all are published again: the same bytes.
"""

import logging
import time
from collections import deque
from pathlib import Path

from agent.errors import EncodingError, LogDamaged, MessageError, StorageUnavailable
from agent.local.files import read_capped, write_atomic
from agent.publisher.cursor import START, Cursor
from agent.publisher.follow import Follower
from agent.publisher.message import Message
from agent.publisher.tile_progress import decode_progress, encode_progress
from agent.publisher.topics import Topics
from agent.wire.tiles import WIDTH, Tile, TileBuilder, encode_bundle

MAX_MESSAGE_BYTES = 1024 * 1024 - 4096
"""A longer bundle (more than 4 KB an entry) is not sent: subscribers take packets of up to 1 MiB. Its tiles are."""

MAX_FILE_BYTES = 256 * 1024
"""Eight levels of 255 hashes in hexadecimal: more entries than a unit ever has."""

OCTETS = "application/octet-stream"
LOOK_AGAIN_S = 1.0
REFUSED_S = 3600.0
"""An access list or a quota that has no place for them does not change often."""


_log = logging.getLogger(__name__)


class LogTiles:
    """`next_message`, `sent`, `acknowledge` or `refuse`; `rewind` when a connection ends."""

    def __init__(self, log: Path, shown: Path, file: Path) -> None:
        self._follower = Follower(log, shown)
        self._file = file
        self._at, self._builder = START, TileBuilder()
        self._after: tuple[Cursor, TileBuilder] | None = None
        self._content: tuple[tuple[Tile, bytes], ...] = ()
        self._ready: deque[tuple[Tile, bytes]] = deque()
        self._mids: set[int] = set()
        self._loaded = False
        self._look_at = 0.0
        self._paused_until = 0.0

    def next_message(self, topics: Topics, expiry_s: int, max_packet_bytes: int) -> Message | None:
        """The next to publish, if anything is whole that has not been; what no packet may be long enough for is passed over."""
        if time.monotonic() < self._paused_until:
            return None
        if self._ready:
            self._look_for_another_log()
        if self._after is None and time.monotonic() >= self._look_at:
            self._collect()
        self._pass_over(min(MAX_MESSAGE_BYTES, max_packet_bytes - 4096 if max_packet_bytes else MAX_MESSAGE_BYTES))
        if not self._ready:
            return None
        tile, content = self._ready[0]
        return Message(topics.tile(tile), content, False, OCTETS, expiry_s, spare=True)

    def sent(self, mid: int) -> None:
        """What `next_message` gave is on its way under this identifier."""
        self._ready.popleft()
        self._mids.add(mid)

    def acknowledge(self, mid: int) -> None:
        """The broker took this message; others' identifiers are ignored."""
        if mid in self._mids:
            self._mids.discard(mid)
            if not self._mids and not self._ready and self._after is not None:
                self._pass()

    def refuse(self, mid: int, words: str) -> None:
        """The broker does not take this one: everything else goes on, and they are tried again in REFUSED_S. Others' identifiers are ignored."""
        if mid not in self._mids:
            return
        self.rewind()
        self._paused_until = time.monotonic() + REFUSED_S
        _log.warning("the broker takes no bundles and tiles of the log: %s; let the unit write its topics log/#", words)

    def rewind(self) -> None:
        """Nothing is in flight any more."""
        self._mids.clear()
        self._ready = deque(self._content)

    def _look_for_another_log(self) -> None:
        """What waits was made of the log that stood there then: it may be an hour ago."""
        assert self._after is not None
        try:
            if self._follower.proves(self._after[0]):
                return
        except (LogDamaged, StorageUnavailable):
            pass  # looked at again by whoever makes the next
        self._after, self._content = None, ()
        self.rewind()

    def _pass_over(self, max_bytes: int) -> None:
        """Leave out what is too long for this broker, which may take less than the one before."""
        while self._ready and len(self._ready[0][1]) > max_bytes:
            tile, octets = self._ready.popleft()
            _log.warning("%s has %d bytes, too many for a message; mirrors need a copy", tile.path, len(octets))
        if not self._ready and not self._mids and self._after is not None:
            self._pass()

    def _collect(self) -> None:
        """Make the next bundle and what it completes, when so many entries are there."""
        self._look_at = time.monotonic() + LOOK_AGAIN_S
        try:
            head = self._follower.head()
            if head is None:
                return
            if not self._loaded:
                self._at, self._builder = self._load()
                self._loaded = True
            if head.entries < self._at.entries or not self._follower.proves(self._at):
                self._at, self._builder = START, TileBuilder()  # the log is another one
            if head.entries - self._at.entries < WIDTH:
                return
            at, builder = self._at, TileBuilder(self._at.entries, self._builder.rows)
            entries, tiles = list[bytes](), list[tuple[Tile, bytes]]()
            while len(entries) < WIDTH:
                before = len(entries)
                for logged in self._follower.entries(at, WIDTH - len(entries)):
                    entries.append(logged.entry.encode())
                    tiles += builder.append(entries[-1])
                    at = logged.cursor
                if len(entries) == before:
                    return
            self._after = at, builder
        except (LogDamaged, StorageUnavailable):
            return  # the backlog reads the same log, and says so
        self._content = (Tile(None, at.entries // WIDTH - 1), encode_bundle(entries)), *tiles
        self._ready = deque(self._content)
        self._look_at = 0.0

    def _pass(self) -> None:
        """The bundle and its tiles are with the broker."""
        assert self._after is not None
        (self._at, self._builder), self._after, self._content = self._after, None, ()
        try:
            write_atomic(self._file, encode_progress(self._at, self._builder), durable=True)
        except StorageUnavailable as bad:  # they would be published again after a restart, which harms nobody
            _log.warning("%s", bad)

    def _load(self) -> tuple[Cursor, TileBuilder]:
        try:
            data = read_capped(self._file, MAX_FILE_BYTES)
            if data is not None:
                at, builder = decode_progress(data)
                if self._follower.proves(at):
                    return at, builder
                _log.warning("%s: not of this log; its tiles are published again", self._file)
        except (EncodingError, MessageError, OSError) as bad:
            _log.warning("%s: %s; tiles are published again", self._file, bad)
        return START, TileBuilder()
