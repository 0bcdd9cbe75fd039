"""Writes compact.json, the vectors that Python and JavaScript both must pass: `python -m tests.beacon.vectors.generate_compact`.

Each vector has a name, the message in hex, and what must come of it: `refused_by` names the layer (cbor, cose, signature, compact), or
`compact` says what is read. The keys are a test's, worthless elsewhere.
"""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.disclosure.compact import Compact, compact_of, open_compact
from agent.disclosure.datachain import compile_disclosure
from agent.errors import DisclosureError, EncodingError, SignatureError
from agent.policy.file import load_policy
from agent.wire import cbor, cose

FILE = Path(__file__).parent / "compact.json"
ROOT = Path(__file__).parents[3]
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
PUBLIC_KEY = cose.public_bytes(KEY)
_L = 2**252 + 27742317777372353535851937790883648493


def read(compact: Compact) -> dict[str, Any]:
    """A compact disclosure as the vectors write it."""
    return {
        "unit": compact.unit,
        "policy_version": compact.policy_version,
        "expires": compact.expires,
        "colour": compact.colour,
        "elements": [element.number for element in compact.elements],
        "organisation": compact.organisation,
        "channel": compact.channel,
        "where": compact.where,
        "digest": compact.digest.hex(),
        "guarantee": [
            int(compact.guarantee.scope),
            compact.guarantee.period,
            compact.guarantee.month,
            compact.guarantee.period_s,
        ],
        "demo": compact.demo,
    }


def outcome(message: bytes) -> dict[str, Any]:
    """What this implementation makes of a message."""
    try:
        cbor.decode(message, max_bytes=700)
    except EncodingError:
        return {"refused_by": "cbor"}
    try:
        return {"compact": read(open_compact(message, PUBLIC_KEY))}
    except SignatureError:
        return {"refused_by": "signature"}
    except EncodingError as bad:
        return {"refused_by": "cose" if bad.where.startswith("COSE") else "compact"}
    except DisclosureError:
        return {"refused_by": "compact"}


