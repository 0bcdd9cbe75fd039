"""How a reader reads a unit, whatever its radio (SPEC.md, BE-9): headers, then chunks, all anew when two versions were mixed. Pure.

`read_unit` is told how to read one characteristic, so that the phone in software and `dtpr-agent disclosure read` do the same.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from agent.beacon import gatt
from agent.errors import DisclosureError

TRIES = 3
"""How often what was mixed is read again before the reader gives up: a unit changes a few times a day."""

Value = Callable[[UUID], Awaitable[bytes | None]]
"""One characteristic's whole value; None when the unit's table has none of that UUID."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one connection gave, none of it verified; None (or "") for what the unit has not. `tries` counts from 1."""

    envelope: bytes
    header: gatt.Header
    upcoming: bytes | None = None
    stop: bytes | None = None
    text: str = ""
    checkpoint: bytes | None = None
    latest: bytes | None = None
    tries: int = 1


def _no_matter(_error: DisclosureError) -> None:
    """For who does not report."""


class _Mixed(Exception):
    """Chunks and header do not belong together."""

    def __init__(self, why: DisclosureError) -> None:
        self.why = why


async def read_unit(value: Value, again: Callable[[DisclosureError], None] = _no_matter) -> Reading:
    """Read everything; `again` is told of each mix before all is read anew. Raises DisclosureError, and what `value` raises."""
    for tries in range(1, TRIES + 1):
        try:
            return await _read(value, tries)
        except _Mixed as mixed:
            if tries == TRIES:
                raise mixed.why from None
            again(mixed.why)
    raise AssertionError("unreachable")


async def _read(value: Value, tries: int) -> Reading:
    shown = await _part(value, gatt.HEADER_UUID, gatt.CHUNK_UUIDS, required=True)
    assert shown is not None
    checkpoint = await value(gatt.CHECKPOINT_UUID)
    upcoming = await _part(value, gatt.UPCOMING_HEADER_UUID, gatt.UPCOMING_CHUNK_UUIDS)
    stop = await value(gatt.STOP_UUID)
    latest = await _part(value, gatt.LATEST_HEADER_UUID, gatt.LATEST_CHUNK_UUIDS)
    text = await value(gatt.TEXT_UUID)
    return Reading(
        envelope=shown[0],
        header=shown[1],
        upcoming=upcoming[0] if upcoming is not None else None,
        stop=stop or None,
        text=(text or b"").decode(errors="replace"),
        checkpoint=checkpoint or None,
        latest=latest[0] if latest is not None else None,
        tries=tries,
    )


async def _part(
    value: Value, header_uuid: UUID, chunk_uuids: Sequence[UUID], *, required: bool = False
) -> tuple[bytes, gatt.Header] | None:
    header = await value(header_uuid)
    if header is None and required:
        raise DisclosureError("GATT", expected=f"the characteristic {header_uuid}", got="none", remedy="connect again")
    if not header and not required:
        return None
    wanted = gatt.read_header(header or b"")
    chunks = []
    for uuid in chunk_uuids[: wanted.count]:
        chunk = await value(uuid)
        if chunk is None:
            raise DisclosureError("GATT", expected=f"the characteristic {uuid}", got="none", remedy="connect again")
        chunks.append(chunk)
    try:
        return gatt.assemble(header or b"", chunks), wanted
    except DisclosureError as why:
        raise _Mixed(why) from None
