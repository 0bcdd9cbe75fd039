"""A rotated signing key on the city's side (OP-54 to OP-57): each fraud beside the honest log that it could be taken for."""

import base64
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.beacon import gatt
from agent.beacon.reading import Reading
from agent.beacon.verdict import Judged, Reason, Trust, judge
from agent.cli.main import main
from agent.contracts.log import Entry, KeyRotated, PolicyOffered, Release
from agent.contracts.public import Envelope, seal_envelope
from agent.contracts.rotation import seal_rotation
from agent.disclosure.datachain import Disclosure, compile_disclosure, to_datachain
from agent.errors import LogDamaged, MessageError, SettingsError, SignatureError
from agent.operations.announcements import Record
from agent.operations.audit import audit
from agent.operations.audit_inputs import Inputs
from agent.operations.findings import Kind
from agent.operations.keyring import GIVEN_UP, Keyring, Superseded
from agent.operations.keys import Directory, decode_directory, encode_directory, find_keys
from agent.operations.mirror import Mirror
from agent.operations.verdict import Verdict
from agent.operations.verification import Received, Verification
from agent.policy.compile import decompile_policy
from agent.policy.signed import Kind as Signed
from agent.policy.signed import read_signed
from agent.policy.units import Units, VouchedUnit, compile_units
from agent.wire import cbor, cose, cosignature
from agent.wire.tiles import WIDTH, Tile, encode_bundle, topic_of
from agent.wire.tlog import Checkpoint, sign_checkpoint
from tests.anonymizer.stage import KEY, ORIGIN, make_policy
from tests.anonymizer.worlds import World
from tests.operations.stories import note_of, received, resealed, write_copy
from tests.signing import install_governance, sign, trust_root
from tests.wire.test_tlog import OTHER_KEY

NEW, THIRD = (Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number in (7, 8))
OLD_PUBLIC, NEW_PUBLIC, THIRD_PUBLIC = (cose.public_bytes(key) for key in (KEY, NEW, THIRD))
AT = 1_800_000_050


def rotated(old: Ed25519PrivateKey = KEY, new: bytes = NEW_PUBLIC, unit: str = ORIGIN) -> KeyRotated:
    return KeyRotated(seal_rotation(unit, old, new, AT))


def restart_with_another_key(world: World) -> None:
    """The log says so first, and goes on under NEW."""
    world.entries.append(rotated())
    world.key = NEW
    world.boot_ns += 5 * 10**9
    world.restart()
    world.look()


@cache
def story() -> tuple[Entry, ...]:
    """Releases under one key, a restart with another, Releases under that."""
    world = World(make_policy(notice="2 seconds"))
    world.run(12)
    world.count([0] * 40 + [1] * 30)
    world.run(6)
    restart_with_another_key(world)
    world.run(6)
    world.count([0] * 20)
    world.run(4)
    return tuple(world.entries)


AT_ENTRY = next(i for i, entry in enumerate(story()) if isinstance(entry, KeyRotated))
BEFORE = [i for i, entry in enumerate(story()[:AT_ENTRY]) if isinstance(entry, Release)]
AFTER = [i for i, entry in enumerate(story()) if i > AT_ENTRY and isinstance(entry, Release)]


def changed(index: int, entry: Entry) -> list[Entry]:
    entries = [*story()]
    entries[index] = entry
    return entries


def by(key: Ed25519PrivateKey, index: int) -> list[Entry]:
    """A Release signed again with another key, the same otherwise."""
    release = story()[index]
    assert isinstance(release, Release)
    return changed(index, resealed(release, key=key))


def judged(
    folder: Path, entries: list[Entry] | None = None, *keys: bytes, signer: Ed25519PrivateKey = NEW, **given: Any
) -> Verdict:
    copy = write_copy(folder, entries if entries is not None else story(), key=signer)
    first, *previous = keys or (NEW_PUBLIC,)
    return audit(Inputs(ORIGIN, first, log=copy, root=trust_root(), previous=tuple(previous), **given))


# the audit


@pytest.mark.parametrize("keys", [(NEW_PUBLIC,), (NEW_PUBLIC, OLD_PUBLIC), (NEW_PUBLIC, THIRD_PUBLIC)])
def test_an_honest_rotation_is_clean(tmp_path: Path, keys: tuple[bytes, ...]) -> None:
    """OP-56: with the new key alone the old one follows from the log."""
    assert len(BEFORE) > 3 < len(AFTER)
    verdict = judged(tmp_path, None, *keys)
    assert verdict.findings.kinds == set(), verdict.findings.shown
    assert verdict.open == []
    assert (AT, f"signing key {OLD_PUBLIC.hex()} gave way to {NEW_PUBLIC.hex()}") in verdict.events


