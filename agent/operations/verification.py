"""What a subscriber makes of each message: one record, verified as far as the keys given allow (OP-1 to OP-8 of SPEC.md). Pure.

A record is a dict of JSON values with a `type`: release, gap, disclosure, upcoming, state, checkpoint, health or fault. Only `take` and `overdue` are
called from outside; whatever bytes arrive, they return records and raise nothing.

Invariant: `verified` is True only after a signature by one of the given keys, False only after one failed or was missing, and
None only when no key was given.
"""

import base64
import binascii
import dataclasses
import hashlib
import json
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from agent.contracts import aggregate
from agent.contracts.aggregate import Aggregate, Cell, Template, Value
from agent.contracts.health import decode_health
from agent.contracts.log import AFTER
from agent.contracts.public import Envelope, decode_state, open_envelope, read_envelope
from agent.disclosure.datachain import decode_disclosure, to_datachain
from agent.errors import BadInput, DisclosureError, MessageError, SignatureError
from agent.operations.gaps import Gap
from agent.operations.keyring import GIVEN_UP, Keyring
from agent.operations.placement import Placement, remember
from agent.publisher.topics import VERSION
from agent.wire import tlog

Record = dict[str, Any]

_LATEST = 2**33
"""Beyond the year 2200: no instant of a policy."""

MAX_PAYLOAD_BYTES = 64 * 1024
"""As senml.MAX_PACK_BYTES; a disclosure with its datachain is under 32 KiB."""

MAX_TEMPLATES = 20_000
"""Streams whose terms are kept ready to decode by; about 6 kB each."""

MAX_TOPIC_CHARACTERS = 300
"""Names of units are remembered: five levels of at most 32 characters, and what follows."""

MAX_SESSION_CHARACTERS = 64
MAX_UNSIGNED_BYTES = 64 << 20
"""Of Releases that wait for their signature, some 50,000 of them; beyond it the oldest waits no longer."""

SIGNATURE_WITHIN_S = 2.0
"""How long a Release without the `sig` property waits for its `…/sig` message (MQTT 3.1.1)."""

IGNORED = ("log", "policy")
"""Topics of a unit that are defined elsewhere."""


class Received(NamedTuple):
    """One PUBLISH. `topic` None when it was not UTF-8; `at_s` is a monotonic clock's reading."""

    topic: str | None
    payload: bytes
    user_properties: tuple[tuple[str, str], ...]
    retain: bool
    at_s: float


class _Name(NamedTuple):
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


@dataclass(frozen=True, slots=True)
class _Known:
    """What the last Release of a stream told about all of them."""

    template: Template
    fields: Record


