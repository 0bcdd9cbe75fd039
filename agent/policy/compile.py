"""A policy as deterministic CBOR, and back. Pure. The policy digest is SHA-256 over these bytes.

The map has the tables and keys of policy.toml in numbers (`_FORM`); lengths of time are milliseconds for `grace` and seconds
elsewhere, instants Unix seconds, exact numbers [numerator, denominator] in lowest terms.
`decompile_policy` runs the same checks as the parser: no bytes decode to a policy that the parser would refuse.
"""

import dataclasses
import datetime
from fractions import Fraction
from typing import Any

from agent.errors import EncodingError, PolicyError
from agent.policy.model import Policy, Stream
from agent.policy.modes import Threshold
from agent.policy.parse import policy_of
from agent.wire import cbor, toml
from agent.wire.sha256 import sha256

MAX_POLICY_BYTES = 32 * 1024

_TOP = ("schema", "version", "demo", "transport", "unit", "location", "accountable", "contact", "purpose")
_FORM: dict[str, tuple[str, ...]] = {
    "": (*_TOP, "audience", "access", "data", "dates", "budget", "stream"),
    "unit": ("city", "site", "name", "title"),
    "location": ("text", "precision"),
    "accountable": ("name", "vendors"),
    "contact": ("feedback", "address", "phone", "email", "url"),
    "purpose": ("elements",),
    "audience": ("name", "access", "storage", "kept"),
    "access": ("denied",),
    "data": ("licence", "community_labels", "collect_within"),
    "dates": ("issued", "effective", "expires", "notice"),
    "budget": ("period", "cap_rho"),
    "stream": (
        *("name", "channel", "kind", "technology", "window", "grace", "receivers", "privacy"),
        *("classes", "bins", "quantity"),
    ),
    "privacy": (
        *("mode", "rho", "m", "c", "k", "z", "max_count", "epsilon", "addresses"),
        *("low", "high", "step", "samples", "aggregation", "min_samples", "totals"),
        *("percentiles", "percentiles_rho"),
    ),
}
"""Table -> its keys; a key's number is its place. Append only: a number never changes its meaning."""

_NEEDED = {"contact": 1, "stream": 8, "privacy": 1}
"""Tables of which only the first keys are always there; the parser knows which of the others belong."""

_ARRAYS = {"audience", "stream"}
_SECONDS = {"kept", "collect_within", "notice", "period", "window"}
_INSTANTS = {"issued", "effective", "expires"}
_EXACT = {"cap_rho", "rho", "z", "epsilon", "low", "high", "step", "percentiles_rho"}
_PLAIN = {key for keys in _FORM.values() for key in keys} - _SECONDS - _INSTANTS - _EXACT - {"grace", "bins"}
_NAME = "compiled policy"


def compile_policy(policy: Policy) -> bytes:
    """The one encoding of `policy`."""
    return cbor.encode(_numbered(_tree(policy), ""))


def policy_digest(policy: Policy) -> bytes:
    """SHA-256 over the compiled policy, 32 bytes."""
    return sha256(compile_policy(policy))


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
        "transport": policy.transport,
        "unit": {
            "city": policy.unit.city,
            "site": policy.unit.site,
            "name": policy.unit.name,
            "title": policy.title,
        },
        "location": {"text": policy.location.text, "precision": policy.location.precision},
        "accountable": {"name": policy.accountable.name, "vendors": list(policy.vendors)},
        "contact": {"feedback": list(policy.contact.feedback), **dict(policy.contact.channels)},
        "purpose": {"elements": list(policy.purposes)},
        "audience": [
            {
                "name": audience.name,
                "access": audience.access,
                "storage": list(audience.storage),
                "kept": audience.retention_days * 86_400,
            }
            for audience in policy.audiences
        ],
        "access": {"denied": list(policy.denied)},
        "data": {
            "licence": policy.licence,
            "community_labels": list(policy.community_labels),
            "collect_within": policy.collect_within_s,
        },
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
    own: dict[str, Any] = {
        "classes": list(stream.classes),
        "bins": list(stream.bins_s),
        "quantity": stream.quantity,
    }
    return {
        "name": stream.name,
        "channel": stream.channel,
        "kind": stream.kind,
        "technology": stream.technology,
        "window": stream.window_s,
        "grace": int(stream.grace_s * 1000),
        "receivers": list(stream.receivers),
        "privacy": _privacy(stream),
        **{key: value for key, value in own.items() if value},
    }


def _privacy(stream: Stream) -> dict[str, Any]:
    """Every field by its own name, so that none can be forgotten; what totals run over follows from period and window, and
    percentiles that are not published are left out."""
    privacy = stream.privacy
    tree: dict[str, Any] = {"mode": privacy.mode}
    for field in dataclasses.fields(privacy):
        value = getattr(privacy, field.name)
        if isinstance(value, Threshold):
            tree.update(k=value.k, z=_pair(value.z))
        elif field.name == "totals":
            if stream.kind == "count":
                tree["totals"] = "period" if value else "none"
        elif field.name == "percentiles":
            if value:
                tree["percentiles"] = list(value)
        elif field.name != "percentiles_rho" or value:
            tree[field.name] = _pair(value) if isinstance(value, Fraction) else value
    return tree


def _pair(value: Fraction) -> list[int]:
    return [value.numerator, value.denominator]


def _numbered(tree: dict[str, Any], table: str) -> dict[int, Any]:
    keys = _FORM[table]
    return {keys.index(key): _deeper(value, key) for key, value in tree.items()}


def _deeper(value: Any, key: str) -> Any:
    if isinstance(value, dict):
        return _numbered(value, key)
    if isinstance(value, list) and key in _ARRAYS:
        return [_numbered(item, key) for item in value]
    return value


def _named(item: Any, table: str) -> dict[str, Any]:
    """The tables of a policy.toml from decoded CBOR; only shapes are checked here, values by the parser."""
    keys = _FORM[table]
    needed = _NEEDED.get(table, len(keys))
    if not isinstance(item, dict) or not set(range(needed)) <= set(item) <= set(range(len(keys))):
        some = f"{needed - 1}, and of {needed} to {len(keys) - 1}" if needed < len(keys) else str(needed - 1)
        raise PolicyError(
            f"{_NAME}: {table or 'top'}",
            expected=f"a map with the keys 0 to {some}",
            got=f"{len(item)} keys" if isinstance(item, dict) else type(item).__name__,
        )
    return {keys[number]: _value(value, keys[number], table) for number, value in item.items()}


def _value(item: Any, key: str, table: str) -> Any:
    if key in _FORM and key not in _ARRAYS and (table, key) != ("audience", "access"):
        return _named(item, key)
    match item:
        case list() if key in _ARRAYS:
            return [_named(inner, key) for inner in item]
        case list() if key == "bins":
            return [_value(inner, "window", f"{table}.bins") for inner in item]
        case int() if not isinstance(item, bool) and 0 <= item < 2**40 and key in (*_SECONDS, *_INSTANTS, "grace"):
            if key in _INSTANTS:
                return datetime.datetime.fromtimestamp(min(item, 2**33), tz=datetime.UTC)
            return f"{item // 1000}.{item % 1000:03d} seconds" if key == "grace" else f"{item} seconds"
        case [int(numerator), int(denominator)] if denominator > 0 and key in _EXACT:
            return Fraction(numerator, denominator)
        case str() | int() | bool() | list() if key in _PLAIN and key not in _ARRAYS:
            return item
    raise PolicyError(
        f"{_NAME}: {table}.{key}".replace(": .", ": "), expected="a value of its kind", got=type(item).__name__
    )
