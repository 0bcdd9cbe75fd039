"""A start that reads the log from its newest bundle on knows what one that reads all of it knows, whatever its derived file says (AN-66)."""

import errno
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.anonymizer.bundle_file import BUNDLES, MAX_BYTES
from agent.anonymizer.extent import BUNDLE_BYTES, decode_bundles
from agent.anonymizer.known import Known
from agent.anonymizer.ledger import Ledger
from agent.anonymizer.log import ReleaseLog
from agent.anonymizer.loss import with_states
from agent.anonymizer.successor import begin_successor
from agent.contracts import log as contract
from agent.contracts.log import Carried, Decision, Entry, NoticeServed, Release
from agent.contracts.log_file import LOGGED, RELEASES, iter_log
from agent.errors import DtprError, LogDamaged, LogShortened
from agent.local.files import file_stamp
from agent.operations.log_copy import export
from agent.policy.model import Policy
from tests.anonymizer.small_bundles import bundles_of
from tests.anonymizer.stage import KEY, ORIGIN, make_policy
from tests.anonymizer.worlds import World

WIDTH = 8


@pytest.fixture(autouse=True)
def small_bundles() -> Iterator[None]:
    with bundles_of(WIDTH):
        yield


class Start(NamedTuple):
    """What a start knows: all that the daemon goes by, and what the log signs next."""

    state: object
    adoption: object
    lifetime: Fraction
    spent: Fraction
    standings: object
    newest: object
    figures: object
    log: object

    @classmethod
    def of(cls, log: ReleaseLog, known: Known) -> "Start":
        ledger, latest = known.ledger, known.ledger.adoption.latest
        streams = latest.policy.streams if latest is not None else ()
        standings = [
            (
                stream.name,
                ledger.first_free(latest, stream),
                ledger.standing(stream, ledger.first_free(latest, stream)),
                ledger.budget.affordable(stream.name, ledger.first_free(latest, stream), Fraction(1, 16)),
            )
            for stream in streams
            if latest is not None
        ]
        return cls(
            ledger.state,
            (ledger.adoption, ledger.size, ledger.releases, ledger.newest_at, ledger.carries),
            ledger.budget.lifetime,
            ledger.budget.spent(ledger.last_logged_end) if latest is not None else Fraction(0),
            standings,
            known.newest._releases,
            known.newest.of(stream.name for stream in streams),
            (log.size, log.end, log.head, log._note, log.room),
        )


class Files:
    """A log's folder, the copy of its checkpoint, and what readers are shown."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "log"
        self.copy = folder / "checkpoint"
        self.bundles = self.log / BUNDLES

    def open(self, *, whole: bool = False, origin: str = ORIGIN) -> tuple[ReleaseLog, Known]:
        known = Known()
        resume = None if whole else known.resume
        shown = self.folder / LOGGED
        return ReleaseLog(self.log, origin, KEY, known.fold, copy=self.copy, shown=shown, resume=resume), known

    def start(self, *, whole: bool = False) -> tuple[Start, int, str]:
        """What a start knows, how many entries it did not read, and what it says."""
        log, known = self.open(whole=whole)
        log.close()
        return Start.of(log, known), log.unread, log.recovered or ""

    def write(self, entries: Sequence[Entry], sizes: Sequence[int] = (1,)) -> None:
        """Append, so many entries at a time, in turn."""
        log, _ = self.open()
        at = turn = 0
        while at < len(entries):
            size = sizes[turn % len(sizes)]
            log.append(entries[at : at + size])
            at, turn = at + size, turn + 1
        log.close()

    def copied(self, name: str) -> "Files":
        """The same files elsewhere."""
        other = Files(self.folder.with_name(name))
        shutil.rmtree(other.folder, ignore_errors=True)
        shutil.copytree(self.folder, other.folder)
        return other

    def power_lost(self) -> None:
        (self.folder / LOGGED).unlink(missing_ok=True)


def live(acts: Sequence[tuple[str, int]], first: Policy | None = None) -> list[Entry]:
    """A unit's life."""
    world = World(first or make_policy(window=2, notice="2 seconds"))
    version = 1
    for act, number in acts:
        match act:
            case "run":
                world.run(number, step=1)
            case "away":
                world.boot_ns += number * 10**9
                world.restart()
                world.look()
            case "dark":
                world.on_air = not world.on_air
                world.tick(1)
            case "policy":
                version += 1
                rho = ("0.125", "0.0625")[number % 2]
                window = (1, 2, 5)[number % 3]
                world.offer(make_policy(version=version, notice=f"{number} seconds", rho=rho, cap=rho, window=window))
                world.run(2, step=1)
            case "stop":
                world.stop(f"order {number}")
    return world.entries


