"""The compact disclosure: what fits a sign's QR code and one extended advertisement (agent/beacon/SPEC.md, BE-28 to BE-33). Pure.

    COSE_Sign1 by the unit over {0: form 1, 1: unit, 2: policy version, 3: expires, 4: colour, 5: element numbers, 6: organisation,
                                 7: [channel, where], 8: first 16 bytes of the disclosure digest, perhaps 9: true (a demonstration),
                                 10: the guarantee}

It is derived from a disclosure and says nothing that the disclosure does not; what it leaves out, the disclosure has.
Invariant: `decode_compact` accepts one encoding of one value, so the bytes under a signature have one reading in every language.
"""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.contracts.public import MAX_COMPACT_BYTES, TOPIC_NAME
from agent.disclosure.datachain import COLOURS, Disclosure
from agent.disclosure.numbers import NUMBERS, REGISTRY, Numbered
from agent.disclosure.presence import Scope, presence
from agent.disclosure.rules import Category
from agent.errors import DisclosureError
from agent.policy.model import CHANNELS
from agent.wire import cbor, cose

if TYPE_CHECKING:  # as in wire/cose: only sealing needs cryptography
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

FORM = 1
DIGEST_BYTES = 16
"""Of the disclosure digest; agent/beacon/SPEC.md, BE-31, says why they suffice."""

MAX_UNIT_CHARACTERS = 17
MAX_TEXT_CHARACTERS = 120
MAX_ELEMENTS = 64
MAX_VERSION = 2**32 - 1
MAX_EXPIRES = 2**33 - 1
MAX_PERIOD_S = 2**32 - 1

UNIT_CODE = 0xC0
PHRASES = {
    0xC1: "https://",
    0xF5: "https://www.",
    0xF6: "/sensors/",
    0xF7: "City of ",
    0xF8: "Department of ",
    0xF9: "Transportation",
    0xFA: "Ville de ",
    0xFB: "Ayuntamiento de ",
    0xFC: "Prefeitura de ",
    0xFD: "Public Works",
    0xFE: "Environment",
}
"""Bytes that UTF-8 never has stand for phrases that addresses and authorities often have; UNIT_CODE for the unit's own name."""

_STEERING = re.compile(
    "[\x00-\x1f\x7f-\xa0\xad\u061c\u1680\u180e\u2000-\u200a\u200e\u200f\u2028-\u202f\u205f\u2061-\u206f\u3000"
    "\ue000-\uf8ff\ufeff\ufff0-\ufffb\ufffe\uffff\U000e0000-\U000e00ff\U000f0000-\U0010ffff]"
)
"""Controls, odd blanks, direction marks and private characters, by number: every reader refuses the same whatever its Unicode version."""

_NEEDED = (Category.ACCOUNTABLE, Category.PURPOSE, Category.TECH)


DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Guarantee:
    """`period` and `month` are N of "right at most N times in 100" (presence.Presence), 0 where nothing is stated; `period_s` in seconds."""

    scope: Scope
    period: int = 0
    month: int = 0
    period_s: int = DAY_S

    def encode(self) -> list[int]:
        """[scope, period, month], [scope] where nothing is stated; the length of a period where that is not a day."""
        numbers = [self.period, self.month] if self.scope <= Scope.NOISY_ONLY else []
        return [int(self.scope), *numbers, *([self.period_s] if self.period_s != DAY_S else [])]


@dataclass(frozen=True, slots=True)
class Compact:
    """A decoded compact disclosure. `digest` are the first 16 bytes of the disclosure digest, `expires` is in Unix seconds."""

    unit: str
    policy_version: int
    expires: int
    colour: str
    elements: tuple[Numbered, ...]
    organisation: str
    channel: str
    where: str
    digest: bytes
    guarantee: Guarantee
    demo: bool = False

    def encode(self) -> bytes:
        """The payload's one encoding."""
        item: dict[int, object] = {
            0: FORM,
            1: self.unit,
            2: self.policy_version,
            3: self.expires,
            4: COLOURS.index(self.colour),
            5: bytes(element.number for element in self.elements),
            6: shorten(self.organisation, self.unit),
            7: [CHANNELS.index(self.channel), shorten(self.where, self.unit)],
            8: self.digest,
            **({9: True} if self.demo else {}),
            10: self.guarantee.encode(),
        }
        return cbor.encode(item)


