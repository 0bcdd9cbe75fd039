"""What a run has shown so far: the programs' own words, and what can be checked without believing them."""

import base64
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.cli.demo.canaries import Canary, finds_a_planted_one, search
from agent.cli.demo.processes import Line
from agent.cli.demo.report import Report
from agent.cli.demo.stage import CITY, SITE, UNIT, Stage
from agent.contracts.aggregate import Aggregate, Cell
from agent.contracts.log import Release, decode_entry
from agent.contracts.log_file import RELEASES, iter_log
from agent.contracts.public import read_envelope
from agent.contracts.release import governed
from agent.disclosure.datachain import decode_disclosure
from agent.disclosure.plain_language import sentences
from agent.errors import LogDamaged
from agent.local.clock import OPERATOR, Clock
from agent.wire.tlog import TreeHead, open_checkpoint

SLACK_S = 2.0
"""Lines arrive up to half a second late and a busy machine adds more; the notice is not held against the unit so closely."""

_CLOCK = Clock(OPERATOR)

DAEMONS = ("firmware-bridge", "anonymizer", "publisher", "beacon")


@dataclass(slots=True)
class Evidence:
    """Collects lines; `latest` holds each program's last counters, `releases` the city's last rows."""

    notice_s: int
    started: float = field(default_factory=time.monotonic)
    latest: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    releases: deque[Mapping[str, Any]] = field(default_factory=lambda: deque(maxlen=64))
    phone: Mapping[str, Any] = field(default_factory=dict)
    advertisement: Mapping[str, Any] = field(default_factory=dict)
    phone_says: str = "listening"
    upcoming: Mapping[str, Any] = field(default_factory=dict)
    stop_notice: Mapping[str, Any] = field(default_factory=dict)
    sentences: tuple[str, ...] = ()
    disclosure_mqtt: Mapping[str, Any] = field(default_factory=dict)
    state_mqtt: Mapping[str, Any] = field(default_factory=dict)
    first_aggregate_s: float | None = None
    on_air_at: float | None = None
    sent_before_notice: int = 0
    counted_before_notice: int = 0
    verified: int = 0
    in_log_order: bool = True
    conflicts: int = 0
    max_pss_kib: dict[str, int] = field(default_factory=dict)
    _beside: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    _last_index: dict[bool, int] = field(default_factory=dict)
    _received: set[tuple[str, int]] = field(default_factory=set)
    _heard: dict[str, bytearray] = field(default_factory=dict)

    def take(self, line: Line) -> None:
        """Add one line."""
        value = line.value
        if line.program in DAEMONS:
            self.latest[line.program] = value
            if isinstance(pss := value.get("pss_kib"), int):
                self.max_pss_kib[line.program] = max(pss, self.max_pss_kib.get(line.program, 0))
            if line.program == "beacon" and value.get("on_air") and self.on_air_at is None:
                self.on_air_at = time.monotonic()
        elif line.program == "board":
            self.latest["board"] = value
            if self.on_air_at is None or time.monotonic() < self.on_air_at + self.notice_s - SLACK_S:
                self.sent_before_notice = int(value.get("readings_sent", 0))
        elif line.program == "phone":
            self._take_phone(value)
        elif line.program == "subscriber":
            self._take_subscriber(value)

    @property
    def received(self) -> int:
        """Distinct (stream, window) pairs that the subscriber has seen."""
        return len(self._received)

    @property
    def canaries(self) -> list[Canary]:
        """What the board says it has planted."""
        planted = self.latest.get("board", {}).get("canaries", [])
        return [Canary(bytes.fromhex(item["identifier"]), int(item["value"])) for item in planted]

    def counter(self, program: str, name: str) -> int:
        """A program's last exact counter, 0 before its first line."""
        return int(self.latest.get(program, {}).get(name, 0))

    def discarded(self) -> dict[str, int]:
        """Readings discarded by reason: what the anonymizer refused, and what never reached it."""
        return {str(key): int(value) for key, value in self.latest.get("anonymizer", {}).get("discarded", {}).items()}

    def _take_phone(self, value: Mapping[str, Any]) -> None:
        self._hear("the air", value, ("advertisement", "scan_response", "envelope", "notice"))
        match value.get("type"):
            case "advertisement":
                if (
                    self.phone_says == "has read it"
                ):  # a look is over: what it did not find beside the disclosure is gone
                    self.upcoming, self.stop_notice = self._beside.pop("upcoming", {}), self._beside.pop("stop", {})
                self.advertisement = value
                if self.phone_says not in ("hears it", "has read it"):
                    self.phone_says = "hears it"
            case "disclosure":
                self.phone = value
                self.phone_says = "has read it"
                envelope = read_envelope(bytes.fromhex(str(value["envelope"])))
                self.sentences = sentences(decode_disclosure(envelope.disclosure))
            case "upcoming":
                self.upcoming = self._beside["upcoming"] = value
            case "stop":
                self.stop_notice = self._beside["stop"] = value
            case "absent":
                self.phone_says = "hears nothing"
            case "error":
                self.phone_says = f"cannot read it: {value.get('got', value.get('where', ''))}"

    def _take_subscriber(self, value: Mapping[str, Any]) -> None:
        if isinstance(payload := value.get("payload_base64"), str):
            self._heard.setdefault("MQTT payloads", bytearray()).extend(base64.b64decode(payload))
        self._hear("MQTT topics", value, ("topic",))
        for pair in value.get("user_properties") or ():
            self._heard.setdefault("MQTT properties", bytearray()).extend(repr(pair).encode())
        match value.get("type"):
            case "release":
                self._take_release(value)
            case "disclosure":
                self.disclosure_mqtt = value
            case "state" if value.get("connection") == "online":  # a will says what was so when it was left
                self.state_mqtt = value

    def _take_release(self, value: Mapping[str, Any]) -> None:
        self.conflicts += bool(value.get("conflict"))
        key = (str(value["stream"]), int(value["window_start"]))
        if key in self._received:
            return
        self._received.add(key)
        index = int(value["log_index"])
        lane = value.get("late") is True  # what an outage held back comes beside what is new, each in its order
        self.in_log_order &= index > self._last_index.get(lane, -1)
        self._last_index[lane] = index
        self.releases.append(value)
        self.verified += value.get("verified") is True
        if value["state"] != "complete":
            return
        if self.first_aggregate_s is None:
            self.first_aggregate_s = time.monotonic() - self.started
        age_s = _CLOCK.utc_ns() / 1e9 - (value["window_start"] + value["window_s"] / 2)
        middle = time.monotonic() - age_s
        if self.on_air_at is None or middle < self.on_air_at + self.notice_s - SLACK_S:
            self.counted_before_notice += 1

    def _hear(self, place: str, value: Mapping[str, Any], names: tuple[str, ...]) -> None:
        for name in names:
            text = value.get(name)
            if isinstance(text, str):
                heard = self._heard.setdefault(place, bytearray())
                with_hex = name in ("advertisement", "scan_response", "envelope", "notice")
                heard += bytes.fromhex(text) if with_hex else text.encode()

    def places(self, folder: Path) -> dict[str, bytes]:
        """Everywhere a reading must not be: what was heard, and every file in the run's folder."""
        places = {place: bytes(octets) for place, octets in self._heard.items()}
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                places[str(path.relative_to(folder))] = path.read_bytes().rstrip(b"\0")
        return places


