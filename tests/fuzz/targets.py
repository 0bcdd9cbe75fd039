"""One function a parser: the documented error may be raised inside, nothing else; a value that comes back must survive its own encoding.

To add a parser, write `target_<name>` with `@reads("package.module.function")` and give it seeds in `seeds`; a test finds parsers without one.
"""

import asyncio
import contextlib
import hashlib
import json
from collections.abc import Callable
from uuid import UUID

from agent.anonymizer import batch, extent
from agent.beacon import advertisement, gatt
from agent.beacon.reading import Reading, read_unit
from agent.beacon.verdict import Trust, Verdict, judge
from agent.contracts import (
    aggregate,
    board,
    health,
    latest,
    lease,
    log,
    log_end,
    log_file,
    public,
    reading,
    release,
    rotation,
)
from agent.contracts.status import BUCKETS
from agent.disclosure import compact, datachain, validation
from agent.disclosure.icon import check_icon
from agent.disclosure.taxonomy import encode_taxonomy
from agent.disclosure.taxonomy_export import decode_taxonomy, read_exports
from agent.errors import (
    BoardError,
    DisclosureError,
    EncodingError,
    LogDamaged,
    MessageError,
    PolicyError,
    ReplayError,
    SettingsError,
    SignatureError,
    TaxonomyError,
)
from agent.local import settings
from agent.operations import history, keys, received
from agent.operations.findings import Findings
from agent.operations.publish import PUBLISH, cut, puback, read_mid, read_publish
from agent.operations.rotations import Course
from agent.operations.table import MAX_LINE_CHARACTERS, Table
from agent.operations.verification import Received, Verification
from agent.policy import compile as policy_compile
from agent.policy import governance, signed, stop, units
from agent.policy.parse import parse_policy
from agent.publisher import cursor, home_assistant, tile_progress
from agent.wire import cbor, cose, cose_sign, cosignature, proofs, senml, senml_cbor, tiles, tlog, toml
from agent.wire.detached import DetachedVerifier, verify_detached
from firmware_bridge import cobs, frame
from firmware_bridge.simulator import replay
from tests import packs
from tests.fuzz.seeds import AUDITED, ENVELOPE, KEY_BYTES, NAME, NOW_S, PACK, ROOT, SCHEMA_HASH, WITNESS

UNIT = "springfield/river-bridge/bridge-01"
Target = Callable[[bytes], None]
TARGETS: dict[str, Target] = {}
READS: dict[str, tuple[str, ...]] = {}
"""Target -> the parsers that it runs."""


def reads(*parsers: str) -> Callable[[Target], Target]:
    """Register a target under its name without `target_`."""

    def register(target: Target) -> Target:
        name = target.__name__.removeprefix("target_")
        TARGETS[name] = target
        READS[name] = parsers
        return target

    return register


@reads("agent.operations.publish.read_publish", "agent.operations.publish.read_mid")
def target_publish(data: bytes) -> None:
    """What a broker sends: packet after packet, each within the buffer and further on than the one before."""
    at = 0
    with contextlib.suppress(MessageError):
        while at < len(data):
            packet = cut(data, at)
            if packet is not None:
                assert at < packet.start <= packet.end
                read_mid(data, packet)
            if packet is None or packet.end > len(data):
                return
            at = packet.end
            if packet.kind != PUBLISH:  # the rest is paho's
                continue
            for mqtt5 in (True, False):
                with contextlib.suppress(MessageError):
                    published = read_publish(data, packet, mqtt5=mqtt5)
                    assert len(published.payload) <= packet.end - packet.start
                    assert len(puback(published.mid)) == 4


@reads("agent.wire.toml.parse")
def target_toml(data: bytes) -> None:
    """Any TOML, with the lines of every key."""
    with contextlib.suppress(PolicyError):
        top = toml.parse(data, NAME, PolicyError)
        for name in top.names():
            assert top.where(name).startswith(f"{NAME}:")


@reads("agent.policy.parse.parse_policy")
def target_policy(data: bytes) -> None:
    """A policy that is accepted compiles, comes back and can be disclosed or is too long for the air."""
    with contextlib.suppress(PolicyError):
        policy = parse_policy(data, NAME)
        assert policy_compile.decompile_policy(policy_compile.compile_policy(policy)) == policy
        disclosure = datachain.compile_disclosure(policy)
        validation.validate(datachain.to_datachain(disclosure))


