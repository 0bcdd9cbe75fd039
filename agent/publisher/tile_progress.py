"""How far the log's bundles and tiles have been published (PB-31). Pure.

[1, <entries>, <offset>, <start of the last record>, <SHA-256 of the last entry>, [[<hash> …] a level, in no whole tile yet]]
<CRC-32C of that line, hex>
"""

import json

from agent.errors import EncodingError
from agent.publisher.cursor import Cursor
from agent.wire.crc32c import crc32c
from agent.wire.tiles import TileBuilder


def encode_progress(at: Cursor, builder: TileBuilder) -> bytes:
    """The file's bytes: one line of JSON, and its CRC-32C."""
    rows = [[node.hex() for node in row] for row in builder.rows]
    line = json.dumps([1, at.entries, at.offset, at.last_start, at.last_hash.hex(), rows]).encode()
    return line + f"\n{crc32c(line):08x}\n".encode()


def decode_progress(data: bytes) -> tuple[Cursor, TileBuilder]:
    """The strict inverse; raise EncodingError."""
    try:
        line, _, _ = data.partition(b"\n")
        version, entries, offset, last_start, last_hash, rows = json.loads(line)
        numbers = (version, entries, offset, last_start)
        if any(type(number) is not int or not 0 <= number < 2**63 for number in numbers) or version != 1:
            raise ValueError
        at = Cursor(entries, offset, last_start, bytes.fromhex(last_hash))
        builder = TileBuilder(entries, [[bytes.fromhex(node) for node in row] for row in rows])
    except (ValueError, TypeError, RecursionError):
        raise EncodingError("progress of tiles", expected="what was written", got="something else") from None
    if encode_progress(at, builder) != data:
        raise EncodingError("progress of tiles", expected="what was written, with its checksum", got="something else")
    return at, builder
