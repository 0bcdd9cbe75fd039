"""R14: does the instant of a release tell more of how many were counted than its content does?

The content is public, so the attacker compares windows of equal content: those in which every cell is suppressed, and those without
numbers because the board fell silent. The instant is set by the clock; what is measured is the time from then until the checkpoint
covers the entry, on a real disk: what a reader of the log's folder can see, and sooner than anybody on the network, for whom the
publisher's look every 0.2 s comes on top.
"""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import pytest

from agent.anonymizer.log import ReleaseLog
from agent.contracts import aggregate
from agent.contracts.aggregate import Cell, NotCollected
from agent.contracts.log import Release
from agent.contracts.reading import Kind
from agent.local.randomness import random_bytes
from tests.anonymizer.stage import BIKE, FOOT, KEY, ORIGIN, make_policy, message, readings
from tests.anonymizer.worlds import World
from tests.privacy.statistics import spearman
from tests.privacy.table import Record

LOADS = {"suppressed": (0, 1, 2, 3, 4, 5, 6), "without numbers": (0, 1, 10, 100, 1000, 4000)}
"""Readings of each class that may come in a window; for each kind of content those that can lead to it."""

LIMIT, SUSPICIOUS = 0.03, 4.2
"""The largest correlation that passes; with fewer than 20,000 windows, as many standard deviations of that of unrelated pairs."""

MOST_US = 1000
"""The work may differ by less than what is lost in the disk's own jitter."""

Extra = Callable[[int], None]


def nothing(readings: int) -> None:
    """What the real unit does besides, that depends on a count."""


def paced(fullest: int) -> Extra:
    """A broken variant: each reading is looked at once more when the window closes, which takes the fullest 25 ms."""

    def extra(readings: int) -> None:
        until = time.perf_counter_ns() + 25_000_000 * readings // fullest
        while time.perf_counter_ns() < until:
            pass

    return extra


class Crowd:
    """A message of one load, ready but for its instant."""

    def __init__(self, load: int) -> None:
        self.count = 2 * load
        whole = readings([BIKE, FOOT] * load, 0)
        self._body = whole[len(message(Kind.ALIVE)) :]

    def at(self, boot_ns: int) -> bytes:
        """The packet."""
        return message(Kind.READINGS, self._body, count=self.count, received_boot_ns=boot_ns)


@dataclasses.dataclass(slots=True)
class Seen:
    """By window: readings in it, ns until its entry could be written, ns until it was published."""

    loads: list[int]
    worked: list[int]
    published: list[int]


def delays(content: str, windows: int, folder: Path, extra: Extra = nothing) -> Seen:
    """The windows with this content; each window's load is drawn anew."""
    log = ReleaseLog(folder, ORIGIN, KEY)
    world = World(dataclasses.replace(make_policy(window=1, notice="1 seconds"), period_s=10))
    world.run(10, step=1)
    world.tick(0.25)
    world.board = content == "suppressed"
    crowds = [Crowd(load) for load in LOADS[content]]
    seen = Seen([], [], [])
    for choice in random_bytes(windows):
        crowd = crowds[choice % len(crowds)]
        world.deliver(crowd.at(world.boot_ns))
        world.tick(0.25)
        world.boot_ns += 10**9 * 3 // 4
        began = time.perf_counter_ns()
        world.look()
        due = world.collection.close_due()
        extra(crowd.count)
        worked = time.perf_counter_ns() - began
        log.append(due.entries)
        took = time.perf_counter_ns() - began
        log.ready()
        world.collection.commit(due)
        release = due.entries[-1]
        assert isinstance(release, Release)
        if matches(content, release):
            seen.loads.append(crowd.count)
            seen.worked.append(worked)
            seen.published.append(took)
    log.close()
    return seen


def dearer_us(seen: Seen) -> float:
    """By how many microseconds the work for the fullest windows exceeds that for empty ones, by their medians."""
    least, most = min(seen.loads), max(seen.loads)
    by_load = [
        [ns for load, ns in zip(seen.loads, seen.worked, strict=True) if load == which] for which in (least, most)
    ]
    return (median(by_load[1]) - median(by_load[0])) / 1000


def matches(content: str, release: Release) -> bool:
    """Has the published window this content?"""
    pack = aggregate.decode(release.payload)
    if content == "suppressed":
        return {value for _, value in pack.cells} == {Cell.SUPPRESSED}
    return pack.reason is NotCollected.BOARD


def audit(windows: int, folder: Path, record: Record) -> dict[str, float]:
    """Every content; returns the correlations and the dearer work in microseconds."""
    found: dict[str, float] = {}
    caught, said, limits = [], [], []
    for content in LOADS:
        seen = delays(content, windows, folder / content)
        assert len(seen.loads) > windows * 0.6
        limit = max(LIMIT, SUSPICIOUS / len(seen.loads) ** 0.5)
        found[content] = spearman(seen.loads, seen.published)
        found[f"{content}, us"] = dearer_us(seen)
        broken = delays(content, 300, folder / f"control {content}", paced(2 * max(LOADS[content])))
        control = spearman(broken.loads, broken.published)
        assert control > limit
        assert dearer_us(broken) > MOST_US
        assert abs(found[content]) < limit, (content, found)
        assert abs(found[f"{content}, us"]) < MOST_US, (content, found)
        caught.append(f"work for each reading, {content} ({control:+.2f})")
        said.append(f"{content}: Spearman {found[content]:+.3f}, work {found[f'{content}, us']:+.0f} us")
        limits.append(f"{limit:.3f}")
    record(
        "R14",
        f"instant of a release and its count, at equal content, {windows} windows",
        measured="; ".join(said),
        claim=f"within {', '.join(limits)}; {MOST_US} us between empty and full",
        caught=caught,
    )
    return found


def test_the_instant_tells_nothing_more(tmp_path: Path, record: Record) -> None:
    """I6, AN-1, AN-41: a few hundred windows of each content: faults of the size of the controls."""
    audit(700, tmp_path, record)


@pytest.mark.soak
def test_the_instant_tells_nothing_more_in_thirty_thousand_windows(
    tmp_path: Path, record: Record, soak_record: Callable[[str, object], None]
) -> None:
    """The same, to 0.03."""
    soak_record("R14 Spearman", audit(30_000, tmp_path, record))
