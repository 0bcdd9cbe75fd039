"""A policy as deterministic CBOR, and back. Pure. The policy digest is SHA-256 over these bytes.

The map has the tables and keys of policy.toml in numbers (`_FORM`); lengths of time are milliseconds for `grace` and seconds
elsewhere, instants Unix seconds, exact numbers [numerator, denominator] in lowest terms.
`decompile_policy` runs the same checks as the parser: no bytes decode to a policy that the parser would refuse.
"""

import datetime
import hashlib
from fractions import Fraction
from typing import Any

from agent.errors import EncodingError, PolicyError
from agent.policy.model import Policy, Stream
from agent.policy.parse import policy_of
from agent.wire import cbor, toml

MAX_POLICY_BYTES = 32 * 1024

_TOP = ("schema", "version", "demo", "unit", "accountable", "purpose", "access", "storage", "retention", "dates")
_FORM: dict[str, tuple[str, ...]] = {
    "": (*_TOP, "budget", "stream"),
    "unit": ("city", "site", "name", "title"),
    "accountable": ("name", "contact", "feedback", "url"),
    "purpose": ("elements",),
    "access": ("elements",),
    "storage": ("elements",),
    "retention": ("kept", "collect_within"),
    "dates": ("issued", "effective", "expires", "notice"),
    "budget": ("period", "cap_rho"),
    "stream": ("name", "channel", "kind", "technology", "classes", "window", "grace", "privacy"),
    "privacy": ("mode", "rho", "m", "c", "k", "z", "max_count"),
}
"""Table -> its keys; a key's number is its place. Append only: a number never changes its meaning."""

_SECONDS = {"kept", "collect_within", "notice", "period", "window"}
_INSTANTS = {"issued", "effective", "expires"}
_EXACT = {"cap_rho", "rho", "z"}
_NAME = "compiled policy"


def compile_policy(policy: Policy) -> bytes:
    """The one encoding of `policy`."""
    return cbor.encode(_numbered(_tree(policy), ""))


def policy_digest(policy: Policy) -> bytes:
    """SHA-256 over the compiled policy, 32 bytes."""
    return hashlib.sha256(compile_policy(policy)).digest()


def decompile_policy(data: bytes) -> Policy:
    """The policy whose encoding is `data`; raises PolicyError for anything else."""
    try:
        item = cbor.decode(data, max_bytes=MAX_POLICY_BYTES, max_depth=6)
    except EncodingError as bad:
        raise PolicyError(_NAME, expected="deterministic CBOR", got=str(bad)) from None
    policy = policy_of(toml.tree(_named(item, ""), _NAME, PolicyError))
    if compile_policy(policy) != data:
        raise PolicyError(_NAME, expected="the one encoding of its values", got="another one")
    return policy


def _tree(policy: Policy) -> dict[str, Any]:
    return {
        "schema": 1,
        "version": policy.version,
        "demo": policy.demo,
        "unit": {
            "city": policy.unit.city,
            "site": policy.unit.site,
            "name": policy.unit.name,
            "title": policy.title,
        },
        "accountable": {
            "name": policy.accountable.name,
            "contact": policy.accountable.contact,
            "feedback": policy.accountable.feedback,
            "url": policy.accountable.url,
        },
        "purpose": {"elements": list(policy.purposes)},
        "access": {"elements": list(policy.access)},
        "storage": {"elements": list(policy.storage)},
        "retention": {"kept": policy.retention_days * 86_400, "collect_within": policy.collect_within_s},
        "dates": {
            "issued": policy.issued,
            "effective": policy.effective,
            "expires": policy.expires,
            "notice": policy.notice_s,
        },
        "budget": {"period": policy.period_s, "cap_rho": _pair(policy.cap_rho)},
        "stream": [_stream(stream) for stream in policy.streams],
    }


def _stream(stream: Stream) -> dict[str, Any]:
    privacy = stream.privacy
    return {
        "name": stream.name,
        "channel": stream.channel,
        "kind": stream.kind,
        "technology": stream.technology,
        "classes": list(stream.classes),
        "window": stream.window_s,
        "grace": int(stream.grace_s * 1000),
        "privacy": {
            "mode": "dp",
            "rho": _pair(privacy.rho),
            "m": privacy.m,
            "c": privacy.c,
            "k": privacy.threshold.k,
            "z": _pair(privacy.threshold.z),
            "max_count": privacy.max_count,
        },
    }


def _pair(value: Fraction) -> list[int]:
    return [value.numerator, value.denominator]


def _numbered(tree: dict[str, Any], table: str) -> dict[int, Any]:
    keys = _FORM[table]
    return {keys.index(key): _deeper(value, key) for key, value in tree.items()}


def _deeper(value: Any, key: str) -> Any:
    if isinstance(value, dict):
        return _numbered(value, key)
    if isinstance(value, list) and key == "stream":
        return [_numbered(item, key) for item in value]
    return value


def _named(item: Any, table: str) -> dict[str, Any]:
    """The tables of a policy.toml from decoded CBOR; only shapes are checked here, values by the parser."""
    keys = _FORM[table]
    if not isinstance(item, dict) or set(item) != set(range(len(keys))):
        raise PolicyError(
            f"{_NAME}: {table or 'top'}",
            expected=f"a map with the keys 0 to {len(keys) - 1}",
            got=f"{len(item)} keys" if isinstance(item, dict) else type(item).__name__,
        )
    return {key: _value(item[number], key, table) for number, key in enumerate(keys)}


def _value(item: Any, key: str, table: str) -> Any:
    if key in _FORM and key != "stream":
        return _named(item, key)
    match item:
        case list() if key == "stream":
            return [_named(stream, key) for stream in item]
        case int() if not isinstance(item, bool) and 0 <= item < 2**40 and key in (*_SECONDS, *_INSTANTS, "grace"):
            if key in _INSTANTS:
                return datetime.datetime.fromtimestamp(min(item, 2**33), tz=datetime.UTC)
            return f"{item // 1000}.{item % 1000:03d} seconds" if key == "grace" else f"{item} seconds"
        case [int(numerator), int(denominator)] if denominator > 0 and key in _EXACT:
            return Fraction(numerator, denominator)
        case str() if key not in (*_SECONDS, *_INSTANTS, *_EXACT, "grace"):
            return item
        case int() | bool() | list() if key not in (*_SECONDS, *_INSTANTS, *_EXACT, "grace"):
            return item
    raise PolicyError(
        f"{_NAME}: {table}.{key}".replace(": .", ": "), expected="a value of its kind", got=type(item).__name__
    )
