"""The rotation of the signing key in the log (AN-126, AN-127): power cut anywhere leaves the old log or the one that goes on."""

import shutil
from fractions import Fraction
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.anonymizer.ledger import Ledger
from agent.anonymizer.log import ReleaseLog
from agent.anonymizer.rotation import Rotated, append_rotation, load_rotated
from agent.anonymizer.successor import begin_successor
from agent.contracts.log import (
    KEY_ROTATED,
    Carried,
    Charge,
    Entry,
    Gap,
    KeyRotated,
    LogLost,
    NoticeServed,
    newest_instant,
)
from agent.contracts.log_file import LOGGED, RELEASES, iter_log
from agent.contracts.rotation import CONTENT_TYPE, Rotation, open_rotation, read_rotation, seal_rotation
from agent.errors import EncodingError, InvariantBroken, LogDamaged, LogShortened, SignatureError
from agent.local.credentials import rotation_file
from agent.local.files import write_atomic
from agent.operations.audit import audit
from agent.operations.audit_inputs import Inputs
from agent.operations.log_copy import export
from agent.wire import cbor, cose, tlog
from agent.wire.tiles import WIDTH
from tests.anonymizer.stage import KEY, ORIGIN

NEW = Ed25519PrivateKey.from_private_bytes(b"\7" * 32)
OLD_PUBLIC, NEW_PUBLIC = cose.public_bytes(KEY), cose.public_bytes(NEW)
AT = 1_800_000_000
MESSAGE = seal_rotation(ORIGIN, KEY, NEW_PUBLIC, AT)
ROTATED = Rotated(MESSAGE, Rotation(ORIGIN, OLD_PUBLIC, NEW_PUBLIC, AT))


def served(number: int) -> Entry:
    return NoticeServed(bytes(32), 900, AT + number)


class Card:
    """A unit's card: the log, the copy of its checkpoint, and what readers are shown as long as the power stays."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log, self.copy, self.shown = folder / "log", folder / "checkpoint", folder / LOGGED

    def open(self, key: Ed25519PrivateKey = NEW, *formerly: bytes) -> ReleaseLog:
        return ReleaseLog(self.log, ORIGIN, key, copy=self.copy, shown=self.shown, formerly=formerly)

    def fill(self, count: int) -> None:
        log = self.open(KEY)
        for number in range(count):
            log.append([served(number)])
        log.close()

    def start(self) -> list[Entry]:
        """As the anonymizer does on start with the new key and the old one's message."""
        ledger = Ledger()
        log = ReleaseLog(
            self.log, ORIGIN, NEW, ledger.fold, copy=self.copy, shown=self.shown, formerly=ROTATED.formerly(ORIGIN)
        )
        try:
            if log.rotation_owed:
                append_rotation(log, ledger, ROTATED, ledger.fold)
            return list(log.entries())
        finally:
            log.close()

    def at(self, folder: Path) -> "Card":
        """The same card, copied."""
        shutil.copytree(self.folder, folder)
        return Card(folder)


def signed_by(note: bytes, public: bytes) -> bool:
    checkpoint, signatures = tlog.split_note(note)
    return tlog.signed_by(checkpoint, signatures, ORIGIN, public) is True


def test_the_message_is_the_old_keys_word() -> None:
    """AN-125: whoever changes it, or signs it with another key, is refused; one encoding, and no entry begins like it."""
    assert open_rotation(MESSAGE) == ROTATED.rotation
    assert KeyRotated(MESSAGE).encode().startswith(KEY_ROTATED)
    assert newest_instant(KeyRotated(seal_rotation(ORIGIN, KEY, NEW_PUBLIC, 2**40))) == 0
    for at in range(0, len(MESSAGE)):
        changed = bytearray(MESSAGE)
        changed[at] ^= 1
        with pytest.raises((EncodingError, SignatureError)):
            open_rotation(bytes(changed))
    said = {0: 1, 1: ORIGIN, 2: OLD_PUBLIC, 3: NEW_PUBLIC, 4: AT}
    with pytest.raises(SignatureError):
        open_rotation(cose.sign1(cbor.encode(said), NEW, content_type=CONTENT_TYPE))
    with pytest.raises(SignatureError):
        read_rotation(cose.sign1(cbor.encode(said), KEY, content_type="text/plain"))
    for wrong in ({3: OLD_PUBLIC}, {3: b""}, {4: -1}, {4: True}, {0: 2}, {5: 0}, {1: 1}):
        with pytest.raises(EncodingError):
            read_rotation(cose.sign1(cbor.encode({**said, **wrong}), KEY, content_type=CONTENT_TYPE))


