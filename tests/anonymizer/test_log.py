"""The release log on a real disk: recovery at every point, damage named, a full disk survived."""

import errno
import os
import signal
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.anonymizer.ledger import Ledger
from agent.anonymizer.log import ReleaseLog
from agent.anonymizer.segment import STEP_BYTES
from agent.contracts.log import Charge, Entry, Gap, NoticeServed, Release
from agent.contracts.log_file import (
    LOGGED,
    RELEASES,
    SECTOR_BYTES,
    covered_bytes,
    iter_log,
    pack_checkpoint,
    pack_record,
)
from agent.errors import InvariantBroken, LogDamaged, StorageUnavailable
from agent.wire import tlog
from tests.anonymizer.stage import KEY, ORIGIN

PUBLIC = KEY.public_key().public_bytes_raw()


def entry(number: int) -> Entry:
    return Release(
        "crossings", 1_800_000_000 + number, 1, b"payload %d" % number, b"s", Charge(Fraction(1, 32)), b"\1" * 32
    )


def checkpoint(folder: Path) -> tlog.Checkpoint:
    return tlog.open_checkpoint((folder / LOGGED).read_bytes(), ORIGIN, PUBLIC)


def entries(folder: Path) -> list[Entry]:
    log = ReleaseLog(folder, ORIGIN, KEY)
    try:
        return list(log.entries())
    finally:
        log.close()


def written(folder: Path) -> bytes:
    """The log's file up to its last whole record."""
    data = (folder / RELEASES).read_bytes()
    return data[: max((record.end for record in iter_log(data)), default=0)]


def filled(folder: Path, count: int) -> int:
    """A log of `count` entries, closed; returns where the last one ends."""
    log = ReleaseLog(folder, ORIGIN, KEY)
    assert log.ready()
    for number in range(count):
        log.append([entry(number)])
    log.close()
    return log.end


def test_a_new_log_is_empty_and_signed(tmp_path: Path) -> None:
    """AN-50: a checkpoint of size 0 is the first record, before any entry, and is shown."""
    log = ReleaseLog(tmp_path / "log", ORIGIN, KEY)
    assert checkpoint(tmp_path / "log") == tlog.Checkpoint(
        ORIGIN, 0, tlog.EMPTY_ROOT, ("bytes 0", "decisions 0", "until 0")
    )
    (record,) = iter_log((tmp_path / "log" / RELEASES).read_bytes())
    assert (record.is_checkpoint, record.body) == (True, (tmp_path / "log" / LOGGED).read_bytes())
    log.close()


def test_append_then_read(tmp_path: Path) -> None:
    """AN-50, AN-51: entries come back; the checkpoint covers all, in bytes and by root; space is allocated ahead in steps."""
    log = ReleaseLog(tmp_path, ORIGIN, KEY)
    assert log.ready()
    log.append([entry(0), NoticeServed(bytes(32), 3, 4)])
    log.append([Gap("crossings", 1_800_000_010, 1, 3, Charge(Fraction(1, 32)))])
    assert (
        list(log.entries())
        == entries_of(log)
        == [
            entry(0),
            NoticeServed(bytes(32), 3, 4),
            Gap("crossings", 1_800_000_010, 1, 3, Charge(Fraction(1, 32))),
        ]
    )
    assert checkpoint(tmp_path).size == 3
    assert checkpoint(tmp_path).extensions == (f"bytes {log.end}", "decisions 0", "until 1800000013")
    records = list(iter_log((tmp_path / RELEASES).read_bytes()))
    assert [record.is_checkpoint for record in records] == [True, False, False, True, False, True]
    assert all(record.end % SECTOR_BYTES == 0 for record in records if record.is_checkpoint)
    assert (tmp_path / RELEASES).stat().st_size % STEP_BYTES == 0
    log.close()
    assert len(entries(tmp_path)) == 3


def entries_of(log: ReleaseLog) -> list[Entry]:
    return list(log.entries())


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    """AN-52."""
    log = ReleaseLog(tmp_path, ORIGIN, KEY)
    with pytest.raises(StorageUnavailable, match="another process"):
        ReleaseLog(tmp_path, ORIGIN, KEY)
    log.close()


