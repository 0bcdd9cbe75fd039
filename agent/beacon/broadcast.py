"""A Broadcast: everything a radio needs to show one disclosure, and what is served beside it. Pure."""

from dataclasses import dataclass

from agent.beacon import advertisement, gatt
from agent.beacon.advertisement import MAX_BYTES, MAX_EXTENDED_BYTES
from agent.beacon.plain_text import plain_text
from agent.contracts.public import read_envelope, read_stop
from agent.disclosure.compact import DIGEST_BYTES, read_compact
from agent.disclosure.datachain import Disclosure, decode_disclosure
from agent.errors import DisclosureError

CAMERAS = frozenset(
    {
        "identifiable_image",
        "identifiable_video",
        "de_identified_image",
        "de_identified_video",
        "non_identifiable_video",
    }
)


@dataclass(frozen=True, slots=True)
class Broadcast:
    """One disclosure as it goes on air; `digest` (32 bytes) is what a lease names, `upcoming` the digest served beside it, if any.

    `status` and `extended` are further advertisements for controllers that can send them: the one of 31 bytes, the other with the signed
    compact disclosure, None without one.
    """

    unit: str
    name: str
    digest: bytes
    advertisement: bytes
    scan_response: bytes
    attributes: tuple[gatt.Attribute, ...]
    upcoming: bytes | None = None
    status: bytes = b""
    extended: bytes | None = None

    @property
    def compact(self) -> bytes:
        """The signed compact disclosure in `extended`, b"" without one."""
        return advertisement.heard_service_data(self.extended or b"") or b""

    def __post_init__(self) -> None:
        """BE-1, BE-3, BE-7, BE-36: the byte budgets hold whoever builds one."""
        assert all(len(data) <= MAX_BYTES for data in (self.advertisement, self.scan_response, self.status))
        assert self.extended is None or len(self.extended) <= MAX_EXTENDED_BYTES
        assert all(len(attribute.value) <= gatt.CHUNK_BYTES for attribute in self.attributes)


def compile_broadcast(
    envelope: bytes,
    sequence: int,
    *,
    upcoming: bytes | None = None,
    stop: bytes | None = None,
    compact: bytes | None = None,
    checkpoint: bytes | None = None,
    latest: bytes | None = None,
) -> Broadcast:
    """From the files of the public folder, as the anonymizer wrote them; raise EncodingError, SignatureError or DisclosureError.

    No signature is checked: the beacon has no key, and readers check them themselves. An upcoming disclosure that is shown as the present
    one by now is left out, and so is a compact one of another disclosure: the anonymizer is about to replace it.
    """
    opened = read_envelope(envelope)
    if opened.not_before is not None:
        raise DisclosureError("envelope", expected="a disclosure in force", got="an upcoming one")
    disclosure = decode_disclosure(opened.disclosure)
    name = advertisement.local_name(disclosure.unit, disclosure.colour, opened.digest)
    digest = _upcoming_digest(upcoming, disclosure.unit)
    if digest is None or digest == opened.digest:
        digest = upcoming = None
    if stop is not None:
        read_stop(stop)
    beside = gatt.beside(
        upcoming,
        stop,
        sequence,
        text=plain_text(disclosure, stopped=stop is not None),
        checkpoint=checkpoint,
        latest=latest,
    )
    flags = _flags(disclosure, upcoming=digest is not None, stopped=stop is not None)
    status = advertisement.Status(flags, sequence, opened.digest[:8])
    return Broadcast(
        unit=disclosure.unit,
        name=name,
        digest=opened.digest,
        advertisement=advertisement.advertisement(),
        scan_response=advertisement.scan_response(name),
        attributes=(*gatt.attributes(envelope, sequence), *beside),
        upcoming=digest,
        status=advertisement.service_data(status.encode()),
        extended=_extended(compact, disclosure),
    )


def _flags(disclosure: Disclosure, *, upcoming: bool, stopped: bool) -> advertisement.Flag:
    flags = advertisement.Flag(0)
    if any(element.id in CAMERAS for element in disclosure.elements):
        flags |= advertisement.Flag.CAMERA
    if disclosure.colour != "white":
        flags |= advertisement.Flag.PERSONAL
    if upcoming:
        flags |= advertisement.Flag.UPCOMING
    return flags | advertisement.Flag.STOPPED if stopped else flags


def _extended(compact: bytes | None, disclosure: Disclosure) -> bytes | None:
    """The extended advertisement's data; None without a compact disclosure of this one, or when it does not fit one packet (BE-36)."""
    if compact is None:
        return None
    read = read_compact(compact)
    if (read.unit, read.digest) != (disclosure.unit, disclosure.digest[:DIGEST_BYTES]):
        return None
    fits = len(compact) + advertisement.SERVICE_DATA_OVERHEAD_BYTES <= MAX_EXTENDED_BYTES
    return advertisement.service_data(compact) if fits else None


def _upcoming_digest(upcoming: bytes | None, unit: str) -> bytes | None:
    if upcoming is None:
        return None
    opened = read_envelope(upcoming)
    if opened.not_before is None or decode_disclosure(opened.disclosure).unit != unit:
        raise DisclosureError("upcoming envelope", expected=f"an upcoming disclosure of {unit}", got="another")
    return opened.digest
