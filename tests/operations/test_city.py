"""What lets many processes and many units share a broker: groups, key directories, CSV, counts, simulated units. Rules OP-n are SPEC.md's."""

import base64
import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.cli.main import main
from agent.contracts import aggregate
from agent.contracts.aggregate import Cell, NotCollected, Template
from agent.contracts.cells import SINCE, TOTAL
from agent.errors import MessageError, SettingsError, SignatureError
from agent.local.randomness import random_bytes
from agent.operations.announcements import Record
from agent.operations.keyring import Keyring
from agent.operations.keys import decode_directory, write_directory
from agent.operations.publish import cut, puback, read_mid, read_publish
from agent.operations.rows import COLUMNS, HEADER, rows
from agent.operations.simulation import Crowd, SimulatedUnit
from agent.operations.simulation_command import unit_key
from agent.operations.subscribe import topic_filters
from agent.operations.tally import GRACE_S, Silence, Tally
from agent.operations.verification import Received, Verification
from agent.policy.cells import cell_names
from agent.policy.file import load_policy
from agent.policy.modes import Guaranteed
from agent.policy.parse import parse_policy
from agent.publisher.message import Message
from agent.wire import cose
from agent.wire.detached import DetachedVerifier, named_kid, signed_type, verify_detached
from agent.wire.senml import media_type
from tests import packs
from tests.brokers import Mosquitto
from tests.operations.fleets import POLICY, done, simulate
from tests.operations.test_subscribe import Subscriber
from tests.packs import changed
from tests.publisher.unit_folders import TIMEOUT_S, wait_until

NOW = 1_800_000_000
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))


WITH_TOTALS = (
    POLICY.read_text()
    .replace('totals = "none"', 'totals = "period"')
    .replace("\nk = 5 ", "\nk = 0 ")
    .replace("\nz = 2\n", "\nz = 0\n")
)
SIMULATED = {path.stem: load_policy(path) for path in (POLICY, *sorted((POLICY.parent / "examples").glob("*.toml")))}
SIMULATED["totals"] = parse_policy(WITH_TOTALS, "totals")


def crowd_of(count: int, *, cbor: bool = False) -> list[SimulatedUnit]:
    crowd = Crowd(load_policy(POLICY), "dtpr", NOW, cbor=cbor)
    return [crowd.unit(number, unit_key(bytes(32), number)) for number in range(count)]


def take(verification: Verification, message: Message, at_s: float = 0.0) -> Record:
    received = Received(message.topic, message.payload, message.user_properties, message.retain, at_s)
    ((record, _),) = verification.take(received)
    return record


# Decoding by what the last pack said


