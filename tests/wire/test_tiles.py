"""agent/wire/tiles: C2SP tlog-tiles paths, bundles and hash tiles; their root is the log's."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import EncodingError
from agent.wire import tiles
from agent.wire.proofs import root_at
from agent.wire.tiles import Tile, TileBuilder
from agent.wire.tlog import TreeHead


def built(size: int) -> tuple[dict[Tile, tuple[bytes, ...]], bytes]:
    """All hash tiles of a tree of `size` numbered entries, and its root by the running head."""
    builder, head = TileBuilder(), TreeHead()
    found: dict[Tile, bytes] = {}
    for number in range(size):
        entry = number.to_bytes(4, "big")
        head.append(entry)
        found.update(builder.append(entry))
    found.update(builder.partial())
    return {tile: tiles.decode_tile(content, tile.width) for tile, content in found.items()}, head.root()


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 0), "tile/0/000"),
        (Tile(None, 5, 17), "tile/entries/005.p/17"),
        (Tile(3, 1234067, 1), "tile/3/x001/x234/067.p/1"),
        (Tile(1, 1000), "tile/1/x001/000"),
        (Tile(63, 999_999, 255), "tile/63/x999/999.p/255"),
    ],
)
def test_published_path_forms(tile: Tile, path: str) -> None:
    """The forms of C2SP tlog-tiles, `x001/x234/067` among them."""
    assert tile.path == path
    assert tiles.parse_path(path) == tile


@given(
    st.one_of(st.none(), st.integers(0, 63)),
    st.integers(0, tiles.MAX_INDEX - 1),
    st.integers(1, 256),
)
def test_paths_round_trip(level: int | None, index: int, width: int) -> None:
    tile = Tile(level, index, width)
    assert tiles.parse_path(tile.path) == tile


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/0/0",
        "tile/0/0000",
        "tile/00/000",
        "tile/64/000",
        "tile/0/x000/000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/-1/000",
        "tile/0/../000",
        "tile/0/000/",
        "/tile/0/000",
        "tile/data/000",
        "tile/0/٠٠٠",
    ],
)
def test_other_spellings_are_refused(path: str) -> None:
    """One path a tile: nothing else names one."""
    with pytest.raises(EncodingError):
        tiles.parse_path(path)


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=256))
def test_bundles_round_trip(entries: list[bytes]) -> None:
    assert tiles.decode_bundle(tiles.encode_bundle(entries), len(entries)) == tuple(entries)


@pytest.mark.parametrize(("data", "width"), [(b"\0\1", 1), (b"\0\1ab", 1), (b"", 1), (b"\0\0", 2), (b"\0\0\0\0", 1)])
def test_bundles_of_another_length_are_refused(data: bytes, width: int) -> None:
    with pytest.raises(EncodingError):
        tiles.decode_bundle(data, width)


@pytest.mark.parametrize("entries", [[], [b""] * 257, [bytes(65536)]])
def test_bundles_that_cannot_be_written(entries: list[bytes]) -> None:
    with pytest.raises(EncodingError):
        tiles.encode_bundle(entries)


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 511, 512, 1000, 65536, 65793])
def test_the_tiles_of_every_size_have_the_logs_root(size: int) -> None:
    """Whole and partial tiles, several levels: exactly those of the size, and under the root that the running head has."""
    hashes, root = built(size)
    assert set(hashes) == set(tiles.hash_tiles_of(size))
    assert root_at(tiles.node_from(hashes.__getitem__, size), size) == root


def test_levels_are_named_as_c2sp_does() -> None:
    """70,000 entries, the sizes that C2SP tlog-tiles explains: 273 whole tiles and one of 112 at level 0, 1 and 17 at level 1, 1 at 2."""
    found = list(tiles.hash_tiles_of(70_000))
    assert [tile.path for tile in found if tile.width < 256] == [
        "tile/0/273.p/112",
        "tile/1/001.p/17",
        "tile/2/000.p/1",
    ]
    assert len(found) == 274 + 2 + 1
    assert [tile.width for tile in tiles.bundles_of(70_000)] == [256] * 273 + [112]


def test_a_changed_entry_changes_a_tile() -> None:
    """Positive control."""
    hashes, root = built(300)
    tile = Tile(0, 1, 44)
    changed = {**hashes, tile: (hashlib.sha256(b"x").digest(), *hashes[tile][1:])}
    assert root_at(tiles.node_from(changed.__getitem__, 300), 300) != root