@reads("agent.policy.compile.decompile_policy")
def target_compiled_policy(data: bytes) -> None:
    """One encoding a policy."""
    with contextlib.suppress(PolicyError):
        assert policy_compile.compile_policy(policy_compile.decompile_policy(data)) == data


@reads("agent.policy.governance.parse_governance")
def target_governance(data: bytes) -> None:
    """A trust root as text."""
    with contextlib.suppress(PolicyError):
        root = governance.parse_governance(data, NAME)
        assert governance.decompile_governance(governance.compile_governance(root)) == root


@reads("agent.policy.governance.decompile_governance")
def target_compiled_governance(data: bytes) -> None:
    """One encoding a trust root."""
    with contextlib.suppress(PolicyError):
        assert governance.compile_governance(governance.decompile_governance(data)) == data


@reads("agent.policy.units.parse_units")
def target_units(data: bytes) -> None:
    """A list of units as text."""
    with contextlib.suppress(PolicyError):
        found = units.parse_units(data, NAME)
        assert units.decompile_units(units.compile_units(found)) == found


@reads("agent.policy.units.decompile_units")
def target_compiled_units(data: bytes) -> None:
    """One encoding a list of units."""
    with contextlib.suppress(PolicyError):
        assert units.compile_units(units.decompile_units(data)) == data


@reads("agent.policy.stop.decompile_stop")
def target_compiled_stop(data: bytes) -> None:
    """One encoding a stop order."""
    with contextlib.suppress(PolicyError):
        assert stop.compile_stop(stop.decompile_stop(data)) == data


@reads(
    "agent.policy.signed.read_signed",
    "agent.policy.signed.read_standing",
    "agent.policy.signed.verify_policy",
    "agent.policy.signed.verify_units",
    "agent.policy.signed.verify_stop",
    "agent.policy.signed.verify_governance",
    "agent.policy.signed.verify_first_governance",
)
def target_signed(data: bytes) -> None:
    """Whatever it is called, only enough signatures under the trust root let it through."""
    for verify in (signed.verify_policy, signed.verify_units, signed.verify_stop, signed.verify_governance):
        with contextlib.suppress(PolicyError, SignatureError):
            verify(data, ROOT, NOW_S)
    with contextlib.suppress(PolicyError, SignatureError):
        signed.verify_first_governance(data)
    with contextlib.suppress(PolicyError, SignatureError):
        kind, _ = signed.read_signed(data)
        signed.read_standing(data, ROOT, kind)


@reads("agent.wire.cbor.decode")
def target_cbor(data: bytes) -> None:
    """What decodes has one encoding."""
    with contextlib.suppress(EncodingError):
        assert cbor.encode(cbor.decode(data)) == data


@reads("agent.wire.cose.decode_sign1", "agent.wire.cose.verify1", "agent.wire.detached.verify_detached")
def target_cose_sign1(data: bytes) -> None:
    """One signer, attached and detached."""
    with contextlib.suppress(EncodingError, SignatureError):
        assert isinstance(cose.decode_sign1(data).kid, bytes)
    for detached in (None, b"payload"):
        with contextlib.suppress(EncodingError, SignatureError):
            assert isinstance(cose.verify1(data, KEY_BYTES, detached_payload=detached), bytes)
    for payload in (b"payload", PACK):
        quick = DetachedVerifier(KEY_BYTES).verify(data, payload)
        try:
            verify_detached(data, KEY_BYTES, payload)
        except (EncodingError, SignatureError):
            assert quick is not True


@reads("agent.wire.cose_sign.decode_sign", "agent.wire.cose_sign.verify_sign")
def target_cose_sign(data: bytes) -> None:
    """Several signers."""
    with contextlib.suppress(EncodingError, SignatureError):
        assert all(isinstance(part.kid, bytes) for part in cose_sign.decode_sign(data).signatures)
    with contextlib.suppress(EncodingError, SignatureError):
        cose_sign.verify_sign(
            data, {cose.key_id(KEY_BYTES): KEY_BYTES}, content_type="text/plain", algorithms=cose.UNIT_ALGORITHMS
        )


@reads("agent.wire.senml.decode")
def target_senml(data: bytes) -> None:
    """A pack comes back as the same records."""
    with contextlib.suppress(EncodingError):
        records = senml.decode(data)
        assert senml.decode(senml.encode(records)) == records


