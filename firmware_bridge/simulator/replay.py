"""Real counts from a CSV file as individual crossings. Pure: the file's bytes in, slots out; every fault is a ReplayError with file:line.

    Date,Fremont Bridge NB,Fremont Bridge SB      the first column is a time, every further column a class
    10/03/2012 05:00:00 PM,216,356                ISO 8601, or MM/DD/YYYY hh:mm:ss AM

Rules: a blank cell is missing data (counted, no crossings). A row that repeats a time or steps back by at most an hour is a
clock change: the first row of that time is kept (counted). The calendar is the file's own wall time; a UTC offset in a
timestamp is not applied. All rows stand for the same length of time, the smallest step between two of them.
"""

import csv
import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from agent.contracts.board import MAX_CLASSES, NAME
from agent.errors import ReplayError
from firmware_bridge.simulator.timeline import Slot, spread

MAX_FILE_BYTES = 16 * 1024 * 1024
"""Forty years of hours in a handful of columns."""

MAX_COUNT = 100_000
"""Crossings of one class in one row; more is a total that was pasted by mistake, not a street."""

DAY = timedelta(days=1)
CLOCK_CHANGE = timedelta(hours=1)
US_TIME = "%m/%d/%Y %I:%M:%S %p"


@dataclass(frozen=True, slots=True)
class Row:
    """One stretch of the file; None is missing data."""

    starts_at: datetime
    counts: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Replay:
    """A checked file. `missing_cells` and `repeated_rows` were left out by the rules above."""

    name: str
    classes: tuple[str, ...]
    rows: tuple[Row, ...]
    row_length: timedelta
    missing_cells: int
    repeated_rows: int

    def busiest_start(self) -> datetime:
        """The busiest row of the first complete day: every row present, every cell filled, something counted.

        Rows before the file's first crossing count as absent: the counter was not running yet (Fremont's first day is zeros
        up to 13:00). Without a complete day, the busiest row of the first day with a crossing.
        """
        days: dict[datetime, list[Row]] = {}
        for row in self.rows:
            if days or any(row.counts):
                days.setdefault(row.starts_at.replace(hour=0, minute=0, second=0, microsecond=0), []).append(row)
        whole = DAY // self.row_length
        complete = (
            rows
            for rows in days.values()
            if len(rows) == whole and all(None not in row.counts for row in rows) and any(map(_total, rows))
        )
        return max(next(complete, next(iter(days.values()))), key=_total).starts_at

    def slots(self, starts_at: datetime) -> Iterator[Slot]:
        """The rows from `starts_at` on, as crossings: exactly each row's counts, spread over its length."""
        length_ms = self.row_length // timedelta(milliseconds=1)
        for row in self.rows:
            if row.starts_at >= starts_at:
                yield Slot(row.starts_at, length_ms, spread(tuple(count or 0 for count in row.counts), length_ms))


def parse(text: bytes, name: str) -> Replay:
    """Check a whole file; raise ReplayError."""
    if len(text) > MAX_FILE_BYTES:
        raise ReplayError(name, expected=f"at most {MAX_FILE_BYTES} bytes", got=str(len(text)))
    try:
        lines = text.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as bad:
        line = text.count(b"\n", 0, bad.start) + 1
        raise ReplayError(f"{name}:{line}", expected="UTF-8 text", got="another encoding") from None
    reader = csv.reader(lines, strict=True)
    try:
        header = next(reader, None)
        if header is None:
            raise ReplayError(f"{name}:1", expected="a header line", got="an empty file")
        classes = _classes(header, f"{name}:1")
        rows: list[Row] = []
        repeated = 0
        for cells in reader:
            where = f"{name}:{reader.line_num}"
            if not cells:
                continue  # an empty line
            row = _row(cells, classes, where)
            if rows and row.starts_at <= rows[-1].starts_at:
                if rows[-1].starts_at - row.starts_at > CLOCK_CHANGE:
                    raise ReplayError(
                        where,
                        expected=f"a time after {rows[-1].starts_at.isoformat()}",
                        got=row.starts_at.isoformat(),
                        remedy="sort the rows by time",
                    )
                repeated += 1
                continue
            rows.append(row)
    except csv.Error as bad:
        raise ReplayError(f"{name}:{reader.line_num}", expected="CSV (RFC 4180)", got=str(bad)[:80]) from None
    if not any(count for row in rows for count in row.counts):
        raise ReplayError(name, expected="at least one row with a count", got=f"{len(rows)} rows and no crossing")
    missing = sum(row.counts.count(None) for row in rows)
    return Replay(name, classes, tuple(rows), _row_length(rows, name), missing, repeated)


