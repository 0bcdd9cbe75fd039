"""Valid examples of everything that is parsed, made by the code that writes it: where a fuzzer begins, and what a mutation spoils."""

import base64
import json
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.anonymizer import extent
from agent.anonymizer.seal import seal
from agent.beacon import advertisement, gatt
from agent.contracts import (
    aggregate,
    board,
    carried,
    health,
    latest,
    lease,
    log,
    log_file,
    public,
    reading,
    rotation,
    status,
)
from agent.contracts.board_seen import BoardSeen
from agent.contracts.gate_log import Change, Further, GateChanges
from agent.contracts.public import Reason
from agent.disclosure import compact
from agent.disclosure.datachain import compile_disclosure, to_datachain
from agent.disclosure.taxonomy import encode_taxonomy
from agent.disclosure.taxonomy_export import read_exports
from agent.operations.keys import encode_directory
from agent.operations.verification import Received, Verification
from agent.policy.compile import compile_policy
from agent.policy.governance import compile_governance, parse_governance
from agent.policy.parse import parse_policy
from agent.policy.signed import Kind
from agent.policy.stop import compile_stop, stop_order
from agent.policy.units import compile_units, parse_units
from agent.publisher import cursor, tile_progress
from agent.wire import cbor, cose, cose_sign, cosignature, senml, senml_cbor, tiles, tlog
from firmware_bridge import cobs, frame
from tests import packs
from tests.packs import COUNT, changed

NAME = "input"
PROJECT = Path(__file__).parents[2]
KEYS = tuple(Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number in range(1, 4))
KEY_BYTES = cose.public_bytes(KEYS[0])
NOW_S = 1_790_000_000
SCHEMA_HASH = bytes(range(32))

POLICIES = tuple(
    path.read_bytes()
    for path in (PROJECT / "config" / "policy.toml", *sorted((PROJECT / "config" / "examples").glob("*.toml")))
)
POLICY = parse_policy(POLICIES[0], NAME)
COMPILED = tuple(compile_policy(parse_policy(text, NAME)) for text in POLICIES)
DISCLOSURE = compile_disclosure(POLICY)


def _governance() -> bytes:
    """The shipped trust root with keys of which we have the private halves."""
    text = (PROJECT / "config" / "governance.toml").read_text()
    lines = []
    keys = [cose.public_bytes(key).hex() for key in KEYS]
    for line in text.splitlines():
        lines.append(f'public_key = "{keys.pop(0)}"' if line.startswith("public_key") else line)
    return "\n".join(lines).encode()


