"""Beacon, radio, phone and anonymizer's inbox as separate processes or real sockets (SPEC.md, BE-18 to BE-26)."""

import contextlib
import errno
import json
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.beacon.public_files import PublicFiles, Shown
from agent.contracts.lease import RENEW_EVERY_S
from agent.contracts.public import MAX_ENVELOPE_BYTES, UPCOMING
from agent.errors import MessageError
from tests.beacon.stage import (
    PATIENCE_S,
    PUBLIC_KEY,
    Inbox,
    Stage,
    disclosure,
    end,
    envelope,
    lines,
    running,
    start,
    stop_notice,
    upcoming,
    virtual_radio,
)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A folder with two virtual controllers on air."""
    with virtual_radio(tmp_path):
        yield Stage(tmp_path)


@pytest.fixture
def inbox(stage: Stage) -> Iterator[Inbox]:
    """The anonymizer's end of lease.sock."""
    inbox = Inbox(stage.folder / "lease.sock")
    yield inbox
    inbox.close()


def phone(stage: Stage, *arguments: str) -> Any:
    """The phone's process on hci1."""
    return start("agent.beacon.virtual_phone", "--transport", f"unix:{stage.folder}/hci1", *arguments)


def disclosures(process: Any, count: int) -> list[dict[str, Any]]:
    """The next `count` disclosure lines of a phone."""
    found: list[dict[str, Any]] = []
    for line in lines(process):
        if line["type"] == "disclosure":
            found.append(line)
            if len(found) == count:
                break
    return found


def test_phone_reads_what_the_lease_names(stage: Stage, inbox: Inbox) -> None:
    """BE-18, BE-20, BE-26: the first lease comes at once, the next after 2 s; the phone computes the same digest, verified,
    and its list shows the same code as the name."""
    stage.show(envelope())
    started = time.monotonic()
    with running(stage.beacon()) as beacon:
        inbox.accept()
        first = inbox.next_lease()
        assert time.monotonic() - started < 5 * 2
        assert first is not None
        assert first.disclosure_digest == disclosure().digest
        second = inbox.next_lease()
        assert second is not None
        assert RENEW_EVERY_S * 0.5 < (second.sent_boot_ns - first.sent_boot_ns) / 1e9 < RENEW_EVERY_S * 2
        with running(phone(stage, "--key", PUBLIC_KEY.hex(), "--count", "1")) as reader:
            output, errors = reader.communicate(timeout=PATIENCE_S)
        assert reader.returncode == 0
        assert errors == ""
        heard, read = (json.loads(line) for line in output.splitlines())
        assert heard["type"] == "advertisement"
        assert heard["advertisement"] == "02010611079ef6e24fba0b5e950a49848b00003157"
        assert bytes.fromhex(heard["scan_response"])[2:].decode() == heard["name"]
        assert read["digest"] == disclosure().digest.hex()
        assert read["verified"] is True
        assert heard["name"] == f"fremont-01 W{read['code']}"
        assert bytes.fromhex(read["envelope"]) == envelope()
        assert read["header"]["sequence"] == 1
        stage.wait_code("on_air")
        assert end(beacon)[0] == 0
    assert inbox.until_hang_up() is not None
    assert stage.status()["code"] == "stopped"


def test_thirty_connections_in_a_row(stage: Stage, inbox: Inbox) -> None:
    """BE-25, BE-26: thirty times scan, connect, read, disconnect, without one error line."""
    stage.show(envelope())
    with running(stage.beacon()), running(phone(stage, "--every", "0", "--count", "30")) as reader:
        seen = list(lines(reader))
        reader.wait(PATIENCE_S)
    kinds = [line["type"] for line in seen]
    assert kinds.count("disclosure") == 30
    assert "error" not in kinds
    assert {line["digest"] for line in seen if line["type"] == "disclosure"} == {disclosure().digest.hex()}


def test_beacon_killed_in_the_middle_of_a_connection(stage: Stage, inbox: Inbox) -> None:
    """BE-21, BE-25: the inbox sees the end at once; a restarted beacon is found and read again by the same phone."""
    stage.show(envelope())
    with running(phone(stage, "--every", "0")) as reader:
        for _ in range(3):
            beacon = stage.beacon()
            with running(beacon):
                inbox.accept()
                assert disclosures(reader, 2)
                at = time.monotonic()
                beacon.kill()
                inbox.until_hang_up()
                assert time.monotonic() - at < 2.0
        code, errors = end(reader)
    assert code == 0
    assert errors == ""