@reads("agent.wire.senml_cbor.decode")
def target_senml_cbor(data: bytes) -> None:
    """A pack in CBOR comes back byte for byte."""
    with contextlib.suppress(EncodingError):
        assert senml_cbor.encode(senml_cbor.decode(data)) == data


TEMPLATES = tuple(
    aggregate.Template(terms)
    for window in packs.ALL.values()
    for terms in (window.terms, aggregate.in_cbor(window).terms)
)


@reads("agent.contracts.aggregate.decode", "agent.contracts.guarantee.read_guarantee")
def target_aggregate(data: bytes) -> None:
    """A release's payload comes back byte for byte."""
    with contextlib.suppress(EncodingError, MessageError):
        assert aggregate.encode(aggregate.decode(data)) == data
    for template in TEMPLATES:
        found = template.decode(data)
        assert found is None or found == aggregate.decode(data)


@reads(
    "agent.contracts.log.decode_entry",
    "agent.contracts.log_file.iter_records",
    "agent.contracts.carried.decode_state",
    "agent.contracts.gate_log.decode_gate_changes",
    "agent.contracts.board_seen.decode_board_seen",
)
def target_log(data: bytes) -> None:
    """One encoding an entry; records stop at the first damage and never go past the end."""
    with contextlib.suppress(LogDamaged):
        one = log.decode_entry(data)
        assert one.encode() == data
        if isinstance(one, log.Release):
            release.governed(one)
    end = 0
    for end_of_record, entry in log_file.iter_records(data):
        assert end < end_of_record <= len(data)
        end = end_of_record
        with contextlib.suppress(LogDamaged):
            log.decode_entry(entry)