def test_with_the_old_key_alone_it_is_followed_and_said(tmp_path: Path) -> None:
    """OP-56."""
    verdict = judged(tmp_path, None, OLD_PUBLIC)
    assert verdict.findings.kinds == set(), verdict.findings.shown
    assert any(f"entry {AT_ENTRY}: from there on key {NEW_PUBLIC[:8].hex()}" in each for each in verdict.open)


def test_a_unit_that_has_not_rotated_yet(tmp_path: Path) -> None:
    """OP-56: the units file came first; said, no finding."""
    verdict = judged(tmp_path, [*story()[:AT_ENTRY]], NEW_PUBLIC, OLD_PUBLIC, signer=KEY)
    assert verdict.findings.kinds == set()
    assert any("not rotated yet?" in each for each in verdict.open)


def _cross_signature() -> list[Entry]:
    spoiled = bytearray(rotated().message)
    spoiled[-1] ^= 1
    return changed(AT_ENTRY, KeyRotated(bytes(spoiled)))


def _told_by_the_new_key() -> list[Entry]:
    """As if it had given way to itself: only the old one may say so."""
    payload = cose.decode_sign1(rotated().message).payload
    assert payload is not None
    kind = cose.decode_sign1(rotated().message).content_type
    return changed(AT_ENTRY, KeyRotated(cose.sign1(payload, NEW, content_type=kind)))


def _wrong_old_key() -> list[Entry]:
    return changed(AT_ENTRY, rotated(THIRD))


def _another_unit() -> list[Entry]:
    return changed(AT_ENTRY, rotated(unit="springfield/bridge/bridge-02"))


def _back() -> list[Entry]:
    return [*story(), rotated(NEW, OLD_PUBLIC)]


def _does_not_follow() -> list[Entry]:
    return [*story(), rotated(KEY, THIRD_PUBLIC)]


FRAUDS: dict[str, tuple[Callable[[], list[Entry]], set[Kind]]] = {
    "bad cross signature": (_cross_signature, {Kind.KEY_ROTATION, Kind.RELEASE_SIGNATURE}),
    "told by the new key": (_told_by_the_new_key, {Kind.KEY_ROTATION, Kind.RELEASE_SIGNATURE}),
    "wrong old key": (_wrong_old_key, {Kind.KEY_ROTATION, Kind.RELEASE_SIGNATURE}),
    "about another unit": (_another_unit, {Kind.KEY_ROTATION, Kind.RELEASE_SIGNATURE}),
    "back to the old key": (_back, {Kind.KEY_ROTATION}),
    "does not follow": (_does_not_follow, {Kind.KEY_ROTATION}),
    "a Release by the old key after it": (lambda: by(KEY, AFTER[1]), {Kind.KEY_ROTATION}),
    "a Release by the new key before it": (lambda: by(NEW, BEFORE[1]), {Kind.RELEASE_SIGNATURE}),
    "a Release by a stranger": (lambda: by(THIRD, AFTER[1]), {Kind.RELEASE_SIGNATURE}),
}


@pytest.mark.parametrize("name", FRAUDS)
def test_each_fraud_is_found(tmp_path: Path, name: str) -> None:
    """OP-56: by who was given the new key."""
    made, expected = FRAUDS[name]
    verdict = judged(tmp_path, made())
    assert verdict.findings.kinds == expected, verdict.findings.shown


@pytest.mark.parametrize("index", [AFTER[1], BEFORE[1]])
def test_the_twins_of_these_releases(tmp_path: Path, index: int) -> None:
    """The same, signed again by the key whose turn it is: clean."""
    assert judged(tmp_path, by(NEW if index > AT_ENTRY else KEY, index)).findings.kinds == set()


def test_twice_rotated(tmp_path: Path) -> None:
    """OP-56: the honest twin of a message that does not follow."""
    entries = [*story(), rotated(NEW, THIRD_PUBLIC)]
    for keys in ((THIRD_PUBLIC,), (NEW_PUBLIC,), (OLD_PUBLIC,), (THIRD_PUBLIC, NEW_PUBLIC, OLD_PUBLIC)):
        verdict = judged(tmp_path / str(keys[0][0]) / str(len(keys)), entries, *keys, signer=THIRD)
        assert verdict.findings.kinds == set(), verdict.findings.shown
        assert bool(verdict.open) is (THIRD_PUBLIC not in keys)


