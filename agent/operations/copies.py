"""A copy of a log whose oldest entry bundles may be gone, and older copies that lend theirs (OP-34 of SPEC.md).

    tile/entries/000 … 003      gone
    tile/entries/004 …          held: `begin` is 1024
    tile/0/000 …  tile/1/000    hash tiles: those that end at or before `begin` may be gone too, as C2SP tlog-tiles prunes

Invariant: what is read of before `begin` is returned only when hash tiles lead from it to a hash that the root of the whole covers; whether that root
is the signed one is for the caller to see, after the last entry. A bundle that is missing after the first one held is an error that names it.
"""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from agent.errors import EncodingError, LogDamaged
from agent.operations.log_copy import is_there, read_regular
from agent.wire.proofs import root_at
from agent.wire.tiles import (
    HASH_BYTES,
    HEIGHT,
    MAX_BUNDLE_BYTES,
    WIDTH,
    Tile,
    TileBuilder,
    decode_bundle,
    decode_tile,
    node_from,
    parse_path,
    peaks_of,
    root_of,
    rows_at,
)
from agent.wire.tlog import TreeHead, leaf_hash

MAX_NAMED = 5
"""Missing files named in one error."""

_GROUPS = 6
"""Of three digits, in the longest path of a bundle."""

_CACHED_TILES = 256
"""2 MiB: what proofs of releases received of before read again and again."""


