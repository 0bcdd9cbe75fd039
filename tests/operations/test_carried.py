"""OP-33: the audit works out what each bundle's first entry carries, and finds a false one."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from agent.contracts.carried import Run, State
from agent.contracts.log import Carried, Entry
from agent.operations.audit import audit
from agent.operations.audit_inputs import Inputs
from agent.operations.findings import Kind
from agent.operations.verdict import Verdict
from agent.wire.tiles import WIDTH
from tests.anonymizer.stage import ORIGIN
from tests.anonymizer.test_carried import story
from tests.operations.stories import PUBLIC, write_copy
from tests.signing import trust_root

PLACE = 2 * WIDTH


def judged(folder: Path, entries: list[Entry]) -> Verdict:
    return audit(Inputs(ORIGIN, PUBLIC, log=write_copy(folder, entries), root=trust_root()))


def carried() -> State:
    entry = story()[PLACE]
    assert isinstance(entry, Carried)
    assert entry.state is not None
    return entry.state


def test_an_honest_log_is_clean(tmp_path: Path) -> None:
    """Over two policies, a Gap, and a stop order."""
    verdict = judged(tmp_path, list(story()))
    assert verdict.findings.kinds == set(), verdict.findings.shown[:5]


def test_a_false_state_is_found(tmp_path: Path) -> None:
    """Whatever it says otherwise than the entries before it, but for the odometer."""
    state, spent = carried(), carried().spent
    first, *others = spent.recent
    false = {
        "releases": replace(state, releases=state.releases - 1),
        "last window": replace(state, last=tuple(replace(each, end=each.end - 1) for each in state.last)),
        "newest release": replace(state, last=tuple(replace(each, release=-1) for each in state.last)),
        "loss": replace(state, lost_until=1),
        "decisions": replace(state, decisions=state.decisions[1:]),
        "served": replace(state, served=state.served + 900),
        "instant": replace(state, newest_at=state.newest_at - 1),
        "newest charge": replace(state, spent=replace(spent, newest=spent.newest - 1)),
        "a charge gone": replace(state, spent=replace(spent, recent=tuple(others))),
        "a charge less": replace(state, spent=replace(spent, recent=(replace(first, rho=Fraction(1, 1000)), *others))),
        "a charge moved": replace(state, spent=replace(spent, recent=(replace(first, start=first.start - 1), *others))),
        "a run without end": replace(
            state, spent=replace(spent, recent=(*spent.recent, Run("x", 0, 1, 2**62, Fraction(1))))
        ),
    }
    for name, each in false.items():
        entries = list(story())
        entries[PLACE] = Carried(each)
        assert judged(tmp_path / name, entries).findings.kinds == {Kind.CARRIED_STATE}, name


def test_a_bundle_without_a_state_and_one_inside_are_found(tmp_path: Path) -> None:
    """Also when what stands there cannot be read."""
    entries = list(story())
    notice = entries[1]
    for name, place, instead in (("none", PLACE, notice), ("inside", PLACE - 1, entries[PLACE])):
        cheat = [*entries[:place], instead, *entries[place + 1 :]]
        assert Kind.CARRIED_STATE in judged(tmp_path / name, cheat).findings.kinds, name
