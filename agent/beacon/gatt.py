"""What a phone reads after connecting: a header and eight chunks of the signed envelope, the same of the upcoming one and of the last
published figures, the stop notice, the tree head, and a text for scanner apps (SPEC.md, BE-5 to BE-9). Pure.

Both sides are here: `attributes` and `beside` for the unit, `read_header` and `assemble` for a reader.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from agent.beacon.advertisement import SERVICE
from agent.contracts.public import (
    MAX_CHECKPOINT_BYTES,
    MAX_ENVELOPE_BYTES,
    MAX_LATEST_BYTES,
    MAX_STOP_BYTES,
    MAX_UPCOMING_BYTES,
)
from agent.errors import DisclosureError, EncodingError
from agent.wire import cbor

VERSION = 1
CHUNKS = 8
"""Fixed for ever: iOS caches the table of an unbonded device and would not see another."""

CHUNK_BYTES = 500
"""Under the 512 bytes at which BlueZ and phones cut an attribute (Core 5.4, vol. 3, part F, 3.2.9)."""

MAX_HEADER_BYTES = 64
MAX_SEQUENCE = 0xFFFF_FFFF

assert MAX_ENVELOPE_BYTES <= MAX_UPCOMING_BYTES <= CHUNKS * CHUNK_BYTES
assert MAX_LATEST_BYTES <= MAX_UPCOMING_BYTES
assert max(MAX_STOP_BYTES, MAX_CHECKPOINT_BYTES) <= CHUNK_BYTES


def _nth(offset: int) -> UUID:
    return UUID(int=SERVICE.int + (offset << 96))


HEADER_UUID = _nth(1)
CHUNK_UUIDS = tuple(_nth(2 + i) for i in range(CHUNKS))
UPCOMING_HEADER_UUID = _nth(2 + CHUNKS)
UPCOMING_CHUNK_UUIDS = tuple(_nth(3 + CHUNKS + i) for i in range(CHUNKS))
STOP_UUID = _nth(3 + 2 * CHUNKS)
TEXT_UUID = _nth(4 + 2 * CHUNKS)
CHECKPOINT_UUID = _nth(5 + 2 * CHUNKS)
LATEST_HEADER_UUID = _nth(6 + 2 * CHUNKS)
LATEST_CHUNK_UUIDS = tuple(_nth(7 + 2 * CHUNKS + i) for i in range(CHUNKS))
CHARACTERISTICS = 6 + 3 * CHUNKS


@dataclass(frozen=True, slots=True)
class Attribute:
    """One read-only characteristic and its present value, at most CHUNK_BYTES long."""

    uuid: UUID
    value: bytes


@dataclass(frozen=True, slots=True)
class Header:
    """A decoded header: `total` bytes in `count` chunks whose SHA-256 is `sha256`; `sequence` grows with every change."""

    total: int
    count: int
    sequence: int
    sha256: bytes

    def encode(self) -> bytes:
        """The characteristic's value, deterministic CBOR."""
        return cbor.encode({0: VERSION, 1: self.total, 2: self.count, 3: self.sequence, 4: self.sha256})


def attributes(envelope: bytes, sequence: int) -> tuple[Attribute, ...]:
    """Header and CHUNKS chunks for a sealed envelope; unused chunks are empty. Raises DisclosureError when it is too long."""
    return _attributes(envelope, sequence, MAX_ENVELOPE_BYTES, HEADER_UUID, CHUNK_UUIDS)


def beside(
    upcoming: bytes | None,
    stop: bytes | None,
    sequence: int,
    *,
    text: str = "",
    checkpoint: bytes | None = None,
    latest: bytes | None = None,
) -> tuple[Attribute, ...]:
    """All that is served beside the envelope, in the order of the UUIDs; what there is not is empty. Raises DisclosureError."""
    return (
        *_part(upcoming, sequence, MAX_UPCOMING_BYTES, UPCOMING_HEADER_UUID, UPCOMING_CHUNK_UUIDS),
        Attribute(STOP_UUID, stop or b""),
        Attribute(TEXT_UUID, _short(text.encode(), "plain text")),
        Attribute(CHECKPOINT_UUID, _short(checkpoint or b"", "checkpoint")),
        *_part(latest, sequence, MAX_LATEST_BYTES, LATEST_HEADER_UUID, LATEST_CHUNK_UUIDS),
    )


