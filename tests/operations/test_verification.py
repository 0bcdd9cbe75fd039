"""What a subscriber makes of messages, true and hostile. Rules OP-n are those of agent/operations/SPEC.md."""

import base64
import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.contracts import aggregate
from agent.contracts.public import ENVELOPE, Envelope, Reason, seal_envelope
from agent.disclosure.datachain import compile_disclosure
from agent.operations.announcements import Record
from agent.operations.gaps import MAX_GAPS_A_STREAM, Gap
from agent.operations.placement import Placement
from agent.operations.table import Table
from agent.operations.tally import Silence, Tally
from agent.operations.verification import (
    MAX_PAYLOAD_BYTES,
    MAX_UNSIGNED_BYTES,
    SIGNATURE_WITHIN_S,
    Received,
    Verification,
)
from agent.publisher.message import (
    Message,
    checkpoint_message,
    disclosure_message,
    release_messages,
    state_message,
    upcoming_message,
)
from agent.publisher.topics import Topics
from agent.wire.cose import public_bytes, sign1
from tests.publisher.unit_folders import KEY, STREAM, UnitFolder

OTHER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
PUBLIC = public_bytes(KEY)


@pytest.fixture
def unit(tmp_path: Path) -> UnitFolder:
    folder = UnitFolder(tmp_path / "unit")
    folder.announce()
    return folder


@pytest.fixture
def topics(unit: UnitFolder) -> Topics:
    return Topics("dtpr", unit.city, unit.site, unit.name)


def received(message: Message, at_s: float = 0.0, **changes: object) -> Received:
    fields: dict[str, object] = {
        "topic": message.topic,
        "payload": message.payload,
        "user_properties": message.user_properties,
        "retain": message.retain,
        "at_s": at_s,
    }
    return Received(**(fields | changes))  # type: ignore[arg-type]  # the tests name real fields


def take(verification: Verification, message: Message, **changes: object) -> Record:
    ((record, _),) = verification.take(received(message, **changes))  # type: ignore[arg-type]  # as above
    return record


@pytest.fixture
def release(unit: UnitFolder, topics: Topics) -> Callable[[int], Message]:
    def make(number: int) -> Message:
        index = number
        sealed = unit.release(number, log_index=index)
        return release_messages(topics, sealed, log_index=index, expiry_s=60, mqtt5=True)[0]

    return make


def test_a_true_release(unit: UnitFolder, topics: Topics, release: Callable[[int], Message]) -> None:
    """OP-1, OP-3: fields, and that its disclosure was announced."""
    verification = Verification([public_bytes(OTHER), PUBLIC])
    assert take(verification, release(0))["disclosure_announced"] is False
    take(verification, disclosure_message(topics, (unit.public / ENVELOPE).read_bytes()))
    record = take(verification, release(1))
    assert record["verified"] is True
    assert record["disclosure_announced"] is True
    assert record["cells"] == {"bicycle": "suppressed", "pedestrian": 31}
    assert (record["stream"], record["window_s"], record["log_index"], record["notes"]) == (STREAM, 300, 1, [])


def test_verified_is_null_without_a_key_and_false_with_another(release: Callable[[int], Message]) -> None:
    """OP-1."""
    assert take(Verification(), release(0))["verified"] is None
    assert take(Verification([public_bytes(OTHER)]), release(0))["verified"] is False


@pytest.mark.parametrize("signature", ["", "%%%", "AAAA", "é", base64.b64encode(b"\xd2" * 90).decode()])
def test_what_is_no_signature_is_not_verified(release: Callable[[int], Message], signature: str) -> None:
    """OP-1."""
    record = take(Verification([PUBLIC]), release(0), user_properties=(("sig", signature),))
    assert record["verified"] is False
    assert record["notes"]


def test_another_payload_under_a_true_signature_is_not_verified(unit: UnitFolder, topics: Topics) -> None:
    """OP-1: one digit changed."""
    sealed = unit.release(0)
    (message,) = release_messages(topics, sealed, log_index=0, expiry_s=60, mqtt5=True)
    forged = message.payload.replace(b'"v":20', b'"v":21')
    assert forged != message.payload
    assert take(Verification([PUBLIC]), message, payload=forged)["verified"] is False