def tail_of(tmp_path: Path, count: int) -> tuple[int, bytes]:
    """A log of two covered entries and an append of `count` more, nobody saw: (where it began, the file's used bytes)."""
    filled(tmp_path, 2)
    covered = len(written(tmp_path))
    note = (tmp_path / LOGGED).read_bytes()
    log = ReleaseLog(tmp_path, ORIGIN, KEY)
    log.append([entry(2 + i) for i in range(count)])
    log.close()
    (tmp_path / LOGGED).write_bytes(note)
    return covered, written(tmp_path)


def test_recovery_at_every_truncation_of_the_tail(tmp_path: Path) -> None:
    """AN-53: whatever length reached the disk, whole records are kept and covered, the torn one is gone, what follows is zero."""
    covered, used = tail_of(tmp_path, 2)
    note = (tmp_path / LOGGED).read_bytes()
    third = covered + len(pack_record(entry(2).encode()))
    fourth = third + len(pack_record(entry(3).encode()))
    for length in range(covered, len(used) + 1):
        for padded in (len(used) + 3000, length) if length % 41 == 0 else (len(used) + 3000,):
            (tmp_path / RELEASES).write_bytes(used[:length].ljust(padded, b"\0"))
            (tmp_path / LOGGED).write_bytes(note)
            expected = 2 + (length >= third) + (length >= fourth)
            assert entries(tmp_path) == [entry(i) for i in range(expected)]
            assert checkpoint(tmp_path).size == expected
            end = len(written(tmp_path))
            assert covered_bytes(checkpoint(tmp_path)) <= end
            assert not any((tmp_path / RELEASES).read_bytes()[end:])


def test_recovery_at_every_bit_flip_of_the_tail(tmp_path: Path) -> None:
    """AN-53: a flipped bit makes its record torn; those before it stay. A checkpoint that is torn is signed again."""
    covered, used = tail_of(tmp_path, 2)
    note = (tmp_path / LOGGED).read_bytes()
    third = covered + len(pack_record(entry(2).encode()))
    fourth = third + len(pack_record(entry(3).encode()))
    for at in range(covered, len(used)):
        flipped = bytearray(used)
        flipped[at] ^= 1 << at % 8
        (tmp_path / RELEASES).write_bytes(bytes(flipped) + bytes(3000))
        (tmp_path / LOGGED).write_bytes(note)
        assert entries(tmp_path) == [entry(i) for i in range(2 + (at >= third) + (at >= fourth))]


def test_damage_below_the_checkpoint_is_named_and_nothing_is_changed(tmp_path: Path) -> None:
    """AN-54: every byte before the end of the last entry, while the checkpoint that was shown is there; with two more appends behind the
    damage also without it."""
    used = filled(tmp_path, 2)
    data = (tmp_path / RELEASES).read_bytes()[: used + 100]
    note = (tmp_path / LOGGED).read_bytes()
    for at in range(used):
        flipped = bytearray(data)
        flipped[at] ^= 1 << at % 8
        (tmp_path / RELEASES).write_bytes(flipped)
        with pytest.raises(LogDamaged, match="at least 2 entries"):
            ReleaseLog(tmp_path, ORIGIN, KEY)
        assert (tmp_path / RELEASES).read_bytes() == bytes(flipped)
        assert (tmp_path / LOGGED).read_bytes() == note
    (tmp_path / RELEASES).write_bytes(data + bytes(SECTOR_BYTES))
    filled(tmp_path / "four", 4)
    data = written(tmp_path / "four")
    two = [record.end for record in iter_log(data) if record.is_checkpoint][2]
    for at in range(0, two, 3):
        flipped = bytearray(data)
        flipped[at] ^= 1 << at % 8
        (tmp_path / "four" / RELEASES).write_bytes(flipped)
        (tmp_path / "four" / LOGGED).unlink(missing_ok=True)
        with pytest.raises(LogDamaged):
            ReleaseLog(tmp_path / "four", ORIGIN, KEY)
        assert (tmp_path / "four" / RELEASES).read_bytes() == bytes(flipped)


