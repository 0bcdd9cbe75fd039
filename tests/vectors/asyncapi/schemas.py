"""JSON Schema (draft 7) of every payload. `pack.schema.json` is PACK; the rest stands in asyncapi.yaml alone."""

from typing import Any

from agent.contracts.governed import NotCollected
from agent.contracts.health import COUNTERS, DAEMONS, Condition
from agent.contracts.public import Reason
from agent.contracts.status import BUCKETS

Schema = dict[str, Any]

NAME = "[a-z0-9]([a-z0-9_-]{0,30}[a-z0-9])?"
HEX_32 = "^[0-9a-f]{64}$"
UNIT = {"type": "string", "pattern": "^[A-Za-z0-9%/]{1,9}$"}
TIME = {"type": "integer", "minimum": 0, "maximum": 9_999_999_999, "description": "Unix time in seconds, UTC"}


def record(description: str, **fields: Schema) -> Schema:
    """One SenML record with just these fields."""
    return {
        "type": "object",
        "description": description,
        "properties": fields,
        "required": list(fields),
        "additionalProperties": False,
    }


def _named(name: str, description: str, **fields: Schema) -> Schema:
    return record(description, n={"const": name}, **fields)


_CELL = {"type": "string", "pattern": "^cell/[a-z][a-z0-9_]*(/[a-z][a-z0-9_]*)?$"}
_NUMBER = {"type": "number"}
_COUNT = {"type": "integer", "minimum": 0}
_REQUIRED = {
    "window": record(
        "Which window: `bn` city/site/unit/stream/, `bt` its first second, `v` its length in seconds.",
        bn={"type": "string", "pattern": f"^({NAME}/){{4}}$"},
        bt={"type": "integer", "minimum": 10**9, "maximum": 10**10 - 1},
        n={"const": "window"},
        u={"const": "s"},
        v={"type": "integer", "minimum": 1, "maximum": 86_400},
    ),
    "coverage": _named(
        "coverage",
        "How much of the window was measured.",
        u={"const": "/"},
        v={"type": "number", "minimum": 0, "maximum": 1},
    ),
    "state": _named(
        "state",
        "Whether there are numbers, or why there are none.",
        vs={"enum": ["complete", *(f"not_collected:{reason}" for reason in NotCollected)]},
    ),
    "noise_sd": _named(
        "noise_sd", "Standard deviation of the noise in each number.", u=UNIT, v={"type": "number", "minimum": 0}
    ),
    "threshold": _named("threshold", "A noisy number under it is suppressed; 0: none is.", u=UNIT, v=_COUNT),
    "guarantee": _named(
        "guarantee", "What holds for one person, or that nothing does.", vs={"type": "string", "maxLength": 200}
    ),
    "policy": _named("policy", "The policy's version.", v={"type": "integer", "minimum": 1}),
    "disclosure": _named(
        "disclosure", "The disclosure's digest: SHA-256, hex.", vs={"type": "string", "pattern": HEX_32}
    ),
    "log_index": _named("log_index", "Place in the unit's release log.", v=_COUNT),
}
_OPTIONAL = {
    "sums": _named("sums", "What to know of sums of these numbers.", vs={"type": "string", "maxLength": 200}),
    "total_noise_sd": _named(
        "total_noise_sd", "Standard deviation of the noise in each running total.", u=UNIT, v=_NUMBER
    ),
}
_CELLS = [
    record(
        "A number in unit `u`: of a class, a class's running `total`, a bin, `devices`, an average, or a percentile `p1` to `p99`.",
        n=_CELL,
        u=UNIT,
        v=_NUMBER,
    ),
    record(
        "`suppressed`, `not_collected`; or words where a cell holds words: a bin, `estimate`, `at_least`.",
        n=_CELL,
        vs={"type": "string", "pattern": "^[a-z][a-z0-9_]*$"},
    ),
]

PACK: Schema = {
    "title": "A Release: one window of one stream as a SenML pack (RFC 8428)",
    "description": (
        "The records come in this order; cells last. Blanks before a closing brace make all packs of a stream equally long; they are part of what is signed. "
        "A reader passes over records that it does not know (RFC 8428 section 4.4); this schema names those of version 1."
    ),
    "type": "array",
    "minItems": len(_REQUIRED) + 1,
    "items": {"anyOf": [*_REQUIRED.values(), *_OPTIONAL.values(), *_CELLS]},
    "allOf": [
        *({"contains": {"properties": {"n": {"const": name}}, "required": ["n"]}} for name in _REQUIRED),
        {"contains": {"properties": {"n": _CELL}, "required": ["n"]}},
    ],
}

_TEXT = {"type": "string"}
_DIGEST_OR_NONE = {"type": "string", "pattern": "^([0-9a-f]{64})?$"}


def message(description: str, **fields: Schema) -> Schema:
    """A JSON object of version 1 with just these fields."""
    return record(description, v={"const": 1}, **fields)