def compact_of(disclosure: Disclosure) -> Compact:
    """What of a disclosure is said in short: each element once, the preferred feedback channel, the digest's first half."""
    numbers = dict.fromkeys(NUMBERS[element.id, element.mark] for element in disclosure.elements)
    channel, where = disclosure.policy.contact.feedback_channels[0]
    return Compact(
        unit=disclosure.unit,
        policy_version=disclosure.policy_version,
        expires=disclosure.policy.expires,
        colour=disclosure.colour,
        elements=tuple(REGISTRY[number - 1] for number in numbers),
        organisation=disclosure.policy.accountable.name,
        channel=channel,
        where=where,
        digest=disclosure.digest[:DIGEST_BYTES],
        guarantee=guarantee_of(disclosure),
        demo=disclosure.policy.demo,
    )


def guarantee_of(disclosure: Disclosure) -> Guarantee:
    """The bounds that the sign states, in numbers."""
    found = presence(disclosure.policy)
    stated = found.scope <= Scope.NOISY_ONLY
    return Guarantee(
        scope=found.scope,
        period=found.period if stated else 0,
        month=found.month if stated else 0,
        period_s=disclosure.policy.period_s if found.scope is not Scope.NOBODY else DAY_S,
    )


def seal_compact(compact: Compact, key: "Ed25519PrivateKey") -> bytes:
    """Sign; raise DisclosureError when it would not fit, or would not be read back as it is."""
    payload = compact.encode()
    message = cose.sign1(payload, key)
    if len(message) > MAX_COMPACT_BYTES:
        raise DisclosureError(
            "compact disclosure",
            expected=f"at most {MAX_COMPACT_BYTES} bytes",
            got=str(len(message)),
            remedy="shorten the organisation's name or the preferred feedback address",
        )
    decode_compact(payload)
    return message


def read_compact(message: bytes) -> Compact:
    """Read without verifying; raise EncodingError, SignatureError (a header that must be understood) or DisclosureError."""
    return decode_compact(cose.decode_sign1(message, max_bytes=MAX_COMPACT_BYTES).payload or b"")


def open_compact(message: bytes, public_key: bytes) -> Compact:
    """Verify and read; raise EncodingError, SignatureError or DisclosureError."""
    return decode_compact(cose.verify1(message, public_key, max_bytes=MAX_COMPACT_BYTES))


def decode_compact(payload: bytes) -> Compact:
    """Decode a payload; raise EncodingError for other CBOR than ours, DisclosureError for values out of range."""
    item = cbor.decode(payload, max_bytes=MAX_COMPACT_BYTES, max_depth=3)
    if isinstance(item, dict) and type(item.get(0)) is int and item[0] != FORM:
        raise _refused("form", str(FORM), "another", "update the reader: the unit is newer")
    match item:
        case {
            0: int(),
            1: str(unit),
            2: int(version),
            3: int(expires),
            4: int(colour),
            5: bytes(numbers),
            6: bytes(organisation),
            7: [int(channel), bytes(where)],
            8: bytes(digest),
            10: list(guarantee),
        } if len(item) == (11 if item.get(9) is True else 10) and not any(
            type(value) is bool for value in (item[0], version, expires, colour, channel)
        ):
            pass
        case _:
            raise _refused("shape", "a map with the keys 0 to 8 and 10, perhaps 9: true", "another")
    if len(unit) > MAX_UNIT_CHARACTERS or not TOPIC_NAME.fullmatch(unit):
        raise _refused("unit", f"a unit's name of at most {MAX_UNIT_CHARACTERS} characters", "another text")
    for name, number, low, high in (
        ("policy version", version, 1, MAX_VERSION),
        ("expires", expires, 1, MAX_EXPIRES),
        ("colour", colour, 0, len(COLOURS) - 1),
        ("channel", channel, 0, len(CHANNELS) - 1),
    ):
        if not low <= number <= high:
            raise _refused(name, f"{low} to {high}", "another number")
    if len(digest) != DIGEST_BYTES:
        raise _refused("digest", f"{DIGEST_BYTES} bytes", str(len(digest)))
    return Compact(
        unit=unit,
        policy_version=version,
        expires=expires,
        colour=COLOURS[colour],
        elements=_elements(numbers),
        organisation=lengthen(organisation, unit, "organisation"),
        channel=CHANNELS[channel],
        where=lengthen(where, unit, "feedback address"),
        digest=digest,
        guarantee=_guarantee(guarantee),
        demo=9 in item,
    )


