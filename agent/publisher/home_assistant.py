"""What Home Assistant is told about the unit's streams: one retained discovery message a cell (PB-43 to PB-46). Pure.

    <prefix>/sensor/<root>_<city>_<site>_<unit>/<stream>_CELL_<cell>/config

The single-component form of MQTT discovery, which all versions read. Invariants: everything in them stands in the disclosure in force or in the
unit's name; they depend on nothing else; a cell without a number is unknown to Home Assistant, never 0.
"""

import json
import math
import re
from collections.abc import Iterator

from agent.contracts.cells import CELLS, DEVICES, SINCE, TOTAL
from agent.disclosure.datachain import Disclosure
from agent.errors import EncodingError
from agent.policy.cells import cell_names, cell_unit
from agent.policy.model import Stream
from agent.publisher.message import JSON, Message
from agent.publisher.topics import Topics

ORIGIN = "dtpr-edge-agent"

EXPIRE_WINDOWS = 2
EXPIRE_GRACE_S = 30
"""A stream that says nothing for so long is `unavailable`, as `dtpr-agent subscribe` calls it silent."""

CELL = "_CELL_"
PART = "_PART_"
STATE = "_STATE"
"""Parts of an object id. Names of streams and cells have no capital letters, so no two cells have one id."""

TOPIC = re.compile(r"[A-Za-z0-9_-]+(?:/[A-Za-z0-9_-]+)*/sensor/[a-z0-9_-]+/[A-Za-z0-9_-]+/config")
"""What a discovery topic of ours looks like, under whatever prefix."""

MAX_TOPICS_BYTES = 256 * 1024

_REASONS = json.dumps(list(CELLS))
"""As Jinja has a list."""

UNITS = {"Cel": "°C", "%RH": "%", "ug/m3": "µg/m³", "deg": "°", "/": ""}
"""SenML's units as people write them; the others are the same. A ratio has none."""


def entities(topics: Topics, disclosure: Disclosure, prefix: str) -> tuple[Message, ...]:
    """The discovery messages of every stream in force, in the policy's order."""
    return tuple(
        Message(f"{prefix}/sensor/{node(topics)}/{object_id}/config", _encode(item), True, JSON, spare=True)
        for stream in disclosure.policy.streams
        for object_id, item in _of(topics, disclosure, stream)
    )


def node(topics: Topics) -> str:
    """The unit's place below `<prefix>/sensor/`: what a broker has to let it write."""
    return f"{topics.root}_{topics.city}_{topics.site}_{topics.unit}"


def cleared(topic: str) -> Message:
    """What ends an entity: an empty retained message."""
    return Message(topic, b"", True, JSON, spare=True)


def encode_topics(found: frozenset[str]) -> bytes:
    """The file's text: one topic a line, sorted."""
    return "".join(f"{topic}\n" for topic in sorted(found)).encode("ascii")


def decode_topics(data: bytes) -> frozenset[str]:
    """The strict inverse; raise EncodingError."""
    lines = data.decode("ascii", "replace").split("\n")
    found = frozenset(lines[:-1])
    if len(data) > MAX_TOPICS_BYTES or not all(map(TOPIC.fullmatch, found)) or encode_topics(found) != data:
        raise EncodingError("discovery topics", expected="one topic a line, sorted", got="something else")
    return found


def _of(topics: Topics, disclosure: Disclosure, stream: Stream) -> Iterator[tuple[str, dict[str, object]]]:
    data = topics.data(stream.name)
    common = {
        "state_topic": data,
        "qos": 1,
        "availability_topic": topics.state,
        "availability_template": "{{ value_json.connection }}",
        "expire_after": EXPIRE_WINDOWS * stream.window_s + EXPIRE_GRACE_S,
        "device": {
            "identifiers": [node(topics)],
            "name": disclosure.title,
            "manufacturer": disclosure.policy.accountable.name,
        },
        "origin": {"name": ORIGIN},
    }
    names = cell_names(stream)
    for name in names:
        if name == SINCE:
            continue  # it is the totals' last_reset
        object_id = f"{stream.name}{CELL}{name.replace('/', PART)}"
        yield (
            object_id,
            {
                "name": f"{stream.name} {name.replace('/', ' ')}",
                "unique_id": f"{node(topics)}_{object_id}",
                **_value(stream, name),
                "json_attributes_topic": data,
                "json_attributes_template": _attributes(name),
                **common,
            },
        )
    object_id = f"{stream.name}{STATE}"
    yield (
        object_id,
        {
            "name": f"{stream.name} state",
            "unique_id": f"{node(topics)}_{object_id}",
            "value_template": _fresh(stream, "state", "r.vs", "unknown"),
            "entity_category": "diagnostic",
            **common,
        },
    )


def _value(stream: Stream, name: str) -> dict[str, object]:
    """How the cell is read, and what Home Assistant may do with it."""
    unit = cell_unit(stream, name)
    if not unit:
        shown = f'"unknown" if r.vs in {_REASONS} else r.vs'
        return {"value_template": _fresh(stream, f"cell/{name}", shown, "unknown"), **_category(name)}
    item: dict[str, object] = {
        "value_template": _fresh(stream, f"cell/{name}", 'r.v if r.v is defined else "None"', "None"),
        "state_class": "measurement",
        **_category(name),
    }
    if text := UNITS.get(unit, unit):
        item["unit_of_measurement"] = text
    if name.endswith(f"/{TOTAL}"):
        item["state_class"] = "total"
        item["last_reset_value_template"] = (
            f'{{% for r in value_json if r.n == "cell/{SINCE}" and r.v is defined %}}'
            "{{ r.v | timestamp_utc }}{% endfor %}"
        )
    return item


def _category(name: str) -> dict[str, object]:
    return {"entity_category": "diagnostic"} if name in DEVICES[1:] else {}


def _fresh(stream: Stream, record: str, shown: str, otherwise: str) -> str:
    """The record's value while its window is the last whole one, `otherwise` for one of an outage, which comes late and has no place in the present."""
    last_s = stream.window_s + math.ceil(stream.grace_s)
    condition = f'r.n == "{record}" and now().timestamp() < value_json[0].bt + value_json[0].v + {last_s}'
    return f"{{% for r in value_json if {condition} %}}{{{{ {shown} }}}}{{% else %}}{otherwise}{{% endfor %}}"


def _attributes(name: str) -> str:
    """The pack's head, the noise and the guarantee among it, and whether the cell is published, suppressed or not collected."""
    cell = f"cell/{name}"
    known = f'"published" if r.v is defined or r.vs not in {_REASONS} else r.vs'
    return (
        '{% set ns = namespace(d={"window_start": value_json[0].bt, "window_s": value_json[0].v}) %}'
        f'{{% for r in value_json[1:] if r.n == "{cell}" or not r.n.startswith("cell/") %}}'
        f'{{% set key = {{"state": "window_state", "{cell}": "cell"}}.get(r.n, r.n) %}}'
        f'{{% set value = ({known}) if key == "cell" else r.v if r.v is defined else r.vs %}}'
        "{% set ns.d = dict(ns.d, **{key: value}) %}{% endfor %}{{ ns.d | tojson }}"
    )


def _encode(item: dict[str, object]) -> bytes:
    return json.dumps(item, ensure_ascii=False, separators=(",", ":")).encode()
