"""A Broadcast: everything a radio needs to show one disclosure, and what is served beside it. Pure."""

from dataclasses import dataclass

from agent.beacon import advertisement, gatt
from agent.contracts.public import read_envelope, read_stop
from agent.disclosure.datachain import decode_disclosure
from agent.errors import DisclosureError


@dataclass(frozen=True, slots=True)
class Broadcast:
    """One disclosure as it goes on air; `digest` (32 bytes) is what a lease names, `upcoming` the digest served beside it, if any."""

    unit: str
    name: str
    digest: bytes
    advertisement: bytes
    scan_response: bytes
    attributes: tuple[gatt.Attribute, ...]
    upcoming: bytes | None = None

    def __post_init__(self) -> None:
        """BE-1, BE-3, BE-7: the byte budgets hold whoever builds one."""
        assert len(self.advertisement) <= advertisement.MAX_BYTES
        assert len(self.scan_response) <= advertisement.MAX_BYTES
        assert all(len(attribute.value) <= gatt.CHUNK_BYTES for attribute in self.attributes)


def compile_broadcast(
    envelope: bytes, sequence: int, *, upcoming: bytes | None = None, stop: bytes | None = None
) -> Broadcast:
    """From sealed envelopes and a stop notice, as the anonymizer wrote them; raise EncodingError or DisclosureError.

    The signature is not checked: the beacon has no key, and readers check it themselves. An upcoming disclosure that is shown as
    the present one by now is left out.
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
    return Broadcast(
        unit=disclosure.unit,
        name=name,
        digest=opened.digest,
        advertisement=advertisement.advertisement(),
        scan_response=advertisement.scan_response(name),
        attributes=(*gatt.attributes(envelope, sequence), *gatt.beside(upcoming, stop, sequence)),
        upcoming=digest,
    )


def _upcoming_digest(upcoming: bytes | None, unit: str) -> bytes | None:
    if upcoming is None:
        return None
    opened = read_envelope(upcoming)
    if opened.not_before is None or decode_disclosure(opened.disclosure).unit != unit:
        raise DisclosureError("upcoming envelope", expected=f"an upcoming disclosure of {unit}", got="another")
    return opened.digest
