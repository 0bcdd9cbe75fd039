"""The real process over real sockets."""

import ctypes
import os
import resource
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.contracts import aggregate, log_file
from agent.contracts.board_seen import BoardSeen
from agent.contracts.gate_log import GateChanges
from agent.contracts.log import Decision, Entry, Gap, LogLost, NoticeServed, PolicyOffered, PolicyTaken, Release
from agent.contracts.public import open_envelope
from agent.local.clock import OPERATOR, Clock
from agent.wire import cose
from tests.anonymizer.stage import BIKE, DOG, FOOT, KEY, Beacon, Bridge, Unit

PUBLIC = KEY.public_key().public_bytes_raw()


@pytest.fixture
def unit(tmp_path: Path) -> Iterator[Unit]:
    unit = Unit(tmp_path)
    yield unit
    unit.end()


def keep(unit: Unit, beacon: Beacon, bridge: Bridge | None, seconds: float, classes: list[int] | None = None) -> None:
    """Leases, ALIVE and readings for some seconds, four times a second."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        turn(unit, beacon, bridge, classes)


def keep_until(unit: Unit, beacon: Beacon, bridge: Bridge | None, holds: Callable[[], bool], what: str) -> None:
    """The same until something holds."""

    def kept() -> bool:
        turn(unit, beacon, bridge)
        return holds()

    unit.wait(kept, what)


def turn(unit: Unit, beacon: Beacon, bridge: Bridge | None, classes: list[int] | None = None) -> None:
    """A quarter of a second."""
    beacon.lease(unit.digest)
    if bridge is not None:
        bridge.alive()
        bridge.readings(classes if classes is not None else [BIKE] * 30 + [DOG, DOG])
    time.sleep(0.25)


def utc_s() -> float:
    """Unix seconds, as the `since` of a state."""
    return Clock(OPERATOR).utc_ns() / 1e9


def test_from_notice_to_releases(unit: Unit) -> None:
    """AN-44, AN-61: notice, taking, counting, sealing; every reading is accounted for; SIGTERM ends with 0 within 2 s."""
    unit.start()
    unit.wait((unit.folder / "public" / "envelope").exists, "envelope")
    envelope = open_envelope((unit.folder / "public" / "envelope").read_bytes(), PUBLIC)
    assert envelope.digest == unit.digest
    beacon, bridge = unit.beacon(), unit.bridge()
    keep_until(unit, beacon, bridge, lambda: unit.reason() == "open", "an open gate")
    keep(unit, beacon, bridge, 3.8)
    assert unit.reason() == "open"
    keep(unit, beacon, None, 1.5)
    unit.wait(lambda: unit.counters().get("pending") == 0 and sum_of(unit) == bridge.sent, "conservation of readings")
    counters = unit.counters()
    assert counters["counted"] > 0
    assert counters["discarded"]["gate"] > 0
    assert counters["discarded"]["unknown_class"] > 0
    began = time.monotonic()
    assert unit.stop() == 0
    assert time.monotonic() - began < 2
    entries = unit.entries()
    assert [type(entry) for entry in entries if not isinstance(entry, Release)] == [
        PolicyOffered,
        NoticeServed,
        PolicyTaken,
        GateChanges,
        BoardSeen,
    ]
    releases = unit.releases()
    starts = [release.window_start for release in releases]
    assert starts == list(range(starts[0], starts[0] + len(starts))), "one Release a window, none left out"
    packs = []
    for number, entry in enumerate(entries):
        if isinstance(entry, Release):
            cose.verify1(entry.signature, PUBLIC, detached_payload=entry.payload)
            pack = aggregate.decode(entry.payload)
            packs.append(pack)
            assert (pack.log_index, pack.terms.disclosure_digest) == (number, unit.digest)
            assert entry.charge is not None
            assert (entry.charge.rho > 0) == (pack.reason is None)
    complete = [pack for pack in packs if pack.reason is None]
    assert len(complete) >= 2
    assert any(isinstance(dict(pack.cells)["bike"], int) for pack in complete)
    assert len({len(release.payload) for release in releases}) == 1


def sum_of(unit: Unit) -> int:
    counters = unit.counters()
    return int(counters["counted"]) + sum(map(int, counters["discarded"].values())) + int(counters["pending"])


def test_garbage_on_both_inboxes_never_ends_the_daemon(unit: Unit) -> None:
    """AN-60, I8: any packet is survived; an honest peer is served afterwards; the journal holds none of it."""
    unit.start()
    for round_ in range(3):
        beacon, bridge = unit.beacon(), unit.bridge()
        for length in (1, 5, 25, 26, 27, 100, 255, 257, 5000, 20_000):
            beacon.send(os.urandom(length))
            bridge.send(os.urandom(length))
            bridge.send(b"\x02\x01\xff\xff" + os.urandom(length))
            bridge.send(b"\x01\x01\x00\x00" + bytes(20) + os.urandom(length))
        bridge.send(b"")
        if round_:
            beacon.close()
    peers = []
    for _ in range(20):
        peers.append(unit.beacon())
    unit.wait(lambda: unit.counters().get("entries", 0) >= 1, "a life after garbage")
    for peer in peers:
        peer.close()
    time.sleep(0.5)
    beacon, bridge = unit.beacon(), unit.bridge()
    keep(unit, beacon, bridge, 3.0, [FOOT])
    unit.wait(lambda: unit.counters().get("gate") == "open", "an open gate after garbage")
    assert len(unit.errors()) < 3000
    assert unit.stop() == 0


def test_the_gate_closes_with_the_beacon_and_reopens(unit: Unit) -> None:
    """I3: the end of the lease connection closes at once, a silent beacon in 10 s; both reopen."""
    unit.start()
    beacon = unit.beacon()
    keep(unit, beacon, None, 2.0)
    unit.wait(lambda: unit.reason() == "open", "an open gate")
    closed_s = utc_s()
    beacon.close()
    unit.wait(lambda: unit.reason() == "lease_closed", "lease_closed")
    assert unit.state().since - closed_s < 1  # by when it closed, not by when this test saw it
    beacon = unit.beacon()
    silent_s = utc_s()
    beacon.lease(unit.digest)
    unit.wait(lambda: unit.reason() == "open", "an open gate again")
    unit.wait(lambda: unit.reason() == "lease_lapsed", "lease_lapsed")
    assert 9 < unit.state().since - silent_s < 12
    beacon.lease(bytes(32))
    unit.wait(lambda: unit.reason() == "lease_mismatch", "lease_mismatch")
    beacon.lease(unit.digest)
    unit.wait(lambda: unit.reason() == "open", "an open gate after all")
    assert unit.stop() == 0


def test_a_lease_that_waited_while_the_daemon_stood_still_opens_nothing(unit: Unit) -> None:
    """AN-21, I3: one lease is queued, the beacon falls silent, the daemon is continued 13 s later: the gate is shut from the first."""
    unit.start()
    beacon, bridge = unit.beacon(), unit.bridge()
    keep(unit, beacon, bridge, 2.5)
    unit.wait(lambda: unit.counters().get("gate") == "open", "an open gate")
    line = unit.latest
    unit.wait(
        lambda: unit.counters() is not line,
        "a line just written, so that none is under way while the daemon stands still",
    )
    assert unit.process is not None
    unit.process.send_signal(signal.SIGSTOP)
    time.sleep(0.1)
    opened_s = unit.counters()["gate_closed_s"]
    beacon.lease(unit.digest)
    time.sleep(13)
    bridge.readings([BIKE] * 7)
    unit.process.send_signal(signal.SIGCONT)
    until = time.monotonic() + 3
    lines = []
    while time.monotonic() < until:
        before = unit.latest
        if unit.counters() is not before:
            lines.append(unit.latest)
        time.sleep(0.05)
    assert lines
    assert {line["reason"] for line in lines} == {"lease_lapsed"}
    assert lines[-1]["gate_closed_s"] > opened_s + 2
    assert lines[-1]["discarded"]["gate"] >= 7
    assert unit.reason() == "lease_lapsed"
    beacon.lease(unit.digest)
    unit.wait(lambda: unit.reason() == "open", "an open gate with a fresh lease")


def test_killed_and_started_again(unit: Unit) -> None:
    """AN-61, I4, I5: after each kill -9 every lost window is a Gap, charged; no window has two payloads; no notice is owed twice."""
    unit.start()
    before: list[Entry] = []

    def released() -> bool:
        logged = unit.entries() if unit.log.exists() else []
        return any(isinstance(entry, Release) for entry in logged[len(before) :])

    for round_ in range(4):
        beacon, bridge = unit.beacon(), unit.bridge()
        keep(unit, beacon, bridge, 2.6 + 0.17 * round_, [BIKE] * 40)
        unit.wait(released, "a release of this life")
        before = unit.entries()
        unit.stop(signal.SIGKILL)
        assert unit.entries()[: len(before)] == before
        time.sleep(1.2)
        unit.start()
    beacon, bridge = unit.beacon(), unit.bridge()
    keep(unit, beacon, bridge, 2.5)
    unit.stop()
    entries = unit.entries()
    assert sum(isinstance(entry, PolicyTaken) for entry in entries) == 1
    covered: list[int] = []
    for entry in entries:
        if isinstance(entry, Release):
            covered.append(entry.window_start)
        if isinstance(entry, Gap):
            assert entry.charge is not None
            assert entry.charge.rho > 0
            covered += [entry.first_start + i * entry.window_s for i in range(entry.count)]
    assert sum(isinstance(entry, Gap) for entry in entries) == 4
    assert covered == list(range(covered[0], covered[0] + len(covered))), "each window once, in order, none left out"


def in_earnest(unit: Unit) -> None:
    """The same policy, but not a demonstration's."""
    text = unit.text.replace("demo = true", "demo = false")
    unit.sign(
        text.replace('"1 seconds"', '"1 days"', 1)
        .replace('"10 minutes"', '"24 hours"')
        .replace('window = "1 seconds"', 'window = "15 minutes"')
    )