def start_in(replay: Replay, text: str | None) -> datetime:
    """Where to start: `text` as ISO 8601 within the file's time, or the busiest hour; raise ReplayError."""
    if text is None:
        return replay.busiest_start()
    wanted = _time(text, "--replay-from")
    if not replay.rows[0].starts_at <= wanted <= replay.rows[-1].starts_at:
        raise ReplayError(
            "--replay-from",
            expected=f"{replay.rows[0].starts_at.isoformat()} to {replay.rows[-1].starts_at.isoformat()}",
            got=wanted.isoformat(),
        )
    return wanted


def _total(row: Row) -> int:
    return sum(count or 0 for count in row.counts)


def _classes(header: list[str], where: str) -> tuple[str, ...]:
    """Column names as class names: lower case, other characters as underscores, made unique with a number."""
    if len(header) < 2:
        raise ReplayError(where, expected="a time column and at least one class column", got=f"{len(header)} columns")
    if len(header) - 1 > MAX_CLASSES:
        raise ReplayError(where, expected=f"at most {MAX_CLASSES} class columns", got=str(len(header) - 1))
    taken: dict[str, None] = {}
    for number, title in enumerate(header[1:], 2):
        slug = re.sub(r"[^a-z0-9]+", "_", title.strip().lower()).strip("_")
        if not slug:
            raise ReplayError(where, expected=f"a name for column {number}", got=repr(title)[:40])
        if not slug[0].isalpha():
            slug = f"c_{slug}"
        slug = _unique(slug[:32].rstrip("_"), taken)
        assert NAME.fullmatch(slug)
        taken[slug] = None
    return tuple(taken)


def _unique(slug: str, taken: Mapping[str, None]) -> str:
    number = 2
    name = slug
    while name in taken:
        ending = f"_{number}"
        name = slug[: 32 - len(ending)] + ending
        number += 1
    return name


def _row(cells: list[str], classes: tuple[str, ...], where: str) -> Row:
    if len(cells) != len(classes) + 1:
        raise ReplayError(where, expected=f"{len(classes) + 1} columns as in the header", got=str(len(cells)))
    return Row(_time(cells[0], where), tuple(_count(cell, where, i + 2) for i, cell in enumerate(cells[1:])))


def _time(text: str, where: str) -> datetime:
    text = text.strip()
    for read in (datetime.fromisoformat, lambda t: datetime.strptime(t, US_TIME)):  # noqa: DTZ007  # the file's wall time
        try:
            return read(text).replace(tzinfo=None)
        except ValueError:
            continue
    raise ReplayError(where, expected="a time such as 2012-10-03T17:00 or 10/03/2012 05:00:00 PM", got=repr(text[:40]))


def _count(text: str, where: str, column: int) -> int | None:
    text = text.strip()
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,12}", text) or int(text) > MAX_COUNT:
        raise ReplayError(
            f"{where}: column {column}", expected=f"a whole number from 0 to {MAX_COUNT}", got=repr(text[:20])
        )
    return int(text)


def _row_length(rows: list[Row], name: str) -> timedelta:
    steps = [after.starts_at - before.starts_at for before, after in itertools.pairwise(rows)]
    length = min(steps, default=timedelta(hours=1))
    if not timedelta(minutes=1) <= length <= DAY or DAY % length:
        raise ReplayError(
            name, expected="rows a minute to a day apart, in a step that divides a day", got=f"a step of {length}"
        )
    return length
