"""A year of real hourly counts through the collection, under three policies; errors are computed from what a subscriber gets.

The City of Seattle's Fremont Bridge counts of 2013, local time (America/Los_Angeles): the hour that stands twice in spring is taken once, an
hour without a number is one without a board. Leases, board and looks come as often as an hour allows, so the three limits of time that
would call that absent are lengthened here; nothing else of the code is touched.
"""

import csv
import datetime
import functools
from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from agent.anonymizer import boards, collection, gate
from agent.anonymizer.window import NS
from agent.contracts import aggregate
from agent.contracts.aggregate import Aggregate, NotCollected
from agent.contracts.board import Board, Channel
from agent.contracts.log import Release
from agent.policy.model import Policy
from agent.policy.parse import parse_policy
from tests.anonymizer.stage import policy_text
from tests.anonymizer.worlds import START_S, World
from tests.conftest import MISSING_SHARED

COUNTS = Path(__file__).parents[3] / "shared" / "data" / "fremont_hourly.csv"
CLASSES = ("northbound", "southbound")
BOARD = Board("sim", "1.0", bytes(32), bytes(32), (Channel("crossings", "count", CLASSES),))
HOUR_S, DAY_S = 3600, 86_400
RHO = Fraction(1, 8)
CHUNK = 2000

Hours = dict[int, tuple[int, int] | None]
"""Start of an hour (Unix seconds) -> true counts by class, None where the data have none."""


@functools.cache
def hours_of_2013() -> Hours:
    """The year, in UTC; the hour that the autumn's change repeats is missing."""
    if not COUNTS.exists():
        pytest.skip(f"{MISSING_SHARED}: data/fremont_hourly.csv")
    zone = ZoneInfo("America/Los_Angeles")
    found: Hours = {}
    with COUNTS.open(newline="") as file:
        for when, north, south in list(csv.reader(file))[1:]:
            local = datetime.datetime.strptime(when, "%m/%d/%Y %I:%M:%S %p").replace(tzinfo=zone)
            if local.year == 2013:
                found.setdefault(int(local.timestamp()), (int(north), int(south)) if north and south else None)
    first, last = min(found), max(found)
    return {at: found.get(at) for at in range(first, last + 1, HOUR_S)}


def policy(k: int, totals: str) -> Policy:
    """rho 1/8 a person-day, at most four crossings a day and one an hour."""
    text = policy_text(window=HOUR_S).replace('["bike", "foot"]', '["northbound", "southbound"]')
    text = text.replace('period = "10 minutes"', 'period = "24 hours"').replace("k = 5", f"k = {k}")
    text = text.replace("z = 2", "z = 2" if k else "z = 0").replace('totals = "none"', f'totals = "{totals}"')
    return parse_policy(text, "policy.toml")


def replay(rules: Policy, monkeypatch: pytest.MonkeyPatch) -> Iterator[Aggregate]:
    """What a subscriber gets of the year, shifted to whole days from START_S on so that the policy is in force."""
    for owner, name in ((collection, "MAX_LOOK_NS"), (gate, "LEASE_LIFETIME_NS"), (boards, "ALIVE_LIFETIME_NS")):
        monkeypatch.setattr(owner, name, HOUR_S * NS)
    hours = hours_of_2013()
    world = World(rules)
    for _ in range(30):
        world.tick(1, BOARD)
    begin = START_S + 2 * DAY_S
    world.boot_ns += (begin - world.utc_s) * NS - world.now.utc_ns % NS
    shift = begin - min(hours) // DAY_S * DAY_S
    for at, counts in hours.items():
        world.board = counts is not None
        if counts is None:
            world.unplug()
        world.boot_ns += (at + shift + HOUR_S // 2 - world.utc_s) * NS
        world.tick(0, BOARD)
        for number, count in enumerate(counts or ()):
            for done in range(0, count, CHUNK):
                world.count([number] * min(CHUNK, count - done))
        world.boot_ns += (HOUR_S // 2 - 60) * NS
        world.tick(0, BOARD)
    world.run(120, 60)
    for entry in world.entries:
        if isinstance(entry, Release) and entry.window_start >= min(hours) + shift:
            pack = aggregate.decode(entry.payload)
            yield Aggregate(pack.terms, pack.window_start - shift, *(getattr(pack, n) for n in REST))


REST = ("coverage_percent", "reason", "log_index", "values")


def days(hours: Hours) -> dict[int, list[int]]:
    """Start of a UTC day -> the starts of its hours, for days of which every hour is known."""
    found: dict[int, list[int]] = defaultdict(list)
    for at, counts in hours.items():
        if counts is not None:
            found[at // DAY_S * DAY_S].append(at)
    return {day: starts for day, starts in found.items() if len(starts) == DAY_S // HOUR_S}


def assert_within_claim(errors: list[float]) -> None:
    """Daily errors in claimed standard deviations: 99 % of days within 3, all within 5."""
    assert len(errors) > 340
    assert sum(abs(error) <= 3 for error in errors) >= 0.99 * len(errors)
    assert max(map(abs, errors)) <= 5


def test_sums_of_windows_that_hide_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Must show 4, first: a day's published numbers add up to its crossings, within the noise that the packs claim."""
    hours = hours_of_2013()
    packs = {pack.window_start: pack for pack in replay(policy(0, "none"), monkeypatch)}
    errors = []
    for starts in days(hours).values():
        values = [value for at in starts for value in packs[at].values]
        assert all(isinstance(value, int) for value in values)
        truth = sum(sum(hours[at] or ()) for at in starts)
        sd = float(packs[starts[0]].terms.noise_sd) * len(values) ** 0.5
        errors.append((sum(value for value in values if isinstance(value, int)) - truth) / sd)
    assert_within_claim(errors)
    missing = [at for at, counts in hours.items() if counts is None]
    assert missing
    assert {packs[at].reason for at in missing} == {NotCollected.BOARD}, "missing data are reported so"


def test_thresholds_lose_the_quiet_hours(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Must show 4, third: what suppression takes, by hour of the day in UTC; sums of what is left are low."""
    hours = hours_of_2013()
    windows: dict[int, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    biased = []
    for pack in replay(policy(5, "none"), monkeypatch):
        counts = hours.get(pack.window_start)
        if counts is None or pack.reason is not None:
            continue
        row = windows[pack.window_start % DAY_S // HOUR_S]
        for value, count in zip(pack.values, counts, strict=True):
            suppressed = not isinstance(value, int)
            row[0] += 1
            row[1] += suppressed
            row[2] += count
            row[3] += count * suppressed
        biased.append(sum(value for value in pack.values if isinstance(value, int)) - sum(counts))
    with capsys.disabled():
        print("\nhour (UTC)   windows hidden   crossings lost")
        for hour, (cells, hidden, crossings, lost) in sorted(windows.items()):
            print(f"{hour:>10}   {hidden / cells:>14.1%}   {lost / crossings:>14.2%}")
    share = {hour: row[1] / row[0] for hour, row in windows.items()}
    assert max(share.values()) > 0.5 > 0.05 > min(share.values())
    assert sum(biased) < 0
