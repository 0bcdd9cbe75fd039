"""The zCDP filter against brute force: every span of one period, every way a person can be present."""

import time
from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.anonymizer.budget import Budget, Presence, Terms, terms_of, worst_case
from tests.anonymizer.one_window import count_privacy
from tests.anonymizer.stage import make_policy

RHO = st.sampled_from([Fraction(1, 8), Fraction(1, 16), Fraction(1, 50), Fraction(3, 7)])


def brute_worst(rhos: list[Fraction], presence: Presence) -> Fraction:
    """The largest sum of v_t^2 rho_t over all whole v with v_t <= c and sum <= m."""
    return max(
        sum((v * v * rho for v, rho in zip(vector, rhos, strict=True)), start=Fraction(0))
        for vector in product(range(presence.c + 1), repeat=len(rhos))
        if sum(vector) <= presence.m
    )


@given(st.lists(RHO, max_size=5), st.integers(1, 7), st.integers(1, 3))
def test_the_formula_is_the_maximum_over_all_presence(rhos: list[Fraction], m: int, c: int) -> None:
    """AN-30: floor(m/c) largest charges times c^2 plus (m mod c)^2 times the next (PROOF.md Lemma 8)."""
    presence = Presence(m, min(c, m))
    counted = {rho: rhos.count(rho) for rho in rhos}
    assert worst_case(counted, presence) == (brute_worst(rhos, presence) if rhos else 0)


PERIOD_S = 60
STREAMS = {"a": (5, Presence(3, 1)), "b": (10, Presence(5, 2)), "c": (20, Presence(2, 2))}


def span_costs(charges: list[tuple[str, int, Fraction]]) -> list[Fraction]:
    """The cost of every span of one period, whatever second it begins in, by definition."""
    if not charges:
        return [Fraction(0)]
    starts = [start for _, start, _ in charges]
    costs = []
    for begin in range(min(starts) - PERIOD_S, max(starts) + 1):
        total = Fraction(0)
        for name, (_, presence) in STREAMS.items():
            inside = [rho for stream, start, rho in charges if stream == name and begin <= start < begin + PERIOD_S]
            total += worst_case({rho: inside.count(rho) for rho in inside}, presence)
        costs.append(total)
    return costs


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.sampled_from(sorted(STREAMS)), RHO, st.integers(0, 2), st.booleans()), max_size=40),
    st.sampled_from([Fraction(1, 4), Fraction(3, 2), Fraction(3)]),
)
def test_no_span_ever_exceeds_the_cap_and_nothing_affordable_is_refused(
    wishes: list[tuple[str, Fraction, int, bool]], cap: Fraction
) -> None:
    """AN-31: brute force over every span after every decision, in both directions; streams close in order of time."""
    budget = Budget()
    budget.change_terms(0, Terms(PERIOD_S, cap, {name: presence for name, (_, presence) in STREAMS.items()}))
    charges: list[tuple[str, int, Fraction]] = []
    next_start = dict.fromkeys(STREAMS, 600)
    for name, rho, skip, _ in wishes:
        window_s = STREAMS[name][0]
        start = next_start[name] + skip * window_s
        start = max(
            start, max(next_start.values()) // window_s * window_s - window_s
        )  # streams keep step with the clock
        next_start[name] = start + window_s
        fits = max(span_costs([*charges, (name, start, rho)])) <= cap
        assert budget.affordable(name, start, rho) == fits
        if fits:
            budget.charge(name, start, window_s, rho)
            charges.append((name, start, rho))
    assert max(span_costs(charges)) <= cap


def test_a_policy_can_always_afford_its_own_windows() -> None:
    """AN-31: rho is worst case over a period, so at the policy's own rate nothing is ever refused."""
    policy = make_policy(window=5, rho="0.5", cap="0.5")
    budget = Budget()
    budget.change_terms(0, terms_of(policy))
    charge = count_privacy(policy.streams[0]).charge
    for start in range(6000, 9000, 5):
        assert budget.affordable("crossings", start, charge)
        budget.charge("crossings", start, 5, charge)
    assert budget.spent(9000) == count_privacy(policy.streams[0]).rho