GOVERNANCE = _governance()
ROOT = parse_governance(GOVERNANCE, NAME)
UNITS = (PROJECT / "config" / "units.toml").read_bytes()
STOP = compile_stop(stop_order("springfield", "bridge-01", "A pipe burst", NOW_S - 60))
COMPILED_UNITS = compile_units(parse_units(UNITS, NAME))
CHECKPOINT = tlog.sign_checkpoint(
    tlog.Checkpoint("springfield/river-bridge/bridge-01", 3, bytes(32), ()),
    "springfield/river-bridge/bridge-01",
    KEYS[0],
)
WITNESS = cosignature.Witness("witness.example/w1", cose.public_bytes(KEYS[1]))
COSIGNED = cosignature.cosign(CHECKPOINT, WITNESS.name, KEYS[1], NOW_S)
_LEAVES = [tlog.leaf_hash(bytes([number])) for number in range(3)]
_TWO = tlog.node_hash(_LEAVES[0], _LEAVES[1])
_ROOT = tlog.node_hash(_TWO, _LEAVES[2])
CONSISTENCY = (2).to_bytes(8, "big") + (3).to_bytes(8, "big") + _TWO + _ROOT + _LEAVES[2]
INCLUSION = (2).to_bytes(8, "big") + (3).to_bytes(8, "big") + _LEAVES[2] + _ROOT + _TWO
ENVELOPE = public.seal_envelope(public.Envelope(DISCLOSURE.cbor, NOW_S), KEYS[0])
UPCOMING = public.seal_envelope(public.Envelope(DISCLOSURE.cbor, NOW_S, NOW_S + 60), KEYS[0])
STOP_NOTICE = public.seal_stop(public.StopNotice("It was not as announced", ("steward/ana",), NOW_S), KEYS[0])
LATEST = latest.seal_latest(
    "springfield/river-bridge/bridge-01",
    [
        latest.Figures(
            "crossings",
            1_790_000_100,
            900,
            "complete",
            1,
            (("bike", "count", 41), ("foot", "count", "suppressed"), ("level", "dB", Decimal("51.5"))),
        )
    ],
    KEYS[0],
)
PACK = aggregate.encode(changed(COUNT, window_start=1_790_000_100, disclosure_digest=DISCLOSURE.digest))
PACKS = tuple(map(aggregate.encode, packs.ALL.values()))
IN_CBOR = tuple(aggregate.encode(aggregate.in_cbor(window)) for window in packs.ALL.values())
RELEASE = log.Release(
    "crossings",
    1_790_000_100,
    900,
    PACK,
    cose.sign1(PACK, KEYS[0], detached=True),
    log.Charge(Fraction(1, 32)),
    DISCLOSURE.digest,
).encode()
UNPROTECTED = log.Release(
    "air", 1_800_000_000, 900, PACKS[-1], cose.sign1(PACKS[-1], KEYS[0], detached=True), None, bytes(range(32))
).encode()
UNPROTECTED_CBOR = log.Release(
    "air", 1_800_000_000, 900, IN_CBOR[-1], seal(packs.NONE, None, KEYS[0], cbor=True).signature, None, bytes(range(32))
).encode()
_TOPIC = "dtpr/v1/springfield/river-bridge/bridge-01"
_SIG = (("sig", base64.b64encode(cose.sign1(PACK, KEYS[0], detached=True)).decode()),)
RECEIVED = tuple(
    json.dumps(
        {**record, "payload_base64": base64.b64encode(message.payload).decode(), "user_properties": [*_SIG]}
    ).encode()
    for topic, payload, properties in (
        (f"{_TOPIC}/agg/crossings", PACK, _SIG),
        (f"{_TOPIC}/checkpoint", CHECKPOINT, ()),
    )
    for record, message in Verification([KEY_BYTES]).take(Received(topic, payload, properties, False, 0.0))
)
GATE = GateChanges(NOW_S, (Change(NOW_S, Reason.ON_NOTICE), Change(NOW_S + 4, Reason.OPEN))).encode()
SEEN = BoardSeen(bytes(8), "1.4.2+ge0a1", bytes(32), bytes(32), NOW_S, unsaid=True).encode()
ROTATION = rotation.seal_rotation("springfield/river-bridge/bridge-01", KEYS[0], cose.public_bytes(KEYS[1]), NOW_S)
NOTICE = log.NoticeServed(DISCLOSURE.digest, 900, NOW_S).encode()
_RUN = carried.Run("crossings", 1_800_000_000, 900, 96, Fraction(1, 32))
CARRIED = log.Carried(
    carried.State(
        96,
        (carried.LastWindow("crossings", 1_800_086_400, 255),),
        0,
        (0, 2),
        900,
        NOW_S,
        carried.Spent(_RUN.start, Fraction(3, 7), (_RUN,), (carried.Held(20833, "crossings", 96, _RUN.rho),)),
    )
).encode()


def _logged(size: int, end: int) -> bytes:
    """A checkpoint as it stands in a log."""
    origin = "springfield/river-bridge/bridge-01"
    return tlog.sign_checkpoint(tlog.Checkpoint(origin, size, bytes(32), (f"bytes {end}",)), origin, KEYS[0])


_BEGUN = log_file.pack_checkpoint(_logged(0, 0), 0) + log_file.pack_record(NOTICE)
LOG = _BEGUN + log_file.pack_checkpoint(_logged(1, len(_BEGUN)), len(_BEGUN)) + bytes(64)
HELLO = board.Board(
    "0011223344", "1.0", bytes(32), SCHEMA_HASH, (board.Channel("crossings", "count", ("bike", "foot")),)
).encode()
BATCH = cbor.encode(
    {0: 0, 1: cbor.CBORTag(reading.TAG_UINT16_LE, bytes(4)), 2: cbor.CBORTag(reading.TAG_UINT8, b"\x00\x01")}
)
READING = reading.Header(reading.Kind.READINGS, 2, 1, 1000, 10**12, len(BATCH)).pack() + BATCH
FRAMES = b"".join(
    frame.encode(frame.Frame(kind, number, 1000, count, body, b""), SCHEMA_HASH)
    for number, (kind, count, body) in enumerate(((frame.Type.HELLO, 0, HELLO), (frame.Type.READINGS, 2, BATCH)))
)
STATE = public.State(
    city="springfield",
    site="river-bridge",
    unit="bridge-01",
    gate="open",
    reason=public.Reason.OPEN,
    since=NOW_S,
    policy_version=1,
    disclosure=DISCLOSURE.digest.hex(),
    notice_remaining_s=0,
    expires=POLICY.expires,
    clock_trusted=True,
    demo=False,
    public_key=KEY_BYTES.hex(),
    collect_within_s=604_800,
).encode()
REPLAY = b"time,bike,foot\n2025-09-03T00:00:00,1,2\n2025-09-03T01:00:00,3,\n2025-09-03T02:00:00,0,5\n"
DATACHAIN = json.dumps(to_datachain(DISCLOSURE)).encode()
COMPACT = compact.seal_compact(compact.compact_of(DISCLOSURE), KEYS[0])
ATTRIBUTES = gatt.attributes(ENVELOPE, 7)
LEASE = lease.Lease(DISCLOSURE.digest, lease.OnAir.SERVING, 10**12).encode()


