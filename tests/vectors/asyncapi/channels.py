"""The channels of config/asyncapi.yaml: one row a topic. A new topic is a schema, an example and a row."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.anonymizer.seal import seal
from agent.contracts.guarantee import NoGuarantee
from agent.contracts.health import DAEMONS, Report, compile_health
from agent.contracts.log import Release
from agent.contracts.public import Envelope, Reason, State, seal_envelope
from agent.disclosure.datachain import compile_disclosure
from agent.policy.file import load_policy
from agent.publisher.home_assistant import cleared, entities
from agent.publisher.message import (
    Message,
    checkpoint_message,
    disclosure_message,
    health_message,
    release_messages,
    state_message,
    upcoming_message,
)
from agent.publisher.topics import Topics
from agent.wire.cose import public_bytes
from agent.wire.tlog import Checkpoint, TreeHead, sign_checkpoint
from tests import packs
from tests.vectors.asyncapi import schemas
from tests.vectors.asyncapi.schemas import Schema

CONFIG = Path(__file__).parents[3] / "config"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
NOW = 1_800_000_000


@dataclass(frozen=True, slots=True)
class Example:
    """A message that the unit's own code made, under a name."""

    name: str
    message: Message

    def payload(self) -> Any:
        """As a JSON value; text stays text, octets are in base64."""
        if "cbor" in self.message.content_type:
            return base64.b64encode(self.message.payload).decode()
        text = self.message.payload.decode()
        return json.loads(text) if "json" in self.message.content_type and text else text

    def headers(self) -> Mapping[str, str]:
        """MQTT 5 user properties."""
        return dict(self.message.user_properties)


@dataclass(frozen=True, slots=True)
class Channel:
    """`address` is what follows `{root}/v1/{city}/{site}/{unit}/`, or all of it where it begins with `{prefix}/`; `others` are further messages that may come there."""

    name: str
    address: str
    summary: str
    retained: bool
    content_type: str
    payload: Schema
    examples: tuple[Example, ...]
    headers: Schema | None = None
    action: Literal["send", "receive"] = "send"
    """As the unit does it."""
    qos: int = 1
    others: tuple["Channel", ...] = ()