def test_the_new_key_is_not_used(tmp_path: Path) -> None:
    """OP-56: the log says that it rotated, and its checkpoint is by the old key."""
    for name, keys in (("a", (NEW_PUBLIC,)), ("b", (OLD_PUBLIC,)), ("c", (NEW_PUBLIC, OLD_PUBLIC))):
        assert judged(tmp_path / name, None, *keys, signer=KEY).findings.kinds == {Kind.KEY_ROTATION}


def test_a_key_that_nobody_vouches_for(tmp_path: Path) -> None:
    """OP-56: the old key was stolen, and its thief rotated; the city's new key is another. Or no key of this unit at all."""
    assert judged(tmp_path / "a", None, THIRD_PUBLIC, OLD_PUBLIC).findings.kinds == {Kind.KEY_ROTATION}
    assert {Kind.KEY_ROTATION, Kind.CHECKPOINT_SIGNATURE} <= judged(tmp_path / "b", None, THIRD_PUBLIC).findings.kinds


@pytest.mark.parametrize(
    ("signer", "size", "found"),
    [
        (KEY, AT_ENTRY, set()),
        (NEW, AT_ENTRY + 1, set()),
        (NEW, AT_ENTRY, set()),
        (KEY, AT_ENTRY + 1, {Kind.KEY_ROTATION}),
        (KEY, AT_ENTRY + 3, {Kind.KEY_ROTATION}),
        (THIRD, AT_ENTRY, {Kind.CHECKPOINT_SIGNATURE}),
    ],
)
def test_checkpoints_seen_before(tmp_path: Path, signer: Ed25519PrivateKey, size: int, found: set[Kind]) -> None:
    """OP-56: by its newest entry. What the unit did not sign proves nothing against it."""
    tmp_path.joinpath("seen").write_bytes(note_of([entry.encode() for entry in story()[:size]], key=signer))
    assert judged(tmp_path, seen=(tmp_path / "seen",)).findings.kinds == found


def test_a_cosigned_checkpoint_of_before_the_rotation(tmp_path: Path) -> None:
    """OP-56: a witness's line does not depend on the unit's key."""
    witness = cosignature.parse_witness(
        cosignature.witness_key(cosignature.Witness("witness.example/w1", cose.public_bytes(OTHER_KEY)))
    )
    note = note_of([entry.encode() for entry in story()[:AT_ENTRY]])
    (tmp_path / "seen").write_bytes(cosignature.cosign(note, witness.name, OTHER_KEY, AT))
    verdict = judged(tmp_path, seen=(tmp_path / "seen",), witnesses=(witness,))
    assert verdict.findings.kinds == set()
    assert any("witnessed" in words for _, words in verdict.events)


@pytest.mark.parametrize(
    ("signer", "found"),
    [
        (KEY, {Kind.NOT_IN_LOG, Kind.KEY_ROTATION}),
        (NEW, {Kind.NOT_IN_LOG}),
        (THIRD, {Kind.NOT_IN_LOG, Kind.FORGED}),
    ],
)
def test_a_release_that_was_received_and_is_not_in_the_log(
    tmp_path: Path, signer: Ed25519PrivateKey, found: set[Kind]
) -> None:
    """OP-56: with the old key, in a place after the rotation: who has the old key, not the unit."""
    last = story()[AFTER[-1]]
    assert isinstance(last, Release)
    strange = resealed(last, key=signer, window_start=last.window_start - 100_000, log_index=AFTER[-1])
    lines = received([strange, *story()], note_of([entry.encode() for entry in story()], key=NEW))
    shown = [json.loads(line) for line in lines.splitlines()]
    text = "".join(json.dumps({**line, "verified": True}) + "\n" for line in shown)  # whatever its keys were
    (tmp_path / "lines").write_text(text)
    verdict = judged(tmp_path, received=(tmp_path / "lines",))
    assert verdict.findings.kinds == found, verdict.findings.shown
    assert verdict.facts["confirmed"] == len(BEFORE) + len(AFTER)


