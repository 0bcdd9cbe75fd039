"""anonymizer/growth: what `policy check` says that a year's log takes, against logs that were written (AN-112)."""

from fractions import Fraction
from itertools import groupby
from pathlib import Path

import pytest

from agent.anonymizer.growth import log_bytes_a_day
from agent.anonymizer.kinds import terms_for
from agent.anonymizer.ledger import Ledger
from agent.anonymizer.log import ReleaseLog
from agent.anonymizer.seal import seal
from agent.contracts.aggregate import Aggregate, Cell, NotCollected
from agent.contracts.gate_log import GateChanges
from agent.contracts.log import Release
from agent.contracts.log_file import RELEASES, iter_log
from agent.policy.model import Policy
from agent.policy.parse import parse_policy
from agent.policy.values import DAY_S
from tests.anonymizer.stage import KEY, make_policy
from tests.privacy.disk_world import DiskWorld
from tests.privacy.published import Published

CONFIG = Path("config")
POLICIES = [CONFIG / "policy.toml", *sorted((CONFIG / "examples").glob("*.toml"))]
START_S = 1_799_971_200
"""A midnight: 2027-01-14."""


def policy_in(path: Path) -> Policy:
    return parse_policy(path.read_bytes(), path.name)


def closings(policy: Policy, seconds: int, *, cbor: bool = False) -> list[list[Release]]:
    """What is logged at each instant, in order, of windows without numbers."""
    found: list[tuple[Fraction, Release]] = []
    for stream in policy.streams:
        terms = terms_for(policy, stream, bytes(32))
        for start in range(START_S, START_S + seconds, stream.window_s):
            nothing = (Cell.NOT_COLLECTED,) * len(terms.pack.fields)
            said = Aggregate(terms.pack, start, 0, NotCollected.GATE, 10**6, nothing)
            found.append((start + stream.window_s + stream.grace_s, seal(said, terms.charge, KEY, cbor=cbor)))
    found.sort(key=lambda each: each[0])
    return [[release for _, release in each] for _, each in groupby(found, key=lambda each: each[0])]


def used(folder: Path) -> int:
    """Up to where the last record of the log ends."""
    return max(record.end for record in iter_log((folder / "log" / RELEASES).read_bytes()))


@pytest.mark.parametrize("cbor", [False, True])
@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.stem)
def test_a_day_takes_what_was_said_or_less(tmp_path: Path, path: Path, cbor: bool) -> None:
    """AN-112: appended for real; in JSON not much less, in CBOR less."""
    policy, seconds = policy_in(path), DAY_S // 4
    log = ReleaseLog(tmp_path / "log", policy.unit.path, KEY, Ledger().fold)
    first = used(tmp_path)
    for releases in closings(policy, seconds, cbor=cbor):
        log.ready()
        log.append(releases)
    taken, said = used(tmp_path) - first, log_bytes_a_day(policy) / 4
    log.close()
    assert taken <= said
    assert cbor or taken >= said * Fraction(9, 10)


def test_a_unit_at_work_takes_hardly_more(tmp_path: Path) -> None:
    """AN-112: decisions, the gate's changes and the state of every 256th entry beside 300 windows of one stream."""
    policy = make_policy(window=5, notice="5 seconds")
    world = DiskWorld(policy, tmp_path / "unit", Published())
    world.live(20)
    first, before = used(world.folder), len(world.entries)
    world.live(1500)
    taken = used(world.folder) - first
    assert sum(isinstance(entry, Release) for entry in world.entries[before:]) == 300
    assert sum(isinstance(entry, GateChanges) for entry in world.entries[before:]) >= 1
    world.end()
    said = log_bytes_a_day(policy) * 1500 / DAY_S
    assert said * Fraction(9, 10) <= taken <= said * Fraction(21, 20)