@pytest.mark.parametrize("length", [0, 1, 50])
def test_a_file_shorter_than_its_checkpoint_is_damage(tmp_path: Path, length: int) -> None:
    """AN-54."""
    filled(tmp_path, 2)
    (tmp_path / RELEASES).write_bytes((tmp_path / RELEASES).read_bytes()[:length])
    with pytest.raises(LogDamaged):
        ReleaseLog(tmp_path, ORIGIN, KEY)
    assert (tmp_path / RELEASES).stat().st_size == length


def test_what_readers_are_shown_is_derived(tmp_path: Path) -> None:
    """AN-51: absent after a power cut, or spoiled, it is made again from the log; a foreign log is not trusted."""
    filled(tmp_path, 2)
    note = (tmp_path / LOGGED).read_bytes()
    for bad in (None, note[:-9], note.replace(b"\n2\n", b"\n1\n"), b"", b"\xff" * 5000):
        (tmp_path / LOGGED).unlink(missing_ok=True)
        if bad is not None:
            (tmp_path / LOGGED).write_bytes(bad)
        ReleaseLog(tmp_path, ORIGIN, KEY).close()
        assert (tmp_path / LOGGED).read_bytes() == note
    with pytest.raises(LogDamaged):
        ReleaseLog(tmp_path, "springfield/bridge/another", KEY)
    (tmp_path / RELEASES).unlink()
    with pytest.raises(LogDamaged):
        ReleaseLog(tmp_path, ORIGIN, KEY)


def test_a_checkpoint_by_another_key_or_over_other_entries_is_damage(tmp_path: Path) -> None:
    """AN-54: the last one in the log is verified, whole as its record may be."""
    filled(tmp_path, 2)
    data = (tmp_path / RELEASES).read_bytes()
    last = [record for record in iter_log(data) if record.is_checkpoint][-1]
    lies = (
        tlog.sign_checkpoint(tlog.decode_checkpoint(last.body), ORIGIN, Ed25519PrivateKey.generate()),
        tlog.sign_checkpoint(
            tlog.Checkpoint(ORIGIN, 2, bytes(32), tlog.decode_checkpoint(last.body).extensions), ORIGIN, KEY
        ),
        tlog.sign_checkpoint(
            tlog.Checkpoint(ORIGIN, 2, checkpoint(tmp_path).root, ("bytes 2", "decisions 0", "until 0")), ORIGIN, KEY
        ),
        b"nothing\n",
    )
    (tmp_path / LOGGED).unlink()
    for lie in lies:
        (tmp_path / RELEASES).write_bytes(data[: last.start] + pack_checkpoint(lie, last.start) + bytes(2000))
        with pytest.raises(LogDamaged, match="over 2 entries"):
            ReleaseLog(tmp_path, ORIGIN, KEY)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    batches=st.lists(st.lists(st.binary(max_size=300), min_size=1, max_size=4), min_size=1, max_size=6),
    cut=st.integers(0, 2000),
)
def test_what_a_checkpoint_covered_is_never_lost(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[bytes]], cut: int
) -> None:
    """AN-51: after any crash behind the checkpoint the log is the covered entries and a prefix of the rest, and goes on."""
    folder = tmp_path_factory.mktemp("log")
    log = ReleaseLog(folder, ORIGIN, KEY)
    written: list[Entry] = []
    for batch in batches:
        new: list[Entry] = [
            Release("s", 1_800_000_000, 1, payload, b"", Charge(Fraction(0)), bytes(32)) for payload in batch
        ]
        log.append(new)
        written += new
        note, covered, end = (folder / LOGGED).read_bytes(), len(written), log.end
    extra = [entry(1), entry(2), entry(3)]
    log.append(extra)
    log.close()
    (folder / LOGGED).write_bytes(note)
    os.truncate(folder / RELEASES, min(end + cut, (folder / RELEASES).stat().st_size))
    recovered = entries(folder)
    assert recovered[:covered] == written
    assert recovered == [*written, *extra][: len(recovered)]
    log = ReleaseLog(folder, ORIGIN, KEY)
    log.append([entry(9)])
    log.close()
    assert entries(folder) == [*recovered, entry(9)]


