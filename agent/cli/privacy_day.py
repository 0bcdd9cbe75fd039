"""What a stream would count: on a day of the demo's street, or by a file of true counts. Pure.

The street has bikes, people and vehicles; a policy's classes take them in turn. What a street does not have is made of them: one vehicle in
forty ends a stay, each person carries a device, and a measured value rises with the vehicles from low to high.
"""

from collections import Counter
from datetime import datetime, timedelta
from itertools import islice

from agent.errors import SettingsError
from agent.policy.model import Stream
from firmware_bridge.simulator import street
from firmware_bridge.simulator.replay import Replay

DAY = datetime(2025, 9, 3)  # noqa: DTZ001  # a Wednesday, the street's own wall time
DAY_S, HOUR_S = 86_400, 3600
ONE_STAY_IN = 40

ByHour = Counter[tuple[int, int]]
"""(hour of the day, true number) -> how many numbers of windows of one class were that."""


def street_day(window_s: int) -> list[tuple[int, int, int]]:
    """Crossings of bikes, people and vehicles in each window of a working day."""
    windows = [[0, 0, 0] for _ in range(DAY_S // window_s)]
    for slot in islice(street.slots(DAY), 24 * 60):
        begins_s = (slot.starts_at - DAY).seconds
        for after_ms, number in slot.crossings:
            windows[(begins_s + after_ms // 1000) // window_s][number] += 1
    return [(bikes, people, vehicles) for bikes, people, vehicles in windows]


def counted(stream: Stream) -> list[list[int]]:
    """The true numbers of a stream of counts, durations or devices on that day: for each class (each of its lengths alike) one a window."""
    day = street_day(stream.window_s)
    if stream.kind == "unique":
        return [[people for _, people, _ in day]]
    if stream.kind == "duration":
        lengths = len(stream.bins_s) + 1
        return [[vehicles // (ONE_STAY_IN * lengths) for _, _, vehicles in day]] * len(stream.classes)
    return [[counts[number % len(counts)] for counts in day] for number in range(len(stream.classes))]


def on_the_street(stream: Stream) -> ByHour:
    """The same by hour of the day, all classes together."""
    found: ByHour = Counter()
    for numbers in counted(stream):
        found.update((at * stream.window_s // HOUR_S, number) for at, number in enumerate(numbers))
    return found


def columns(stream: Stream, counts: Replay) -> list[int]:
    """Which column of a file stands for each class: that of its name where all have one, else the columns in turn."""
    if set(stream.classes) <= set(counts.classes):
        return [counts.classes.index(name) for name in stream.classes]
    return [number % len(counts.classes) for number in range(len(stream.classes))]


def by_file(stream: Stream, counts: Replay) -> ByHour:
    """The same of true counts, by the hours of their own wall time; a row longer than a window is spread evenly, missing data are left out.

    Raises SettingsError for rows that fit no hour or no window, or that fill none.
    """
    row_s, window_s = counts.row_length // timedelta(seconds=1), stream.window_s
    if row_s > HOUR_S or (row_s % window_s and window_s % row_s):
        raise SettingsError(
            "--counts",
            expected=f"rows of at most an hour that a window of {window_s} s divides, or that divide it",
            got=f"rows of {row_s} s",
        )
    found: ByHour = Counter()
    for column in columns(stream, counts):
        if row_s >= window_s:
            parts = row_s // window_s
            for row in counts.rows:
                if (count := row.counts[column]) is not None:
                    each, more = divmod(count, parts)
                    found[row.starts_at.hour, each] += parts - more
                    found[row.starts_at.hour, each + 1] += more
            continue
        windows: dict[datetime, list[int]] = {}
        for row in counts.rows:
            into_s = (
                row.starts_at - row.starts_at.replace(hour=0, minute=0, second=0, microsecond=0)
            ).seconds % window_s
            if (count := row.counts[column]) is not None:
                windows.setdefault(row.starts_at - timedelta(seconds=into_s), []).append(count)
        whole = (at for at, held in windows.items() if len(held) == window_s // row_s)
        found.update((at.hour, sum(windows[at])) for at in whole)
    found = +found
    if not found:
        raise SettingsError("--counts", expected=f"every row of at least one window of {window_s} s", got="none whole")
    return found
