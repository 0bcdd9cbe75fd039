"""A Broadcast: everything a radio needs to show one disclosure. Pure."""

from dataclasses import dataclass

from agent.beacon import advertisement, gatt
from agent.contracts.public import read_envelope
from agent.disclosure.datachain import decode_disclosure


@dataclass(frozen=True, slots=True)
class Broadcast:
    """One disclosure as it goes on air; `digest` (32 bytes) is what a lease names."""

    unit: str
    name: str
    digest: bytes
    advertisement: bytes
    scan_response: bytes
    attributes: tuple[gatt.Attribute, ...]

    def __post_init__(self) -> None:
        """BE-1, BE-3, BE-7: the byte budgets hold whoever builds one."""
        assert len(self.advertisement) <= advertisement.MAX_BYTES
        assert len(self.scan_response) <= advertisement.MAX_BYTES
        assert all(len(attribute.value) <= gatt.CHUNK_BYTES for attribute in self.attributes)


def compile_broadcast(envelope: bytes, sequence: int) -> Broadcast:
    """From a sealed envelope, as the anonymizer wrote it; raise EncodingError or DisclosureError.

    The signature is not checked: the beacon has no key, and readers check it themselves.
    """
    opened = read_envelope(envelope)
    disclosure = decode_disclosure(opened.disclosure)
    name = advertisement.local_name(disclosure.unit, disclosure.colour, opened.digest)
    return Broadcast(
        unit=disclosure.unit,
        name=name,
        digest=opened.digest,
        advertisement=advertisement.advertisement(),
        scan_response=advertisement.scan_response(name),
        attributes=gatt.attributes(envelope, sequence),
    )