def in_child(work: Callable[[], None]) -> int:
    """Run `work` in a forked child; its exit code (77: StorageUnavailable as promised)."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException as error:  # the parent judges by the code
            sys.stderr.write(repr(error))
            os._exit(1)
        os._exit(77)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_reading_takes_no_memory_that_grows_with_the_log(tmp_path: Path) -> None:
    """AN-57: the anonymizer's memory is locked and its unit capped, so a long log is read in pieces, whatever their bounds."""
    log = ReleaseLog(tmp_path, ORIGIN, KEY)
    for number in range(32):
        log.append([release(number * 100 + i, 10_000 + 77 * i) for i in range(64)])
    assert log.end > 24 << 20
    log.close()

    def work() -> None:
        before = peak_kib()
        seen: list[int] = []
        log = ReleaseLog(tmp_path, ORIGIN, KEY, lambda entry: seen.append(len(entry.encode())))
        assert len(seen) == log.size == 32 * 64
        assert peak_kib() - before < 12 * 1024  # half of the log; 6 MiB in a large process

    assert in_child(work) == 77


def peak_kib() -> int:
    """The most that this process has had resident."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def test_a_file_size_limit_is_a_full_disk(tmp_path: Path) -> None:
    """AN-55: the gate closes half a step before the end; what fits is logged; the rest is refused whole; nothing logged is lost."""

    def work() -> None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (STEP_BYTES, STEP_BYTES))
        log = ReleaseLog(tmp_path, ORIGIN, KEY)
        assert log.ready()
        big = Release("s", 1_800_000_000, 1, bytes(40_000), b"", Charge(Fraction(0)), bytes(32))
        logged = 0
        while log.ready():
            log.append([big])
            logged += 1
        assert 10 < logged < 16
        while True:
            try:
                log.append([big])
                logged += 1
            except StorageUnavailable:
                break
        assert logged == 25
        assert log.size == logged
        assert not log.ready()
        (tmp_path / "logged").write_text(str(logged))

    assert in_child(work) == 77
    logged = int((tmp_path / "logged").read_text())
    log = ReleaseLog(tmp_path, ORIGIN, KEY)
    assert log.recovered is None
    assert log.size == logged == checkpoint(tmp_path).size
    assert log.ready()
    log.append([entry(1)])
    assert log.size == logged + 1
    log.close()


def test_a_failed_sync_ends_the_process_and_removes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """AN-56: the error is one that nobody catches and goes on; the bytes stay."""
    filled(tmp_path, 2)
    used = len(written(tmp_path))
    log = ReleaseLog(tmp_path, ORIGIN, KEY)
    note = (tmp_path / LOGGED).read_bytes()

    def fails(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", fails)
    with pytest.raises(InvariantBroken, match="sync failed"):
        log.append([entry(2)])
    monkeypatch.undo()
    assert (tmp_path / LOGGED).read_bytes() == note
    assert (tmp_path / RELEASES).read_bytes()[used : used + 20] == pack_record(entry(2).encode())[:20]
    log.close()
    assert entries(tmp_path) == [entry(0), entry(1), entry(2)]


def test_a_checkpoint_that_finds_no_space_is_owed_and_signed_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AN-55: the entry is durable, not yet visible, and becomes visible with the next checkpoint; it is never written again."""
    filled(tmp_path, 1)
    log = ReleaseLog(tmp_path, ORIGIN, KEY)
    real = os.open

    def full(path: object, flags: int, *rest: int, **more: int) -> int:
        if str(path).endswith(".new"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, flags, *rest, **more)  # type: ignore[arg-type]  # handed on as it came

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(StorageUnavailable):
        log.append([entry(1)])
    assert (log.size, log.covered, log.ready()) == (2, False, False)
    assert checkpoint(tmp_path).size == 1
    monkeypatch.undo()
    assert log.ready()
    assert checkpoint(tmp_path).size == 2
    log.close()


def release(number: int, size: int) -> Release:
    return Release("crossings", 1_800_000_000 + number, 1, bytes(size), b"s", Charge(Fraction(0)), b"\1" * 32)