def messages() -> Iterator[tuple[str, bytes]]:
    """Every vector's name and message."""
    for path in ("policy.toml", *(f"examples/{p.name}" for p in sorted((ROOT / "config/examples").glob("*.toml")))):
        yield f"good: config/{path}", _sealed(compact_of(compile_disclosure(load_policy(ROOT / "config" / path))))
    bike = compact_of(compile_disclosure(load_policy(ROOT / "config/policy.toml")))
    yield "good: a demonstration", _sealed(dataclasses.replace(bike, demo=True))
    yield (
        "good: Khmer",
        _sealed(dataclasses.replace(bike, organisation="ក្រុងភ្នំពេញ", channel="email", where="a@b.example")),
    )
    yield (
        "good: text that looks like markup",
        _sealed(dataclasses.replace(bike, organisation="<img src=x onerror=alert(1)>")),
    )
    message = _sealed(bike)
    item = cbor.decode(bike.encode())

    def with_(**changed: Any) -> bytes:
        return cose.sign1(cbor.encode({**item, **{int(key[1:]): value for key, value in changed.items()}}), KEY)

    yield "empty", b""
    yield "truncated", message[:-1]
    yield "trailing byte", message + b"\x00"
    yield "too long", message + bytes(700)
    yield "indefinite map", b"\xbf\xff"
    yield "long form of an integer", b"\x18\x17"
    yield "huge length", b"\x5b" + b"\xff" * 8
    yield "deep", b"\x81" * 600
    yield "a float", b"\xf9\x3c\x00"
    yield "undefined", b"\xf7"
    yield "repeated key", b"\xa2\x01\x01\x01\x02"
    yield "unsorted keys", b"\xa2\x02\x01\x01\x02"
    yield "text that is no UTF-8", b"\x62\xc3\x28"
    yield "a surrogate in text", b"\x63\xed\xa0\x80"
    yield "untagged", message[1:]
    yield "COSE_Sign tag", b"\xd8\x62" + message[1:]
    yield "three fields", cbor.encode(cbor.CBORTag(18, cbor.decode(message).value[:3]))
    protected, unprotected, payload, signature = cbor.decode(message).value
    yield "no payload", cbor.encode(cbor.CBORTag(18, [protected, unprotected, None, signature]))
    yield "label in both headers", cbor.encode(cbor.CBORTag(18, [protected, {1: -8}, payload, signature]))
    yield "signed by another key", _sealed(bike, OTHER)
    yield "another algorithm", _resigned({1: -7, 4: PUBLIC_KEY[:8]}, payload)
    yield "no algorithm", _resigned({4: PUBLIC_KEY[:8]}, payload)
    yield "critical header", _resigned({1: -8, 2: [99], 4: PUBLIC_KEY[:8]}, payload)
    yield "good: Ed25519 by its own number", _resigned({1: -19, 4: PUBLIC_KEY[:8]}, payload)
    yield "flipped bit in the payload", message.replace(b"bridge-01", b"bridge-00")
    high = signature[:32] + (int.from_bytes(signature[32:], "little") + _L).to_bytes(32, "little")
    yield "malleable signature", cbor.encode(cbor.CBORTag(18, [protected, unprotected, payload, high]))
    yield "short signature", cbor.encode(cbor.CBORTag(18, [protected, unprotected, payload, signature[:63]]))
    yield "an envelope", cose.sign1(cbor.encode({1: b"disclosure", 2: 1_790_000_000}), KEY)
    yield "payload that is no CBOR", cose.sign1(b"\xff", KEY)
    yield "payload that is a list", cose.sign1(cbor.encode([1]), KEY)
    yield "newer form", with_(_0=2)
    yield "true as a number", with_(_2=True)
    yield "unknown key", with_(_11=1)
    yield "good: a demonstration's hour", with_(_9=True, _10=[0, 61, 93, 3600])
    yield "good: a limit for some numbers only", with_(_10=[2, 61, 100])
    yield "good: no limit in an hour", with_(_10=[3, 3600])
    yield "good: numbers about nobody", with_(_10=[4])
    yield "no guarantee", cose.sign1(cbor.encode({key: value for key, value in item.items() if key != 10}), KEY)
    yield "guarantee as a number", with_(_10=61)
    yield "guarantee of nothing", with_(_10=[])
    yield "guarantee without a month", with_(_10=[0, 61])
    yield "guarantee better than a guess", with_(_10=[0, 49, 93])
    yield "guarantee over a hundred", with_(_10=[0, 61, 101])
    yield "guarantee better for a month", with_(_10=[0, 93, 61])
    yield "fifth scope", with_(_10=[5])
    yield "scope as true", with_(_10=[True, 61, 93])
    yield "numbers where nothing is stated", with_(_10=[4, 61, 93])
    yield "a day in long form", with_(_10=[0, 61, 93, 86400])
    yield "a period of nought", with_(_10=[3, 0])
    yield "guarantee with more behind it", with_(_10=[0, 61, 93, 3600, 1])
    yield "demonstration false", with_(_9=False)
    yield "name of a unit with a blank", with_(_1="bridge 01")
    yield "name of a unit too long", with_(_1="b" * 18)
    yield "version nought", with_(_2=0)
    yield "version negative", with_(_2=-1)
    yield "version of 2^53 + 1", with_(_2=2**53 + 1)
    yield "expires of 2^33", with_(_3=2**33)
    yield "fourth colour", with_(_4=3)
    yield "no elements", with_(_5=b"")
    yield "element 0", with_(_5=b"\x00" + item[5])
    yield "element 255", with_(_5=item[5] + b"\xff")
    yield "element twice", with_(_5=item[5] + item[5][-1:])
    yield "elements out of order", with_(_5=item[5][::-1])
    yield "no technology", with_(_5=b"\x01\x11\x33")
    yield "no organisation", with_(_6=b"")
    yield "organisation as text", with_(_6="City")
    yield "organisation in long form", with_(_6=b"City of Springfield")
    yield "organisation too long", with_(_6=b"x" * 121)
    yield "organisation that is no UTF-8", with_(_6=b"\xc3\x28")
    yield "phrase that there is not", with_(_6=b"\xff")
    yield "blank at the end", with_(_6=b"City ")
    yield "direction mark", with_(_6="City\u202egnp.exe".encode())
    yield "line break", with_(_6=b"City\nof")
    yield "no-break blank", with_(_6="City\u00a0x".encode())
    yield "good: a zero-width joiner", with_(_6="City\u200dx".encode())
    yield "unknown channel", with_(_7=[4, b"x"])
    yield "channel alone", with_(_7=[1])
    yield "short digest", with_(_8=bytes(15))
    yield "long digest", with_(_8=bytes(32))


def main() -> None:
    """Overwrite the file."""
    vectors = []
    for name, message in messages():
        found = outcome(message)
        assert ("compact" in found) is name.startswith("good"), (name, found)
        vectors.append({"name": name, "message": message.hex(), **found})
    whole = {"public_key": PUBLIC_KEY.hex(), "vectors": vectors}
    FILE.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n")


def _sealed(compact: Compact, key: Ed25519PrivateKey = KEY) -> bytes:
    return cose.sign1(compact.encode(), key)


def _resigned(header: dict[int, Any], payload: bytes) -> bytes:
    protected = cbor.encode(header)
    signature = KEY.sign(cbor.encode(["Signature1", protected, b"", payload]))
    return cbor.encode(cbor.CBORTag(18, [protected, {}, payload, signature]))


if __name__ == "__main__":
    main()