@pytest.mark.parametrize("signer", [KEY, NEW, THIRD])
def test_what_was_read_over_the_air(tmp_path: Path, signer: Ed25519PrivateKey) -> None:
    """OP-56: by either key; when, an envelope under the old one does not say."""
    (tmp_path / "air").write_bytes(seal_envelope(Envelope(_disclosed().cbor, AT), signer))
    verdict = judged(tmp_path, air=(tmp_path / "air",))
    assert verdict.findings.kinds == ({Kind.AIR_SIGNATURE} if signer is THIRD else set())
    assert any("given up since" in each for each in verdict.open) is (signer is KEY)


# the key directory


def units(version: int, key: bytes, *more: VouchedUnit) -> Units:
    return Units(version, "springfield", (VouchedUnit("bridge", "bridge-01", key), *more))


def test_a_higher_version_rotates(tmp_path: Path) -> None:
    """OP-54: in whatever order the files are named; a directory without a rotation is what it was."""
    one, two, three = units(1, OLD_PUBLIC), units(4, NEW_PUBLIC), units(5, NEW_PUBLIC)
    for files in ([one, two], [two, one], [one, two, three], [three, two, one]):
        found = decode_directory(encode_directory(files), "d")
        assert found == Directory({ORIGIN: NEW_PUBLIC}, {ORIGIN: (Superseded(OLD_PUBLIC, 4),)})
        assert find_keys(found, ORIGIN) == (NEW_PUBLIC, OLD_PUBLIC)
    again = decode_directory(encode_directory([one, two, units(9, THIRD_PUBLIC)]), "d")
    assert find_keys(again, ORIGIN) == (THIRD_PUBLIC, NEW_PUBLIC, OLD_PUBLIC)
    assert set(json.loads(encode_directory([one, one]))) == {"v", "city", "version", "units"}


@pytest.mark.parametrize(
    "files",
    [
        [units(1, OLD_PUBLIC), units(1, NEW_PUBLIC)],
        [units(1, OLD_PUBLIC), units(2, NEW_PUBLIC), units(3, OLD_PUBLIC)],
        [units(1, OLD_PUBLIC), units(2, NEW_PUBLIC, VouchedUnit("bridge", "bridge-02", OLD_PUBLIC))],
    ],
    ids=["equal versions", "comes back", "another unit's"],
)
def test_files_that_are_no_rotation(files: list[Units]) -> None:
    """OP-54."""
    with pytest.raises(SettingsError):
        encode_directory(files)


@pytest.mark.parametrize(
    "previous",
    [
        {},
        [],
        {ORIGIN: []},
        {ORIGIN: [{"public_key": NEW_PUBLIC.hex(), "until": 4}]},
        {ORIGIN: [{"public_key": "00", "until": 4}]},
        {ORIGIN: [{"public_key": OLD_PUBLIC.hex(), "until": "4"}]},
        {ORIGIN: [{"public_key": OLD_PUBLIC.hex()}]},
        {ORIGIN: [{"public_key": OLD_PUBLIC.hex(), "until": 4, "x": 1}]},
        {"a/b/c": [{"public_key": OLD_PUBLIC.hex(), "until": 4}]},
        {ORIGIN: [{"public_key": f"{number:064x}", "until": 4} for number in range(65)]},
    ],
)
def test_previous_keys_are_read_strictly(previous: object) -> None:
    """OP-54, I8."""
    item = json.loads(encode_directory([units(1, NEW_PUBLIC)]))
    data = json.dumps({**item, "previous": previous}).encode()
    if previous == {}:
        assert decode_directory(data, "d").previous == {}
        return
    with pytest.raises(MessageError, match="key directory"):
        decode_directory(data, "d")


def test_from_the_units_files_to_the_audit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """OP-54, OP-56: the commands that a city runs after a rotation."""
    root = install_governance(tmp_path / "governance.cbor")
    for name, file in (("old", units(1, OLD_PUBLIC)), ("new", units(2, NEW_PUBLIC))):
        (tmp_path / name).write_bytes(sign(Signed.UNITS, compile_units(file)))
    keys = tmp_path / "keys.json"
    command = ["fleet", "keys", str(tmp_path / "old"), str(tmp_path / "new"), "--governance", str(root)]
    assert main([*command, "--out", str(keys)]) == 0
    assert "1 units of springfield, 1 of them with another key than before" in capsys.readouterr().out
    copy = write_copy(tmp_path, story(), key=NEW)
    assert main(["audit", "--log", str(copy), "--keys", str(keys), "--governance", str(root)]) == 0
    said = capsys.readouterr().out
    assert "CLEAN" in said
    assert f"signing key {OLD_PUBLIC.hex()} gave way to {NEW_PUBLIC.hex()}" in said


