"""OP-60: what a hostile log, or copy, costs to audit does not grow faster than it does. Counted are steps, not seconds."""

import dataclasses
from collections.abc import Iterable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.contracts.log import Carried, Charge, Entry, Gap, PolicyTaken
from agent.errors import LogDamaged, MessageError
from agent.operations import account, audit, history, received, rotations
from agent.operations.account import Account
from agent.operations.audit_inputs import Inputs
from agent.operations.findings import Findings, Kind
from agent.operations.history import History
from agent.operations.rotations import Course, rotation_entries
from agent.operations.runs import Run, Runs, canonical
from agent.policy.compile import compile_policy
from agent.policy.model import Policy
from agent.policy.parse import parse_policy
from tests.anonymizer.one_window import count_privacy
from tests.anonymizer.stage import ORIGIN, policy_text
from tests.operations import stories
from tests.operations.stories import PUBLIC, note_of, write_copy
from tests.operations.test_late import KNOWN
from tests.operations.test_rotations import rotated
from tests.operations.test_together import plain_story, pruned

START_S = 1_799_971_200
DAY_S = 86_400
EIGHTH = Charge(Fraction(1, 8))
COMPARED = [1, 2, 4]


def a_day(m: int = 4, cap: Fraction = Fraction(1)) -> Policy:
    """Two streams of windows of a second, whose period is a day."""
    policy = parse_policy(policy_text().replace('period = "10 minutes"', 'period = "24 hours"'), "policy.toml")
    stream = policy.streams[0]
    one = dataclasses.replace(stream, privacy=dataclasses.replace(count_privacy(stream), m=m, c=1))
    return dataclasses.replace(policy, cap_rho=cap, streams=(one, dataclasses.replace(one, name="walkers")))


def told(entries: Iterable[Entry]) -> History:
    found = History(ORIGIN, Course(ORIGIN, (PUBLIC,)), None, Findings())
    policy = a_day()
    for entry in (PolicyTaken(compile_policy(policy), bytes(32), START_S, START_S), *entries):
        found.add(entry.encode())
    return found


def test_a_gap_is_one_step_however_long() -> None:
    """Each of these few bytes is two days of windows of a second, after all that were before."""
    for many in COMPARED:
        found = told(Gap("crossings", START_S + 2 * DAY_S * i, 1, 2 * DAY_S, EIGHTH) for i in range(100 * many))
        spent = found._account._spent["crossings"].windows
        carried = found._states._charged["crossings"]
        assert (spent.size, carried.size) == (1, 1)
        assert len(spent) == len(carried) == 2 * DAY_S


def test_a_window_is_one_step_however_many_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the windows held only those that go are looked at."""
    steps, real, looked = [], Run.after, 0

    def counted(run: Run[Fraction], low: int) -> Run[Fraction] | None:
        nonlocal looked
        looked += 1
        return real(run, low)

    monkeypatch.setattr(Run, "after", counted)
    for many in COMPARED:
        before = looked
        told(Gap("crossings", START_S + 2 * i, 1, 1, EIGHTH) for i in range(500 * many))
        steps.append(looked - before)
    assert all(more <= 2 * fewer + 10 for fewer, more in pairwise(steps)), steps


def test_the_budget_of_a_cap_that_binds_takes_steps_by_the_window() -> None:
    """Two periods cost more than the cap, and each of them does not: every window's own span is worked out, from the one before it."""
    minutes, steps = DAY_S // 60, []
    for many in COMPARED:
        one = Account()
        one.begin(START_S, a_day(10**6, Fraction(3 * minutes, 4)))
        for number in range(2 * minutes + 300 * many):
            start = START_S + 60 * number
            one.charge("crossings", start, Fraction(1, 1 + number % 2))
            assert one.exceeded(start) is None
        steps.append(one._spent["crossings"].looked)
        assert not one.intricate
    assert steps[0] > 0
    assert steps[2] - steps[1] <= 2 * (steps[1] - steps[0]) + 10
    assert steps[2] < 20 * 1200 + 4 * minutes


def test_charges_entangled_on_purpose_are_given_up_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """One stream a day ahead of the other: each window of this has as many spans as that has windows."""
    before, each = 10_000, 50
    monkeypatch.setattr(account, "LOOKED_BEFORE", before)
    monkeypatch.setattr(account, "LOOKED_EACH", each)
    one, ahead = Account(), DAY_S // 60
    one.begin(START_S, a_day(10**6))
    for number in range(ahead):
        one.charge("walkers", START_S + 60 * number, Fraction(1, 1 + number % 3))
    charged = 0
    while not one.intricate and charged < ahead:
        one.charge("crossings", START_S + 60 * charged, Fraction(1))
        one.exceeded(START_S + 60 * charged)
        charged += 1
    assert one.intricate
    looked = sum(spent.looked for spent in one._spent.values())
    assert looked <= before + each * (ahead + charged) + 2 * ahead
    assert one.exceeded(START_S + 60 * charged) is None
    assert looked == sum(spent.looked for spent in one._spent.values())


