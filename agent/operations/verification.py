"""What a subscriber makes of each message: one record, verified as far as the keys given allow (OP-1 to OP-8 of SPEC.md). Pure.

A record is a dict of JSON values with a `type`: release, gap, disclosure, upcoming, state, checkpoint, health or fault. Only `take` and `overdue` are
called from outside; whatever bytes arrive, they return records and raise nothing.

Invariant: `verified` is True only after a signature by one of the given keys, False only after one failed or was missing, and
None only when no key was given.
"""

import dataclasses
import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from agent.contracts import aggregate
from agent.contracts.aggregate import Aggregate, Cell, Template, Value
from agent.errors import BadInput, MessageError
from agent.operations.announcements import Announcements, Name, Record, health_record, json_object
from agent.operations.gaps import Gap
from agent.operations.keyring import Keyring
from agent.operations.placement import Placement, remember
from agent.publisher.topics import VERSION

MAX_PAYLOAD_BYTES = 64 * 1024
"""As senml.MAX_PACK_BYTES; a disclosure with its datachain is under 32 KiB."""

MAX_TEMPLATES = 20_000
"""Streams whose terms are kept ready to decode by; about 6 kB each."""

MAX_TOPIC_CHARACTERS = 300
"""Names of units are remembered: five levels of at most 32 characters, and what follows."""

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
        self._known: OrderedDict[tuple[Name, str], _Known] = OrderedDict()
        self._announcements = Announcements(self._keys)
        self._placement = Placement(whole=not shared)
        self._unsigned: OrderedDict[tuple[Name, str], Received] = OrderedDict()
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

    def _waiting(self, name: Name, stream: str) -> Received | None:
        """The Release that waited for its signature waits no longer."""
        waiting = self._unsigned.pop((name, stream), None)
        if waiting is not None:
            self._unsigned_bytes -= _size(waiting)
        return waiting

    def _take(self, topic: str, message: Received) -> list[tuple[Record, Received]]:
        match topic.split("/"):
            case [root, version, city, site, unit, *rest] if version == VERSION:
                name = Name(root, city, site, unit)
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
                return [(self._announcements.disclosure(name, message.payload), message)]
            case ["disclosure", "upcoming"]:
                return [(self._announcements.upcoming(name, message.payload), message)] if message.payload else []
            case ["checkpoint"]:
                return [(self._announcements.checkpoint(name, message.payload), message)]
            case ["health"]:
                return [(health_record(name, message.payload), message)]
            case [first, *_] if first in IGNORED:
                return []
        raise MessageError("topic", expected="agg/<stream>, state, disclosure, checkpoint or health", got="another")

    def _data(self, name: Name, stream: str, message: Received) -> list[tuple[Record, Received]]:
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

    def _signature(self, name: Name, stream: str, message: Received) -> list[tuple[Record, Received]]:
        waiting = self._waiting(name, stream)
        item = json_object(message.payload, {"v", "log_index", "disclosure", "late", "sig"}, "signature")
        if not isinstance(item["sig"], str) or not isinstance(item["late"], bool):
            raise MessageError("signature", expected="base64 text, and whether it is late", got="something else")
        if waiting is None:
            return []  # no key was given, or it came twice
        signed = waiting._replace(user_properties=(*waiting.user_properties, ("sig", item["sig"])))
        return self._release_or_fault(name, stream, signed, item["sig"], late=item["late"])

    def _release_or_fault(
        self, name: Name, stream: str, message: Received, signature: str | None, *, late: bool = False
    ) -> list[tuple[Record, Received]]:
        late = late or dict(message.user_properties).get("late") == "true"
        try:
            return [(record, message) for record in self._release(name, stream, message, signature, late=late)]
        except BadInput as bad:
            return [(_fault(message.topic, bad), message)]

    def _release(
        self, name: Name, stream: str, message: Received, signature: str | None, *, late: bool
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
            "disclosure_announced": self._announcements.announced(name, digest),
            "verified": verified,
            "late": late,
            "retry": found.retry,
            "conflict": found.conflict,
            "missing_before": found.missing_before,
            "awaited": found.awaited,
            "notes": notes,
        }
        return [record, *(_gap(name, stream, gap) for gap in found.lost)]

    def _state(self, name: Name, payload: bytes) -> list[Record]:
        record = self._announcements.state(name, payload)
        lost = [] if record["stale_will"] else self._placement.says(name, backlog=record["backlog"])
        return [record, *(_gap(name, *gap) for gap in lost)]


def _read(name: Name, stream: str, governed: Aggregate) -> _Known:
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


def _size(message: Received) -> int:
    """Bytes that it holds, about."""
    return 1000 + len(message.payload) + sum(len(name) + len(value) for name, value in message.user_properties)


def _json(value: Value | None) -> int | float | str | None:
    """As JSON has it: a word for a cell without a number, a decimal as the nearest number, which is written as it was."""
    match value:
        case Cell():
            return value.value
        case Decimal():
            return float(value)
    return value


def _gap(name: Name, stream: str, gap: Gap) -> Record:
    return {"type": "gap", **name.fields(), "stream": stream, **dataclasses.asdict(gap)}


def _fault(topic: str | None, bad: BadInput) -> Record:
    return {"type": "fault", "topic": topic, "where": bad.where, "expected": bad.expected, "got": bad.got}