@pytest.mark.parametrize("signer", [KEY, NEW])
@pytest.mark.parametrize("file", [units(1, OLD_PUBLIC), units(2, NEW_PUBLIC)])
def test_a_phone_knows_the_key_of_one_units_file(signer: Ed25519PrivateKey, file: Units) -> None:
    """OP-58: with either file the key in it, and never the other."""
    known = signer is (KEY if file.version == 1 else NEW)
    envelope = seal_envelope(Envelope(_disclosed().cbor, AT), signer)
    attribute = gatt.read_header(gatt.attributes(envelope, 1)[0].value)
    head = Checkpoint(ORIGIN, 3, bytes(32), (f"time {AT}",))
    reading = Reading(envelope=envelope, header=attribute, checkpoint=sign_checkpoint(head, ORIGIN, signer))
    found: Judged = judge(reading, Trust(units=file), AT + 10)
    assert (found.reasons == ()) is found.vouched is known, found
    assert (found.reasons == (Reason.UNKNOWN_KEY,)) is not known


# the subscriber


def message(rest: str, payload: bytes, *properties: tuple[str, str]) -> Received:
    return Received(f"dtpr/v1/{ORIGIN}/{rest}", payload, properties, False, 0.0)


def release(index: int, key: Ed25519PrivateKey | None = None) -> Received:
    entry = story()[index]
    assert isinstance(entry, Release)
    if key is not None:
        entry = resealed(entry, key=key)
    return message(f"agg/{entry.stream}", entry.payload, ("sig", base64.b64encode(entry.signature).decode()))


def checkpoint(size: int, key: Ed25519PrivateKey) -> Received:
    return message("checkpoint", note_of([entry.encode() for entry in story()[:size]], key=key))


def _disclosed() -> Disclosure:
    offered = next(entry for entry in story() if isinstance(entry, PolicyOffered))
    return compile_disclosure(decompile_policy(read_signed(offered.message)[1]))


def disclosure(key: Ed25519PrivateKey) -> Received:
    found = _disclosed()
    envelope = base64.b64encode(seal_envelope(Envelope(found.cbor, AT), key)).decode()
    item = {"v": 1, "digest": found.digest.hex(), "datachain": to_datachain(found), "envelope": envelope}
    return message("disclosure", json.dumps(item).encode())


class City:
    """A subscriber with the directory of after the rotation."""

    def __init__(self) -> None:
        self._verification = Verification(Keyring((), {ORIGIN: NEW_PUBLIC}, {ORIGIN: (Superseded(OLD_PUBLIC, 4),)}))

    def take(self, received: Received) -> Record:
        ((record, _),) = self._verification.take(received)
        return record

    def verified(self, received: Received) -> tuple[bool | None, bool]:
        """Is it, and with a note?"""
        record = self.take(received)
        assert all(note.startswith(GIVEN_UP) for note in record["notes"])
        return record["verified"], bool(record["notes"])


def test_a_backlog_of_before_the_rotation() -> None:
    """OP-55: announced under the new key, then late Releases under the old one: believed, and said."""
    city = City()
    assert city.verified(checkpoint(len(story()), NEW)) == (True, False)
    assert city.verified(disclosure(NEW)) == (True, False)
    for index in BEFORE:
        record = city.take(release(index))
        assert (record["verified"], record["notes"]) == (True, [f"{GIVEN_UP} in version 4 of the units file"])
        assert record["disclosure_announced"]
    for index in AFTER:
        assert city.verified(release(index)) == (True, False)


def test_before_the_unit_rotates() -> None:
    """OP-55: the units file came first; all is under the old key, and a disclosure agrees."""
    city = City()
    assert city.verified(checkpoint(AT_ENTRY, KEY)) == (True, True)
    record = city.take(disclosure(KEY))
    assert (record["verified"], record["agrees"]) == (True, True)
    assert city.verified(release(BEFORE[0])) == (True, True)
    assert city.take(release(BEFORE[1]))["disclosure_announced"]


@pytest.mark.parametrize("seen", ["a Release", "a checkpoint"])
def test_what_the_old_key_signs_later_is_refused(seen: str) -> None:
    """OP-55: once the new key was seen, by its place in the log; what says no place, and what is under neither key, in any case."""
    city = City()
    first = release(AFTER[0]) if seen == "a Release" else checkpoint(AFTER[0] + 1, NEW)
    assert city.verified(first) == (True, False)
    for stolen in (release(AFTER[0], KEY), release(AFTER[2], KEY), checkpoint(len(story()), KEY), disclosure(KEY)):
        record = city.take(stolen)
        assert record["verified"] is False
        assert f"since entry {AFTER[0]} at the latest" in record["notes"][0]
        assert not record.get("agrees", False)
    assert city.verified(release(BEFORE[0])) == (True, True)
    assert city.take(release(AFTER[1], THIRD))["verified"] is False