def test_repeat_conflict_and_gap(unit: UnitFolder, topics: Topics, release: Callable[[int], Message]) -> None:
    """OP-4, OP-5."""
    verification = Verification([PUBLIC])
    assert not take(verification, release(0))["retry"]
    assert take(verification, release(0))["retry"]
    other = unit.release(0, threshold=19, log_index=0)
    record = take(verification, release_messages(topics, other, log_index=0, expiry_s=60, mqtt5=True)[0])
    assert record["conflict"]
    assert not record["retry"]
    assert take(verification, release(4))["missing_before"] == 3
    assert take(verification, release(5))["missing_before"] == 0


def test_a_forger_cannot_turn_a_true_release_into_a_conflict(
    unit: UnitFolder, topics: Topics, release: Callable[[int], Message]
) -> None:
    """OP-4: what failed verification is not remembered."""
    verification = Verification([PUBLIC])
    forged = unit.aggregate(0, threshold=19, log_index=0)
    payload = aggregate.encode(forged)
    signature = base64.b64encode(sign1(payload, OTHER, detached=True)).decode()
    take(verification, release(0), payload=payload, user_properties=(("sig", signature),))
    record = take(verification, release(0))
    assert not record["conflict"]
    assert record["verified"] is True


def test_signature_that_follows_as_a_message(unit: UnitFolder, topics: Topics) -> None:
    """OP-2: MQTT 3.1.1; it completes its release, and one that never comes leaves it unverified."""
    verification = Verification([PUBLIC])
    data, signature = release_messages(topics, unit.release(0), log_index=0, expiry_s=60, mqtt5=False)
    assert verification.take(received(data, user_properties=())) == []
    assert take(verification, signature)["verified"] is True
    data, _ = release_messages(topics, unit.release(1), log_index=0, expiry_s=60, mqtt5=False)
    assert verification.take(received(data, user_properties=())) == []
    assert verification.overdue(SIGNATURE_WITHIN_S / 2) == []
    ((record, _),) = verification.overdue(SIGNATURE_WITHIN_S)
    assert record["verified"] is False
    assert record["notes"] == ["no signature"]


@pytest.mark.parametrize("change", ["digest", "datachain", "unit", "signer"])
def test_a_disclosure_that_does_not_agree_with_itself_is_not_announced(
    unit: UnitFolder, topics: Topics, release: Callable[[int], Message], change: str
) -> None:
    """OP-3: digest, datachain, unit and signature are recomputed from the envelope's bytes."""
    message = disclosure_message(topics, (unit.public / ENVELOPE).read_bytes())
    item = json.loads(message.payload)
    keys, topic = [PUBLIC], message.topic
    match change:
        case "digest":
            item["digest"] = "00" * 32
        case "datachain":
            item["datachain"]["instance"]["title"][0]["value"] = "Nothing to see here"
        case "unit":
            topic = topic.replace("bridge-01", "bridge-02")
        case "signer":
            keys = [public_bytes(OTHER)]
    verification = Verification(keys)
    record = take(verification, message, payload=json.dumps(item).encode(), topic=topic)
    assert record["agrees"] is False
    assert record["digest"] == unit.disclosure.digest.hex()
    assert len(record["notes"]) == 1
    assert take(verification, release(0))["disclosure_announced"] is False


def test_an_old_will_does_not_hide_a_live_unit(unit: UnitFolder, topics: Topics) -> None:
    """OP-6."""

    def state(session: str, connection: str) -> Message:
        return state_message(topics, unit.state, session=session, connection=connection, publisher="ok")

    verification = Verification()
    assert not take(verification, state("a", "online"))["stale_will"]
    assert not take(verification, state("b", "online"))["stale_will"]
    assert take(verification, state("a", "offline"))["stale_will"]
    assert not take(verification, state("b", "offline"))["stale_will"]


def test_checkpoints_that_contradict_each_other(unit: UnitFolder, topics: Topics) -> None:
    """OP-7."""
    verification = Verification([PUBLIC])
    unit.release_windows(0, 3)
    assert take(verification, checkpoint_message(topics, unit.checkpoint()))["verified"] is True
    shorter = take(verification, checkpoint_message(topics, unit.checkpoint(entries=2)))
    assert shorter["notes"] == ["the log got shorter"]
    unit.checkpoint(entries=2)
    unit.head.append(b"another history")
    assert take(verification, checkpoint_message(topics, unit.checkpoint(entries=2)))["notes"] == [
        "another root for the same size"
    ]
    assert take(Verification([public_bytes(OTHER)]), checkpoint_message(topics, unit.checkpoint()))["verified"] is False