class Copies:
    """The first `size` entries of a log, as far as `folder` holds them; `earlier` are folders of the same layout. `rows` are the hashes of before `begin`
    with which a `TileBuilder` goes on.

    Raises LogDamaged, naming files, for what is missing, malformed or contradicts its neighbours.
    """

    def __init__(self, folder: Path, size: int, earlier: tuple[Path, ...] = ()) -> None:
        self.folder = folder
        self.size = size
        self._earlier = earlier
        self._tile = lru_cache(maxsize=_CACHED_TILES)(self._read_tile)
        self._node = node_from(self._vouched_tile, self.size)
        self._vouched: set[tuple[int, int]] = set()
        first = _first_bundle(folder, self.size)
        while first and any(is_there(each / Tile(None, first - 1).path) for each in earlier):
            first -= 1
        self.begin = first * WIDTH
        self._whole()
        self.rows: tuple[tuple[bytes, ...], ...] = ((),)
        self.tiles_whole = True
        if self.begin:
            self.rows = rows_at(self._tile, self.begin, self.size)
            for level, row in enumerate(self.rows[1:]):
                number = (self.begin >> HEIGHT * (level + 2)) * WIDTH
                for place, node in enumerate(row):
                    self._vouch(level, number + place, node)

    def head(self) -> TreeHead:
        """The tree of what was before `begin`."""
        return TreeHead.continued(self.begin, peaks_of(self.rows))

    def entries(self) -> Iterator[bytes]:
        """Every entry from `begin` on; while they pass, each hash tile that they complete is compared."""
        builder = TileBuilder(self.begin, self.rows)
        for tile in self._bundles():
            for entry in self._bundle(tile):
                for done, content in builder.append(entry):
                    self._compare(done, content)
                yield entry
        for rest, content in builder.partial():
            self._compare(rest, content)

    def unproved(self) -> Iterator[bytes]:
        """The same entries without the hash tiles: for who reads them again and then holds them against the root."""
        for tile in self._bundles():
            yield from self._bundle(tile)

    def root(self, size: int) -> bytes | None:
        """The root of the first `size` entries by the hash tiles; None when those are gone that it takes."""
        try:
            return root_at(self._node, size)
        except LogDamaged:
            return None

    def leaf(self, index: int) -> bytes | None:
        """The leaf hash of an entry; None when its hash tile is gone, or the log has no such entry."""
        number, place = divmod(index, WIDTH)
        if not 0 <= index < self.size:
            return None
        try:
            return self._vouched_tile(Tile(0, number, min(WIDTH, self.size - number * WIDTH)))[place]
        except LogDamaged:
            return None

    def entry(self, index: int) -> bytes | None:
        """An entry before `begin` out of an earlier copy; None when none has it. Raises LogDamaged when one has another."""
        number, place = divmod(index, WIDTH)
        for folder in self._earlier:
            for tile in (Tile(None, number), *_partial(folder, number)):
                path = folder / tile.path
                if not is_there(path) or place >= tile.width:
                    continue
                entries = _decoded(path, tile.width)
                leaf = self.leaf(index)
                if leaf is None:
                    continue
                if leaf_hash(entries[place]) != leaf:
                    raise _other(path, f"entry {index} as the hash tiles have it")
                return entries[place]
        return None

    def _bundles(self) -> Iterator[Tile]:
        whole, rest = divmod(self.size, WIDTH)
        yield from (Tile(None, number) for number in range(self.begin // WIDTH, whole))
        if rest:
            yield Tile(None, whole, rest)

    def _places(self, tile: Tile) -> Iterator[Path]:
        return (folder / tile.path for folder in (self.folder, *self._earlier))

    def _bundle(self, tile: Tile) -> tuple[bytes, ...]:
        found = next((path for path in self._places(tile) if is_there(path)), self.folder / tile.path)
        return _decoded(found, tile.width)

    def _whole(self) -> None:
        """Is every bundle from the first on held?"""
        missing: list[str] = []
        for tile in self._bundles():
            if not any(is_there(path) for path in self._places(tile)):
                missing.append(tile.path)
                if len(missing) > MAX_NAMED:
                    missing[-1] = "…"
                    break
        if missing:
            begins = f"from {Tile(None, self.begin // WIDTH).path} on" if self.begin else "of the log"
            raise LogDamaged(
                str(self.folder),
                expected=f"every entry bundle {begins}",
                got="none as " + ", ".join(missing),
                remedy="bring the copy up to date with `dtpr-agent log export`, or name an older copy that has them with --earlier; only the oldest may be absent",
            )

    def _vouch(self, level: int, index: int, node: bytes) -> None:
        """The tile that ends before `begin` and whose root is `node`, and all below it, are what they must be, or gone."""
        tile = Tile(level, index)
        path = self.folder / tile.path
        if not is_there(path):
            self.tiles_whole = False
            return
        content = self._read_tile(tile)
        if root_of(content) != node:
            raise _other(path, "the hashes that the tile above it covers")
        self._vouched.add((level, index))
        for place, child in enumerate(content if level else ()):
            self._vouch(level - 1, index * WIDTH + place, child)

    def _vouched_tile(self, tile: Tile) -> tuple[bytes, ...]:
        """One that goes on after `begin`, and so is compared while the entries pass, or that those above it vouch for."""
        level = tile.level or 0
        if (tile.index + 1) << HEIGHT * (level + 1) <= self.begin and (level, tile.index) not in self._vouched:
            raise LogDamaged(str(self.folder / tile.path), expected="a hash tile", got="none that the others vouch for")
        return self._tile(tile)

    def _read_tile(self, tile: Tile) -> tuple[bytes, ...]:
        path = self.folder / tile.path
        try:
            return decode_tile(read_regular(path, tile.width * HASH_BYTES), tile.width)
        except EncodingError as bad:
            raise LogDamaged(str(path), expected=bad.expected, got=bad.got) from None

    def _compare(self, tile: Tile, content: bytes) -> None:
        path = self.folder / tile.path
        if read_regular(path, len(content)) != content:
            raise _other(path, "the hashes of the entries below it")


def _decoded(path: Path, width: int) -> tuple[bytes, ...]:
    try:
        return decode_bundle(read_regular(path, MAX_BUNDLE_BYTES), width)
    except EncodingError as bad:
        raise LogDamaged(str(path), expected=bad.expected, got=bad.got) from None


def _partial(folder: Path, number: int) -> Iterator[Tile]:
    """Partial bundles of this number in an older copy, longest first."""
    try:
        names = [each.name for each in (folder / f"{Tile(None, number).path}.p").iterdir()]
    except OSError:
        return
    widths = {int(name) for name in names if name.isascii() and name.isdigit() and len(name) < 4}
    yield from (Tile(None, number, width) for width in sorted(widths, reverse=True) if 0 < width < WIDTH)


def _first_bundle(folder: Path, size: int) -> int:
    """The number of the first entry bundle that the folder has of a log of `size` entries; 0 when it has none. Nothing deeper than a bundle's path
    is looked at, and no link is followed."""
    last = max(0, size - 1) // WIDTH
    found = [number for number in _numbers(folder / "tile" / "entries", "tile/entries", _GROUPS) if number <= last]
    if last not in found and is_there(folder / Tile(None, last, size % WIDTH or WIDTH).path):
        found.append(last)
    return min(found, default=0)


def _numbers(folder: Path, path: str, groups: int) -> Iterator[int]:
    try:
        names = [(each.name, each.is_dir() and not each.is_symlink()) for each in folder.iterdir()]
    except OSError:
        return
    for name, is_folder in names:
        if is_folder:
            if groups > 1 and len(name) == 4 and name.startswith("x") and name[1:].isdigit():
                yield from _numbers(folder / name, f"{path}/{name}", groups - 1)
            continue
        try:
            yield parse_path(f"{path}/{name}").index
        except EncodingError:
            continue


def _other(path: Path, expected: str) -> LogDamaged:
    return LogDamaged(str(path), expected=expected, got="others")