def test_other_units_previous_keys_count_for_nobody_else() -> None:
    """OP-9, OP-55."""
    keyring = Keyring((), {ORIGIN: NEW_PUBLIC, "a/b/c": THIRD_PUBLIC}, {"a/b/c": (Superseded(OLD_PUBLIC, 4),)})
    ((record, _),) = Verification(keyring).take(release(BEFORE[0]))
    assert record["verified"] is False


def test_the_same_of_an_uncommon_encoding() -> None:
    """OP-55: a signature whose kid stands in the unprotected header is read the slow way, by the same rules."""
    payload = b"[{}]"
    protected = cbor.encode({1: cose.EDDSA})
    signed = KEY.sign(cbor.encode(["Signature1", protected, b"", payload]))
    slow = cbor.encode(cbor.CBORTag(18, [protected, {4: cose.key_id(OLD_PUBLIC)}, None, signed]))
    keyring = Keyring((), {ORIGIN: NEW_PUBLIC}, {ORIGIN: (Superseded(OLD_PUBLIC, 4),)})
    text = base64.b64encode(slow).decode()
    assert keyring.release(ORIGIN, payload, text, 3)[0] is True
    assert keyring.opened(ORIGIN, lambda key: key == NEW_PUBLIC, 2) == (True, [])
    assert keyring.release(ORIGIN, payload, text, 3)[0] is False
    assert keyring.release(ORIGIN, payload, text, 1)[0] is True
    assert keyring.release(ORIGIN, b"[]", text, 1)[0] is False


# the mirror

ENTRIES = [b"entry %d" % number for number in range(3 * WIDTH)]
ENTRIES[WIDTH + 9] = rotated().encode()


def bundle(number: int) -> tuple[str, bytes]:
    return topic_of(Tile(None, number)), encode_bundle(ENTRIES[number * WIDTH : (number + 1) * WIDTH])


@pytest.mark.parametrize("keys", [(NEW_PUBLIC, OLD_PUBLIC), (OLD_PUBLIC,)])
def test_a_mirror_over_the_rotation(tmp_path: Path, keys: tuple[bytes, ...]) -> None:
    """OP-57: with the new directory at once, with the old key once the bundle that says it is whole; and after a new start."""
    mirror = Mirror(tmp_path / "copy", ORIGIN, *keys)
    mirror.take(*bundle(0))
    assert mirror.take("checkpoint", note_of(ENTRIES[:200])) is not None
    after = note_of(ENTRIES[: 2 * WIDTH], key=NEW)
    if len(keys) == 1:
        with pytest.raises(SignatureError, match="a key directory made since"):
            mirror.take("checkpoint", after)
    mirror.take(*bundle(1))
    grown = mirror.take("checkpoint", after)
    assert grown is not None
    assert grown.checkpoint.size == 2 * WIDTH
    again = Mirror(tmp_path / "copy", ORIGIN, *keys)
    again.take("checkpoint", note_of(ENTRIES, key=NEW))
    assert again.take(*bundle(2)) is not None
    with pytest.raises(SignatureError, match="a key given up"):
        again.take("checkpoint", note_of([*ENTRIES, b"more"], key=KEY))


def test_a_mirror_believes_no_strangers_rotation(tmp_path: Path) -> None:
    """OP-57: a message that no known key signed, or about another unit, makes no key known."""
    for name, entry in (("a", rotated(THIRD)), ("b", rotated(unit="springfield/bridge/bridge-02"))):
        mirror = Mirror(tmp_path / name, ORIGIN, OLD_PUBLIC)
        mirror.take(topic_of(Tile(None, 0)), encode_bundle([entry.encode(), *ENTRIES[1:WIDTH]]))
        with pytest.raises(SignatureError):
            mirror.take("checkpoint", note_of([entry.encode(), *ENTRIES[1:WIDTH]], key=NEW))
    copy = write_copy(tmp_path / "c", ENTRIES, key=NEW)
    with pytest.raises(LogDamaged, match="a checkpoint signed by"):
        Mirror(copy, ORIGIN, THIRD_PUBLIC)
