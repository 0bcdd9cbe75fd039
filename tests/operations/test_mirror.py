"""`dtpr-agent audit mirror` (OP-40 to OP-43): the copy is what `log export` would have made, or nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

from agent.errors import LogDamaged, SignatureError
from agent.operations.copies import Copies
from agent.operations.log_copy import export
from agent.operations.mirror import Grown, Mirror
from agent.wire import cosignature
from agent.wire.tiles import WIDTH, Tile, encode_bundle, topic_of
from agent.wire.tlog import decode_checkpoint
from tests.anonymizer.stage import KEY, ORIGIN
from tests.brokers import Mosquitto
from tests.operations.stories import PUBLIC, note_of, write_copy
from tests.publisher.test_publisher_311 import VersionGate
from tests.publisher.unit_folders import KEY as UNIT_KEY
from tests.publisher.unit_folders import PublisherProcess, UnitFolder, wait_until
from tests.wire.test_tlog import OTHER_KEY

ENTRIES = [b"entry %d" % number for number in range(3 * WIDTH)]


def bundle(number: int, entries: list[bytes] = ENTRIES) -> tuple[str, bytes]:
    return topic_of(Tile(None, number)), encode_bundle(entries[number * WIDTH : (number + 1) * WIDTH])


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "pending" not in path.parts
    }


@pytest.mark.parametrize("size", [1, 255, 256, 257, 511, 512, 700])
def test_the_copy_is_what_an_export_would_be(tmp_path: Path, size: int) -> None:
    """File for file, at any size that whole bundles reach; also after another process went on with it."""
    exported, whole = write_copy(tmp_path / "a", ENTRIES[:size]), write_copy(tmp_path / "b", ENTRIES)
    note, last = (exported / "checkpoint").read_bytes(), (whole / "checkpoint").read_bytes()
    mirror = Mirror(tmp_path / "copy", ORIGIN, PUBLIC)
    assert mirror.take("checkpoint", note) is None
    grown = [mirror.take(*bundle(number)) for number in range(-(-size // WIDTH))]
    assert [each for each in grown if each] == [Grown(decode_checkpoint(note), 0)]
    assert files(tmp_path / "copy") == files(exported)
    again = Mirror(tmp_path / "copy", ORIGIN, PUBLIC)
    again.take("checkpoint", last)
    for number in range(3):
        again.take(*bundle(number))
    assert files(tmp_path / "copy") == files(whole)


def test_it_goes_on_with_an_export(tmp_path: Path) -> None:
    """Bundles that were published before it came are in a copy from the unit, and only there."""
    late = Mirror(tmp_path / "late", ORIGIN, PUBLIC)
    late.take(*bundle(2))
    late.take("checkpoint", note_of(ENTRIES))
    assert late.missing == 0
    assert late.checkpoint is None
    mirror = Mirror(write_copy(tmp_path, ENTRIES[:600]), ORIGIN, PUBLIC)
    mirror.take("checkpoint", note_of(ENTRIES))
    assert mirror.take(*bundle(2)) == Grown(decode_checkpoint(note_of(ENTRIES)), 600)
    assert list(Copies(tmp_path / "copy", len(ENTRIES)).entries()) == ENTRIES


@pytest.mark.parametrize("size", [2 * WIDTH, 600])
def test_it_goes_on_with_a_copy_without_its_oldest_bundles(tmp_path: Path, size: int) -> None:
    """OP-42: a year's bundles were thrown away; the hash tiles are enough to go on, file for file."""
    copy, whole = write_copy(tmp_path / "a", ENTRIES[:size]), write_copy(tmp_path / "b", ENTRIES)
    for number in range(size // WIDTH):
        (copy / Tile(None, number).path).unlink()
        (whole / Tile(None, number).path).unlink()
    if size % WIDTH == 0:  # of which one must be left, or nothing says where the copy ends
        (copy / Tile(None, 1).path).write_bytes(bundle(1)[1])
        (whole / Tile(None, 1).path).write_bytes(bundle(1)[1])
    mirror = Mirror(copy, ORIGIN, PUBLIC)
    mirror.take("checkpoint", (whole / "checkpoint").read_bytes())
    grown = mirror.take(*bundle(2))
    assert grown is not None
    assert (grown.checkpoint.size, grown.before) == (len(ENTRIES), size)
    assert files(copy) == files(whole)


def test_entries_that_the_unit_did_not_sign_never_enter(tmp_path: Path) -> None:
    """A broker that sends another bundle; the right one is taken afterwards."""
    mirror = Mirror(tmp_path / "copy", ORIGIN, PUBLIC)
    mirror.take(*bundle(0, [b"x", *ENTRIES[1:]]))
    with pytest.raises(LogDamaged, match="bundles 0 to 0: expected the root that the unit signed"):
        mirror.take("checkpoint", note_of(ENTRIES[:200]))
    assert files(tmp_path / "copy") == {}
    assert mirror.take(*bundle(0)) is not None


def test_what_is_refused(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path / "copy", ORIGIN, PUBLIC)
    with pytest.raises(SignatureError):
        mirror.take("checkpoint", note_of(ENTRIES[:9], key=OTHER_KEY))
    with pytest.raises(LogDamaged, match="bundle 0: expected 256 entries"):
        mirror.take(bundle(0)[0], b"\0\1x")
    for number in range(1, 65):
        mirror.take(topic_of(Tile(None, number)), bundle(0)[1])
    with pytest.raises(LogDamaged, match="begin with a copy"):
        mirror.take(topic_of(Tile(None, 65)), bundle(0)[1])
    mirror.take("checkpoint", note_of(ENTRIES[:WIDTH]))
    assert mirror.take(*bundle(0)) is not None  # sixty-four that come later do not keep out the next
    assert len(list((tmp_path / "copy" / "pending").iterdir())) == 63
    with pytest.raises(LogDamaged, match="signed by springfield/other/one"):
        Mirror(write_copy(tmp_path / "b", ENTRIES[:9]), "springfield/other/one", PUBLIC)


def test_two_histories_are_told_apart(tmp_path: Path) -> None:
    copy = write_copy(tmp_path, ENTRIES[:300])
    mirror = Mirror(copy, ORIGIN, PUBLIC)
    with pytest.raises(LogDamaged, match="two histories"):
        mirror.take("checkpoint", note_of([b"x", *ENTRIES[1:300]]))


def test_a_cosigned_checkpoint_takes_the_place_of_the_plain_one(tmp_path: Path) -> None:
    copy = write_copy(tmp_path, ENTRIES[:300])
    cosigned = cosignature.cosign(
        note_of(ENTRIES[:300], more="bytes 1"), "witness.example/w1", OTHER_KEY, 1_800_000_000
    )
    mirror = Mirror(copy, ORIGIN, PUBLIC)
    mirror.take("checkpoint", cosigned)
    assert (copy / "checkpoint").read_bytes() == cosigned
    mirror.take("checkpoint", note_of(ENTRIES[:300]))
    assert (copy / "checkpoint").read_bytes() == cosigned
    assert KEY is not OTHER_KEY


@pytest.mark.parametrize("mqtt5", [True, False], ids=["MQTT 5", "MQTT 3.1.1"])
def test_from_a_unit_through_a_broker_to_a_copy(tmp_path: Path, mqtt5: bool) -> None:
    """PB-30: bundles and tiles go out once, also over a restart of the publisher, and the copy is the export's; over MQTT 3.1.1 all the same, for
    unit and mirror."""
    unit = UnitFolder(tmp_path / "unit")
    unit.origin = f"{unit.city}/{unit.site}/{unit.name}"
    with Mosquitto(tmp_path / "broker") as broker:
        gate = None if mqtt5 else VersionGate(broker.port, b"\x20\x02\x00\x01")
        port = broker.port if gate is None else gate.port
        unit.configure(port)
        unit.announce()
        unit.release_windows(0, 300)
        command = [sys.executable, "-m", "agent.cli.main", "audit", "mirror", str(tmp_path / "copy"), "--unit", unit.origin, "--key", UNIT_KEY.public_key().public_bytes_raw().hex(), "--host", broker.host, "--port", str(port)]  # fmt: skip
        with (tmp_path / "said").open("wb") as said:
            mirror = subprocess.Popen(command, stdout=said, stderr=said)
        try:
            wait_until(lambda: f"{unit.base}/log/#" in broker.log, "the mirror's subscription")
            publisher = PublisherProcess(unit)
            with publisher:
                wait_until((unit.folder / "tiles").exists, "the first bundle's acknowledgement", 60)
                publisher.stop()
                unit.release_windows(300, 300)
                publisher.start()
                wait_until(lambda: (unit.folder / "tiles").read_bytes().startswith(b"[1, 512,"), "both bundles", 60)
                wait_until(lambda: _size(tmp_path) == 300, "the copy")
        finally:
            mirror.terminate()
            assert mirror.wait(20) == 0, _said(tmp_path)
        if gate is not None:
            gate.close()
            assert gate.refused >= 2  # each tries MQTT 5 first
        sent = [line for line in broker.log.splitlines() if "/log/" in line and "Received PUBLISH" in line]
        assert len(sent) == 4, "two bundles and their two tiles, each once"
    size = _size(tmp_path)
    export(unit.log, tmp_path / "export")
    held = list(Copies(tmp_path / "copy", size).entries())
    assert held == list(Copies(tmp_path / "export", 600).entries())[:size]


def _said(folder: Path) -> str:
    return (folder / "said").read_text()


def _size(folder: Path) -> int:
    path = folder / "copy" / "checkpoint"
    return decode_checkpoint(path.read_bytes()).size if path.exists() else 0
