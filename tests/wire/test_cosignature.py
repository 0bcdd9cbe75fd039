"""agent/wire/cosignature: C2SP tlog-cosignature v1."""

import base64
import hashlib

import pytest

from agent.errors import EncodingError, SignatureError
from agent.wire import cose, cosignature, tlog
from agent.wire.cosignature import Witness
from tests.wire.notes import verifier_key
from tests.wire.test_tlog import HEAD, KEY, NAME, OTHER_KEY, PUBLIC

WITNESS = Witness("witness.example/w1", cose.public_bytes(OTHER_KEY))
NOTE = tlog.sign_checkpoint(HEAD, NAME, KEY)
COSIGNED = cosignature.cosign(NOTE, WITNESS.name, OTHER_KEY, 1_800_000_000)


def test_a_cosignature_is_read_with_its_time() -> None:
    assert cosignature.verify_cosignatures(COSIGNED, [WITNESS]) == {WITNESS.name: 1_800_000_000}
    assert tlog.open_checkpoint(COSIGNED, NAME, PUBLIC) == HEAD


def test_the_signed_bytes_are_the_published_ones() -> None:
    """Header line, time line, then the note's text; key hash over name, newline, 4, key; time as u64 big endian."""
    line = COSIGNED.decode().rstrip("\n").split("\n")[-1]
    blob = base64.b64decode(line.split(" ")[2])
    assert blob[:4] == hashlib.sha256(WITNESS.name.encode() + b"\n\x04" + WITNESS.public_key).digest()[:4]
    assert int.from_bytes(blob[4:12], "big") == 1_800_000_000
    signed = b"cosignature/v1\ntime 1800000000\n" + NOTE.split(b"\n\n")[0] + b"\n"
    OTHER_KEY.public_key().verify(blob[12:], signed)


def test_the_newest_of_several_times_counts() -> None:
    again = cosignature.cosign(COSIGNED, WITNESS.name, OTHER_KEY, 1_700_000_000)
    assert cosignature.verify_cosignatures(again, [WITNESS]) == {WITNESS.name: 1_800_000_000}


def test_unknown_witnesses_are_left_alone() -> None:
    assert cosignature.verify_cosignatures(COSIGNED, []) == {}
    assert cosignature.verify_cosignatures(COSIGNED, [Witness("other.example", WITNESS.public_key)]) == {}


def test_a_plain_signature_is_no_cosignature() -> None:
    """A type 1 line by the same key and name says nothing about when."""
    plain = NOTE + tlog.sign_checkpoint(HEAD, WITNESS.name, OTHER_KEY).split(b"\n\n")[1]
    assert cosignature.verify_cosignatures(plain, [WITNESS]) == {}


def test_a_cosignature_of_another_head_is_refused() -> None:
    """Positive control: its line under another size, another time, or cut short."""
    line = COSIGNED.split(b"\n")[-2]
    other = tlog.sign_checkpoint(tlog.Checkpoint(NAME, 8, HEAD.root), NAME, KEY) + line + b"\n"
    blob = bytearray(base64.b64decode(line.split(b" ")[2]))
    blob[11] ^= 1
    later = NOTE + f"\u2014 {WITNESS.name} {base64.b64encode(blob).decode()}\n".encode()
    short = NOTE + f"\u2014 {WITNESS.name} {base64.b64encode(blob[:60]).decode()}\n".encode()
    for note in (other, later, short):
        with pytest.raises(SignatureError):
            cosignature.verify_cosignatures(note, [WITNESS])


def test_witness_keys_round_trip() -> None:
    assert cosignature.parse_witness(cosignature.witness_key(WITNESS)) == WITNESS


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a+b",
        "a+b+c",
        verifier_key(NAME, PUBLIC),
        cosignature.witness_key(WITNESS)[:-4],
        "é" * 400,
        cosignature.witness_key(WITNESS).replace("witness", "w itness"),
        cosignature.witness_key(WITNESS) + "=",
    ],
)
def test_other_texts_are_no_witness_key(text: str) -> None:
    with pytest.raises(EncodingError):
        cosignature.parse_witness(text)
