"""Tiles of a Merkle log as files (C2SP tlog-tiles): paths, hash tiles, entry bundles, and which of them a tree of a size has. Pure.

    tile/<L>/<N>[.p/<W>]        level L, tile N: W node hashes of 32 bytes; each is the root of 256^L whole entries
    tile/entries/<N>[.p/<W>]    W entries, each behind its length, u16 big endian

A whole tile has 256 and no `.p/<W>`; the last one of a level may be partial. N stands in groups of three digits, all but the last
behind an `x`: 1234067 is x001/x234/067. Leaves are hashed as RFC 6962 says, so that a tree of tiles has the root of wire/tlog.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from agent.errors import EncodingError
from agent.wire.tlog import leaf_hash, node_hash

CHECKPOINT = "checkpoint"
"""The signed note beside them."""

WIDTH = 256
HEIGHT = 8
HASH_BYTES = 32
MAX_LEVEL = 63
MAX_INDEX = 2**55
"""2^63 entries in tiles of 256: more than any checkpoint names."""

MAX_ENTRY_BYTES = 0xFFFF
MAX_BUNDLE_BYTES = WIDTH * (2 + MAX_ENTRY_BYTES)

_PATH = re.compile(r"tile/(entries|0|[1-9][0-9]?)/((?:x[0-9]{3}/){0,5}[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")

Node = Callable[[int, int], bytes]
"""(height, index) -> the root (32 bytes) of the 2^height entries from index * 2^height on."""


@dataclass(frozen=True, slots=True, order=True)
class Tile:
    """One file: `level` from 0, or None for a bundle of entries; `width` 256 when it is whole."""

    level: int | None
    index: int
    width: int = WIDTH

    @property
    def path(self) -> str:
        """Its path below the log's folder or address."""
        groups: list[str] = []
        rest = self.index
        while True:
            rest, group = divmod(rest, 1000)
            groups.append(f"{group:03}" if not groups else f"x{group:03}")
            if not rest:
                break
        level = "entries" if self.level is None else str(self.level)
        partial = "" if self.width == WIDTH else f".p/{self.width}"
        return f"tile/{level}/{'/'.join(reversed(groups))}{partial}"


def parse_path(path: str) -> Tile:
    """The tile that `path` names; raises EncodingError for what is not the one spelling of a tile's path."""
    match = _PATH.fullmatch(path)
    if match is not None:
        level, number, width = match.groups()
        tile = Tile(
            None if level == "entries" else int(level),
            int(number.replace("/", "").replace("x", "")),
            WIDTH if width is None else int(width),
        )
        if (tile.level or 0) <= MAX_LEVEL and tile.index < MAX_INDEX and tile.path == path:
            return tile
    raise EncodingError(
        "tile path", expected="tile/<level>/<number>, perhaps with .p/<width>, as C2SP tlog-tiles says", got=path[:80]
    )


def topic_of(tile: Tile) -> str:
    """Its place below the unit's topics, for a whole tile: `log/tile/<L>/<N>` or `log/entries/<N>`, N as in a path."""
    path = tile.path
    return f"log/{path.removeprefix('tile/') if tile.level is None else path}"


def parse_topic(topic: str) -> Tile:
    """The inverse; raises EncodingError."""
    rest = topic.removeprefix("log/")
    if rest != topic:
        tile = parse_path(f"tile/{rest}" if rest.startswith("entries/") else rest)
        if tile.width == WIDTH and topic_of(tile) == topic:
            return tile
    raise EncodingError("tile topic", expected="log/tile/<level>/<number> or log/entries/<number>", got=topic[:80])


def bundles_of(size: int) -> Iterator[Tile]:
    """The entry bundles of a tree of `size` entries, in order."""
    return _row(None, size)


def hash_tiles_of(size: int) -> Iterator[Tile]:
    """The hash tiles of a tree of `size` entries, level by level."""
    level = 0
    while size:
        yield from _row(level, size)
        size >>= HEIGHT
        level += 1


def _row(level: int | None, nodes: int) -> Iterator[Tile]:
    whole, rest = divmod(nodes, WIDTH)
    for index in range(whole):
        yield Tile(level, index)
    if rest:
        yield Tile(level, whole, rest)


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    """An entry bundle; raises EncodingError for more than 256 entries or one over 65535 bytes."""
    if not 1 <= len(entries) <= WIDTH or any(len(entry) > MAX_ENTRY_BYTES for entry in entries):
        raise EncodingError(
            "entry bundle", expected=f"1 to {WIDTH} entries of at most {MAX_ENTRY_BYTES} bytes", got="other ones"
        )
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def decode_bundle(data: bytes, width: int) -> tuple[bytes, ...]:
    """The `width` entries of a bundle; raises EncodingError unless they fill `data` exactly."""
    entries: list[bytes] = []
    at = 0
    while at + 2 <= len(data) and len(entries) < width:
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        if end > len(data):
            break
        entries.append(data[at + 2 : end])
        at = end
    if at != len(data) or len(entries) != width:
        raise EncodingError(
            "entry bundle",
            expected=f"{width} entries and nothing else",
            got=f"{len(entries)} entries and {len(data) - at} bytes more",
        )
    return tuple(entries)


