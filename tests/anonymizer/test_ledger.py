"""agent/anonymizer/ledger: what the fold of a log refuses. What it adds up is in test_budget and test_collection."""

from dataclasses import replace

import pytest

from agent.anonymizer.ledger import Ledger
from agent.contracts.log import Charge, Entry, Gap, Release
from agent.errors import LogDamaged
from tests.anonymizer.test_kinds import Life

NULL = "expected a charge for stream '[a-z_]+', whose policy guarantees something, got null"


def windows(*names: str) -> list[Entry]:
    """The log of a unit with these streams: Releases with numbers, and the Gaps that a restart leaves."""
    life = Life(*names)
    life.on(30)
    life.restart()
    life.boot_ns += 60 * 10**9
    life.on(30)
    assert {type(entry) for entry in life.entries} >= {Release, Gap}
    return life.entries


@pytest.mark.parametrize("kind", [Release, Gap])
@pytest.mark.parametrize("name", ["passing", "stays", "visitors", "noise"])
def test_a_null_charge_is_no_charge_where_something_is_guaranteed(name: str, kind: type[Release] | type[Gap]) -> None:
    """AN-32, I4: an entry without a charge in a stream with a guarantee would be a window for nothing; the log is damaged, and says where."""
    entries = windows(name)
    at = next(n for n, entry in enumerate(entries) if isinstance(entry, kind))
    entry = entries[at]
    assert isinstance(entry, Release | Gap)
    assert isinstance(entry.charge, Charge)
    Ledger(entries)
    with pytest.raises(LogDamaged, match=f"log entry {at}: {NULL}"):
        Ledger([*entries[:at], replace(entry, charge=None), *entries[at + 1 :]])


@pytest.mark.parametrize("name", ["open_stays", "leq"])
def test_null_is_right_where_nothing_is_guaranteed(name: str) -> None:
    """The control: such streams have no other charge."""
    entries = windows(name)
    charges = {entry.charge for entry in entries if isinstance(entry, Release | Gap)}
    assert charges == {None}
    Ledger(entries)


def test_null_is_refused_for_a_stream_that_no_policy_has() -> None:
    """Neither before the first policy nor for a stranger's stream is it known that nothing was guaranteed."""
    gap = Gap("leq", 1_800_000_000, 10, 1, None)
    with pytest.raises(LogDamaged, match=f"log entry 0: {NULL}"):
        Ledger([gap])
    entries = windows("leq")
    with pytest.raises(LogDamaged, match=NULL):
        Ledger([*entries, replace(gap, stream="stranger")])