@pytest.mark.parametrize("count", [1, 2, 5, 9])
def test_the_log_goes_on_under_the_new_key(tmp_path: Path, count: int) -> None:
    """AN-126: one append; from then on the new key is enough for log, copy and what is shown, without the old one's message."""
    card = Card(tmp_path)
    card.fill(count)
    before = [record.body for record in iter_log((card.log / RELEASES).read_bytes())]
    assert card.start() == [*map(served, range(count)), KeyRotated(MESSAGE)]
    records = list(iter_log((card.log / RELEASES).read_bytes()))
    assert [record.body for record in records[: len(before)]] == before, "nothing that was signed is changed"
    assert [signed_by(record.body, NEW_PUBLIC) for record in records if record.is_checkpoint] == [False] * (
        count + 1
    ) + [True]
    assert signed_by(card.shown.read_bytes(), NEW_PUBLIC)
    assert {note.rstrip(b"\0") for note in (card.copy.read_bytes()[:4096],)} == {card.shown.read_bytes()}
    log = card.open()
    assert not log.rotation_owed
    log.append([served(count)])
    log.close()
    card.shown.unlink()
    assert len(card.start()) == count + 2, "the message that stays beside the key does nothing more"


def test_nothing_else_is_signed_with_the_new_key_first(tmp_path: Path) -> None:
    """AN-126: also entries that no checkpoint covered wait for the rotation, and come before it."""
    card = Card(tmp_path)
    card.fill(3)
    path = card.log / RELEASES
    data = path.read_bytes()
    last = list(iter_log(data))[-1]
    path.write_bytes(data[: last.start] + bytes(len(data) - last.start))
    card.copy.unlink()
    card.shown.unlink()
    log = card.open(NEW, OLD_PUBLIC)
    assert log.rotation_owed
    assert log.size == 3
    with pytest.raises(InvariantBroken, match="first"):
        log.append([served(7)])
    log.close()
    assert all(signed_by(record.body, OLD_PUBLIC) for record in iter_log(path.read_bytes()) if record.is_checkpoint)
    assert card.start() == [*map(served, range(3)), KeyRotated(MESSAGE)]


def test_power_cut_in_the_append(tmp_path: Path) -> None:
    """AN-126: with the copy of before or of after, and with or without what is shown: the log is the old one or goes on."""
    card = Card(tmp_path / "before")
    card.fill(4)
    done = card.at(tmp_path / "after")
    done.start()
    old, new = (each.log.joinpath(RELEASES).read_bytes() for each in (card, done))
    end = max(record.end for record in iter_log(new))
    begin = max(record.end for record in iter_log(old))
    outcomes = set()
    for at in (*range(begin, end, 31), end):
        cut = new[:at] + bytes(len(new) - at)
        records = list(iter_log(cut))
        whole = max(record.end for record in records) == end
        for shown in (None, card.shown.read_bytes()):
            for copy in {card.copy.read_bytes(), (done if whole else card).copy.read_bytes()}:
                again = Card(tmp_path / "again")
                again.log.mkdir(parents=True)
                (again.log / RELEASES).write_bytes(cut)
                again.copy.write_bytes(copy)
                if shown is not None:
                    again.shown.write_bytes(shown)
                log = again.open(NEW, OLD_PUBLIC)
                outcomes.add((records[-1].is_checkpoint, whole, log.rotation_owed))
                log.close()
                assert again.start() == [*map(served, range(4)), KeyRotated(MESSAGE)]
                assert signed_by(again.shown.read_bytes(), NEW_PUBLIC)
                assert len(again.start()) == 5
                shutil.rmtree(again.folder)
    assert outcomes == {(True, False, True), (False, False, False), (True, True, False)}


