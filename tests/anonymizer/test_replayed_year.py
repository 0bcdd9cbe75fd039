"""A year of real hourly counts through the collection, under three policies; errors are computed from what a subscriber gets.

The City of Seattle's Fremont Bridge counts of 2013, local time (America/Los_Angeles): of the hour that stands twice in spring the first is
taken, an hour without a number is one without a board. Leases, board and looks come as often as an hour allows, so the three limits of time that
would call that absent are lengthened here; nothing else of the code is touched.
"""

import csv
import datetime
import functools
import hashlib
import itertools
import json
from collections import Counter, defaultdict
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from agent.anonymizer import boards, collection, gate
from agent.anonymizer.noise import RandomBytes
from agent.anonymizer.window import NS
from agent.cli.privacy_day import ByHour
from agent.cli.privacy_lost import by_hour
from agent.contracts.board import Board, Channel
from agent.contracts.log import Release
from agent.operations.announcements import Record
from agent.operations.verification import Received, Verification
from agent.policy.model import Policy
from agent.policy.parse import parse_policy
from agent.publisher.message import release_messages
from agent.publisher.topics import Topics
from agent.wire.cose import public_bytes
from tests.anonymizer.stage import KEY, policy_text
from tests.anonymizer.worlds import START_S, World
from tests.conftest import MISSING_SHARED

COUNTS = Path(__file__).parents[3] / "shared" / "data" / "fremont_hourly.csv"
LOST = Path(__file__).parents[2] / "build" / "replayed_year.txt"
"""What the threshold took, by hour of the day; written by the test, for whoever chooses a policy's parameters."""

ZONE = ZoneInfo("America/Los_Angeles")
CLASSES = ("northbound", "southbound")
BOARD = Board("sim", "1.0", bytes(32), bytes(32), (Channel("crossings", "count", CLASSES),))
HOUR_S, DAY_S = 3600, 86_400
CHUNK = 2000

Hours = dict[int, tuple[int, int] | None]
"""Start of an hour (Unix seconds) -> true counts by class, None where the data have none."""


@functools.cache
def hours_of_2013() -> Hours:
    """The year, in UTC; the hour that the autumn's change repeats is missing."""
    if not COUNTS.exists():
        pytest.skip(f"{MISSING_SHARED}: data/fremont_hourly.csv")
    found: Hours = {}
    with COUNTS.open(newline="") as file:
        for when, north, south in list(csv.reader(file))[1:]:
            local = datetime.datetime.strptime(when, "%m/%d/%Y %I:%M:%S %p").replace(tzinfo=ZONE)
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