class Verification:
    """Remembers what it needs to tell repeats, conflicts and gaps; `keys` are 32-byte Ed25519 public keys, or a keyring.

    With `shared` other subscribers of a group get a part of the Releases (OP-14): what is missing here is no gap.
    """

    def __init__(self, keys: Sequence[bytes] | Keyring = (), *, shared: bool = False) -> None:
        self._keys = keys if isinstance(keys, Keyring) else Keyring(keys)
        self._known: OrderedDict[tuple[_Name, str], _Known] = OrderedDict()
        self._announced: OrderedDict[tuple[_Name, str], None] = OrderedDict()
        self._placement = Placement(whole=not shared)
        self._online: OrderedDict[_Name, str] = OrderedDict()
        self._heads: OrderedDict[_Name, tlog.Checkpoint] = OrderedDict()
        self._unsigned: OrderedDict[tuple[_Name, str], Received] = OrderedDict()
        self._unsigned_bytes = 0

    def take(self, message: Received) -> list[tuple[Record, Received]]:
        """The records that this message completes, each with the message that it is about."""
        done = self.overdue(message.at_s)
        topic = message.topic
        try:
            if topic is None:
                raise MessageError("topic", expected="UTF-8", got="other bytes")
            if len(topic) > MAX_TOPIC_CHARACTERS:
                raise MessageError("topic", expected=f"at most {MAX_TOPIC_CHARACTERS} characters", got=str(len(topic)))
            if topic.split("/")[5:6] == ["log"]:
                return done  # tiles, for mirrors; they are longer
            if len(message.payload) > MAX_PAYLOAD_BYTES:
                raise MessageError(
                    "payload", expected=f"at most {MAX_PAYLOAD_BYTES} bytes", got=str(len(message.payload))
                )
            done += self._take(topic, message)
        except BadInput as bad:
            done.append((_fault(topic and topic[:MAX_TOPIC_CHARACTERS], bad), message))
        return done

    def overdue(self, at_s: float) -> list[tuple[Record, Received]]:
        """Releases whose signature did not come in time: not verified."""
        done = []
        for key, message in list(self._unsigned.items()):
            if at_s - message.at_s >= SIGNATURE_WITHIN_S:
                self._waiting(*key)
                done += self._release_or_fault(*key, message, None)
        return done

    def _waiting(self, name: _Name, stream: str) -> Received | None:
        """The Release that waited for its signature waits no longer."""
        waiting = self._unsigned.pop((name, stream), None)
        if waiting is not None:
            self._unsigned_bytes -= _size(waiting)
        return waiting

    def _take(self, topic: str, message: Received) -> list[tuple[Record, Received]]:
        match topic.split("/"):
            case [root, version, city, site, unit, *rest] if version == VERSION:
                name = _Name(root, city, site, unit)
            case _:
                raise MessageError("topic", expected=f"<root>/{VERSION}/<city>/<site>/<unit>/…", got="another")
        match rest:
            case ["agg", stream]:
                return self._data(name, stream, message)
            case ["agg", stream, "sig"]:
                return self._signature(name, stream, message)
            case ["state"]:
                return [(record, message) for record in self._state(name, message.payload)]
            case ["disclosure"]:
                return [(self._disclosure(name, message.payload), message)]
            case ["disclosure", "upcoming"]:
                return [(self._upcoming(name, message.payload), message)] if message.payload else []
            case ["checkpoint"]:
                return [(self._checkpoint(name, message.payload), message)]
            case ["health"]:
                return [(_health(name, message.payload), message)]
            case [first, *_] if first in IGNORED:
                return []
        raise MessageError("topic", expected="agg/<stream>, state, disclosure, checkpoint or health", got="another")

    def _data(self, name: _Name, stream: str, message: Received) -> list[tuple[Record, Received]]:
        done = []
        waiting = self._waiting(name, stream)
        if waiting is not None:
            done += self._release_or_fault(name, stream, waiting, None)
        signature = dict(message.user_properties).get("sig")
        if signature is None and self._keys:
            self._unsigned[name, stream] = message
            self._unsigned_bytes += _size(message)
            while self._unsigned_bytes > MAX_UNSIGNED_BYTES:
                oldest = next(iter(self._unsigned))
                if (waiting := self._waiting(*oldest)) is not None:
                    done += self._release_or_fault(*oldest, waiting, None)
        else:
            done += self._release_or_fault(name, stream, message, signature)
        return done

    def _signature(self, name: _Name, stream: str, message: Received) -> list[tuple[Record, Received]]:
        waiting = self._waiting(name, stream)
        item = _object(message.payload, {"v", "log_index", "disclosure", "late", "sig"}, "signature")
        if not isinstance(item["sig"], str) or not isinstance(item["late"], bool):
            raise MessageError("signature", expected="base64 text, and whether it is late", got="something else")
        if waiting is None:
            return []  # no key was given, or it came twice
        signed = waiting._replace(user_properties=(*waiting.user_properties, ("sig", item["sig"])))
        return self._release_or_fault(name, stream, signed, item["sig"], late=item["late"])

    def _release_or_fault(
        self, name: _Name, stream: str, message: Received, signature: str | None, *, late: bool = False
    ) -> list[tuple[Record, Received]]:
        late = late or dict(message.user_properties).get("late") == "true"
        try:
            return [(record, message) for record in self._release(name, stream, message, signature, late=late)]
        except BadInput as bad:
            return [(_fault(message.topic, bad), message)]

    def _release(
        self, name: _Name, stream: str, message: Received, signature: str | None, *, late: bool
    ) -> list[Record]:
        known = self._known.get((name, stream))
        governed = None if known is None else known.template.decode(message.payload)
        if known is None or governed is None:
            governed = aggregate.decode(message.payload)
            known = _read(name, stream, governed)
            remember(self._known, (name, stream), known, MAX_TEMPLATES)
        verified, notes = self._keys.release(name.path, message.payload, signature, governed.log_index)
        digest = known.fields["disclosure"]
        advisory = dict(message.user_properties)
        for key, value in (("log-index", str(governed.log_index)), ("disclosure", digest)):
            if advisory.get(key, value) != value:
                notes.append(f"user property {key} differs from the payload")
        fingerprint = hashlib.sha256(message.payload).digest()
        window = (stream, governed.window_start, governed.terms.window_s)
        found = self._placement.place(name, *window, fingerprint, believed=verified is not False)
        record = {
            **known.fields,
            "window_start": governed.window_start,
            "state": governed.state,
            "coverage": governed.coverage_percent / 100,
            "cells": {label: _json(value) for label, value in governed.cells},
            "log_index": governed.log_index,
            "disclosure_announced": (name, digest) in self._announced,
            "verified": verified,
            "late": late,
            "retry": found.retry,
            "conflict": found.conflict,
            "missing_before": found.missing_before,
            "awaited": found.awaited,
            "notes": notes,
        }
        return [record, *(_gap(name, stream, gap) for gap in found.lost)]

    def _disclosure(self, name: _Name, payload: bytes) -> Record:
        item = _object(payload, {"v", "digest", "datachain", "envelope"}, "disclosure")
        record, envelope = self._disclosed(name, item)
        if envelope.not_before is not None:
            record["notes"].append("it is not in force yet")
        if _agrees(record):
            remember(self._announced, (name, record["digest"]), None)
        return {"type": "disclosure", **record, "agrees": _agrees(record)}

    def _upcoming(self, name: _Name, payload: bytes) -> Record:
        """A policy on notice: what will be in force, and from when at the earliest."""
        item = _object(payload, {"v", "digest", "datachain", "envelope", "not_before"}, "upcoming disclosure")
        record, envelope = self._disclosed(name, item)
        if envelope.not_before is None or not 0 <= envelope.not_before < _LATEST:
            raise DisclosureError(
                "upcoming envelope", expected="an instant before which it is not in force", got="none"
            )
        if item["not_before"] != envelope.not_before:
            record["notes"].append("not_before is not that of the envelope")
        return {"type": "upcoming", **record, "agrees": _agrees(record), "not_before": envelope.not_before}

    def _disclosed(self, name: _Name, item: dict[str, Any]) -> tuple[Record, Envelope]:
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

    def _state(self, name: _Name, payload: bytes) -> list[Record]:
        item = _object(payload, None, "state")
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
        lost = [] if stale else self._placement.says(name, backlog=backlog)
        record = {
            "type": "state",
            **dataclasses.asdict(state),
            "session": session,
            "connection": connection,
            "publisher": publisher,
            "backlog": backlog,
            "stale_will": stale,
        }
        return [record, *(_gap(name, *gap) for gap in lost)]

    def _checkpoint(self, name: _Name, payload: bytes) -> Record:
        checkpoint, signatures = tlog.split_note(payload)
        signers = dict.fromkeys((name.unit, checkpoint.origin))
        verified, notes = self._keys.opened(
            name.path,
            lambda key: any(tlog.signed_by(checkpoint, signatures, signer, key) for signer in signers),
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


def _read(name: _Name, stream: str, governed: Aggregate) -> _Known:
    """What all Releases of these terms have in common; raise MessageError when they are another topic's."""
    terms = governed.terms
    if (terms.city, terms.site, terms.unit, terms.stream) != (name.city, name.site, name.unit, stream):
        raise MessageError("payload", expected="the unit and stream of its topic", got="another base name")
    fields: Record = {
        "type": "release",
        **name.fields(),
        "stream": stream,
        "window_start": None,
        "window_s": terms.window_s,
        "state": None,
        "coverage": None,
        "kind": terms.kind,
        "cells": None,
        "threshold": terms.threshold,
        "sums": terms.sums,
        "noise_sd": float(terms.noise_sd),
        "noise_unit": terms.noise_unit,
        "total_noise_sd": _json(terms.total_noise_sd),
        "guarantee": terms.guarantee.words(),
        "policy_version": terms.policy_version,
        "log_index": None,
        "disclosure": terms.disclosure_digest.hex(),
    }
    return _Known(Template(terms), fields)


def _agrees(record: Record) -> bool:
    """Is there nothing against it? That a previous key signed it, where that may be, is not."""
    return all(record["verified"] and note.startswith(GIVEN_UP) for note in record["notes"])


def _size(message: Received) -> int:
    """Bytes that it holds, about."""
    return 1000 + len(message.payload) + sum(len(name) + len(value) for name, value in message.user_properties)


def _opens(envelope: bytes, key: bytes) -> bool:
    try:
        open_envelope(envelope, key)
    except SignatureError:
        return False
    return True


def _object(payload: bytes, keys: Iterable[str] | None, where: str) -> Record:
    try:
        item = json.loads(payload.decode("utf-8"))
    except (ValueError, RecursionError) as bad:
        raise MessageError(where, expected="JSON in UTF-8", got=type(bad).__name__) from None
    if not isinstance(item, dict) or item.get("v") != 1 or (keys is not None and set(item) != set(keys)):
        raise MessageError(where, expected="an object of version 1 with its fields", got=type(item).__name__)
    return item


def _json(value: Value | None) -> int | float | str | None:
    """As JSON has it: a word for a cell without a number, a decimal as the nearest number, which is written as it was."""
    match value:
        case Cell():
            return value.value
        case Decimal():
            return float(value)
    return value


def _health(name: _Name, payload: bytes) -> Record:
    health = decode_health(payload)
    daemons = {daemon: condition.value for daemon, condition in health.daemons.items()}
    own = {"at": health.at, **daemons, "memory_locked": health.memory_locked, **health.counters}
    return {"type": "health", **name.fields(), **own}


def _gap(name: _Name, stream: str, gap: Gap) -> Record:
    return {"type": "gap", **name.fields(), "stream": stream, **dataclasses.asdict(gap)}


def _fault(topic: str | None, bad: BadInput) -> Record:
    return {"type": "fault", "topic": topic, "where": bad.where, "expected": bad.expected, "got": bad.got}