@pytest.mark.parametrize("name", packs.ALL)
def test_a_template_says_what_decode_says(name: str) -> None:
    """OP-13: numbers, hidden and not collected, of every kind."""
    window = packs.ALL[name]
    template = Template(aggregate.decode(aggregate.encode(window)).terms)
    none = replace(window, reason=NotCollected.GATE, values=(Cell.NOT_COLLECTED,) * len(window.values), log_index=10**9)
    for one in (window, none, replace(window, window_start=window.window_start + 86_400, coverage_percent=55)):
        payload = aggregate.encode(one)
        assert template.decode(payload) == aggregate.decode(payload)
        assert template.encode(replace(one, terms=template.terms)) == payload


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_a_template_accepts_nothing_that_decode_refuses(data: st.DataObject) -> None:
    """OP-13, I8: whatever byte is changed, and for text that is no pack at all."""
    window = packs.ALL[data.draw(st.sampled_from(sorted(packs.ALL)))]
    payload = bytearray(aggregate.encode(window))
    template = Template(window.terms)
    for _ in range(data.draw(st.integers(1, 3))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    found = template.decode(bytes(payload))
    if found is not None:
        assert aggregate.decode(bytes(payload)) == found
    assert template.decode(data.draw(st.binary(max_size=60))) is None


def test_a_template_is_of_one_stream() -> None:
    """OP-13: a pack of other terms is for `decode`."""
    template = Template(packs.COUNT.terms)
    for name, window in packs.ALL.items():
        assert (template.decode(aggregate.encode(window)) is not None) == (name == "count")
    assert template.decode(aggregate.encode(changed(packs.COUNT, threshold=14))) is None
    for hostile in (b"[" * 50_000, b'[{"bt":1e999}]', b"[NaN,NaN,NaN]", b"\xff"):
        assert template.decode(hostile) is None


# Whose signature counts


@given(st.binary(max_size=300), st.integers(0, 83), st.integers(1, 255))
@settings(max_examples=200, deadline=None)
def test_the_quick_check_of_a_signature_says_what_cose_says(payload: bytes, at: int, change: int) -> None:
    """OP-1: yes only where `verify_detached` says so; every byte of the message counts, and so does what the payload is signed as."""
    message = cose.sign1(payload, KEY, detached=True, content_type=signed_type(payload))
    verify_detached(message, cose.public_bytes(KEY), payload)
    quick = DetachedVerifier(cose.public_bytes(KEY))
    assert quick.verify(message, payload) is True
    assert quick.verify(message, payload + b"x") is False
    assert DetachedVerifier(cose.public_bytes(OTHER)).verify(message, payload) is None
    damaged = bytes(octet ^ change if place == at else octet for place, octet in enumerate(message))
    assert quick.verify(damaged, payload) is not True
    assert quick.verify(b"", payload) is None


@pytest.mark.parametrize("length", [0, 23, 24, 255, 256, 65_535, 65_536])
def test_the_quick_check_knows_every_length(length: int) -> None:
    payload = b"[" * length
    message = cose.sign1(payload, KEY, detached=True, content_type=signed_type(payload))
    assert DetachedVerifier(cose.public_bytes(KEY)).verify(message, payload)
    assert named_kid(message) == cose.key_id(cose.public_bytes(KEY))


@pytest.mark.parametrize("payload", [b"[]", b"\x80", b""])
def test_what_is_signed_as_one_thing_counts_for_no_other(payload: bytes) -> None:
    """OP-1: a pack in CBOR is signed under its content type, one in JSON without any."""
    public_key = cose.public_bytes(KEY)
    for content_type in (None, "application/senml+cbor", "application/senml+json", "text/plain"):
        message = cose.sign1(payload, KEY, detached=True, content_type=content_type)
        right = content_type == signed_type(payload)
        assert DetachedVerifier(public_key).verify(message, payload) is (True if right else None)
        assert Keyring([public_key]).release("a/b/c", payload, base64.b64encode(message).decode())[0] is right
        if not right:
            with pytest.raises(SignatureError, match="content type"):
                verify_detached(message, public_key, payload)


def test_in_a_directory_only_a_units_own_key_counts() -> None:
    """OP-9: another unit's key is a forgery, and a unit that nobody vouches for is not believed."""
    one, other = crowd_of(2)
    (release,) = one.release(random_bytes)
    for units, verified, notes in (
        ({one.path: one.public_key, other.path: other.public_key}, True, []),
        ({one.path: other.public_key}, False, ["signed by none of the given keys"]),
        ({other.path: one.public_key}, False, ["no key is known for this unit"]),
    ):
        verification = Verification(Keyring((), units))
        record = take(verification, release)
        assert (record["verified"], record["notes"]) == (verified, notes)
        assert take(verification, one.checkpoint())["verified"] is verified
        assert take(verification, one.announcements("0" * 16)[1])["verified"] is verified
    assert take(Verification(Keyring([one.public_key])), release)["verified"] is True


def test_a_key_directory_is_read_strictly(tmp_path: Path) -> None:
    """OP-9, I8."""
    units = crowd_of(3)
    good = write_directory("springfield", 1, {each.path: each.public_key for each in units})
    assert decode_directory(good, "d").units == {unit.path: unit.public_key for unit in units}
    for bad in (
        b"",
        b"[]",
        b'{"v":2}',
        good.replace(b"units", b"keys"),
        good.replace(units[0].public_key.hex().encode(), b"00"),
    ):
        with pytest.raises(MessageError):
            decode_directory(bad, "d")


# Lines


def test_csv_has_one_row_a_cell_of_every_kind() -> None:
    """OP-15: read back by Python's own csv; numbers apart from words; nothing begins like a formula."""
    for window in packs.ALL.values():
        terms = window.terms
        topic = f"dtpr/v1/{terms.city}/{terms.site}/{terms.unit}/agg/{terms.stream}"
        ((record, _),) = Verification().take(Received(topic, aggregate.encode(window), (), False, 0.0))
        read = list(csv.DictReader([HEADER, *rows(record)], strict=True))
        assert [row["cell"] for row in read] == [name for name, _ in window.cells]
        for row, (name, value) in zip(read, record["cells"].items(), strict=True):
            assert set(row) == set(COLUMNS)
            assert (row["words"] if isinstance(value, str) else float(row["value"])) == value, name
            assert row["guarantee"] == terms.guarantee.words()
            assert (row["late"], row["conflict"]) == ("false", "false")
            assert not any(text.startswith(("=", "+", "@")) for text in row.values())
    assert rows({"type": "state"}) == []


def test_a_stream_that_stops_is_told_once_until_it_speaks_again() -> None:
    """OP-16: after two windows and half a minute."""
    (unit,) = crowd_of(1)
    verification, silence, tally = Verification([unit.public_key]), Silence(), Tally(0.0)
    for at_s in (0.0, 900.0):
        record = take(verification, unit.release(random_bytes)[0], at_s)
        silence.take(record, at_s)
        tally.take(record)
    assert silence.overdue(900.0 + 1800.0 + GRACE_S) == []
    (silent,) = silence.overdue(900.0 + 1801.0 + GRACE_S)
    assert (silent["type"], silent["unit"], silent["silent_s"]) == ("silent", "sim-000000", 1831)
    assert silence.overdue(5000.0) == []
    assert silence.count == 1
    silence.take(record, 5001.0)
    assert silence.count == 0
    line = tally.line(1000.0, 0)
    assert "2 releases, 0 not verified, 0 repeats, 0 conflicts, 0 windows missing, 0 streams silent, 0 faults" in line


def test_in_a_group_a_gap_is_no_loss() -> None:
    """OP-14: what others of the group received is not missing."""
    (unit,) = crowd_of(1)
    first, _, third = (unit.release(random_bytes)[0] for _ in range(3))
    alone, shared = Verification([unit.public_key]), Verification([unit.public_key], shared=True)
    assert [take(alone, first)["missing_before"], take(alone, third)["missing_before"]] == [0, 1]
    assert [take(shared, first)["missing_before"], take(shared, third)["missing_before"]] == [None, None]


def test_what_is_retained_goes_to_every_member() -> None:
    """OP-14: brokers share no retained messages."""
    filters = topic_filters("dtpr", "+", "+", "+", "city")
    assert "dtpr/v1/+/+/+/state" in filters
    assert "$share/city/dtpr/v1/+/+/+/agg/+" in filters
    assert topic_filters("dtpr", "a", "b", "c") == ("dtpr/v1/a/b/c/#",)


# MQTT's bytes


def published(topic: bytes, payload: bytes, properties: bytes, qos: int, mid: int) -> bytes:
    assert len(properties) < 128
    body = len(topic).to_bytes(2, "big") + topic + (mid.to_bytes(2, "big") if qos else b"")
    body += bytes([len(properties)]) + properties + payload
    length, head = len(body), bytearray([0x30 | qos << 1])
    while True:
        length, octet = length >> 7, length & 0x7F
        head.append(octet | (0x80 if length else 0))
        if not length:
            return bytes(head) + body


@given(
    st.text(max_size=40),
    st.binary(max_size=400),
    st.integers(0, 1),
    st.lists(st.tuples(st.text(max_size=8), st.text(max_size=8)), max_size=2),
)
@settings(max_examples=200, deadline=None)
def test_a_publish_is_cut_and_read(topic: str, payload: bytes, qos: int, pairs: list[tuple[str, str]]) -> None:
    """OP-8: from any place of a buffer, once it is whole."""
    octets = b"".join(
        b"\x26" + b"".join(len(text.encode()).to_bytes(2, "big") + text.encode() for text in pair) for pair in pairs
    )
    properties = b"\x02\x00\x00\x00\x3c\x01\x01" + octets
    if len(properties) > 127:
        return
    packet = published(topic.encode(), payload, properties, qos, 7 if qos else 0)
    buffer = b"\xd0\x00" + packet + b"\x30"
    found = cut(buffer, 2)
    assert found is not None
    assert found.end == len(buffer) - 1
    read = read_publish(buffer, found, mqtt5=True)
    assert (read.topic, read.payload, read.qos, read.user_properties) == (topic, payload, qos, tuple(pairs))
    assert all(cut(buffer[:end], 2) in (None, found) for end in range(2, len(buffer) - 1))
    assert read_mid(buffer, found) == read.mid
    assert puback(read.mid) == b"\x40\x02\x00" + bytes([read.mid])


@given(st.binary(max_size=200), st.booleans())
@settings(max_examples=300, deadline=None)
def test_nothing_but_the_documented_error_escapes(octets: bytes, mqtt5: bool) -> None:
    """OP-8, I8."""
    try:
        packet = cut(b"\x32" + octets, 0)
        if packet is not None and packet.end <= len(octets) + 1:
            read_publish(b"\x32" + octets, packet, mqtt5=mqtt5)
    except MessageError:
        pass


# Simulated units


@pytest.mark.parametrize("cbor", [False, True])
def test_a_simulated_unit_is_what_a_subscriber_expects(cbor: bool) -> None:
    """OP-17: everything verifies, nothing is missing, repeated or in conflict, and its numbers are noisy."""
    units = crowd_of(3, cbor=cbor)
    verification = Verification(Keyring((), {unit.path: unit.public_key for unit in units}))
    for unit in units:
        for message in unit.announcements("0" * 16):
            if message.payload:
                record = take(verification, message)
                assert record.get("agrees", True) is True
                assert record.get("verified", True) is True
    for number in range(5):
        for unit in units:
            (message,) = unit.release(random_bytes)
            assert message.content_type == ("application/senml+cbor" if cbor else "application/senml+json")
            assert media_type(message.payload) == message.content_type
            record = take(verification, message)
            assert (record["verified"], record["disclosure_announced"], record["notes"]) == (True, True, [])
            assert (record["log_index"], record["missing_before"], record["conflict"]) == (number + 1, 0, False)
            head = take(verification, unit.checkpoint())
            assert (head["size"], head["verified"], head["notes"]) == (number + 2, True, [])


WINDOWS = 12
"""Few enough to be quick, and too many for a stream of coarse steps to give one number by chance."""


@pytest.mark.parametrize("cbor", [False, True])
@pytest.mark.parametrize("name", SIMULATED)
def test_every_kind_can_be_simulated(name: str, cbor: bool) -> None:
    """OP-17: each unit's packs are of the policy's kinds, under its labels, with its noise; nothing is missing or in conflict."""
    policy = SIMULATED[name]
    crowd = Crowd(policy, "dtpr", NOW, cbor=cbor)
    units = [crowd.unit(number, unit_key(bytes(32), number)) for number in range(2)]
    verification = Verification(Keyring((), {unit.path: unit.public_key for unit in units}))
    made: dict[tuple[str, str], list[Record]] = {}
    for unit in units:
        for message in unit.announcements("0" * 16):
            if message.payload:
                take(verification, message)
        for _ in range(WINDOWS * len(policy.streams)):
            (message,) = unit.release(random_bytes)
            record = take(verification, message)
            assert (record["verified"], record["notes"], record["missing_before"]) == (True, [], 0)
            made.setdefault((unit.path, record["stream"]), []).append(record)
    assert {stream for _, stream in made} == {stream.name for stream in policy.streams}
    for (_, name), records in made.items():
        stream = next(stream for stream in policy.streams if stream.name == name)
        assert [record["kind"] for record in records] == [stream.kind] * WINDOWS
        assert all(tuple(record["cells"]) == cell_names(stream) for record in records)
        assert isinstance(stream.privacy, Guaranteed) is ("not a privacy guarantee" not in records[0]["guarantee"])
        numbers = [value for record in records for value in record["cells"].values() if not isinstance(value, str)]
        assert len(set(numbers)) > 1, "always the same"
        if stream.kind == "count" and SINCE in cell_names(stream):
            assert len({record["cells"][SINCE] for record in records}) == 1
            for cell in stream.classes:
                steps = [record["cells"][cell] for record in records]
                totals = [record["cells"][f"{cell}/{TOTAL}"] for record in records]
                assert [after - before for before, after in pairwise(totals)] == steps[1:], "another unit's totals"


@pytest.mark.parametrize("wrong", [("--units", "0"), ("--units", "60000"), ("--seconds", "-1"), ("--rate", "-1")])
def test_absurd_fleets_are_refused(wrong: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    """OP-17, I8."""
    assert main(["fleet", "simulate", "--policy", str(POLICY), *wrong]) == SettingsError.exit_code
    assert capsys.readouterr().err.startswith("error: --")


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path, extra=("log_type subscribe", "max_queued_messages 0")) as running:
        yield running


def simulated(broker: Mosquitto, folder: Path, *options: str) -> dict[str, float]:
    """A fleet from its first to its last message."""
    return done(simulate(broker, folder / "keys.json", "--secret", str(folder / "secret"), *options), 4 * TIMEOUT_S)


@pytest.mark.parametrize("encoding", ["json", "cbor"])
def test_three_subscribers_of_a_group_get_each_release_once_among_them(
    tmp_path: Path, broker: Mosquitto, encoding: str
) -> None:
    """OP-14, OP-17: real units' bytes at a real mosquitto; every one verified by its unit's own key."""
    assert simulated(broker, tmp_path, "--units", "30", "--seconds", "0") == {}
    folders = [tmp_path / str(number) for number in range(3)]
    members = []
    for folder in folders:
        folder.mkdir()
        options = ("--keys", str(tmp_path / "keys.json"), "--group", "city", "--json", "--rate", "1")
        members.append(Subscriber(folder, broker.port, *options))
    try:
        wait_until(lambda: broker.log.count("$share/city/dtpr/v1/+/+/+/agg/+") == 3, "the group")
        told = simulated(broker, tmp_path, "--units", "30", "--rate", "150", "--seconds", "4", "--encoding", encoding)
        assert told["releases"] > 100
        wait_until(
            lambda: sum(len(member.records("release")) for member in members) >= told["releases"], "all releases"
        )
        shares = [member.records("release") for member in members]
        windows = [(r["unit"], r["stream"], r["window_start"]) for share in shares for r in share]
        assert len(windows) == len(set(windows)) == told["releases"]
        assert all(share for share in shares)
        assert all(r["verified"] and r["disclosure_announced"] and not r["retry"] for share in shares for r in share)
        assert all(len({r["unit"] for r in member.records("disclosure")}) == 30 for member in members)
        assert sum(len(member.records("checkpoint")) for member in members) >= told["releases"]
        wait_until(lambda: all("releases/s now" in member.errors for member in members), "the rates")
    finally:
        for member in members:
            member.__exit__(None, None, None)


def test_csv_of_a_real_run(tmp_path: Path, broker: Mosquitto) -> None:
    """OP-15: a folder of key files; what is no release goes to standard error."""
    simulated(broker, tmp_path, "--units", "2", "--seconds", "0")
    keys = tmp_path / "keys"
    keys.mkdir()
    for name, key in json.loads((tmp_path / "keys.json").read_text())["units"].items():
        (keys / f"{name.rpartition('/')[2]}.pub").write_text(key + "\n")
    with Subscriber(tmp_path, broker.port, "--csv", "--keys", str(keys), "--count", "4") as subscriber:
        wait_until(lambda: "dtpr/v1/+/+/+/#" in broker.log, "the subscription")
        simulated(broker, tmp_path, "--units", "2", "--rate", "20", "--seconds", "1")
        assert subscriber.process.wait(TIMEOUT_S) == 0
        read = list(csv.DictReader(subscriber.text.splitlines(), strict=True))
        assert len(read) >= 8
        assert {row["verified"] for row in read} == {"true"}
        assert {row["cell"] for row in read} == {"bike", "foot"}
        assert "# disclosure of sim-" in subscriber.errors