LIFE = (
    ("run", 40),
    ("away", 31),
    ("run", 20),
    ("policy", 4),
    ("run", 40),
    ("stop", 1),
    ("run", 10),
    ("policy", 3),
    ("run", 60),
    ("policy", 50),
    ("run", 30),
)


@pytest.fixture
def life() -> list[Entry]:
    entries = live(LIFE)
    assert sum(isinstance(entry, Carried) for entry in entries) >= 8
    return entries


@pytest.fixture
def files(tmp_path: Path, life: list[Entry]) -> Files:
    """A log of that life, closed."""
    files = Files(tmp_path / "unit")
    files.write(life, (1, 3))
    return files


acts = st.lists(
    st.one_of(
        st.tuples(st.just("run"), st.integers(1, 40)),
        st.tuples(st.sampled_from(["away", "policy"]), st.integers(2, 60)),
        st.tuples(st.sampled_from(["dark", "stop"]), st.integers(0, 1000)),
    ),
    max_size=12,
)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(acts, st.lists(st.integers(1, 12), min_size=1, max_size=4), st.integers(0, 10**6))
def test_either_way_of_starting_knows_the_same(
    tmp_path_factory: pytest.TempPathFactory, acts: list[tuple[str, int]], sizes: list[int], cut: int
) -> None:
    """AN-66: random lives, in appends of any size, started in their middle and at their end; and they go on alike."""
    entries = live([("run", 30), *acts])
    cut %= len(entries) + 1
    files = Files(tmp_path_factory.mktemp("life") / "unit")
    files.write(entries[:cut], sizes)
    for more in (entries[cut:], []):
        other = files.copied("whole")
        quick, unread, said = files.start()
        whole, none, _ = other.start(whole=True)
        assert quick == whole
        assert (none, said) == (0, "")
        places = [index for index, entry in enumerate(entries[: quick.log[0]]) if isinstance(entry, Carried)]  # type: ignore[index]
        assert unread == max(places, default=0), "it begins at the newest state"
        assert (files.log / RELEASES).read_bytes() == (other.log / RELEASES).read_bytes()
        files.write(more, sizes)
    assert decode_bundles(files.bundles.read_bytes() if files.bundles.exists() else b"", "") == rows(files)


def rows(files: Files) -> tuple[object, ...]:
    """What the derived file should say."""
    fresh = files.copied("fresh")
    fresh.bundles.unlink(missing_ok=True)
    fresh.start(whole=True)
    return decode_bundles(fresh.bundles.read_bytes(), "") if fresh.bundles.exists() else ()