_WORDS = [{"locale": "en", "value": "Words with a {{duration}}"}, {"locale": "fr", "value": "Des mots"}]
_API = {"name": "DTPR Element", "version": "0.2"}
EXPORT = json.dumps(
    [
        {
            "schema": _API,
            "element": {
                "id": "data_retained",
                "category_ids": ["device__retention"],
                "title": _WORDS,
                "description": _WORDS,
                "version": "2026-08-21T00:00:00Z",
                "icon": {"url": "/dtpr-icons/data_retained.svg", "alt_text": _WORDS},
                "variables": [{"id": "duration", "label": _WORDS, "required": True}],
            },
        },
        {
            "schema": {**_API, "name": "DTPR Category"},
            "category": {"id": "device__retention", "name": _WORDS, "version": "2026-08-21T00:00:00Z"},
        },
    ]
).encode()
ICON = (
    b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 36 36"><title>x</title><g fill="#000">'
    b'<path d="M0 0h36v36z"/><circle cx="1" cy="1" r="1" style="fill:#fff"/></g></svg>'
)


def _signed(kind: Kind, payload: bytes) -> bytes:
    return cose_sign.sign(payload, [KEYS[0], KEYS[2]], content_type=kind.content_type)


PUBLISH = (
    bytes([0x32, 37])
    + b"\0\x05a/b/c\0\x07"
    + bytes([17, 0x02, 0, 0, 0, 60, 0x26, 0, 3])
    + b"sig\0\x04AAAA"
    + b"payload..."
)
"""MQTT 5, QoS 1, with an expiry and one user property."""
AUDITED = (
    log.PolicyOffered(_signed(Kind.POLICY, COMPILED[0]), DISCLOSURE.digest, NOW_S - 900).encode(),
    NOTICE,
    log.PolicyTaken(COMPILED[0], DISCLOSURE.digest, 1_790_000_100, 1_790_000_100).encode(),
    log.StopTaken(_signed(Kind.STOP, STOP), ("steward/ana",), 1_790_000_100).encode(),
    log.GovernanceTaken(_signed(Kind.GOVERNANCE, compile_governance(ROOT)), 1_790_000_100).encode(),
    log.Gap("crossings", 1_790_000_100, 900, 3, log.Charge(Fraction(1, 32))).encode(),
    GATE,
    GateChanges(NOW_S, (Change(NOW_S, Reason.OPEN),), Further(9, 7, NOW_S + 60, Reason.LEASE_CLOSED)).encode(),
    SEEN,
    RELEASE,
)
"""Entries of a log, one of each kind."""

_FIRST = parse_units(UNITS, NAME)
ROTATED = encode_directory(
    [
        _FIRST,
        replace(_FIRST, version=9, units=(replace(_FIRST.units[0], public_key=bytes(range(32))), *_FIRST.units[1:])),
    ]
)