def without_locked_memory() -> None:
    """Neither the limit nor, for root, the capability."""
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))
    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_IPC_LOCK, 0, 0, 0)


PR_CAPBSET_DROP, CAP_IPC_LOCK = 24, 14


@pytest.mark.parametrize("demo", [False, True])
def test_without_locked_memory_only_a_demonstration_counts(unit: Unit, demo: bool) -> None:
    """AN-61, AN-20, I1: raw readings could reach a swap file."""
    if not demo:
        in_earnest(unit)
    unit.start(counters=False, preexec=without_locked_memory)
    unit.wait(unit.reason, "a state")
    keep(unit, beacon := unit.beacon(), None, 2.0)
    assert "memory is not locked" in unit.errors()
    if demo:
        keep_until(unit, beacon, None, lambda: unit.reason() == "open", "an open gate")
    else:
        assert unit.reason() == "memory_unlocked"
    assert unit.stop() == 0


def test_exact_counters_are_refused_without_a_demo_policy(unit: Unit) -> None:
    """I1: DemoOnly, exit 4."""
    in_earnest(unit)
    code, said = unit.refused()
    assert code == 4
    assert "exact counters" in said


def test_a_long_start_asks_for_time(unit: Unit, monkeypatch: pytest.MonkeyPatch) -> None:
    """AN-57: while the log is read, the service manager is asked to wait, before READY=1 and not after."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(unit.folder / "notify"))
        manager.settimeout(15)
        monkeypatch.setenv("NOTIFY_SOCKET", str(unit.folder / "notify"))
        for logged in (False, True):
            unit.start()
            said = []
            while "READY=1" not in said:
                said.append(manager.recv(200).decode())
            assert ("EXTEND_TIMEOUT_USEC=30000000" in said) is logged
            unit.wait(lambda: unit.counters().get("entries", 0) >= 1, "an entry")
            unit.stop()
            while "STOPPING=1" not in said:
                said.append(manager.recv(200).decode())
            assert said.count("EXTEND_TIMEOUT_USEC=30000000") == logged


def test_a_log_put_back_from_a_backup_is_closed_and_another_follows(unit: Unit) -> None:
    """AN-64, I4, I5: the new log names the loss, charges every window that was logged or lost, releases none of them, and goes on."""
    unit.start()
    keep(unit, unit.beacon(), None, 2.0)
    unit.wait(lambda: any(isinstance(entry, Release) for entry in unit.entries()), "a release")
    unit.stop()
    backup, newest = unit.folder / "backup", unit.folder / "newest"
    shutil.copytree(unit.log, backup)
    left = unit.entries()
    unit.start()
    unit.wait(lambda: unit.counters().get("entries", 0) >= len(left) + 3, "more entries")
    unit.stop()
    whole = unit.entries()
    note = (unit.folder / "public" / log_file.LOGGED).read_bytes()
    unit.log.rename(newest)
    shutil.copytree(backup, unit.log)
    unit.start()
    beacon = unit.beacon()
    unit.wait(lambda: "a new log begins" in unit.errors(), "the loss in the journal")
    seen = len(unit.entries())
    keep(unit, beacon, None, 1.0)
    unit.wait(lambda: any(isinstance(entry, Release) for entry in unit.entries()[seen:]), "a release in the new log")
    assert unit.stop() == 0
    after = unit.entries()
    assert after[0] == LogLost(note, len(left), after[0].root if isinstance(after[0], LogLost) else b"")
    assert [entry for entry in after if isinstance(entry, Decision)] == [e for e in left if isinstance(e, Decision)]
    again = {entry.window_start for entry in after if isinstance(entry, Release)}
    assert not again & {entry.window_start for entry in whole if isinstance(entry, Release)}
    starts: list[int] = []
    for entry in after:
        if isinstance(entry, Release):
            starts.append(entry.window_start)
        if isinstance(entry, Gap):
            starts += range(entry.first_start, entry.first_start + entry.count * entry.window_s, entry.window_s)
    assert starts == list(range(starts[0], starts[0] + len(starts))), "every window once, as a Gap or released"
    known = [entry.window_start for entry in whole if isinstance(entry, Release)]
    assert starts[0] <= known[0], "and from the first on"
    closed = [path for path in unit.log.iterdir() if path.name.startswith(log_file.RELEASES + ".")]
    assert [path.read_bytes() for path in closed] == [(backup / log_file.RELEASES).read_bytes()]
    unit.start()
    unit.wait(lambda: unit.counters().get("entries", 0) > len(after), "entries on top of the new log")
    unit.stop()


def test_no_log_at_all_is_refused(unit: Unit) -> None:
    """AN-58: with it the policy and perhaps a stop order are gone; nothing is changed, and the newest log is accepted again."""
    unit.start()
    keep(unit, unit.beacon(), None, 1.0)
    unit.wait(lambda: len(unit.entries()) >= 2, "entries")
    unit.stop()
    size = len(unit.entries())
    newest = unit.folder / "newest"
    unit.log.rename(newest)
    code, said = unit.refused()
    assert code == 2
    assert f"expected a log of at least {size} entries, got 0" in said
    assert "put back the newest copy of the log's folder" in said
    shutil.rmtree(unit.log)
    newest.rename(unit.log)
    (unit.folder / "checkpoint").unlink()
    unit.start()
    unit.wait(lambda: (unit.folder / "checkpoint").exists(), "a new copy")
    assert "release log taken as it is" in unit.errors()


def test_one_writer(unit: Unit) -> None:
    """The log has one writer: a second daemon on the same log ends with exit 3 and changes nothing."""
    unit.start()
    (unit.folder / "other").mkdir()
    code, said = Unit(unit.folder / "other", log=unit.log).refused()
    assert code == 3
    assert "another process writes this log" in said
    unit.wait(lambda: unit.counters().get("entries", 0) >= 1, "entries of the first")


def test_an_untrusted_clock_keeps_the_gate_shut_and_logs_nothing(unit: Unit) -> None:
    """I3: no window can be named before the time is known."""
    marker = unit.folder / "marker"
    unit.settings.write_text(unit.settings.read_text().replace('"operator"', f'"{marker}"'))
    unit.start()
    beacon = unit.beacon()
    keep(unit, beacon, None, 1.5)
    assert unit.reason() == "clock_untrusted"
    assert not unit.log.exists(), "not even the policy is judged"
    marker.touch()
    keep(unit, beacon, None, 2.5)
    unit.wait(lambda: unit.reason() == "open", "an open gate once the clock is trusted")
    assert unit.stop() == 0