def test_only_the_newest_bundle_and_what_its_state_names_is_read(files: Files, life: list[Entry]) -> None:
    """AN-66: an entry that is changed in a bundle that nobody needs is not seen at a start; who reads the log sees it, and so does a start
    without the derived file."""
    before, unread, _ = files.start()
    assert unread == max(index for index, entry in enumerate(life) if isinstance(entry, Carried))
    named = {index // WIDTH for index, entry in enumerate(life[:unread]) if isinstance(entry, Decision)}
    carried = life[unread]
    assert isinstance(carried, Carried)
    assert carried.state is not None
    named |= {each.release // WIDTH for each in carried.state.last}
    ends = [bundle.end for bundle in decode_bundles(files.bundles.read_bytes(), "")]
    clean = (files.log / RELEASES).read_bytes()
    seen = 0
    for number in range(unread // WIDTH):
        spoiled = bytearray(clean)
        spoiled[ends[number] - 1] ^= 1
        (files.log / RELEASES).write_bytes(spoiled)
        if number in named:
            seen += 1
            with pytest.raises(LogDamaged):
                files.start()
            continue
        assert files.start() == (before, unread, "")
        with pytest.raises(LogDamaged):
            export(files.log, files.folder / "export")
        kept = files.bundles.read_bytes()
        files.bundles.unlink()
        with pytest.raises(LogDamaged):
            files.start()
        assert not files.bundles.exists(), "nothing is changed"
        files.bundles.write_bytes(kept)
    assert 0 < seen < unread // WIDTH


Forgery = Callable[[bytes], bytes | None]

FORGED: dict[str, Forgery] = {
    "absent": lambda data: None,
    "empty": lambda data: b"",
    "one row": lambda data: data[:BUNDLE_BYTES],
    "half": lambda data: data[: len(data) // BUNDLE_BYTES // 2 * BUNDLE_BYTES],
    "torn": lambda data: data[:-7],
    "torn, then zeros": lambda data: data[:-7] + bytes(7),
    "zeros": lambda data: bytes(len(data)),
    "zeros behind": lambda data: data + bytes(2 * BUNDLE_BYTES),
    "noise behind": lambda data: data + b"\xff" * BUNDLE_BYTES,
    "last twice": lambda data: data + data[-BUNDLE_BYTES:],
    "first missing": lambda data: data[BUNDLE_BYTES:],
    "two exchanged": lambda data: (
        data[BUNDLE_BYTES : 2 * BUNDLE_BYTES] + data[:BUNDLE_BYTES] + data[2 * BUNDLE_BYTES :]
    ),
    "first root": lambda data: data[:8] + bytes(32) + data[40:],
    "first place": lambda data: (int.from_bytes(data[:8], "little") - 1).to_bytes(8, "little") + data[8:],
    "last root": lambda data: data[:-32] + bytes(32),
    "last place": lambda data: data[:-40] + (2**40).to_bytes(8, "little") + data[-32:],
    "last place, one off": lambda data: (
        data[:-40] + (int.from_bytes(data[-40:-32], "little") + 1).to_bytes(8, "little") + data[-32:]
    ),
    "too long": lambda data: data + bytes(MAX_BYTES),
}
SHORT = {"one row", "half", "torn", "empty"}


@pytest.mark.parametrize("forgery", FORGED)
def test_a_derived_file_that_is_wrong_changes_nothing(files: Files, forgery: str) -> None:
    """AN-66: what a start knows is the same; the file is made again, and the journal says when the log was read as a whole for it."""
    before, unread, _ = files.start()
    data, releases = files.bundles.read_bytes(), (files.log / RELEASES).read_bytes()
    forged = FORGED[forgery](data)
    if forged is None:
        files.bundles.unlink()
    else:
        files.bundles.write_bytes(forged)
    found, skipped, said = files.start()
    assert found == before
    assert skipped <= unread
    assert ("read as a whole" in said) == (skipped == 0 and forgery != "empty")
    assert forgery not in SHORT - {"empty"} or skipped > 0
    assert files.bundles.read_bytes() == data
    assert (files.log / RELEASES).read_bytes() == releases
    assert files.start() == (before, unread, "")


def test_every_byte_of_it_may_be_wrong(files: Files) -> None:
    """AN-66: a flipped bit anywhere. One in a place that no start needs yet may stay until one does."""
    before, _, _ = files.start()
    data = files.bundles.read_bytes()
    healed = 0
    for at in range(0, len(data), 11):
        spoiled = bytearray(data)
        spoiled[at] ^= 1 << at % 8
        files.bundles.write_bytes(spoiled)
        assert files.start()[0] == before
        healed += files.bundles.read_bytes() == data
        assert files.bundles.read_bytes() == data or at % BUNDLE_BYTES < 8
    assert healed > len(data) // 11 * 3 // 4


def test_it_may_be_cut_at_any_byte(files: Files) -> None:
    """AN-66: what is whole of it counts, and the rest is written again."""
    before, _, _ = files.start()
    data = files.bundles.read_bytes()
    for length in range(0, len(data), 17):
        files.bundles.write_bytes(data[:length])
        found, unread, said = files.start()
        assert (found, said) == (before, "")
        assert unread == length // BUNDLE_BYTES * WIDTH
        assert files.bundles.read_bytes() == data


def test_the_file_of_another_log(files: Files, tmp_path: Path) -> None:
    """AN-66: also of one by the same unit that shares its beginning, or was longer."""
    other = Files(tmp_path / "other")
    other.write(live([("run", 80), ("policy", 2), ("run", 90)]))
    before, _, _ = files.start()
    data = files.bundles.read_bytes()
    shutil.copy(other.bundles, files.bundles)
    found, skipped, said = files.start()
    assert (found, skipped) == (before, 0)
    assert "read as a whole" in said
    assert "those of this log" in said
    assert files.bundles.read_bytes() == data


def test_a_file_that_is_none_or_cannot_be_written(files: Files, life: list[Entry]) -> None:
    """AN-66: the log is read as a whole each time, and goes on."""
    before, _, _ = files.start()
    files.bundles.unlink()
    files.bundles.mkdir()
    found, skipped, said = files.start()
    assert (found, skipped) == (before, 0)
    assert "read as a whole" in said
    log, known = files.open()
    log.append([Carried(known.ledger.state)] if known.ledger.carries else [life[1]])
    log.close()
    assert files.bundles.is_dir()


def test_a_row_that_finds_no_space_is_owed(tmp_path: Path, life: list[Entry], monkeypatch: pytest.MonkeyPatch) -> None:
    """AN-66: the log goes on, and the row follows with the next."""
    files = Files(tmp_path / "unit")
    real = os.open

    def full(path: object, flags: int, *rest: int, **more: int) -> int:
        if str(path) == str(files.bundles):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(path, flags, *rest, **more)  # type: ignore[arg-type]  # handed on as it came

    log, _ = files.open()
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", full)
        log.append(life[: 3 * WIDTH + 1])
        assert (log.covered, log.ready(), log.size) == (True, True, 3 * WIDTH + 1)
    assert not files.bundles.exists()
    log.append(life[3 * WIDTH + 1 : 4 * WIDTH + 1])
    assert files.bundles.stat().st_size == 4 * BUNDLE_BYTES
    log.close()
    assert files.start()[1:] == (4 * WIDTH, "")


def test_it_is_forty_bytes_a_bundle(files: Files, life: list[Entry]) -> None:
    """AN-66: and a start that finds it whole writes nothing of it."""
    assert files.bundles.stat().st_size == len(life) // WIDTH * BUNDLE_BYTES
    before = file_stamp(files.bundles)
    files.start()
    assert file_stamp(files.bundles) == before


def test_recovery_at_every_truncation_of_the_tail_either_way(files: Files, life: list[Entry]) -> None:
    """AN-53 behind a resumption, over the beginning of a bundle: the same entries are kept, by the same bytes."""
    size = (len(life) // WIDTH - 1) * WIDTH - 1
    base = Files(files.folder.with_name("base"))
    base.write(life[:size])
    covered = max(record.end for record in iter_log((base.log / RELEASES).read_bytes()))
    longer = base.copied("longer")
    longer.write(life[size : size + 3], (3,))
    data = (longer.log / RELEASES).read_bytes()
    used = max(record.end for record in iter_log(data))
    outcomes = set()
    for length in range(covered, used + 1, 53):
        for rows in (base.bundles, longer.bundles):
            tried = base.copied("tried")
            (tried.log / RELEASES).write_bytes(data[:length].ljust(used + 4096, b"\0"))
            shutil.copy(rows, tried.bundles)
            tried.power_lost()
            other = tried.copied("either")
            quick, unread, said = tried.start()
            whole, _, words = other.start(whole=True)
            assert quick == whole
            assert (unread > 0, said) == (True, words)
            assert (tried.log / RELEASES).read_bytes() == (other.log / RELEASES).read_bytes()
            assert tried.bundles.read_bytes() == other.bundles.read_bytes()
            outcomes.add(quick.log[0])  # type: ignore[index]
    assert outcomes == {size, size + 1, size + 2, size + 3}


@pytest.mark.parametrize("false", [False, True])
def test_a_state_that_no_checkpoint_covers_is_not_begun_at(files: Files, life: list[Entry], false: bool) -> None:
    """AN-66: a state that was written and not covered is held against the fold; a false one there is out of order."""
    place = max(index for index, entry in enumerate(life) if isinstance(entry, Carried))
    base = Files(files.folder.with_name("base"))
    base.write(life[:place])
    note = (base.folder / LOGGED).read_bytes(), base.copy.read_bytes()
    carried = life[place]
    assert isinstance(carried, Carried)
    assert carried.state is not None
    log, _ = base.open()
    log.append([Carried(replace(carried.state, last=()) if false else carried.state)])
    log.close()
    data = (base.log / RELEASES).read_bytes()
    used = max(record.start for record in iter_log(data) if record.is_checkpoint)
    (base.log / RELEASES).write_bytes(data[:used].ljust(len(data), b"\0"))
    (base.folder / LOGGED).write_bytes(note[0])
    base.copy.write_bytes(note[1])
    found, unread, said = base.start()
    assert 0 < unread < place
    assert ("one out of order removed" in said) is false
    assert found.state == Ledger(life[: place + (not false)]).state


def test_the_newest_figures_may_lie_far_back(tmp_path: Path, life: list[Entry]) -> None:
    """AN-66, AN-75: a stream's last Release is found by the index that the state has."""
    files = Files(tmp_path / "unit")
    own = [entry for entry in life if not isinstance(entry, Carried)]
    files.write(list(with_states([*own, *[NoticeServed(bytes(32), 1, 4)] * 30])), (5,))
    (quick, unread, _), (whole, _, _) = files.start(), files.start(whole=True)
    assert unread > max(index for index, entry in enumerate(life) if isinstance(entry, Release)) + WIDTH
    assert quick == whole
    assert quick.figures


def test_a_bundle_without_a_state_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """AN-65, AN-66: where a state was too long for an entry a start reads one bundle more."""
    entries = live([("run", 30)])
    place = max(index for index, entry in enumerate(entries) if isinstance(entry, Carried))
    with monkeypatch.context() as patch:
        patch.setattr(contract, "MAX_CARRIED_BYTES", len(entries[place].encode()) - 1)
        entries = live([("run", 30)])
        assert entries[place] == Carried(None)
        files = Files(tmp_path / "unit")
        files.write(entries)
        quick, unread, _ = files.start()
        whole = files.start(whole=True)[0]
    assert quick == whole
    assert unread < place


@pytest.mark.parametrize("known", [1, WIDTH, 3 * WIDTH + 1])
def test_an_older_copy_is_held_against_the_entries(files: Files, life: list[Entry], known: int) -> None:
    """AN-58: what the copy knows is seen, however long ago it was written: of another log it is refused, of this one not."""
    for other, refused in ((life, False), (live([("run", 60)], make_policy(window=1, notice="4 seconds")), True)):
        past = Files(files.folder.with_name("past"))
        shutil.rmtree(past.folder, ignore_errors=True)
        past.write(other[:known])
        tried = files.copied("tried")
        shutil.copy(past.copy, tried.copy)
        tried.power_lost()
        if refused:
            with pytest.raises(LogDamaged, match=f"begins with the {known} entries"):
                tried.start()
        else:
            found, unread, said = tried.start()
            assert (found.state, said) == (files.start()[0].state, "")
            assert unread <= known


def test_a_log_put_back_with_a_newer_file(files: Files, life: list[Entry]) -> None:
    """I4, I5: the file of bundles is newer than the log: the loss is told as a start that reads all of it tells it."""
    base = Files(files.folder.with_name("base"))
    base.write(life[: 5 * WIDTH + 2])
    shutil.copy(base.log / RELEASES, files.log / RELEASES)
    files.power_lost()
    other = files.copied("whole")
    told = []
    for each, whole in ((files, False), (other, True)):
        with pytest.raises(LogDamaged) as bad:
            each.start(whole=whole)
        told.append(bad.value)
    assert str(told[0]).replace("unit", "whole") == str(told[1]).replace("unit", "whole")
    assert type(told[0]) is type(told[1])


def shortened(files: Files, life: list[Entry]) -> LogShortened:
    """The log loses its last entry, a window's."""
    assert isinstance(life[-1], Release)
    base = Files(files.folder.with_name("base"))
    base.write(life[:-1])
    shutil.copy(base.log / RELEASES, files.log / RELEASES)
    files.power_lost()
    with pytest.raises(LogShortened) as short:
        files.open()
    return short.value


def test_a_log_that_lost_its_end_is_followed(files: Files, life: list[Entry]) -> None:
    """AN-64 behind a resumption: the log that follows has a file of its own, not the old one's."""
    short = shortened(files, life)
    assert (short.kept, len(short.root)) == (len(life) - 1, 32)
    origin, closed = begin_successor(files.log, ORIGIN, KEY, short, lambda: None)
    assert sorted(path.name for path in files.log.iterdir()) == sorted([RELEASES, closed])
    log, known = files.open(origin=origin)
    log.close()
    log, again = files.open(origin=origin)
    log.close()
    assert Start.of(log, again).state == known.ledger.state


def test_damage_in_what_is_left_of_a_log_that_lost_its_end(files: Files, life: list[Entry]) -> None:
    """AN-64: a start did not read it, who begins the log that follows does, and changes nothing."""
    short = shortened(files, life)
    spoiled = bytearray((files.log / RELEASES).read_bytes())
    named = {index // WIDTH for index, entry in enumerate(life) if isinstance(entry, Decision)}
    number = next(number for number in range(1, len(life) // WIDTH) if number not in named)
    spoiled[decode_bundles(files.bundles.read_bytes(), "")[number].end - 1] ^= 1
    (files.log / RELEASES).write_bytes(spoiled)
    with pytest.raises(LogDamaged, match="entries under their root, got damage"):
        begin_successor(files.log, ORIGIN, KEY, short, lambda: None)
    assert (files.log / RELEASES).read_bytes() == bytes(spoiled)
    assert not list(files.log.glob("releases.*"))


def test_rows_out_of_order_are_refused(files: Files) -> None:
    data = files.bundles.read_bytes()
    assert len(decode_bundles(data, "bundles")) == len(data) // BUNDLE_BYTES
    with pytest.raises(DtprError, match="row 1: expected a place behind byte"):
        decode_bundles(data[:BUNDLE_BYTES] * 2, "bundles")