def shorten(text: str, unit: str) -> bytes:
    """UTF-8 with the unit's name and the longest fitting phrases, from the left, as single bytes."""
    phrases = sorted({**PHRASES, UNIT_CODE: unit}.items(), key=lambda phrase: (-len(phrase[1]), phrase[0]))
    found = b""
    at = 0
    while at < len(text):
        code, phrase = next((one for one in phrases if text.startswith(one[1], at)), (0, text[at]))
        found += bytes([code]) if code else phrase.encode()
        at += len(phrase)
    return found


def lengthen(data: bytes, unit: str, where: str = "text") -> str:
    """The text of shortened bytes; raise DisclosureError unless it is their one text, printable on one line."""
    phrases = {**PHRASES, UNIT_CODE: unit}
    try:
        parts = re.split(b"([\xc0\xc1\xf5-\xff])", data[: MAX_TEXT_CHARACTERS * 4])
        text = "".join(phrases[part[0]] if index % 2 else part.decode() for index, part in enumerate(parts))
    except (UnicodeDecodeError, KeyError):
        raise _refused(where, "UTF-8 and the registry's phrases", "other bytes") from None
    if not 1 <= len(text) <= MAX_TEXT_CHARACTERS or text != text.strip(" "):
        raise _refused(where, f"1 to {MAX_TEXT_CHARACTERS} characters, no blank at an end", "another length, or blanks")
    if _STEERING.search(text):
        raise _refused(where, "text on one line", "a control or direction character")
    if shorten(text, unit) != data:
        raise _refused(where, "the one short form", "another")
    return text


def _elements(numbers: bytes) -> tuple[Numbered, ...]:
    if not 1 <= len(numbers) <= MAX_ELEMENTS or len(set(numbers)) != len(numbers):
        raise _refused("elements", f"1 to {MAX_ELEMENTS}, each once", "another count, or one twice")
    if min(numbers) < 1 or max(numbers) > len(REGISTRY):
        raise _refused(
            "elements", f"numbers of 1 to {len(REGISTRY)}", "another", "update the reader: the unit is newer"
        )
    found = tuple(REGISTRY[number - 1] for number in numbers)
    categories = [element.category for element in found]
    if categories != sorted(categories) or not set(_NEEDED) <= set(categories) or found[0].id != "institution":
        raise _refused("elements", "the institution, a purpose and a technology, by category", "others")
    return found


def _guarantee(item: list[object]) -> Guarantee:
    """One encoding of one value; N is from 50, a guess, to 100, no limit."""
    match [None if type(one) is not int else one for one in item]:
        case [(0 | 1 | 2) as scope, int(period), int(month), *rest] if 50 <= period <= month <= 100:
            found = (Scope(scope), period, month)
        case [3, *rest]:
            found = (Scope.NONE, 0, 0)
        case [4]:
            return Guarantee(Scope.NOBODY)
        case _:
            raise _refused("guarantee", "[scope 0 to 4, N, N] with N of 50 to 100", "another list")
    match rest:
        case []:
            return Guarantee(*found)
        case [int(period_s)] if 1 <= period_s <= MAX_PERIOD_S and period_s != DAY_S:
            return Guarantee(*found, period_s)
    raise _refused("guarantee", f"a period of 1 to {MAX_PERIOD_S} s where it is not a day", "another length")


def _refused(what: str, expected: str, got: str, remedy: str = "") -> DisclosureError:
    return DisclosureError(f"compact disclosure {what}", expected=expected, got=got, remedy=remedy)