def shifted(at: int) -> int:
    """The same time of day while the policy is in force: whole days later."""
    return at + (START_S // DAY_S + 3 - min(hours_of_2013()) // DAY_S) * DAY_S


def same_noise(name: str) -> RandomBytes:
    """Random bytes that are the same in every run: by chance 1.7 in 100 years have more than 1 % of their days beyond three deviations."""
    number = itertools.count()
    return lambda count: hashlib.shake_256(f"{name} {next(number)}".encode()).digest(count)


def replay(k: int, totals: str, monkeypatch: pytest.MonkeyPatch) -> dict[int, Record]:
    """Start of each hour -> what a subscriber with the unit's key prints of it."""
    for owner, name in ((collection, "MAX_LOOK_NS"), (gate, "LEASE_LIFETIME_NS"), (boards, "ALIVE_LIFETIME_NS")):
        monkeypatch.setattr(owner, name, HOUR_S * NS)
    hours = hours_of_2013()
    world = World(policy(k, totals), random=same_noise(f"k = {k}, totals {totals}"))
    for _ in range(30):
        world.tick(1, BOARD)
    begin = shifted(min(hours)) // DAY_S * DAY_S
    world.boot_ns += (begin - world.utc_s) * NS - world.now.utc_ns % NS
    for at, counts in hours.items():
        world.board = counts is not None
        if counts is None:
            world.unplug()
        world.boot_ns += (shifted(at) + HOUR_S // 2 - world.utc_s) * NS
        world.tick(0, BOARD)
        for number, count in enumerate(counts or ()):
            for done in range(0, count, CHUNK):
                world.count([number] * min(CHUNK, count - done))
        world.boot_ns += (HOUR_S // 2 - 60) * NS
        world.tick(0, BOARD)
    world.run(120, 60)
    records = {record["window_start"]: record for record in subscribed(world)}
    return {at: records[shifted(at)] for at in hours}


def subscribed(world: World) -> list[Record]:
    """Every Release of a unit as `subscribe --json --key` prints it, by way of the publisher's messages."""
    unit = world.policy.unit
    topics, verification = Topics("dtpr", unit.city, unit.site, unit.name), Verification([public_bytes(KEY)])
    lines = []
    for index, entry in enumerate(world.entries):
        if isinstance(entry, Release):
            (sent,) = release_messages(topics, entry, log_index=index, expiry_s=60, mqtt5=True)
            ((record, _),) = verification.take(Received(sent.topic, sent.payload, sent.user_properties, False, 0.0))
            assert record["verified"] is True
            lines.append(json.loads(json.dumps(record)))
    return lines


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


def assert_as_claimed(errors: list[float], capsys: pytest.CaptureFixture[str], what: str) -> None:
    """Within the claim, which twice these errors would not be; and said so."""
    assert_within_claim(errors)
    with pytest.raises(AssertionError):
        assert_within_claim([2 * error for error in errors])
    with capsys.disabled():
        within = sum(abs(error) <= 3 for error in errors)
        root = (sum(error**2 for error in errors) / len(errors)) ** 0.5
        print(
            f"\n{what}: {len(errors)} days, {within} within 3 claimed sd, the worst {max(map(abs, errors)):.2f}, RMS {root:.2f}"
        )


def assert_missing_is_reported(records: dict[int, Record]) -> None:
    """A blank hour has no board, and is no zero."""
    hours = hours_of_2013()
    missing = [at for at, counts in hours.items() if counts is None]
    assert missing
    assert {records[at]["state"] for at in missing} == {"not_collected:board"}
    assert {cell for at in missing for cell in records[at]["cells"].values()} == {"not_collected"}
    assert {records[at]["state"] for at in hours if at not in missing} == {"complete"}


def test_sums_of_windows_that_hide_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Must show 4, first: a day's published numbers add up to its crossings, within the noise that the packs claim."""
    hours = hours_of_2013()
    records = replay(0, "none", monkeypatch)
    errors = []
    for starts in days(hours).values():
        values = [value for at in starts for value in records[at]["cells"].values()]
        assert all(isinstance(value, int) for value in values)
        truth = sum(sum(hours[at] or ()) for at in starts)
        sd = records[starts[0]]["noise_sd"] * len(values) ** 0.5
        errors.append((sum(values) - truth) / sd)
    assert_as_claimed(errors, capsys, "window counts, k = 0")
    assert_missing_is_reported(records)
    assert {record["sums"] for record in records.values()} == {None}


def test_running_totals_of_a_day(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Must show 4, second: the last total of a day is its crossings, within the noise that the packs claim for totals."""
    hours = hours_of_2013()
    records = replay(0, "period", monkeypatch)
    errors = []
    for day, starts in days(hours).items():
        last = records[starts[-1]]
        assert {records[at]["cells"]["total/since"] for at in starts} == {shifted(day)}
        for name in CLASSES:
            total = last["cells"][f"{name}/total"]
            assert total == sum(records[at]["cells"][name] for at in starts), "a total is the sum of its numbers"
        totals = [last["cells"][f"{name}/total"] for name in CLASSES]
        truth = sum(sum(hours[at] or ()) for at in starts)
        sd = last["total_noise_sd"] * len(CLASSES) ** 0.5
        errors.append((sum(totals) - truth) / sd)
    assert_as_claimed(errors, capsys, "running totals (NSR), k = 0")
    assert_missing_is_reported(records)
    one = next(iter(records.values()))
    independent = float(policy(0, "none").streams[0].privacy.sigma_squared) ** 0.5  # type: ignore[union-attr]  # a count's
    assert one["total_noise_sd"] < independent * 24**0.5, "adding up a day's independent noise would be worse"
    assert one["guarantee"].startswith("zCDP rho=1/8 per person-period of 86400 s")


def test_thresholds_lose_the_quiet_hours(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Must show 4, third: what suppression takes, by local hour of the day; sums of what is left are low, and every pack says so."""
    hours = hours_of_2013()
    rows: dict[int, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    bias = 0
    records = replay(5, "none", monkeypatch)
    for at, counts in hours.items():
        if counts is None:
            continue
        row = rows[datetime.datetime.fromtimestamp(at, ZONE).hour]
        for value, count in zip(records[at]["cells"].values(), counts, strict=True):
            hidden = value == "suppressed"
            row[0] += 1
            row[1] += hidden
            row[2] += count
            row[3] += count * hidden
            bias += (0 if hidden else value) - count
    assert_missing_is_reported(records)
    assert {record["sums"] for record in records.values()} == {"biased low: suppressed numbers are missing"}
    one = next(iter(records.values()))
    assert one["guarantee"].startswith("zCDP rho=1/8 per person-period of 86400 s")
    expected = {lost.hour: lost for lost in by_hour(policy(5, "none").streams[0], of_the_hours(hours))}
    lines = [
        f"Fremont Bridge 2013, {one['guarantee']}; numbers under {one['threshold']} are suppressed",
        "local hour   windows suppressed   crossings lost   as privacy report --counts expects",
        *(
            f"{hour:>7}:00   {r[1] / r[0]:>18.1%}   {r[3] / r[2]:>14.2%}   "
            f"{float(expected[hour].numbers):>18.1%} {float(expected[hour].counted or 0):>14.1%}"
            for hour, r in sorted(rows.items())
        ),
        f"{'all':>10}   {_share(rows, 1, 0):>18.1%}   {_share(rows, 3, 2):>14.2%}",
    ]
    LOST.parent.mkdir(exist_ok=True)
    LOST.write_text("\n".join(lines) + "\n")
    with capsys.disabled():
        print("", *lines, sep="\n")
    share = {hour: row[1] / row[0] for hour, row in rows.items()}
    for hour, (cells, _, crossings, lost) in rows.items():
        numbers = float(expected[hour].numbers)
        assert abs(share[hour] - numbers) < 5 * (numbers * (1 - numbers) / cells) ** 0.5 + 0.005
        assert abs(lost / crossings - float(expected[hour].counted or 0)) < 0.05
    assert max(share.values()) > 0.9
    assert min(share.values()) < 0.01
    assert bias < -0.5 * sum(row[3] for row in rows.values()), "sums are low by about what was suppressed"


def of_the_hours(hours: Hours) -> ByHour:
    """The year's true counts by local hour, for what a steward is told beforehand."""
    local = ((datetime.datetime.fromtimestamp(at, ZONE).hour, counts) for at, counts in hours.items())
    return Counter((hour, count) for hour, counts in local if counts is not None for count in counts)


def _share(rows: dict[int, list[int]], part: int, whole: int) -> float:
    return sum(row[part] for row in rows.values()) / sum(row[whole] for row in rows.values())