def test_phone_killed_again_and_again(stage: Stage, inbox: Inbox) -> None:
    """BE-15, BE-25: dying readers cost nothing: the leases go on, the next phone reads."""
    stage.show(envelope())
    with running(stage.beacon()):
        inbox.accept()
        for _ in range(3):
            with running(phone(stage, "--every", "0")) as reader:
                assert disclosures(reader, 1)
                reader.send_signal(signal.SIGKILL)
        with running(phone(stage, "--count", "1")) as reader:
            assert disclosures(reader, 1)
        assert inbox.next_lease() is not None


def test_leases_end_with_the_radio_and_come_back(tmp_path: Path) -> None:
    """BE-21, I3: the radio goes, the lease connection closes at once and nobody connects; it returns, so do leases."""
    stage, inbox = Stage(tmp_path), Inbox(tmp_path / "lease.sock")
    stage.show(envelope())
    with running(stage.beacon()):
        stage.wait_code("no_transport")
        assert inbox.is_quiet(1.0)
        for _ in range(2):
            with virtual_radio(tmp_path) as radio:
                inbox.accept()
                assert inbox.next_lease() is not None
                at = time.monotonic()
                radio.kill()
                inbox.until_hang_up()
                assert time.monotonic() - at < 2.0
            assert inbox.is_quiet(1.0)
        stage.wait_code("no_transport")
    inbox.close()


def test_stopped_beacon_sends_nothing(stage: Stage, inbox: Inbox) -> None:
    """BE-20: a beacon under SIGSTOP renews nothing (its lease lapses at the receiver); after SIGCONT it goes on."""
    stage.show(envelope())
    with running(stage.beacon()) as beacon:
        inbox.accept()
        assert inbox.next_lease() is not None
        beacon.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, beacon.pid, os.WSTOPPED)
        assert inbox.peer is not None
        inbox.peer.setblocking(False)
        with contextlib.suppress(BlockingIOError):  # what it sent before it stood still
            while inbox.next_lease() is not None:
                pass
        inbox.peer.settimeout(RENEW_EVERY_S + 1)
        with pytest.raises(TimeoutError):
            inbox.next_lease()
        inbox.peer.settimeout(PATIENCE_S)
        beacon.send_signal(signal.SIGCONT)
        assert inbox.next_lease() is not None


def test_waits_for_an_envelope_and_follows_a_change(stage: Stage, inbox: Inbox) -> None:
    """BE-19, BE-22: nothing before there is one; a new one is leased under its own digest on a new connection; a broken one
    changes nothing on air and is reported."""
    with running(stage.beacon()):
        stage.wait_code("no_envelope")
        assert inbox.is_quiet(0.5)
        stage.show(envelope(1))
        inbox.accept()
        first = inbox.next_lease()
        assert first is not None
        assert first.disclosure_digest == disclosure(1).digest
        stage.show(envelope(2))
        assert all(said.disclosure_digest == disclosure(1).digest for said in inbox.until_hang_up())
        inbox.accept()
        second = inbox.next_lease()
        assert second is not None
        assert second.disclosure_digest == disclosure(2).digest
        stage.show(b"no envelope")
        stage.wait_code("bad_envelope")
        again = inbox.next_lease()
        assert again is not None
        assert (again.disclosure_digest, again.on_air) == (second.disclosure_digest, second.on_air)
        assert again.sent_boot_ns > second.sent_boot_ns
        stage.show(envelope(2))
        stage.wait_code("on_air")


def test_envelope_that_could_not_be_read_once_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """BE-19: an error of the disk at the moment of the look costs one look, not the envelope."""
    path = tmp_path / "envelope"
    path.write_bytes(envelope())
    file = PublicFiles(tmp_path)
    plain = Path.open

    def fail(self: Path, *_arguments: Any) -> Any:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(self))

    for _ in range(2):
        monkeypatch.setattr(Path, "open", fail)
        with pytest.raises(OSError, match="Input/output"):
            file.look()
    monkeypatch.setattr(Path, "open", plain)
    assert file.look() == Shown(envelope())
    assert file.look() is None