def test_at_a_bundles_end_the_state_comes_first(tmp_path: Path) -> None:
    """AN-65, AN-126."""
    card = Card(tmp_path)
    log = card.open(KEY)
    log.append([served(number) for number in range(WIDTH)])
    log.close()
    entries = card.start()
    assert isinstance(entries[WIDTH], Carried)
    assert entries[WIDTH + 1 :] == [KeyRotated(MESSAGE)]
    assert Ledger(entries).size == WIDTH + 2


def test_without_the_old_keys_word_the_log_is_refused(tmp_path: Path) -> None:
    """AN-127: no message, or one that is not about these keys and this unit; the words say what to put back, and nothing is changed."""
    card = Card(tmp_path)
    card.fill(3)
    was = (card.log / RELEASES).read_bytes()
    for formerly in ((), (cose.public_bytes(Ed25519PrivateKey.generate()),)):
        with pytest.raises(LogDamaged, match="the file that `dtpr-agent key rotate` wrote"):
            card.open(NEW, *formerly)
        kept = card.copy.read_bytes()
        card.copy.unlink()
        with pytest.raises(LogDamaged, match=r"over 3 entries.*the file that `dtpr-agent key rotate` wrote"):
            card.open(NEW, *formerly)
        card.copy.write_bytes(kept)
    assert (card.log / RELEASES).read_bytes() == was
    assert ROTATED.formerly(f"{ORIGIN}/after/3-00") == (OLD_PUBLIC,)
    assert ROTATED.formerly("springfield/bridge/bridge-02") == ()


def test_a_message_that_nobody_needs_stops_nothing(tmp_path: Path) -> None:
    """AN-127: damaged, of another rotation, or not to be read: it is as if it were not there."""
    key = tmp_path / "unit-key"
    for message in (None, b"", b"\xff" * 4000, MESSAGE[:-1], seal_rotation(ORIGIN, KEY, b"\1" * 32, AT)):
        if message is not None:
            write_atomic(rotation_file(key), message)
        assert load_rotated(key, NEW_PUBLIC) is None
    write_atomic(rotation_file(key), MESSAGE)
    assert load_rotated(key, NEW_PUBLIC) == ROTATED
    assert load_rotated(key, OLD_PUBLIC) is None


@pytest.mark.parametrize("rotated", ["before the loss", "in what was lost", "since"])
def test_a_log_that_was_lost_in_part_and_rotated(tmp_path: Path, rotated: str) -> None:
    """AN-127, OP-56: the log that follows can be verified by who knows the new key alone, whichever signed the note of the loss."""
    card = Card(tmp_path)
    entries = [Gap("crossings", AT + number, 1, 1, Charge(Fraction(0))) for number in range(6)]
    log = card.open(KEY)
    log.append(entries[:3])
    log.close()
    if rotated == "before the loss":
        card.start()
    backup = (card.log / RELEASES).read_bytes()
    if rotated == "in what was lost":
        card.start()
    log = card.open(KEY if rotated == "since" else NEW)
    log.append(entries[3:])
    log.close()
    (card.log / RELEASES).write_bytes(backup)
    with pytest.raises(LogShortened) as told:
        card.open(NEW, OLD_PUBLIC)
    following, closed = begin_successor(card.log, ORIGIN, NEW, told.value, lambda: None, MESSAGE)
    ledger = Ledger()
    log = ReleaseLog(card.log, following, NEW, ledger.fold, copy=card.copy, shown=card.shown, formerly=(OLD_PUBLIC,))
    assert not log.rotation_owed
    found = list(log.entries())
    log.close()
    assert isinstance(found[0], LogLost)
    assert [entry for entry in found if isinstance(entry, KeyRotated)] == [KeyRotated(MESSAGE)]
    export(card.log, tmp_path / "copy")
    verdict = audit(Inputs(ORIGIN, NEW_PUBLIC, log=tmp_path / "copy"))
    assert {
        kind for kind in verdict.findings.kinds if kind.value in ("false-loss", "key-rotation", "checkpoint-signature")
    } == set()
    assert verdict.losses
    export(card.log / closed, tmp_path / "closed")
    before = audit(Inputs(ORIGIN, NEW_PUBLIC, log=tmp_path / "closed", previous=(OLD_PUBLIC,)))
    assert {kind for kind in before.findings.kinds if kind.value in ("key-rotation", "checkpoint-signature")} == set()