def _short(value: bytes, what: str) -> bytes:
    if len(value) > CHUNK_BYTES:
        raise DisclosureError(what, expected=f"at most {CHUNK_BYTES} bytes", got=str(len(value)))
    return value


def _part(
    message: bytes | None, sequence: int, limit: int, header_uuid: UUID, chunk_uuids: Sequence[UUID]
) -> tuple[Attribute, ...]:
    if message is None:
        return tuple(Attribute(uuid, b"") for uuid in (header_uuid, *chunk_uuids))
    return _attributes(message, sequence, limit, header_uuid, chunk_uuids)


def _attributes(
    envelope: bytes, sequence: int, limit: int, header_uuid: UUID, chunk_uuids: Sequence[UUID]
) -> tuple[Attribute, ...]:
    if not 1 <= len(envelope) <= limit:
        raise DisclosureError(
            "envelope",
            expected=f"1 to {limit} bytes",
            got=str(len(envelope)),
            remedy="shorten the longest texts of the policy",
        )
    pieces = [envelope[i * CHUNK_BYTES : (i + 1) * CHUNK_BYTES] for i in range(CHUNKS)]
    header = Header(
        total=len(envelope),
        count=_count(len(envelope)),
        sequence=sequence & MAX_SEQUENCE,
        sha256=hashlib.sha256(envelope).digest(),
    )
    chunks = (Attribute(uuid, piece) for uuid, piece in zip(chunk_uuids, pieces, strict=True))
    return (Attribute(header_uuid, header.encode()), *chunks)


def read_header(value: bytes) -> Header:
    """Decode a header; raise DisclosureError."""
    try:
        item = cbor.decode(value, max_bytes=MAX_HEADER_BYTES, max_depth=2)
    except EncodingError as bad:
        raise DisclosureError("header", expected="deterministic CBOR", got=str(bad)) from None
    if isinstance(item, dict) and any(isinstance(value, bool) for value in item.values()):
        raise DisclosureError("header", expected="numbers and a hash", got="true or false")
    match item:
        case {0: int(version), **_others} if version != VERSION:
            raise DisclosureError(
                "header version", expected=str(VERSION), got=str(version), remedy="use a newer reader for this unit"
            )
        case {0: int(), 1: int(total), 2: int(count), 3: int(sequence), 4: bytes(sha256)} if len(item) == 5:
            header = Header(total, count, sequence, sha256)
        case _:
            raise DisclosureError("header", expected="a map with the keys 0 to 4", got=type(item).__name__)
    if not 1 <= header.total <= MAX_UPCOMING_BYTES:
        raise DisclosureError("header total", expected=f"1 to {MAX_UPCOMING_BYTES}", got=str(header.total))
    if header.count != _count(header.total):
        raise DisclosureError("header count", expected=str(_count(header.total)), got=str(header.count))
    if not 0 <= header.sequence <= MAX_SEQUENCE:
        raise DisclosureError("header sequence", expected="a number of 32 bits", got="another")
    if len(header.sha256) != 32:
        raise DisclosureError("header hash", expected="32 bytes", got=str(len(header.sha256)))
    return header


def assemble(header: bytes, chunks: Sequence[bytes]) -> bytes:
    """The envelope from the header's value and the chunks' values in order (the first `count` suffice).

    Raises DisclosureError for a bad header and for missing, short, long or mixed chunks; after a mix, read again.
    """
    wanted = read_header(header)
    if not wanted.count <= len(chunks) <= CHUNKS:
        raise DisclosureError("chunks", expected=f"{wanted.count} to {CHUNKS}", got=str(len(chunks)))
    for number, chunk in enumerate(chunks):
        size = min(CHUNK_BYTES, max(0, wanted.total - number * CHUNK_BYTES))
        if len(chunk) != size:
            raise DisclosureError(f"chunk {number}", expected=f"{size} bytes", got=str(len(chunk)), remedy="read again")
    envelope = b"".join(chunks)
    if hashlib.sha256(envelope).digest() != wanted.sha256:
        raise DisclosureError(
            "chunks",
            expected="bytes with the header's hash",
            got="others",
            remedy="read again: the unit may have changed its disclosure meanwhile",
        )
    return envelope


def _count(total: int) -> int:
    return -(-total // CHUNK_BYTES)