SEEDS: dict[str, tuple[bytes, ...]] = {
    "toml": (b'a.b = 1\n[[c]]\nd = ["x", {e = 0.5}]\n', *POLICIES),
    "policy": POLICIES,
    "compiled_policy": COMPILED,
    "governance": (GOVERNANCE,),
    "compiled_governance": (compile_governance(ROOT),),
    "units": (UNITS,),
    "compiled_units": (COMPILED_UNITS,),
    "compiled_stop": (STOP,),
    "signed": (
        *(_signed(Kind.POLICY, compiled) for compiled in COMPILED),
        _signed(Kind.STOP, STOP),
        _signed(Kind.UNITS, COMPILED_UNITS),
        _signed(Kind.GOVERNANCE, compile_governance(ROOT)),
    ),
    "cbor": (HELLO, RELEASE, cbor.encode([1, -1, None, True, {"a": b"b", 1: [[]]}])),
    "cose_sign1": (
        cose.sign1(b"payload", KEYS[0]),
        cose.sign1(b"payload", KEYS[0], detached=True),
        cose.sign1(b"payload", KEYS[0], detached=True, content_type=senml.SENML_CBOR),
    ),
    "cose_sign": (cose_sign.sign(b"payload", KEYS, content_type="text/plain"),),
    "senml": (PACK, *PACKS, senml.encode([senml.Record(bn="urn:x:", n="t", u="Cel", v=1)])),
    "senml_cbor": (*IN_CBOR, senml_cbor.encode([senml.Record(bn="urn:x:", n="t", u="Cel", v=Decimal("1.50"))])),
    "aggregate": (PACK, *PACKS, *IN_CBOR),
    "log": (
        RELEASE,
        GATE,
        SEEN,
        UNPROTECTED,
        UNPROTECTED_CBOR,
        NOTICE,
        CARRIED,
        log.KeyRotated(ROTATION).encode(),
        log_file.pack_record(RELEASE) + log_file.pack_record(NOTICE),
    ),
    "bundles": (b"".join(extent.Bundle(1000 * row, bytes([row]) * 32).encode() for row in range(1, 4)),),
    "log_end": (LOG,),
    "rotation": (ROTATION,),
    "checkpoint": (CHECKPOINT, COSIGNED),
    "tiles": (
        tiles.Tile(None, 1_234_067, 17).path.encode(),
        tiles.topic_of(tiles.Tile(1, 1_234_067)).encode(),
        b"\x02" + tiles.encode_bundle([RELEASE, NOTICE]),
        b"\x03" + b"".join(_LEAVES),
    ),
    "received": RECEIVED,
    "audited": AUDITED,
    "key_directory": (encode_directory([parse_units(UNITS, NAME)]), ROTATED),
    "proof": (CONSISTENCY, INCLUSION),
    "cosignature": (COSIGNED, cosignature.witness_key(WITNESS).encode()),
    "envelope": (ENVELOPE, UPCOMING),
    "stop_notice": (STOP_NOTICE,),
    "disclosure": (DISCLOSURE.cbor,),
    "compact": (COMPACT, *(compact.compact_of(compile_disclosure(parse_policy(p, NAME))).encode() for p in POLICIES)),
    "datachain": (DATACHAIN,),
    "taxonomy": (EXPORT, encode_taxonomy(read_exports([(NAME, EXPORT)]))),
    "icon": (ICON,),
    "state": (STATE,),
    "latest": (LATEST, latest.read_latest(LATEST).encode()),
    "advertisement": (
        advertisement.advertisement(),
        advertisement.scan_response("bridge-01 WABCDEFGHIJ"),
        advertisement.service_data(advertisement.Status(advertisement.Flag(5), 7, DISCLOSURE.digest[:8]).encode()),
    ),
    "unit_reading": (b"".join(one.value for one in ATTRIBUTES), ENVELOPE, CHECKPOINT, LATEST),
    "lease": (LEASE,),
    "hello": (HELLO,),
    "reading": (READING,),
    "frame": (FRAMES, b"\0" + FRAMES[:-3], bytes(cobs.encode(HELLO)) + b"\0"),
    "gatt": (ATTRIBUTES[0].value, ATTRIBUTES[0].value + b"".join(one.value for one in ATTRIBUTES[1:])),
    "settings": ((PROJECT / "config" / "agent.toml").read_bytes(),),
    "cursor": (cursor.encode(1, cursor.Progress(cursor.START, 0, cursor.START.follows(RELEASE, 900))),),
    "health": (health.compile_health(1_800_000_000, {}).encode(),),
    "status": (status.Status("anonymizer", True, "ok", "", {"memory": "locked", "discarded_gate": "10+"}).encode(),),
    "tile_progress": (
        tile_progress.encode_progress(cursor.START, tiles.TileBuilder()),
        tile_progress.encode_progress(
            replace(cursor.START.follows(RELEASE, 900), entries=257),
            tiles.TileBuilder(257, ((bytes(32),), (bytes(32),))),
        ),
    ),
    "discovery_topics": (b"", b"ha/sensor/dtpr_a_b_c/s_CELL_x/config\nha/sensor/dtpr_a_b_c/s_STATE/config\n"),
    "replay": (REPLAY,),
    "publish": (PUBLISH, PUBLISH + b"\xd0\x00" + PUBLISH),
    "subscriber": (PACK, *PACKS, STATE, CHECKPOINT, cose.sign1(PACK, KEYS[0], detached=True)),
}
"""Target -> its seeds."""

ACCEPTED = frozenset(SEEDS) - {
    "frame",
    "gatt",
    "subscriber",
    "reading",
    "compact",
    "latest",
    "advertisement",
    "unit_reading",
}
"""Targets whose parser accepts each seed; of the others, some seeds are whole only in part."""


def write(folder: Path) -> int:
    """Write the corpus, one folder a target; the number of files."""
    count = 0
    for target, seeds in SEEDS.items():
        (folder / target).mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(seeds):
            (folder / target / f"{number}").write_bytes(seed)
            count += 1
    return count
