"""What a unit says of itself on the broker: disclosures, its state, checkpoints and health, each one record (OP-3, OP-6, OP-7, OP-19 of SPEC.md). Pure.

Invariant: as `operations/verification` has it of `verified`; whatever bytes are given, a method returns a record or raises BadInput.
"""

import base64
import binascii
import dataclasses
import json
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, NamedTuple

from agent.contracts.health import decode_health
from agent.contracts.log_file import AFTER
from agent.contracts.public import Envelope, decode_state, open_envelope, read_envelope
from agent.disclosure.datachain import decode_disclosure, to_datachain
from agent.errors import DisclosureError, MessageError, SignatureError
from agent.operations.keyring import GIVEN_UP, Keyring
from agent.operations.placement import remember
from agent.operations.signatures import verify_ed25519
from agent.wire import tlog

Record = dict[str, Any]

MAX_SESSION_CHARACTERS = 64

_LATEST = 2**33
"""Beyond the year 2200: no instant of a policy."""


class Name(NamedTuple):
    """From the topic: whose message it is."""

    root: str
    city: str
    site: str
    unit: str

    def fields(self) -> Record:
        return {"city": self.city, "site": self.site, "unit": self.unit}

    @property
    def path(self) -> str:
        """As a key directory and a log's origin have it."""
        return f"{self.city}/{self.site}/{self.unit}"


