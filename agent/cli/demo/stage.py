"""What a demo run stands on: one folder with keys, policy, settings and the places where the daemons write."""

import datetime
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.cli.demo.council import DAY_S, STEWARD, Council
from agent.cli.demo.example import channels, shortened
from agent.cli.key import write_new_key
from agent.local.credentials import load_signing_key
from agent.local.files import write_atomic
from agent.policy.model import Policy, Unit
from agent.policy.parse import parse_policy
from agent.wire.cose import public_bytes

CITY, SITE, UNIT = "demo", "bench", "demo-01"
ROOT = "dtpr"
WINDOW_S = 5
PERIOD_S = 600
GRACE_S = 0.5
NOTICE_S = 5
ENDING_S = 30
"""So long the policy of `--offer ending` lasts."""

STREAM = "crossings"
CHANNEL = "street"
DEFAULT_CLASSES = ("bike", "person", "vehicle")

MAX_FOLDER_LENGTH = 80
"""sun_path holds 108 bytes; the longest of ours ends in /run/reading.sock."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Paths and keys of one run."""

    folder: Path
    settings: Path
    policy: Path
    public_key: bytes
    port: int
    council: Council
    classes: tuple[str, ...]
    streams: tuple[str, ...]
    channels: tuple[str, ...] = ()
    """Further channels of the board, beside its street."""

    @property
    def board(self) -> Path:
        """Where the simulator links its pty."""
        return self.folder / "run" / "board"

    @property
    def radio(self) -> Path:
        """Where the virtual controllers listen."""
        return self.folder / "radio"

    @property
    def output(self) -> Path:
        """What the programs print on standard error."""
        return self.folder / "output"

    @property
    def log(self) -> Path:
        """The release log's folder."""
        return self.folder / "log"


def build(folder: Path, port: int, classes: tuple[str, ...], now: int, example: Policy | None = None) -> Stage:
    """Create everything in `folder` (which exists); `now` is Unix seconds, for the policy's dates.

    Without an `example` the unit counts the street by `classes`; with one it does what that says. Raises PolicyError when it cannot.
    """
    if example is None:
        own = parse_policy(policy_text(classes, now), "the demo's policy")
    else:
        own = shortened(
            example, Unit(CITY, SITE, UNIT), issued=now // DAY_S * DAY_S, expires=now + 2 * DAY_S, notice_s=NOTICE_S
        )
    for name in ("run", "log", "public", "status", "publisher", "radio", "output", "offer"):
        (folder / name).mkdir(mode=0o700, exist_ok=True)
    key_file = folder / "unit-key"
    write_new_key(key_file)
    council = Council(CITY, now)
    (folder / "governance.cbor").write_bytes(council.trust_root)
    policy = folder / "policy.cose"
    policy.write_bytes(council.policy(own))
    settings = folder / "agent.toml"
    settings.write_text(_settings_text(folder, port), encoding="utf-8")
    return Stage(
        folder=folder,
        settings=settings,
        policy=policy,
        public_key=public_bytes(load_signing_key(key_file)),
        port=port,
        council=council,
        classes=classes,
        streams=tuple(stream.name for stream in own.streams),
        channels=channels(own) if example is not None else (),
    )


def offer(stage: Stage, kind: str, now: int) -> None:
    """Drop one of council.OFFERS into the unit's offer folder, whole or not at all."""

    def second(**changed: Any) -> Policy:
        return parse_policy(policy_text(stage.classes, now, version=2, **changed), "the policy offered")

    match kind:
        case "laxer":
            message = stage.council.policy(second(rho="0.5", k=5))
        case "stricter":
            message = stage.council.policy(second(rho="0.0625", k=20))
        case "ending":
            message = stage.council.policy(second(expires=now + ENDING_S))
        case "unsigned":
            message = stage.council.policy(second(rho="0.5"), STEWARD)
        case _:
            message = stage.council.stop("residents want to know first who gets the numbers", now)
    write_atomic(stage.folder / "offer" / f"{kind}.cose", message)


def policy_text(
    classes: tuple[str, ...], now: int, *, version: int = 1, rho: str = "0.125", k: int = 10, expires: int | None = None
) -> str:
    """The demo's policy. It says of itself that it is a demonstration; exact counters are allowed under no other."""
    day = datetime.date(1970, 1, 1) + datetime.timedelta(seconds=now)
    end = datetime.datetime.fromtimestamp(now + 2 * DAY_S if expires is None else expires, datetime.UTC)
    return f"""# The demonstration's policy: short windows, a short notice, nobody real.
schema = 1
version = {version}
demo = true
transport = "any"

[unit]
city = "{CITY}"
site = "{SITE}"
name = "{UNIT}"
title = "Street counter"

[location]
text = "where this demonstration runs"
precision = "street"

[accountable]
name = "The person who started this demonstration"
vendors = []

[contact]
address = "whoever sits at this keyboard"
url = "https://dtpr.io"
feedback = ["address"]

[purpose]
elements = ["mobility"]

[[audience]]
name = "city"
access = "available_to_the_accountable_organization"
storage = ["stored_locally"]
kept = "1 day"

[access]
denied = []

[data]
licence = "CC-BY-4.0"
community_labels = []
collect_within = "1 hour"

[dates]
issued = {day}
effective = {day}
expires = {end:%Y-%m-%dT%H:%M:%SZ}
notice = "{NOTICE_S} seconds"

[budget]
period = "{PERIOD_S} seconds"
cap_rho = {rho}

[[stream]]
name = "{STREAM}"
channel = "{CHANNEL}"
kind = "count"
technology = "induction_loop"
classes = {json.dumps(list(classes))}
window = "{WINDOW_S} seconds"
grace = "{GRACE_S} seconds"
receivers = ["city"]

[stream.privacy]
mode = "dp"
rho = {rho}
m = 4
c = 1
k = {k}
z = 2
max_count = 5000
totals = "none"
"""


def _settings_text(folder: Path, port: int) -> str:
    at = {
        name: json.dumps(str(folder / name))
        for name in (
            "policy.cose",
            "governance.cbor",
            "offer",
            "unit-key",
            "log",
            "public",
            "status",
            "publisher/cursor",
        )
    }
    return f"""schema = 1

[paths]
policy = {at["policy.cose"]}
governance = {at["governance.cbor"]}
offer = {at["offer"]}
signing_key = {at["unit-key"]}
log = {at["log"]}
public = {at["public"]}
status = {at["status"]}
cursor = {at["publisher/cursor"]}
reading_socket = {json.dumps(str(folder / "run" / "reading.sock"))}
lease_socket = {json.dumps(str(folder / "run" / "lease.sock"))}

[clock]
trusted_when = "operator"

[mqtt]
host = "127.0.0.1"
port = {port}
root = "{ROOT}"
tls = false

[radio]
backend = "bumble"
transport = {json.dumps(f"unix:{folder / 'radio' / 'hci0'}")}

[boards.demo]
port = {json.dumps(str(folder / "run" / "board"))}
"""