@reads("agent.anonymizer.extent.decode_bundles")
def target_bundles(data: bytes) -> None:
    """The file of bundles beside the log: whole rows, in order."""
    with contextlib.suppress(LogDamaged):
        rows = extent.decode_bundles(data, NAME)
        assert b"".join(row.encode() for row in rows) == data[: len(data) // extent.BUNDLE_BYTES * extent.BUNDLE_BYTES]


@reads("agent.contracts.log_end.read_last_head")
def target_log_end(data: bytes) -> None:
    """The limit of a log that nobody shows it of is a note that stands in it."""
    with contextlib.suppress(LogDamaged):
        head = log_end.read_last_head(lambda at, length: data[at : at + length], "log")
        assert head is None or head.note in data


@reads(
    "agent.wire.tiles.parse_path",
    "agent.wire.tiles.parse_topic",
    "agent.wire.tiles.decode_bundle",
    "agent.wire.tiles.decode_tile",
)
def target_tiles(data: bytes) -> None:
    """Paths, and bundles and tiles of the width that the first byte says."""
    with contextlib.suppress(EncodingError):
        path = data.decode("utf-8", "replace")
        assert tiles.parse_path(path).path == path
    with contextlib.suppress(EncodingError):
        assert tiles.topic_of(tiles.parse_topic(path)) == path
    width, content = (data[0] or 256, data[1:]) if data else (256, b"")
    with contextlib.suppress(EncodingError):
        assert tiles.encode_bundle(tiles.decode_bundle(content, width)) == content
    with contextlib.suppress(EncodingError):
        assert b"".join(tiles.decode_tile(content, width)) == content


@reads("agent.wire.proofs.verify_inclusion", "agent.wire.proofs.verify_consistency")
def target_proof(data: bytes) -> None:
    """Two sizes of 8 bytes, two roots, then hashes: only a proof that leads to both roots is accepted, and none changed by a bit."""
    one, other = int.from_bytes(data[:8], "big"), int.from_bytes(data[8:16], "big")
    first, second = data[16:48], data[48:80]
    path = [data[at : at + 32] for at in range(80, len(data), 32)]
    with contextlib.suppress(SignatureError):
        proofs.verify_consistency(one, other, path, first, second)
        assert one in (0, other) or path
    with contextlib.suppress(SignatureError):
        proofs.verify_inclusion(first, one, other, path, second)
        assert one < other


@reads("agent.wire.cosignature.parse_witness", "agent.wire.cosignature.verify_cosignatures")
def target_cosignature(data: bytes) -> None:
    """A witness key as text; a note with the lines of a known witness."""
    with contextlib.suppress(EncodingError):
        text = data.decode("utf-8", "replace")
        assert cosignature.witness_key(cosignature.parse_witness(text)) == text
    with contextlib.suppress(EncodingError, SignatureError):
        seen = cosignature.verify_cosignatures(data, [WITNESS])
        assert set(seen) <= {WITNESS.name}


@reads("agent.operations.received.parse_line")
def target_received(data: bytes) -> None:
    """A line of what a subscriber wrote, from a file that somebody hands in for an audit."""
    with contextlib.suppress(MessageError):
        line = received.parse_line(data, NAME, "springfield/river-bridge/bridge-01")
        received.Reception(Findings()).take(line, NAME)
        received.signed_by(line, KEY_BYTES)


@reads("agent.contracts.log.decode_entry")
def target_audited(data: bytes) -> None:
    """An entry of a log that is audited, behind a policy taken and a Release: it may be a finding, and never an exception."""
    judged = history.History(UNIT, Course(UNIT, (KEY_BYTES,)), ROOT, Findings())
    for entry in (*AUDITED, data, AUDITED[-1]):
        judged.add(entry)
    assert judged.size == len(AUDITED) + 2


@reads("agent.operations.keys.decode_directory")
def target_key_directory(data: bytes) -> None:
    """A key directory."""
    with contextlib.suppress(MessageError):
        assert all(len(key) == 32 for key in keys.decode_directory(data, NAME).units.values())


@reads("agent.contracts.rotation.read_rotation", "agent.contracts.rotation.open_rotation")
def target_rotation(data: bytes) -> None:
    """What an old key said of a new one, from a log or from beside the key."""
    with contextlib.suppress(EncodingError, SignatureError):
        said = rotation.read_rotation(data)
        assert said.old != said.new
    with contextlib.suppress(EncodingError, SignatureError):
        assert rotation.open_rotation(data).old == KEY_BYTES


@reads("agent.wire.tlog.decode_checkpoint", "agent.wire.tlog.open_checkpoint")
def target_checkpoint(data: bytes) -> None:
    """A signed note."""
    with contextlib.suppress(EncodingError):
        checkpoint = tlog.decode_checkpoint(data)
        assert data.startswith(checkpoint.body().encode())
    with contextlib.suppress(EncodingError, SignatureError):
        tlog.open_checkpoint(data, "springfield/river-bridge/bridge-01", KEY_BYTES)


@reads("agent.contracts.public.read_envelope", "agent.contracts.public.open_envelope")
def target_envelope(data: bytes) -> None:
    """What travels by air."""
    with contextlib.suppress(EncodingError, SignatureError):
        assert len(public.read_envelope(data).digest) == 32
    with contextlib.suppress(EncodingError, SignatureError):
        public.open_envelope(data, KEY_BYTES)


@reads("agent.contracts.public.read_stop", "agent.contracts.public.open_stop")
def target_stop_notice(data: bytes) -> None:
    """What travels by air while a stop order holds."""
    with contextlib.suppress(EncodingError, SignatureError):
        assert public.read_stop(data).reason
    with contextlib.suppress(EncodingError, SignatureError):
        public.open_stop(data, KEY_BYTES)


@reads(
    "agent.contracts.latest.read_latest",
    "agent.contracts.latest.open_latest",
    "agent.contracts.latest.decode_latest",
)
def target_latest(data: bytes) -> None:
    """One encoding of the last published figures; what verifies is what was signed."""
    with contextlib.suppress(EncodingError):
        assert latest.decode_latest(data).encode() == data
    with contextlib.suppress(EncodingError, SignatureError):
        read = latest.read_latest(data)
        with contextlib.suppress(SignatureError):
            assert latest.open_latest(data, KEY_BYTES) == read


@reads("agent.beacon.advertisement.read_status")
def target_advertisement(data: bytes) -> None:
    """What is heard from anyone: structures, a name, our service data, the status in it."""
    advertisement.offers_disclosure(data)
    with contextlib.suppress(DisclosureError):
        advertisement.heard_name(data)
    value = advertisement.heard_service_data(data)
    with contextlib.suppress(DisclosureError):
        status = advertisement.read_status(value or b"")
        assert advertisement.read_status(status.encode()) == status


@reads("agent.beacon.gatt.read_header", "agent.beacon.gatt.assemble")
def target_unit_reading(data: bytes) -> None:
    """A whole unit: the values are what the input is cut into. Read, judged, and never verified but by its own signature."""
    size = max(1, -(-len(data) // gatt.CHARACTERISTICS))
    uuids = [one.uuid for one in (*gatt.attributes(b"x", 1), *gatt.beside(None, None, 1))]
    values = {uuid: data[i * size : (i + 1) * size] for i, uuid in enumerate(uuids)}

    async def value(uuid: UUID) -> bytes | None:
        return values[uuid]

    with contextlib.suppress(DisclosureError):
        asyncio.run(read_unit(value))
    header = gatt.Header(1, 1, 1, bytes(32))
    for found in (Reading(data, header), Reading(ENVELOPE, header, data, data, "", data, data)):
        assert judge(found, Trust(key=KEY_BYTES), NOW_S).verdict is not Verdict.LIVE


@reads(
    "agent.disclosure.compact.read_compact",
    "agent.disclosure.compact.open_compact",
    "agent.disclosure.compact.decode_compact",
)
def target_compact(data: bytes) -> None:
    """One encoding a compact disclosure; what verifies is what was signed."""
    with contextlib.suppress(EncodingError, DisclosureError):
        assert compact.decode_compact(data).encode() == data
    with contextlib.suppress(EncodingError, SignatureError, DisclosureError):
        read = compact.read_compact(data)
        with contextlib.suppress(SignatureError):
            assert compact.open_compact(data, KEY_BYTES) == read


@reads("agent.disclosure.datachain.decode_disclosure")
def target_disclosure(data: bytes) -> None:
    """A disclosure that decodes is the one that its policy gives."""
    with contextlib.suppress(DisclosureError):
        disclosure = datachain.decode_disclosure(data)
        assert disclosure.cbor == data
        assert disclosure == datachain.compile_disclosure(disclosure.policy)


@reads("agent.disclosure.validation.validate")
def target_datachain(data: bytes) -> None:
    """A datachain from anywhere, as JSON values."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return
    with contextlib.suppress(DisclosureError):
        validation.validate(document)


@reads("agent.disclosure.taxonomy_export.read_exports", "agent.disclosure.taxonomy_export.decode_taxonomy")
def target_taxonomy(data: bytes) -> None:
    """An export of the DTPR API, elements and categories in one array, and the form that is kept."""
    with contextlib.suppress(TaxonomyError):
        found = read_exports([(NAME, data)])
        assert decode_taxonomy(encode_taxonomy(found), NAME) == found
    with contextlib.suppress(TaxonomyError):
        found = decode_taxonomy(data, NAME)
        assert decode_taxonomy(encode_taxonomy(found), NAME) == found


@reads("agent.disclosure.icon.check_icon")
def target_icon(data: bytes) -> None:
    """An official icon: what passes says nothing that runs or refers elsewhere."""
    with contextlib.suppress(TaxonomyError):
        check_icon(data, NAME)
        assert b"<script" not in data.lower()
        assert b"<!doctype" not in data.lower()


@reads("agent.contracts.public.decode_state")
def target_state(data: bytes) -> None:
    """The state file."""
    with contextlib.suppress(MessageError):
        state = public.decode_state(data)
        assert public.decode_state(state.encode()) == state


@reads("agent.contracts.lease.decode")
def target_lease(data: bytes) -> None:
    """A lease."""
    with contextlib.suppress(MessageError):
        assert lease.decode(data).encode() == data


@reads("agent.contracts.board.decode")
def target_hello(data: bytes) -> None:
    """A board's hello."""
    with contextlib.suppress(BoardError):
        assert board.decode(data).encode() == data


@reads("agent.contracts.reading.unpack_header", "agent.anonymizer.batch.decode")
def target_reading(data: bytes) -> None:
    """A message through reading.sock, with its batch."""
    with contextlib.suppress(MessageError):
        header = reading.unpack_header(data)
        decoded = batch.decode(header, memoryview(data))
        assert len(decoded.times_boot_ns) == len(decoded.classes) == header.reading_count


@reads("firmware_bridge.cobs.decode_in_place")
def target_frame(data: bytes) -> None:
    """The serial line raises nothing, and gives the same frames however the bytes are cut."""

    def feed(step: int) -> list[tuple[object, ...]]:
        decoder = frame.Decoder(SCHEMA_HASH)
        found: list[tuple[object, ...]] = []
        for start in range(0, len(data), step):
            for one in decoder.feed(memoryview(data)[start : start + step]):
                found.append((one.type, one.sequence, one.board_ms, bytes(one.body), bytes(one.identifiers)))
        return [*found, tuple(decoder.damaged.values())]

    assert feed(max(1, len(data))) == feed(7 if len(data) < 4096 else 4093)
    buffer = bytearray(data)
    length = cobs.decode_in_place(memoryview(buffer))
    assert length is None or 0 <= length <= len(data)


@reads("agent.beacon.gatt.read_header", "agent.beacon.gatt.assemble")
def target_gatt(data: bytes) -> None:
    """The header's value alone, and header and chunks cut from the same bytes."""
    with contextlib.suppress(DisclosureError):
        header = gatt.read_header(data)
        assert gatt.read_header(header.encode()) == header
    head, rest = data[:64], data[64:]
    chunks = [rest[i : i + gatt.CHUNK_BYTES] for i in range(0, len(rest), gatt.CHUNK_BYTES)]
    with contextlib.suppress(DisclosureError):
        gatt.assemble(head, chunks)
    true = gatt.Header(len(rest), -(-len(rest) // gatt.CHUNK_BYTES), 1, hashlib.sha256(rest).digest())
    with contextlib.suppress(DisclosureError):
        assert gatt.assemble(true.encode(), chunks) == rest


@reads("agent.local.settings.parse")
def target_settings(data: bytes) -> None:
    """agent.toml."""
    with contextlib.suppress(SettingsError):
        settings.parse(data, NAME)


@reads("agent.publisher.cursor.decode")
def target_cursor(data: bytes) -> None:
    """The publisher's cursor: damage is returned, not raised."""
    cursors, damage = cursor.decode(data, NAME)
    assert damage is not None or cursor.encode(cursors[0][0], cursors[0][1], cursors[1][1]) == data


@reads("agent.contracts.health.decode_health")
def target_health(data: bytes) -> None:
    """The message on MQTT."""
    with contextlib.suppress(MessageError):
        assert health.decode_health(data).encode() == data


@reads("agent.contracts.health.read_status")
def target_status(data: bytes) -> None:
    """The status file that health is made of: nothing but known words gets through."""
    with contextlib.suppress(MessageError):
        report = health.read_status(data)
        assert set(report.counters.values()) <= set(BUCKETS)
        made = health.compile_health(0, {"anonymizer": (report,), "publisher": (report,)})
        assert health.decode_health(made.encode()) == made


@reads("agent.publisher.tile_progress.decode_progress")
def target_tile_progress(data: bytes) -> None:
    """How far tiles were published; whatever is accepted is whole."""
    with contextlib.suppress(EncodingError):
        assert tile_progress.encode_progress(*tile_progress.decode_progress(data)) == data


@reads("agent.publisher.home_assistant.decode_topics")
def target_discovery_topics(data: bytes) -> None:
    """Which discovery topics may be retained; whatever is accepted is whole, and none is one of our own topics."""
    with contextlib.suppress(EncodingError):
        found = home_assistant.decode_topics(data)
        assert home_assistant.encode_topics(found) == data
        assert all(topic.endswith("/config") and "/sensor/" in topic for topic in found)


@reads("firmware_bridge.simulator.replay.parse")
def target_replay(data: bytes) -> None:
    """A file of counts."""
    with contextlib.suppress(ReplayError):
        assert replay.parse(data, NAME).rows


@reads()
def target_subscriber(data: bytes) -> None:
    """Each sort of topic with any payload: one record at least, nothing raised; a table of it is short lines."""
    verification, table = Verification([KEY_BYTES]), Table()
    streams = ("crossings", "parking", "visitors", "co2", "sound", "air")
    topics = (
        *(f"agg/{stream}" for stream in streams),
        "agg/crossings/sig",
        "state",
        "disclosure",
        "checkpoint",
        "health",
    )
    for last in topics:
        topic = f"dtpr/v1/springfield/river-bridge/bridge-01/{last}"
        for record, _ in verification.take(Received(topic, data, (("sig", "AA=="),), False, 0.0)):
            json.dumps(record)
            assert all(line.isprintable() and len(line) <= MAX_LINE_CHARACTERS for line in table.lines(record))