@given(st.integers(1, 500), st.integers(0, 100))
def test_a_gap_costs_what_its_windows_cost(count: int, first: int) -> None:
    """AN-32: a Gap of n windows is n charges, in the filter and in the odometer."""
    rho = Fraction(1, 8)
    terms = Terms(PERIOD_S, Fraction(2), {"a": Presence(3, 1)})
    gap, one_by_one = Budget(), Budget()
    for budget in (gap, one_by_one):
        budget.change_terms(0, terms)
    start = 600 + 5 * first
    gap.charge("a", start, 5, rho, count)
    for i in range(count):
        one_by_one.charge("a", start + 5 * i, 5, rho)
    end = start + 5 * count
    assert gap.lifetime == one_by_one.lifetime
    for at in (end - 5, end, end + 30):
        assert gap.spent(at) == one_by_one.spent(at)
        assert gap.affordable("a", at, Fraction(1)) == one_by_one.affordable("a", at, Fraction(1))


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.sampled_from("ab"), st.sampled_from([5, 7, 25, 60, 90]), st.integers(1, 120), RHO, st.integers(0, 200)
        ),
        min_size=1,
        max_size=4,
    )
)
def test_gaps_of_several_streams_cost_what_their_windows_cost(
    wishes: list[tuple[str, int, int, Fraction, int]],
) -> None:
    """AN-32, AN-33: however their windows lie in periods, and whichever stream was charged in the same periods before."""
    gaps, walked = Budget(), Budget()
    for budget in (gaps, walked):
        budget.change_terms(0, Terms(PERIOD_S, Fraction(2), {"a": Presence(3, 1), "b": Presence(5, 2)}))
    ends = {"a": 600, "b": 600}
    for name, window_s, count, rho, wait_s in wishes:
        start = -(-(ends[name] + wait_s) // window_s) * window_s
        gaps.charge(name, start, window_s, rho, count)
        for i in range(count):
            walked.charge(name, start + window_s * i, window_s, rho)
        ends[name] = start + window_s * count
    assert gaps.lifetime == walked.lifetime
    assert gaps.spent(max(ends.values())) == walked.spent(max(ends.values()))


def test_a_gap_of_centuries_is_folded_at_once() -> None:
    """AN-4, AN-32: a clock set to the year 2286 owes a Gap whose periods nobody has the time to walk through."""
    budget = Budget()
    budget.change_terms(0, Terms(PERIOD_S, Fraction(2), {"a": Presence(3, 1)}))
    began = time.process_time()
    periods = 10**10 // PERIOD_S
    budget.charge("a", 0, 5, Fraction(1, 32), periods * PERIOD_S // 5)
    assert time.process_time() - began < 1
    assert budget.lifetime == periods * Fraction(3, 32)


def test_a_gap_of_years_is_folded_quickly() -> None:
    """A unit that lay in a drawer for five years starts at once."""
    budget = Budget()
    budget.change_terms(0, Terms(86_400, Fraction(1), {"a": Presence(4, 1)}))
    budget.charge("a", 86_400, 5, Fraction(1, 32), 5 * 365 * 86_400 // 5)
    assert budget.lifetime == 5 * 365 * Fraction(4, 32)


def test_the_odometer_adds_up_whole_periods() -> None:
    """AN-33: m = 3 of rho 1/8 in each UTC period of presence."""
    budget = Budget()
    budget.change_terms(0, Terms(PERIOD_S, Fraction(2), {"a": Presence(3, 1)}))
    for start in range(600, 600 + 10 * PERIOD_S, 5):
        budget.charge("a", start, 5, Fraction(1, 8))
    assert budget.lifetime == 10 * Fraction(3, 8)


@pytest.mark.parametrize(("old_cap", "new_cap"), [(Fraction(1), Fraction(4)), (Fraction(4), Fraction(1))])
def test_for_one_period_after_a_change_the_smaller_cap_holds(old_cap: Fraction, new_cap: Fraction) -> None:
    """I7: and streams that the new policy no longer has still count."""
    budget = Budget()
    budget.change_terms(0, Terms(PERIOD_S, old_cap, {"a": Presence(2, 1)}))
    budget.charge("a", 600, 5, Fraction(1, 2))
    budget.change_terms(610, Terms(PERIOD_S, new_cap, {"b": Presence(2, 1)}))
    assert budget.affordable("b", 615, Fraction(1, 2))
    assert not budget.affordable("b", 615, Fraction(1, 2) + Fraction(1, 100))
    assert budget.affordable("b", 680, new_cap)
    assert not budget.affordable("b", 680, new_cap + Fraction(1, 100))


def test_a_period_is_finished_for_each_stream_when_that_stream_is_past_it() -> None:
    """AN-33: a long absence is a Gap of one stream and then of the next; a period in which both were charged before is one period for each."""
    presence = {"a": Presence(3, 1), "b": Presence(5, 1)}
    budget = Budget()
    budget.change_terms(0, Terms(PERIOD_S, Fraction(2), presence))
    for start in range(600, 630, 5):
        for name in presence:
            budget.charge(name, start, 5, Fraction(1, 8))
    for name in presence:
        budget.charge(name, 630, 5, Fraction(1, 8), 90)
    assert budget.lifetime == 8 * (3 + 5) * Fraction(1, 8)
    assert Budget.restored([(0, Terms(PERIOD_S, Fraction(2), presence))], budget.state()).lifetime == budget.lifetime
