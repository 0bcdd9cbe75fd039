"""agent/operations/account: the audit's own budget agrees with brute force, and with what the anonymizer decides."""

import dataclasses
import itertools
from copy import deepcopy
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.anonymizer.budget import Budget, terms_of
from agent.operations.account import Account
from agent.policy.model import Policy
from agent.policy.parse import parse_policy
from tests.anonymizer.one_window import count_privacy
from tests.anonymizer.stage import make_policy
from tests.anonymizer.test_kinds import text

START_S = 1_800_000_000
PERIOD_S = 600
"""Of the tests' policies."""


def brute(windows: list[tuple[int, Fraction]], m: int, c: int) -> Fraction:
    """The dearest way to spread at most m readings, at most c in a window, over the dearest span; by trying all."""
    best = Fraction(0)
    for begin, _ in windows:
        inside = [rho for at, rho in windows if begin <= at < begin + PERIOD_S]
        for spread in itertools.product(range(c + 1), repeat=len(inside)):
            if sum(spread) <= m:
                best = max(best, sum((v * v * rho for v, rho in zip(spread, inside, strict=True)), Fraction(0)))
    return best


RHOS = st.sampled_from([Fraction(1, 32), Fraction(1, 64), Fraction(3, 64)])


def with_presence(m: int, c: int) -> Policy:
    """A policy of one stream whose cap nothing reaches but what the test charges."""
    policy = make_policy()
    stream = policy.streams[0]
    privacy = dataclasses.replace(count_privacy(stream), m=m, c=c)
    return dataclasses.replace(
        policy, cap_rho=Fraction(1, 1000), streams=(dataclasses.replace(stream, privacy=privacy),)
    )


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 12), RHOS), min_size=1, max_size=6, unique_by=lambda w: w[0]),
    st.integers(1, 5),
    st.integers(1, 3),
)
def test_the_worst_case_is_the_worst_of_all_cases(windows: list[tuple[int, Fraction]], m: int, c: int) -> None:
    """OP-27, PRIVACY.md 1.2."""
    account = Account()
    account.begin(START_S, with_presence(m, c))
    placed = sorted((START_S + 100 * number, rho) for number, rho in windows)
    for start, rho in placed:
        account.charge("crossings", start, rho)
    containing_last = [w for w in placed if w[0] > placed[-1][0] - PERIOD_S]
    assert account.exceeded(placed[-1][0]) == brute(containing_last, m, c)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_it_allows_what_the_anonymizer_allows_and_no_more(data: st.DataObject) -> None:
    """Two implementations, over a change of policy: what the filter lets through is within the audit's cap, and the next one is not."""
    first = make_policy(window=60)
    second = make_policy(version=2, window=60, rho=data.draw(st.sampled_from(["0.0625", "0.125"])), cap="0.125")
    change = START_S + 60 * data.draw(st.integers(1, 15))
    budget, account = Budget(), Account()
    budget.change_terms(START_S, terms_of(first))
    account.begin(START_S, first)
    changed = False
    for number in range(25):
        start = START_S + 60 * number
        if start >= change and not changed:
            budget.change_terms(change, terms_of(second))
            account.begin(change, second)
            changed = True
        rho = data.draw(RHOS)
        allowed = budget.affordable("crossings", start, rho)
        trial = deepcopy(account)
        trial.charge("crossings", start, rho)
        assert (trial.exceeded(start) is None) == allowed
        if allowed:
            budget.charge("crossings", start, 60, rho)
            account.charge("crossings", start, rho)


OTHERS = {
    "the same": "",
    "another kind": 'name = "stays" -> name = "passing"',
    "another channel": 'channel = "passing" -> channel = "other"',
    "another class": 'classes = ["bike", "foot"] -> classes = ["bike", "car"]',
    "one class more": 'classes = ["bike", "foot"] -> classes = ["bike", "foot", "car"]',
    "devices": 'name = "visitors" -> name = "passing"',
}


@pytest.mark.parametrize("other", OTHERS)
def test_the_presence_that_counts_after_a_change(other: str) -> None:
    """AN-31: for one period the larger m, or the sum where the name then stands for something else."""
    old, new = OTHERS[other].split(" -> ") if OTHERS[other] else ("", "")
    of = {"another kind": "stays", "devices": "visitors"}.get(other, "passing")
    first = parse_policy(text("passing"), "policy.toml")
    second = parse_policy(text(of, version=2).replace(old, new), "policy.toml")
    budget, account = Budget(), Account()
    for at, policy in ((START_S, first), (START_S + 600, second)):
        budget.change_terms(at, terms_of(policy))
        account.begin(at, policy)
    for at in (START_S + 10, START_S + 600, START_S + 1190, START_S + 1200):
        theirs = budget.presence("passing", at)
        assert theirs is not None
        assert account.presence_of("passing", at)[:2] == (theirs.m, theirs.c)
    assert (account.presence_of("passing", START_S + 600).m > 4) == (other not in ("the same", "one class more"))  # fmt: skip


def test_a_long_gap_takes_no_memory() -> None:
    """A billion windows: only those of the last two periods are held."""
    account = Account()
    account.begin(START_S, make_policy())
    account.charge("crossings", START_S, Fraction(1, 32), window_s=1, count=10**9)
    assert len(account._spent["crossings"].windows) <= 2 * PERIOD_S + 1
