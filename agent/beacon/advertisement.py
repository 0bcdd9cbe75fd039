"""What a unit shouts: the 31 + 31 bytes of a legacy advertisement and its scan response, and where a controller can send more, a status
of 13 bytes and the signed compact disclosure in further advertisements (SPEC.md, BE-1 to BE-4, BE-35 to BE-37). Pure.

AD structures are those of the Bluetooth Core Specification Supplement, part A; the layout on air is Core 5.4, vol. 3, part C, 11.
"""

import base64
import enum
from dataclasses import dataclass
from uuid import UUID

from agent.errors import DisclosureError

SERVICE = UUID("57310000-8b84-490a-955e-0bba4fe2f69e")
"""Our GATT service. Header and chunks are found by adding to the last 16 bits of the first group (`gatt.py`)."""

MAX_BYTES = 31
"""Legacy advertising PDU (Core 5.4, vol. 6, part B, 2.3.1.1): all that every phone hears."""

MAX_NAME_BYTES = MAX_BYTES - 2
CODE_CHARACTERS = 10
"""50 bits: a person can compare them with the sign, and a forger needs about 2**50 tries a sign."""

MAX_UNIT_CHARACTERS = MAX_NAME_BYTES - 2 - CODE_CHARACTERS
"""17: what is left of the name after a blank, the colour letter and the code."""

COLOUR_LETTERS = {"yellow": "Y", "blue": "B", "white": "W"}
"""DTPR's hexagons: identifiable, de-identified, no personal data."""

MAX_EXTENDED_BYTES = 229
"""What a Linux scanner gets in one piece of an extended advertisement (RADIO.md B.3), and one PDU holds."""

SERVICE_DATA_OVERHEAD_BYTES = 18
"""Length, type and UUID."""

STATUS_VERSION = 1
STATUS_BYTES = 13

_FLAGS, _UUIDS_128, _COMPLETE_NAME, _DATA_128 = 0x01, 0x07, 0x09, 0x21
_DISCOVERABLE_LE_ONLY = 0x06


def advertisement() -> bytes:
    """The advertising data: flags and our complete 128-bit service UUID, 21 bytes, the same for every unit."""
    return _structure(_FLAGS, bytes([_DISCOVERABLE_LE_ONLY])) + _structure(_UUIDS_128, SERVICE.bytes[::-1])


class Flag(enum.IntFlag):
    """What the status says at a glance."""

    CAMERA = 1
    PERSONAL = 2
    UPCOMING = 4
    STOPPED = 8


@dataclass(frozen=True, slots=True)
class Status:
    """13 bytes for readers with an app: version, flags, sequence (2, least significant first), 8 bytes of the disclosure digest, 1 spare."""

    flags: Flag
    sequence: int
    digest: bytes

    def encode(self) -> bytes:
        """The service data."""
        head = bytes([STATUS_VERSION, self.flags]) + (self.sequence & 0xFFFF).to_bytes(2, "little")
        return head + self.digest[:8] + b"\0"


def read_status(data: bytes) -> Status:
    """Decode the service data; raise DisclosureError. `digest` has 8 bytes; flags and the spare byte of later versions are not judged."""
    if len(data) != STATUS_BYTES or data[0] != STATUS_VERSION:
        raise DisclosureError("status", expected=f"{STATUS_BYTES} bytes of version {STATUS_VERSION}", got="others")
    return Status(Flag(data[1] & 0x0F), int.from_bytes(data[2:4], "little"), data[4:12])


def service_data(value: bytes) -> bytes:
    """One AD structure: our service's data (CSS part A, 1.11). With 13 bytes it fills a legacy advertisement exactly."""
    return _structure(_DATA_128, SERVICE.bytes[::-1] + value)


def heard_service_data(data: bytes) -> bytes | None:
    """Our service's data in an advertisement, None without any or in malformed data."""
    try:
        found = structures(data).get(_DATA_128, b"")
    except DisclosureError:
        return None
    return found[16:] if found.startswith(SERVICE.bytes[::-1]) else None


def scan_response(name: str) -> bytes:
    """The scan response: the complete local name, at most 31 bytes; raise DisclosureError when it does not fit."""
    text = name.encode()
    if not 1 <= len(text) <= MAX_NAME_BYTES:
        raise DisclosureError(
            "local name", expected=f"1 to {MAX_NAME_BYTES} bytes", got=str(len(text)), remedy="shorten the unit's name"
        )
    return _structure(_COMPLETE_NAME, text)


def code(digest: bytes) -> str:
    """The ten base32 characters (RFC 4648) that people compare: the first 50 bits of the 32-byte disclosure digest."""
    return base64.b32encode(digest).decode()[:CODE_CHARACTERS]


def local_name(unit: str, colour: str, digest: bytes) -> str:
    """`fremont-01 B4K2M9QZ7TC`: printed name, blank, colour letter, code; raise DisclosureError naming what does not fit."""
    if not unit.isascii() or not unit.isprintable() or " " in unit or not 1 <= len(unit) <= MAX_UNIT_CHARACTERS:
        raise DisclosureError(
            "unit name",
            expected=f"1 to {MAX_UNIT_CHARACTERS} printable ASCII characters without a blank",
            got=f"{len(unit)} characters",
            remedy="choose a shorter unit name in the policy: it must fit a phone's list beside the code",
        )
    letter = COLOUR_LETTERS.get(colour)
    if letter is None:
        raise DisclosureError("colour", expected=" or ".join(COLOUR_LETTERS), got=repr(colour)[:20])
    if len(digest) != 32:
        raise DisclosureError("disclosure digest", expected="32 bytes", got=str(len(digest)))
    return f"{unit} {letter}{code(digest)}"


def structures(data: bytes) -> dict[int, bytes]:
    """AD type -> value of received advertising data; raise DisclosureError when lengths do not add up."""
    found: dict[int, bytes] = {}
    at = 0
    while at < len(data) and data[at]:
        end = at + 1 + data[at]
        if end > len(data):
            raise DisclosureError(f"advertisement byte {at}", expected=f"{data[at]} more bytes", got="the end")
        found.setdefault(data[at + 1], data[at + 2 : end])
        at = end
    return found


def offers_disclosure(data: bytes) -> bool:
    """Does this advertising data carry our service UUID? False for anything malformed: the air is full of strangers."""
    try:
        uuids = structures(data).get(_UUIDS_128, b"")
    except DisclosureError:
        return False
    return any(uuids[i : i + 16] == SERVICE.bytes[::-1] for i in range(0, len(uuids), 16))


def heard_name(data: bytes) -> str:
    """The complete local name in a received scan response, "" without one; raise DisclosureError."""
    try:
        return structures(data).get(_COMPLETE_NAME, b"").decode()
    except UnicodeDecodeError:
        raise DisclosureError("local name", expected="UTF-8", got="other bytes") from None


def _structure(kind: int, value: bytes) -> bytes:
    return bytes([1 + len(value), kind]) + value
