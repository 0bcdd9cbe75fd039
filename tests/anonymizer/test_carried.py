"""The state that each bundle's first entry carries: the fold that goes on from it is the fold from the start (I4, AN-65)."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.anonymizer.budget import Budget, Presence, Terms
from agent.anonymizer.ledger import Ledger
from agent.anonymizer.loss import with_states
from agent.contracts.carried import decode_state, encode_state
from agent.contracts.log import (
    MAX_CARRIED_BYTES,
    Carried,
    Charge,
    Decision,
    Entry,
    Gap,
    Release,
    carrying,
    decode_entry,
)
from agent.errors import LogDamaged
from agent.wire.tiles import WIDTH
from tests.anonymizer.stage import make_policy
from tests.anonymizer.worlds import World


@cache
def story() -> tuple[Entry, ...]:
    """Two policies, restarts, a stop order and what lifts it, over more than two bundles."""
    world = World(make_policy(notice="2 seconds"))
    world.run(150)
    world.boot_ns += 40 * 10**9
    world.restart()
    world.look()
    world.run(130)
    world.offer(make_policy(version=2, notice="40 seconds", rho="0.0625", cap="0.0625"))
    world.run(150)
    world.stop("a pipe burst")
    world.run(60)
    world.offer(make_policy(version=3, notice="2 seconds", window=2))
    world.run(150)
    assert {type(entry) for entry in world.entries} >= {Release, Gap, Carried}
    return tuple(world.entries)


def from_state(entries: Sequence[Entry], size: int) -> Ledger:
    """The ledger of the first `size` entries, from their state and the decisions that it names alone."""
    state = decode_state(encode_state(Ledger(entries[:size]).state))
    decisions = [entries[index] for index in state.decisions]
    assert all(isinstance(entry, Decision) for entry in decisions)
    return Ledger.restored(size, state, decisions)


def test_each_bundle_but_the_first_begins_with_its_state() -> None:
    """And nothing else does; a Release still says its own index."""
    places = [index for index, entry in enumerate(story()) if isinstance(entry, Carried)]
    assert places == list(range(WIDTH, len(story()), WIDTH))
    assert len(places) >= 2
    for index in places:
        entry = story()[index]
        assert decode_entry(entry.encode()) == entry == carrying(Ledger(story()[:index]).state)
        assert len(entry.encode()) < MAX_CARRIED_BYTES
    for index, entry in enumerate(story()):
        if isinstance(entry, Release):
            assert b'"log_index","v":%d' % index in entry.payload


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(0, 80))
def test_the_fold_from_a_state_is_the_fold_from_the_start(place: int, further: int) -> None:
    """At any size, and after any number of entries more: the same state, policies, odometer and budget."""
    size = place % (len(story()) + 1)
    end = min(size + further, len(story()))
    whole, short = Ledger(story()[:end]), from_state(story(), size)
    for entry in story()[size:end]:
        short.fold(entry)
    assert short.state == whole.state
    assert short.adoption == whole.adoption
    assert short.budget.lifetime == whole.budget.lifetime
    assert (short.size, short.newest_at, short.carries) == (whole.size, whole.newest_at, whole.carries)
    latest = whole.adoption.latest
    if latest is not None:
        now = whole.last_logged_end
        assert short.budget.spent(now) == whole.budget.spent(now)
        for stream in latest.policy.streams:
            start = whole.first_free(latest, stream)
            assert short.standing(stream, start) == whole.standing(stream, start)
            for rho in (Fraction(1, 64), Fraction(1, 16), Fraction(1, 8)):
                assert short.budget.affordable(stream.name, start, rho) == whole.budget.affordable(
                    stream.name, start, rho
                )


RHO = st.sampled_from([Fraction(1, 8), Fraction(1, 16), Fraction(1, 50), Fraction(3, 7)])


@settings(max_examples=100)
@given(
    st.lists(st.tuples(st.sampled_from("ab"), RHO, st.integers(0, 30), st.integers(1, 400)), max_size=40),
    st.integers(0, 40),
)
def test_a_budget_from_its_state_is_the_budget(charges: list[tuple[str, Fraction, int, int]], cut: int) -> None:
    """Any charges, over a change of terms, with Gaps longer than several periods."""
    presence = {"a": Presence(3, 1), "b": Presence(5, 2)}
    terms = [(0, Terms(60, Fraction(3), presence)), (900, Terms(40, Fraction(2), presence))]
    whole = Budget()
    for at, each in terms:
        whole.change_terms(at, each)
    short, ends = whole, {"a": 0, "b": 0}
    for number, (stream, rho, skip, count) in enumerate(charges):
        if number == cut:
            short = Budget.restored(terms, whole.state())
        start = ends[stream] + 5 * skip
        ends[stream] = start + 5 * count
        for budget in {id(whole): whole, id(short): short}.values():
            budget.charge(stream, start, 5, rho, count)
    assert short.state() == whole.state()
    assert short.lifetime == whole.lifetime
    for name, at in ends.items():
        assert short.affordable(name, at, Fraction(1, 4)) == whole.affordable(name, at, Fraction(1, 4))


def test_a_false_state_is_damage() -> None:
    """Each of its numbers is held against the fold; so is a bundle without one, and one inside a bundle."""
    entries = list(story())
    carried = entries[WIDTH]
    assert isinstance(carried, Carried)
    assert carried.state is not None
    state, spent = carried.state, carried.state.spent
    false = [
        replace(state, releases=state.releases + 1),
        replace(state, last=state.last[:-1]),
        replace(state, lost_until=1),
        replace(state, decisions=state.decisions[:-1]),
        replace(state, served=state.served + 1),
        replace(state, newest_at=0),
        replace(state, spent=replace(spent, recent=spent.recent[1:])),
        replace(state, spent=replace(spent, finished=spent.finished + 1)),
        replace(state, spent=replace(spent, periods=())),
        replace(state, spent=replace(spent, newest=0)),
    ]
    for each in [*map(Carried, false), Carried(None), entries[WIDTH + 1]]:
        with pytest.raises(LogDamaged, match=f"log entry {WIDTH}: .*come to"):
            Ledger([*entries[:WIDTH], each])
    with pytest.raises(LogDamaged, match="first in a bundle only"):
        Ledger([*entries[: WIDTH - 1], carried])


def test_a_state_too_long_for_an_entry_is_left_out() -> None:
    """Two periods in which every window has another charge: the bundle begins with an entry that says so."""
    entries = list(story()[:WIDTH])
    state = Ledger(entries).state
    (run, *_) = state.spent.recent
    runs = tuple(replace(run, start=at, count=1, step=0, rho=Fraction(1, at + 1)) for at in range(4000))
    entry = carrying(replace(state, spent=replace(state.spent, recent=runs)))
    assert entry == Carried(None)
    assert decode_entry(entry.encode()) == entry


def test_what_follows_a_loss_has_states_too() -> None:
    """AN-64: also when its beginning is longer than a bundle."""
    decisions = [entry for entry in story() if isinstance(entry, Decision)]
    gaps = [Gap("elsewhere", 10 * number, 10, 1, Charge(Fraction(0))) for number in range(600)]
    entries = list(with_states([*decisions[:2], *gaps]))
    assert [index for index, entry in enumerate(entries) if isinstance(entry, Carried)] == [WIDTH, 2 * WIDTH]
    Ledger(entries)