def releases_of(stage: Stage) -> list[Release]:
    """The Releases that the log's signed checkpoint covers, read as an auditor would; none before the first checkpoint.

    Raises LogDamaged, EncodingError or SignatureError.
    """
    path = stage.log / RELEASES
    records = list(iter_log(path.read_bytes())) if path.exists() else []
    notes = [record.body for record in records if record.is_checkpoint]
    if not notes:
        return []
    origin = f"{CITY}/{SITE}/{UNIT}"
    checkpoint = open_checkpoint(notes[-1], origin, stage.public_key)
    if checkpoint.origin != origin:
        raise LogDamaged(str(path), expected=f"the log of {origin}", got=checkpoint.origin)
    head = TreeHead()
    releases = []
    for record in records:
        if head.size == checkpoint.size:
            break
        if record.is_checkpoint:
            continue
        head.append(record.body)
        item = decode_entry(record.body)
        if isinstance(item, Release):
            releases.append(item)
    if head.size != checkpoint.size or head.root() != checkpoint.root:
        raise LogDamaged(str(path), expected="the entries of its checkpoint", got="others")
    return releases


def build_report(
    evidence: Evidence, stage: Stage, *, seconds: float, broker: str, restarts: Mapping[str, int], offered: bool = False
) -> Report:
    """Judge a finished run: counts of windows come from the log itself, everything else from where it arrived."""
    releases = releases_of(stage)
    windows = [governed(release) for release in releases]
    canaries = evidence.canaries
    hits = search(canaries, evidence.places(stage.folder))

    def tally(holds: Callable[[Aggregate], bool]) -> dict[str, int]:
        return {
            stream: sum(holds(window) for window in windows if window.terms.stream == stream)
            for stream in stage.streams
        }

    return Report(
        seconds=round(seconds, 1),
        broker=broker,
        readings_sent=evidence.counter("board", "readings_sent"),
        readings_bridged=evidence.counter("firmware-bridge", "readings"),
        readings_counted=evidence.counter("anonymizer", "counted"),
        readings_discarded=evidence.discarded(),
        windows_closed=tally(lambda _: True),
        windows_published=tally(lambda window: any(not isinstance(value, Cell) for value in window.values)),
        windows_suppressed=tally(lambda window: Cell.SUPPRESSED in window.values),
        windows_not_collected=tally(lambda window: window.reason is not None),
        releases_logged=len(releases),
        releases_received=evidence.received,
        releases_verified=evidence.verified,
        releases_in_log_order=evidence.in_log_order,
        conflicts=evidence.conflicts,
        disclosure_digest_ble=str(evidence.phone.get("digest", "")),
        disclosure_digest_mqtt=str(evidence.disclosure_mqtt.get("digest", "")),
        gate_closed_seconds=round(float(evidence.latest.get("anonymizer", {}).get("gate_closed_s", 0.0)), 1),
        counted_before_notice=evidence.counted_before_notice,
        sent_before_notice=evidence.sent_before_notice,
        canaries_planted=len(canaries),
        canary_hits=len(hits),
        canary_search_works=bool(canaries) and all(map(finds_a_planted_one, canaries)),
        seconds_to_first_aggregate=round(evidence.first_aggregate_s or 0.0, 1),
        max_pss_mib={name: round(kib / 1024, 1) for name, kib in sorted(evidence.max_pss_kib.items())},
        restarts=dict(restarts),
        street=not stage.channels and not offered,
    )
