"""What is published: the bytes, topic and MQTT 5 properties of every message (PB-2 to PB-7). Pure.

Invariant: a Release's payload is the log's bytes, untouched, and nothing here depends on when or how often it is sent.
"""

import base64
import dataclasses
import json
from dataclasses import dataclass

from agent.contracts.health import Health
from agent.contracts.log import Release
from agent.contracts.public import State, read_envelope
from agent.disclosure.datachain import decode_disclosure, to_datachain
from agent.errors import DisclosureError, MessageError
from agent.publisher.topics import Topics
from agent.wire.senml import media_type

JSON = "application/json"
NOTE = "text/plain; charset=utf-8"
HEALTH_EXPIRY_S = 1800

LATE = (("late", "true"),)
"""The user property of a Release that is sent after its instant."""

MAX_EXPIRY_S = 2**32 - 1
"""A message expiry interval is four octets (MQTT 5, 3.3.2.3.3)."""


@dataclass(frozen=True, slots=True)
class Message:
    """One PUBLISH at QoS 1. `expiry_s`, `content_type` and `user_properties` exist on MQTT 5 only."""

    topic: str
    payload: bytes
    retain: bool
    content_type: str
    expiry_s: int | None = None
    user_properties: tuple[tuple[str, str], ...] = ()
    spare: bool = False
    """Is it one that publishing goes on without, should the broker refuse it (PB-46)?"""


def state_message(
    topics: Topics, state: State, *, session: str, connection: str, publisher: str, backlog: bool = False
) -> Message:
    """The unit's state (PB-3). `connection` is "online", or "offline" for the will; `publisher` is "ok" or a fault's code; `backlog` says
    whether late Releases are still to come.

    Raises MessageError for a state whose texts are not UTF-8.
    """
    own = {"session": session, "connection": connection, "publisher": publisher, "backlog": backlog}
    item = {"v": 1, **own, **dataclasses.asdict(state)}
    return Message(topics.state, _json(item), True, JSON)


def disclosure_message(topics: Topics, envelope: bytes) -> Message:
    """The disclosure, readable and signed (PB-4); raise EncodingError or DisclosureError for an envelope that holds none."""
    return Message(topics.disclosure, _json(_disclosure(envelope)), True, JSON)


def upcoming_message(topics: Topics, envelope: bytes | None) -> Message:
    """The disclosure of the policy on notice (PB-18), or nothing, which clears what the broker keeps; raises like the other."""
    if envelope is None:
        return Message(topics.upcoming, b"", True, JSON)
    not_before = read_envelope(envelope).not_before
    if not_before is None:
        raise DisclosureError("upcoming envelope", expected="an upcoming disclosure", got="one in force")
    return Message(topics.upcoming, _json({**_disclosure(envelope), "not_before": not_before}), True, JSON)


def _disclosure(envelope: bytes) -> dict[str, object]:
    opened = read_envelope(envelope)
    return {
        "v": 1,
        "digest": opened.digest.hex(),
        "datachain": to_datachain(decode_disclosure(opened.disclosure)),
        "envelope": base64.b64encode(envelope).decode(),
    }


def health_message(topics: Topics, health: Health) -> Message:
    """How the unit is (PB-22); a broker forgets it when two more are overdue."""
    return Message(topics.health, health.encode(), True, JSON, HEALTH_EXPIRY_S)


def checkpoint_message(topics: Topics, note: bytes) -> Message:
    """The signed tree head, byte for byte (PB-5)."""
    return Message(topics.checkpoint, note, True, NOTE)


def expiry_s(release: Release, *, collect_within_s: int, late: bool, now_s: int | None) -> int:
    """How long a broker may keep this Release (PB-20): a live one `collect_within_s`, a late one what is left of it since its window
    ended. 0 or less: it is too old to be sent. `now_s` (Unix seconds) is None while the clock is not trusted: then nothing is too old.
    """
    if not late or now_s is None:
        return collect_within_s
    age_s = now_s - release.window_start - release.window_s
    return collect_within_s - max(0, age_s)


def release_messages(
    topics: Topics, release: Release, *, log_index: int, expiry_s: int, mqtt5: bool, late: bool = False
) -> tuple[Message, ...]:
    """One message, or two without user properties (PB-6): the stored payload, then its signature."""
    signature = base64.b64encode(release.signature).decode()
    digest = release.disclosure_digest.hex()
    data = Message(
        topics.data(release.stream),
        release.payload,
        False,
        media_type(release.payload),
        expiry_s,
        (("sig", signature), ("log-index", str(log_index)), ("disclosure", digest), *LATE[:late]),
    )
    if mqtt5:
        return (data,)
    item = {"v": 1, "log_index": log_index, "disclosure": digest, "late": late, "sig": signature}
    return data, Message(topics.signature(release.stream), _json(item), False, JSON, expiry_s)


def _json(item: object) -> bytes:
    try:
        return json.dumps(item, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError as bad:  # JSON's \ud800 is text to Python, and not to MQTT
        raise MessageError(
            "message", expected="text in UTF-8", got=f"a lone surrogate at character {bad.start}"
        ) from None