def test_envelope_too_long_is_refused_once(tmp_path: Path) -> None:
    """BE-19: it is not read again four times a second."""
    path = tmp_path / "envelope"
    path.write_bytes(bytes(MAX_ENVELOPE_BYTES + 1))
    file = PublicFiles(tmp_path)
    assert file.look() == Shown()
    assert isinstance(file.fault, MessageError)
    assert file.look() is None


def test_a_file_that_cannot_be_read_hides_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """BE-19: what changed before the one that failed is told at the next look."""
    (tmp_path / "envelope").write_bytes(envelope())
    (tmp_path / UPCOMING).write_bytes(upcoming(2))
    file = PublicFiles(tmp_path)
    plain = Path.open

    def fail(self: Path, *arguments: Any) -> Any:
        if self.name == UPCOMING:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(self))
        return plain(self, *arguments)

    monkeypatch.setattr(Path, "open", fail)
    with pytest.raises(OSError, match="Input/output"):
        file.look()
    monkeypatch.setattr(Path, "open", plain)
    assert file.look() == Shown(envelope(), upcoming(2))


def test_an_upcoming_disclosure_is_served_beside_and_leased_while_it_is(stage: Stage, inbox: Inbox) -> None:
    """BE-18, BE-19, BE-26, BE-27: on the same connection, without a pause; the phone reads both, and the stop notice; gone is gone."""
    stage.show(envelope(1))
    with running(stage.beacon()), running(phone(stage, "--key", PUBLIC_KEY.hex(), "--every", "0")) as reader:
        inbox.accept()
        first = inbox.next_lease()
        assert first is not None
        assert first.digests == (disclosure(1).digest,)
        stage.show_beside(upcoming(2), stop_notice())
        until_leased(inbox, disclosure(1).digest, disclosure(2).digest)
        seen = {}
        for line in lines(reader):
            seen[line["type"]] = line
            if "upcoming" in seen and "stop" in seen:
                break
        assert (seen["upcoming"]["version"], seen["upcoming"]["verified"]) == (2, True)
        assert seen["upcoming"]["not_before"] == 1_800_000_000
        assert seen["upcoming"]["digest"] == disclosure(2).digest.hex()
        assert seen["disclosure"]["digest"] == disclosure(1).digest.hex()
        assert (seen["stop"]["reason"], seen["stop"]["verified"]) == ("Recorded speech", True)
        assert seen["stop"]["by"] == ["steward/ana", "community/chi"]
        stage.show_beside(upcoming(3))
        until_leased(inbox, disclosure(1).digest, disclosure(3).digest)
        stage.show_beside(None)
        until_leased(inbox, disclosure(1).digest)
        kinds: list[str] = []
        while kinds[-3:] != ["advertisement", "disclosure", "advertisement"]:  # nothing follows the disclosure any more
            kinds.append(next(lines(reader))["type"])


def until_leased(inbox: Inbox, *wanted: bytes) -> None:
    """Wait for a lease of exactly these digests; every one before it names the first, and the beacon must not hang up."""
    for _ in range(20):
        said = inbox.next_lease()
        assert said is not None, "the beacon hung up"
        assert said.disclosure_digest == wanted[0]
        if said.digests == wanted:
            return
    raise AssertionError("never leased")


def test_the_upcoming_disclosure_takes_over(stage: Stage, inbox: Inbox) -> None:
    """BE-13, BE-22: as at the instant of a change: envelope first, then `upcoming` goes; the new one is leased alone."""
    stage.show(envelope(1))
    stage.show_beside(upcoming(2))
    with running(stage.beacon()):
        inbox.accept()
        stage.show(envelope(2))
        inbox.until_hang_up()
        inbox.accept()
        said = inbox.next_lease()
        assert said is not None
        assert said.digests == (disclosure(2).digest,), "never twice the same"
        stage.show_beside(None)
        stage.wait_code("on_air")