STATE = message(
    "What the unit says of itself. `connection` is `offline` in the last will: one of another `session` than the last `online` is an old will and says nothing.",
    session={"type": "string", "pattern": "^[0-9a-f]{16}$"},
    connection={"enum": ["online", "offline"]},
    publisher=_TEXT | {"description": "`ok`, or a fault of log or cursor"},
    backlog={
        "type": "boolean",
        "description": "Are late Releases, held back by an outage, still to come? Always true in a will.",
    },
    city=_TEXT,
    site=_TEXT,
    unit=_TEXT,
    gate={"enum": ["open", "closed"]},
    reason={"enum": [str(reason) for reason in Reason], "description": "why the gate is as it is"},
    since=TIME,
    policy_version=_COUNT,
    disclosure=_DIGEST_OR_NONE,
    notice_remaining_s=_COUNT,
    expires=TIME,
    clock_trusted={"type": "boolean"},
    demo={"type": "boolean"},
    public_key={"type": "string", "pattern": HEX_32, "description": "a claim: verify by the city's key directory"},
    collect_within_s=_COUNT,
    upcoming_version=_COUNT,
    upcoming_disclosure=_DIGEST_OR_NONE,
    upcoming_remaining_s=_COUNT,
    offer_refused=_TEXT,
    stop_reason=_TEXT,
    stop_by=_TEXT,
)

_BASE64 = {"type": "string", "pattern": "^[A-Za-z0-9+/]+={0,2}$"}
_DISCLOSED: dict[str, Schema] = {
    "digest": {"type": "string", "pattern": HEX_32},
    "datachain": {
        "type": "object",
        "description": "a DTPR v1 device datachain",
        "required": ["schema", "datachain", "instance"],
    },
    "envelope": _BASE64 | {"description": "COSE_Sign1 by the unit; only this is evidence"},
}
DISCLOSURE = message("What residents read.", **_DISCLOSED)
UPCOMING: Schema = {
    "oneOf": [
        message("The disclosure of the policy on notice.", **_DISCLOSED, not_before=TIME),
        {"const": "", "description": "No policy is on notice: an empty payload."},
    ]
}
CHECKPOINT: Schema = {
    "type": "string",
    "description": "A C2SP signed note: origin, number of entries, Merkle root, extension lines, signature.",
    "pattern": "^[^\\n]+\\n(0|[1-9][0-9]*)\\n[A-Za-z0-9+/]{43}=\\n([^\\n]+\\n)*\\n(\\u2014 [^ \\n]+ [A-Za-z0-9+/=]+\\n)+$",
}
SIGNATURE = message(
    "The signature of the Release before it on this stream.",
    log_index=_COUNT,
    disclosure={"type": "string", "pattern": HEX_32},
    late={"type": "boolean", "description": "Was it held back by an outage?"},
    sig=_BASE64,
)
_OCTETS: Schema = {"type": "string", "contentEncoding": "base64"}
"""Draft 7 has no octets: a text that stands for them."""

HEALTH = message(
    "How the unit's daemons are. Every message has one length. Counters are of the last day, and no finer than these words.",
    at=TIME,
    **{name: {"enum": [str(condition) for condition in Condition]} for name in DAEMONS},
    memory_locked={"type": "boolean"},
    **{name: {"enum": list(BUCKETS)} for name in COUNTERS},
)
CBOR_PACK = _OCTETS | {
    "contentMediaType": "application/senml+cbor",
    "description": (
        "The records of a pack in JSON under the integer labels of RFC 8428 section 6, and a filler that makes all packs of a stream equally long: "
        "rule `cbor-pack` of pack.cddl. The signature's protected header names the content type."
    ),
}
ENTRIES = _OCTETS | {
    "description": "256 entries of the release log, each behind its length (u16, big endian); C2SP tlog-tiles."
}
TILE = _OCTETS | {"description": "256 SHA-256 hashes of 32 bytes; C2SP tlog-tiles."}
ENTITY: Schema = {
    "oneOf": [
        {
            "type": "object",
            "description": "An MQTT sensor of Home Assistant's discovery; the templates read a pack in JSON.",
            "properties": {
                **{name: _TEXT for name in ("name", "unique_id", "state_topic", "value_template")},
                **{
                    name: _TEXT for name in ("json_attributes_topic", "json_attributes_template", "unit_of_measurement")
                },
                **{
                    name: _TEXT for name in ("availability_topic", "availability_template", "last_reset_value_template")
                },
                "qos": {"const": 1},
                "state_class": {"enum": ["measurement", "total"]},
                "entity_category": {"const": "diagnostic"},
                "expire_after": {"type": "integer", "minimum": 1, "description": "seconds"},
                "device": {"type": "object", "required": ["identifiers", "name", "manufacturer"]},
                "origin": {"type": "object", "required": ["name"]},
            },
            "required": [
                "name",
                "unique_id",
                "state_topic",
                "value_template",
                "availability_topic",
                "device",
                "origin",
            ],
            "additionalProperties": False,
        },
        {"const": "", "description": "The entity is no more: an empty payload."},
    ]
}
POLICY = _OCTETS | {
    "description": "A signed policy or stop order, as `dtpr-agent policy sign` writes it: COSE_Sign. At most 64 KiB."
}
HEADERS: Schema = {
    "type": "object",
    "description": "MQTT 5 user properties. `sig` is base64 of a detached COSE_Sign1 over the payload's bytes; the others are copies for routing.",
    "properties": {
        "sig": _BASE64,
        "log-index": {"type": "string", "pattern": "^[0-9]+$"},
        "disclosure": {"type": "string", "pattern": HEX_32},
        "late": {"const": "true", "description": "Only on what an outage held back; it is no part of what is signed."},
    },
    "required": ["sig", "log-index", "disclosure"],
}
