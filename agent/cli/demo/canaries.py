"""Planted readings must be nowhere: every form in which an identifier or a value could have slipped out.

The search is tried on itself before it is believed (`finds_a_planted_one`).
"""

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

IDENTIFIER_BYTES = 6
VALUE_BYTES = 4

SHORTEST_PATTERN = 5
"""Characters of base64. Shorter pieces of a value turn up in signatures by chance; with several canaries, at all three
alignments between them, a leak shows all the same."""


@dataclass(frozen=True, slots=True)
class Canary:
    """One planted reading: its identifier and its measured value."""

    identifier: bytes
    value: int

    def forms(self) -> Iterable[tuple[str, bytes]]:
        """(name of the form, bytes to look for, hex in lower case)."""
        for what, raw in (("identifier", self.identifier), ("value", self.value.to_bytes(VALUE_BYTES, "big"))):
            for order, octets in (("", raw), ("reversed ", raw[::-1])):
                yield f"{what} {order}raw", octets  # CBOR carries it so too, behind a head
                yield f"{what} {order}hex", octets.hex().encode()
                for separator in ":- ":
                    yield f"{what} {order}hex{separator}", octets.hex(separator).encode()
                yield f"{what} {order}decimal", str(int.from_bytes(octets, "big")).encode()
                for name, encode in (("base64", base64.b64encode), ("base64url", base64.urlsafe_b64encode)):
                    for shift in range(3):
                        pattern = _core(encode(bytes(shift) + octets), shift, len(octets))
                        if len(pattern) >= SHORTEST_PATTERN:
                            yield f"{what} {order}{name}+{shift}", pattern


def _core(text: bytes, shift: int, length: int) -> bytes:
    """The characters of a base64 text that depend on nothing but the octets after `shift` others."""
    first = -(-shift * 8 // 6)
    last = (shift + length) * 8 // 6
    return text[first:last]


def search(canaries: Iterable[Canary], places: Mapping[str, bytes]) -> list[str]:
    """Every hit, as "form in place". Hex is looked for in either case."""
    hits = []
    lowered = {place: octets.lower() for place, octets in places.items()}
    for canary in canaries:
        for form, pattern in canary.forms():
            hexadecimal = " hex" in f" {form}"
            for place, octets in places.items():
                if (pattern in lowered[place]) if hexadecimal else (pattern in octets):
                    hits.append(f"{form} in {place}")
    return hits


def finds_a_planted_one(canary: Canary) -> bool:
    """Does the search find `canary` in each of its forms, in the middle of other text? And nothing in that text alone?"""
    noise = b'{"n":"cell/bike","v":12}\x00\xff'
    if search([canary], {"noise": noise}):
        return False
    return all(search([canary], {"planted": noise + pattern + noise}) for _, pattern in canary.forms())