def refusing(after: int, *, forever: bool) -> Callable[[int, memoryview, int], int]:
    """A pwrite that takes `after` bytes and then has no space, once or forever: allocated space on a copy-on-write file system."""
    real = os.pwrite
    left: list[int | None] = [after]

    def pwrite(fd: int, data: memoryview, at: int) -> int:
        if left[0] == 0:
            left[0] = 0 if forever else None
            raise OSError(errno.ENOSPC, "No space left on device")
        written = real(fd, data[: left[0]], at)
        if left[0] is not None:
            left[0] -= written
        return written

    return pwrite


def test_a_write_that_fails_part_way_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """AN-55: at every length; a shorter append afterwards is followed by zeros, and the log opens in order after a crash."""
    first = release(0, 40)
    batch: list[Entry] = [release(1, 40), release(2, 40), release(3, 40)]
    instead: list[Entry] = [Gap("crossings", 1_800_000_001, 1, 2, None)]
    for length in range(0, sum(len(pack_record(e.encode())) for e in batch), 7):
        folder = tmp_path / str(length)
        log = ReleaseLog(folder, ORIGIN, KEY)
        log.append([first])
        used = log.end
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", refusing(length, forever=False))
            with pytest.raises(StorageUnavailable):
                log.append(batch)
        assert (log.size, log.end) == (1, used)
        assert len(written(folder)) == -(-used // SECTOR_BYTES) * SECTOR_BYTES
        assert not any((folder / RELEASES).read_bytes()[len(written(folder)) :])
        log.append(instead)
        log.close()
        assert entries(folder) == [first, *instead]


def test_a_write_that_cannot_be_undone_ends_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """AN-55: no space for the zeros either; what stays is whole and in order, so the next start keeps it."""
    log = ReleaseLog(tmp_path, ORIGIN, KEY)
    size = len(pack_record(release(0, 40).encode()))
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", refusing(size, forever=True))
        with pytest.raises(InvariantBroken, match="stays"):
            log.append([release(0, 40), release(1, 40)])
    log.close()
    assert entries(tmp_path) == [release(0, 40)]


def test_a_tail_record_that_cannot_follow_is_no_entry(tmp_path: Path) -> None:
    """AN-53: whole records that an older, failed append left behind a newer one are removed on opening, not covered."""
    log = ReleaseLog(tmp_path, ORIGIN, KEY)
    log.append([release(0, 40)])
    note = (tmp_path / LOGGED).read_bytes()
    covered = log.end
    log.append([release(3, 40)])
    end = log.end
    log.close()
    (tmp_path / LOGGED).write_bytes(note)
    data = bytearray((tmp_path / RELEASES).read_bytes())
    stale = pack_record(release(2, 40).encode()) + pack_record(release(4, 40).encode())
    data[end : end + len(stale)] = stale
    (tmp_path / RELEASES).write_bytes(data)
    ledger = Ledger()
    log = ReleaseLog(tmp_path, ORIGIN, KEY, ledger.fold)
    assert covered < log.end == end
    assert log.recovered == "after the checkpoint: 1 whole entries kept, one out of order removed"
    assert (log.size, ledger.size, ledger.last_logged_end) == (2, 2, 1_800_000_004)
    assert checkpoint(tmp_path).size == 2
    assert not any((tmp_path / RELEASES).read_bytes()[len(written(tmp_path)) :])
    log.close()
    assert entries(tmp_path) == [release(0, 40), release(3, 40)]


@pytest.mark.parametrize("round_", range(3))
def test_killed_while_appending(tmp_path: Path, round_: int) -> None:
    """AN-51, R9: after kill -9 at any moment the log opens, in order, with everything that a checkpoint ever covered."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        log = ReleaseLog(tmp_path, ORIGIN, KEY)
        number = 0
        while True:
            log.append([entry(number), entry(number + 1)])
            number += 2
            os.write(writer, b".")
    os.close(writer)
    seen = 0
    while seen < 20 + 7 * round_:
        seen += len(os.read(reader, 4096))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    seen += len(os.read(reader, 65536))
    os.close(reader)
    recovered = entries(tmp_path)
    assert len(recovered) >= 2 * seen
    assert recovered == [entry(i) for i in range(len(recovered))]
