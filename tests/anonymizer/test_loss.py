"""AN-64: the log that follows one that lost its end says the same of policy, budget and windows."""

import contextlib
import errno
import os
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.anonymizer.checkpoint import KeptCheckpoint, logged_origin
from agent.anonymizer.ledger import Ledger
from agent.anonymizer.log import ReleaseLog
from agent.anonymizer.loss import continuation, origin_after
from agent.anonymizer.successor import begin_successor
from agent.anonymizer.window import NS
from agent.contracts.log import Charge, Decision, Entry, Gap, LogLost, NoticeServed, Release, StopTaken, decode_entry
from agent.contracts.log_file import LOGGED, RELEASES, iter_log
from agent.errors import LogDamaged, LogShortened, StorageUnavailable
from agent.policy.parse import parse_policy
from agent.wire.tlog import Checkpoint, sign_checkpoint
from tests.anonymizer.stage import KEY, ORIGIN, make_policy, policy_text
from tests.anonymizer.worlds import World
from tests.signing import signed_stop

LOST = LogLost(
    sign_checkpoint(Checkpoint(ORIGIN, 9, bytes(32), ("bytes 900", "decisions 2", "until 1700000000")), ORIGIN, KEY),
    3,
    bytes(32),
)
WORLD = World(make_policy(window=5, notice="5 seconds"))
WORLD.run(40, step=1)
BEGINNING = [entry for entry in WORLD.entries if isinstance(entry, Decision | NoticeServed)]
START = 5 * (max(entry.window_start for entry in WORLD.entries if isinstance(entry, Release)) // 5 + 1)


def state(entries: Sequence[Entry]) -> tuple[object, ...]:
    """What a ledger decides by: decisions, where windows may begin, spans of the budget, the odometer."""
    ledger = Ledger(entries)
    budget = ledger.budget
    recent = {name: dict(windows) for name, windows in budget._recent.items()}
    held = {name: +charges for name, charges in budget._held.items()}
    return ledger.adoption, ledger._last_end, recent, held, budget.lifetime


windows = st.lists(st.tuples(st.integers(1, 300), st.sampled_from([0, 1, 1, 1, 2]), st.booleans()), max_size=30)


@settings(max_examples=50)
@given(windows)
def test_the_ledger_of_what_follows_is_that_of_what_was_left(runs: list[tuple[int, int, bool]]) -> None:
    """Of any windows at any charges, released or lost."""
    left: list[Entry] = list(BEGINNING)
    at = START
    for count, rho, gap in runs:
        charge = Charge(Fraction(rho, 64))
        if gap:
            left.append(Gap("crossings", at, 5, count, charge))
            at += 5 * count
        else:
            for _ in range(count % 4 + 1):
                left.append(Release("crossings", at, 5, b"payload", b"s", charge, bytes(32)))
                at += 5
    following = list(continuation(LOST, left))
    assert following[0] == LOST
    assert not any(isinstance(entry, Release) for entry in following)
    assert state(following) == state(left)
    assert [decode_entry(entry.encode()) for entry in following] == following


def test_the_odometer_of_several_streams_is_what_it_was() -> None:
    """AN-33, AN-64: Gaps of a long absence come one stream after another, and those of the log that follows in another order."""
    walkers = (
        policy_text(rho="0.03125", cap="1")
        .partition("[[stream]]")[2]
        .replace('"crossings"\nchannel', '"walkers"\nchannel')
    )
    world = World(parse_policy(policy_text(rho="0.03125", cap="1") + "[[stream]]" + walkers, "policy.toml"))
    world.run(320, step=1)
    world.boot_ns += 5000 * NS
    world.restart()
    world.run(20, step=1)
    assert {entry.stream for entry in world.entries if isinstance(entry, Gap)} == {"crossings", "walkers"}
    assert state(list(continuation(LOST, world.entries))) == state(world.entries)


def test_a_year_is_few_entries() -> None:
    left = [
        *BEGINNING,
        *(Release("crossings", START + 5 * i, 5, b"p", b"s", Charge(Fraction(1, 64)), b"") for i in range(35040)),
    ]
    assert len(list(continuation(LOST, left))) == len(BEGINNING) + 2


def test_a_loss_stands_first_or_nowhere() -> None:
    Ledger([LOST])
    with pytest.raises(LogDamaged, match="first entry only"):
        Ledger([LOST, LOST])


def test_nothing_before_the_end_of_what_is_lost_is_free(tmp_path: Path) -> None:
    """I5: also with a clock set back. The windows up to then are charged."""
    until = START + 100
    note = sign_checkpoint(Checkpoint(ORIGIN, 9, bytes(32), (f"until {until}",)), ORIGIN, KEY)
    ledger = Ledger(continuation(LogLost(note, 3, bytes(32)), WORLD.entries))
    (one,) = ledger.adoption.taken
    (stream,) = one.policy.streams
    assert ledger.newest_at == ledger.first_free(one, stream) == until
    (gap,) = ledger.gaps({(one.effective, stream.name): until}, START - 50)
    assert gap.charge == ledger.charge_of(stream, START)
    assert (gap.first_start, gap.first_start + gap.count * gap.window_s) == (
        Ledger(WORLD.entries).last_logged_end,
        until,
    )


def test_the_origin_names_the_loss_and_the_unit_once() -> None:
    first = origin_after(ORIGIN, Checkpoint(ORIGIN, 12, bytes(32)))
    assert first == f"{ORIGIN}/after/12-{'00' * 16}"
    assert origin_after(first, Checkpoint(first, 7, b"\1" * 32)) == f"{ORIGIN}/after/7-{'01' * 16}"


def put_back(tmp_path: Path) -> tuple[Path, Path, LogShortened]:
    """A log that lost three of its entries."""
    folder, kept = tmp_path / "log", tmp_path / "checkpoint"
    log = ReleaseLog(folder, ORIGIN, KEY, copy=kept)
    log.append(WORLD.entries[:-3])
    old = (folder / RELEASES).read_bytes()
    log.append(WORLD.entries[-3:])
    log.close()
    (folder / RELEASES).write_bytes(old)
    (folder / LOGGED).unlink()
    with pytest.raises(LogShortened) as told:
        ReleaseLog(folder, ORIGIN, KEY, copy=kept)
    return folder, kept, told.value


def test_power_lost_at_each_step_of_the_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """AN-64: the old log or the whole beginning of the new one is there; the next start finishes it."""
    for step in range(5):
        folder, kept, short = put_back(tmp_path / str(step))
        done = 0

        def cut(real: Callable[..., None], *given: object, last: int = step) -> None:
            nonlocal done
            done += 1
            if done > last:
                raise KeyboardInterrupt
            real(*given)

        with monkeypatch.context() as patch:
            for name in ("link", "rename"):
                patch.setattr(os, name, partial(cut, getattr(os, name)))
            with contextlib.suppress(KeyboardInterrupt):
                begin_successor(folder, ORIGIN, KEY, short, lambda: None)
        origin = logged_origin(folder, kept)
        assert origin is not None
        assert (origin != ORIGIN) is (done <= step), "the last of these calls is the change"
        if origin == ORIGIN:
            with pytest.raises(LogShortened):
                ReleaseLog(folder, origin, KEY, copy=kept)
            origin, _ = begin_successor(folder, origin, KEY, short, lambda: None)
        for _ in range(2):
            ledger = Ledger()
            log = ReleaseLog(folder, origin, KEY, ledger.fold, copy=kept)
            assert isinstance(next(log.entries()), LogLost)
            assert ledger.last_logged_end == Ledger(WORLD.entries[:-3]).last_logged_end
            log.close()
    assert done == step == 4, "each of them was cut, and in the end none"


def test_the_copy_of_another_log_is_not_followed(tmp_path: Path) -> None:
    """A log that follows another than the copy says is refused."""
    folder, kept, short = put_back(tmp_path)
    other = KeptCheckpoint(kept)
    other.write(
        sign_checkpoint(Checkpoint(f"{ORIGIN}/after/1-00", 900, bytes(32)), f"{ORIGIN}/after/1-00", KEY), 900, anew=True
    )
    origin, _ = begin_successor(folder, ORIGIN, KEY, short, lambda: None)
    with pytest.raises(LogDamaged, match="or one that follows it"):
        ReleaseLog(folder, origin, KEY, copy=kept)


@pytest.mark.parametrize("torn", [False, True])
def test_the_newest_checkpoint_that_is_known_decides(tmp_path: Path, torn: bool) -> None:
    """AN-54, AN-64: the copy is a few entries behind, and knows of no stop order; what readers were shown, or lies behind the damage, does."""
    folder, kept, shown = tmp_path / "log", tmp_path / "checkpoint", tmp_path / LOGGED
    releases = [entry for entry in WORLD.entries if isinstance(entry, Release)]
    stop = StopTaken(signed_stop("a pipe burst", START), ("steward/ada",), START)
    log = ReleaseLog(folder, ORIGIN, KEY, copy=kept, shown=shown)
    log.append([*BEGINNING, *releases[:4]])
    old, size = (folder / RELEASES).read_bytes(), log.size
    log.append(releases[4:5])
    log.close()
    for last, lost in ((releases[5], LogShortened), (stop, LogDamaged)):
        log = ReleaseLog(folder, ORIGIN, KEY, copy=kept, shown=shown)
        log.append([last])
        log._segment.close()
        new = (folder / RELEASES).read_bytes()
        end = max(record.end for record in iter_log(old))
        (folder / RELEASES).write_bytes(new[:end] + bytes(16) + new[end + 16 :] if torn else old)
        known = shown.read_bytes()
        if torn:
            shown.unlink()
        with pytest.raises(LogDamaged, match=f"at least {log.size} entries, got {size}") as told:
            ReleaseLog(folder, ORIGIN, KEY, copy=kept, shown=shown)
        assert type(told.value) is lost
        if isinstance(told.value, LogShortened):
            assert told.value.known == known
        (folder / RELEASES).write_bytes(new)


def test_a_copy_that_found_no_space_for_the_log_that_follows_is_owed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AN-58, AN-64: however many entries the old log had; the gate is shut until it is written."""
    folder, kept, short = put_back(tmp_path)
    origin, _ = begin_successor(folder, ORIGIN, KEY, short, lambda: None)

    def full(*_: object, **__: object) -> None:
        raise StorageUnavailable(str(kept), why="full", remedy="") from OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patch:
        patch.setattr(KeptCheckpoint, "write", full)
        log = ReleaseLog(folder, origin, KEY, copy=kept)
        assert (log.covered, log.ready()) == (False, False)
    assert log.ready()
    log.close()
    assert {checkpoint.origin for _, checkpoint in KeptCheckpoint(kept).slots()} == {origin}
