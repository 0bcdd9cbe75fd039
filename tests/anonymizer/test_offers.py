"""The offer folder: what is read, what is not, and that everything judged is gone."""

import os
import socket
from pathlib import Path

import pytest

from agent.anonymizer import daemon as daemon_module
from agent.anonymizer.offers import MAX_OFFERS_A_SCAN, Offer, OfferFolder
from agent.anonymizer.window import NS
from agent.contracts.log import PolicyOffered
from agent.local import memory, settings
from agent.policy.signed import MAX_SIGNED_BYTES
from tests.anonymizer.stage import Unit


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    (tmp_path / "offer").mkdir()
    return tmp_path / "offer"


def offers(folder: Path) -> OfferFolder:
    return OfferFolder(folder, folder.parent / "policy.cose")


def test_a_file_is_read_once_it_has_stopped_changing(folder: Path) -> None:
    """AN-70: two looks find it the same; then it is handed out, and deleted when it was judged."""
    found = offers(folder)
    path = folder / "new.cose"
    path.write_bytes(b"half")
    assert found.scan() == []
    path.write_bytes(b"half and the rest")
    assert found.scan() == []
    (offer,) = found.scan()
    assert offer == Offer("new.cose", b"half and the rest")
    found.judged(offer)
    assert not path.exists()
    assert found.scan() == []


def test_a_file_that_could_not_be_taken_is_handed_out_again(folder: Path) -> None:
    """AN-72: what was not judged (the disk was full) stays."""
    found = offers(folder)
    (folder / "new.cose").write_bytes(b"x")
    found.scan()
    assert found.scan() == found.scan() == [Offer("new.cose", b"x")]


def test_another_file_that_came_under_the_name_is_not_deleted_unread(folder: Path) -> None:
    """AN-70."""
    found = offers(folder)
    (folder / "new.cose").write_bytes(b"one")
    found.scan()
    (offer,) = found.scan()
    (folder / ".next").write_bytes(b"another")
    (folder / ".next").rename(folder / "new.cose")
    found.judged(offer)
    found.scan()
    assert [each.message for each in found.scan()] == [b"another"]


def test_names_with_a_dot_are_left_alone(folder: Path) -> None:
    """AN-70: who writes beside and renames is never met half-way."""
    found = offers(folder)
    (folder / ".new.cose").write_bytes(b"x")
    for _ in range(3):
        assert found.scan() == []
    assert (folder / ".new.cose").exists()


def test_what_is_no_regular_file_is_named_and_removed_unopened(folder: Path) -> None:
    """AN-70: a link to a secret, a pipe that nobody writes, a socket, a folder."""
    secret = folder.parent / "secret"
    secret.write_bytes(b"secret")
    (folder / "a-link").symlink_to(secret)
    os.mkfifo(folder / "b-pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "c-socket"))
        (folder / "d-folder").mkdir()
        (folder / "e-full").mkdir()
        (folder / "e-full" / "file").touch()
        found = offers(folder)
        found.scan()
        refused = found.scan()
        assert [offer.name for offer in refused] == ["a-link", "b-pipe", "c-socket", "d-folder", "e-full"]
        assert {offer.fault for offer in refused} == {"expected a regular file, got something else"}
        assert {offer.message for offer in refused} == {b""}
        for offer in refused:
            found.judged(offer)
    assert [path.name for path in folder.iterdir()] == ["e-full"]
    assert secret.read_bytes() == b"secret"
    for _ in range(3):
        assert found.scan() == [], "what cannot be removed is told once"


def test_too_long(folder: Path) -> None:
    """AN-70: a 10 MB file is refused by its size, unread."""
    found = offers(folder)
    for name, size in (("a", MAX_SIGNED_BYTES), ("b", MAX_SIGNED_BYTES + 1), ("c", 10_000_000)):
        with (folder / name).open("wb") as file:
            file.truncate(size)
    found.scan()
    a, b, c = found.scan()
    assert len(a.message) == MAX_SIGNED_BYTES
    assert b.fault == f"expected at most {MAX_SIGNED_BYTES} bytes, got {MAX_SIGNED_BYTES + 1}"
    assert (b.message, c.message) == (b"", b"")
    assert "10000000" in c.fault


def test_many_at_once_have_their_turns_in_order(folder: Path) -> None:
    """AN-70: a bounded number a look, by name; what cannot be removed does not stand in the way."""
    for number in range(40):
        (folder / f"a{number:02}").mkdir()
        (folder / f"a{number:02}" / "x").touch()
    for number in range(20):
        (folder / f"b{number:02}").write_bytes(b"%d" % number)
    found = offers(folder)
    found.scan()
    seen: list[str] = []
    for _ in range(10):
        batch = found.scan()
        assert len(batch) <= MAX_OFFERS_A_SCAN
        for offer in batch:
            found.judged(offer)
        seen += [offer.name for offer in batch]
    assert seen == sorted(path for path in seen)
    assert len(seen) == 60


def test_the_standing_offer_is_read_at_once_and_stays(folder: Path) -> None:
    """AN-70: `[paths] policy`; again when it is replaced."""
    path = folder.parent / "policy.cose"
    found = offers(folder)
    assert found.scan() == []
    path.write_bytes(b"one")
    (offer,) = found.scan()
    assert offer.message == b"one"
    found.judged(offer)
    assert found.scan() == []
    assert path.exists()
    (folder.parent / "next").write_bytes(b"another")
    (folder.parent / "next").rename(path)
    assert [each.message for each in found.scan()] == [b"another"]


def test_a_folder_that_is_not_there_or_not_ours(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """No offers, no crash; what is no folder is told once."""
    assert OfferFolder(folder / "none", folder / "none.cose").scan() == []
    (folder / "file").touch()
    found = OfferFolder(folder / "file", folder / "none.cose")
    assert found.scan() == found.scan() == []
    assert caplog.text.count("nothing can be offered") == 1


class SetBack:
    """agent.local.clock.Clock that is right until it has been looked at, and then an hour behind."""

    def __init__(self) -> None:
        self.looks = 0

    def boot_ns(self) -> int:
        """Stands still."""
        return 10**12

    def utc_ns(self) -> int:
        """2027, for the first look."""
        self.looks += 1
        return 1_800_000_000 * NS if self.looks == 1 else (1_800_000_000 - 3600) * NS

    def trusted(self) -> bool:
        """Always."""
        return True


def test_a_clock_set_back_while_an_offer_is_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """AN-72: what is logged is dated by the look that found the clock right, so that no entry is older than one before it."""
    monkeypatch.setattr(daemon_module, "Clock", lambda trusted_when: SetBack())
    unit = Unit(tmp_path)
    daemon = daemon_module.Daemon(settings.load(unit.settings), None, memory.LOCKED)
    daemon._look()
    daemon._scan()
    log = daemon._release_log
    assert log is not None
    (entry,) = log.entries()
    for opened in (log, daemon._lease_inbox, daemon._reading_inbox, daemon._selector):
        opened.close()
    assert isinstance(entry, PolicyOffered)
    assert entry.at == 1_800_000_000