def decode_tile(data: bytes, width: int) -> tuple[bytes, ...]:
    """The `width` node hashes of a hash tile; raises EncodingError for another length."""
    if len(data) != width * HASH_BYTES:
        raise EncodingError("hash tile", expected=f"{width * HASH_BYTES} bytes", got=f"{len(data)}")
    return tuple(data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES))


class TileBuilder:
    """Grows the tiles of a log entry by entry. `append` returns the hash tiles that became whole, `partial` the rest.

    `size` and `rows`, from another builder, continue it; raises EncodingError for rows that a tree of that size does not have.
    """

    def __init__(self, size: int = 0, rows: Sequence[Sequence[bytes]] = ((),)) -> None:
        self.size = size
        self._rows = [list(row) for row in rows]
        self._whole = [size >> HEIGHT * (level + 1) for level in range(len(rows))]
        counts = [size >> HEIGHT * level for level in range(len(rows) + 1)]
        if (
            not rows
            or counts.pop()
            or [count % WIDTH for count in counts] != [len(row) for row in rows]
            or any(len(node) != HASH_BYTES for row in rows for node in row)
        ):
            raise EncodingError("rows of tiles", expected=f"those of {size} entries", got="others")

    @property
    def rows(self) -> tuple[tuple[bytes, ...], ...]:
        """The hashes of each level that are in no whole tile."""
        return tuple(tuple(row) for row in self._rows)

    def append(self, entry: bytes) -> list[tuple[Tile, bytes]]:
        """Add one entry; the hash tiles that it completes, lowest first."""
        self.size += 1
        done: list[tuple[Tile, bytes]] = []
        node, level = leaf_hash(entry), 0
        while True:
            if level == len(self._rows):
                self._rows.append([])
                self._whole.append(0)
            row = self._rows[level]
            row.append(node)
            if len(row) < WIDTH:
                return done
            done.append((Tile(level, self._whole[level]), b"".join(row)))
            self._whole[level] += 1
            node = root_of(row)
            row.clear()
            level += 1

    def partial(self) -> list[tuple[Tile, bytes]]:
        """The partial tile at the end of each level that has one."""
        return [
            (Tile(level, self._whole[level], len(row)), b"".join(row)) for level, row in enumerate(self._rows) if row
        ]


def root_of(hashes: Sequence[bytes]) -> bytes:
    """The root above neighbouring nodes of one height, by RFC 6962's shape; at least one."""
    row = list(hashes)
    while len(row) > 1:
        above = [node_hash(row[i], row[i + 1]) for i in range(0, len(row) - 1, 2)]
        row = [*above, row[-1]] if len(row) % 2 else above
    return row[0]


def rows_at(read: Callable[[Tile], Sequence[bytes]], begin: int, size: int) -> tuple[tuple[bytes, ...], ...]:
    """What `TileBuilder(begin, …)` goes on from: the hashes of each level that are in no whole tile of the first `begin` entries, a multiple
    of 256, out of the tiles of `size`. C2SP tlog-tiles lets none of those go that are read here, whatever was pruned before `begin`."""
    rows: list[tuple[bytes, ...]] = [()]
    while begin >> HEIGHT * len(rows):
        level = len(rows)
        number, place = divmod(begin >> HEIGHT * level, WIDTH)
        width = min(WIDTH, (size >> HEIGHT * level) - number * WIDTH)
        rows.append(tuple(read(Tile(level, number, width))[:place]) if place else ())
    return tuple(rows)


def peaks_of(rows: Sequence[Sequence[bytes]]) -> list[bytes]:
    """The roots of the whole subtrees of a tree whose `TileBuilder` has these rows, widest first: what `TreeHead.continued` takes."""
    peaks: list[bytes] = []
    for row in reversed(rows):
        at = 0
        for bit in reversed(range(HEIGHT)):
            if len(row) >> bit & 1:
                peaks.append(root_of(row[at : at + (1 << bit)]))
                at += 1 << bit
    return peaks


def node_from(read: Callable[[Tile], Sequence[bytes]], size: int) -> Node:
    """Nodes of a tree of `size` entries out of its tiles; `read` gives the hashes of a tile that the tree has."""

    def node(height: int, index: int) -> bytes:
        level, above = divmod(height, HEIGHT)
        first = index << above
        number, place = divmod(first, WIDTH)
        width = min(WIDTH, (size >> (HEIGHT * level)) - number * WIDTH)
        return root_of(read(Tile(level, number, width))[place : place + (1 << above)])

    return node
