"""R14: does the instant of a release tell more of how many were counted than its content does?

The content is public, so the attacker compares windows of equal content: those in which every cell is suppressed, and those without
numbers because the board fell silent. The instant is set by the clock; what is measured is the work from then until the entry can be
written. The disk, the publisher and the network come after it and see bytes of one length (R15).
"""

import dataclasses
import time
from collections.abc import Callable

import pytest

from agent.contracts import aggregate
from agent.contracts.aggregate import Cell, NotCollected
from agent.contracts.log import Release
from agent.contracts.reading import Kind
from agent.local.randomness import random_bytes
from tests.anonymizer.stage import BIKE, FOOT, make_policy, message, readings
from tests.anonymizer.worlds import World
from tests.privacy.statistics import spearman
from tests.privacy.table import Record

LOADS = {"suppressed": (0, 1, 2, 3, 4, 5, 6), "without numbers": (0, 1, 10, 100, 1000, 4000)}
"""Readings of each class that may come in a window; for each kind of content those that can lead to it."""

SUSPICIOUS = 4.2
"""Standard deviations; 0.03 at 20,000 windows."""

Extra = Callable[[int], None]


def nothing(readings: int) -> None:
    """What the real unit does besides, that depends on a count."""


def paced(fullest: int) -> Extra:
    """A broken variant: readings are looked at once more when the window closes, which takes the fullest about half a millisecond."""

    def extra(readings: int) -> None:
        for _ in range(25_000 * readings // fullest):
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


def delays(content: str, windows: int, extra: Extra = nothing) -> tuple[list[int], list[int]]:
    """(readings in a window, ns of work) of the windows with this content; each window's load is drawn anew."""
    world = World(dataclasses.replace(make_policy(window=1, notice="1 seconds"), period_s=10))
    world.run(10, step=1)
    world.tick(0.25)
    world.board = content == "suppressed"
    crowds = [Crowd(load) for load in LOADS[content]]
    loads, times = [], []
    for choice in random_bytes(windows):
        crowd = crowds[choice % len(crowds)]
        world.deliver(crowd.at(world.boot_ns))
        world.tick(0.25)
        world.boot_ns += 10**9 * 3 // 4
        began = time.perf_counter_ns()
        world.look()
        due = world.collection.close_due()
        for entry in due.entries:
            entry.encode()
        extra(crowd.count)
        took = time.perf_counter_ns() - began
        world.collection.commit(due)
        release = due.entries[-1]
        assert isinstance(release, Release)
        if matches(content, release):
            loads.append(crowd.count)
            times.append(took)
    return loads, times


def matches(content: str, release: Release) -> bool:
    """Has the published window this content?"""
    pack = aggregate.decode(release.payload)
    if content == "suppressed":
        return {value for _, value in pack.cells} == {Cell.SUPPRESSED}
    return pack.reason is NotCollected.BOARD


def audit(windows: int, record: Record) -> dict[str, float]:
    found, caught = {}, []
    limits = []
    for content in LOADS:
        loads, times = delays(content, windows)
        assert len(loads) > windows * 0.6
        limits.append(SUSPICIOUS / len(loads) ** 0.5)
        found[content] = spearman(loads, times)
        control = spearman(*delays(content, 600, paced(2 * max(LOADS[content]))))
        assert control > limits[-1]
        assert abs(found[content]) < limits[-1], (content, found)
        caught.append(f"work for each reading, {content} ({control:+.2f})")
    record(
        "R14",
        f"instant of a release and its count, at equal content, {windows} windows",
        measured=", ".join(f"{content}: Spearman {r:+.3f}" for content, r in found.items()),
        claim=f"within {limits[0]:.3f}, {limits[1]:.3f}",
        caught=caught,
    )
    return found


def test_the_instant_tells_nothing_more(record: Record) -> None:
    """I6, AN-1, AN-41: 4.2 standard deviations of the correlation of unrelated pairs."""
    audit(1500, record)


@pytest.mark.soak
def test_the_instant_tells_nothing_more_in_twenty_thousand_windows(
    record: Record, soak_record: Callable[[str, object], None]
) -> None:
    """The same, to 0.03."""
    soak_record("R14 Spearman", audit(30_000, record))
