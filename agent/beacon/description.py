"""What a reader tells of what it read by radio: the fields of its lines, signature checked where a key is known (SPEC.md, BE-26). Pure."""

from collections.abc import Callable
from typing import Any

from agent.beacon import advertisement, gatt
from agent.contracts.public import open_envelope, open_stop, read_envelope, read_stop
from agent.disclosure.datachain import decode_disclosure
from agent.errors import SignatureError


def disclosure(envelope: bytes, header: gatt.Header, key: bytes | None) -> dict[str, Any]:
    """The fields of a disclosure line; `verified` is None without a key. Raises EncodingError."""
    return {
        **_facts(envelope, key),
        "header": {
            "total": header.total,
            "count": header.count,
            "sequence": header.sequence,
            "sha256": header.sha256.hex(),
        },
    }


def upcoming(envelope: bytes, key: bytes | None) -> dict[str, Any]:
    """The fields of an upcoming line: which version, and from when at the earliest. Raises EncodingError or DisclosureError."""
    opened = read_envelope(envelope)
    return {
        **_facts(envelope, key),
        "version": decode_disclosure(opened.disclosure).policy_version,
        "not_before": opened.not_before,
    }


def stop(notice: bytes, key: bytes | None) -> dict[str, Any]:
    """The fields of a stop line. Raises EncodingError."""
    read = read_stop(notice)
    verified = _verified(lambda known: open_stop(notice, known), key)
    return {
        "reason": read.reason,
        "by": list(read.by),
        "since": read.since,
        "verified": verified,
        "notice": notice.hex(),
    }


def _facts(envelope: bytes, key: bytes | None) -> dict[str, Any]:
    opened = read_envelope(envelope)
    return {
        "digest": opened.digest.hex(),
        "code": advertisement.code(opened.digest),
        "verified": _verified(lambda known: open_envelope(envelope, known), key),
        "issued_at": opened.issued_at,
        "envelope": envelope.hex(),
    }


def _verified(open_: Callable[[bytes], object], key: bytes | None) -> bool | None:
    if key is None:
        return None
    try:
        open_(key)
    except SignatureError:
        return False
    return True