@pytest.mark.parametrize(
    "bad",
    [b"no envelope", envelope(2), upcoming(2, unit="fremont-02"), bytes(5000), b""],
    ids=["garbage", "in force", "another unit's", "too long", "empty"],
)
def test_a_bad_upcoming_envelope_is_left_out_and_reported(stage: Stage, inbox: Inbox, bad: bytes) -> None:
    """BE-19: the disclosure in force stays on air, leased alone."""
    stage.show_beside(bad)
    stage.show(envelope(1))
    with running(stage.beacon()):
        inbox.accept()
        said = inbox.next_lease()
        assert said is not None
        assert said.digests == (disclosure(1).digest,)
        if bad:
            stage.wait_code("bad_envelope")
        stage.show_beside(upcoming(2))
        until_leased(inbox, disclosure(1).digest, disclosure(2).digest)
        stage.wait_code("on_air")


def test_phone_says_absent_and_names_a_forgery(stage: Stage, inbox: Inbox) -> None:
    """BE-26: silence is `absent`; a signature by another key is `verified: false`."""
    with running(phone(stage, "--key", bytes(32).hex(), "--every", "0")) as reader:
        assert next(lines(reader))["type"] == "absent"
        stage.show(envelope())
        with running(stage.beacon()):
            (read,) = disclosures(reader, 1)
        assert read["verified"] is False
        assert end(reader)[0] == 0


def test_inbox_that_comes_late_and_restarts(stage: Stage) -> None:
    """BE-23: without an inbox the disclosure is on air all the same; a new inbox gets a lease within a second or so."""
    stage.show(envelope())
    with running(stage.beacon()):
        stage.wait_code("no_inbox")
        for _ in range(2):
            inbox = Inbox(stage.folder / "lease.sock")
            at = time.monotonic()
            inbox.accept()
            assert inbox.next_lease() is not None
            assert time.monotonic() - at < 5.0
            inbox.close()
            stage.wait_code("no_inbox")


def test_exact_counters_only_for_the_demo(stage: Stage, inbox: Inbox) -> None:
    """BE-24, I1: nothing is written before the state says demo; another policy ends the beacon with exit 4."""
    stage.show(envelope())
    ours, theirs = os.pipe()
    with running(stage.beacon("--exact-counters", str(theirs), pass_fds=(theirs,))), os.fdopen(ours) as counters:
        os.close(theirs)
        inbox.accept()
        stage.say(demo=True)
        line = json.loads(counters.readline())
        while line["leases"] == 0:
            line = json.loads(counters.readline())
        assert line["on_air"] is True
        assert line["backend"] == "bumble"
        assert line["pss_kib"] > 1000
    stage.say(demo=False)
    ours, theirs = os.pipe()
    with (
        running(stage.beacon("--exact-counters", str(theirs), pass_fds=(theirs,))) as beacon,
        os.fdopen(ours) as counters,
    ):
        os.close(theirs)
        assert counters.read() == ""
        _, errors = beacon.communicate(timeout=PATIENCE_S)
        assert beacon.returncode == 4
        assert errors.splitlines()[-1].startswith("error: beacon: exact counters")


def test_bad_settings_are_one_line_and_exit_2(tmp_path: Path) -> None:
    """I8: the file and what to do."""
    with running(start("agent.beacon", "--config", str(tmp_path / "absent.toml"))) as beacon:
        _, errors = beacon.communicate(timeout=PATIENCE_S)
    assert beacon.returncode == 2
    assert errors.startswith(f"error: {tmp_path}/absent.toml: expected a readable agent.toml")
    assert len(errors.splitlines()) == 1


def test_log_and_status_hold_no_address_of_a_reader(stage: Stage, inbox: Inbox) -> None:
    """I1: who read is nobody's business: no Bluetooth address appears in the beacon's log or status."""
    address = re.compile(r"(?:[0-9A-F]{2}:){5}[0-9A-F]{2}", re.IGNORECASE)
    stage.show(envelope())
    with running(stage.beacon()) as beacon:
        inbox.accept()
        with running(phone(stage, "--every", "0")) as reader:
            heard = next(lines(reader))
            assert address.search(json.dumps(heard))  # the search finds one where there is one
            assert disclosures(reader, 2)
        stage.wait_code("on_air")
        status = json.dumps(stage.status())
        _, errors = end(beacon)
    assert "on_air" in errors
    assert not address.search(errors + status)
