"""PB-1 to PB-6: topics and payloads, without a broker."""

import base64
import json
import re
from fractions import Fraction
from pathlib import Path

import pytest

from agent.anonymizer.seal import seal
from agent.contracts import aggregate
from agent.contracts.log import Charge
from agent.contracts.public import ENVELOPE, open_envelope
from agent.disclosure.datachain import decode_disclosure, to_datachain
from agent.errors import DtprError, EncodingError, MessageError
from agent.publisher import message as message_module
from agent.publisher.message import disclosure_message, release_messages, state_message
from agent.publisher.topics import Topics
from agent.wire import tlog
from agent.wire.cose import decode_sign1, public_bytes, verify1
from tests.publisher.unit_folders import KEY, UnitFolder

SPEC = Path(message_module.__file__).with_name("SPEC.md")
TOPICS = Topics("dtpr", "springfield", "river-bridge", "bridge-01")


@pytest.mark.parametrize("stream", ["", "#", "+", "a/b", "a b", "A", "x\n", "\u0000", "a" * 33])
def test_a_stream_is_one_plain_topic_level(stream: str) -> None:
    with pytest.raises(MessageError):
        TOPICS.data(stream)


def test_a_release_carries_the_logs_bytes_and_a_detached_signature(unit: UnitFolder) -> None:
    release = unit.release(3)
    (message,) = release_messages(TOPICS, release, log_index=9, expiry_s=60, mqtt5=True)
    assert message.payload is release.payload
    properties = dict(message.user_properties)
    signature = base64.b64decode(properties["sig"], validate=True)
    key = bytes.fromhex(unit.state.public_key)
    assert verify1(signature, key, detached_payload=message.payload) == release.payload
    again, following = release_messages(TOPICS, release, log_index=9, expiry_s=60, mqtt5=False)
    assert again.payload is release.payload
    assert json.loads(following.payload)["sig"] == properties["sig"]


@pytest.mark.parametrize("cbor", [False, True])
def test_a_release_says_what_it_is_written_in(unit: UnitFolder, cbor: bool) -> None:
    """PB-6: in the content type, and in CBOR under the signature too."""
    unit.cbor = cbor
    (message,) = release_messages(TOPICS, unit.release(3), log_index=9, expiry_s=60, mqtt5=True)
    assert message.content_type == ("application/senml+cbor" if cbor else "application/senml+json")
    signature = base64.b64decode(dict(message.user_properties)["sig"])
    assert decode_sign1(signature).content_type == (message.content_type if cbor else None)


@pytest.mark.parametrize("cbor", [False, True])
def test_all_messages_of_a_stream_have_one_length(unit: UnitFolder, cbor: bool) -> None:
    """I6: nothing that the publisher adds depends on the cells either."""
    unit.cbor = cbor
    sizes = set()
    for number in range(6):
        messages = release_messages(TOPICS, unit.release(number), log_index=7, expiry_s=60, mqtt5=True)
        sizes.add((len(messages[0].payload), len(dict(messages[0].user_properties)["sig"])))
    assert len(sizes) == 1


def test_the_will_differs_from_the_state_in_connection_only(unit: UnitFolder) -> None:
    online, offline = (
        json.loads(state_message(TOPICS, unit.state, session="s", connection=c, publisher="ok").payload)
        for c in ("online", "offline")
    )
    assert {k for k in online if online[k] != offline[k]} == {"connection"}


def test_the_disclosure_message_holds_readable_and_signed_form(unit: UnitFolder) -> None:
    message = disclosure_message(TOPICS, (unit.public / ENVELOPE).read_bytes())
    item = json.loads(message.payload)
    envelope = open_envelope(base64.b64decode(item["envelope"]), bytes.fromhex(unit.state.public_key))
    assert item["digest"] == envelope.digest.hex() == unit.disclosure.digest.hex()
    assert item["datachain"] == to_datachain(decode_disclosure(envelope.disclosure))
    with pytest.raises(EncodingError):
        disclosure_message(TOPICS, b"\xd2\x84")
    assert issubclass(EncodingError, DtprError)


def test_the_release_and_the_checkpoint_of_the_spec_are_real() -> None:
    """PB-5, PB-6: the transcript's payload is a pack, its `sig` begins as it says, and its note is signed by the unit's key."""
    text = SPEC.read_text()
    payload = re.sub(r"\n\s+", "", text[text.index('[{"bn"') : text.index("◀ PUBACK     (the cursor")]).strip().encode()
    window = aggregate.decode(payload)
    signature = base64.b64encode(seal(window, Charge(Fraction(1, 32)), KEY).signature).decode()
    assert f"sig = {signature[:32]}…" in text
    lines = text[text.index("PUBLISH    dtpr/v1/springfield/river-bridge/bridge-01/checkpoint") :].split("\n")[1:7]
    note = "".join(f"{line.strip()}\n" for line in lines).encode()
    unit = "springfield/river-bridge/bridge-01"
    assert tlog.open_checkpoint(note, unit, public_bytes(KEY)).size == window.log_index + 1