def test_a_budget_given_up_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once: what comes after it is not looked at."""

    def give_up(account: Account, start: int) -> None:
        account.intricate = True

    monkeypatch.setattr(Account, "exceeded", give_up)
    verdict = audit.audit(Inputs(ORIGIN, PUBLIC, log=write_copy(tmp_path, stories.story())))
    assert verdict.findings.kinds == {Kind.BUDGET_UNPROVEN}
    assert verdict.findings.counts[Kind.BUDGET_UNPROVEN] == 1


def test_what_was_received_is_read_once_for_all_bundles_without_a_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OP-35."""
    calls = 0
    real = Inputs.shown

    def shown(inputs: Inputs) -> list[bytes]:
        nonlocal calls
        calls += 1
        return real(inputs)

    monkeypatch.setattr(Inputs, "shown", shown)
    entries = [Carried(None) if isinstance(entry, Carried) else entry for entry in plain_story()]
    with pytest.raises(LogDamaged, match="carries what those before it come to"):
        audit.audit(Inputs(ORIGIN, PUBLIC, log=pruned(write_copy(tmp_path, entries)), policies=KNOWN))
    assert calls == 1


BOUNDS = {
    "MAX_POLICIES": (2, "policies"),
    "MAX_TOGETHER": (1, "policies within a period"),
    "MAX_DECISIONS": (4, "decisions of governance"),
    "MAX_STREAMS": (0, "streams"),
    "MAX_COUNTERS": (0, "running totals"),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_a_life_no_unit_has_is_refused_by_name(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    most, words = BOUNDS[name]
    copy = write_copy(tmp_path, stories.story())
    monkeypatch.setattr(history, name, most)
    with pytest.raises(LogDamaged, match=f"copy: expected .*{words}"):
        audit.audit(Inputs(ORIGIN, PUBLIC, log=copy))


def test_rotations_and_checkpoints_without_end_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OP-56, OP-28: each key may have signed what the next one did not."""
    entry = rotated().encode()
    assert len(rotation_entries(iter([entry] * rotations.MAX_ROTATIONS))) == rotations.MAX_ROTATIONS
    with pytest.raises(LogDamaged, match=f"entry {rotations.MAX_ROTATIONS}: expected at most"):
        rotation_entries(iter([entry] * (rotations.MAX_ROTATIONS + 1)))
    monkeypatch.setattr(received, "MAX_HEADS", 1)
    lines = "".join(stories.received((), note_of([b"x"] * size)) for size in (1, 2))
    (tmp_path / "lines").write_text(lines)
    with pytest.raises(MessageError, match="checkpoints in one audit"):
        audit.audit(Inputs(ORIGIN, PUBLIC, received=(tmp_path / "lines",)))


def test_charges_without_end_are_not_counted_and_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account, "MAX_RHOS", 3)
    gaps = [Gap("crossings", START_S + i, 1, 1, Charge(Fraction(1, 8) + i)) for i in range(5)]
    assert not told(gaps[:3])._findings.counts[Kind.MALFORMED]
    assert told(gaps)._findings.counts[Kind.MALFORMED] == 2


def expanded(runs: Iterable[Run[int]]) -> list[tuple[int, int]]:
    return [(run.start + i * run.step, run.value) for run in runs for i in range(run.number)]


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 5), st.integers(1, 6), st.integers(0, 2))),
    st.integers(-5, 200),
    st.integers(0, 100),
)
def test_runs_are_their_windows(parts: list[tuple[int, int, int, int]], low: int, length: int) -> None:
    """Against a list of every window: what is between two instants, what goes, and one form for one set of windows."""
    runs, one_by_one, at = Runs[int](), Runs[int](), 0
    for after, step, number, value in parts:
        run = Run(at + after, step, number, value)
        runs.add(run)
        for start, each in expanded([run]):
            one_by_one.add(Run(start, 1, 1, each))
        at = run.last
    windows, high = expanded(runs), low + length
    assert len(runs) == len(windows)
    inside = [value for start, value in windows if low < start <= high]
    assert [run.value for run, number in runs.between(low, high) for _ in range(number)] == inside
    assert list(canonical(runs)) == list(canonical(one_by_one))
    assert expanded(canonical(runs)) == windows
    gone = expanded(runs.drop(low))
    assert (gone, expanded(runs)) == ([w for w in windows if w[0] <= low], [w for w in windows if w[0] > low])