class Announcements:
    """Remembers what of it later messages are held against. `keys` is a keyring, perhaps empty."""

    def __init__(self, keys: Keyring) -> None:
        self._keys = keys
        self._announced: OrderedDict[tuple[Name, str], None] = OrderedDict()
        self._online: OrderedDict[Name, str] = OrderedDict()
        self._heads: OrderedDict[Name, tlog.Checkpoint] = OrderedDict()

    def announced(self, name: Name, digest: str) -> bool:
        """Was the disclosure of this digest (hexadecimal) announced, and agreed with itself?"""
        return (name, digest) in self._announced

    def disclosure(self, name: Name, payload: bytes) -> Record:
        """The disclosure in force."""
        item = json_object(payload, {"v", "digest", "datachain", "envelope"}, "disclosure")
        record, envelope = self._disclosed(name, item)
        if envelope.not_before is not None:
            record["notes"].append("it is not in force yet")
        if _agrees(record):
            remember(self._announced, (name, record["digest"]), None)
        return {"type": "disclosure", **record, "agrees": _agrees(record)}

    def upcoming(self, name: Name, payload: bytes) -> Record:
        """A policy on notice: what will be in force, and from when at the earliest."""
        item = json_object(payload, {"v", "digest", "datachain", "envelope", "not_before"}, "upcoming disclosure")
        record, envelope = self._disclosed(name, item)
        if envelope.not_before is None or not 0 <= envelope.not_before < _LATEST:
            raise DisclosureError(
                "upcoming envelope", expected="an instant before which it is not in force", got="none"
            )
        if item["not_before"] != envelope.not_before:
            record["notes"].append("not_before is not that of the envelope")
        return {"type": "upcoming", **record, "agrees": _agrees(record), "not_before": envelope.not_before}

    def _disclosed(self, name: Name, item: dict[str, Any]) -> tuple[Record, Envelope]:
        if not isinstance(item["envelope"], str):
            raise DisclosureError("disclosure envelope", expected="base64 text", got=type(item["envelope"]).__name__)
        try:
            message = base64.b64decode(item["envelope"], validate=True)
        except (binascii.Error, ValueError):
            raise DisclosureError("disclosure envelope", expected="base64", got="other text") from None
        envelope = read_envelope(message)
        verified, notes = self._keys.opened(name.path, lambda key: _opens(message, key))
        disclosure = decode_disclosure(envelope.disclosure)
        digest = envelope.digest.hex()
        unit = disclosure.policy.unit
        if item["digest"] != digest:
            notes.append("the digest announced is not that of the disclosure")
        if item["datachain"] != to_datachain(disclosure):
            notes.append("the datachain is not that of the disclosure")
        if (unit.city, unit.site, unit.name) != (name.city, name.site, name.unit):
            notes.append("the disclosure is another unit's")
        record = {
            **name.fields(),
            "digest": digest,
            "announced_digest": item["digest"] if isinstance(item["digest"], str) else None,
            "title": disclosure.title,
            "colour": disclosure.colour,
            "policy_version": disclosure.policy_version,
            "issued_at": envelope.issued_at,
            "verified": verified,
            "notes": notes,
        }
        return record, envelope

    def state(self, name: Name, payload: bytes) -> Record:
        """What the unit does, or its last will."""
        item = json_object(payload, None, "state")
        session, connection = item.pop("session", None), item.pop("connection", None)
        publisher, backlog = item.pop("publisher", "ok"), item.pop("backlog", False)
        texts = isinstance(session, str) and isinstance(publisher, str) and len(session) <= MAX_SESSION_CHARACTERS
        if not texts or connection not in ("online", "offline") or not isinstance(backlog, bool):
            raise MessageError("state", expected="session, connection, publisher and backlog", got="something else")
        state = decode_state(json.dumps(item).encode())
        if (state.city, state.site, state.unit) != (name.city, name.site, name.unit):
            raise MessageError("state", expected="the unit of its topic", got="another")
        stale = connection == "offline" and self._online.get(name, session) != session
        if connection == "online":
            remember(self._online, name, session)
        return {
            "type": "state",
            **dataclasses.asdict(state),
            "session": session,
            "connection": connection,
            "publisher": publisher,
            "backlog": backlog,
            "stale_will": stale,
        }

    def checkpoint(self, name: Name, payload: bytes) -> Record:
        """A tree head of its log."""
        checkpoint, signatures = tlog.split_note(payload)
        signers = dict.fromkeys((name.unit, checkpoint.origin))
        verified, notes = self._keys.opened(
            name.path,
            lambda key: any(tlog.signed_by(checkpoint, signatures, signer, key, verify_ed25519) for signer in signers),
            checkpoint.size - 1,
        )
        before = self._heads.get(name)
        if before is not None and before.origin != checkpoint.origin and AFTER in checkpoint.origin:
            notes.append("the log lost its end, and another follows it")
        if before is not None and before.origin == checkpoint.origin and verified is not False:
            if checkpoint.size < before.size:
                notes.append("the log got shorter")
            elif checkpoint.size == before.size and checkpoint.root != before.root:
                notes.append("another root for the same size")
        if verified is not False:
            remember(self._heads, name, checkpoint)
        return {
            "type": "checkpoint",
            **name.fields(),
            "origin": checkpoint.origin,
            "size": checkpoint.size,
            "root": checkpoint.root.hex(),
            "verified": verified,
            "notes": notes,
        }


def _agrees(record: Record) -> bool:
    """Is there nothing against it? That a previous key signed it, where that may be, is not."""
    return all(record["verified"] and note.startswith(GIVEN_UP) for note in record["notes"])


def _opens(envelope: bytes, key: bytes) -> bool:
    try:
        open_envelope(envelope, key)
    except SignatureError:
        return False
    return True


def json_object(payload: bytes, keys: Iterable[str] | None, where: str) -> Record:
    """The JSON object of version 1 with exactly these keys (any, for None); raises MessageError naming `where`."""
    try:
        item = json.loads(payload.decode("utf-8"))
    except (ValueError, RecursionError) as bad:
        raise MessageError(where, expected="JSON in UTF-8", got=type(bad).__name__) from None
    if not isinstance(item, dict) or item.get("v") != 1 or (keys is not None and set(item) != set(keys)):
        raise MessageError(where, expected="an object of version 1 with its fields", got=type(item).__name__)
    return item


def health_record(name: Name, payload: bytes) -> Record:
    """The counters of PB-22 and who runs."""
    health = decode_health(payload)
    daemons = {daemon: condition.value for daemon, condition in health.daemons.items()}
    own = {"at": health.at, **daemons, "memory_locked": health.memory_locked, **health.counters}
    return {"type": "health", **name.fields(), **own}
