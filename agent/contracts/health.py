"""`…/health` on MQTT: how a unit is, in one fixed shape, from the status files of its daemons (I1, I6). Pure.

    {"v":1,"at":1800000060,"firmware_bridge":"ok"    ,"anonymizer":"ok"    ,"beacon":"fault" ,"publisher":"ok"    ,"memory_locked":true ,
     "damaged":"1+"  ,"missing":"0"   ,"dropped":"0"   ,"discarded":"10+" ,"bad_messages":"0"   ,"backlog":"0"   ,"too_old":"0"   }

(One line.) Every value has one length, so every message has. What grows with readings is a bucket of the last day here because it never
left its daemon as anything else: this module reads words of a closed list and passes on nothing that is not in it.
"""

import enum
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent.contracts.status import BUCKETS, MAX_STATUS_BYTES, worst
from agent.errors import MessageError

HEALTH = "health"
MAX_HEALTH_BYTES = 1024
LOCKED = "locked"

COUNTERS = {
    "damaged": ("firmware_bridge", "damaged_"),
    "missing": ("firmware_bridge", "missing_frames"),
    "dropped": ("firmware_bridge", "dropped_"),
    "discarded": ("anonymizer", "discarded_"),
    "bad_messages": ("anonymizer", "bad_messages"),
    "backlog": ("publisher", "backlog"),
    "too_old": ("publisher", "too_old"),
}
"""Name here: the daemon, and how the names of its counters begin; of several the worst is taken."""


class Condition(enum.StrEnum):
    """Of one daemon. ABSENT: it has written no status since the last time."""

    OK = "ok"
    FAULT = "fault"
    ABSENT = "absent"


DAEMONS = ("firmware_bridge", "anonymizer", "beacon", "publisher")


@dataclass(frozen=True, slots=True)
class Report:
    """What one status file says, as far as health takes it over. Of counters only buckets, under the names that COUNTERS knows."""

    ok: bool
    locked: bool
    counters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Health:
    """`at` is in whole Unix seconds. `daemons` and `counters` have exactly the keys of DAEMONS and COUNTERS."""

    at: int
    daemons: Mapping[str, Condition]
    memory_locked: bool
    counters: Mapping[str, str]

    def encode(self) -> bytes:
        """The message: one length whatever it says."""
        fields = [
            '"v":1',
            f'"at":{self.at:<10}',
            *(f'"{name}":{_text(self.daemons[name], _CONDITION_WIDTH)}' for name in DAEMONS),
            f'"memory_locked":{json.dumps(self.memory_locked):<5}',
            *(f'"{name}":{_text(self.counters[name], _BUCKET_WIDTH)}' for name in COUNTERS),
        ]
        return ("{" + ",".join(fields) + "}").encode()


def compile_health(at: int, reports: Mapping[str, tuple[Report | None, ...]]) -> Health:
    """Of each daemon all its reports (None: absent), a daemon being as well as its worst. A counter nobody reports is "0"."""
    daemons, counters = {}, {}
    for name in DAEMONS:
        mine = reports.get(name, ())
        daemons[name] = (
            Condition.ABSENT
            if not mine or None in mine
            else Condition.OK
            if all(report is not None and report.ok for report in mine)
            else Condition.FAULT
        )
    for name, (daemon, prefix) in COUNTERS.items():
        found = [
            value
            for report in reports.get(daemon, ())
            if report is not None
            for key, value in report.counters.items()
            if key.startswith(prefix)
        ]
        counters[name] = worst(found)
    held = [report for name in ("firmware_bridge", "anonymizer") for report in reports.get(name, ())]
    locked = all(report is not None and report.locked for report in held)
    return Health(at, daemons, locked, counters)


def read_status(text: bytes) -> Report:
    """What health takes over from a status file; raise MessageError."""
    item = _object(text, MAX_STATUS_BYTES, "status")
    ok, counters = item.get("ok"), item.get("counters")
    if not isinstance(ok, bool) or not isinstance(counters, dict):
        raise MessageError("status", expected="ok and counters", got="something else")
    taken = {
        name: value
        for name, value in counters.items()
        if value in BUCKETS and any(name.startswith(prefix) for _, prefix in COUNTERS.values())
    }
    return Report(ok, counters.get("memory") == LOCKED, taken)


def decode_health(text: bytes) -> Health:
    """Decode a message; raise MessageError for any that `encode` does not give."""
    item = _object(text, MAX_HEALTH_BYTES, "health")
    try:
        at, locked = item["at"], item["memory_locked"]
        daemons = {name: Condition(item[name]) for name in DAEMONS}
        counters = {name: str(BUCKETS[BUCKETS.index(item[name])]) for name in COUNTERS}
    except (KeyError, ValueError, TypeError) as bad:
        raise MessageError("health", expected="the fields of contracts/health", got=str(bad)[:60]) from None
    if type(at) is not int or not 0 <= at < 10**10 or not isinstance(locked, bool):
        raise MessageError("health", expected="an instant, and whether memory is locked", got="something else")
    health = Health(at, daemons, locked, counters)
    if health.encode() != text:
        raise MessageError("health", expected="the form of contracts/health", got="another")
    return health


def _object(text: bytes, max_bytes: int, where: str) -> dict[str, Any]:
    try:
        if len(text) > max_bytes:
            raise ValueError("too long")
        item = json.loads(text.decode())
    except (ValueError, RecursionError) as bad:
        raise MessageError(where, expected="JSON in UTF-8", got=type(bad).__name__) from None
    if not isinstance(item, dict) or type(item.get("v")) is not int or item["v"] != 1:
        raise MessageError(where, expected="an object of version 1", got=type(item).__name__)
    return item


def _text(value: str, width: int) -> str:
    return f'"{value}"'.ljust(width + 2)


_CONDITION_WIDTH = max(map(len, Condition))
_BUCKET_WIDTH = max(map(len, BUCKETS))