def channels() -> tuple[Channel, ...]:
    """All of them, with examples of `config/policy.toml` and of every kind of stream."""
    policy = load_policy(CONFIG / "policy.toml")
    disclosure = compile_disclosure(policy)
    unit = policy.unit
    topics = Topics("dtpr", unit.city, unit.site, unit.name)
    releases = {name: _sealed(name) for name in packs.ALL}
    head = TreeHead()
    for release in releases.values():
        head.append(release.encode())
    state = State(
        city=unit.city,
        site=unit.site,
        unit=unit.name,
        gate="open",
        reason=Reason.OPEN,
        since=NOW,
        policy_version=policy.version,
        disclosure=disclosure.digest.hex(),
        notice_remaining_s=0,
        expires=policy.expires,
        clock_trusted=True,
        demo=policy.demo,
        public_key=public_bytes(KEY).hex(),
        collect_within_s=policy.collect_within_s,
    )
    closed = replace(state, gate="closed", reason=Reason.NO_LEASE)
    note = sign_checkpoint(Checkpoint(f"{unit.city}/{unit.site}/{unit.name}", head.size, head.root()), unit.name, KEY)
    later = compile_disclosure(replace(policy, version=policy.version + 1))
    shown = seal_envelope(Envelope(disclosure.cbor, NOW), KEY)
    upcoming = seal_envelope(Envelope(later.cbor, NOW, NOW + 14 * 86_400), KEY)

    def said(state: State, connection: str, *, backlog: bool) -> Message:
        session = "6cedb0936621f135"
        return state_message(topics, state, session=session, connection=connection, publisher="ok", backlog=backlog)

    def sent(release: Release, *, mqtt5: bool, late: bool = False) -> tuple[Message, ...]:
        expiry_s = policy.collect_within_s
        return release_messages(topics, release, log_index=17, expiry_s=expiry_s, mqtt5=mqtt5, late=late)

    told = entities(topics, disclosure, "homeassistant")
    well = {name: (Report(True, True, {}),) for name in DAEMONS}
    troubled = well | {"firmware_bridge": (Report(False, True, {"missing_frames": "10+"}),), "beacon": (None,)}

    return (
        Channel(
            "release",
            "agg/{stream}",
            "One window of one stream, always, at the same length, whatever it held.",
            False,
            "application/senml+json",
            schemas.PACK,
            (
                *(Example(name, sent(release, mqtt5=True)[0]) for name, release in releases.items()),
                Example("count-late", sent(releases["count"], mqtt5=True, late=True)[0]),
            ),
            schemas.HEADERS,
            others=(
                Channel(
                    "release-cbor",
                    "agg/{stream}",
                    "The same in CBOR, from a unit that is set to it.",
                    False,
                    "application/senml+cbor",
                    schemas.CBOR_PACK,
                    tuple(Example(name, sent(_sealed(name, cbor=True), mqtt5=True)[0]) for name in packs.ALL),
                    schemas.HEADERS,
                ),
            ),
        ),
        Channel(
            "signature",
            "agg/{stream}/sig",
            "On MQTT 3.1.1 connections only, which have no user properties.",
            False,
            "application/json",
            schemas.SIGNATURE,
            (Example("count", sent(releases["count"], mqtt5=False)[1]),),
        ),
        Channel(
            "state",
            "state",
            "Online or offline, the gate and why it is closed, the policies. The last will is one of these.",
            True,
            "application/json",
            schemas.STATE,
            (
                Example("online", said(state, "online", backlog=False)),
                Example("offline", said(closed, "offline", backlog=True)),
            ),
        ),
        Channel(
            "disclosure",
            "disclosure",
            "The disclosure in force: for people, for programs, and signed as it is on air.",
            True,
            "application/json",
            schemas.DISCLOSURE,
            (Example("in-force", disclosure_message(topics, shown)),),
        ),
        Channel(
            "upcoming",
            "disclosure/upcoming",
            "The same of a policy on notice, and from when it can be in force; empty when there is none.",
            True,
            "application/json",
            schemas.UPCOMING,
            (Example("on-notice", upcoming_message(topics, upcoming)), Example("none", upcoming_message(topics, None))),
        ),
        Channel(
            "checkpoint",
            "checkpoint",
            "How long the release log is, and its Merkle root, signed by the unit (C2SP tlog-checkpoint).",
            True,
            "text/plain; charset=utf-8",
            schemas.CHECKPOINT,
            (Example("head", checkpoint_message(topics, note)),),
        ),
        Channel(
            "health",
            "health",
            "How the unit's daemons are, in one fixed shape at fixed times. A broker forgets it after half an hour.",
            True,
            "application/json",
            schemas.HEALTH,
            (
                Example("well", health_message(topics, compile_health(NOW, well))),
                Example("troubled", health_message(topics, compile_health(NOW, troubled))),
            ),
        ),
        Channel(
            "entries",
            "log/entries/{number}",
            "256 entries of the release log, once, when they are whole.",
            False,
            "application/octet-stream",
            schemas.ENTRIES,
            (),
        ),
        Channel(
            "tile",
            "log/tile/{level}/{number}",
            "A whole hash tile of the release log, once.",
            False,
            "application/octet-stream",
            schemas.TILE,
            (),
        ),
        Channel(
            "entity",
            "{prefix}/sensor/{node}/{object}/config",
            "What Home Assistant is told of one cell; only from units whose operator wants it. Empty when the cell is no more.",
            True,
            "application/json",
            schemas.ENTITY,
            (
                *(Example(message.topic.split("/")[3], message) for message in told),
                Example("no more", cleared(told[0].topic)),
            ),
        ),
        Channel(
            "policy",
            "policy",
            "Where a city may leave a signed policy or stop order; only units whose operator allows it read it.",
            True,
            "application/octet-stream",
            schemas.POLICY,
            (),
            action="receive",
            qos=0,
        ),
    )


def _sealed(name: str, *, cbor: bool = False) -> Release:
    window = packs.ALL[name]
    return seal(window, None if isinstance(window.terms.guarantee, NoGuarantee) else packs.CHARGE, KEY, cbor=cbor)