HOSTILE = [
    b"",
    b"\xff\xfe",
    b"[",
    b"[]",
    b"null",
    b'"\\ud800"',
    b"1e999999",
    b"[" * 60_000,
    b'{"v":1,"a":' * 5_000,
    b"[NaN]",
    b'[{"bn":5}]',
    b'{"v":1,"digest":[],"datachain":{},"envelope":7}',
    b'{"v":1,"digest":"","datachain":{},"envelope":"AAAA"}',
    b'{"v":1,"log_index":0,"disclosure":"","sig":7}',
    b'{"v":1,"session":1,"connection":"online"}',
    b"\x1b[2J\x1b]0;owned\x07",
    b"x" * (MAX_PAYLOAD_BYTES + 1),
]


@pytest.mark.parametrize("ending", ["agg/crossings", "agg/crossings/sig", "state", "disclosure", "checkpoint", "other"])
@pytest.mark.parametrize("payload", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_payloads_are_one_line_naming_the_fault(topics: Topics, ending: str, payload: bytes) -> None:
    """OP-8, I8."""
    verification = Verification()
    ((record, _),) = verification.take(Received(f"{topics.base}/{ending}", payload, (), False, 0.0))
    assert record["type"] == "fault"
    (line,) = Table().lines(record)
    assert line.isprintable()
    assert len(line) <= 400


@given(
    st.one_of(st.none(), st.text(max_size=200), st.sampled_from(["dtpr/v1/a/b/c/state", "dtpr/v1/a/b/c/agg/x"])),
    st.one_of(st.binary(max_size=300), st.text(max_size=200).map(str.encode)),
    st.lists(st.tuples(st.text(max_size=20), st.text(max_size=50)), max_size=3),
    st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_nothing_escapes_whatever_arrives(
    topic: str | None, payload: bytes, properties: list[tuple[str, str]], with_key: bool
) -> None:
    """OP-8, I8: records or nothing; printable lines; JSON in ASCII."""
    verification = Verification([PUBLIC] if with_key else [])
    done = verification.take(Received(topic, payload, tuple(properties), False, 0.0)) + verification.overdue(99.0)
    for record, _ in done:
        assert json.dumps(record).isascii()
        assert all(line.isprintable() for line in Table().lines(record))


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Message:
    unit = UnitFolder(tmp_path_factory.mktemp("sealed") / "unit")
    topics = Topics("dtpr", unit.city, unit.site, unit.name)
    return release_messages(topics, unit.release(0), log_index=0, expiry_s=60, mqtt5=True)[0]


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_a_damaged_true_message_never_verifies(sealed: Message, data: st.DataObject) -> None:
    """OP-1, OP-8: any byte of the payload changed."""
    at = data.draw(st.integers(0, len(sealed.payload) - 1))
    octet = data.draw(st.integers(0, 255).filter(lambda octet: octet != sealed.payload[at]))
    payload = sealed.payload[:at] + bytes([octet]) + sealed.payload[at + 1 :]
    record = take(Verification([PUBLIC]), sealed, payload=payload)
    assert record["type"] == "fault" or record["verified"] is False


def sealed_upcoming(unit: UnitFolder, not_before: int) -> bytes:
    policy = dataclasses.replace(unit.disclosure.policy, version=unit.disclosure.policy_version + 1)
    return seal_envelope(Envelope(compile_disclosure(policy).cbor, 1_800_000_000, not_before), KEY)


def test_an_upcoming_disclosure_says_from_when_and_announces_nothing(unit: UnitFolder, topics: Topics) -> None:
    """OP-3: checked like the one in force; Releases that name it already are not what was announced."""
    verification = Verification([PUBLIC])
    record = take(verification, upcoming_message(topics, sealed_upcoming(unit, 1_800_000_900)))
    assert (record["type"], record["policy_version"], record["not_before"]) == (
        "upcoming",
        unit.disclosure.policy_version + 1,
        1_800_000_900,
    )
    assert (record["agrees"], record["verified"], record["notes"]) == (True, True, [])
    assert "not before 2027-01-15 08:15:00" in Table().lines(record)[0]
    release = unit.release(1, disclosure_digest=bytes.fromhex(record["digest"]))
    (message,) = release_messages(topics, release, log_index=0, expiry_s=60, mqtt5=True)
    assert take(verification, message)["disclosure_announced"] is False
    assert verification.take(received(upcoming_message(topics, None))) == []


def test_an_upcoming_disclosure_that_lies(unit: UnitFolder, topics: Topics) -> None:
    """OP-3: another instant than the envelope's, one that no calendar has, or one in force under the wrong topic."""
    verification = Verification([PUBLIC])
    message = upcoming_message(topics, sealed_upcoming(unit, 1_800_000_900))
    other = {**json.loads(message.payload), "not_before": 1}
    assert take(verification, message, payload=json.dumps(other).encode())["agrees"] is False
    for absurd in (-1, 2**62):
        assert take(verification, upcoming_message(topics, sealed_upcoming(unit, absurd)))["type"] == "fault"
    shown = (unit.public / ENVELOPE).read_bytes()
    payload = {**json.loads(disclosure_message(topics, shown).payload), "not_before": 1_800_000_900}
    assert take(verification, message, payload=json.dumps(payload).encode())["type"] == "fault"
    early = disclosure_message(topics, sealed_upcoming(unit, 1_800_000_900))
    assert take(verification, early)["notes"] == ["it is not in force yet"]


def test_a_stop_order_and_a_refused_offer_are_told(unit: UnitFolder, topics: Topics) -> None:
    """The table says who stopped a unit and why, and what it refused, on one printable line each."""
    state = dataclasses.replace(
        unit.state,
        gate="closed",
        reason=Reason.STOPPED,
        stop_reason="Recorded speech",
        stop_by="steward/ana",
        offer_refused="x\x1b",
    )
    record = take(Verification(), state_message(topics, state, session="s", connection="online", publisher="ok"))
    lines = Table().lines(record)
    assert any("stopped by steward/ana: Recorded speech" in line for line in lines)
    assert all(line.isprintable() for line in lines)


def test_late_is_told_from_lost(unit: UnitFolder, topics: Topics) -> None:
    """OP-5: while the unit says that late ones are to come a hole is awaited; after that, what did not come is a gap."""

    def release(number: int, *, late: bool = False) -> Message:
        sealed = unit.release(number, log_index=number)
        return release_messages(topics, sealed, log_index=number, expiry_s=60, late=late, mqtt5=True)[0]

    def state(*, backlog: bool) -> Message:
        return state_message(topics, unit.state, session="s", connection="online", publisher="ok", backlog=backlog)

    verification = Verification([PUBLIC])
    take(verification, release(0))
    assert take(verification, state(backlog=True))["backlog"]
    record = take(verification, release(10))
    assert (record["missing_before"], record["awaited"], record["late"]) == (9, True, False)
    for number in (1, 2, 3, 6):
        record = take(verification, release(number, late=True))
        assert (record["missing_before"], record["late"], record["retry"]) == (0, True, False)
        assert "(late)" in "".join(Table().lines(record))
    done = [record for record, _ in verification.take(received(state(backlog=False)))]
    assert [record["type"] for record in done] == ["state", "gap", "gap"]
    base = unit.release(0).window_start
    assert [(r["first_start"] - base, r["windows"]) for r in done[1:]] == [(4 * 300, 2), (7 * 300, 3)]
    assert "2 windows of bridge-01 crossings from" in Table().lines(done[1])[0]
    record = take(verification, release(14))
    assert (record["missing_before"], record["awaited"]) == (3, False)
    assert [record["type"] for record, _ in verification.take(received(state(backlog=False)))] == ["state"]


def test_what_is_late_counts_as_missing_only_once_it_is_lost(unit: UnitFolder, topics: Topics) -> None:
    """OP-5, OP-14, OP-16: the same messages to one who gets all of them and to a member of a group, who is told of no gap."""

    def messages() -> Iterator[Message]:
        for number, late in ((0, False), (10, False), (2, True), (3, True)):
            sealed = unit.release(number, log_index=number)
            yield release_messages(topics, sealed, log_index=number, expiry_s=60, late=late, mqtt5=True)[0]
        yield state_message(topics, unit.state, session="s", connection="online", publisher="ok", backlog=False)

    begin = state_message(topics, unit.state, session="s", connection="online", publisher="ok", backlog=True)
    missing: dict[bool, list[int]] = {}
    kinds: dict[bool, list[str]] = {}
    for shared in (False, True):
        verification, tally, silence = Verification([PUBLIC], shared=shared), Tally(0.0), Silence()
        take(verification, begin)
        missing[shared], kinds[shared] = [], []
        for message in messages():
            for record, _ in verification.take(received(message)):
                tally.take(record)
                silence.take(record, 0.0)
                kinds[shared].append(record["type"])
                if shared and record["type"] == "release":
                    assert (record["missing_before"], record["awaited"]) == (None, False)
            missing[shared].append(tally.missing)
        (silent,) = silence.overdue(1e6)
        assert silent["newest_window_start"] == unit.release(10).window_start  # not that of a late one
    assert missing == {False: [0, 0, 0, 0, 7], True: [0] * 5}
    assert kinds == {False: [*["release"] * 4, "state", "gap", "gap"], True: [*["release"] * 4, "state"]}


def test_late_over_311_is_in_the_signatures_message(unit: UnitFolder, topics: Topics) -> None:
    data, signature = release_messages(topics, unit.release(0), log_index=0, expiry_s=60, late=True, mqtt5=False)
    verification = Verification([PUBLIC])
    assert verification.take(received(data, user_properties=())) == []
    record = take(verification, signature)
    assert (record["late"], record["verified"]) == (True, True)


@given(st.lists(st.integers(0, 400), unique=True))
def test_gaps_conserve_windows_and_stay_bounded(arrivals: list[int]) -> None:
    """OP-5: every window between the first and the newest came, or is in exactly one gap, however the late ones came."""
    placement = Placement()
    placement.says("unit", backlog=True)
    lost: list[Gap] = []
    for number in (0, 500, *(1 + n for n in arrivals)):
        lost += placement.place("unit", "s", number * 60, 60, bytes(32), believed=True).lost
    lost += [gap for _, gap in placement.says("unit", backlog=False)]
    missing = [gap.first_start // 60 + place for gap in lost for place in range(gap.windows)]
    assert len(missing) == len(set(missing))
    if len(arrivals) <= MAX_GAPS_A_STREAM:
        assert set(missing) == set(range(1, 500)) - {1 + n for n in arrivals}
    else:
        assert set(missing) >= set(range(1, 500)) - {1 + n for n in arrivals}


@pytest.mark.parametrize(("before_s", "after_s"), [(900, 300), (300, 900), (900, 60), (60, 86_400)])
def test_another_length_of_windows_is_no_gap(before_s: int, after_s: int) -> None:
    """OP-5: a policy with longer or shorter windows begins where a window of both does; what is missing around it is told as what it is."""
    change = 10 * 86_400
    placement = Placement()
    assert placement.place("unit", "s", change - before_s, before_s, bytes(32), believed=True).missing_before == 0
    assert placement.place("unit", "s", change, after_s, bytes(32), believed=True).missing_before == 0
    placement.says("unit", backlog=True)
    last = change + 2 * 86_400
    placement.place("unit", "s", last - 5 * before_s, before_s, bytes(32), believed=True)
    found = placement.place("unit", "s", last + after_s, after_s, bytes(32), believed=True)
    assert found.awaited
    late = [(last - n * before_s, before_s) for n in (4, 3, 2, 1)] + [(last, after_s)]
    for start, window_s in late:
        assert not placement.place("unit", "s", start, window_s, bytes(32), believed=True).lost
    lost = [gap for _, gap in placement.says("unit", backlog=False)]
    assert [gap.first_start for gap in lost] == [
        change + after_s
    ]  # what came before the five is missing, and nothing else


def test_a_flood_of_releases_that_wait_for_a_signature_is_bounded(unit: UnitFolder, topics: Topics) -> None:
    """OP-44: from as many names as there are topics, each as long as a payload may be; none is forgotten silently."""
    verification = Verification([PUBLIC])
    base = topics.base.rpartition("/")[0]
    sent = 2 * MAX_UNSIGNED_BYTES // MAX_PAYLOAD_BYTES
    told = 0
    payload = b"x" * MAX_PAYLOAD_BYTES
    for number in range(sent):
        told += len(verification.take(Received(f"{base}/u{number}/agg/s", payload, (), False, 0.0)))
    waiting = len(verification.overdue(SIGNATURE_WITHIN_S))
    assert told + waiting == sent
    assert waiting <= MAX_UNSIGNED_BYTES // MAX_PAYLOAD_BYTES
    record = take(verification, release_messages(topics, unit.release(0), log_index=0, expiry_s=60, mqtt5=True)[0])
    assert record["verified"] is True


def test_names_and_sessions_that_are_remembered_are_short(unit: UnitFolder, topics: Topics) -> None:
    """OP-44: a hundred thousand are kept."""
    ((record, _),) = Verification().take(Received(f"dtpr/v1/{'a' * 60_000}/b/c/state", b"{}", (), False, 0.0))
    assert (record["type"], record["where"]) == ("fault", "topic")
    assert len(record["topic"]) <= 300
    message = state_message(topics, unit.state, session="s" * 60_000, connection="online", publisher="ok")
    assert take(Verification(), message)["type"] == "fault"
